"""Files made of parts of another one, and what a file of sound consists of."""

import io
import os
from typing import BinaryIO, NamedTuple, cast

from speechcls.errors import AudioError

BLOCK_BYTES = 1 << 16
TRIFLE = 64
"""Bytes at the end that recorders miscount: fewer missing are no loss."""
SIZE_NOTE = "the size in its header is wrong; it was read to its end"
_MAX_POSITION = 1 << 62
"""Damaged headers lead beyond what a file, or a number of 64 bits, can tell of."""
Part = bytes | tuple[int, int]
"""Bytes, or a range of a file."""
Parts = list[Part]
"""What a recording consists of, in order."""


def append_range(parts: Parts, start: int, end: int) -> None:
    """Append a range of the file."""
    last = parts[-1] if parts else None
    if isinstance(last, tuple) and last[1] == start:
        parts[-1] = last[0], end
    else:
        parts.append((start, end))


class Contents(NamedTuple):
    """What a file of sound consists of."""

    links: list[Parts] | None = None
    """The recordings that were joined to it, each as it is to be read; None: the file as it is."""
    fault: AudioError | None = None
    """What is wrong at its end, without a subject."""
    notes: tuple[str, ...] = ()
    """What is wrong and was mended."""


class Spliced(io.RawIOBase):
    """A file that consists of parts of another one.

    Parameters
    ----------
    file : the other one; it has to stay open
    """

    def __init__(self, file: BinaryIO, parts: Parts) -> None:
        self._file, self._parts, self._at = file, parts, 0
        self._sizes = [len(p) if isinstance(p, bytes) else p[1] - p[0] for p in parts]
        self._n_bytes = sum(self._sizes)
        self._part, self._part_start = 0, 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def tell(self) -> int:
        """Return the position."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to a position, or to the nearest possible one, and return it."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._n_bytes}[whence]
        self._at = min(max(base + offset, 0), _MAX_POSITION)
        if self._at < self._part_start:
            self._part, self._part_start = 0, 0
        return self._at

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Fill ``buffer``, but for what is beyond the end; return how much was filled."""
        view, n_filled = memoryview(buffer).cast("B"), 0
        while n_filled < len(view) and self._at < self._n_bytes:
            while self._at >= self._part_start + self._sizes[self._part]:
                self._part_start += self._sizes[self._part]
                self._part += 1
            inside = self._at - self._part_start
            n = min(len(view) - n_filled, self._sizes[self._part] - inside)
            part = self._parts[self._part]
            if isinstance(part, bytes):
                content = part[inside : inside + n]
            else:
                self._file.seek(part[0] + inside)
                content = self._file.read(n)
            if not content:
                break
            view[n_filled : n_filled + len(content)] = content
            n_filled += len(content)
            self._at += len(content)
        return n_filled


def whole(file: BinaryIO) -> BinaryIO:
    """Return a file as one that takes every position, as libraries seek by damaged headers."""
    if isinstance(file, Spliced):
        return file
    n_bytes = file.seek(0, io.SEEK_END)
    spliced = Spliced(file, [(0, n_bytes)])
    file.seek(0)
    return cast(BinaryIO, spliced)


class KnownFile:
    """A file that is open, equal to every one with the same content.

    By it, what took long to find in a file is known when it is opened again.
    """

    def __init__(self, file: io.FileIO) -> None:
        stat = os.fstat(file.fileno())
        self.file, self.n_bytes = cast(BinaryIO, file), stat.st_size
        self._identity = stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns

    def __hash__(self) -> int:
        return hash(self._identity)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, KnownFile) and self._identity == other._identity


class Peek:
    """Reads a few bytes at any position of a file, fast where positions ascend.

    Parameters
    ----------
    n_bytes : size of the file
    n_read : bytes to read of it at a time, and at most
    """

    def __init__(self, file: BinaryIO, n_bytes: int, n_read: int = BLOCK_BYTES) -> None:
        self._file, self.n_bytes, self._n_read = file, n_bytes, n_read
        self._start, self._content = 0, b""

    def at(self, position: int, n: int) -> bytes:
        """Return ``n`` bytes, fewer at the end."""
        start = position - self._start
        if start < 0 or start + n > len(self._content):
            self._file.seek(position)
            n_most = min(self._n_read, max(self.n_bytes - position, 0))
            self._start, self._content, start = position, self._file.read(n_most), 0
        return self._content[start : start + n]
