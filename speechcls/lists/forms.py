"""The paths in one list of recordings: text, CSV, JSON lines or Parquet, read as a stream."""

import csv
import io
import itertools
import json
import os
from collections.abc import Iterator
from typing import Any, BinaryIO

from speechcls.audio.sniff import is_recording_name
from speechcls.errors import DatasetError, not_installed
from speechcls.layouts.columns import list_names, path_column
from speechcls.layouts.tables import delimiter_of
from speechcls.text import from_csv_cell

TEXT, PARQUET = "text", "parquet"
FORMS = {
    ".csv": "csv",
    ".tsv": "csv",
    ".jsonl": "json",
    ".ndjson": "json",
    ".json": "json",
    ".parquet": PARQUET,
}
"""Forms of lists by the endings of their names; any other one is ``TEXT``."""
_PIECE_BYTES = 65_536
"""Of a list of text that are read at once; so much without a path is no list."""
_PIECE_ROWS = 65_536
_LONGEST_CELL = 1 << 20  # characters


def read_paths(file: BinaryIO, form: str, name: str) -> Iterator[str]:
    """Yield the paths in a table, in their order and as they are written.

    Parameters
    ----------
    form : one of ``FORMS``
    name : of the list, in messages

    Raises
    ------
    DatasetError
        When it is no list of recordings, naming the line.
    """
    if form == PARQUET:
        return _parquet_paths(file, name)
    return _csv_paths(file, name) if form == "csv" else _json_paths(file, name)


def count_rows(file: BinaryIO, name: str) -> int:
    """Return how many rows a list in Parquet has, by its end.

    Raises
    ------
    DatasetError
        When it is no list of recordings.
    """
    parquet = _open_parquet(file, name)
    _parquet_column(parquet, name)
    n_rows: int = parquet.metadata.num_rows
    return n_rows


def text_paths(file: BinaryIO, end: str, name: str, null_name: str = "is_null") -> Iterator[str]:
    """Yield the paths in a text as they come in, but for blank lines.

    Parameters
    ----------
    end : of each path, a newline or NUL
    name : of the list, in messages
    null_name : what messages call the setting that says that they end with NUL

    Raises
    ------
    DatasetError
        When it is no list of paths.
    """
    for number, entry in enumerate(_entries(file, end.encode(), name, null_name)):
        if end == "\n":
            entry = entry.removeprefix(b"\xef\xbb\xbf") if number == 0 else entry
            entry = entry.rstrip(b"\r")
        if entry:
            yield os.fsdecode(entry)


def _entries(file: BinaryIO, end: bytes, name: str, null_name: str) -> Iterator[bytes]:
    """Yield what a list holds between its ends, but blank lines; refuse what is no list."""
    rest, n_without = b"", 0
    read = getattr(file, "read1", file.read)  # of a pipe: what is there
    while piece := read(_PIECE_BYTES):
        *whole, rest = (rest + piece).split(end)
        for entry in whole:
            n_without = 0 if entry.strip() else n_without + 1
            yield entry if entry.strip() or end == b"\0" else b""
        if max(n_without, len(rest)) > _PIECE_BYTES:
            raise DatasetError(
                f"{name}: more than {_PIECE_BYTES} bytes without a path; name a list of paths, one"
                f" a line, or with a NUL behind each and {null_name}"
            )
    if rest.strip() or end == b"\0":
        yield rest


def _csv_paths(file: BinaryIO, name: str) -> Iterator[str]:
    """Yield the cells of the column of paths; what separates the columns is found."""
    utf8: dict[str, Any] = {"encoding": "utf-8-sig", "errors": "surrogateescape", "newline": ""}
    with io.TextIOWrapper(file, **utf8) as text:
        header = text.readline()
        if "\0" in header:
            raise DatasetError(f"{name}:1: a NUL byte, which no text has; save it as CSV in UTF-8")
        lines = itertools.chain([header], text)
        delimiter = delimiter_of(header.rstrip("\r\n"))
        rows = csv.reader(lines, delimiter=delimiter, skipinitialspace=True)
        try:
            names = [from_csv_cell(cell).strip() for cell in next(rows, [])]
            if len(names) == 1 and is_recording_name(names[0]):  # a path a line, without a header
                yield names[0]
                column = 0
            else:
                column = names.index(_path_column(names, f"{name}:1"))
            for row in filter(any, rows):
                cell = row[column] if column < len(row) else ""
                if len(cell) > _LONGEST_CELL or cell.count("\n") > 1:
                    raise DatasetError(f"{name}:{rows.line_num}: a quote is not closed; close it")
                yield from_csv_cell(cell)
        except csv.Error as error:
            raise DatasetError(f"{name}:{rows.line_num}: not CSV ({error}); correct it") from error


def _json_paths(file: BinaryIO, name: str) -> Iterator[str]:
    """Yield the paths in objects, one a line."""
    column: str | None = None
    for number, line in enumerate(file, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise DatasetError(
                f"{name}:{number}: not JSON ({getattr(error, 'msg', error)}); write one object a"
                " line, each with a path"
            ) from error
        if not isinstance(row, dict):
            raise DatasetError(f"{name}:{number}: not a JSON object; write one a line")
        if column is None:
            column = _path_column([*row], f"{name}:{number}")
        yield _as_path(row.get(column), f"{name}:{number}")


def _as_path(value: Any, where: str) -> str:
    """Return a cell as a path; a struct, as ``{"path": ...}``, counts as its path."""
    value = value.get("path") if isinstance(value, dict) else value
    if value is not None and not isinstance(value, str):
        raise DatasetError(f"{where}: {value!r} is no path; write it as text")
    return value or ""


def _parquet_paths(file: BinaryIO, name: str) -> Iterator[str]:
    """Yield the values of the column of paths."""
    import pyarrow

    parquet = _open_parquet(file, name)
    column = _parquet_column(parquet, name)
    try:
        for batch in parquet.iter_batches(batch_size=_PIECE_ROWS, columns=[column]):
            for value in batch.column(0).to_pylist():
                yield _as_path(value, name)
    except (pyarrow.ArrowException, UnicodeDecodeError) as error:
        raise _not_parquet(name, error) from error


def _open_parquet(file: BinaryIO, name: str) -> Any:
    try:
        import pyarrow
        import pyarrow.parquet as pq
    except ImportError as error:
        fact = not_installed("pyarrow, which reads Parquet,", "parquet")
        raise DatasetError(f"{name}: {fact}") from error
    try:
        return pq.ParquetFile(file)
    except pyarrow.ArrowException as error:
        raise _not_parquet(name, error) from error


def _not_parquet(name: str, error: Exception) -> DatasetError:
    reason = (str(error).splitlines() or ["damaged"])[0]
    return DatasetError(f"{name}: not readable Parquet ({reason}); copy it again")


def _parquet_column(parquet: Any, name: str) -> str:
    """Return the column of paths; of a struct with a path, as the Hub's recordings, that alone."""
    from pyarrow import types

    schema = parquet.schema_arrow
    structs = [each.name for each in schema if types.is_struct(each.type)]
    texts = [each.name for each in schema if types.is_string(each.type)]
    texts += [each.name for each in schema if types.is_large_string(each.type)]
    if (found := path_column(texts)) is not None:
        return found
    with_path = [each for each in structs if schema.field(each).type.get_field_index("path") >= 0]
    column = _path_column(with_path or texts, name)
    return f"{column}.path" if column in with_path else column


def _path_column(names: list[str], where: str) -> str:
    if (column := path_column(names)) is None:
        raise DatasetError(
            f"{where}: no column of file names; it has {list_names(names)}; name one of them path"
        )
    return column
