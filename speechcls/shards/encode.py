"""The bytes of one clip in a shard: those of its file, or its samples without loss."""

import io
from pathlib import PurePosixPath
from typing import NamedTuple

import numpy as np
import soundfile

from speechcls.audio.decode import read_native
from speechcls.audio.samples import Samples
from speechcls.errors import AudioError, reason_of
from speechcls.layouts.examples import Example

_MOST_CHANNELS, _HIGHEST_RATE = 8, 655_350
"""What a FLAC can hold."""
_BITS = {"PCM_16": 15, "PCM_24": 23}
"""Of each kind of FLAC: the bits of a sample beside its sign."""


class Encoded(NamedTuple):
    """A clip as it is in a shard."""

    content: bytes
    suffix: str
    """What the name of such a file ends in, as ``.flac``."""


def encode_clip(example: Example) -> Encoded:
    """Return a clip as a file of its own: the recording itself where the clip is all of it.

    A part, or one channel, becomes a FLAC where that holds its samples exactly, else a WAV of
    32-bit floats.

    Raises
    ------
    AudioError
        When the recording cannot be read.
    """
    is_whole = not example.start_s and example.end_s is None and example.channel is None
    if is_whole:
        try:
            return Encoded(example.path.read_bytes(), suffix_of(example))
        except OSError as error:
            raise AudioError(f"{example.path}: {reason_of(error)}; check the path") from error
    samples, rate = read_native(example.path, example.start_s, example.end_s, example.channel)
    return encode_samples(samples, rate)


def suffix_of(example: Example) -> str:
    """Return what the name of a recording ends in, in lower case."""
    return PurePosixPath(example.path.name).suffix.lower()


def encode_samples(samples: Samples, rate: int) -> Encoded:
    """Return ``samples`` (n_frames, n_channels), amplitude, as a FLAC or WAV that has them exactly.

    Parameters
    ----------
    rate : Hz
    """
    fits = samples.shape[1] <= _MOST_CHANNELS and rate <= _HIGHEST_RATE and len(samples) > 0
    for subtype, n_bits in _BITS.items():
        whole, limit = samples.astype(np.float64) * 2**n_bits, 2**n_bits
        is_exact = np.all((whole == np.round(whole)) & (-limit <= whole) & (whole < limit))
        if fits and is_exact:
            left = 31 - n_bits
            integers = whole.astype(np.int64) << left
            return Encoded(_file_of(integers.astype(np.int32), rate, "FLAC", subtype), ".flac")
    return Encoded(_file_of(samples, rate, "WAV", "FLOAT"), ".wav")


def _file_of(samples: object, rate: int, form: str, subtype: str) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format=form, subtype=subtype)
    return file.getvalue()
