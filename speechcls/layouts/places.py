"""Where manifests are, and where their recordings: one folder for all rows, found by looking."""

import os
import random
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from speechcls.audio.sniff import SUFFIXES
from speechcls.layouts.names import split_of_name

SUBFOLDERS = ("", "audio", "clips", "wav", "wavs", "recordings", "data")
"""Where recordings are below the folder of their manifest or below its parent, by preference."""
_WORDS = frozenset({"audio", "audios", "clip", "clips", "wav", "wavs", "wave", "waves", "data"}) | {
    *("recording", "recordings", "sound", "sounds")
}
"""Parts of the names of further folders that are tried, as of ``FSDKaggle2018.audio_train``."""
_ENDINGS = (".wav", ".flac", ".mp3", ".ogg")
"""What a name without ending may stand for, by preference."""
_N_SAMPLE = 5000
_FOUND_SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson", ".json", ".parquet", ".tar")
"""Endings of tables that are searched for, by preference; a text file is mostly none."""
_LIST_FOLDERS = frozenset({"meta", "metadata", "data", "lists", "manifests", "annotations"}) | {
    *("splits", "labels", "default")
}
"""Words in the names of folders in which a data set has its lists."""
_REJECTED = frozenset({"invalidated", "other", "reported"})
"""Lists of clips that Common Voice's reviewers did not accept."""
_VALIDATION = frozenset({"val", "valid", "validation", "dev", "development"})
_EVALUATION = frozenset({"eval", "evaluation"})


@dataclass
class Located:
    """The recordings of a manifest's rows, and how they were found."""

    paths: list[Path | None]
    """One for each row; None: there is no such file."""
    base: Path
    """What the names are relative to."""
    stripped: str = ""
    """Leading folders that were left out of the names, as most of them have them."""
    looked_in: list[Path] = field(default_factory=list)
    """Every folder that was tried."""

    @property
    def n_found(self) -> int:
        """How many rows have a recording."""
        return sum(path is not None for path in self.paths)

    def is_any_in(self, folder: Path) -> bool:
        """Whether a recording is in a folder, or in one below it."""
        inside = folder.resolve()
        return any(path and path.resolve().is_relative_to(inside) for path in self.paths)


def words_of(name: str) -> list[str]:
    """Return the runs of letters in a file's or folder's name, in lower case."""
    return re.findall(r"[^\W\d_]+", name.casefold())


def split_in_name(name: str) -> str | None:
    """Return the split that one of the words of a name stands for; None where none does.

    ``test`` comes before all, then the last: ``cv-valid-train`` is for training.
    """
    splits = [split for word in words_of(name) if (split := split_of_name(word))]
    return "test" if "test" in splits else splits[-1] if splits else None


def splits_of_names(
    names: Iterable[str], split_of: Callable[[str], str | None] = split_in_name
) -> dict[str, str | None]:
    """Return the split that each of several names side by side stands for; None where none does.

    ``eval`` validates, but beside ``dev`` or ``val`` it tests.
    """
    splits = {name: split_of(name) for name in {*names}}
    words = {name: {*words_of(name)} for name, split in splits.items() if split == "validation"}
    if any(each & _VALIDATION for each in words.values()):
        splits |= {name: "test" for name, each in words.items() if not each & _VALIDATION}
    return splits


def split_folders(names: Sequence[str]) -> list[str]:
    """Return the folder in each path that is named for its split; empty where that is unclear.

    They are at one level of all paths, and for more than one split.
    """
    folders = [name.replace("\\", "/").split("/")[:-1] for name in names]
    n_levels = min(map(len, folders), default=0)
    levels = [[parts[level] for parts in folders] for level in range(n_levels)]
    splits = [{split_of_name(name) for name in {*level}} for level in levels]
    found = [
        level
        for level, each in zip(levels, splits, strict=True)
        if None not in each and len({*splits_of_names(level, split_of_name).values()}) > 1
    ]
    return found[0] if len(found) == 1 else []


def with_parents(folder: Path, n_parents: int) -> list[Path]:
    """Return a folder and those above it."""
    folders = [folder]
    for _ in range(n_parents):
        last = folders[-1]
        folders.append(last / ".." if last.name in ("", "..") else last.parent)
    return folders


