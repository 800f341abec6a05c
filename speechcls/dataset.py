"""Which recordings there are, what is said in each, and by whom: every layout becomes Examples."""

import codecs
import csv
import json
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from speechcls.audio import SUFFIXES
from speechcls.config import SCRAMBLED, UNCERTAIN
from speechcls.errors import DatasetError

NOISE_FOLDER = "_background_noise_"
SPLITS = ("train", "validation", "test")
MANIFEST_SUFFIXES = (".csv", ".tsv", ".jsonl")

_SPLIT_LISTS = {"validation_list.txt": "validation", "testing_list.txt": "test"}
_SPEAKER_END = "_nohash_"  # Speech Commands: <speaker>_nohash_<take>.wav
_FIELDS = ("label", "speaker", "take", "_")
_COLUMNS = ("path", "label", "speaker", "split", "start_s", "end_s")


@dataclass(frozen=True)
class Example:
    """One clip: a recording or a part of one, and what is known about it before it is read."""

    path: Path
    label: str
    """The word as the data names it."""
    speaker: str | None = None
    split: str | None = None
    """``train``, ``validation`` or ``test`` where the data itself says so."""
    start_s: float = 0.0
    end_s: float | None = None
    gain: float = 1.0
    """Factor on the samples; only cuts of background noise have another than 1."""


@dataclass
class Dataset:
    """What was found in a folder or manifest."""

    root: Path
    """The folder that file names are given relative to."""
    examples: list[Example] = field(default_factory=list)
    noise: list[Path] = field(default_factory=list)
    """Recordings of background sound."""
    empty_labels: list[str] = field(default_factory=list)
    """Label folders without a recording."""
    problems: list[str] = field(default_factory=list)
    """One line for each clip that was named or found but cannot be an example."""
    manifest: Path | None = None
    """The file that names the clips, if one does."""

    @property
    def source(self) -> Path:
        """What the data set was read from: a manifest, else the folder."""
        return self.manifest or self.root

    @property
    def title(self) -> str:
        """Name of the manifest without its ending, else of the folder."""
        return self.manifest.stem if self.manifest else self.root.resolve().name

    def name_of(self, path: Path) -> str:
        """Return ``path`` relative to the root with forward slashes, whole if it lies elsewhere."""
        if path.is_relative_to(self.root):
            path = path.relative_to(self.root)
        return path.as_posix()


def find_examples(source: Path, pattern: str | None = None, noise: Path | None = None) -> Dataset:
    """Return every clip of a data set, in a stable order, without opening the recordings.

    Parameters
    ----------
    source : a folder (a sub-folder a label, Speech Commands, or flat with ``pattern``) or a
        manifest (.csv, .tsv or .jsonl)
    pattern : what file names mean, as ``{label}_{speaker}_{take}``; ``{_}`` matches anything, and
        each ``/`` in it takes in one more parent folder
    noise : a folder of background recordings beside those in ``_background_noise_``

    Raises
    ------
    DatasetError
        When nothing is found, or a manifest cannot be understood.
    """
    if source.is_dir():
        dataset = _find_in_folder(source, pattern)
    elif source.suffix.lower() in MANIFEST_SUFFIXES and source.is_file():
        dataset = _read_manifest(source)
    elif source.exists():
        raise DatasetError(
            f"{source}: neither a folder nor a manifest; name one that ends in .csv, .tsv or .jsonl"
        )
    else:
        raise DatasetError(f"{source}: no such folder or manifest; check the path")
    if not dataset.examples:
        help_ = "" if dataset.problems else _LAYOUT_HELP
        raise DatasetError(f"{source}: no clip found{help_}", dataset.problems[:5])
    if reserved := [e for e in dataset.examples if e.label in (SCRAMBLED, UNCERTAIN)]:
        first = reserved[0]
        raise DatasetError(f"{first.path}: the label {first.label} is reserved; rename it")
    if noise is not None:
        if not noise.is_dir():
            raise DatasetError(f"{noise}: no such folder of background noise")
        if not (found := list(find_recordings(noise))):
            raise DatasetError(f"{noise}: no recording of background noise in it")
        dataset.noise += found
    return dataset


