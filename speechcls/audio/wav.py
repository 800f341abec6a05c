"""WAV headers and samples from pipes and in memory."""

import io
import struct
from typing import BinaryIO, NamedTuple, cast

import numpy as np
import soundfile

from speechcls.audio.samples import (
    PCM,
    Samples,
    match_channels,
    open_resampler,
    read_past,
    to_float,
)
from speechcls.errors import AudioError, EmptyError
from speechcls.formats.headers import BEHIND_NOTE, SIZE_UNKNOWN, chunk_bytes, judge_behind
from speechcls.formats.splice import SIZE_NOTE, TRIFLE

_SUBTYPES = {
    (1, 8): "PCM_U8", (1, 16): "PCM_16", (1, 24): "PCM_24", (1, 32): "PCM_32",
    (3, 32): "FLOAT", (3, 64): "DOUBLE", (6, 8): "ALAW", (7, 8): "ULAW",
}  # fmt: skip
"""What libsndfile calls the samples of a WAV, by format tag and bits."""
_PLAIN = {"PCM_16": "<i2", "FLOAT": "<f4"}
"""Those that NumPy reads as they are, in less time, which counts where pieces are short."""
_EXTENSIBLE = 0xFFFE
_LONGEST_CHUNK = 1 << 20
"""Bytes of a chunk before the samples; a longer one is no header."""
_LONGEST_BEHIND = 1 << 24
"""Bytes behind the samples that are kept until they are judged."""
_JUDGED_BEHIND = 1 << 16
"""Bytes of them that are looked at, where they are no chunks."""
_NEXT_BYTES = 16
"""Bytes that tell whether a chunk or another WAV comes next."""


class SampleFormat(NamedTuple):
    """How the samples in a stream of bytes are stored, and how many there are."""

    subtype: str
    """As libsndfile calls it: ``PCM_16``, ``FLOAT`` and so on."""
    n_channels: int
    rate: int
    """Hz."""
    frame_bytes: int
    """Of one sample of each channel."""
    n_bytes: int | None
    """Of the samples, as the header says; None where its writer could not know."""


def raw_format(rate: int) -> SampleFormat:
    """Return the format of sound without a header: 16-bit little-endian, one channel."""
    return SampleFormat("PCM_16", 1, rate, 2, None)


def is_wav(head: bytes) -> bool:
    """Whether a stream that begins with these 12 bytes is a WAV."""
    return head[:4] == b"RIFF" and head[8:12] == b"WAVE"


def read_wav_header(file: BinaryIO) -> tuple[SampleFormat | None, bytes]:
    """Return the sample format of a WAV, read up to its first sample, and what was read.

    Parameters
    ----------
    file : after the 12 bytes of ``RIFF....WAVE``; it need not be able to seek

    Returns
    -------
    The format, None of samples that only libsndfile or ffmpeg can unpack, and the bytes

    Raises
    ------
    AudioError
        Without a subject, when there are no samples.
    """
    chunk, content = b"", bytearray()
    while True:
        head = read_exactly(file, 8)
        content += head
        if len(head) < 8:
            raise EmptyError("no audio data (0 frames); record it again or leave it out")
        kind, size = head[:4], int.from_bytes(head[4:], "little")
        if kind == b"data":
            break
        if size > _LONGEST_CHUNK:
            raise AudioError("not readable audio (damaged header); export it again")
        inside = read_exactly(file, size + size % 2)
        content += inside
        if kind == b"fmt " and len(inside) >= 16:
            chunk = inside
    if not chunk:
        raise AudioError("not readable audio (no format before the samples); export it again")
    found = _parse_format(chunk)
    if found is not None and size < SIZE_UNKNOWN:
        found = found._replace(n_bytes=size)
    return found, bytes(content)


def _parse_format(chunk: bytes) -> SampleFormat | None:
    tag, n_channels, rate, _, frame_bytes, bits = struct.unpack("<HHIIHH", chunk[:16])
    if tag == _EXTENSIBLE and len(chunk) >= 26:
        tag = int.from_bytes(chunk[24:26], "little")
    subtype = _SUBTYPES.get((tag, bits))
    if subtype is None or not n_channels or frame_bytes * 8 != n_channels * bits:
        return None
    check_format(rate, n_channels)
    return SampleFormat(subtype, n_channels, rate, frame_bytes, None)


def check_format(rate: int, n_channels: int) -> None:
    """Refuse rates and numbers of channels that no recording has.

    Raises
    ------
    AudioError
        Without a subject.
    """
    if not 1_000 <= rate <= 768_000:
        raise AudioError(f"{rate} Hz is not a sample rate (1000 to 768000); mend the header")
    if not 1 <= n_channels <= 1_024:
        raise AudioError(f"{n_channels} channels (1 to 1024 are possible); mend the header")