def locate(
    names: Sequence[str],
    anchors: Sequence[Path],
    folds: Sequence[str] | None = None,
    split: str | None = None,
    prefer: str = "",
) -> Located:
    """Return the recordings that ``names`` stand for, all relative to one folder.

    It is the first of ``anchors`` if that has them all; else the one that has most among the
    anchors and their ``SUBFOLDERS``. Where names with fewer leading folders have more, those count:
    a manifest may come from another machine.

    Parameters
    ----------
    names : of recordings, relative or absolute, with either kind of slash
    anchors : folders to look below, by preference
    folds : number of the fold of each, where recordings may be in ``fold1``, ``fold2``, ...
    split : of all recordings; folders of that name are preferred
    prefer : name of the sub-folder to try first
    """
    folders = Folders()
    bases = list(_bases(folders, anchors, split, prefer))
    best = _Candidate(bases[0], [None] * len(names))
    for base in bases:
        for in_folds in (False, True) if folds else (False,):

            def find(i: int, base: str = base, in_folds: bool = in_folds) -> str | None:
                place = f"{base}/fold{folds[i]}" if folds and in_folds else base
                return folders.find(place, names[i])

            if best.n_found < len(names) and any(map(find, _sample(range(len(names))))):
                best = max(
                    (best, _Candidate(base, [find(i) for i in range(len(names))])),
                    key=lambda candidate: candidate.n_found,
                )
    is_here = any(path and _is_absolute(n) for path, n in zip(best.paths, names, strict=True))
    if best.n_found < len(names) and not is_here:
        others = [_find_without_leading(folders, each.as_posix(), names) for each in anchors]
        best = max((best, *others), key=lambda candidate: candidate.n_found)
    # What a listing does not have may still be there: folders that may be opened and not listed,
    # and file systems that take YES for yes.
    paths = [
        Path(path) if path else _existing(Path(best.base), name)
        for path, name in zip(best.paths, names, strict=True)
    ]
    return Located(paths, Path(best.base), best.stripped, [Path(base) for base in bases])


@dataclass
class _Candidate:
    """What is found below one folder; fields as those of ``Located``."""

    base: str
    paths: list[str | None]
    stripped: str = ""

    @property
    def n_found(self) -> int:
        return len(self.paths) - self.paths.count(None)


def _sample(rows: Sequence[int]) -> Sequence[int]:
    """Return the rows that are tried before all are."""
    return random.Random(0).sample(rows, min(len(rows), _N_SAMPLE))


def _bases(
    folders: "Folders", anchors: Sequence[Path], split: str | None, prefer: str
) -> Iterator[str]:
    """Yield the folders that names may be relative to, by preference."""

    def rank(name: str) -> tuple[bool, int, bool, str]:
        known = name.casefold() in SUBFOLDERS
        place = SUBFOLDERS.index(name.casefold()) if known else len(SUBFOLDERS)
        return name.casefold() != prefer, place, split_in_name(name) != split, name

    for anchor in anchors:
        place = anchor.as_posix()
        names = [
            name
            for name in folders.folders_in(place)
            if not name.startswith(".") and (_WORDS & {*words_of(name)} or split_in_name(name))
        ]
        below = [f"{place}/{name}" for name in sorted(names, key=rank)]
        yield from (*below, place) if prefer else (place, *below)


def _find_without_leading(folders: "Folders", base: str, names: Sequence[str]) -> _Candidate:
    """Return the recordings below ``base`` after leading folders of their names are left out.

    As few as possible are left out; names that begin alike lose the same ones, and two names never
    become one.
    """
    parts = [tuple(name.replace("\\", "/").split("/")) for name in names]
    found: list[str | None] = [None] * len(names)
    example, pending = "", list(range(len(names)))

    def hits_of(rows: Sequence[int], depth: int) -> dict[int, str]:
        below = (i for i in rows if len(parts[i]) > depth)
        paths = {i: folders.find(base, "/".join(parts[i][depth:]), is_below=True) for i in below}
        return {i: path for i, path in paths.items() if path}

    while pending:
        sample = _sample(pending)
        best: dict[int, str] = {}
        best_depth = 0
        for depth in range(1, max(len(parts[i]) for i in sample)):
            hits = hits_of(pending, depth) if hits_of(sample, depth) else {}
            are_distinct = len({*hits.values()}) == len({parts[i] for i in hits})
            if len(hits) > len(best) and are_distinct:
                best, best_depth = hits, depth
        if not best:
            break
        for i, path in best.items():
            found[i] = path
        example = example or "/".join(parts[min(best)][:best_depth]) + "/"
        stripped = {parts[i][:best_depth] for i in best}
        pending = [i for i in pending if parts[i][:best_depth] not in stripped]
    return _Candidate(base, found, example)


def _is_absolute(name: str) -> bool:
    has_drive = name[1:2] == ":" and name[:1].isalpha() and name[2:3] in ("/", "\\")
    return name.startswith(("/", "\\")) or has_drive


def _existing(base: Path, name: str) -> Path | None:
    try:
        path = base / name
        return path if path.is_file() else None
    except (OSError, ValueError):  # a name that no file can have
        return None


def describe_missing(name: str, places: Sequence[Path]) -> str:
    """Return what to do about the name of a recording that is in none of ``places``."""
    plain = name.strip().replace("\\", "/")
    if folder := next((place / plain for place in places if (place / plain).is_dir()), None):
        return f"{folder} is a folder; name each recording in it"
    tail = plain.rpartition("/")[2].casefold()
    below = {child for place in places[:1] for child in _below(place) if child.is_file()}
    if near := sorted(
        path for path in below if tail in (path.name.casefold(), path.stem.casefold())
    ):
        if len(near) == 1:
            return f"there is {near[0]}; name it so, with its folders and in the same capitals"
        return f"there are {near[0]} and {near[1]}; write the folder of each before its name"
    return "name the folder that their paths are relative to"


