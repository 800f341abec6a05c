"""Record the examples of the manual's pages of commands: ``make examples``; minutes of a core.

One session in an empty folder, in the order in which a person needs the commands. What each prints
is written to ``docs/examples``, a text a command. Those of servers and of the Hub are
recorded by ``served_examples.py``: they need somebody who asks.
"""

from pathlib import Path

import numpy as np
import soundfile
from transcripts import REST, ROOT, SCRATCH, prepare, run_step

PLACE = ROOT / "docs" / "examples"
FIRST, LAST = 16, 9
"""Lines that are kept of a long output, before and after the rest."""
RATE = 16_000
CLIP = "data/radio/*pedro*.wav"
SESSION = {
    "synth": "speechcls synth lamp radio music _unknown_ --out data",
    "check": "speechcls check data",
    "archs": "speechcls archs --size tiny",
    "train": "speechcls train data --recipe fast",
    "evaluate": "speechcls evaluate data --report out",
    "report": "speechcls report out",
    "predict": f"speechcls predict {CLIP} data/lamp/*pedro*.wav",
    "listen": f"speechcls listen --from {CLIP}",
    "explain": f"speechcls explain {CLIP} --out radio.png --html radio.html",
    "features": f"speechcls features {CLIP}",
    "verify": "speechcls verify models/data-att-bigru",
    "mix": "speechcls mix data --noise noise --minutes 1 --snr 10",
    "detect": "speechcls detect stream/recording.wav --save-events kept",
    "review": "speechcls review kept </dev/null",
    "calibrate": "speechcls calibrate --noise noise --data data",
    "compare": "speechcls compare commands commands-tiny --data clips",
    "bench": "speechcls bench commands commands-tiny",
    "export": "speechcls export commands-stream --to c --out firmware",
    "pack": "speechcls pack data --out shards",
    "cache": "speechcls cache",
    "record": "speechcls record lamp --out mine --speaker ann --from lamps.wav",
    "tune": "speechcls tune data --trials 2 --epochs 2 --archs gru,lstm",
    "help": "speechcls help exit-codes",
}
"""A command line for each command, in order."""
BEFORE = {"compare": "speechcls synth yes no stop go --out clips --per-word 20 --quiet"}
"""What is run before a command and not shown."""


def make_sounds(folder: Path) -> None:
    """Write a minute of noise that is not like any other, and a recording of several words."""
    rng = np.random.default_rng(0)
    (folder / "noise").mkdir()
    hiss = np.cumsum(rng.normal(0.0, 0.01, 60 * RATE))
    hiss = 0.05 * (hiss - np.convolve(hiss, np.full(400, 1 / 400), "same"))
    soundfile.write(folder / "noise" / "rumble.wav", hiss.astype(np.float32), RATE)


def make_words(folder: Path) -> None:
    """Write one recording in which a word is said five times."""
    pause = np.zeros(RATE, np.float32)
    words = [soundfile.read(path)[0] for path in sorted((folder / "data/lamp").iterdir())[:5]]
    parts = [part for word in words for part in (pause, word)]
    soundfile.write(folder / "lamps.wav", np.concatenate([*parts, pause]), RATE)


def shortened(lines: list[str]) -> list[str]:
    """Return lines without the middle of many."""
    if len(lines) <= FIRST + LAST + 1:
        return lines
    return [*lines[:FIRST], REST, *lines[-LAST:]]


def main() -> None:
    """Run the session, and write what it prints."""
    environment = prepare(SCRATCH / "examples")
    folder = SCRATCH / "examples" / "work"
    make_sounds(folder)
    PLACE.mkdir(exist_ok=True)
    for name, command in SESSION.items():
        print(f"$ {command}", flush=True)
        if name in BEFORE:
            run_step(BEFORE[name], folder, environment)
        if name == "record":
            make_words(folder)
        printed = shortened(run_step(command, folder, environment, codes=(0, 1)))
        text = "\n".join([f"$ {command}", *printed])
        (PLACE / f"{name}.txt").write_text(f"{text}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
