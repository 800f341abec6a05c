"""Where a file ends by what its parts promise: containers, and ``units`` of other formats."""

import re
from collections.abc import Iterator
from typing import BinaryIO

from speechcls.errors import AudioError
from speechcls.formats.splice import SIZE_NOTE, TRIFLE
from speechcls.formats.units import find_units_end

_LIST = re.compile(rb"LIST(....)INFO", re.DOTALL)
_ALAC = re.compile(rb"alac\0\0\0\0(....)", re.DOTALL)
_LONGEST_ALAC = 1 << 16
"""Samples of a frame of Apple's lossless coding; encoders write 4,096."""
_TABLE = re.compile(rb"stsz\0{4}(....)(....)", re.DOTALL)
_FRAGMENT = re.compile(rb"trun[\0\x01]\0..(....)", re.DOTALL)
_PCM_TIMES = re.compile(rb"stts\0{7}\x01....\0{3}\x01", re.DOTALL)
_MOST_SAMPLES = 1 << 20
"""Samples of an MPEG-4 file, each a packet, that may be claimed; ffmpeg takes 48 bytes for each."""
_SEARCHED = 1 << 24


def claims_fit(file: BinaryIO) -> bool:
    """Return whether the sizes that ffmpeg allocates by a file's word alone are possible.

    They are those of the texts in a WAV or AVI, of a frame of Apple's lossless coding, and of the
    table of samples of an MPEG-4 file.
    """
    n_bytes = file.seek(0, 2)
    file.seek(0)
    content = file.read(_SEARCHED)
    if content[:4] != b"RIFF":
        sizes = (int.from_bytes(found[1], "big") for found in _ALAC.finditer(content))
        return all(size <= _LONGEST_ALAC for size in sizes) and _samples_fit(content, n_bytes)
    return all(
        found.start() + 8 + int.from_bytes(found[1], "little") <= n_bytes
        for found in _LIST.finditer(content)
    )


def _samples_fit(content: bytes, n_bytes: int) -> bool:
    """Return whether an MPEG-4 file can have the samples that its boxes claim."""
    for found in _FRAGMENT.finditer(content):
        if int.from_bytes(found[1], "big") > _MOST_SAMPLES:
            return False
    if _PCM_TIMES.search(content):  # read by chunks
        return True
    for found in _TABLE.finditer(content):
        size, n_samples = (int.from_bytes(part, "big") for part in found.groups())
        # Without a common size, a table has four bytes for the size of each.
        if n_samples > _MOST_SAMPLES and n_samples * (size or 4) > n_bytes:
            return False
    return True


_AMR_BYTES = {
    b"#!AMR\n": (13, 14, 16, 18, 20, 21, 27, 32, 6, 1, 1, 1, 1, 1, 1, 1),
    b"#!AMR-WB\n": (18, 24, 33, 37, 41, 47, 51, 59, 61, 6, 1, 1, 1, 1, 1, 1),
}
"""Bytes of a frame by its type, after 3GPP TS 26.101 and 26.201."""
_PARTS = 1_000_000  # of a file, at most: beyond them nothing is said of its end


def find_cut(file: BinaryIO, demuxer: str | None, n_bytes: int) -> AudioError | None:
    """Return the error of a file whose parts promise more bytes than it has; None of a whole one.

    Parameters
    ----------
    demuxer : what ffmpeg calls the format
    n_bytes : size of the file
    """
    name = demuxer or ""
    ends = {"mov": _box_end, "matroska": _ebml_end, "asf": _asf_end, "amr": _amr_end}
    ends |= {"avi": _riff_end}
    find_end = ends.get(name)
    end = find_end(file, n_bytes) if find_end else find_units_end(file, name, n_bytes)
    if end is None:
        return AudioError(
            "an MPEG-4 file without its index: never finished, or copied in part; copy it again"
        )
    return _truncated(end, n_bytes) if end > n_bytes else None


def _truncated(end: int, n_bytes: int) -> AudioError:
    return AudioError(f"truncated ({n_bytes} of at least {end} bytes); copy it again")


