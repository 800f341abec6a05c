"""What the columns of a manifest mean: names that other tools give them, and their values."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from speechcls.audio.sniff import SUFFIXES
from speechcls.errors import DatasetError
from speechcls.layouts.examples import SPLITS
from speechcls.layouts.names import clean_label, split_of_name
from speechcls.layouts.places import splits_of_names
from speechcls.layouts.tables import Table
from speechcls.text import printable

NAMES: Mapping[str, tuple[str, ...]] = {
    "path": (
        *("path", "file", "filename", "fname", "slicefilename", "audio", "audiofilepath"),
        *("audiopath", "audiofile", "audiofilename", "wav", "wavpath", "wavfile", "wavfilename"),
        *("filepath", "filepaths", "fullpath", "clip", "clippath", "clipname", "recording"),
        *("sound", "soundfile", "link"),
    ),
    "label": (
        *("label", "class", "category", "word", "command", "keyword", "labelname", "classname"),
        *("eventlabel", "primarylabel", "target"),
    ),
    "speaker": (
        *("speaker", "speakerid", "speakername", "spk", "spkid", "clientid", "user", "userid"),
        *("username", "workerid", "subject", "subjectid", "participant", "participantid"),
    ),
    "split": ("split", "set", "subset", "fold"),
    "start": ("start", "starttime", "onset", "begin", "begintime", "tstart", "tmin", "offset"),
    # Beside an onset, the offset is the end; alone it is where the clip starts.
    "end": ("end", "endtime", "stop", "stoptime", "tend", "tmax", "offset"),
    "duration": ("duration", "dur"),
    "channel": ("channel",),
}
"""The columns by what they are called, in letters and digits alone, in order of preference."""
TEXTS = ("sentence", "text", "transcript", "transcription", "utterance", "labels")
"""Columns that are labels only where every value is one word or two."""
_SECONDS = ("start", "end", "duration")
_UNITS = {"": 1.0, "s": 1.0, "sec": 1.0, "secs": 1.0, "seconds": 1.0, "ms": 1e-3}
_MOST_WORDS = 2


@dataclass(frozen=True)
class Column:
    """A column that is read."""

    index: int
    """Where it is in a row."""
    name: str
    """What the manifest calls it."""
    unit_s: float = 1.0
    """Seconds in its unit, where it is a time."""


Columns = Mapping[str, Column]
"""The columns that are read, by what they mean: one of the keys of ``NAMES``."""


def check_fields(chosen: Mapping[str, str]) -> dict[str, str]:
    """Return the columns that a user names, by what they mean.

    Raises
    ------
    DatasetError
        When one is to mean something that no column means.
    """
    fields = {field.removesuffix("_s"): name for field, name in chosen.items()}
    if unknown := [field for field in fields if field not in NAMES]:
        raise DatasetError(
            f"{unknown[0]!r} is nothing that a column can be; choose among {', '.join(NAMES)}",
            field="columns",
        )
    return fields


def match_columns(
    table: Table, chosen: Mapping[str, str], needed: Sequence[str] = ("path", "label")
) -> Columns:
    """Return the columns of a table that are read.

    Parameters
    ----------
    chosen : what the table calls some of them; an empty name: that is not in the table
    needed : what there must be

    Raises
    ------
    DatasetError
        When a chosen one or one that is needed is not there; it lists those there are.
    """
    chosen = check_fields(chosen)
    found: dict[str, Column] = {}
    for field, name in chosen.items():
        if name:
            found[field] = _chosen_column(table, field, name)
    if table.embedded and "path" not in chosen:
        found["path"] = Column(table.columns.index(table.embedded), table.embedded)
    keys = [_key(name) for name in table.columns]
    for field, names in NAMES.items():
        if field not in chosen and field not in found:
            taken = {column.index for column in found.values()}
            free = [(i, key) for i, key in enumerate(keys) if i not in taken]
            if column := _first_match(table, free, field, names):
                found[field] = column
    if "label" not in chosen and "label" not in found:
        found |= _text_column(table, keys, found)
    if "split" not in chosen and "split" not in found:
        found |= _split_column(table, found)
    if missing := [field for field in needed if field not in found]:
        raise _missing_columns(table, missing)
    if (
        "path" in found and _key(found["path"].name) == "slicefilename"
    ):  # their times are those in a longer recording
        for field in {*_SECONDS} - {*chosen}:
            found.pop(field, None)
    return found


def path_column(names: Sequence[str]) -> str | None:
    """Return which of the names of columns is that of the recordings; None where none is."""
    keys = {_key(name): name for name in reversed(names)}
    return next((keys[name] for name in NAMES["path"] if name in keys), None)


def _key(name: str) -> str:
    """Return a column's name in letters and digits alone, the same for file_name and File Name."""
    return "".join(letter for letter in name.casefold() if letter.isalnum())


