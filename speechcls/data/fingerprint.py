"""Fingerprints of sounds that survive a change of level, format or rate, to find copies."""

import functools
import itertools
import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from speechcls.audio.samples import Samples

Fingerprint = npt.NDArray[np.float16]

SIMILAR = 0.9
"""Similarity of fingerprints from which clips may be one sound: 10 pairs in 8 million takes."""
SAME_SOUND = 0.91
"""Correlation of waveforms from which they are one. Takes of one word by one speaker reach 0.902,
one pair of 11,583 clips; of 360 copies through Vorbis, Opus or MP3, at 8 kHz, 20 or 30 dB fainter,
two are as low as 0.910."""
SAME_WORD = 0.965
"""The same where the labels differ: a synthetic voice that says "stop" and "up" with one vowel
reaches 0.958, and only the faintest of lossy copies are below."""

_BAND_HZ = (150.0, 3_600.0)
"""Telephone band, so that a copy at 8 kHz is still one."""
_N_BANDS, _N_FRAMES = 12, 32
N_VALUES = _N_FRAMES * (_N_BANDS - 1)
"""Of a fingerprint."""
_WINDOW_S, _HOP_S = 0.032, 0.024
_RANGE_DB = 30.0
"""Levels further below the loudest frame are the noise of the recording."""
_N_NEIGHBOURS = 3
_NEAR_S, _AMBIGUOUS = 0.06, 0.85
"""If a shift further away than the first reaches this fraction of the best, no shift is certain."""
_FRAME_S, _LOUD_DB = 0.05, 20.0
"""Waveforms are compared frame by frame, in frames no further below the loudest one."""
_BLOCK, _BLOCK_VALUES = 1_024, 2**24
"""Clips, and similarities, that are computed at once: at most 64 MiB."""


class Pair(NamedTuple):
    """Two clips, by index, and how similar their fingerprints are."""

    first: int
    second: int
    similarity: float


