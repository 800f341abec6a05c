"""Faults of a recording that its levels show, before any resampling."""

from dataclasses import dataclass

import numpy as np

from speechcls.audio.level import CLIPPED_RATIO, clipped_ratio, frame_powers
from speechcls.audio.samples import Samples

FRAME_S = 0.02
"""Length of the frames whose levels are compared."""
SHORTEST_S = 0.1
SHORTEST_RATIO = 0.25
"""Of the data set's usual length: a shorter clip is no whole word."""
SILENT_DB = -50.0
"""Level of the loudest frame, dB of full scale, below which a clip has no audible sound."""
FAINT_DB = -30.0
"""Level of the loudest frame below which a word must exceed the background by
``MIN_CONTRAST_DB``."""
MIN_CONTRAST_DB = 7.0
"""Level of a faint word above the background: noise alone varies by 3 to 6 dB, and even a word that
fills its clip has fainter ends."""
CUT_DB = -6.0
"""Level of the first or last frame against the loudest, above which the word is cut off."""
ABOVE_BACKGROUND_DB = 10.0
"""How far a frame is above the background if it is part of a word."""
OFFSET = 0.01
_LOWEST_DB = -120.0


@dataclass(frozen=True)
class Levels:
    """A recording's length and levels. Levels are in dB of full scale, without the offset."""

    duration_s: float
    sample_rate: int
    n_channels: int
    peak: float
    """Largest amplitude of any channel."""
    loudest_db: float
    background_db: float
    """The 10th percentile of the frames."""
    start_db: float
    end_db: float
    clipped_ratio: float
    """Fraction of samples in flat tops, of the channel that has most."""
    offset: float
    """Mean amplitude of the channel where it is furthest from 0."""

    @property
    def is_silent(self) -> bool:
        """Whether there is no audible word."""
        return self.loudest_db < SILENT_DB or (
            self.loudest_db < FAINT_DB and self.loudest_db - self.background_db < MIN_CONTRAST_DB
        )


@dataclass(frozen=True)
class Fault:
    """One fault of one recording."""

    kind: str
    """A key of ``findings.KINDS``."""
    value: float
    """How bad, in the unit of ``detail``."""
    detail: str


def measure(frames: Samples, mono: Samples, sample_rate: int) -> Levels:
    """Return the levels of a recording.

    Parameters
    ----------
    frames : (n_frames, n_channels) at the recording's own ``sample_rate``, Hz; finite, not empty
    mono : (n_frames,) what is read of them
    """
    offsets = frames.mean(axis=0, dtype=np.float64)
    mono = mono - np.float32(mono.mean(dtype=np.float64))
    length = max(1, min(round(FRAME_S * sample_rate), len(mono)))
    power = frame_powers(mono, length)
    power = np.append(power, np.square(mono[-length:]).mean())  # the last samples, however divided
    level_db = 10 * np.log10(np.maximum(power, 10 ** (_LOWEST_DB / 10)))
    return Levels(
        duration_s=len(frames) / sample_rate,
        sample_rate=sample_rate,
        n_channels=frames.shape[1],
        peak=float(np.abs(frames).max()),
        loudest_db=float(level_db.max()),
        background_db=float(np.percentile(level_db, 10)),
        start_db=float(level_db[0]),
        end_db=float(level_db[-1]),
        clipped_ratio=max(clipped_ratio(channel) for channel in frames.T),
        offset=float(offsets[np.abs(offsets).argmax()]),
    )


def faults_of(levels: Levels, usual_s: float, usual_rate: int) -> list[Fault]:
    """Return the faults of a recording that its levels show, worst first.

    Parameters
    ----------
    usual_s, usual_rate : the usual length and rate of the data set's recordings
    """
    faults = []
    shortest_s = max(SHORTEST_S, SHORTEST_RATIO * usual_s)
    if levels.duration_s < shortest_s:
        faults.append(Fault("short", levels.duration_s, f"{levels.duration_s:.3f} s long"))
    if levels.is_silent:
        above_db = levels.loudest_db - levels.background_db
        faint = f"loudest frame {levels.loudest_db:.0f} dB, {above_db:.0f} above its background"
        detail = "digital silence" if levels.peak == 0 else faint
        faults.append(Fault("silent", levels.loudest_db, detail))
    if levels.clipped_ratio >= CLIPPED_RATIO:
        detail = f"{100 * levels.clipped_ratio:.1f} % of samples in flat tops"
        faults.append(Fault("clipped", levels.clipped_ratio, detail))
    if not levels.is_silent:
        for name, level_db in (("start", levels.start_db), ("end", levels.end_db)):
            below = level_db - levels.loudest_db
            if below >= CUT_DB and level_db - levels.background_db >= ABOVE_BACKGROUND_DB:
                detail = f"{name} {abs(below):.0f} dB below the loudest frame"
                faults.append(Fault("cut", below, detail))
    if abs(levels.offset) >= OFFSET:
        faults.append(Fault("offset", levels.offset, f"mean amplitude {levels.offset:+.3f}"))
    if levels.sample_rate != usual_rate:
        detail = f"{levels.sample_rate} Hz, others {usual_rate} Hz"
        faults.append(Fault("rate", float(levels.sample_rate), detail))
    return faults