def _chosen_column(table: Table, field: str, name: str) -> Column:
    for same in (lambda each: each == name, lambda each: _key(each) == _key(name) != ""):
        for index, each in enumerate(table.columns):
            if same(each):
                is_in_ms = field in _SECONDS and _key(each).endswith("ms")
                return Column(index, each, _UNITS["ms" if is_in_ms else "s"])
    raise DatasetError(
        f"{table.path}: no column {name!r}; it has {list_names(table.columns)}", field="columns"
    )


def _first_match(
    table: Table, keys: Sequence[tuple[int, str]], field: str, names: Sequence[str]
) -> Column | None:
    """Return the first column that ``names`` has and that is not empty, else the first at all.

    Names of classes come before their numbers.
    """
    units = _UNITS if field in _SECONDS else {"": 1.0}
    matches = [
        Column(index, table.columns[index], unit_s)
        for name in names
        for unit, unit_s in units.items()
        for index, key in keys
        if key == name + unit
    ]
    values = {c.index: {*map(str, _filled(table, c.index))} for c in matches}
    filled = [c for c in matches if values[c.index]]
    if field == "label" and filled and None not in map(as_number, values[filled[0].index]):
        n_classes = len(values[filled[0].index])
        named = (c for c in filled if None in map(as_number, values[c.index]))
        filled[:0] = [c for c in named if len(values[c.index]) == n_classes]
    return next(iter([*filled, *matches]), None)


def _filled(table: Table, index: int) -> list[Any]:
    """Return the cells of a column that are not empty."""
    return [row[index] for row in table.rows if row[index] not in (None, "")]


def _split_column(table: Table, found: Columns) -> dict[str, Column]:
    """Return the column, whatever it is called, whose every value is a split, if there is one."""
    taken = {column.index for column in found.values()}
    for index in range(len(table.columns)):
        values = {*map(str, _filled(table, index))} if index not in taken else set()
        splits = {split_of_name(value) for value in values}
        if len(splits) > 1 and None not in splits:
            return {"split": Column(index, table.columns[index])}
    return {}


def _text_column(table: Table, keys: Sequence[str], found: Columns) -> dict[str, Column]:
    """Return the column of texts that are labels, if there is one, as the label."""
    taken = {column.index for column in found.values()}
    for name in TEXTS:
        for index, key in enumerate(keys):
            if key == name and index not in taken and _are_words(table, index):
                return {"label": Column(index, table.columns[index])}
    return {}


def _are_words(table: Table, index: int) -> bool:
    texts = [*map(str, _filled(table, index))]
    return bool(texts) and all(is_label(text) for text in texts)


def is_label(text: str) -> bool:
    """Whether a text is short enough to be a label: one word or two, without a comma."""
    return len(text.split()) <= _MOST_WORDS and "," not in text.strip(",")


def _missing_columns(table: Table, missing: Sequence[str]) -> DatasetError:
    what = {"path": "file names", "label": "labels"}
    fault = f"no column of {' and none of '.join(what[field] for field in missing)}"
    names = ",".join(f"{field}=NAME" for field in missing)
    texts = [name for name in table.columns if _key(name) in TEXTS]
    if "label" in missing and texts and table.rows:
        index = table.columns.index(texts[0])
        long = next((r for r in table.rows if not is_label(str(r[index] or ""))), table.rows[0])
        fault += f" ({texts[0]} holds more than words, as {str(long[index])[:40]!r})"
    hint = f"name {'it' if len(missing) == 1 else 'them'} as {names}"
    if any(name.lower().endswith(tuple(SUFFIXES)) for name in table.columns):
        hint = (
            "its first line is a recording: put a line above it that names the columns: path,label"
        )
    return DatasetError(
        f"{table.header}: {fault}; it has {list_names(table.columns)}; {hint}", field="columns"
    )


def list_names(names: Sequence[str]) -> str:
    """Return the names of columns in a line: the first twenty and how many more."""
    more = f" and {len(names) - 20} more" if len(names) > 20 else ""
    return (printable(", ".join(names[:20])) or "no column at all") + more


def describe_columns(table: Table, columns: Columns) -> str | None:
    """Return how the columns are read and which are not, in a line; None where that is plain."""
    ours = {*NAMES} | {f"{field}_s" for field in _SECONDS}
    renamed = [
        f"{field} is {column.name}"
        for field, column in columns.items()
        if column.name not in ours and _key(column.name) != field
    ]
    read = {column.index for column in columns.values()}
    others = [
        name
        for index, name in enumerate(table.columns)
        if index not in read and name and (renamed or _filled(table, index))
    ]
    told = [", ".join(renamed)] * bool(renamed)
    told += [f"not read: {list_names(others)}"] * bool(others)
    return f"{table.path}: {'; '.join(told)}" if told else None


def text_of(row: Sequence[Any], column: Column | None) -> str:
    """Return a cell as text; empty where there is none."""
    value = row[column.index] if column else None
    return "" if value is None else str(value)


