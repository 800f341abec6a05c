"""Compressed files, read as what they hold."""

import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import PurePosixPath
from typing import Any, BinaryIO, cast

from speechcls.errors import DatasetError, not_installed

COMPRESSED = (".gz", ".bz2", ".xz", ".zst")
"""Endings of compressed files that are read."""


def split_ending(name: str) -> tuple[str, str]:
    """Return the ending of a name, and behind it that of a compression; each may be empty.

    Examples
    --------
    >>> split_ending("clips.csv.gz"), split_ending("clips.csv"), split_ending("clips.gz")
    (('.csv', '.gz'), ('.csv', ''), ('', '.gz'))
    """
    path = PurePosixPath(name)
    compression = path.suffix.lower()
    if compression not in COMPRESSED:
        return compression, ""
    return PurePosixPath(path.stem).suffix.lower(), compression


@contextmanager
def decompressed(file: BinaryIO, compression: str, name: str) -> Iterator[BinaryIO]:
    """Yield what a file holds, to be read; the file itself where it is not compressed.

    Parameters
    ----------
    compression : one of ``COMPRESSED``, or empty
    name : of the file, in messages

    Raises
    ------
    DatasetError
        When it is cut off or damaged, also while it is read; or nothing is installed that reads it.
    """
    if not compression:
        yield file
        return
    faults: tuple[type[Exception], ...] = (EOFError, zlib.error, OSError)
    if compression == ".xz":
        import lzma

        faults = (*faults, lzma.LZMAError)
    try:
        with _open(file, compression, name) as content:
            yield content
    except faults as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise DatasetError(
            f"{name}: cut off, or not compressed as {compression} ({reason}); copy it again"
        ) from error


def _open(file: BinaryIO, compression: str, name: str) -> BinaryIO:
    if compression == ".gz":
        import gzip

        return cast(BinaryIO, gzip.GzipFile(fileobj=file))
    if compression == ".bz2":
        import bz2

        return cast(BinaryIO, bz2.BZ2File(file))
    if compression == ".xz":
        import lzma

        return cast(BinaryIO, lzma.LZMAFile(file))
    try:
        import pyarrow
    except ImportError as error:
        fact = not_installed(f"pyarrow, which reads {compression},", "parquet")
        raise DatasetError(f"{name}: {fact}") from error
    stream: Any = pyarrow.CompressedInputStream(pyarrow.PythonFile(file, "r"), "zstd")
    return cast(BinaryIO, io.BufferedReader(stream))
