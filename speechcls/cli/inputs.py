"""Inputs of commands: stdin, the model, a data set."""

import os
from collections.abc import Callable, Iterator
from io import BufferedReader, BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from speechcls.cli.data_options import announce
from speechcls.cli.messages import Messages
from speechcls.cli.progress import item_bar
from speechcls.config import DEFAULT_MODEL
from speechcls.errors import ConfigError, DatasetError
from speechcls.storage.places import SHARDS, is_address, is_mirrored
from speechcls.text import without_credentials

if TYPE_CHECKING:
    from speechcls.artifact.format import Artifact
    from speechcls.data.clips import ClipStore
    from speechcls.errors import AudioError
    from speechcls.layouts.examples import Dataset
    from speechcls.lists.clip_list import ClipList
    from speechcls.storage.ahead import Member


def open_stdin() -> BufferedReader:
    """Open stdin beside ``sys.stdin``, whose lock Python waits for at its end, after Ctrl-C too."""
    return open(0, "rb", closefd=False)


def open_clip(name: str) -> str | BytesIO:
    """Return the path of a recording, or all of stdin for ``-``, or of what is at an address."""
    if is_address(name):
        from speechcls.storage.addresses import read_address

        return BytesIO(read_address(name))
    if name != "-":
        return name
    with open_stdin() as stdin:
        return BytesIO(stdin.read())


def bring_input(path: Path) -> Path:
    """Return a file that is read, once it has been fetched where it lies elsewhere.

    Raises
    ------
    StorageError
        When it cannot be fetched.
    """
    if not is_mirrored(path):
        return path
    from speechcls.storage.mirror import bring_file

    return bring_file(path)


def read_shard(name: str) -> "Iterator[Member | DatasetError]":
    """Yield each recording in a shard, here or at an address, and an error for what is missing.

    Raises
    ------
    DatasetError
        When it cannot be read, or holds no recordings.
    """
    from speechcls.layouts.tables import read_table
    from speechcls.storage.ahead import Member
    from speechcls.storage.mirror import bring_file
    from speechcls.storage.places import local_path

    table = read_table(bring_file(local_path(name)))
    if table.embedded is None:
        raise DatasetError(f"{name}: holds no recordings; name them, or a list of their paths")
    column = table.columns.index(table.embedded)
    for row in table.rows:
        local = Path(row[column] or "")
        yield Member(f"{without_credentials(name)}/{local.name}", str(local))
    yield from map(DatasetError, table.problems)


def expand_shards(recordings: list[str], on_problem: Callable[[str], None]) -> Iterator[str]:
    """Yield each recording, also those in shards, of which some may be missing."""
    for name in recordings:
        if not name.lower().endswith(SHARDS):
            yield name
            continue
        for each in read_shard(name):
            if isinstance(each, DatasetError):
                on_problem(str(each))
            else:
                yield each


def listed_paths(
    files_from: str, is_null: bool, messages: Messages
) -> "Iterator[str | AudioError]":
    """Yield the paths in a list as they come in, from stdin for ``-``; an error for a row without.

    Paths are as they are written, but those relative to a list at an address are addresses.
    """
    from speechcls.lists.clip_list import no_path

    if files_from == "-":
        from speechcls.lists.forms import text_paths

        with open_stdin() as file:
            yield from text_paths(file, "\0" if is_null else "\n", files_from, "--null")
        return
    if os.path.exists(files_from) and Path(files_from).is_fifo():  # noqa: PTH110 - pathlib's raises
        messages.note(f"{files_from}: a pipe; waiting for what writes paths into it")
    clips = open_list(files_from, is_null, messages)
    is_elsewhere = is_address(files_from)
    for path in clips.paths("--null"):
        yield (clips.resolve(path) if is_elsewhere else path) if path else no_path(clips.name)


def open_list(files_from: str, is_null: bool, messages: Messages) -> "ClipList":
    """Return a list of recordings; print what is left out of a folder of lists."""
    from speechcls.lists.clip_list import ClipList

    clips = ClipList.at(files_from, is_null)
    if is_null and not clips.is_text:
        raise ConfigError(
            f"has no effect on {clips.name}, whose rows are those of a table", field="null"
        )
    if clips.n_others:
        others = "1 other file is" if clips.n_others == 1 else f"{clips.n_others} other files are"
        messages.note(f"{clips.name}: {len(clips.files)} lists; {others} left out")
    return clips


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