class _Ahead:
    """A stream of which some bytes were read before."""

    def __init__(self, file: BinaryIO, content: bytes = b"") -> None:
        self._file, self.content = file, content

    def read(self, n_bytes: int) -> bytes:
        """Return at most ``n_bytes``, none only at the end."""
        if not self.content:
            return self._file.read(n_bytes)
        piece, self.content = self.content[:n_bytes], self.content[n_bytes:]
        return piece


class _Link:
    """Samples of one WAV, or without a header, from a stream.

    Parameters
    ----------
    file : at the first sample; left where the next WAV starts
    header : what was read before
    """

    def __init__(self, file: _Ahead, format: SampleFormat, header: bytes) -> None:
        self._file, self._format, self._header = file, format, header
        self.rate, self.n_channels = format.rate, format.n_channels
        self._n_left = format.n_bytes
        self.n_frames = format.n_bytes // format.frame_bytes if format.n_bytes else None
        self.fault: AudioError | None = None
        self.notes: list[str] = []
        self.n_odd = 0
        self.is_followed = False
        """Whether another WAV starts behind it."""
        self._n_read, self.has_ended = 0, False

    def read_some(self, n_frames: int) -> Samples:
        """Return as many of the next frames as are there, at least one but for the end."""
        size = self._format.frame_bytes
        content = self._take(n_frames * size, waits=False)
        content += self._take(-len(content) % size, waits=True)
        self.n_odd = len(content) % size
        self._n_read += len(content)
        if not content or self.n_odd:
            self._end()
        return decode_frames(content[: len(content) - self.n_odd], self._format)

    def _take(self, n_bytes: int, waits: bool) -> bytes:
        """Return up to ``n_bytes`` of samples; with ``waits`` fewer only at the end."""
        content = b""
        while len(content) < n_bytes and not (self._n_left == 0 and self._is_over()):
            n_most = n_bytes - len(content)
            n_most = n_most if self._n_left is None else min(n_most, self._n_left)
            piece = self._file.read(n_most)
            if not piece:
                break
            content += piece
            self._n_left = None if self._n_left is None else self._n_left - len(piece)
            if not waits:
                break
        return content

    def _is_over(self) -> bool:
        """Whether no samples follow those that the header tells of, as a file is judged."""
        if self.is_followed:
            return True
        n_claimed, behind = self._format.n_bytes or 0, self._read_behind()
        extent = judge_behind(self._header, n_claimed, behind)
        self.notes += [extent.note] if extent.note else []
        if extent.n_bytes > n_claimed:
            self._file.content, self._n_left, self.n_frames = behind, None, None
            return False
        self.is_followed = extent.next_at is not None
        if extent.next_at is not None:
            self._file.content = behind[extent.next_at - len(self._header) - n_claimed :]
        return True

    def _read_behind(self) -> bytes:
        """Return as much of what stands behind the samples as tells what it is."""
        n_claimed, file = self._format.n_bytes or 0, cast(BinaryIO, self._file)
        end = len(self._header) + n_claimed
        behind = read_exactly(file, _NEXT_BYTES + self._format.frame_bytes)
        at = next((at for at in (end % 2, 0) if _next_bytes(behind, at) is not None), None)
        if at is None:
            own_end = 8 + int.from_bytes(self._header[4:8], "little")
            n_tenth = self.rate * self._format.frame_bytes // 10
            n_more = max(_JUDGED_BEHIND, n_tenth, min(own_end - end, _LONGEST_BEHIND)) + 1
            return behind + read_exactly(file, n_more) if n_claimed else behind
        while (n_chunk := _next_bytes(behind, at)) and len(behind) < _LONGEST_BEHIND:
            at += n_chunk
            at += (end + at) % 2
            behind += read_exactly(file, at + _NEXT_BYTES - len(behind))
        return behind

    def _end(self) -> None:
        """Tell what is missing, once there is no more."""
        self.has_ended = True
        if self._n_left and self._n_left > max(TRIFLE, self._format.frame_bytes):
            counts = f"{self._n_read // self._format.frame_bytes} of {self.n_frames} frames"
            self.fault = AudioError(f"truncated ({counts}); copy it again")
        elif self._n_left:
            self.notes.append(SIZE_NOTE)


def _next_bytes(behind: bytes, at: int) -> int | None:
    """Return the bytes of a chunk behind the samples, 0 of another WAV; None where neither is."""
    head = behind[at : at + _NEXT_BYTES]
    if is_wav(head):
        return 0
    n_bytes = chunk_bytes(head)
    return n_bytes if n_bytes is not None and n_bytes <= _LONGEST_BEHIND else None


