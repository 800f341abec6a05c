"""MP3 frame by frame.

libsndfile takes an MP3 for as long as it estimates, and of joined ones hears the first.
"""

import re
import struct
from dataclasses import dataclass, field
from functools import lru_cache
from typing import BinaryIO, NamedTuple

from speechcls.errors import AudioError, EmptyError
from speechcls.formats.splice import BLOCK_BYTES, Contents, Parts, Peek, append_range


def id3_bytes(head: bytes) -> int:
    """Return the length of the ID3v2 tag that ``head`` begins with, 0 without one."""
    if head[:3] != b"ID3" or len(head) < 10 or max(head[6:10]) > 127 or 0xFF in head[3:5]:
        return 0
    size = head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9]
    return 10 + size + (10 if head[5] & 0x10 else 0)


class MpegFrame(NamedTuple):
    """What the header of an MPEG audio frame says."""

    n_bytes: int
    """0 of the free format, which does not say."""
    n_samples: int
    """Of each channel."""
    rate: int
    """Hz."""
    version: int
    """1, 2, or 3 for 2.5."""
    layer: int
    is_mono: bool


_KBITS = {
    (1, 1): (0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (1, 2): (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (1, 3): (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (2, 1): (0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (2, 2): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (2, 3): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
"""Bit rates, kbit/s, by version (2.5 is as 2) and layer."""


def mpeg_frame(head: bytes) -> MpegFrame | None:
    """Return what the MPEG audio frame that begins with these 4 bytes is; None where it is none.

    Source
    ------
    ISO/IEC 11172-3 and 13818-3, section 2.4.1.3; version 2.5 as every decoder reads it.
    """
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return None
    version, layer = (3, 0, 2, 1)[head[1] >> 3 & 3], 4 - (head[1] >> 1 & 3)
    step, rate_index = head[2] >> 4, head[2] >> 2 & 3
    if not version or layer == 4 or step == 15 or rate_index == 3:
        return None
    rate = (44_100, 48_000, 32_000)[rate_index] >> (version - 1)
    n_samples = 384 if layer == 1 else 576 if layer == 3 and version > 1 else 1_152
    slot = 4 if layer == 1 else 1
    kbits = _KBITS[min(version, 2), layer][step]
    n_slots = n_samples // 8 // slot * kbits * 1_000 // rate + (head[2] >> 1 & 1)
    n_bytes = n_slots * slot if kbits else 0
    return MpegFrame(n_bytes, n_samples, rate, version, layer, head[3] >> 6 == 3)


def is_free_format(head: bytes) -> bool:
    """Return whether MPEG audio of the free format begins so, whose frames tell no length.

    Parameters
    ----------
    head : the first bytes of a file; three frames in a row are looked for in them
    """
    frame = mpeg_frame(head[:4])
    if frame is None or frame.n_bytes:
        return False
    starts = [
        found.start()
        for found in re.finditer(re.escape(head[:2]), head)
        if len(head) > found.end() and (head[found.end()] ^ head[2]) & 0xFC == 0  # but for padding
    ]
    return any(
        abs(third - 2 * second) <= _SLOT
        for second in starts[1:]
        for third in starts
        if third > second
    )


_SLOT = 4
"""Bytes by which frames of one bit rate differ, at most."""
_frame_at = lru_cache(maxsize=4_096)(mpeg_frame)
_SYNC = re.compile(rb"\xff[\xe0-\xff]|ID3")
_BEHIND = (b"TAG", b"APE", b"LYR", b"ID3", b"\0\0\0")
"""How begins what may follow the last frame."""
_CUT = "truncated (its last frame is incomplete); copy it again"
_CUT_NOTE = "ends within its last frame; it may be truncated"
_N_CONFIRMED = 3
"""Frames in a row that are no coincidence."""
_RESERVOIR = (511, 255)
"""Bytes before a frame in which it may begin, of version 1 and of the others."""
_MOST_JUNK = 1 << 20
"""Bytes behind which no first frame is looked for any more."""
_DECODER_DELAY = 529
"""Samples that mpg123 takes off the start of a stream whose encoder delay is known."""


@dataclass
class _Stream:
    """The MP3 frames of one encoder."""

    head: bytes
    frame: MpegFrame
    info: tuple[int, int] | None = None
    """Where its Xing or Info frame is, which holds no sound."""
    n_promised: int | None = None
    parts: Parts = field(default_factory=list)
    n_found: int = 0

    def is_followed_by(self, frame: MpegFrame) -> bool:
        """Whether a frame behind the last one needs no confirmation."""
        return frame.n_bytes > 0 and frame[2:5] == self.frame[2:5]

    def takes(self, frame: MpegFrame) -> bool:
        """Whether a frame may be the next one: some encoders count one too few."""
        is_full = self.n_promised is not None and self.n_found > self.n_promised
        return frame.is_mono == self.frame.is_mono and not is_full


def find_mp3_contents(file: BinaryIO, n_bytes: int) -> Contents:
    """Return what an MP3 consists of.

    Parameters
    ----------
    n_bytes : size of the file

    Raises
    ------
    AudioError
        Without a subject, when there is only a description of frames.
    """
    peek = Peek(file, n_bytes)
    if is_free_format(peek.at(0, BLOCK_BYTES)):
        return Contents()
    streams, is_cut = _find_streams(peek)
    if not streams or streams[0].frame.layer != 3:
        # Found behind something else it may be a coincidence.
        start, parts = id3_bytes(peek.at(0, 10)), streams[0].parts if streams else []
        is_first = bool(parts) and isinstance(parts[0], tuple) and parts[0][0] == start
        return Contents(None, AudioError(_CUT) if is_first and is_cut else None)
    fault = None
    for stream in streams:
        if stream.n_promised is not None and stream.n_found < stream.n_promised - 1:
            counts = f"{stream.n_found} of {stream.n_promised} MPEG frames"
            fault = AudioError(f"truncated ({counts}); copy it again")
    if not any(stream.n_found for stream in streams):
        raise fault or EmptyError(
            "an MP3 without a frame of sound; record it again or leave it out"
        )
    links = [_mended(peek, stream) for stream in streams if stream.n_found]
    if links == [[(0, n_bytes)]]:
        return Contents(None, fault)
    return Contents(links or None, fault, (_CUT_NOTE,) if is_cut and fault is None else ())


def _find_streams(peek: Peek) -> tuple[list[_Stream], bool]:
    """Return the streams in an MP3, and whether the last frame is incomplete."""
    streams: list[_Stream] = []
    at, last_end, n_most = 0, 0, _MOST_JUNK
    while at < peek.n_bytes - 1:
        head = peek.at(at, 4)
        frame = _frame_at(head)
        stream = streams[-1] if streams else None
        is_next = (
            frame is not None
            and stream is not None
            and at == last_end
            and stream.is_followed_by(frame)
        )
        if frame is None or not (is_next or _is_confirmed(peek, at)):
            is_rest = at + 4 > peek.n_bytes and head[0] == 0xFF and head[1] & 0xE0 == 0xE0
            if is_rest and stream is not None:
                return streams, True
            n_tag = id3_bytes(peek.at(at, 10))
            if n_tag:
                n_most = at + n_tag + _MOST_JUNK
            elif at > n_most and stream is None:
                break
            at = at + n_tag if n_tag else _next_sync(peek, at + 1)
            continue
        end = at + frame.n_bytes
        if end > peek.n_bytes:
            return streams, True
        is_info, n_promised = _read_info(peek.at(at, 64), frame)
        if is_info:
            streams.append(_Stream(head, frame, (at, end), n_promised))
        else:
            if stream is None or not stream.is_followed_by(frame) or not stream.takes(frame):
                stream = _Stream(head, frame)
                streams.append(stream)
            append_range(stream.parts, at, end)
            stream.n_found += 1
        at = last_end = end
    return streams, False


def _is_confirmed(peek: Peek, at: int) -> bool:
    """Whether frames of one kind follow each other from ``at`` on."""
    first = _frame_at(peek.at(at, 4))
    for n_found in range(_N_CONFIRMED):
        head = peek.at(at, 4)
        frame = _frame_at(head)
        if n_found and (at >= peek.n_bytes or head.startswith(_BEHIND)):
            return True
        if frame is None or first is None or not frame.n_bytes or frame[2:5] != first[2:5]:
            return False
        at += frame.n_bytes
    return True


def _next_sync(peek: Peek, at: int) -> int:
    """Return where from ``at`` on the next frame or tag may start."""
    while at < peek.n_bytes:
        content = peek.at(at, BLOCK_BYTES)
        if found := _SYNC.search(content):
            return at + found.start()
        at += max(len(content) - 2, 1)
    return at


def _side_bytes(frame: MpegFrame) -> int:
    """Return the bytes of side information in a layer III frame."""
    return (17 if frame.is_mono else 32) if frame.version == 1 else (9 if frame.is_mono else 17)


def _read_info(head: bytes, frame: MpegFrame) -> tuple[bool, int | None]:
    """Return whether a frame describes the others, and how many of them it promises."""
    if head[36:40] == b"VBRI":
        return True, int.from_bytes(head[50:54], "big")
    at = 4 + _side_bytes(frame)
    if head[at : at + 4] not in (b"Xing", b"Info"):
        return False, None
    has_count = head[at + 7 : at + 8] and head[at + 7] & 1
    return True, int.from_bytes(head[at + 8 : at + 12], "big") if has_count else None


def _mended(peek: Peek, stream: _Stream) -> Parts:
    """Return what libsndfile reads as the frames of a stream, all of them."""
    at = 4 + _side_bytes(stream.frame)
    parts = stream.parts
    if stream.info is not None and stream.n_promised is not None:
        start, end = stream.info
        told = peek.at(start, end - start)
        info = bytearray(told)
        if bytes(info[at : at + 4]) in (b"Xing", b"Info"):
            info[at + 8 : at + 12] = struct.pack(">I", stream.n_found)
            if info[at + 7] & 2:  # so that mpg123 does not complain about the size
                n_bytes = len(info) + sum(p[1] - p[0] for p in parts if isinstance(p, tuple))
                info[at + 12 : at + 16] = struct.pack(">I", min(n_bytes, 0xFFFF_FFFF))
            return [bytes(info), *parts] if info != told else _joined((start, end), parts)
        if stream.n_found == stream.n_promised:
            return _joined((start, end), parts)
    # With a frame of silence that makes up for what mpg123 takes off.
    version_bits = stream.head[1] | 1  # no checksum
    for step in range(1, 15):
        head = bytes([0xFF, version_bits, step << 4 | stream.head[2] & 0x0C, stream.head[3] & 0xF0])
        frame = mpeg_frame(head)
        if frame is not None and frame.n_bytes >= at + 48:
            break
    delay = stream.frame.n_samples - _DECODER_DELAY
    count = struct.pack(">II", 1, stream.n_found + 1)
    lame = b"LAME3.100" + bytes(12) + (delay << 12).to_bytes(3, "big")
    n_bytes = frame.n_bytes if frame is not None else 0
    info_frame = (head + bytes(at - 4) + b"Info" + count + lame).ljust(n_bytes, b"\0")
    return [info_frame + head.ljust(n_bytes, b"\0"), *_without_debts(peek, stream)]


def _joined(first: tuple[int, int], parts: Parts) -> Parts:
    """Return the parts of a file behind a first one."""
    joined: Parts = [first]
    for part in parts:
        if isinstance(part, tuple):
            append_range(joined, *part)
    return joined


def _without_debts(peek: Peek, stream: _Stream) -> Parts:
    """Return the parts of a stream, silent where a frame begins before the first one.

    Of a stream that was cut out of a longer one the first frames have their first bytes in frames
    that are not there. What else they hold is for those behind them.
    """
    frame, n_side = stream.frame, _side_bytes(stream.frame)
    n_most = _RESERVOIR[frame.version > 1] if frame.layer == 3 else 0
    at, end = stream.parts[0] if isinstance(stream.parts[0], tuple) else (0, 0)
    silenced: Parts = []
    n_held, rest_at = 0, at
    while n_held < n_most and at < end:
        head = peek.at(at, 8)
        next_frame = mpeg_frame(head)
        if next_frame is None:
            break
        n_head = 4 if head[1] & 1 else 6  # with a checksum
        word = int.from_bytes(peek.at(at + n_head, 2), "big")
        n_back, n_bits = (word >> 7, 9) if frame.version == 1 else (word >> 8, 8)
        if n_back > n_held:
            if rest_at < at:
                silenced.append((rest_at, at))
            rest_at = at + n_head + n_side
            back = (n_back << 16 - n_bits).to_bytes(2, "big")  # mpg123 keeps no more than this
            silent = bytes([head[0], head[1] | 1, *head[2:4], *back])
            silenced.append(silent.ljust(rest_at - at, b"\0"))
        n_held += max(next_frame.n_bytes - n_head - n_side, 0)
        at += next_frame.n_bytes
    return [*silenced, (rest_at, end), *stream.parts[1:]]
