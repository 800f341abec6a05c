"""Where the samples of a WAV, AIFF, AU, CAF or W64 are, whatever size its header claims."""

import io
import struct
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple, cast

from speechcls.errors import AudioError
from speechcls.formats.splice import SIZE_NOTE, TRIFLE, Contents, Parts, Spliced

SIZE_UNKNOWN = 0x7FFF_0000
"""From this size on (about 2 or 4 GiB) a WAV was written into a pipe, its size not known."""
_UNKNOWN_64 = 1 << 62
_MAX_CHUNKS = 1_000
_MAX_JOINED = 1_000
_MAX_HEADER = 1 << 24
_MAX_BEHIND = 1 << 16
"""Bytes behind the samples of which it is judged what they are."""
BEHIND_NOTE = "what is behind the samples that its header tells of was not read"
_W64_TAIL = (b"\xf3\xac\xd3\x11\x8c\xd1\x00\xc0\x4f\x8e\xdb\x8a",)
_AU_BYTES = {1: 1, 2: 1, 3: 2, 4: 3, 5: 4, 6: 4, 7: 8, 27: 1}
"""Bytes of a sample of an AU, by its encoding."""

_MAX_POSITION = 1 << 40
"""Damaged headers lead further, where no file system goes."""


class _Family(NamedTuple):
    """How the chunks of a format are written."""

    n_id: int
    """Bytes of a chunk's name."""
    size: str
    """Its size, as ``struct`` calls it."""
    n_inside: int
    """How much of the chunk's head the size counts."""
    align: int
    """Chunks start at multiples of it."""
    n_head: int
    """Bytes before the first chunk."""
    samples: bytes
    """Name of the chunk of the samples."""
    n_before: int
    """Bytes in it before the samples."""
    format: bytes
    """Name of the chunk that describes them."""


_RIFF = _Family(4, "<I", 0, 2, 12, b"data", 0, b"fmt ")
_FAMILIES = {
    b"RIFF": _RIFF,
    b"RF64": _RIFF,
    b"BW64": _RIFF,
    b"RIFX": _RIFF._replace(size=">I"),
    b"FORM": _Family(4, ">I", 0, 2, 12, b"SSND", 8, b"COMM"),
    b"caff": _Family(4, ">Q", 0, 1, 8, b"data", 4, b"desc"),
    b"riff": _Family(16, "<Q", 24, 8, 40, b"data" + _W64_TAIL[0], 0, b"fmt " + _W64_TAIL[0]),
}


class _Shifted:
    """A file from one of its positions on."""

    def __init__(self, file: BinaryIO, start: int) -> None:
        self._file, self._start = file, start

    def seek(self, position: int) -> None:
        """Go to a position."""
        self._file.seek(min(self._start + position, _MAX_POSITION))

    def read(self, n_bytes: int) -> bytes:
        """Return the next bytes, fewer at the end."""
        return self._file.read(n_bytes)


