"""What the exports of a model cost, and how far they agree with it over an hour of sound.

    python benchmarks/bench_export.py commands-stream /path/to/speech-commands --minutes 60

Prints for C with float and with int8 weights: the largest difference of a probability from the
model's own stream, the ratio of equal answers, the events of both, bytes of code and tables
(``size``), bytes of a stream's state, instructions a step (``valgrind --tool=callgrind``), and time
a step. The sound is recordings of the data joined with pauses of noise, or made sounds without.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from speechcls.artifact.format import Artifact
from speechcls.artifact.store import load_artifact
from speechcls.audio.decode import read_clip
from speechcls.audio.samples import PCM, to_float, to_pcm
from speechcls.deployment.bundle import Request, facts_of, own_file
from speechcls.deployment.c_code import SOURCE, c_files
from speechcls.deployment.c_program import PROGRAM, compile_program, find_compiler, run_program
from speechcls.deployment.check import compare, made_clips
from speechcls.runtime.detection import Detector, Event, choose_thresholds
from speechcls.runtime.session import Probabilities
from speechcls.runtime.stream import Posteriors, PosteriorStream

_N_COUNTED = 25
"""Steps that instructions are counted over."""


def sound_of(artifact: Artifact, data: Path | None, minutes: float) -> PCM:
    """Return (n,) recordings in random order, each after a pause of noise of random level."""
    rate, rng = artifact.features.sample_rate, np.random.default_rng(0)
    n_wanted, n, parts = int(60 * minutes * rate), 0, []
    if data is None:
        clips = made_clips(artifact, max(2, round(60 * minutes / artifact.features.duration_s)))
        return clips.windows.reshape(-1)[:n_wanted]
    paths = sorted(path for path in data.rglob("*.*") if path.suffix in (".wav", ".flac"))
    while n < n_wanted:
        pause = 10 ** rng.uniform(-4, -1.5) * rng.standard_normal(int(rng.uniform(0.2, 2) * rate))
        clip = read_clip(str(paths[rng.integers(len(paths))]), rate)[: 3 * rate]
        parts += [to_pcm(pause.astype(np.float32)), to_pcm(clip)]
        n += len(pause) + len(clip)
    return np.concatenate(parts)[:n_wanted]


def events_of(artifact: Artifact, rows: Probabilities) -> list[Event]:
    """Return the events in posteriors (n_steps, n_labels)."""
    stream = PosteriorStream(artifact)
    detector = Detector(stream, choose_thresholds(artifact))
    times = stream.every_s * np.arange(1, 1 + len(rows), dtype=np.float64)
    return detector.push(Posteriors(times, rows)) + detector.finish()


def count_instructions(program: Path, samples: PCM, step: int) -> float:
    """Return the instructions of a step, as callgrind counts them on this processor."""
    counts = []
    for n_steps in (1, 1 + _N_COUNTED):
        command = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", str(program)]
        given = samples[: n_steps * step].tobytes()
        done = subprocess.run(command, input=given, capture_output=True, check=True)
        [count] = re.findall(rb"Collected : (\d+)", done.stderr)
        counts.append(int(count))
    return (counts[1] - counts[0]) / _N_COUNTED


def measure(artifact: Artifact, samples: PCM, is_int8: bool) -> dict[str, Any]:
    """Return the figures of one form in C."""
    target = "c-int8" if is_int8 else "c"
    facts = facts_of(Request(artifact, target, made_clips(artifact, 1), "size"))
    files = c_files(artifact, facts, is_int8) | {f"{PROGRAM}.c": own_file("run.c")}
    compiler = find_compiler()
    if compiler is None:
        raise SystemExit("no C compiler")
    stream = PosteriorStream(artifact)
    step = round(stream.every_s * stream.sample_rate)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        program = compile_program(files, folder, compiler)
        started = time.perf_counter()
        rows = run_program(program, samples)
        seconds = time.perf_counter() - started
        expected = stream.feed(to_float(samples)).probabilities
        agreement = compare(rows, expected)
        found, own = events_of(artifact, rows), events_of(artifact, expected)
        close = sum(
            any(e.label == o.label and abs(e.start_s - o.start_s) < 0.1 for o in own) for e in found
        )
        flags = ["-O2", "-std=c99", "-c"]
        subprocess.run([compiler, *flags, "-o", "model.o", SOURCE], cwd=folder, check=True)
        sizes = subprocess.run(
            ["size", "-A", "model.o"], cwd=folder, capture_output=True, text=True, check=True
        ).stdout
        sections: Counter[str] = Counter()
        for name, n in re.findall(r"^\.(\w+)\S*\s+(\d+)", sizes, re.M):
            sections[name] += int(n)
        state = subprocess.run([program, "state"], capture_output=True, check=True).stdout
        return {
            "target": target,
            "hours": round(len(samples) / stream.sample_rate / 3600, 3),
            "steps": len(rows),
            **agreement.to_dict(),
            "events": len(found),
            "events_of_the_model": len(own),
            "events_in_both": close,
            "code_bytes": sections["text"],
            "table_bytes": sections["rodata"] + sections["data"],
            "state_bytes": int(state),
            "instructions_a_step": round(count_instructions(program, samples, step)),
            "step_ms": 1e3 * step / stream.sample_rate,
            "ms_a_step": round(1e3 * seconds / len(rows), 3),
        }


def main() -> None:
    """Measure, and print one JSON object a line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("model")
    parser.add_argument("data", nargs="?", type=Path)
    parser.add_argument("--minutes", type=float, default=60)
    given = parser.parse_args()
    artifact = load_artifact(given.model)
    samples = sound_of(artifact, given.data, given.minutes)
    for is_int8 in (False, True):
        sys.stdout.write(json.dumps(measure(artifact, samples, is_int8)) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
