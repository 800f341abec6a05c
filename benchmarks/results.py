"""Train and measure all that ``docs/RESULTS.md`` shows: ``make results DATA=... BABBLE=...``.

Every run is one ``speechcls train`` whose command stands in ``docs/results.json`` with what came of
it. A run whose result stands there is not done again; several of these programs may run beside
each other.
"""

import argparse
import fcntl
import json
import os
import shlex
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from report import write_report
from stream_accuracy import accuracies, windows_of

from speechcls.artifact.format import ONNX
from speechcls.artifact.store import load_split
from speechcls.audio.decode import read_clip
from speechcls.data.examples import Dataset, Example
from speechcls.data.layouts import find_examples
from speechcls.data.splits import percentage
from speechcls.evaluation.score import evaluate
from speechcls.labels import NOISE_FOLDER, SILENCE, UNKNOWN, map_label
from speechcls.runtime.classifier import Classifier
from speechcls.runtime.session import open_session

COMMANDS = "yes,no,up,down,left,right,stop,go"
SEEDS = (0, 1, 2)
SNRS_DB = (0, 5, 10, 20)
N_VOICES = 20
"""Recordings of other words that sound together as babble."""
RARE = 50
"""Words with fewer clips than this are those that the runs of the zoo never hear."""
NEW_WORDS = ("bed", "cat", "four", "happy", "two")
N_NEW_CLIPS = 20

HERE = Path(__file__).parent
RESULTS = HERE.parent / "docs" / "results.json"
MODELS = HERE.parent / "build" / "results"


@dataclass(frozen=True)
class Run:
    """One model: where it stands in the report, and how it is trained."""

    table: str
    arch: str
    options: tuple[str, ...] = ()
    seed: int = 0
    data: str = "all"
    """``all``; ``frequent``, without the words that have few clips, to see what the model makes of
    new ones; ``old``, without ``NEW_WORDS``; or ``new``, few clips of these alone."""
    start: str = ""
    """Name of the run whose model it starts from."""

    @property
    def name(self) -> str:
        """The key in ``results.json``."""
        start = ["--from", "old"] if self.start else []
        data = [self.data] if self.table == "finetune" else []
        return " ".join([self.table, *data, self.arch, *self.options, *start, f"seed={self.seed}"])


SHORT = ("--size", "small", "--epochs", "12")
ZOO = [
    Run("zoo", arch, SHORT, data="frequent")
    for arch in (
        "rnn", "fastrnn", "lstm", "lstmp", "gru", "mingru", "birnn", "bilstm", "bigru", "crnn",
        "att-bigru", "att-bilstm",
    )
]  # fmt: skip
FULL = [
    Run("full", arch, options, seed)
    for seed in SEEDS
    for arch, options in (
        ("att-bigru", ("--size", "base")),
        ("att-bigru", ("--size", "small")),
        ("bc-resnet-3", ()),
        ("fastrnn", ("--size", "small")),
        ("gru", ("--size", "base")),
        ("lstm", ("--size", "base")),
        ("bigru", ("--size", "base")),
        ("bilstm", ("--size", "base")),
    )
]
BABBLE = [Run("babble", "att-bigru", ("--size", "base"), seed) for seed in SEEDS]
STREAM = [
    Run("stream", arch, ("--streaming", "--size", size, "--epochs", epochs))
    for arch, size, epochs in (("crnn", "small", "30"), ("gru", "base", "24"))
]
UNSEEN = [
    Run("unseen", "att-bigru", ("--size", size), data="frequent") for size in ("base", "small")
]
ABLATION = [
    Run("ablation", "att-bigru", SHORT + without)
    for without in (
        (),
        ("--speed-max", "0"),
        ("--shift-max", "0"),
        ("--noise-prob", "0"),
        ("--gain", "0"),
        ("--time-masks", "0", "--frequency-masks", "0"),
        ("--scramble-ratio", "0"),
        ("--label-smoothing", "0"),
        ("--ema-decay", "0"),
    )
]
BODY = Run("finetune", "att-bigru", SHORT, data="old")
FINETUNE = [
    BODY,
    *(
        Run("finetune", "att-bigru", ("--size", "small"), seed, "new", start)
        for start in ("", BODY.name)
        for seed in SEEDS
    ),
]
RUNS = [*BABBLE, *STREAM, *FULL, *UNSEEN, *FINETUNE, *ZOO, *ABLATION]


