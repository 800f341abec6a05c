"""Manifests: CSV, TSV and JSON lines that name clips."""

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from speechcls.data.examples import NOISE_FOLDER, SPLITS, Dataset, Example
from speechcls.errors import ConfigError, DatasetError

MANIFEST_SUFFIXES = (".csv", ".tsv", ".jsonl")
_COLUMNS = ("path", "label", "speaker", "split", "start_s", "end_s")


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


COLUMNS = ("path", "label", "speaker", "split", "start_s", "end_s")
"""Of a manifest, as ``train`` reads it."""


def check_manifest_name(path: Path) -> str:
    """Return the ending of a manifest's name; raise ConfigError if it is none."""
    suffix = path.suffix.lower()
    if suffix not in MANIFEST_SUFFIXES:
        raise ConfigError(f"{path}: must end in one of {', '.join(MANIFEST_SUFFIXES)}; rename it")
    return suffix