def _below(place: Path) -> list[Path]:
    """Return what is in a folder and in those in it; nothing where it cannot be listed."""
    try:
        return [*place.glob("*"), *place.glob("*/*")]
    except OSError:
        return []


class Folders:
    """The names in folders, each listed once: a hundred thousand rows take a second.

    Names that differ only in Unicode form are one.
    """

    def __init__(self) -> None:
        self._listings: dict[str, _Listing | None] = {}

    def folders_in(self, folder: str) -> list[str]:
        """Return the names of the folders in a folder, sorted; none where it cannot be listed."""
        listing = self._list(folder)
        return sorted({*listing.folders.values()}) if listing else []

    def find(self, folder: str, name: str, is_below: bool = False) -> str | None:
        """Return the path of the recording called ``name``; None where there is none.

        Parameters
        ----------
        name : relative to ``folder`` or absolute, perhaps with backslashes, blanks around it,
            without its ending or with that of another format
        is_below : it is relative, whatever it begins with
        """
        if path := self._find(folder, name, is_below):
            return path
        plain = name.strip().replace("\\", "/")
        return self._find(folder, plain, is_below) if plain != name else None

    def _find(self, folder: str, name: str, is_below: bool) -> str | None:
        head, slash, tail = name.rpartition("/")
        if slash and not is_below and _is_absolute(name):
            folder = head or "/"
        elif slash:
            folder = f"{folder}/{head}"
        if not tail or not (listing := self._list(folder)):
            return None
        file = listing.file(tail)
        if file is None:
            stem, ending = os.path.splitext(tail)  # noqa: PTH122
            if ending.lower() not in SUFFIXES:
                stem = tail
            file = next((f for end in _ENDINGS if (f := listing.file(stem + end))), None)
        return None if file is None else f"{listing.path}/{file}"

    def _list(self, folder: str) -> "_Listing | None":
        if folder not in self._listings:
            self._listings[folder] = self._read(folder)
        return self._listings[folder]

    def _read(self, folder: str) -> "_Listing | None":
        try:
            return _Listing(folder)
        except (OSError, ValueError):  # missing, closed, or a name that no folder can have
            parent, slash, name = folder.rpartition("/")
        # It may be there under another Unicode form.
        above = self._list(parent) if slash and parent and not folder.isascii() else None
        known = above.folders.get(_normalise(name)) if above else None
        there = f"{above.path}/{known}" if above and known else folder
        return self._list(there) if there != folder else None


class _Listing:
    """The files and folders in a folder, by their names and by the Unicode form C of these."""

    def __init__(self, path: str) -> None:
        self.path = path.rstrip("/")
        self.files: dict[str, str] = {}
        self.folders: dict[str, str] = {}
        with os.scandir(path) as entries:
            for entry in entries:
                try:
                    names = self.files if entry.is_file() else self.folders
                    if names is self.files or entry.is_dir():
                        names.setdefault(_normalise(entry.name), entry.name)
                        names[entry.name] = entry.name
                except OSError:  # a link that leads to itself
                    continue

    def file(self, name: str) -> str | None:
        """Return the name of a file as it is on disk; None where there is none."""
        return self.files.get(name) or self.files.get(_normalise(name))


def _normalise(name: str) -> str:
    return name if name.isascii() else unicodedata.normalize("NFC", name)


# Tables in a folder


def find_tables(folder: Path) -> list[Path]:
    """Return the files in a data set's folder that may be tables, one of each name.

    They are in the folder itself, in one for lists (``meta``, ``data``, ...) or in one for each
    split.
    """
    found: dict[tuple[Path, str], Path] = {}
    for path in _lists_in(folder, 2):
        known = found.setdefault((path.parent, path.stem), path)
        if _FOUND_SUFFIXES.index(path.suffix.lower()) < _FOUND_SUFFIXES.index(known.suffix.lower()):
            found[path.parent, path.stem] = path
    return [*found.values()]


def _lists_in(folder: Path, depth: int) -> Iterable[Path]:
    try:
        entries = sorted(folder.iterdir())
    except OSError:  # it is reported where recordings are searched
        return
    for path in entries:
        if path.name.startswith(".") or path.stem.casefold() in _REJECTED:
            continue
        if path.suffix.lower() in _FOUND_SUFFIXES and path.is_file():
            yield path
        elif (
            depth
            and (_LIST_FOLDERS & {*words_of(path.name)} or split_in_name(path.name))
            and path.is_dir()
        ):
            yield from _lists_in(path, depth - 1)
