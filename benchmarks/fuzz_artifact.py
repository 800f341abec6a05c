"""Load and run mutated models in every way, and count what goes wrong.

Usage: python benchmarks/fuzz_artifact.py --save FOLDER [--inputs 10000] [--seed 0] [--jobs 1]

Input number i, from ``--seed`` on, is always the same, so that a run goes on where another ended.
Wrong are: errors that are not an ``ArtifactError`` of one line that names the model, answers that
are no probabilities, anything that is printed, a crash or an endless loop of the process, and a
peak of memory above ``MEMORY_MAX``. What was done to each such input is saved. The exit status is 1
if there is any.
"""

import argparse
import os
import resource
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
from fuzz_audio import Fault, Report, Totals, memory, read_all, reset_peak
from fuzz_models import Model, make_seeds, mutate

from speechcls.artifact.calibration import load_calibration
from speechcls.artifact.snapshots import load_snapshots
from speechcls.artifact.store import load_artifact, load_split, load_weights, read_metrics
from speechcls.errors import ArtifactError
from speechcls.runtime.classifier import Classifier
from speechcls.runtime.streaming import StreamingClassifier
from speechcls.runtime.verify import verify

MEMORY_MAX = 2**31
"""Bytes that loading and running one model may take; a window of an hour is allowed."""
ADDRESS_SPACE = 10 * 2**30
"""Limit that keeps the machine alive; not what is measured."""


def classify(path: Path) -> None:
    """Predict two clips."""
    classifier = Classifier.load(path, jobs=1)
    n_samples = min(classifier.artifact.features.n_samples, 1_000_000)
    for samples in (np.zeros(n_samples, np.float32), np.full(n_samples, 0.3, np.float32)):
        values = classifier.predict(samples).probabilities.values()
        if not abs(sum(values) - 1) < 1e-3 or not all(0 <= value <= 1 for value in values):
            raise AssertionError("no probabilities")


def stream(path: Path) -> None:
    """Detect in two seconds of sound."""
    classifier = StreamingClassifier.load(path)
    noise = 0.1 * np.random.default_rng(0).standard_normal(32_000, dtype=np.float32)
    classifier.feed(noise)
    classifier.finish()


def tables(path: Path) -> None:
    """Read what a model's folder holds besides."""
    artifact = load_artifact(path)
    for read in (load_weights, load_split, load_calibration, load_snapshots):
        try:
            read(artifact)
        except ArtifactError as error:
            check_message(error, path)
    read_metrics(path, required=True)


def check_all(path: Path) -> None:
    """Verify it."""
    for finding in verify(path):
        if finding.problem:
            check_message(finding.problem, path)


READERS: tuple[Callable[[Path], None], ...] = (classify, stream, tables, check_all)


def check_message(error: ArtifactError, path: Path) -> None:
    """Refuse a message of several lines, or without the model's name."""
    if not str(error).startswith(str(path)) or "\n" in str(error):
        raise AssertionError(f"message: {str(error)[:100]!r}")


def main() -> None:
    """Load all models; exit with 1 if anything went wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--save", type=Path, required=True, help="folder of what went wrong")
    parser.add_argument("--inputs", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0, help="number of the first input")
    parser.add_argument("--jobs", type=int, default=1)
    arguments = parser.parse_args()
    arguments.save.mkdir(parents=True, exist_ok=True)
    seeds, totals = make_seeds(), Totals(len(READERS), ArtifactError.__name__)
    indices = range(arguments.seed, arguments.seed + arguments.inputs)
    try:
        for report in read_all(indices, seeds, arguments.jobs, load_range):
            totals.add(report)
            if report.faults:
                save(report, seeds, arguments.save)
    except KeyboardInterrupt:
        print("stopped before the end", file=sys.stderr)
    print(totals.text())
    sys.exit(1 if totals.faults else 0)


def save(report: Report, seeds: tuple[Model, ...], folder: Path) -> None:
    """Keep an input, and what went wrong with it."""
    place = folder / str(report.number)
    history = mutate(report.number, seeds, place)
    with (folder / "faults.tsv").open("a") as file:
        for fault in report.faults:
            file.write("\t".join([str(report.number), *fault, history]) + "\n")


def load_range(sender: Connection, indices: range, seeds: tuple[Model, ...]) -> None:
    """Send a report of each input."""
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with tempfile.TemporaryDirectory() as name, tempfile.TemporaryFile() as printed:
        os.dup2(printed.fileno(), 1)
        os.dup2(printed.fileno(), 2)
        path = Path(name) / "model"
        for index in indices:
            mutate(index, seeds, path)
            faults, peaks, times, n_read = [], [0], [0.0], 0
            for reader in READERS:
                before, started = reset_peak(), time.process_time()
                fault = attempt(reader, path)
                times.append(time.process_time() - started)
                peaks.append(memory("VmHWM") - before)
                n_read += fault is None
                if fault and fault[0]:
                    faults.append(Fault(fault[0], reader.__name__, fault[1]))
                if peaks[-1] > MEMORY_MAX:
                    faults.append(Fault("memory", reader.__name__, "above the limit"))
                if printed.tell():
                    printed.seek(0)
                    text = printed.read().decode(errors="replace")
                    faults.append(Fault("printed", reader.__name__, text[:100].replace("\n", " ")))
                    printed.seek(0)
                    printed.truncate()
            n_refused = len(READERS) - n_read - len(faults)
            sender.send(
                Report(index, tuple(faults), max(peaks), max(times), n_read, max(0, n_refused))
            )
            shutil.rmtree(path)


def attempt(reader: Callable[[Path], None], path: Path) -> tuple[str, str] | None:
    """Return what went wrong; None where nothing did, and an empty kind where it was refused."""
    try:
        reader(path)
    except ArtifactError as error:
        try:
            check_message(error, path)
        except AssertionError as fault:
            return "message", str(fault).replace(str(path), "MODEL")
        return "", ""
    except Exception as error:  # the very thing that is looked for
        frame = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{Path(frame.filename).name}:{frame.lineno} {frame.name} {str(error)[:60]}"
        return type(error).__name__, where.replace("\n", " ")
    return None


if __name__ == "__main__":
    main()
