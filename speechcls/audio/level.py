"""Level of sound, its signal-to-noise ratio, and how much of it is clipped."""

import numpy as np
import numpy.typing as npt

from speechcls.audio.samples import Samples

FLOOR_DB = -96.0
"""Level of digital silence, dBFS: the smallest that 16 bits can express."""
CLIPPED_RATIO = 0.001
"""From this ratio of clipped samples on (16 in a second at 16 kHz) clipping is audible."""
POWER_FLOOR = 1e-10
"""Power of what rounding to 16 bits adds."""
_FULL_SCALE = 0.9999
_FLAT_LEVEL, _FLAT_STEP = 0.99, 1e-4  # of the clip's own peak
_MIN_PEAK = 0.05  # below it, equal samples are the few steps of the format, not clipping


def frame_powers(samples: Samples, n_frame: int, hop: int | None = None) -> npt.NDArray[np.float32]:
    """Return the power of each frame: the mean of its squared samples.

    Parameters
    ----------
    samples : (..., n_samples)
    n_frame, hop : length of a frame and step from one to the next, samples (hop: the length)

    Returns
    -------
    (..., n_frames), where ``n_frames = 1 + (n_samples - n_frame) // hop``
    """
    windows = np.lib.stride_tricks.sliding_window_view(samples, n_frame, axis=-1)
    frames = windows[..., :: hop or n_frame, :]
    powers: npt.NDArray[np.float32] = np.einsum("...i,...i->...", frames, frames) / n_frame
    return powers


def level_db(samples: Samples) -> float:
    """Return the mean level of ``samples`` (n,) in dBFS, at least ``FLOOR_DB``."""
    if len(samples) == 0:
        return FLOOR_DB
    power = float(np.mean(np.square(samples, dtype=np.float64)))
    return max(FLOOR_DB, 10 * float(np.log10(max(power, 1e-12))))


def snr_db(samples: Samples, sample_rate: int) -> float:
    """Return an estimate of the signal-to-noise ratio of ``samples`` (n,), dB.

    It is the power of the loud frames of 20 ms (percentile 95) over that of the quiet ones
    (percentile 15), which in a clip with pauses are speech and noise. Only accurate enough to
    rank clips; about 0 in steady sound, be it noise or tone.
    """
    n_frame = max(round(0.02 * sample_rate), 1)
    if len(samples) < n_frame:
        return 0.0
    powers = np.sort(frame_powers(samples, n_frame))
    last = len(powers) - 1
    noise, speech = float(powers[int(0.15 * last)]), float(powers[round(0.95 * last)])
    return 10 * float(np.log10(max(speech, POWER_FLOOR) / max(noise, POWER_FLOOR)))


def clipped_ratio(samples: Samples) -> float:
    """Return the ratio of samples (n,) that are clipped; see ``CLIPPED_RATIO``.

    They are those in flat tops: two or more neighbours at full scale, or three or more equal ones
    at the clip's own peak, since what was made quieter after it was clipped stays clipped.
    """
    size = np.abs(samples)
    peak = float(size.max(initial=0.0))
    if peak < _MIN_PEAK or len(samples) < 3:
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