_LAYOUT_HELP = (
    "; put the clips into one sub-folder a word (data/yes/1.wav), or say what flat file names mean"
    " with --pattern '{label}_{speaker}_{take}', or name a manifest with columns path,label"
)


def _refuse(problem: DatasetError) -> None:
    raise problem


def find_recordings(
    folder: Path, on_problem: Callable[[DatasetError], None] = _refuse
) -> Iterator[Path]:
    """Yield the audio files under ``folder`` in sorted order, leaving out hidden ones.

    ``on_problem`` is told of a folder that cannot be listed; by default that ends the search.
    """

    def report(error: OSError) -> None:
        reason = (error.strerror or str(error)).lower()
        on_problem(
            DatasetError(f"{error.filename}: {reason}; change its permissions or leave it out")
        )

    for parent, folders, files in os.walk(folder, followlinks=True, onerror=report):
        inside = os.path.join(os.path.realpath(parent), "")  # noqa: PTH118
        folders[:] = sorted(
            name
            for name in folders
            # A link to a folder above would never end.
            if _is_wanted(name)
            and not inside.startswith(f"{os.path.realpath(Path(parent, name))}/")
        )
        for name in sorted(files):
            if _is_wanted(name) and Path(name).suffix.lower() in SUFFIXES:
                path = Path(parent, name)
                if path.is_fifo():  # who opens it may wait for ever
                    on_problem(DatasetError(f"{path}: a pipe, not a recording; remove it"))
                else:
                    yield path


def _is_wanted(name: str) -> bool:
    return not name.startswith(".") and name not in (NOISE_FOLDER, "__MACOSX")


def _find_in_folder(root: Path, pattern: str | None) -> Dataset:
    dataset = Dataset(root)
    if (root / NOISE_FOLDER).is_dir():
        dataset.noise = list(find_recordings(root / NOISE_FOLDER))
    official = _read_split_lists(root)
    match_name = _NameMatcher(pattern) if pattern else None
    for path in find_recordings(root, lambda problem: dataset.problems.append(str(problem))):
        parts = path.relative_to(root).with_suffix("").parts
        label = parts[0] if len(parts) > 1 else None
        before, separator, _ = path.name.partition(_SPEAKER_END)
        speaker = before if separator and before else None
        if match_name:
            if not (match := match_name(parts)):
                dataset.problems.append(f"{path}: does not match the pattern {pattern}")
                continue
            label, speaker = match.get("label", label), match.get("speaker", speaker)
        if label is None:
            dataset.problems.append(f"{path}: not in a label folder{_LAYOUT_HELP}")
            continue
        split = official.get("/".join(parts), "train") if official else None
        dataset.examples.append(Example(path, label, speaker, split))
    labels = {example.label for example in dataset.examples}
    if not pattern:
        folders = {path.name for path in root.iterdir() if path.is_dir() and _is_wanted(path.name)}
        dataset.empty_labels = sorted(folders - labels)
    return dataset


def _read_split_lists(root: Path) -> dict[str, str]:
    """Return the split by name without ending (lists name .wav even where files are .flac)."""
    splits = {}
    for name, split in _SPLIT_LISTS.items():
        if (root / name).is_file():
            text = (root / name).read_bytes().removeprefix(codecs.BOM_UTF8)
            for line in os.fsdecode(text).splitlines():
                if line.strip():
                    splits[str(PurePosixPath(line.strip()).with_suffix(""))] = split
    return splits


