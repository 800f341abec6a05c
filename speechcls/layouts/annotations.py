"""Annotated words of a recording, as Audacity labels or CSV."""

import csv
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from speechcls.errors import DatasetError, reason_of
from speechcls.files import write_atomic, write_csv

LABELS, TABLE = "truth.txt", "truth.csv"
_COLUMNS = ("start_s", "end_s", "label", "path", "speaker")


@dataclass(frozen=True)
class Word:
    """One word that is said in a recording."""

    start_s: float
    """Seconds from the start of the recording to that of the word, not of its clip."""
    end_s: float
    label: str
    path: str = ""
    """The clip it was taken from, where it was."""
    speaker: str = ""

    @property
    def centre_s(self) -> float:
        """The centre of the word."""
        return (self.start_s + self.end_s) / 2


def read_truth(path: Path) -> list[Word]:
    """Return the words that a file names, in order of their start.

    It is a CSV with columns ``start_s,end_s,label`` (and optionally ``path,speaker``), or labels as
    Audacity exports them: start, end and label of each, separated by tabs.

    Raises
    ------
    DatasetError
        When it is missing or in another format.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = _table_rows(path, file) if path.suffix.lower() == ".csv" else _label_rows(file)
            words = [_as_word(f"{path}:{number}", row) for number, row in rows]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DatasetError(
            f"{path}: cannot read the annotations ({reason_of(error)}); give Audacity's labels"
            " or a CSV"
        ) from error
    if not words:
        raise DatasetError(f"{path}: contains no words; give a line for each: start, end, label")
    return sorted(words, key=lambda word: word.start_s)


def _table_rows(path: Path, file: Iterator[str]) -> Iterator[tuple[int, list[str]]]:
    reader = csv.DictReader(file)
    if missing := [name for name in _COLUMNS[:3] if name not in (reader.fieldnames or [])]:
        raise DatasetError(
            f"{path}:1: no column {' and '.join(missing)}; the first line names the columns:"
            f" {','.join(_COLUMNS)} (the last two may be left out)"
        )
    for row in reader:
        yield reader.line_num, [row.get(name) or "" for name in _COLUMNS]


def _label_rows(file: Iterator[str]) -> Iterator[tuple[int, list[str]]]:
    for number, line in enumerate(file, start=1):
        # A line that begins with a backslash gives the frequencies of the label above it.
        if line.strip() and not line.startswith("\\"):
            yield number, line.rstrip("\r\n").split("\t")[:3]


def _as_word(where: str, row: list[str]) -> Word:
    try:
        start_s, end_s, label = float(row[0]), float(row[1]), row[2].strip()
    except (ValueError, IndexError):
        start_s, end_s, label = math.nan, math.nan, ""
    if not (0 <= start_s <= end_s < math.inf and label):
        raise DatasetError(
            f"{where}: not start, end (seconds) and label of a word; correct the line"
        )
    return Word(start_s, end_s, label, *row[3:])


def write_truth(words: Sequence[Word], folder: Path) -> None:
    """Write ``truth.txt``, labels that Audacity imports, and ``truth.csv`` with all columns."""
    rows = [
        (f"{word.start_s:.3f}", f"{word.end_s:.3f}", word.label, word.path, word.speaker)
        for word in words
    ]
    labels = "".join("\t".join(row[:3]) + "\n" for row in rows)
    write_atomic(folder / LABELS, labels.encode("utf-8", "surrogateescape"))
    write_csv(folder / TABLE, _COLUMNS, rows)