def is_missing(text: str) -> bool:
    """Whether a text is what tools write where there is no value: nan."""
    return text.casefold() in ("nan", "<na>")


def label_of(row: Sequence[Any], column: Column, where: str) -> str:
    """Return the label of a row.

    Raises
    ------
    DatasetError
        When it has none, or several.
    """
    if isinstance(row[column.index], list | dict):
        raise DatasetError(f"{where}: {column.name} {row[column.index]!r} is not one label")
    if not (label := clean_label(clean_label(text_of(row, column)).strip('"'))):
        raise DatasetError(f"{where}: no {column.name}")
    return label


def times_of(row: Sequence[Any], columns: Columns, where: str) -> tuple[float, float | None]:
    """Return start and end of a row's clip, seconds; None: the end of its recording.

    A duration counts from a start; without one it is that of the whole recording.

    Raises
    ------
    DatasetError
        When one is no number of seconds, or the end is not after the start.
    """
    start_s = _seconds(row, columns.get("start"), where)
    end, end_s = columns.get("end"), _seconds(row, columns.get("end"), where)
    if end_s is None and start_s is not None:
        end = columns.get("duration")
        if (duration_s := _seconds(row, end, where)) is not None:
            end_s = start_s + duration_s
    start_s = start_s or 0.0
    if end and end_s is not None and end_s <= start_s:
        start = columns["start"].name if "start" in columns else "the start"
        raise DatasetError(f"{where}: {end.name} {end_s:g} is not after {start} {start_s:g}")
    return start_s, end_s


def _seconds(row: Sequence[Any], column: Column | None, where: str) -> float | None:
    value = row[column.index] if column else None
    if column is None or value is None or value == "":
        return None
    if (seconds := as_number(value)) is None or seconds < 0:
        raise DatasetError(f"{where}: {column.name} {value!r} is not a number of seconds")
    return seconds * column.unit_s


def as_number(value: Any) -> float | None:
    """Return a number that may have a decimal comma; None where it is none."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        if not isinstance(value, str) or value.count(",") != 1 or "." in value:
            return None
        return as_number(value.replace(",", "."))
    return number if math.isfinite(number) else None


def channel_of(row: Sequence[Any], column: Column | None, where: str) -> int | None:
    """Return the channel of a row, from 1 on; None where it names none.

    Raises
    ------
    DatasetError
        When it is no such number.
    """
    text = text_of(row, column).strip()
    if not text or column is None:
        return None
    number = as_number(text)
    if number is None or number < 1 or number != int(number):
        raise DatasetError(
            f"{where}: {column.name} {text!r} is not a channel, 1 or more; correct it, or read no"
            " channel with channel=",
            field="columns",
        )
    return int(number)


def fold_of(row: Sequence[Any], column: Column | None) -> str:
    """Return the digits of a row's fold, as of ``fold 3``; empty where it has none."""
    match = re.fullmatch(r"\s*(?:fold)?[\s_-]*(\d+)(?:\.0)?\s*", text_of(row, column), re.I)
    return str(int(match[1])) if match else ""


def splits_of(table: Table, column: Column | None) -> tuple[list[str | None], str | None]:
    """Return the split of each row, and a line about folds where these decide.

    Raises
    ------
    DatasetError
        Naming the first row whose split is none.
    """
    if column is None:
        return [None] * len(table.rows), None
    folds = [fold_of(row, column) for row in table.rows]
    numbers = sorted({int(fold) for fold in folds if fold})
    texts = [text_of(row, column).strip() for row in table.rows]
    if numbers and all(fold or not text for fold, text in zip(folds, texts, strict=True)):
        return _splits_of_folds(table, column, folds, numbers)
    names = splits_of_names(texts, split_of_name)
    for number, text in enumerate(texts):
        if text and not names[text]:
            raise DatasetError(
                f"{table.where(number)}: {column.name} {text!r} is not one of {', '.join(SPLITS)}"
                " (or training, val, valid, dev, eval, testing); correct it, or read no split with"
                " split=",
                field="columns",
            )
    return [names[text] for text in texts], None


def _splits_of_folds(
    table: Table, column: Column, folds: Sequence[str], numbers: Sequence[int]
) -> tuple[list[str | None], str | None]:
    """Return the split of each row: the last fold tests, the one before validates."""
    if len(numbers) == 1:
        note = f"{table.path}: {column.name} is {numbers[0]} everywhere, which splits nothing"
        return [None] * len(folds), note
    names = {str(number): "train" for number in numbers}
    validates = ""
    if len(numbers) > 2:
        names[str(numbers[-2])] = "validation"
        validates = f", {numbers[-2]} validates"
    names[str(numbers[-1])] = "test"
    note = f"{table.path}: {column.name} {numbers[-1]} tests{validates}, the others train"
    return [names.get(fold) for fold in folds], note
