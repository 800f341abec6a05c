"""How loud sound is, and where in it somebody speaks."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from speechcls.audio.level import FLOOR_DB, level_db
from speechcls.audio.samples import Samples

SPEECH_FRAME_S, SPEECH_RANGE_DB, SPEECH_SHARE = 0.01, 40.0, 0.4
"""Frames, depth and level (between quiet and loud) of ``find_speech``, here and in ``running``."""


def find_speech(samples: Samples, sample_rate: int) -> tuple[int, int]:
    """Return where the word in a clip (n_samples,) begins and ends, samples.

    A tenth of the word's loudness comes before its middle eight tenths, a tenth after them;
    loudness is what a frame has, in dB, above a level between the quiet and the loud ones. It is
    what training goes by (``running.find_speech``); a clip of one level is word as a whole.
    """
    hop = max(1, round(SPEECH_FRAME_S * sample_rate))
    n_frame = min(2 * hop, len(samples))
    frames = np.lib.stride_tricks.sliding_window_view(samples, n_frame)[::hop]
    level = 10 * np.log10(np.maximum(np.square(frames).mean(axis=1), np.float32(1e-10)))
    loud, quiet = np.quantile(level, 0.95), np.quantile(level, 0.1)
    floor = max(quiet, loud - SPEECH_RANGE_DB)
    floor += SPEECH_SHARE * (loud - floor)
    total = np.cumsum(np.maximum(level - floor, 0))
    if total[-1] <= 0:
        return 0, len(samples)
    share = total / max(total[-1], 1e-10)
    low, high = int((share < 0.1).sum()), int((share < 0.9).sum())
    beyond = (high - low) / 8  # the ends are as long as they would be if it were as loud there
    first = max(0, round((low - beyond) * hop))
    last = min(len(samples), round((high + beyond) * hop) + n_frame)
    return first, last


_FRAME_S = 0.01
_SPEECH_OVER_NOISE_DB = 12.0
_FAINTEST_SPEECH_DB = -55.0
_NOISE_MEMORY_S = 3.0
"""The noise is what is quiet in so much of the sound before."""
_PAUSE_S = 0.3
"""Quiet after which an utterance has ended."""
_SHORTEST_S = 0.08
"""Shorter loud sounds are clicks."""
_LONGEST_S = 5.0
_FIRST_S, _FIRST_NOISE_DB = 1.0, -45.0
"""The noise is taken to be no louder in the beginning, which may be speech."""


@dataclass(frozen=True)
class Utterance:
    """Something that was said between two pauses."""

    samples: Samples
    """(n_samples,) of the duration asked for, the speech in the middle."""
    start_s: float
    """Where the speech starts in the sound."""
    speech_s: float


class UtteranceFinder:
    """Cuts running sound into what is said between pauses, by its level in frames of 10 ms.

    Around the speech stands the sound that was there, and zeros where that belongs to other speech.

    Parameters
    ----------
    sample_rate : Hz
    duration_s : of each utterance's samples
    """

    def __init__(self, sample_rate: int, duration_s: float) -> None:
        self._rate = sample_rate
        self._frame = round(_FRAME_S * sample_rate)
        self._n_samples = round(duration_s * sample_rate)
        self._n_kept = self._n_samples + round((_LONGEST_S + 2 * _PAUSE_S) * sample_rate)
        self._kept = np.empty(0, dtype=np.float32)
        self._kept_from = 0  # index in the sound of the first kept sample
        self._n_framed = 0
        self._levels: list[float] = []
        self._first: int | None = None  # index of the first sample of the speech that goes on
        self._end = 0  # index after the last loud sample
        self._free_from = 0  # what lies before belongs to the utterance before

    def push(self, samples: Samples) -> Iterator[Utterance]:
        """Yield what has ended within ``samples`` (n,)."""
        self._kept = np.concatenate([self._kept, samples])
        while self._n_framed + self._frame <= self._kept_from + len(self._kept):
            start = self._n_framed - self._kept_from
            utterance = self._take_in(level_db(self._kept[start : start + self._frame]))
            if utterance is not None:
                yield utterance
        n_old = self._n_framed - self._n_kept - self._kept_from
        if n_old > 0:
            self._kept, self._kept_from = self._kept[n_old:], self._kept_from + n_old

    def finish(self) -> Iterator[Utterance]:
        """Yield what the end of the sound ends."""
        if (utterance := self._close()) is not None:
            yield utterance

    @property
    def noise_db(self) -> float:
        """Level of what is quiet in the last seconds, dB."""
        if not self._levels:
            return FLOOR_DB
        noise_db = float(np.quantile(self._levels, 0.1))
        is_first = self._n_framed < _FIRST_S * self._rate
        return min(noise_db, _FIRST_NOISE_DB) if is_first else noise_db

    def _take_in(self, level: float) -> Utterance | None:
        """Hear one frame of ``level`` dB."""
        self._levels = [*self._levels[1 - round(_NOISE_MEMORY_S / _FRAME_S) :], level]
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
        """End the speech that goes on; return it unless it is but a click."""
        first, self._first = self._first, None
        if first is None or self._end - first < _SHORTEST_S * self._rate:
            return None
        middle = (first + self._end) // 2
        start = middle - self._n_samples // 2
        end = start + self._n_samples
        low = max(start, min(self._free_from, first), self._kept_from)
        high = min(end, self._n_framed)
        self._free_from = self._end + round(_PAUSE_S / 2 * self._rate)
        inside = self._kept[low - self._kept_from : high - self._kept_from]
        samples = np.pad(inside, (low - start, end - high))
        return Utterance(samples, first / self._rate, (self._end - first) / self._rate)
