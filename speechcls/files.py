"""Files written whole or not at all, text in any encoding of Unicode, and CSV and JSON as bytes."""

import codecs
import csv
import io
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, BinaryIO, Protocol, TextIO

from speechcls.scratch import REPLACED, WHOLE, open_scratch, replace_folder, sync_folder
from speechcls.text import csv_cell, json_text

_UNSAFE_NAME = re.compile(r'[/\\:*?"<>|]|^[\s.]|[\s.]$|^$')
_LONGEST_NAME = 200  # bytes; some of the 255 that file systems allow are left for what is added
CACHE_VARIABLE = "SPEECHCLS_CACHE"
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # begins like the one of UTF-16
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
"""What a text file may begin with, and the encoding that this names."""


class _Writable(Protocol):
    def write(self, text: str, /) -> object: ...


UNPACKED = "unpacked"
"""Folder in the cache folder of the recordings that lay in other files."""


def cache_folder() -> Path:
    """Return where the stores are: ``$SPEECHCLS_CACHE``, else the user's cache folder."""
    if named := os.environ.get(CACHE_VARIABLE):
        return Path(named)
    import platformdirs

    return platformdirs.user_cache_path("speechcls", appauthor=False)


def read_text(path: Path, n_bytes: int | None = None, fallback: str | None = None) -> str:
    """Return a file as text: in the encoding that its first bytes name, else in UTF-8.

    Parameters
    ----------
    n_bytes : read so many at most; a line that is cut is left out
    fallback : encoding of text that is not UTF-8; None: that is an error

    Raises
    ------
    OSError
        When it cannot be read.
    UnicodeDecodeError
        When it is in another encoding.
    """
    with path.open("rb") as file:
        content = file.read(-1 if n_bytes is None else n_bytes)
        is_cut = n_bytes is not None and bool(file.read(1))
    mark, encoding = next((m for m in _MARKS if content.startswith(m[0])), (b"", "utf-8"))

    def decode(encoding: str) -> str:
        return codecs.getincrementaldecoder(encoding)().decode(content[len(mark) :], not is_cut)

    try:
        text = decode(encoding)
    except UnicodeDecodeError:
        if mark or fallback is None:
            raise
        text = decode(fallback)
    return text[: text.rfind("\n") + 1] if is_cut else text


@contextmanager
def open_atomic(path: Path, overwrite: bool = True) -> Iterator[BinaryIO]:
    """Yield a file to write to, whose content takes the place of ``path`` when the block ends.

    If the block raises, ``path`` stays what it was. Readers see the old content or the new one,
    never a part. Missing folders are made; a pipe or a device is written to directly.

    Raises
    ------
    FileExistsError
        When ``path`` exists and ``overwrite`` is false, even if another process has just made it.
    OSError
        Naming ``path``, not the temporary file beside it.
    """
    is_file_error = True  # an error of the block is not about this file
    try:
        if overwrite and path.exists() and not path.is_file() and not path.is_dir():
            with path.open("wb") as file:
                is_file_error = False
                yield file
                is_file_error = True
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        with open_scratch(path.parent) as scratch:
            whole = scratch / WHOLE
            with whole.open("wb") as file:
                is_file_error = False
                yield file
                is_file_error = True
                _sync(file)
            if overwrite:
                whole.replace(path)
            else:
                path.hardlink_to(whole)
            sync_folder(path.parent)
    except OSError as error:
        if is_file_error:
            raise with_path(error, path) from error
        raise


@contextmanager
def open_text_atomic(path: Path) -> Iterator[TextIO]:
    """Yield a UTF-8 text file to write to line by line; otherwise as ``open_atomic``.

    A name that is not UTF-8, as the system gives it, is written as the bytes that it is made of.
    """
    with open_atomic(path) as file:
        text = io.TextIOWrapper(file, encoding="utf-8", errors="surrogateescape", newline="\n")
        yield text
        with naming(path):
            text.flush()


