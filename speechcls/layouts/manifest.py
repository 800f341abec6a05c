"""Manifests that name clips, read and written: CSV, TSV and JSON lines.

A new kind of file is a line in ``FORMATS``; other names for the columns are a line in ``DIALECTS``.
"""

import csv
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TextIO

from speechcls.errors import ConfigError, DatasetError
from speechcls.files import csv_text, write_atomic
from speechcls.labels import NOISE_FOLDER
from speechcls.layouts.examples import SPLITS, Dataset, Example

COLUMNS = ("path", "label", "speaker", "split", "start_s", "end_s")
"""Of a manifest; all but the first two may be left out."""
_NEEDED = COLUMNS[:2]
DIALECTS: tuple[Mapping[str, str], ...] = ({name: name for name in COLUMNS},)
"""What manifests call the standard columns.

The first that a row fits is taken, else the first of all.
"""

Row = dict[str, Any]
Rows = Iterator[tuple[int, Row]]
"""Line number and columns of each clip."""


class ManifestFormat(NamedTuple):
    """How the rows of a kind of file are read and written."""

    read: Callable[[Path, TextIO], Rows]
    write: Callable[[Iterable[Row]], str]


def read_manifest(manifest: Path) -> Dataset:
    """Return the clips and the background noise that a manifest names.

    Raises
    ------
    DatasetError
        Naming the line that cannot be understood.
    """
    dataset = Dataset(manifest.parent, manifest=manifest)
    for number, row in _read_rows(manifest):
        where = f"{manifest}:{number}"
        example = _as_example(_translate(row), manifest.parent, where)
        if not _is_file(example.path):
            dataset.problems.append(f"{where}: no such file: {example.path}")
        elif example.label == NOISE_FOLDER:
            if example.split or example.start_s or example.end_s is not None:
                raise DatasetError(
                    f"{where}: background noise is taken whole; leave split, start_s and end_s out"
                )
            dataset.noise.append(example.path)
        else:
            dataset.examples.append(example)
    return dataset


def _translate(row: Row) -> Row:
    """Return a row under the standard column names."""
    fits = (names for names in DIALECTS if all(names[name] in row for name in _NEEDED))
    names = next(fits, DIALECTS[0])
    return {ours: row.get(theirs) for ours, theirs in names.items()}


def _as_example(row: Row, folder: Path, where: str) -> Example:
    """Return the clip of a row; its path is relative to ``folder``."""
    path = Path(folder, _text(row, "path", where))
    label = _text(row, "label", where)
    split = str(row.get("split") or "") or None
    if split and split not in SPLITS:
        raise DatasetError(f"{where}: split {split!r} is not one of {', '.join(SPLITS)}")
    start_s = _seconds(row, "start_s", where) or 0.0
    end_s = _seconds(row, "end_s", where)
    if end_s is not None and end_s <= start_s:
        raise DatasetError(f"{where}: end_s {end_s:g} is not after start_s {start_s:g}")
    speaker = str(row["speaker"]) if row.get("speaker") not in (None, "") else None
    return Example(path, label, speaker, split, start_s, end_s)


def _read_rows(manifest: Path) -> Rows:
    try:
        with manifest.open(encoding="utf-8-sig", newline="") as file:
            yield from FORMATS[manifest.suffix.lower()].read(manifest, file)
    except UnicodeDecodeError as error:
        raise DatasetError(f"{manifest}: not UTF-8 text; save it as UTF-8") from error
    except csv.Error as error:
        raise DatasetError(f"{manifest}: not a CSV file ({error})") from error


def _read_json_lines(manifest: Path, file: TextIO) -> Rows:
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


def _read_separated(manifest: Path, file: TextIO, delimiter: str) -> Rows:
    reader = csv.DictReader(file, delimiter=delimiter)
    columns = _translate(dict.fromkeys(reader.fieldnames or [], True))
    if missing := [name for name in _NEEDED if not columns[name]]:
        raise DatasetError(
            f"{manifest}:1: no column {' and '.join(missing)}; the first line names the"
            f" columns: {','.join(COLUMNS)} (the last four may be left out)"
        )
    for row in reader:
        yield reader.line_num, row


def _write_json_lines(rows: Iterable[Row]) -> str:
    kept = ({name: value for name, value in row.items() if value is not None} for row in rows)
    return "".join(json.dumps(row) + "\n" for row in kept)


def _write_separated(rows: Iterable[Row], delimiter: str) -> str:
    return csv_text(COLUMNS, ([row[name] for name in COLUMNS] for row in rows), delimiter)


FORMATS = {
    ending: ManifestFormat(
        partial(_read_separated, delimiter=delimiter),
        partial(_write_separated, delimiter=delimiter),
    )
    for ending, delimiter in ((".csv", ","), (".tsv", "\t"))
} | {".jsonl": ManifestFormat(_read_json_lines, _write_json_lines)}
"""By the ending of a manifest's name."""
MANIFEST_SUFFIXES = tuple(FORMATS)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name that is too long
        return False


def _text(row: Row, column: str, where: str) -> str:
    if row.get(column) in (None, ""):
        raise DatasetError(f"{where}: no {column}")
    return str(row[column])


def _seconds(row: Row, column: str, where: str) -> float | None:
    if row.get(column) in (None, ""):
        return None
    try:
        value = float(row[column])
    except (TypeError, ValueError, OverflowError):
        value = -1.0
    if not 0 <= value < float("inf"):
        raise DatasetError(f"{where}: {column} {row[column]!r} is not a number of seconds")
    return value


def manifest_suffix(path: Path) -> str:
    """Return the ending of a manifest's name, in lower case.

    Raises
    ------
    ConfigError
        When it is none of ``MANIFEST_SUFFIXES``.
    """
    suffix = path.suffix.lower()
    if suffix not in MANIFEST_SUFFIXES:
        raise ConfigError(f"{path}: must end in one of {', '.join(MANIFEST_SUFFIXES)}; rename it")
    return suffix


def write_manifest(path: Path, examples: Sequence[Example], noise: Sequence[Path] = ()) -> None:
    """Write a manifest of clips and background noise, their paths relative to its folder.

    Raises
    ------
    ConfigError
        When the name ends in none of ``MANIFEST_SUFFIXES``.
    DatasetError
        When the name of a recording cannot be written in this format.
    """
    suffix = manifest_suffix(path)
    folder = path.parent.resolve()  # a way up from a linked folder leads elsewhere

    def row_of(example: Example) -> Row:
        place = Path(os.path.relpath(example.path.absolute(), folder)).as_posix()
        times = (example.start_s or None, example.end_s)
        values = (place, example.label, example.speaker, example.split, *times)
        return dict(zip(COLUMNS, values, strict=True))

    backgrounds = [Example(each, NOISE_FOLDER) for each in noise]
    text = FORMATS[suffix].write([row_of(example) for example in (*examples, *backgrounds)])
    try:
        write_atomic(path, text.encode())
    except UnicodeEncodeError as error:
        raise DatasetError(
            f"{path}: a file name is not UTF-8, which this format cannot hold; rename the file, or"
            " write a manifest that ends in .jsonl"
        ) from error
