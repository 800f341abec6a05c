"""WAV headers and samples from pipes and in memory."""

import io
import struct
from typing import BinaryIO, NamedTuple

import numpy as np
import soundfile

from speechcls.audio.decode import SIZE_UNKNOWN, read_frames
from speechcls.audio.samples import PCM, Samples
from speechcls.errors import AudioError

_SUBTYPES = {
    (1, 8): "PCM_U8", (1, 16): "PCM_16", (1, 24): "PCM_24", (1, 32): "PCM_32",
    (3, 32): "FLOAT", (3, 64): "DOUBLE", (6, 8): "ALAW", (7, 8): "ULAW",
}  # fmt: skip
"""What libsndfile calls the samples of a WAV, by format tag and bits."""
_EXTENSIBLE = 0xFFFE
_LONGEST_CHUNK = 1 << 20
"""Bytes of a chunk before the samples; a longer one is no header."""


class SampleFormat(NamedTuple):
    """How the samples in a stream of bytes are stored, and how many there are."""

    subtype: str
    """As libsndfile calls it: ``PCM_16``, ``FLOAT`` and so on."""
    n_channels: int
    rate: int
    """Hz."""
    frame_bytes: int
    """Of one sample of each channel."""
    n_frames: int | None
    """None where the program that wrote the stream could not know."""


def raw_format(rate: int) -> SampleFormat:
    """Return the format of sound without a header: 16-bit little-endian, one channel."""
    return SampleFormat("PCM_16", 1, rate, 2, None)


def is_wav(head: bytes) -> bool:
    """Whether a stream that begins with these 12 bytes is a WAV."""
    return head[:4] == b"RIFF" and head[8:12] == b"WAVE"


def read_wav_header(file: BinaryIO) -> SampleFormat:
    """Return the sample format of a WAV, read up to its first sample.

    Parameters
    ----------
    file : after the 12 bytes of ``RIFF....WAVE``; it need not be able to seek

    Raises
    ------
    AudioError
        Without a subject, when there are no samples or they are of an unknown kind.
    """
    found = None
    while True:
        head = read_exactly(file, 8)
        if len(head) < 8:
            raise AudioError("no audio data (0 frames); record it again or delete it")
        kind, size = head[:4], int.from_bytes(head[4:], "little")
        if kind == b"data":
            break
        if size > _LONGEST_CHUNK:
            raise AudioError("not readable audio (damaged header); convert it to WAV again")
        content = read_exactly(file, size + size % 2)
        if kind == b"fmt " and len(content) >= 16:
            found = _parse_format(content)
    if found is None:
        raise AudioError("not readable audio (no format before the samples); convert it again")
    # Programs that write into a pipe cannot know the size: they write 0 or the largest one.
    is_known = 0 < size < SIZE_UNKNOWN
    return found._replace(n_frames=size // found.frame_bytes if is_known else None)


def _parse_format(chunk: bytes) -> SampleFormat:
    tag, n_channels, rate, _, frame_bytes, bits = struct.unpack("<HHIIHH", chunk[:16])
    if tag == _EXTENSIBLE and len(chunk) >= 26:
        tag = int.from_bytes(chunk[24:26], "little")
    subtype = _SUBTYPES.get((tag, bits))
    if subtype is None or not rate or not n_channels or frame_bytes * 8 != n_channels * bits:
        raise AudioError(
            f"a WAV of a kind that cannot be read from a pipe (format {tag}, {bits} bits);"
            " convert it to 16-bit PCM"
        )
    return SampleFormat(subtype, n_channels, rate, frame_bytes, None)


def decode_frames(content: bytes, format: SampleFormat) -> Samples:
    """Return the samples (n_frames, n_channels) float32 that whole frames of bytes stand for."""
    n_frames = len(content) // format.frame_bytes
    if not n_frames:
        return np.empty((0, format.n_channels), dtype=np.float32)
    # libsndfile knows each kind of sample; reading from memory costs next to nothing.
    with soundfile.SoundFile(
        io.BytesIO(content), "r", format.rate, format.n_channels, format.subtype, "LITTLE", "RAW"
    ) as sound:
        return read_frames(sound, n_frames)


def read_exactly(file: BinaryIO, n_bytes: int) -> bytes:
    """Return the next ``n_bytes``, fewer only at the end: a pipe returns what it has."""
    content = bytearray()
    while len(content) < n_bytes and (piece := file.read(n_bytes - len(content))):
        content += piece
    return bytes(content)


def wav_bytes(samples: PCM | Samples, sample_rate: int) -> bytes:
    """Return ``samples`` (n_samples,) as a 16-bit WAV file."""
    wav = io.BytesIO()
    soundfile.write(wav, samples, sample_rate, "PCM_16", format="WAV")
    return wav.getvalue()