def write_atomic(path: Path, content: bytes, overwrite: bool = True) -> None:
    """Write ``content`` to ``path`` whole or not at all; otherwise as ``open_atomic``."""
    with open_atomic(path, overwrite) as file, naming(path):
        file.write(content)


def write_folder_atomic(path: Path, contents: Mapping[str, bytes]) -> None:
    """Write files into a new folder, whole or not at all; it replaces a folder at ``path``.

    Readers find the old folder or the new one at any moment where the system can exchange two
    names (Linux, macOS); elsewhere ``scratch.restore`` brings back what was put aside.

    Parameters
    ----------
    contents : of each file by its name, with forward slashes where it is in a folder of its own

    Raises
    ------
    OSError
        When it cannot be written; what was at ``path`` is there again then.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with open_scratch(path.parent, path.name) as scratch:
        whole = scratch / WHOLE
        whole.mkdir()
        for name, content in contents.items():
            (whole / name).parent.mkdir(parents=True, exist_ok=True)
            with (whole / name).open("wb") as file:
                file.write(content)
                _sync(file)
        for folder in {whole, *((whole / name).parent for name in contents)}:
            sync_folder(folder)
        replace_folder(whole, path, scratch / REPLACED)


def write_csv(
    path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]], raw: bool = False
) -> None:
    """Write a header and rows as CSV, whole or not at all; otherwise as ``open_csv``."""
    write_atomic(path, csv_bytes(header, rows, raw))


def csv_bytes(header: Sequence[str], rows: Iterable[Sequence[Any]], raw: bool = False) -> bytes:
    """Return a header and rows as CSV; a name that is not UTF-8 stays the bytes that it was."""
    return csv_text(header, rows, raw=raw).encode("utf-8", "surrogateescape")


def csv_text(
    header: Sequence[str], rows: Iterable[Sequence[Any]], delimiter: str = ",", raw: bool = False
) -> str:
    """Return a header and rows as CSV; None is written as an empty cell."""
    text = io.StringIO(newline="")
    write_row = open_csv(text, delimiter, raw)
    write_row(header)
    for row in rows:
        write_row(row)
    return text.getvalue()


def open_csv(
    stream: _Writable, delimiter: str = ",", raw: bool = False
) -> Callable[[Sequence[Any]], object]:
    """Return a function that writes one row of CSV to ``stream``, ending in a line feed.

    Parameters
    ----------
    raw : write text as it is, also what a spreadsheet runs or a terminal obeys; otherwise it is
        written as ``text.csv_cell`` says, and ``text.from_csv_cell`` gives it back
    """
    # With "\n" as its line end, the csv module would leave a carriage return in a cell unquoted,
    # which its reader takes for the end of the row.
    ending_in_lf = SimpleNamespace(write=lambda row: stream.write(row.removesuffix("\r\n") + "\n"))
    write_row = csv.writer(ending_in_lf, delimiter=delimiter).writerow
    return write_row if raw else lambda row: write_row([csv_cell(cell) for cell in row])


def json_bytes(content: Any) -> bytes:
    """Return ``content`` as indented JSON in UTF-8; otherwise as ``text.json_text``."""
    return json_text(content, indent=2, ensure_ascii=False).encode() + b"\n"


def is_file_name(text: str) -> bool:
    """Whether a file or folder can be called ``text`` on any system."""
    is_safe = not _UNSAFE_NAME.search(text) and text.isprintable()
    return is_safe and len(text.encode()) <= _LONGEST_NAME


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Make errors of the system name ``path``."""
    try:
        yield
    except OSError as error:
        raise with_path(error, path) from error


def with_path(error: OSError, path: Path) -> OSError:
    """Return an error of the system that names ``path``, not a temporary file."""
    return OSError(error.errno, error.strerror or str(error), str(path))


def _sync(file: BinaryIO) -> None:
    """Wait until a file's content is on the disk."""
    file.flush()
    os.fsync(file.fileno())
