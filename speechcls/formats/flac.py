"""FLAC whose header tells of fewer samples than follow: libsndfile stops at what it tells."""

from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from speechcls.formats.splice import SIZE_NOTE, Contents

_TAIL = 1 << 17
"""Bytes at the end in which the last two frames are looked for."""
_BLOCK_SIZES = {1: 192} | {i: 576 << (i - 2) for i in range(2, 6)}
_BLOCK_SIZES |= {i: 256 << (i - 8) for i in range(8, 16)}


class _Frame(NamedTuple):
    """Which samples a frame holds."""

    start: int
    end: int


def find_flac_contents(file: BinaryIO, head: bytes, n_bytes: int) -> Contents:
    """Return what a FLAC consists of, by the numbers of its last frames.

    Parameters
    ----------
    head : its first bytes
    n_bytes : size of the file
    """
    if head[4] & 0x7F or len(head) < 42:  # its first block has to tell of the stream
        return Contents()
    n_told = int.from_bytes(head[18:26], "big") & (1 << 36) - 1
    if not n_told:
        return Contents()
    file.seek(max(n_bytes - _TAIL, 0))
    tail = file.read(_TAIL)
    n_block = int.from_bytes(head[8:10], "big")
    last = _find_last(tail, n_block, n_told)
    if last is None or last.end <= n_told:
        return Contents()
    header = bytearray(head[:42])
    field = int.from_bytes(header[18:26], "big") >> 36 << 36 | last.end
    header[18:26] = field.to_bytes(8, "big")
    return Contents([[bytes(header), (42, n_bytes)]], None, (SIZE_NOTE,))


def _find_last(tail: bytes, n_block: int, n_told: int) -> _Frame | None:
    """Return the last frame: one that ends as told, or follows another one: no coincidences."""
    later: list[_Frame] = []
    for at in _syncs_from_behind(tail):
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


def _syncs_from_behind(tail: bytes) -> Iterator[int]:
    at = len(tail)
    while (at := tail.rfind(b"\xff", 0, at)) >= 0:
        if tail[at + 1 : at + 2] in (b"\xf8", b"\xf9"):
            yield at


def _parse(head: bytes, n_block: int) -> _Frame | None:
    """Return the frame that begins with these bytes; None where none does.

    Source
    ------
    RFC 9639, section 9.1
    """
    if head[1] & 0xFE != 0xF8 or head[2] >> 4 == 0 or head[2] & 15 == 15:
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
