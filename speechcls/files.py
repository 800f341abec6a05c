"""Files that are written whole or not at all."""

import csv
import io
import os
import re
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

_UNSAFE_NAME = re.compile(r'[/\\:*?"<>|]|^[\s.]|[\s.]$|^$')
_LONGEST_NAME = 200  # bytes; some of the 255 that file systems allow are left for what is added


def write_atomic(path: Path, content: bytes) -> None:
    """Write ``content`` to ``path``; who reads it meanwhile, or after a failure, finds what was.

    Folders that are missing are made; a pipe or a device is written to as it is.

    Raises
    ------
    OSError
        Naming ``path``, not the file beside it that it is written to first.
    """
    try:
        if path.exists() and not path.is_file() and not path.is_dir():
            path.write_bytes(content)
        else:
            _write(path, content)
    except OSError as error:
        raise OSError(error.errno, error.strerror or str(error), str(path)) from error


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write rows under a header; a name that is not UTF-8 comes out as it went in."""
    write_atomic(path, csv_text(header, rows).encode("utf-8", "surrogateescape"))


def csv_text(header: Sequence[str], rows: Iterable[Sequence[Any]], delimiter: str = ",") -> str:
    """Return rows under a header as CSV; what is None is left empty."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=delimiter, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue()


def is_file_name(text: str) -> bool:
    """Whether a file or folder can be called ``text`` on any system."""
    is_safe = not _UNSAFE_NAME.search(text) and text.isprintable()
    return is_safe and len(text.encode()) <= _LONGEST_NAME


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".speechcls-") as scratch:
        whole = Path(scratch, "whole")
        with whole.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        whole.replace(path)