def limit_band(samples: Samples, sample_rate: int) -> Samples:
    """Return ``samples`` (n,) band-limited to 150 .. 3600 Hz."""
    n_fft = 1 << (len(samples) + sample_rate // 8).bit_length()
    spectrum = np.fft.rfft(samples - samples.mean(), n_fft)  # an offset would start with a click
    low, high = (band_hz * n_fft / sample_rate for band_hz in _BAND_HZ)
    spectrum[: math.ceil(low)] = 0
    spectrum[math.floor(high) + 1 :] = 0
    limited: Samples = np.fft.irfft(spectrum, n_fft)[: len(samples)].astype(np.float32)
    return limited


def fingerprint(samples: Samples, sample_rate: int) -> Fingerprint:
    """Return (352,) of norm 1, nearly the same for each copy of a sound; zeros for silence.

    It holds the differences of level, dB, between neighbours of 12 bands, in 32 frames around the
    centre of the energy. They hardly change with a shift in time, a gain, another rate or a lossy
    format.

    Parameters
    ----------
    samples : (n,) amplitude at ``sample_rate`` Hz

    Source
    ------
    The differences of bands are those of Haitsma & Kalker 2002, kept as numbers instead of signs.
    """
    limited = limit_band(samples, sample_rate)
    energy = np.square(limited, dtype=np.float64)
    total = energy.sum()
    if total <= 0:
        return np.zeros(N_VALUES, dtype=np.float16)
    window_length, hop_length = round(_WINDOW_S * sample_rate), round(_HOP_S * sample_rate)
    n_wanted = (_N_FRAMES - 1) * hop_length + window_length
    centre = round(float((np.arange(len(energy)) * energy).sum() / total))
    start = centre - n_wanted // 2
    first, last = max(start, 0), min(start + n_wanted, len(limited))
    around = np.pad(limited[first:last], (first - start, start + n_wanted - last))
    frames = np.lib.stride_tricks.sliding_window_view(around, window_length)[::hop_length]
    spectrum = np.fft.rfft(frames * np.hanning(window_length).astype(np.float32), axis=1)
    power = np.square(np.abs(spectrum)) @ _bands(window_length, sample_rate)
    level = 10 * np.log10(power + 1e-20)
    level = np.maximum(level, level.max() - _RANGE_DB)  # (n_frames, n_bands) dB
    change = np.diff(level, axis=1)
    change -= change.mean()
    norm = np.linalg.norm(change)
    result: Fingerprint = (change / max(norm, 1e-9)).ravel().astype(np.float16)
    return result


@functools.cache
def _bands(window_length: int, sample_rate: int) -> npt.NDArray[np.float64]:
    """Return (n_bins, n_bands) weights: the mean over the bins of each band, or the nearest bin."""
    frequencies = np.fft.rfftfreq(window_length, 1 / sample_rate)
    edges = np.geomspace(*_BAND_HZ, _N_BANDS + 1)
    bands = np.zeros((len(frequencies), _N_BANDS))
    for band, (low, high) in enumerate(itertools.pairwise(edges)):
        inside = (frequencies >= low) & (frequencies < high)
        if not inside.any():
            inside[np.argmin(np.abs(frequencies - np.sqrt(low * high)))] = True
        bands[inside, band] = 1 / inside.sum()
    return bands


def similar_pairs(first: Fingerprint, second: Fingerprint | None = None) -> Iterator[Pair]:
    """Yield the pairs of clips that may be one sound, at most the three most similar of each clip.

    Every clip is compared with every other one, block by block: a few seconds for 10,000.

    Parameters
    ----------
    first : (n_clips, 352)
    second : (m_clips, 352) to compare those with; None: with each other, each pair once
    """
    seen = set()
    columns = np.asarray(first if second is None else second, dtype=np.float32)
    size = max(1, min(_BLOCK, _BLOCK_VALUES // max(1, len(columns))))
    for start in range(0, len(first) if len(columns) else 0, size):
        rows = np.asarray(first[start : start + size], dtype=np.float32)
        similarity = rows @ columns.T  # (block, m_clips)
        if second is None:
            similarity[np.arange(len(rows)), np.arange(start, start + len(rows))] = -1
        for row in np.flatnonzero(similarity.max(axis=1, initial=-1) >= SIMILAR).tolist():
            best = np.argsort(-similarity[row], kind="stable")[:_N_NEIGHBOURS].tolist()
            for other in best:
                pair = start + row, other
                if second is None:
                    pair = min(pair), max(pair)
                if similarity[row, other] >= SIMILAR and pair not in seen:
                    seen.add(pair)
                    yield Pair(*pair, float(similarity[row, other]))


def is_one_sound(first: Samples, second: Samples, sample_rate: int, same_label: bool) -> bool:
    """Return whether two clips (n,) and (m,) are copies of one sound, by their correlation.

    More of it is asked for where the labels differ, since two words may have much in common.
    """
    limit = SAME_SOUND if same_label else SAME_WORD
    return correlation(first, second, sample_rate)[0] >= limit


def correlation(first: Samples, second: Samples, sample_rate: int) -> tuple[float, float]:
    """Return the correlation of two sounds (n,) and (m,), 0 .. 1, and the gain, dB, between them.

    They are aligned at the maximum of their cross-correlation within 150 .. 3600 Hz, of either
    polarity; the result is the mean of the normalised correlations of all loud frames, since one
    long vowel would dominate the correlation of the whole. Both are 0 where other shifts fit as
    well: a hum or a steady tone correlates with any other of its pitch.

    Returns
    -------
    Correlation, and the gain from ``first`` to ``second``
    """
    a, b = limit_band(first, sample_rate), limit_band(second, sample_rate)
    norm_a, norm_b = float(np.linalg.norm(a)), float(np.linalg.norm(b))
    if not norm_a or not norm_b:
        return 0.0, 0.0
    n_fft = 1 << (len(a) + len(b)).bit_length()
    products = np.fft.irfft(np.fft.rfft(a, n_fft) * np.fft.rfft(b, n_fft).conj(), n_fft)
    sizes = np.abs(products)
    best = int(sizes.argmax())
    near = round(_NEAR_S * sample_rate)
    elsewhere = np.roll(sizes, -best)[near : n_fft - near]
    if elsewhere.max(initial=0) > _AMBIGUOUS * sizes[best]:
        return 0.0, 0.0
    shift = best if best < n_fft // 2 else best - n_fft  # samples by which a is later than b
    before = max(0, -shift), max(0, shift)
    n_samples = max(len(a) + before[0], len(b) + before[1])
    c, d = (
        _frames(np.pad(each, (n, n_samples - n - len(each))), sample_rate)
        for each, n in zip((a, b), before, strict=True)
    )
    norms = np.linalg.norm(c, axis=1), np.linalg.norm(d, axis=1)
    loudness = np.maximum(*(each / max(each.max(), 1e-9) for each in norms))
    is_loud = loudness >= 10 ** (-_LOUD_DB / 20)
    of_frames = (c * d).sum(axis=1) / np.maximum(norms[0] * norms[1], 1e-12)
    mean = float(np.sign(products[best]) * of_frames[is_loud].mean())
    return max(0.0, mean), float(20 * np.log10(norm_b / norm_a))


def _frames(samples: Samples, sample_rate: int) -> Samples:
    """Return (n_frames, n) of ``samples`` with an overlap of a half, the last padded with zeros."""
    length = round(_FRAME_S * sample_rate)
    padded = np.pad(samples, (0, length))
    frames: Samples = np.lib.stride_tricks.sliding_window_view(padded, length)[:: length // 2]
    return frames
