"""All clips of a data set in memory, packed as 16-bit integers at the model's rate."""

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from speechcls.audio import PCM, fit_length, read_clip, to_pcm
from speechcls.dataset import Example
from speechcls.errors import SpeechclsError
from speechcls.readahead import read_ahead

_BATCH_SIZE = 64  # clips taken over at once


@dataclass(frozen=True)
class ClipStore:
    """The readable clips of a data set, one after the other."""

    examples: list[Example]
    samples: PCM
    """(total,) all clips in the order of ``examples``, at ``sample_rate`` Hz."""
    lengths: npt.NDArray[np.int64]
    """(n_clips,) samples of each clip."""
    digests: list[str]
    """A hash of each clip's samples, equal for equal sound."""
    sample_rate: int
    bad: list[str]
    """One line for each clip that could not be read."""

    def windows(self, n_samples: int) -> PCM:
        """Return (n_clips, n_samples): each clip's loudest window, short ones amid zeros."""
        windows = np.empty((len(self.lengths), n_samples), dtype=np.int16)
        ends = np.cumsum(self.lengths)
        for i, (end, length) in enumerate(zip(ends, self.lengths, strict=True)):
            windows[i] = fit_length(self.samples[end - length : end], n_samples)
        return windows

    def usual_duration_s(self) -> float:
        """Return the 95th percentile of the clips' lengths, rounded up to 0.1 s, in 0.5 .. 4 s."""
        longest = float(np.percentile(self.lengths, 95)) / self.sample_rate
        return min(4.0, max(0.5, math.ceil(round(longest * 10, 3)) / 10))


def digest_of(samples: PCM) -> str:
    """Return a hash of 16-bit samples, the same for the same sound in any lossless format."""
    return hashlib.blake2b(samples.tobytes(), digest_size=10).hexdigest()


def read_example(example: Example, sample_rate: int) -> PCM:
    """Return the samples (n,) of an example at ``sample_rate`` Hz.

    Raises
    ------
    AudioError
        When the recording cannot be used.
    """
    samples = read_clip(example.path, sample_rate, example.start_s, example.end_s)
    return to_pcm(samples * np.float32(example.gain))


def read_clips(
    examples: Sequence[Example],
    sample_rate: int,
    jobs: int,
    on_clip: Callable[[], None] = lambda: None,
) -> ClipStore:
    """Read every clip once; those that cannot be read are listed in ``bad`` and left out."""
    kept, parts, bad = [], [], []
    for batch in read_ahead(examples, lambda e: read_example(e, sample_rate), jobs, _BATCH_SIZE):
        for example, outcome in batch:
            if isinstance(outcome, SpeechclsError):
                bad.append(str(outcome))
            else:
                parts.append(outcome)
                kept.append(example)
            on_clip()
    lengths = np.array([len(part) for part in parts], dtype=np.int64)
    samples = np.concatenate(parts) if parts else np.empty(0, dtype=np.int16)
    return ClipStore(kept, samples, lengths, [digest_of(p) for p in parts], sample_rate, bad)
