"""Where files end that are one unit after another, each with its size: frames, tags, blocks.

And those that say in their header how long they are.
"""

import re
import struct
from collections.abc import Callable
from typing import BinaryIO, NamedTuple

from speechcls.formats.mpeg import id3_bytes
from speechcls.formats.splice import Peek

_MAX_UNITS = 1_000_000
"""Beyond them nothing is said of a file's end."""
_TS_BYTES = 188
_N_TS = 1 << 15
"""Packets at the end of a transport stream in which the last ones of its sound start."""
_LONGEST_VOC = 1 << 24
"""Bytes from which on the sizes in a VOC, of three bytes, wrap around."""
_SPHERE = re.compile(rb"(sample_count|channel_count|sample_n_bytes) -i (\d{1,18})\s")
_MAT4_BYTES = (8, 4, 4, 2, 2, 1)
"""Of a number in a matrix, by its code."""


class _Units(NamedTuple):
    """How long each unit is."""

    n_head: int
    """Bytes of the start of a unit that tell it."""
    size_of: Callable[[bytes], int]
    """Its bytes by its start, which has zeros where the file ends; 0 where that does not tell."""
    find_first: Callable[[Peek], int] = lambda peek: 0
    """Where the first one starts."""


def find_units_end(file: BinaryIO, name: str, n_bytes: int) -> int:
    """Return where the last unit of a file ends, or the header says so; else ``n_bytes``.

    Parameters
    ----------
    name : what ffmpeg calls the format, or libsndfile where that reads it
    n_bytes : size of the file
    """
    peek = Peek(file, n_bytes)
    if name in _TOLD:
        return _TOLD[name](peek) or n_bytes
    if name not in _UNITS:
        return n_bytes
    n_head, size_of, find_first = _UNITS[name]
    at = find_first(peek)
    for _ in range(_MAX_UNITS):
        head = peek.at(at, max(n_head, 10)).ljust(n_head, b"\0")
        size = (id3_bytes(head) or size_of(head[:n_head])) if at < n_bytes else 0
        at += size
        if at > n_bytes:
            return at
        if not size:
            break
    return n_bytes


def _number(content: bytes, start: int, end: int) -> int:
    return int.from_bytes(content[start:end], "big")


def _adts_size(head: bytes) -> int:
    """Return the bytes of a frame of AAC, at least those of its header."""
    is_frame = head[0] == 0xFF and head[1] & 0xF6 == 0xF0
    return max(_number(head, 3, 6) >> 5 & 0x1FFF, 7) if is_frame else 0


_AC3_KBITS = (
    *(32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 576, 640),
)


