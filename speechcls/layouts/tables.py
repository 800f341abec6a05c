"""The rows of a manifest as they are in the file: CSV and its kin, JSON, Parquet."""

import csv
import io
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from speechcls.audio.sniff import SUFFIXES, is_recording_name
from speechcls.errors import DatasetError, not_installed, reason_of
from speechcls.files import read_text
from speechcls.storage.unpacked import embedded_column, member_path, read_tar, unpack
from speechcls.text import from_csv_cell

if TYPE_CHECKING:
    import pyarrow

_DELIMITERS = (",", ";", "\t", "|")
_SEPARATOR_LINE = re.compile(r'"?sep=(.)"?', re.I)
"""What Excel writes above the names of the columns."""
_FIRST_LOOK = 2**16  # bytes
_N_FIRST = 100  # rows of a shard
_WHOLE_JSON = 2**25  # bytes; one array cannot be read in part


@dataclass
class Table:
    """The rows of a manifest as they are in the file."""

    path: Path
    columns: list[str]
    rows: list[Sequence[Any]]
    """The cells of each row in the order of ``columns``; None or an empty text where it has none.
    """
    numbers: Sequence[int]
    """Of each row, the line that it ends in or how many rows it is from the start."""
    unit: str = ":"
    """What stands between the file's name and such a number."""
    embedded: str | None = None
    """The column of recordings that are in the file itself."""
    are_members: bool = False
    """Whether they stay there, see ``storage.unpacked``."""
    notes: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def where(self, index: int) -> str:
        """Return what messages call a row."""
        return f"{self.path}{self.unit}{self.numbers[index]}"

    @property
    def header(self) -> str:
        """What messages call the names of the columns."""
        return f"{self.path}:1" if self.unit == ":" else str(self.path)


def read_table(path: Path, n_bytes: int | None = None, unpacks: bool = True) -> Table:
    """Return the rows of a manifest, in the form that the ending of its name stands for.

    Parameters
    ----------
    n_bytes : read about so many, and do not unpack recordings; for a first look
    unpacks : whether recordings in the file are unpacked

    Raises
    ------
    DatasetError
        Naming the line that cannot be understood.
    """
    if path.suffix.lower() == ".parquet":
        return _read_parquet(path, n_bytes is not None, unpacks)
    if path.suffix.lower() == ".tar":
        return _read_tar(path, n_bytes is not None, unpacks)
    try:
        text = read_text(path, n_bytes)
        if path.suffix.lower() in (".json", ".jsonl", ".ndjson"):
            return _read_json(path, text)
        _check_text(path, text)
        return _read_separated(path, text)
    except OSError as error:
        raise DatasetError(f"{path}: {reason_of(error)}; check the path") from error
    except UnicodeDecodeError as error:
        raise DatasetError(f"{path}: not UTF-8 text; save it as UTF-8") from error
    except csv.Error as error:
        raise DatasetError(f"{path}: not a CSV file ({error})") from error


def _check_text(path: Path, text: str) -> None:
    """Refuse what is no table, whatever its name ends in."""
    if text.startswith("PK\x03\x04"):
        raise DatasetError(f"{path}: an Excel workbook or ZIP archive; save the sheet as CSV")
    if text.startswith("version https://git-lfs"):
        raise DatasetError(f"{path}: a Git LFS pointer, not the list; fetch it with git lfs pull")
    if (place := text.find("\0")) >= 0:
        number = text.count("\n", 0, place) + 1
        raise DatasetError(f"{path}:{number}: a NUL byte, which no text has; save it as UTF-8")
    if not text.strip():
        raise DatasetError(f"{path}: is empty; write a line that names the columns: path,label")


def read_first_rows(path: Path) -> Table:
    """Return the first rows of a table, for a look; errors as those of ``read_table``."""
    is_array = path.suffix.lower() == ".json" and path.stat().st_size < _WHOLE_JSON
    return read_table(path, None if is_array else _FIRST_LOOK)


