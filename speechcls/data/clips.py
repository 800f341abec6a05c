"""The clips of a data set as 16-bit integers at the model's rate, concatenated."""

import hashlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from speechcls.audio.decode import read_clip
from speechcls.audio.samples import PCM, to_pcm
from speechcls.errors import AudioError
from speechcls.layouts.examples import Example


@dataclass(frozen=True)
class ClipStore:
    """The readable clips of a data set."""

    examples: list[Example]
    samples: PCM
    """(total,) at ``sample_rate`` Hz, in memory or mapped from disk."""
    starts: npt.NDArray[np.int64]
    """(n_clips,) where in ``samples`` each clip of ``examples`` starts."""
    lengths: npt.NDArray[np.int64]
    """(n_clips,) samples of each clip."""
    digests: list[str]
    """A hash of each clip's samples, equal for equal sound."""
    sample_rate: int
    bad: list[str]
    """One line for each clip that could not be read."""

    def clips(self) -> Iterator[PCM]:
        """Yield the samples (length,) of each clip."""
        for start, length in zip(self.starts.tolist(), self.lengths.tolist(), strict=True):
            yield self.samples[start : start + length]

    def default_window_s(self) -> float:
        """Return the 95th percentile of the clips' lengths, rounded up to 0.1 s, in 0.5 .. 4 s."""
        longest = float(np.percentile(self.lengths, 95)) / self.sample_rate
        return min(4.0, max(0.5, math.ceil(round(longest * 10, 3)) / 10))


def digest_of(samples: PCM) -> str:
    """Return a hash of ``samples`` (n,), the same for one sound in every lossless format."""
    return hashlib.blake2b(samples.tobytes(), digest_size=10).hexdigest()


def read_example(example: Example, sample_rate: int) -> PCM:
    """Return the samples (n,) of an example at ``sample_rate`` Hz.

    Raises
    ------
    AudioError
        When the recording cannot be used.
    """
    samples = read_clip(example.path, sample_rate, example.start_s, example.end_s)
    return to_pcm(samples if example.gain == 1 else samples * np.float32(example.gain))


def read_clips(examples: Sequence[Example], sample_rate: int) -> ClipStore:
    """Read every clip into memory; those that cannot be read are listed in ``bad`` and left out."""
    kept, parts, bad = [], [], []
    for example in examples:
        try:
            parts.append(read_example(example, sample_rate))
            kept.append(example)
        except AudioError as error:
            bad.append(str(error))
    lengths = np.array([len(part) for part in parts], dtype=np.int64)
    samples = np.concatenate(parts) if parts else np.empty(0, dtype=np.int16)
    digests = [digest_of(part) for part in parts]
    return ClipStore(
        kept, samples, np.cumsum(lengths) - lengths, lengths, digests, sample_rate, bad
    )
