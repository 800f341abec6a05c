"""What the levels of a recording say is wrong with it, as it was made: before any resampling."""

from dataclasses import dataclass

import numpy as np

from speechcls.audio.level import CLIPPED_RATIO, clipped_ratio, frame_powers
from speechcls.audio.samples import Samples

FRAME_S = 0.02
"""Length of the stretches whose levels are compared."""
SHORTEST_S = 0.1
SHORTEST_SHARE = 0.25
"""Of the data set's usual length: what is shorter is no whole word of it."""
SILENT_DB = -50.0
"""Loudest stretch, dB of full scale, below which there is nothing to be heard."""
FAINT_DB, STANDS_OUT_DB = -30.0, 7.0
"""Below the first, a loudest stretch that is not the second louder than the background is no word:
noise alone varies by 3 to 6 dB, and a word that fills its clip still begins and ends."""
CUT_DB = -6.0
"""Level of the first or last stretch against the loudest, from which on the word is cut off."""
ABOVE_BACKGROUND_DB = 10.0
"""How far a stretch stands out of the background if it is part of a word."""
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
    """The 10th percentile of the stretches."""
    start_db: float
    end_db: float
    clipped: float
    """Share of samples in flat tops, of the channel that has most."""
    offset: float
    """Mean amplitude of the channel where it is furthest from 0."""

    @property
    def is_silent(self) -> bool:
        """Whether no word can be heard."""
        return self.loudest_db < SILENT_DB or (
            self.loudest_db < FAINT_DB and self.loudest_db - self.background_db < STANDS_OUT_DB
        )


@dataclass(frozen=True)
class Fault:
    """Something wrong with one recording."""

    kind: str
    """A key of ``checkup.KINDS``."""
    value: float
    """How bad, in the unit of ``detail``."""
    detail: str


def measure(frames: Samples, sample_rate: int) -> Levels:
    """Return the levels of a recording.

    Parameters
    ----------
    frames : (n_frames, n_channels) at the recording's own ``sample_rate``, Hz; finite, not empty
    """
    offsets = frames.mean(axis=0, dtype=np.float64)
    mono = frames.mean(axis=1) - np.float32(offsets.mean())
    length = max(1, min(round(FRAME_S * sample_rate), len(mono)))
    power = frame_powers(mono, length)
    power = np.append(power, np.square(mono[-length:]).mean())  # the end, however it is divided
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
        clipped=max(clipped_ratio(channel) for channel in frames.T),
        offset=float(offsets[np.abs(offsets).argmax()]),
    )


def faults_of(levels: Levels, usual_s: float, usual_rate: int) -> list[Fault]:
    """Return what is wrong with a recording by its levels, worst first.

    Parameters
    ----------
    usual_s, usual_rate : the usual length and rate of the data set's recordings
    """
    faults = []
    shortest_s = max(SHORTEST_S, SHORTEST_SHARE * usual_s)
    if levels.duration_s < shortest_s:
        faults.append(Fault("short", levels.duration_s, f"{levels.duration_s:.3f} s long"))
    if levels.is_silent:
        above_db = levels.loudest_db - levels.background_db
        faint = f"loudest place {levels.loudest_db:.0f} dB, {above_db:.0f} above its background"
        detail = "digital silence" if levels.peak == 0 else faint
        faults.append(Fault("silent", levels.loudest_db, detail))
    if levels.clipped >= CLIPPED_RATIO:
        share = 100 * levels.clipped
        faults.append(Fault("clipped", levels.clipped, f"{share:.1f} % of samples in flat tops"))
    if not levels.is_silent:
        for name, level_db in (("start", levels.start_db), ("end", levels.end_db)):
            below = level_db - levels.loudest_db
            if below >= CUT_DB and level_db - levels.background_db >= ABOVE_BACKGROUND_DB:
                detail = f"{name} {abs(below):.0f} dB below the loudest place"
                faults.append(Fault("cut", below, detail))
    if abs(levels.offset) >= OFFSET:
        faults.append(Fault("offset", levels.offset, f"mean amplitude {levels.offset:+.3f}"))
    if levels.sample_rate != usual_rate:
        detail = f"{levels.sample_rate} Hz, others {usual_rate} Hz"
        faults.append(Fault("rate", float(levels.sample_rate), detail))
    return faults