def _ac3_size(head: bytes) -> int:
    """Return the bytes of a frame of AC-3 or E-AC-3, after ETSI TS 102 366."""
    if head[:2] != b"\x0b\x77":
        return 0
    if head[5] >> 3 > 10:
        return 2 * ((_number(head, 2, 4) & 0x7FF) + 1)
    rate, step = head[4] >> 6, head[4] & 0x3F
    if rate == 3 or step >= 2 * len(_AC3_KBITS):
        return 0
    kbits = _AC3_KBITS[step // 2]
    return 2 * (2 * kbits, 320 * kbits // 147 + step % 2, 3 * kbits)[rate]


def _dts_size(head: bytes) -> int:
    """Return the bytes of a core frame of DTS, or of its extension, after ETSI TS 102 114."""
    if head[:4] == b"\x7f\xfe\x80\x01":
        return (_number(head, 4, 8) >> 4 & 0x3FFF) + 1
    if head[:4] != b"\x64\x58\x20\x25":
        return 0
    n_bytes = _number(head, 4, 12)
    return (n_bytes >> 21 & 0xFFFFF if head[5] & 0x20 else n_bytes >> 29 & 0xFFFF) + 1


def _flv_size(head: bytes) -> int:
    """Return the bytes of a tag of Flash video with the size of the one before, in front of it."""
    return 15 + _number(head, 5, 8) if head[4] & 0x1F in (8, 9, 18) else 0


def _program_size(head: bytes) -> int:
    """Return the bytes of a pack header, or a packet, of an MPEG program stream."""
    if head[:3] != b"\0\0\1" or head[3] < 0xB9:
        return 0
    if head[3] == 0xBA:
        return 14 + (head[13] & 7) if head[4] >> 6 == 1 else 12
    size = _number(head, 4, 6)
    return 4 if head[3] == 0xB9 else 6 + size if size else 0


def _real_size(head: bytes) -> int:
    """Return the bytes of a chunk of RealMedia; 0 in one that was sent live."""
    if head[:4] == b"DATA":
        return max(_number(head, 4, 8) - 10, 0)  # FFmpeg counts 10 too many
    return _number(head, 4, 8) if head[:4].strip(b".").isalnum() else 0


def _musepack_size(head: bytes) -> int:
    """Return the bytes of a packet of Musepack SV8, but for the last one."""
    if not head[:2].isalpha() or head[:2] == b"SE":
        return 0
    size = 0
    for byte in head[2:]:
        size = size << 7 | byte & 0x7F
        if byte < 0x80:
            return size
    return 0


def _wavpack_size(head: bytes) -> int:
    return 8 + int.from_bytes(head[4:], "little") if head[:4] == b"wvpk" else 0


def _voc_first(peek: Peek) -> int:
    """Return where the first block of a VOC starts, or the end where sizes may have wrapped."""
    is_long = peek.n_bytes >= _LONGEST_VOC
    return peek.n_bytes if is_long else int.from_bytes(peek.at(20, 2), "little")


def _voc_size(head: bytes) -> int:
    """Return the bytes of a block of a VOC; the one of type 0 is the last."""
    return 4 + int.from_bytes(head[1:4], "little") if 1 <= head[0] <= 9 else 0


def _mat4_size(head: bytes) -> int:
    """Return the bytes of a matrix."""
    order = "<5I" if head[2:4] == b"\0\0" else ">5I"
    code, n_rows, n_columns, has_imaginary, n_name = map(int, struct.unpack(order, head))
    if code % 10 or code // 10 % 10 >= len(_MAT4_BYTES) or not n_name:
        return 0
    n_numbers = n_rows * n_columns * (2 if has_imaginary else 1)
    return 20 + n_name + n_numbers * _MAT4_BYTES[code // 10 % 10]


def _mat5_size(head: bytes) -> int:
    """Return the bytes of an element, in either order of bytes; libsndfile counts 8 too many."""
    for order in ("little", "big"):
        kind, size = int.from_bytes(head[:4], order), int.from_bytes(head[4:8], order)
        if kind in (14, 15):  # a matrix, packed or not
            return size if b"wavedata" in head else 8 + size
    return 0


def _ts_end(peek: Peek) -> int:
    """Return where the last packet of an MPEG transport stream ends, or that of its sound."""
    end = peek.n_bytes - peek.n_bytes % _TS_BYTES
    if peek.at(end, 1) == b"\x47":
        return end + _TS_BYTES
    n_left: dict[int, int] = {}
    for at in range(max(end - _N_TS * _TS_BYTES, 0), end, _TS_BYTES):
        packet = peek.at(at, _TS_BYTES)
        stream, flags = _number(packet, 1, 3) & 0x1FFF, packet[3]
        inside = packet[5 + packet[4] if flags & 0x20 else 4 :]
        if not flags & 0x10:
            continue
        if packet[1] & 0x40:
            size = _number(inside, 4, 6)
            n_left[stream] = 6 + size if size and inside[:3] == b"\0\0\1" else 0
        n_left[stream] = n_left.get(stream, 0) - len(inside)
    return end + max(0, 0, *n_left.values())


def _dsf_end(peek: Peek) -> int:
    head = peek.at(0, 92)
    has_data = head[80:84] == b"data"
    return 80 + int.from_bytes(head[84:92], "little") if has_data else 0


def _sphere_end(peek: Peek) -> int:
    """Return where the samples of a SPHERE file end, unless they are packed."""
    head = peek.at(0, 1_024)
    n_head = head[8:16].strip()
    told = {found[1]: int(found[2]) for found in _SPHERE.finditer(head)}
    if not n_head.isdigit() or b"sample_count" not in told or re.search(rb"coding.*,", head):
        return 0
    n_bytes = told.get(b"channel_count", 1) * told.get(b"sample_n_bytes", 1)
    return int(n_head) + told[b"sample_count"] * n_bytes


def _avr_end(peek: Peek) -> int:
    head = peek.at(0, 128)
    frame_bytes = (2 if head[12:14] == b"\xff\xff" else 1) * (_number(head, 14, 16) // 8)
    return 128 + _number(head, 26, 30) * frame_bytes


def _wve_end(peek: Peek) -> int:
    return 32 + _number(peek.at(0, 32), 18, 22)


_TOLD: dict[str, Callable[[Peek], int]] = {
    "mpegts": _ts_end,
    "dsf": _dsf_end,
    "NIST": _sphere_end,
    "AVR": _avr_end,
    "WVE": _wve_end,
}
_UNITS = {
    "aac": _Units(7, _adts_size),
    "ac3": _Units(6, _ac3_size),
    "eac3": _Units(6, _ac3_size),
    "dts": _Units(12, _dts_size),
    "flv": _Units(8, _flv_size, lambda peek: _number(peek.at(0, 9), 5, 9)),
    "mpeg": _Units(14, _program_size),
    "rm": _Units(8, _real_size),
    "mpc8": _Units(11, _musepack_size, lambda peek: 4),
    "wv": _Units(8, _wavpack_size),
    "voc": _Units(4, _voc_size, _voc_first),
    "VOC": _Units(4, _voc_size, _voc_first),
    "MAT4": _Units(20, _mat4_size),
    "MAT5": _Units(64, _mat5_size, lambda peek: 128),
}
