"""Inputs of commands: stdin, the model, a data set."""

import os
from collections.abc import Iterator
from io import BufferedReader, BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from speechcls.cli.data_options import announce
from speechcls.cli.messages import Messages
from speechcls.cli.progress import item_bar
from speechcls.config import DEFAULT_MODEL

if TYPE_CHECKING:
    from speechcls.artifact.format import Artifact
    from speechcls.data.clips import ClipStore
    from speechcls.layouts.examples import Dataset


def open_stdin() -> BufferedReader:
    """Open stdin beside ``sys.stdin``, whose lock Python waits for at its end, after Ctrl-C too."""
    return open(0, "rb", closefd=False)


def open_clip(name: str) -> str | BytesIO:
    """Return the path of a recording, or all of stdin for ``-``."""
    if name != "-":
        return name
    with open_stdin() as stdin:
        return BytesIO(stdin.read())


def listed_paths(files_from: str, is_null: bool, messages: Messages) -> Iterator[str]:
    """Yield the paths in a list of text as they come in, from stdin for ``-``."""
    from speechcls.cluster.clip_list import text_paths

    if os.path.exists(files_from) and Path(files_from).is_fifo():  # noqa: PTH110 - pathlib's raises
        messages.note(f"{files_from}: a pipe; waiting for what writes paths into it")
    with open_stdin() if files_from == "-" else Path(files_from).open("rb") as file:
        yield from text_paths(file, "\0" if is_null else "\n", files_from, "--null")


def find_model(named: Path | None, messages: Messages, default: str = DEFAULT_MODEL) -> Path:
    """Return the folder of the model to use; print which one it is and why.

    Parameters
    ----------
    default : name of the one that comes with speechcls to use where there is no other
    """
    from speechcls.artifact.lookup import find_artifact

    path, how = find_artifact(named, default)
    messages.note(f"model {path} ({how})")
    return path


def describe_rejection(artifact: "Artifact", threshold: float | None = None) -> str:
    """Return what a model does with sounds that are none of its words."""
    from speechcls.artifact.calibration import load_calibration
    from speechcls.labels import UNKNOWN

    calibration = load_calibration(artifact)
    if calibration is None and UNKNOWN not in artifact.labels:
        return "the model knows no other sounds and may take any for a word"
    if threshold is not None or calibration is None:
        return "how often it takes other sounds for a word is not known; calibrate measures it"
    sound, n_alarms = 60 * calibration.hours, calibration.false_alarms
    length = f"{sound:.0f} minutes" if sound < 120 else f"{calibration.hours:.0f} hours"
    words = "1 was taken for a word" if n_alarms == 1 else f"{n_alarms} were taken for a word"
    rate, most = n_alarms / calibration.hours, calibration.upper_fa_per_hour
    return (
        f"of the sounds in {length} without its words, {words} ({rate:.1f} an hour; it may be up"
        f" to {most:.0f})"
    )


def read_store(
    dataset: "Dataset", sample_rate: int, jobs: int | None, messages: Messages
) -> "ClipStore":
    """Return the decoded clips of a data set; report those that cannot be read."""
    from speechcls.data.packing import open_store
    from speechcls.parallel import default_jobs

    announce(dataset, messages)
    n_jobs = jobs or default_jobs()
    with item_bar(messages, "reading", len(dataset.examples)) as on_clip:
        store = open_store(dataset.root, dataset.examples, sample_rate, n_jobs, on_clip)
    messages.errors(dataset.problems + store.bad)
    return store
