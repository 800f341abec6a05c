"""Lists in a folder: of the clips of a split, one on each line, and tables beside label folders."""

import codecs
import os
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from speechcls.errors import DatasetError
from speechcls.layouts.columns import as_number, match_columns
from speechcls.layouts.examples import SPLITS, Dataset, find_recordings
from speechcls.layouts.folders import looks_like_identifier
from speechcls.layouts.names import split_of_name
from speechcls.layouts.places import find_tables, locate, split_in_name, with_parents
from speechcls.layouts.tables import read_first_rows

_Parts = tuple[str, ...]
_CELL_END = re.compile(r"[,;\t]")
_ENDINGS = (".txt", ".csv", ".lst", ".list")


def find_split_lists(paths: Iterable[Path]) -> dict[Path, str]:
    """Return the split lists among files, as ``testing_list.txt``, and the split of each."""
    found = {}
    for path in paths:
        is_list = path.suffix.lower() in _ENDINGS and "list" in path.stem.casefold()
        if is_list and (split := split_of_name(path.stem)):
            found[path] = split
    # What is held out counts last, so that it wins over a list of what is for training.
    return dict(sorted(found.items(), key=lambda item: (SPLITS.index(item[1]), item[0])))


def apply_split_lists(dataset: Dataset, lists: dict[Path, str]) -> Dataset:
    """Return the data set split as its lists say: a clip that none names is for training.

    A line names a clip by the end of its path, with either kind of slash and whatever ending: lists
    name .wav even where files are .flac, and folders of the machine they were written on.

    Raises
    ------
    DatasetError
        When no line of a list names a clip.
    """
    if not lists:
        return dataset
    find = _ClipFinder(dataset)
    split_of: dict[int, str] = {}
    notes, warnings = list[str](), list[str]()
    for path, split in lists.items():
        lines = [line for line in _read_lines(path) if line]
        unmatched, n_named = list[str](), 0
        for line in lines:
            clips = find(line) or find(_CELL_END.split(line)[0].strip("\"' "))
            split_of |= dict.fromkeys(clips, split)
            n_named += len(clips)
            if not clips:
                unmatched.append(line)
        if not lines:
            warnings.append(f"{path}: is empty, so that it names no clip")
        elif len(unmatched) == len(lines):
            first = dataset.relative_name(dataset.examples[0].path) if dataset.examples else "none"
            raise DatasetError(
                f"{path}: none of its {len(lines)} lines names a clip: the first line is"
                f" {lines[0]!r}, the first clip {first!r}; correct the list"
            )
        elif unmatched:
            warnings.append(
                f"{path}: {len(unmatched)} of {len(lines)} lines name no clip, {unmatched[0]} first"
            )
        if n_named:
            named = "1 clip" if n_named == 1 else f"{n_named} clips"
            notes.append(f"{path}: names {named} for {split}")
    warnings = dataset.warnings + warnings
    if not split_of:
        return replace(dataset, warnings=warnings)
    examples = [
        replace(example, split=split_of.get(i, example.split or "train"))
        for i, example in enumerate(dataset.examples)
    ]
    return replace(dataset, examples=examples, notes=dataset.notes + notes, warnings=warnings)


def _read_lines(path: Path) -> list[str]:
    """Return the lines of a list."""
    content = path.read_bytes()
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        lines = content.decode("utf-16", "replace").splitlines()
    else:
        lines = os.fsdecode(content.removeprefix(codecs.BOM_UTF8)).splitlines()
    return [line.strip() for line in lines]


def _parts(name: str) -> _Parts:
    """Return the folders and the name without ending, in Unicode form C."""
    name = unicodedata.normalize("NFC", name.replace("\\", "/"))
    stem, _ = os.path.splitext(name)  # noqa: PTH122 - a fifth of the time
    return tuple(part for part in stem.split("/") if part not in ("", "."))


class _ClipFinder:
    """Finds the clips that the end of a path names.

    The name of the file alone is enough only where one of the two sides has no folder: the same
    speaker's takes of two words have one name.
    """

    def __init__(self, dataset: Dataset) -> None:
        self._clips = defaultdict[_Parts, list[int]](list)
        self._full = dict[_Parts, _Parts | None]()
        """What a path that ends so is in full; None: several."""
        above = os.path.join(dataset.root, "")  # noqa: PTH118
        for i, example in enumerate(dataset.examples):
            parts = _parts(os.fspath(example.path).removeprefix(above))
            self._clips[parts].append(i)  # several where only the endings differ
            for start in range(len(parts)):
                end = parts[start:]
                self._full[end] = parts if self._full.get(end, parts) == parts else None

    def __call__(self, line: str) -> list[int]:
        """Return the clips that a line names, none where that is not clear."""
        parts = _parts(line)
        for start in range(len(parts)):
            full = self._full.get(parts[start:])
            is_whole = len(parts) - start > 1 or len(parts) == 1 or full == parts[start:]
            if full and is_whole:
                return self._clips[full]
        return []