class _Zeros(io.RawIOBase):
    """Zeros without end."""

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Return the position, which makes no difference."""
        return offset

    def read(self, size: int = -1) -> bytes:
        """Return the next zeros."""
        return bytes(size)


class _Layout(NamedTuple):
    """Where a header says that the samples are."""

    start: int
    """First byte of the samples."""
    claimed: int | None
    """Their size, bytes; None where the header says that it is not known."""
    frame_bytes: int
    """Of one sample of each channel, or of the smallest packed piece."""
    size_at: int
    """Where the size is written."""
    size_format: str
    n_uncounted: int
    """What the written size counts on top of the samples."""
    n_frames_at: int | None = None
    """Where the number of frames is written (AIFF)."""
    second_bytes: int = 0
    """Bytes of a second of sound, 0 where that is not known."""


class Extent(NamedTuple):
    """The samples that are there."""

    n_bytes: int
    is_mended: bool = False
    """Whether its header has to say something else."""
    fault: AudioError | None = None
    note: str | None = None
    next_at: int | None = None
    """Where a second WAV starts that was appended to the first."""


def find_wav_contents(file: BinaryIO, head: bytes, n_bytes: int) -> Contents | None:
    """Return what a WAV, AIFF, AU, CAF or W64 consists of; None of anything else.

    Parameters
    ----------
    head : its first bytes
    n_bytes : size of the file
    """
    if head[:4] != b".snd" and head[:4] not in _FAMILIES:
        return None
    links: list[Parts] = []
    at: int | None = 0
    fault, notes, is_same = None, [], True
    while at is not None and len(links) < _MAX_JOINED:
        part = _Shifted(file, at)
        layout = _au_layout(head) if head[:4] == b".snd" else _find_layout(part, head)
        if layout is None or layout.start > min(n_bytes - at, _MAX_HEADER):
            notes += [BEHIND_NOTE] if links else []
            break
        extent = _find_extent(part, head, layout, n_bytes - at)
        end = n_bytes if extent.next_at is None else at + extent.next_at
        parts: Parts = [(at, end)]
        if extent.is_mended:
            parts = _mend(part, at, layout, extent.n_bytes)
        links.append(parts)
        fault = fault or extent.fault
        notes += [extent.note] if extent.note and extent.note not in notes else []
        is_same = is_same and not extent.is_mended and extent.next_at is None
        at = None if extent.next_at is None else end
    return Contents(None if is_same else links, fault, tuple(notes))


def judge_behind(header: bytes, n_claimed: int, behind: bytes) -> Extent:
    """Return how far the samples of a WAV go of which all came that its header tells of.

    Parameters
    ----------
    header : what stands before the samples
    n_claimed : bytes of samples that it tells of
    behind : what came behind them
    """
    zeros = cast(BinaryIO, _Zeros())  # in place of the samples, which nothing depends on
    parts: Parts = [header, (0, n_claimed), behind]
    file = _Shifted(cast(BinaryIO, Spliced(zeros, parts)), 0)
    layout = _find_layout(file, header)
    n_bytes = len(header) + n_claimed + len(behind)
    return _find_extent(file, header, layout, n_bytes) if layout else Extent(n_claimed)


def _find_extent(file: _Shifted, head: bytes, layout: _Layout, n_bytes: int) -> Extent:
    """Return the samples of the file, whatever the header claims."""
    there = n_bytes - layout.start
    if layout.claimed is None or layout.claimed == there:
        return Extent(there)
    missing = layout.claimed - there
    if missing > max(TRIFLE, layout.frame_bytes):
        counts = f"{there} of {layout.claimed} bytes"
        return Extent(there, True, AudioError(f"truncated ({counts}); copy it again"))
    if missing > 0:
        return Extent(there, True, None, SIZE_NOTE)
    claimed = layout.claimed
    family, end = _FAMILIES.get(head[:4]), layout.start + claimed
    if family is not None:
        for at in dict.fromkeys([end + -end % family.align, end]):
            is_over, next_at = _walk_behind(file, family, at, n_bytes)
            if is_over:
                return Extent(claimed, next_at=next_at)
    if there - claimed < layout.frame_bytes:
        return Extent(claimed)
    if not claimed:
        return Extent(there, True, None, SIZE_NOTE)
    return _judge_behind(file, layout, n_bytes)


def _mend(file: _Shifted, at: int, layout: _Layout, there: int) -> Parts:
    """Return the file from ``at`` on with a header that tells of ``there`` bytes of samples."""
    file.seek(0)
    header = bytearray(file.read(layout.start))
    n_size = struct.calcsize(layout.size_format)
    size = min(there + layout.n_uncounted, (1 << 8 * n_size) - 1)
    struct.pack_into(layout.size_format, header, layout.size_at, size)
    if layout.n_frames_at is not None:
        n_frames = min(there // layout.frame_bytes, 0xFFFF_FFFF)
        struct.pack_into(">I", header, layout.n_frames_at, n_frames)
    return [bytes(header), (at + layout.start, at + layout.start + there)]


def _walk_behind(file: _Shifted, family: _Family, at: int, n_bytes: int) -> tuple[bool, int | None]:
    """Return whether only chunks go from ``at`` to the end, and where a second WAV starts."""
    n_head = family.n_id + struct.calcsize(family.size)
    for _ in range(_MAX_CHUNKS):
        file.seek(at)
        head = file.read(n_head + 4)
        if at >= n_bytes:
            return at <= n_bytes + family.align - 1, None
        if head[:4] == b"RIFF" and head[8:12] == b"WAVE":
            return True, at
        if len(head) < n_head:
            return not head.strip(b"\0"), None
        name = head[: family.n_id]
        if not _is_text(name[:4]) or name[4:] not in (b"", *_W64_TAIL):
            return False, None
        (size,) = struct.unpack_from(family.size, head, family.n_id)
        at += max(size - family.n_inside, 0) + n_head
        at += -at % family.align if at < n_bytes else 0
    return False, None


def _judge_behind(file: _Shifted, layout: _Layout, n_bytes: int) -> Extent:
    """Return the samples where more is behind those of the header, which are not chunks alone."""
    claimed, there = layout.claimed or 0, n_bytes - layout.start
    end, own_end = layout.start + claimed, _own_end(file)
    file.seek(end)
    behind = file.read(_MAX_BEHIND)
    starts = [start for start in (0, 1) if _is_text(behind[start : start + 4])]
    sizes = [int.from_bytes(behind[start + 4 : start + 8], "little") for start in starts]
    is_whole = own_end == n_bytes and not any(size <= n_bytes - end for size in sizes)
    if (not is_whole and starts) or not behind.strip(b"\0"):
        return Extent(claimed)  # tags, or filling
    is_right = own_end is not None and end <= own_end <= end + 1
    if not is_whole and (is_right or n_bytes - end < layout.second_bytes // 10):
        return Extent(claimed, note=BEHIND_NOTE)
    return Extent(there, True, None, SIZE_NOTE)


def _own_end(file: _Shifted) -> int | None:
    """Return where a file ends by the size of all of it in its header; None without one."""
    file.seek(0)
    head = file.read(24)
    family = _FAMILIES.get(head[:4])
    if family is None or family.n_head <= 8:
        return None
    (size,) = struct.unpack_from(family.size, head, family.n_id)
    return int(size) + (0 if family.n_inside else 8)


def chunk_bytes(head: bytes) -> int | None:
    """Return the bytes of a chunk of a WAV by its first 8; None where they are no chunk."""
    return 8 + int.from_bytes(head[4:8], "little") if len(head) > 7 and _is_text(head[:4]) else None


def _is_text(content: bytes) -> bool:
    return len(content) == 4 and all(32 <= byte < 127 for byte in content)


def _au_layout(head: bytes) -> _Layout | None:
    if len(head) < 24:
        return None
    start, claimed, encoding, rate, n_channels = struct.unpack_from(">5I", head, 4)
    frame_bytes = max(_AU_BYTES.get(encoding, 1) * n_channels, 1)
    known = claimed if claimed < SIZE_UNKNOWN else None
    return _Layout(start, known, frame_bytes, 8, ">I", 0, None, rate * frame_bytes)


def _find_layout(file: _Shifted, head: bytes) -> _Layout | None:
    """Return what the chunks before the samples say."""
    family = _FAMILIES.get(head[:4])
    if family is None:
        return None
    frame_bytes, second_bytes, n_frames_at, size_64 = 1, 0, None, None
    for name, at, size in _chunks(file, family):
        if name == b"ds64":
            file.seek(at + 8)
            size_64 = at + 8, int.from_bytes(file.read(8), "little")
        elif name == family.format:
            file.seek(at)
            frame_bytes, second_bytes = _frame_bytes(head[:4], file.read(40))
            n_frames_at = at + 2 if name == b"COMM" else None
        elif name == family.samples and size == 0xFFFF_FFFF and size_64:
            known = size_64[1] if size_64[1] < _UNKNOWN_64 else None
            return _Layout(at, known, frame_bytes, size_64[0], "<Q", 0, None, second_bytes)
        elif name == family.samples:
            unknown = SIZE_UNKNOWN if family.size[1] == "I" else _UNKNOWN_64
            before, size_at = family.n_before, at - struct.calcsize(family.size)
            inside = family.n_inside + before
            known = max(size - before, 0) if size < unknown else None
            sizes = size_at, family.size, inside
            return _Layout(at + before, known, frame_bytes, *sizes, n_frames_at, second_bytes)
    return None


def _chunks(file: _Shifted, family: _Family) -> Iterator[tuple[bytes, int, int]]:
    """Yield the name of each chunk, the position of its content, and its size, bytes."""
    at, n_head = family.n_head, family.n_id + struct.calcsize(family.size)
    for _ in range(_MAX_CHUNKS):
        file.seek(at)
        head = file.read(n_head)
        if len(head) < n_head:
            return
        (size,) = struct.unpack_from(family.size, head, family.n_id)
        size = max(size - family.n_inside, 0)
        yield head[: family.n_id], at + n_head, size
        at += n_head + size
        at += -at % family.align


def _frame_bytes(magic: bytes, content: bytes) -> tuple[int, int]:
    """Return the bytes of a frame and of a second by the chunk that describes the samples."""
    if magic == b"FORM":
        n_bits = max(int.from_bytes(content[6:8], "big"), 1)
        n_bytes = max(int.from_bytes(content[:2], "big") * -(-n_bits // 8), 1)
        exponent = int.from_bytes(content[8:10], "big") - 16_383 - 63  # of 80 bits
        mantissa = int.from_bytes(content[10:18], "big")
        rate = mantissa >> -exponent if -64 < exponent <= 0 else 0
        return n_bytes, rate * n_bytes
    if magic == b"caff":
        n_bytes = max(int.from_bytes(content[16:20], "big"), 1)
        (rate,) = struct.unpack(">d", content[:8].rjust(8, b"\0"))
        return n_bytes, int(rate * n_bytes) if 1 <= rate <= 1e6 else 0
    code = ">IH" if magic == b"RIFX" else "<IH"
    second_bytes, n_bytes = struct.unpack(code, content[8:14].ljust(6, b"\0"))
    return max(n_bytes, 1), second_bytes


def check_wav_format(content: bytes) -> None:
    """Refuse a WAV whose samples are padded, or of sizes that contradict each other.

    libsndfile would read noise.

    Parameters
    ----------
    content : of its chunk ``fmt ``

    Raises
    ------
    AudioError
        Without a subject.
    """
    if len(content) < 16:
        return
    tag, n_channels, _, _, n_bytes, n_bits = struct.unpack("<HHIIHH", content[:16])
    if tag not in (1, 3, 0xFFFE) or not n_channels or not n_bytes or not n_bits:
        return
    if n_bytes != n_channels * -(-n_bits // 8):
        raise AudioError(
            f"{n_channels} channels of {n_bits} bits in {n_bytes} bytes, a header that contradicts"
            " itself; export it again"
        )