def judge_end(file: BinaryIO, name: str) -> tuple[AudioError | None, list[str]]:
    """Return the error and the notes of a file whose header promises more than it has.

    It is left at its position.

    Parameters
    ----------
    name : what libsndfile calls the format
    """
    at = file.tell()
    n_bytes = file.seek(0, 2)
    end = find_units_end(file, name, n_bytes)
    file.seek(at)
    if end > n_bytes + TRIFLE:
        return _truncated(end, n_bytes), []
    return None, [SIZE_NOTE] if end > n_bytes else []


def is_fragmented(file: BinaryIO, n_bytes: int) -> bool:
    """Return whether an MPEG-4 file tells of its samples piece by piece, not in one table."""
    return any(name == b"moof" for name, _ in _boxes(file, n_bytes))


def is_encrypted(file: BinaryIO) -> bool:
    """Return whether the sound of an MPEG-4 file is encrypted."""
    file.seek(0)
    return b"enca\0\0\0\0\0\0" in file.read(_SEARCHED)  # a sample entry: six zeros follow


def _boxes(file: BinaryIO, n_bytes: int) -> Iterator[tuple[bytes, int]]:
    """Yield the name of each box of an MPEG-4 file and where it ends."""
    at = 0
    for _ in range(_PARTS):
        file.seek(at)
        head = file.read(16)
        if len(head) < 8 or not head[:8].strip(b"\0"):
            break
        size = int.from_bytes(head[:4], "big")
        if size == 1:
            size = int.from_bytes(head[8:16], "big")
        at = at + size if size else n_bytes
        yield head[4:8], at
        if at > n_bytes or 0 < size < 8:
            break


def _box_end(file: BinaryIO, n_bytes: int) -> int | None:
    """Return where the last box of an MPEG-4 file ends; None where it has no index."""
    boxes = list(_boxes(file, n_bytes))
    at = boxes[-1][1] if boxes else 0
    has_index = any(name in (b"moov", b"moof") for name, _ in boxes)
    return max(at, n_bytes + 1) if at > n_bytes else n_bytes if has_index else None


def _vint(content: bytes, at: int, keep_mark: bool = False) -> tuple[int | None, int]:
    """Return an EBML number (None: unknown size, or cut off) and where it ends."""
    first = content[at] if at < len(content) else 0
    n = 9 - first.bit_length()
    if n > 8 or at + n > len(content):
        return None, at + max(n, 1)
    value = int.from_bytes(content[at : at + n], "big")
    if keep_mark:
        return value, at + n
    value &= (1 << 7 * n) - 1
    return (None if value == (1 << 7 * n) - 1 else value), at + n


_SEGMENT, _CLUSTER = 0x18538067, 0x1F43B675


def _ebml_end(file: BinaryIO, n_bytes: int) -> int:
    """Return where the last element of a WebM or Matroska file ends."""
    at = 0
    for _ in range(_PARTS):
        if at >= n_bytes:
            break
        file.seek(at)
        head = file.read(12)
        name, inside = _vint(head, 0, keep_mark=True)
        size, inside = _vint(head, inside)
        if name is None:
            return n_bytes
        if size is None and inside > len(head):
            return n_bytes + 1
        if name in (_SEGMENT, _CLUSTER) and (size is None or at + inside + size <= n_bytes):
            at += inside  # look into it
        elif size is None:
            return n_bytes
        else:
            at += inside + size
    return at


def _asf_end(file: BinaryIO, n_bytes: int) -> int:
    """Return the size that an ASF file says it has."""
    file.seek(0)
    head = file.read(4_096)
    at = head.find(bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365"))  # File Properties
    if at < 0 or at + 92 > len(head) or head[at + 88] & 1:  # live: the size is not known
        return n_bytes
    return int.from_bytes(head[at + 40 : at + 48], "little")


def _amr_end(file: BinaryIO, n_bytes: int) -> int:
    """Return where the last frame of AMR ends."""
    file.seek(0)
    head = file.read(9)
    for magic, sizes in _AMR_BYTES.items():
        if head.startswith(magic):
            at = len(magic)
            file.seek(at)
            while frame := file.read(1):
                at += sizes[frame[0] >> 3 & 15]
                file.seek(at)
            return at
    return n_bytes


def _riff_end(file: BinaryIO, n_bytes: int) -> int:
    """Return where the first list of an AVI ends."""
    file.seek(0)
    size = int.from_bytes(file.read(8)[4:], "little")
    return 8 + size if 0 < size < 0x7FFF_0000 else n_bytes
