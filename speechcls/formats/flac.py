"""FLAC part by part, and to its end.

libsndfile stops at as many samples as the header tells of, and of joined ones hears the first.
"""

import io
import re
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from typing import BinaryIO, NamedTuple

from speechcls.formats.mpeg import id3_bytes
from speechcls.formats.splice import SIZE_NOTE, Contents, KnownFile, Parts, Peek

_BLOCK = 1 << 17
"""Bytes that are looked at a time; the last two frames are looked for in so many at the end."""
_HEAD = 42
"""Bytes up to the end of the block that tells of the stream."""
_START = re.compile(rb"fLaC[\x00\x80]\0\0\x22")
_SYNCS = (b"\xf8", b"\xf9")
"""What follows 0xff where a frame begins."""
_BLOCK_SIZES = {1: 192} | {i: 576 << (i - 2) for i in range(2, 6)}
_BLOCK_SIZES |= {i: 256 << (i - 8) for i in range(8, 16)}


class _Frame(NamedTuple):
    """Which samples a frame holds."""

    start: int
    end: int


def find_flac_contents(file: BinaryIO, head: bytes, n_bytes: int) -> Contents:
    """Return what a FLAC consists of: its parts, each to the end that its last frames tell.

    Parameters
    ----------
    head : its first bytes
    n_bytes : size of the file
    """
    if not _START.match(head) or len(head) < _HEAD:
        return Contents()
    if n_bytes <= _BLOCK and _is_plain(file, head, n_bytes):
        return Contents()
    peek = Peek(file, n_bytes, _BLOCK)
    if n_bytes > _BLOCK and isinstance(file, io.FileIO):
        starts = _known_starts(KnownFile(file))
    else:
        starts = _find_starts(peek)
    links = [_link(peek, start, end) for start, end in pairwise((*starts, n_bytes))]
    if links == [[(0, n_bytes)]]:
        return Contents()
    is_mended = any(isinstance(part, bytes) for parts in links for part in parts)
    return Contents(links, None, (SIZE_NOTE,) if is_mended else ())


def _is_plain(file: BinaryIO, head: bytes, n_bytes: int) -> bool:
    """Return whether a short file is one FLAC that ends as told, as nearly all are."""
    file.seek(0)
    content = file.read(n_bytes)
    if _START.search(content, _HEAD):
        return False
    n_block, _, _, n_told = _read_info(head)
    last = _find_last(content, n_block, n_told)
    return last is not None and last.end == n_told


@lru_cache(maxsize=256)
def _known_starts(known: KnownFile) -> Sequence[int]:
    # One long recording may be read in a thousand parts.
    return _find_starts(Peek(known.file, known.n_bytes, _BLOCK))


def _find_starts(peek: Peek) -> Sequence[int]:
    """Return where the parts of a file start, the first one at 0."""
    starts, at = [0], _HEAD
    while at + _HEAD < peek.n_bytes:
        content = peek.at(at, min(_BLOCK, peek.n_bytes - at))
        found = _START.search(content)
        if found is None:
            at += max(len(content) - 7, 1)  # a start may be cut by the end of what was read
            continue
        start = at + found.start()
        own = _first_frame(peek, starts[-1]) or 0
        frame = _first_frame(peek, start) if start >= own else None
        if frame is not None:
            starts.append(start)
        at = max(frame or start + 1, own)
    return starts


def _first_frame(peek: Peek, start: int) -> int | None:
    """Return where the sound of the FLAC starts that begins at ``start``; None where none does.

    What is in the blocks before it, such as pictures, is not the file's own sound.
    """
    n_block, rate, n_bits, _ = _read_info(peek.at(start, _HEAD))
    if n_block < 16 or not rate or n_bits < 4:
        return None
    at, is_last = start + 4, False
    while not is_last:
        block = peek.at(at, 4)
        if len(block) < 4:
            return None
        at, is_last = at + 4 + int.from_bytes(block[1:], "big"), block[0] > 0x7F
    return at if _parse(peek.at(at, 16).ljust(16, b"\0"), n_block) else None