def _read_separated(path: Path, text: str) -> Table:
    lines = text.splitlines()
    first = next((i for i, line in enumerate(lines) if line.strip()), 0)
    if lines and (match := _SEPARATOR_LINE.fullmatch(lines[first].strip(" \r\n"))):
        delimiter, first = match[1], first + 1
    else:
        delimiter = delimiter_of(lines[first] if lines else "")
    while first + 1 < len(lines) and lines[first].startswith("#"):  # notes, unless it is the names
        if len(next(csv.reader([lines[first]], delimiter=delimiter))) > 1:
            break
        first += 1
        delimiter = delimiter_of(lines[first])
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True)
    cells = [(reader.line_num, row) for row in reader]
    if delimiter == "\t" and '"' in text:
        # Common Voice writes quotes as they are spoken, not around cells.
        plain = csv.reader(io.StringIO(text, newline=""), delimiter="\t", quoting=csv.QUOTE_NONE)
        unquoted = [(plain.line_num, row) for row in plain]
        if (
            len(unquoted) > len(cells)
            and len({len(row) for _, row in unquoted[first:] if row}) == 1
        ):
            cells = unquoted
    filled = [(number, row) for number, row in cells if number > first and any(map(str.strip, row))]
    names = [from_csv_cell(name).strip() for name in filled[0][1]] if filled else []
    if names:
        names[0] = names[0].lstrip("#").strip()
    again = {number for number, row in filled[1:] if row == filled[0][1]}
    filled[1:] = [(number, row) for number, row in filled[1:] if number not in again]
    table = Table(path, names, [], [number for number, _ in filled[1:]])
    if again:
        table.notes.append(f"{path}:{min(again)}: names the columns again, which is no clip")
    for i, (_, row) in enumerate(filled[1:]):
        if any(_is_swallowed(cell, delimiter, len(names)) for cell in row):
            number = table.numbers[i] - sum(cell.rstrip("\n").count("\n") for cell in row)
            raise DatasetError(f"{path}:{number}: a quote in this line is not closed; close it")
        if len(row) > len(names) and any(map(str.strip, row[len(names) :])):
            raise DatasetError(
                f"{table.where(i)}: {len(row)} cells, and the first line names {len(names)}"
                " columns; put quotes around a cell that contains the separator"
            )
        own = map(from_csv_cell, row[: len(names)])
        table.rows.append((*own, *[""] * (len(names) - len(row))))
    return table


def _is_swallowed(cell: str, delimiter: str, n_columns: int) -> bool:
    """Whether a cell holds whole lines, as after a quote that is not closed."""
    lines = cell.split("\n")[1:]
    return n_columns > 1 and any(line.count(delimiter) == n_columns - 1 for line in lines)


def delimiter_of(header: str) -> str:
    """Return what separates the names of columns: what makes most of them, quotes respected."""

    def n_cells(delimiter: str) -> int:
        return len(next(csv.reader([header], delimiter=delimiter, skipinitialspace=True), []))

    return max(_DELIMITERS, key=n_cells)


def _read_json(path: Path, text: str) -> Table:
    """Return the rows of JSON lines, of one array, or of the only array in one object."""
    stripped = text.lstrip()
    lines = text.split("\n")
    first = next((line for line in lines if line.strip()), "")
    if stripped.startswith("[") and not stripped[1:].lstrip().startswith('"'):
        return _as_table(path, _parse(path, text, ": "), ": entry ")
    is_lines = _is_object(first)
    is_one = is_lines and stripped.strip() == first.strip()
    if path.suffix.lower() == ".json" and stripped.startswith("{") and (is_one or not is_lines):
        whole = _parse(path, text, ": ")
        if rows := _mapped(whole) or [whole] * is_one:
            return _as_table(path, rows, ": entry ")
        arrays = [each for each in whole.values() if isinstance(each, list)]
        if len(arrays) != 1:
            raise DatasetError(
                f"{path}: one object without a list of clips in it; write an object a line, or an"
                " array of objects, each with path and label"
            )
        return _as_table(path, arrays[0], ": entry ")
    numbers = [number for number, line in enumerate(lines, start=1) if line.strip()]
    rows = [_parse(path, lines[number - 1], f":{number}: ") for number in numbers]
    return _as_table(path, rows, ":", numbers)


def _mapped(whole: dict[str, Any]) -> list[Any]:
    """Return the rows of an object of objects by identifier, or of labels by path."""
    values = [*whole.values()]
    if all(isinstance(each, dict) for each in values):
        return values
    if any(PurePosixPath(name).suffix.lower() in SUFFIXES for name in whole):
        return [{"path": name, "label": label} for name, label in whole.items()]
    return []


def _is_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False