def main() -> None:
    """Do what is not done yet, then write the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="folder of Speech Commands")
    parser.add_argument("babble", type=Path, help="folder of the Free Spoken Digit Dataset")
    parser.add_argument("--only", default="", help="runs whose name holds this")
    arguments = parser.parse_args()
    for run in RUNS:
        has_start = not run.start or (place_of(run.start) / ONNX).is_file()
        if arguments.only in run.name and has_start:
            with claimed(run) as is_ours:
                if is_ours:
                    keep(run.name, measured(run, arguments.data, arguments.babble))
    write_report(json.loads(RESULTS.read_text()), RESULTS.with_name("RESULTS.md"))


@contextmanager
def claimed(run: Run) -> Iterator[bool]:
    """Whether this program is to do the run: neither done, nor being done by another."""
    MODELS.mkdir(parents=True, exist_ok=True)
    with (MODELS / f"{run.name}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
            return
        yield not RESULTS.exists() or run.name not in json.loads(RESULTS.read_text())


def place_of(name: str) -> Path:
    """Return the folder of the model of the run called ``name``."""
    return MODELS / name.replace(" ", "_")


def keep(name: str, result: dict[str, Any]) -> None:
    """Put one result into the file, whole."""
    with (MODELS / "results.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
        results[name] = result
        scratch = RESULTS.with_suffix(".tmp")
        scratch.write_text(json.dumps(dict(sorted(results.items())), indent=1) + "\n")
        scratch.replace(RESULTS)


def measured(run: Run, data: Path, babble: Path) -> dict[str, Any]:
    """Train one model and return everything that the report says of it."""
    place = place_of(run.name)
    noise = data / NOISE_FOLDER if run.data in ("frequent", "old") else None
    program = [str(Path(sys.executable).with_name("speechcls")), "train"]
    if run.arch.startswith("bc-resnet"):
        program = [sys.executable, str(HERE / "train_bcresnet.py"), "train"]
    everything = find_examples(data)
    source = data if run.data == "all" else write_manifest(run.data, everything)
    arguments = ["--arch", run.arch, *run.options, "--seed", str(run.seed)]
    if run.start:
        arguments = ["--from", str(place_of(run.start)), *arguments[-2:]]
    if run.data != "new":
        arguments = ["--commands", COMMANDS, *arguments]
    if noise:
        arguments += ["--noise", str(noise)]
    if not (place / ONNX).is_file():  # else trained, but not measured
        with (MODELS / f"{run.name}.log").open("w") as log:
            command = [*program, str(source), *arguments, "--out", str(place)]
            subprocess.run(command, stdout=log, stderr=log, check=True)
    classifier = Classifier.load(place)
    scores = evaluate(classifier, find_examples(source, noise=noise), "validation").scores
    about = json.loads((place / "metrics.json").read_text())
    command = [Path(program[-2]).name, "train", source.name, *arguments]
    places = {str(data): data.name, str(MODELS): "build/results"}  # not those of this machine
    for here, anywhere in places.items():
        command = [part.replace(here, anywhere) for part in command]
    result = {
        "command": shlex.join(command),
        "threads": os.environ.get("OMP_NUM_THREADS", "all"),
        "parameters": about["n_parameters"],
        "multiply_adds": about["multiply_adds"],
        "accuracy": scores.accuracy,
        "recall": dict(zip(scores.labels, [s.recall for s in scores.per_label], strict=True)),
        "in_babble": accuracy_in_babble(classifier, data, babble),
        "train_s": sum(epoch["duration_s"] for epoch in about["history"]),
        "epochs": len(about["history"]),
        "best_epoch": about["best_epoch"],
        "model_bytes": (place / ONNX).stat().st_size,
        "clip_ms": milliseconds_a_clip(classifier),
    }
    if run.table == "stream":
        _, result["stream_accuracy"] = accuracies(classifier, data)
    if run.data == "frequent":
        result["unseen_recall"] = recall_of_unseen(classifier, everything)
    return result


def rare_words(dataset: Dataset) -> set[str]:
    """Return the words with so few clips that training hardly misses them."""
    counts = Counter(example.label for example in dataset.examples)
    return {word for word, n in counts.items() if n < RARE}


def write_manifest(name: str, dataset: Dataset) -> Path:
    """List the clips of one of the parts that ``Run.data`` names, with speakers and splits."""
    rare, path = rare_words(dataset), MODELS / f"{name}.jsonl"
    lines, counts = [], Counter[str]()
    for example in sorted(dataset.examples, key=lambda e: percentage(str(e.speaker))):
        is_train = example.split in (None, "train")
        counts[example.label] += is_train
        is_wanted = {
            "frequent": example.label not in rare,
            "old": example.label not in NEW_WORDS,
            "new": example.label in NEW_WORDS
            and (not is_train or counts[example.label] <= N_NEW_CLIPS),
        }
        if is_wanted[name]:
            line = {
                "path": str(example.path.resolve()),
                "label": example.label,
                "speaker": example.speaker,
                "split": example.split or "train",
            }
            lines.append(json.dumps(line))
    scratch = path.with_suffix(f".{os.getpid()}")  # another program may be reading the old one
    scratch.write_text("\n".join(lines) + "\n")
    scratch.replace(path)
    return path


def recall_of_unseen(classifier: Classifier, dataset: Dataset) -> float:
    """Return the share of clips of words never heard that come out as ``_unknown_``."""
    rare = rare_words(dataset)
    unseen = [example for example in dataset.examples if example.label in rare]
    predicted = classifier.probabilities(windows_of(classifier, unseen)).argmax(axis=1)
    return float((predicted == classifier.labels.index(UNKNOWN)).mean())


def accuracy_in_babble(classifier: Classifier, data: Path, babble: Path) -> dict[str, float]:
    """Return the accuracy on validation words with many voices behind them, by ratio in dB.

    The voices are of another data set. Silence is left out, for it has no level.
    """
    rows = [r for r in load_split(classifier.artifact) if r.split == "validation"]
    rows = [row for row in rows if row.label != SILENCE]
    examples = [Example(data / row.path, row.label, None, None, 0.0, None, 1.0) for row in rows]
    windows = windows_of(classifier, examples)
    truth = np.array(
        [classifier.labels.index(str(map_label(row.label, classifier.labels))) for row in rows]
    )
    generator = np.random.default_rng(0)
    voices = [read_clip(path, classifier.sample_rate) for path in sorted(babble.rglob("*.wav"))]
    voices = [voice / np.sqrt(np.mean(voice**2)) for voice in voices]
    noise = np.zeros_like(windows)
    for clip in noise:
        for chosen in generator.integers(len(voices), size=N_VOICES):
            start = generator.integers(len(clip))
            voice = voices[chosen][: len(clip) - start]
            clip[start : start + len(voice)] += voice
    power, noise_power = (np.mean(x**2, axis=1, keepdims=True) for x in (windows, noise))
    accuracy = {}
    for snr_db in SNRS_DB:
        gain = np.sqrt(power / noise_power) / 10 ** (snr_db / 20)
        noisy = (windows + gain * noise).astype(np.float32)
        predicted = classifier.probabilities(noisy).argmax(axis=1)
        accuracy[str(snr_db)] = float((predicted == truth).mean())
    return accuracy


def milliseconds_a_clip(classifier: Classifier) -> float:
    """Return the median time of one clip from samples to probabilities on one thread."""
    session = open_session(classifier.artifact.path / ONNX)
    samples = np.zeros((1, classifier.artifact.features.n_samples), np.float32)
    times = []
    for _ in range(60):
        started = time.perf_counter()
        session.run(None, {"samples": samples})
        times.append(time.perf_counter() - started)
    return 1e3 * statistics.median(times[10:])


if __name__ == "__main__":
    main()