def _read_info(head: bytes) -> tuple[int, int, int, int]:
    """Return the samples of a frame, the rate, Hz, the bits, and the samples of all.

    Source
    ------
    RFC 9639, section 8.2
    """
    field = int.from_bytes(head[18:26], "big")
    n_block = int.from_bytes(head[8:10], "big")
    return n_block, field >> 44, (field >> 36 & 31) + 1, field & (1 << 36) - 1


def _link(peek: Peek, start: int, end: int) -> Parts:
    """Return what libsndfile reads as all of the FLAC in a range of the file."""
    head = peek.at(start, _HEAD)
    n_block, _, _, n_told = _read_info(head)
    n_tail = min(_BLOCK, end - start)
    tail = peek.at(end - n_tail, n_tail)
    if not n_told:
        return [(start, end - _tag_bytes(tail))]
    last = _find_last(tail, n_block, n_told)
    if last is None or last.end <= n_told:
        return [(start, end)]
    field = int.from_bytes(head[18:26], "big") >> 36 << 36 | last.end
    return [head[:18] + field.to_bytes(8, "big") + head[26:], (start + _HEAD, end)]


def _tag_bytes(tail: bytes) -> int:
    """Return the length of the ID3 tags at an end, where libsndfile expects another frame."""
    end = len(tail)
    while True:
        at = max(end - 128, 0)
        if tail[at : at + 3] != b"TAG":
            at = tail.rfind(b"ID3", 0, end)
            if at < 0 or id3_bytes(tail[at:end]) != end - at:
                return len(tail) - end
        end = at


def _find_last(tail: bytes, n_block: int, n_told: int) -> _Frame | None:
    """Return the last frame: one that ends as told, or follows another one: no coincidences."""
    later: list[_Frame] = []
    at = len(tail)
    while (at := tail.rfind(b"\xff", 0, at)) >= 0:
        if tail[at + 1 : at + 2] not in _SYNCS:
            continue
        frame = _parse(tail[at : at + 16].ljust(16, b"\0"), n_block)
        if frame is None:
            continue
        if not later and frame.end == n_told:  # as in nearly every file
            return frame
        for follower in later:
            if follower.start == frame.end:
                return follower
        later.append(frame)
    return None


def _parse(head: bytes, n_block: int) -> _Frame | None:
    """Return the frame that begins with these bytes; None where none does.

    Source
    ------
    RFC 9639, section 9.1
    """
    if head[0] != 0xFF or head[1] & 0xFE != 0xF8 or head[2] >> 4 == 0 or head[2] & 15 == 15:
        return None
    if head[3] & 1 or head[3] >> 4 > 10:
        return None
    n_number = max(8 - (head[4] ^ 0xFF).bit_length(), 1)  # bytes, coded as in UTF-8
    if (n_number == 1 and head[4] > 127) or n_number > 7:
        return None
    number = head[4] & (0x7F if n_number == 1 else (1 << 7 - n_number) - 1)
    for byte in head[5 : 4 + n_number]:
        number = number << 6 | byte & 0x3F
    at, code = 4 + n_number, head[2] >> 4
    if code in (6, 7):
        n_samples = int.from_bytes(head[at : at + code - 5], "big") + 1
        at += code - 5
    else:
        n_samples = _BLOCK_SIZES[code]
    at += {12: 1, 13: 2, 14: 2}.get(head[2] & 15, 0)
    if _checksum(head[:at]) != head[at]:
        return None
    start = number if head[1] & 1 else number * n_block
    return _Frame(start, start + n_samples)


def _checksum(content: bytes) -> int:
    """Return the CRC-8 of a frame's header, polynomial 7."""
    value = 0
    for byte in content:
        value = _CRC[value ^ byte]
    return value


def _crc_of(value: int) -> int:
    for _ in range(8):
        value = (value << 1 ^ 0x07 if value & 0x80 else value << 1) & 0xFF
    return value


_CRC = [_crc_of(value) for value in range(256)]
