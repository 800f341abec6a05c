"""What the pictures of the documentation show: synthetic speech, and small networks of it."""

import csv
import shutil
import subprocess
import sys
from pathlib import Path

from speechcls.artifact.store import load_artifact, load_split
from speechcls.explain.trace import Explanation, explain
from speechcls.runtime.classifier import Classifier

ROOT = Path(__file__).parents[1]
SCRATCH = ROOT / "build" / "pictures"
WORDS, WORD = ("yes", "no", "stop", "go"), "stop"
ATTENTION = "att-bigru"
OTHERS = ("up", "down", "left", "right")
CLIPS_A_WORD, HIDDEN_SIZE, EPOCHS = 120, 24, 12
WALK = """\
synth yes no go on off up five nine left stop --out data --per-word 60
check data
train data
evaluate data --report out
explain data/{mistake} --out explain.png --html explain.html
"""
"""The commands of docs/WALK.md; the last one looks into the most confident mistake."""


def run(*arguments: str | Path) -> None:
    """Run the command line; end with it if it fails."""
    subprocess.run([sys.executable, "-m", "speechcls", *map(str, arguments)], check=True)


def walk(name: str) -> Path:
    """Return a picture of docs/WALK.md; what its commands print is in ``session.txt``."""
    place = SCRATCH / "walk"
    if not (place / "explain.png").is_file():
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        session = []
        for line in WALK.splitlines():
            if "{mistake}" in line:
                with (place / "out/tables/mistakes.csv").open(newline="") as file:
                    line = line.format(mistake=next(csv.DictReader(file))["path"])
            command = [sys.executable, "-m", "speechcls", *line.split()]
            print(f"$ speechcls {line}", flush=True)
            done = subprocess.run(
                command,
                cwd=place,
                check=True,
                text=True,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
            )
            session.append(f"$ speechcls {line}\n{done.stdout}")
        (place / "session.txt").write_text("".join(session))
    return next(place.glob(name))


def speech() -> Path:
    """Return a data set of synthetic speech."""
    folder = SCRATCH / "speech"
    if not folder.is_dir():
        run("synth", *WORDS, "--out", folder, "--per-word", str(CLIPS_A_WORD), "--seed", "0")
    return folder


def train(arch: str) -> Classifier:
    """Return a small network that takes all for a word.

    It has one layer and answers from its last state; that with attention is as usual, and smaller.
    """
    path = SCRATCH / arch
    if not path.is_dir():
        sizes = f"--hidden-size {HIDDEN_SIZE} --epochs {EPOCHS} --seed 0 --closed --from none"
        form = "" if arch == ATTENTION else "--num-layers 1 --readout last"
        options = f"--arch {arch} {form} {sizes}".split()
        run("train", speech(), "--out", path, *options)
    return Classifier(load_artifact(path), jobs=1)


def explain_word(classifier: Classifier) -> tuple[Explanation, str]:
    """Return what a network does with the first clip of ``WORD`` that it gets right, and a title.

    Clips are those that trained none of the small networks, which all split them alike.
    """
    for path, label in held_out().items():
        if label != WORD:
            continue
        window = classifier.read_window(path)
        explanation = explain(classifier, window.samples)
        if explanation.labels[explanation.label_index] == WORD:
            percent = 100 * explanation.probabilities.max()
            return explanation, f"{explanation.arch} hears “{WORD}”: {percent:.1f} %"
    raise SystemExit(f"no clip of {WORD} is recognised by {classifier.artifact.path}")


def held_out() -> dict[Path, str]:
    """Return the clips that trained none of the small networks, with their labels."""
    rows = load_split(train("gru").artifact)
    return {speech() / row.path: row.label for row in rows if row.split != "train"}


def other_words() -> list[Path]:
    """Return clips of words that no small network knows."""
    folder = SCRATCH / "others"
    if not folder.is_dir():
        run("synth", *OTHERS, "--out", folder, "--per-word", "30", "--seed", "0")
    return sorted(folder.rglob("*.wav"))


def clips_of(word: str) -> list[Path]:
    """Return the clips of a word in the synthetic speech."""
    return sorted((speech() / word).glob("*.wav"))
