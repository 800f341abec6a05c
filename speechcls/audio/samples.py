"""Arrays of samples: channels, rate, integer and float, length."""

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from speechcls.errors import AudioError

Samples = npt.NDArray[np.float32]
PCM = npt.NDArray[np.int16]
FloatArray = npt.NDArray[np.floating[Any]]
PCM_SCALE = 32_768.0
"""16-bit integers per full scale."""
T = TypeVar("T", Samples, PCM)


def to_mono(samples: Samples, channel: int | None = None) -> Samples:
    """Return one channel, from 1 on, of ``samples`` (n, n_channels), or their mean (n,).

    Raises
    ------
    AudioError
        When there is no such channel, or the result is not finite.
    """
    n_channels = samples.shape[1]
    if channel is not None and not 1 <= channel <= n_channels:
        raise AudioError(f"has no channel {channel}; name one of 1 to {n_channels}")
    with np.errstate(over="ignore"):
        if channel or n_channels == 1:
            mono = samples[:, (channel or 1) - 1]
        else:
            mono = samples.mean(axis=1)
    if not np.isfinite(mono).all():
        raise AudioError("NaN or infinite samples; export it again")
    return mono


def resample(samples: Samples, from_rate: int, to_rate: int) -> Samples:
    """Return ``samples`` (n_samples,) at ``to_rate`` Hz, band-limited (soxr, high quality)."""
    if from_rate == to_rate:
        return samples
    import soxr

    resampled: Samples = soxr.resample(samples, from_rate, to_rate, quality="HQ")
    return resampled


def open_resampler(from_rate: int, to_rate: int) -> Callable[[Samples, bool], Samples]:
    """Return a function that resamples a stream piece by piece, as if it were one (soxr).

    It takes a piece (n,) of any length at ``from_rate`` Hz, and whether it is the last; it returns
    the samples (m,) at ``to_rate`` Hz that are ready.
    """
    if from_rate == to_rate:
        return lambda samples, is_last: samples
    import soxr

    stream = soxr.ResampleStream(from_rate, to_rate, 1, dtype="float32", quality="HQ")
    return lambda samples, is_last: stream.resample_chunk(np.ascontiguousarray(samples), is_last)


def check_samples(array: npt.NDArray[Any]) -> Samples:
    """Return the samples (n_samples,) of one channel that a caller gave as an array, as float32.

    Raises
    ------
    AudioError
        When they are neither floats nor 16-bit integers, of another shape, or not finite.
    """
    if not hasattr(array, "__array__"):
        raise AudioError(f"{type(array).__name__}: not samples; give an array")
    array = np.asarray(array)  # of a tensor, too
    if array.dtype.kind != "f" and array.dtype != np.int16:
        raise AudioError(f"array of {array.dtype}: give floats in [-1, 1], or int16")
    if array.ndim != 1:
        raise AudioError(
            f"array of shape {array.shape}: give samples (n_samples,) of one channel; average"
            " the channels of (n_samples, n_channels) with .mean(axis=1)"
        )
    samples = to_float(array) if array.dtype == np.int16 else array.astype(np.float32)
    if not np.isfinite(samples).all():
        raise AudioError("array: NaN or infinite samples; leave them out")
    return samples


def to_pcm(samples: Samples) -> PCM:
    """Return ``samples`` (...) in [-1, 1] as 16-bit integers, as a WAV stores them.

    Values outside are clipped.
    """
    scaled = np.rint(samples * np.float32(PCM_SCALE))
    pcm: PCM = np.clip(scaled, -PCM_SCALE, PCM_SCALE - 1, out=scaled).astype(np.int16)
    return pcm


def to_scaled_pcm(samples: Samples) -> tuple[PCM, float]:
    """Return ``samples`` (n,) as 16-bit integers of full scale, and the amplitude of full scale.

    That is 1 for samples in [-1, 1]; otherwise just so much more that none is clipped.
    """
    peak = max(-float(samples.min(initial=0)), float(samples.max(initial=0)))
    if peak <= 1:
        return to_pcm(samples), 1.0
    scale = float(np.float32(peak * PCM_SCALE / (PCM_SCALE - 1)))
    return to_pcm(samples / np.float32(scale)), scale


def to_float(samples: PCM | Samples) -> Samples:
    """Return 16-bit integers (...) as float32 in [-1, 1), and float32 as it is."""
    scale = PCM_SCALE if samples.dtype == np.int16 else 1.0
    floats: Samples = np.multiply(samples, np.float32(1 / scale), dtype=np.float32)
    return floats


def loudest_start(samples: Samples | PCM, n_samples: int) -> int:
    """Return where in ``samples`` (n,) the window of ``n_samples`` with the most energy starts.

    In a clip that is not longer than the window it is 0. It is found by the samples as 16-bit
    integers, so that it is the same for a clip that is read and one that is stored.
    """
    if len(samples) <= n_samples:
        return 0
    pcm = samples if samples.dtype == np.int16 else to_scaled_pcm(to_float(samples))[0]
    energy = np.concatenate([[0.0], np.cumsum(np.square(pcm, dtype=np.float64))])
    return int(np.argmax(energy[n_samples:] - energy[:-n_samples]))


def fit_length(samples: T, n_samples: int) -> T:
    """Return (n_samples,) of ``samples`` (n,): the loudest window of a long clip.

    A short one is padded with zeros on both sides.
    """
    missing = n_samples - len(samples)
    if missing > 0:
        return np.pad(samples, (missing // 2, missing - missing // 2))
    start = loudest_start(samples, n_samples)
    return samples[start : start + n_samples]


def unpad(window: T, n_samples: int) -> T:
    """Return ``window`` (n,) without the zeros that ``fit_length`` padded ``n_samples`` with."""
    before = max(len(window) - n_samples, 0) // 2
    return window[before : before + n_samples]
