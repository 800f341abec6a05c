"""Power spectrogram in NumPy."""

import numpy as np

from speechcls.audio.samples import FloatArray, Samples
from speechcls.config import FeatureConfig

SPECTROGRAM_DB = 80.0
"""Dynamic range of a spectrogram, dB."""


def spectrogram(samples: Samples, config: FeatureConfig) -> FloatArray:
    """Return the power of each frequency in dB below the loudest point.

    Parameters
    ----------
    samples : (n_samples,)

    Returns
    -------
    (1 + n_samples // hop_length, 1 + n_fft // 2) from -``SPECTROGRAM_DB`` to 0; the middle of frame
    ``i`` is at sample ``i * hop_length``
    """
    padded = np.pad(samples.astype(np.float64), config.n_fft // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, config.n_fft)[:: config.hop_length]
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(config.win_length) / config.win_length)
    before = (config.n_fft - config.win_length) // 2
    window = np.pad(window, (before, config.n_fft - config.win_length - before))
    power = np.abs(np.fft.rfft(frames * window)) ** 2
    loudest = max(power.max(), config.power_floor)
    floor = loudest * 10 ** (-SPECTROGRAM_DB / 10)
    decibels: FloatArray = 10 * np.log10(np.maximum(power, floor) / loudest)
    return decibels