class WavStream:
    """Samples of a WAV, or without a header, from a stream that need not seek.

    See ``sound.Sound``. Sizes in its header are believed no more than those of a file, and WAVs
    that were joined to it come at the rate of the first, with its channels.

    Parameters
    ----------
    file : at the first sample
    header : of a WAV: what was read before
    rest : bytes of samples that were read before
    """

    def __init__(
        self, file: BinaryIO, format: SampleFormat, header: bytes = b"", rest: bytes = b""
    ) -> None:
        self._file = _Ahead(file, rest)
        self._link = _Link(self._file, format, header)
        self.rate, self.n_channels = format.rate, format.n_channels
        self.is_float = format.subtype in ("FLOAT", "DOUBLE")
        self.n_frames = self._link.n_frames
        """Of the first WAV; None where its header does not say it."""
        self.fault: AudioError | None = None
        self.notes: list[str] = []
        self._convert = open_resampler(self.rate, self.rate)
        self._rest: Samples = np.empty((0, self.n_channels), dtype=np.float32)
        """Samples that were read and not asked for yet."""
        self._has_ended = False

    @property
    def n_odd(self) -> int:
        """Bytes behind the last whole frame."""
        return self._link.n_odd

    def read(self, n_frames: int) -> Samples:
        """Return the next (n_frames, n_channels), fewer only at the end."""
        pieces = []
        while n_frames > 0 and not (self._has_ended and not len(self._rest)):
            pieces.append(self.read_some(n_frames))
            n_frames -= len(pieces[-1])
        if len(pieces) == 1:
            return pieces[0]
        return np.concatenate([np.empty((0, self.n_channels), np.float32), *pieces])

    def read_some(self, n_frames: int) -> Samples:
        """Return as many of the next frames as are there, at least one but for the end."""
        while not len(self._rest) and not self._has_ended:
            link = self._link
            samples = match_channels(link.read_some(n_frames), self.n_channels)
            samples = samples[:, 0] if self.n_channels == 1 else samples
            samples = self._convert(samples, link.has_ended)
            self._rest = samples.reshape(-1, self.n_channels)
            self.notes += [note for note in link.notes if note not in self.notes]
            self.fault = self.fault or link.fault
            if link.has_ended:
                self._has_ended = not (link.is_followed and self._open_next())
        samples, self._rest = self._rest[:n_frames], self._rest[n_frames:]
        return samples

    def _open_next(self) -> bool:
        """Go on with the WAV that starts where the last one ended; return whether it can be."""
        file = cast(BinaryIO, self._file)
        head = read_exactly(file, 12)
        try:
            format, header = read_wav_header(file)
        except AudioError:
            format, header = None, b""
        if format is None:
            self.notes += [BEHIND_NOTE] if BEHIND_NOTE not in self.notes else []
            return False
        self._link = _Link(self._file, format, head + header)
        self._convert = open_resampler(format.rate, self.rate, self.n_channels)
        return True

    def skip(self, n_frames: int) -> int:
        """Pass over frames; return how many there were."""
        return read_past(self.read, n_frames, self.rate)

    def close(self) -> None:
        """Do nothing: whoever opened the stream closes it."""


def decode_frames(content: bytes, format: SampleFormat) -> Samples:
    """Return the samples (n_frames, n_channels) float32 that whole frames of bytes stand for."""
    n_frames = len(content) // format.frame_bytes
    if not n_frames:
        return np.empty((0, format.n_channels), dtype=np.float32)
    if dtype := _PLAIN.get(format.subtype):
        plain = np.frombuffer(content, dtype, n_frames * format.n_channels)
        return to_float(plain.astype(dtype[1:])).reshape(n_frames, format.n_channels)
    # libsndfile knows each kind of sample.
    with soundfile.SoundFile(
        io.BytesIO(content), "r", format.rate, format.n_channels, format.subtype, "LITTLE", "RAW"
    ) as sound:
        samples: Samples = sound.read(n_frames, dtype="float32", always_2d=True)
        return samples


def read_exactly(file: BinaryIO, n_bytes: int) -> bytes:
    """Return the next ``n_bytes``, fewer only at the end: a pipe returns what it has."""
    content = bytearray()
    while len(content) < n_bytes and (piece := file.read(n_bytes - len(content))):
        content += piece
    return bytes(content)


def wav_header(format: SampleFormat, n_bytes: int) -> bytes:
    """Return what stands before ``n_bytes`` of samples of a format in a WAV."""
    tag, bits = next(key for key, name in _SUBTYPES.items() if name == format.subtype)
    size = format.frame_bytes
    fields = tag, format.n_channels, format.rate, format.rate * size, size, bits
    about = struct.pack("<4sIHHIIHH", b"fmt ", 16, *fields)
    sizes = (min(n, SIZE_UNKNOWN) for n in (36 + n_bytes, n_bytes))
    riff, data = (struct.pack("<I", n) for n in sizes)
    return b"RIFF" + riff + b"WAVE" + about + b"data" + data


def wav_bytes(samples: PCM | Samples, sample_rate: int) -> bytes:
    """Return ``samples`` (n_samples,) as a 16-bit WAV file."""
    wav = io.BytesIO()
    soundfile.write(wav, samples, sample_rate, "PCM_16", format="WAV")
    return wav.getvalue()
