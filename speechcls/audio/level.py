"""How loud sound is, how far it stands out of its noise, and how much of it is clipped."""

import numpy as np
import numpy.typing as npt

from speechcls.audio.samples import Samples

_FULL_SCALE = 0.9999
_FLAT_LEVEL, _FLAT_STEP = 0.99, 1e-4  # of the clip's own peak
_LOUD_ENOUGH = 0.05  # below it, equal samples are the few steps of the format, not clipping


def clipped_ratio(samples: Samples) -> float:
    """Return the share of samples (n,) that lie in flat tops.

    A flat top is two or more neighbours at full scale, or three or more equal ones at the clip's
    own peak: what was made fainter after it was clipped stays clipped.
    """
    size = np.abs(samples)
    peak = float(size.max(initial=0.0))
    if peak < _LOUD_ENOUGH or len(samples) < 3:
        return 0.0
    same_side = samples[1:] * samples[:-1] > 0
    full = (size[1:] >= _FULL_SCALE) & (size[:-1] >= _FULL_SCALE) & same_side
    steps = np.abs(np.diff(samples))
    equal = (steps <= _FLAT_STEP * peak) & (size[1:] >= _FLAT_LEVEL * peak)
    thrice = equal[1:] & equal[:-1]
    is_flat: npt.NDArray[np.bool_] = np.zeros(len(samples), dtype=np.bool_)
    is_flat[1:] |= full
    is_flat[:-1] |= full
    for first in range(3):
        is_flat[first : len(samples) - 2 + first] |= thrice
    return float(is_flat.mean())


FLOOR_DB = -96.0
"""Level of digital silence: what 16 bits cannot tell from it."""

_SILENCE = 1e-10  # power of what rounding to 16 bits adds


def level_db(samples: Samples) -> float:
    """Return the mean level of ``samples`` (n,) in dB below full scale, at least ``FLOOR_DB``."""
    if len(samples) == 0:
        return FLOOR_DB
    power = float(np.mean(np.square(samples, dtype=np.float64)))
    return max(FLOOR_DB, 10 * float(np.log10(max(power, 1e-12))))


def snr_db(samples: Samples, sample_rate: int) -> float:
    """Return an estimate of how far the sound of ``samples`` (n,) stands out of its noise, dB.

    The power of its loud 20 ms (percentile 95) over that of its faint ones (percentile 15), which
    in a clip with pauses are speech and noise. Good enough to sort clips by, not to quote; about 0
    in steady sound, be it noise or tone.
    """
    n_frame = max(round(0.02 * sample_rate), 1)
    n_frames = len(samples) // n_frame
    if n_frames == 0:
        return 0.0
    frames = samples[: n_frames * n_frame].reshape(n_frames, n_frame)
    powers = np.sort(np.square(frames).mean(axis=1, dtype=np.float64))
    noise, speech = powers[int(0.15 * (n_frames - 1))], powers[round(0.95 * (n_frames - 1))]
    return 10 * float(np.log10(max(speech, _SILENCE) / max(noise, _SILENCE)))