def _parse(path: Path, text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        reason = getattr(error, "msg", error)
        raise DatasetError(f"{path}{where}not JSON ({reason})") from error


def _as_table(
    path: Path, rows: Sequence[Any], unit: str, numbers: Sequence[int] | None = None
) -> Table:
    """Return JSON objects as rows; a struct, as ``{"path": ...}``, counts as its path."""
    numbers = range(1, len(rows) + 1) if numbers is None else numbers
    for number, row in zip(numbers, rows, strict=True):
        if not isinstance(row, dict):
            raise DatasetError(f"{path}{unit}{number}: not a JSON object")
    columns = list(dict.fromkeys(name for row in rows for name in row))
    cells = [[_plain(row.get(name)) for name in columns] for row in rows]
    return Table(path, columns, list(cells), numbers, unit)


def _plain(value: Any) -> Any:
    return value["path"] if isinstance(value, dict) and "path" in value else value


def _read_tar(path: Path, is_first_look: bool, unpacks: bool) -> Table:
    """Return the samples of a shard of WebDataset."""
    shard = read_tar(path, is_recording_name, _N_FIRST if is_first_look else None, unpacks)
    table = _as_table(path, shard.rows, ": sample ")
    if "audio" not in table.columns:
        raise DatasetError(f"{path}: no recording in it; name another", shard.problems)
    table.embedded, table.are_members = "audio", not (unpacks or is_first_look)
    table.problems += shard.problems
    if shard.folder is not None:
        n_clips = len(table.rows)
        table.notes.append(f"{path}: {n_clips} recordings in it, unpacked to {shard.folder}")
    return table


# Parquet


def _read_parquet(path: Path, is_first_look: bool, unpacks: bool) -> Table:
    try:
        import pyarrow
        import pyarrow.parquet as pq
    except ImportError as error:
        fact = not_installed("pyarrow, which reads Parquet,", "parquet")
        raise DatasetError(f"{path}: {fact}") from error
    try:
        stream = path.open("rb")
    except OSError as error:
        raise DatasetError(f"{path}: {reason_of(error)}; check the path") from error
    with stream:
        try:
            return _parquet_table(path, pq.ParquetFile(stream), is_first_look, unpacks)
        except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
            reason = (str(error).splitlines() or ["damaged"])[0]
            raise DatasetError(f"{path}: not readable Parquet ({reason}); copy it again") from error


def _parquet_table(path: Path, file: Any, is_first_look: bool, unpacks: bool) -> Table:
    from pyarrow import types

    schema: pyarrow.Schema = file.schema_arrow
    structs = {
        each.name: {f.name for f in each.type} for each in schema if types.is_struct(each.type)
    }
    embedded = embedded_column(schema)
    names = [
        each.name
        for each in schema
        if not (types.is_nested(each.type) or types.is_binary(each.type))
        and not types.is_large_binary(each.type)
    ]
    with_path = [name for name, fields in structs.items() if "path" in fields]
    data = file.read(columns=[*names, *(f"{name}.path" for name in with_path)]).slice(
        0, _N_FIRST if is_first_look else None
    )
    classes = _class_names(schema)
    columns: dict[str, list[Any]] = {}
    for name in names:
        values = data.column(name).to_pylist()
        known = classes.get(name)
        if known:
            values = [known[v] if isinstance(v, int) and 0 <= v < len(known) else v for v in values]
            values = [None if v == -1 else v for v in values]  # no label
        columns[name] = values
    for name in with_path:
        columns[name] = [each and each["path"] for each in data.column(name).to_pylist()]
    table = Table(path, [], [], range(1, data.num_rows + 1), ": row ", embedded)
    if embedded and not (is_first_look or unpacks):
        own = columns.get(embedded) or [None] * data.num_rows
        columns[embedded] = [member_path(path, i, each) for i, each in enumerate(own)]
        table.are_members = True
    elif embedded and not is_first_look:
        paths = columns.get(embedded) or [None] * data.num_rows
        folder, unpacked = unpack(path, embedded, lambda: _embedded(path, file, embedded, paths))
        columns[embedded] = [unpacked.get(i, each) for i, each in enumerate(paths)]
        if unpacked:
            table.notes.append(f"{path}: {len(unpacked)} recordings in it, unpacked to {folder}")
    elif embedded:
        columns.setdefault(embedded, [None] * data.num_rows)
    table.columns = list(columns)
    table.rows = list(zip(*columns.values(), strict=True))
    return table


def _class_names(schema: "pyarrow.Schema") -> dict[str, list[str]]:
    """Return the names that numbers in columns stand for, as Hugging Face's datasets write them."""
    try:
        about = json.loads((schema.metadata or {})[b"huggingface"])
        features = about["info"]["features"].items()
        return {name: each["names"] for name, each in features if each.get("_type") == "ClassLabel"}
    except (KeyError, ValueError, AttributeError, TypeError):  # written by something else
        return {}


def _embedded(
    path: Path, file: Any, column: str, names: Sequence[str | None]
) -> Iterator[tuple[str | None, bytes]]:
    """Yield the name and the content of each recording in a column; empty where a row has none."""
    batches, rest = file.iter_batches(batch_size=64, columns=[column]), iter(names)
    while True:
        try:
            batch = next(batches, None)
        except OSError as error:  # of the Parquet file, not of the disk that is written to
            raise DatasetError(f"{path}: not readable Parquet ({error}); copy it again") from error
        if batch is None:
            return
        for value in batch.column(0).to_pylist():
            content = value.get("bytes") if isinstance(value, dict) else value
            yield next(rest), content or b""
