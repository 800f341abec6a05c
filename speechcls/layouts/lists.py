"""The split lists of Speech Commands: files that name the clips of a split, one on each line."""

import codecs
import os
import unicodedata
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from speechcls.errors import DatasetError
from speechcls.layouts.examples import Dataset

_Parts = tuple[str, ...]
_LISTS = {"validation_list.txt": "validation", "testing_list.txt": "test"}


def find_split_lists(folders: Iterable[Path]) -> dict[Path, str]:
    """Return the split lists in any of ``folders``, and the split that each is of."""
    return {
        folder / name: split
        for folder in folders
        for name, split in _LISTS.items()
        if (folder / name).is_file()
    }


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
        lines = [line.strip() for line in _read_lines(path) if line.strip()]
        unmatched, n_named = list[str](), 0
        for line in lines:
            clips = find(line)
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
    text = path.read_bytes().removeprefix(codecs.BOM_UTF8)
    return os.fsdecode(text).splitlines()


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
