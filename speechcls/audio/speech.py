"""Energy-based speech detection: the word in a clip, utterances in a stream."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from speechcls.audio.level import FLOOR_DB, POWER_FLOOR, frame_powers, level_db
from speechcls.audio.samples import Samples

_STEP_S = 0.01
"""Step from one level to the next."""
_RANGE_DB = 40.0
"""How far below the loud frames of a clip levels count at all."""
_SPEECH_LEVEL = 0.4
"""Level from which on a frame counts as speech, from 0 (as the quiet ones) to 1 (the loud ones)."""
_MIN_CONTRAST_DB = 1.0
"""A clip whose loud and quiet frames differ less than this is of one level."""


def find_speech(
    samples: Samples, sample_rate: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return where the word in each clip begins and ends, as indices of samples.

    A frame's loudness is its level in dB above a limit between the quiet and the loud frames. A
    tenth of the word's loudness comes before its middle eight tenths, a tenth after them, so that a
    click beside the word moves it little. A clip of one level (within 1 dB) is word as a
    whole.

    Parameters
    ----------
    samples : (..., n_samples)

    Returns
    -------
    first, last : (...), the index of the word's first sample and that after its last one
    """
    n_samples = samples.shape[-1]
    hop = max(1, round(_STEP_S * sample_rate))
    n_frame = min(2 * hop, n_samples)
    level = 10 * np.log10(np.maximum(frame_powers(samples, n_frame, hop), POWER_FLOOR))
    loud, quiet = np.quantile(level, np.array([0.95, 0.1], dtype=level.dtype), axis=-1)
    quiet = np.maximum(quiet, loud - np.float32(_RANGE_DB))
    limit = quiet + np.float32(_SPEECH_LEVEL) * (loud - quiet)
    before = np.cumsum(np.maximum(level - limit[..., None], 0), axis=-1)  # (..., n_frames)
    before /= np.maximum(before[..., -1:], POWER_FLOOR)
    low, high = (before < 0.1).sum(axis=-1), (before < 0.9).sum(axis=-1)
    beyond = (high - low) / 8  # the ends are as long as if they were as loud as the middle
    first = np.rint((low - beyond) * hop).astype(np.int64).clip(min=0)
    last = np.rint((high + beyond) * hop).astype(np.int64) + n_frame
    has_pause = loud - quiet >= _MIN_CONTRAST_DB
    return (
        np.where(has_pause, first, 0),
        np.where(has_pause, last.clip(max=n_samples), n_samples),
    )


_SPEECH_OVER_NOISE_DB = 12.0
_FAINTEST_SPEECH_DB = -55.0
_NOISE_MEMORY_S = 3.0
"""Time over which the noise level is estimated."""
_PAUSE_S = 0.3
"""Quiet after which an utterance has ended."""
_SHORTEST_S = 0.08
"""Shorter loud sounds are clicks."""
_LONGEST_S = 5.0
_FIRST_S, _FIRST_NOISE_DB = 1.0, -45.0
"""At the beginning, which may be speech, the noise is assumed to be no louder than this."""


@dataclass(frozen=True)
class Utterance:
    """Speech between two pauses."""

    samples: Samples
    """(n_samples,) of the duration asked for, the speech in the middle."""
    start_s: float
    """Start of the speech in the stream."""
    speech_s: float


class UtteranceFinder:
    """Endpoint detection: cuts a stream into utterances by its level in frames of 10 ms.

    Around the speech is the sound that was there, and zeros where that belongs to other speech.

    Parameters
    ----------
    sample_rate : Hz
    duration_s : of each utterance's samples
    """

    def __init__(self, sample_rate: int, duration_s: float) -> None:
        self._rate = sample_rate
        self._frame = round(_STEP_S * sample_rate)
        self._n_samples = round(duration_s * sample_rate)
        self._n_kept = self._n_samples + round((_LONGEST_S + 2 * _PAUSE_S) * sample_rate)
        self.kept = np.empty(0, dtype=np.float32)
        """Samples that an utterance may still need."""
        self._kept_start = 0  # index in the stream of the first of them
        self._n_framed = 0
        self._levels: list[float] = []
        self._first: int | None = None  # index of the first sample of the open utterance
        self._end = 0  # index after the last loud sample
        self._free_from = 0  # what is before belongs to the previous utterance

    def push(self, samples: Samples) -> Iterator[Utterance]:
        """Yield the utterances that end within ``samples`` (n,)."""
        self.kept = np.concatenate([self.kept, samples])
        while self._n_framed + self._frame <= self._kept_start + len(self.kept):
            start = self._n_framed - self._kept_start
            utterance = self._step(level_db(self.kept[start : start + self._frame]))
            if utterance is not None:
                yield utterance
        n_old = self._n_framed - self._n_kept - self._kept_start
        if n_old > 0:
            self.kept, self._kept_start = self.kept[n_old:], self._kept_start + n_old

    def finish(self) -> Iterator[Utterance]:
        """Yield the utterance that is open at the end of the stream."""
        if (utterance := self._close()) is not None:
            yield utterance

    @property
    def noise_db(self) -> float:
        """Noise level: that of the quiet frames of the last seconds, dBFS."""
        if not self._levels:
            return FLOOR_DB
        noise_db = float(np.quantile(self._levels, 0.1))
        is_first = self._n_framed < _FIRST_S * self._rate
        return min(noise_db, _FIRST_NOISE_DB) if is_first else noise_db

    def _step(self, level: float) -> Utterance | None:
        """Process the ``level`` of one frame, dBFS; return the utterance that it ends."""
        self._levels = [*self._levels[1 - round(_NOISE_MEMORY_S / _STEP_S) :], level]
        limit = max(self.noise_db + _SPEECH_OVER_NOISE_DB, _FAINTEST_SPEECH_DB)
        start = self._n_framed
        self._n_framed += self._frame
        if level >= limit:
            self._first = start if self._first is None else self._first
            self._end = self._n_framed
        if self._first is None:
            return None
        is_over = self._n_framed - self._end >= _PAUSE_S * self._rate
        is_endless = self._n_framed - self._first >= _LONGEST_S * self._rate
        return self._close() if is_over or is_endless else None

    def _close(self) -> Utterance | None:
        """End the open utterance; return it unless it is shorter than ``_SHORTEST_S``."""
        first, self._first = self._first, None
        if first is None or self._end - first < _SHORTEST_S * self._rate:
            return None
        middle = (first + self._end) // 2
        start = middle - self._n_samples // 2
        end = start + self._n_samples
        low = max(start, min(self._free_from, first), self._kept_start)
        high = min(end, self._n_framed)
        self._free_from = self._end + round(_PAUSE_S / 2 * self._rate)
        inside = self.kept[low - self._kept_start : high - self._kept_start]
        samples = np.pad(inside, (low - start, end - high))
        return Utterance(samples, first / self._rate, (self._end - first) / self._rate)