def _absolute(path: Path) -> str:
    return os.path.abspath(path)  # noqa: PTH100 - many of them: no link is resolved


def complete_by_list(root: Path, by_folders: Dataset, listed: Dataset, names: str) -> Dataset:
    """Return the clips of label folders with the speakers and splits that a list gives them."""
    known = {_absolute(e.path): e for e in listed.examples}
    examples, n_known = [], 0
    for example in by_folders.examples:
        row = known.get(_absolute(example.path))
        says_more = row is not None and row.label == example.label and (row.speaker or row.split)
        if row is not None and says_more:
            n_known += 1
            example = replace(
                example, speaker=row.speaker or example.speaker, split=row.split or example.split
            )
        examples.append(example)
    note = f"{root}: labels by the folders; {names} "
    note += f"gives {n_known} clips a speaker or a split" if n_known else "adds nothing to them"
    return replace(by_folders, examples=examples, notes=[*by_folders.notes, note])


def describe_unlisted(root: Path, listed: Dataset) -> list[str]:
    """Return a line about the recordings of a folder that its list does not name."""
    known = {_absolute(path) for path in (*(e.path for e in listed.examples), *listed.noise)}
    found = find_recordings(root, lambda problem: None)
    paths = [path for path in found if _absolute(path) not in known]
    if not paths:
        return []
    first = paths[0].relative_to(root)
    return [f"{root}: {len(paths)} recordings are in no list, and left out ({first} first)"]


def prefers_folders(root: Path, by_folders: Dataset, listed: Dataset, names: str) -> bool:
    """Return whether the folders of a data set tell its labels, and not the list ``names``.

    Raises
    ------
    DatasetError
        When both are possible and differ.
    """
    labels = {_absolute(e.path): e.label for e in by_folders.examples}
    both = [(labels.get(_absolute(e.path)), e) for e in listed.examples]
    if len({e.label for _, e in both}) < 2:
        return True
    if any(ours for ours, _ in both) and all(ours == e.label for ours, e in both if ours):
        return True
    if all(map(looks_like_identifier, labels.values())) or all(
        ours == e.speaker for ours, e in both
    ):
        return False
    differing = [(ours, e) for ours, e in both if ours not in (None, e.label)]
    if not differing:  # the list is of other clips
        raise DatasetError(
            f"{root}: {names} labels other clips than the folders do; name the list as the data"
            " set, or give the pattern {label}/{_} for the folders",
            field="pattern",
        )
    ours, example = differing[0]
    raise DatasetError(
        f"{root}: two readings: the label of {example.path.name} is {example.label} by {names},"
        f" {ours} by its folder; name the list as the data set, or give the pattern {{label}}/{{_}}"
        " for the folders",
        field="pattern",
    )


def find_unread_lists(folder: Path) -> list[str]:
    """Return a line for each table in a folder that names its recordings, but not as columns read.

    It says which columns the table has, and how to name them.
    """
    return [told for path in find_tables(folder) if (told := _describe_unread(path, folder))]


def _describe_unread(path: Path, folder: Path) -> str | None:
    """Return why a table that names recordings in ``folder`` is not read; None where it is."""
    try:
        table = read_first_rows(path)
    except DatasetError:  # of another kind
        return None
    try:
        match_columns(table, {})
    except DatasetError as error:
        fault = str(error).removeprefix("columns: ").removeprefix(f"{table.header}: ")
    else:
        return None
    rows = [table.columns, *table.rows[:100]]  # the first where nothing stands above the rows
    for i in range(len(table.columns)):
        texts = (str(row[i] or "").strip() for row in rows)
        names = [text for text in texts if text and as_number(text) is None]
        anchors = with_parents(path.parent, 1)
        if locate(names, anchors, split=split_in_name(path.stem)).is_any_in(folder):
            return f"{table.header}: names recordings but is not read: {fault}"
    return None
