"""The header of a WAV that comes through a pipe, and WAVs in memory."""

import io
import struct
from typing import BinaryIO, NamedTuple

import numpy as np
import numpy.typing as npt
import soundfile

from speechcls.audio.decode import SIZE_UNKNOWN
from speechcls.errors import AudioError


def wav_bytes(samples: npt.NDArray[np.int16] | npt.NDArray[np.float32], sample_rate: int) -> bytes:
    """Return (n_samples,) as a 16-bit WAV file."""
    wav = io.BytesIO()
    soundfile.write(wav, samples, sample_rate, "PCM_16", format="WAV")
    return wav.getvalue()


_WAV_SUBTYPES = {
    (1, 8): "PCM_U8", (1, 16): "PCM_16", (1, 24): "PCM_24", (1, 32): "PCM_32",
    (3, 32): "FLOAT", (3, 64): "DOUBLE", (6, 8): "ALAW", (7, 8): "ULAW",
}  # fmt: skip
"""What libsndfile calls the samples of a WAV, by format tag and bits."""
_EXTENSIBLE = 0xFFFE
_MOST_HEADER = 1 << 20
"""Bytes of a chunk before the samples; more is no header."""


class _Wav(NamedTuple):
    """What the header of a WAV says."""

    subtype: str
    n_channels: int
    rate: int
    frame_bytes: int
    n_frames: int | None
    """None where the program that wrote it could not know."""


def _read_wav_header(file: BinaryIO) -> _Wav:
    """Read a WAV up to its first sample, from behind ``RIFF....WAVE``."""
    wav = None
    while True:
        head = _read_exactly(file, 8)
        if len(head) < 8:
            raise AudioError("no audio data (0 frames); record it again or delete it")
        kind, size = head[:4], int.from_bytes(head[4:], "little")
        if kind == b"data":
            break
        if size > _MOST_HEADER:
            raise AudioError("not readable audio (damaged header); convert it to WAV again")
        content = _read_exactly(file, size + size % 2)
        if kind == b"fmt " and len(content) >= 16:
            tag, n_channels, rate, _, frame_bytes, bits = struct.unpack("<HHIIHH", content[:16])
            if tag == _EXTENSIBLE and size >= 26:
                tag = int.from_bytes(content[24:26], "little")
            subtype = _WAV_SUBTYPES.get((tag, bits))
            if (
                subtype is None
                or not rate
                or not n_channels
                or frame_bytes * 8 != n_channels * bits
            ):
                raise AudioError(
                    f"a WAV of a kind that is not heard from a pipe (format {tag}, {bits} bits);"
                    " convert it to 16-bit PCM"
                )
            wav = _Wav(subtype, n_channels, rate, frame_bytes, None)
    if wav is None:
        raise AudioError("not readable audio (no format before the samples); convert it again")
    # Programs that write into a pipe cannot know the size, and say 0 or the most there is.
    is_known = 0 < size < SIZE_UNKNOWN
    return wav._replace(n_frames=size // wav.frame_bytes if is_known else None)


def _read_exactly(file: BinaryIO, n_bytes: int) -> bytes:
    """Return the next ``n_bytes``, fewer only at the end: a pipe gives what it has."""
    content = bytearray()
    while len(content) < n_bytes and (piece := file.read(n_bytes - len(content))):
        content += piece
    return bytes(content)