class _NameMatcher:
    """Reads label and speaker out of a path by a pattern."""

    def __init__(self, pattern: str) -> None:
        pieces = re.split(r"\{(\w+)\}", pattern)
        names = pieces[1::2]
        wrong = [name for name in names if name not in _FIELDS]
        twice = sorted({n for n in names if n != "_" and names.count(n) > 1})
        if wrong or twice or not {"label", "speaker"} & set(names):
            fault = f"unknown {{{wrong[0]}}}" if wrong else "names nothing it can use"
            fault = f"{{{twice[0]}}} stands twice" if twice else fault
            raise DatasetError(
                f"--pattern {pattern!r}: {fault}; fields are"
                f" {', '.join(f'{{{name}}}' for name in _FIELDS)}, with {{label}} or {{speaker}}"
            )
        expression = ""
        for i, piece in enumerate(pieces):
            if i % 2 == 0:
                expression += re.escape(piece)
            else:
                expression += "[^/]+?" if piece == "_" else f"(?P<{piece}>[^/]+?)"
        self._expression = re.compile(expression)
        self._n_parts = pattern.count("/") + 1

    def __call__(self, parts: tuple[str, ...]) -> dict[str, str] | None:
        match = self._expression.fullmatch("/".join(parts[-self._n_parts :]))
        return match.groupdict() if match else None


def _read_manifest(manifest: Path) -> Dataset:
    dataset = Dataset(manifest.parent, manifest=manifest)
    for number, row in _manifest_rows(manifest):
        where = f"{manifest}:{number}"
        path = Path(manifest.parent, _text(row, "path", where))
        label = _text(row, "label", where)
        split = str(row.get("split") or "") or None
        if split and split not in SPLITS:
            raise DatasetError(f"{where}: split {split!r} is not one of {', '.join(SPLITS)}")
        start_s = _seconds(row, "start_s", where) or 0.0
        end_s = _seconds(row, "end_s", where)
        if end_s is not None and end_s <= start_s:
            raise DatasetError(f"{where}: end_s {end_s:g} is not after start_s {start_s:g}")
        if not _is_file(path):
            dataset.problems.append(f"{where}: no such file: {path}")
            continue
        if label == NOISE_FOLDER:
            if split or start_s or end_s is not None:
                raise DatasetError(
                    f"{where}: background noise is taken whole; leave split, start_s and end_s out"
                )
            dataset.noise.append(path)
            continue
        speaker = str(row["speaker"]) if row.get("speaker") not in (None, "") else None
        dataset.examples.append(Example(path, label, speaker, split, start_s, end_s))
    return dataset


def _manifest_rows(manifest: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield line number and columns of every row."""
    try:
        with manifest.open(encoding="utf-8-sig", newline="") as file:
            if manifest.suffix.lower() == ".jsonl":
                for number, line in enumerate(file, start=1):
                    if not line.strip():
                        continue
                    try:
                        row = json.loads(line)
                    except (ValueError, RecursionError) as error:
                        reason = getattr(error, "msg", error)
                        raise DatasetError(f"{manifest}:{number}: not JSON ({reason})") from error
                    if not isinstance(row, dict):
                        raise DatasetError(f"{manifest}:{number}: not a JSON object")
                    yield number, row
                return
            reader = csv.DictReader(
                file, delimiter="\t" if manifest.suffix.lower() == ".tsv" else ","
            )
            missing = [c for c in ("path", "label") if c not in (reader.fieldnames or [])]
            if missing:
                raise DatasetError(
                    f"{manifest}:1: no column {' and '.join(missing)}; the first line names the"
                    f" columns: {','.join(_COLUMNS)} (the last four may be left out)"
                )
            for row in reader:
                yield reader.line_num, row
    except UnicodeDecodeError as error:
        raise DatasetError(f"{manifest}: not UTF-8 text; save it as UTF-8") from error
    except csv.Error as error:
        raise DatasetError(f"{manifest}: not a CSV file ({error})") from error


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name that is too long
        return False


def _text(row: dict[str, Any], column: str, where: str) -> str:
    if row.get(column) in (None, ""):
        raise DatasetError(f"{where}: no {column}")
    return str(row[column])


def _seconds(row: dict[str, Any], column: str, where: str) -> float | None:
    if row.get(column) in (None, ""):
        return None
    try:
        value = float(row[column])
    except (TypeError, ValueError, OverflowError):
        value = -1.0
    if not 0 <= value < float("inf"):
        raise DatasetError(f"{where}: {column} {row[column]!r} is not a number of seconds")
    return value
