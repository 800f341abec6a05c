"""Arrays of samples: channels, rate, integer and float, length."""

from collections.abc import Callable, Iterator
from typing import Any, TypeVar, cast

import numpy as np
import numpy.typing as npt

from speechcls.errors import AudioError

Samples = npt.NDArray[np.float32]
PCM = npt.NDArray[np.int16]
FloatArray = npt.NDArray[np.floating[Any]]
PCM_SCALE = 32_768.0
"""16-bit integers per full scale."""
_LARGEST = 1 - 1 / PCM_SCALE
"""Amplitude of the largest 16-bit integer."""
T = TypeVar("T", Samples, PCM)


def ignore_note(note: str) -> None:
    """Do nothing with what is worth knowing about a recording."""


def check_channel(channel: int, n_channels: int) -> None:
    """Refuse a channel, from 1 on, that there is not.

    Raises
    ------
    AudioError
        Without a subject.
    """
    if not 1 <= channel <= n_channels:
        raise AudioError(f"has no channel {channel}; name one of 1 to {n_channels}")


def match_channels(samples: Samples, n_channels: int) -> Samples:
    """Return ``samples`` (n, any) with ``n_channels``: their mean in each where they had others."""
    if samples.shape[1] == n_channels:
        return samples
    mean: Samples = samples.mean(axis=1, keepdims=True)
    return np.repeat(mean, n_channels, axis=1)


def to_mono(
    samples: Samples, channel: int | None = None, on_note: Callable[[str], None] = ignore_note
) -> Samples:
    """Return one channel, from 1 on, of ``samples`` (n, n_channels), or their mean (n,).

    Empty channels are left out of the mean. Where the channels cancel out it is the loudest one.

    Parameters
    ----------
    on_note : called with a sentence about channels that are left out

    Raises
    ------
    AudioError
        When there is no such channel, or the result is not finite.
    """
    mixer = ChannelMixer(samples.shape[1], channel, on_note)
    mono = mixer.mix(samples)
    mixer.finish()
    return mono


_NOT_FINITE = "NaN or infinite samples; export it again"
_EMPTY = 1e-8
"""A channel is empty whose power is no more than this part of the loudest one's (80 dB less)."""
_CANCELLED = 0.01
"""Channels cancel out whose mean has less than this part of the power of the loudest one."""


class ChannelMixer:
    """Makes one channel of the successive pieces of a recording, by what has come so far.

    Parameters
    ----------
    channel, on_note : as in ``to_mono``
    step : frames of which it is decided at a time what to leave out, so that the result does not
        depend on the pieces; None: all of a piece
    n_first : frames of which it is decided at once to begin with
    """

    def __init__(
        self,
        n_channels: int,
        channel: int | None = None,
        on_note: Callable[[str], None] = ignore_note,
        step: int | None = None,
        n_first: int = 0,
    ) -> None:
        if channel is not None:
            check_channel(channel, n_channels)
        self._channel = 1 if n_channels == 1 else channel
        self._on_note, self._step, self._n_next = on_note, step, max(n_first, step or 0)
        self._waiting: list[Samples] = []
        self._energies = np.zeros(n_channels)
        self._mean_energy = 0.0
        self._empty: list[int] = []
        self._is_broken = False

    def mix(self, samples: Samples, is_last: bool = True) -> Samples:
        """Return (n,) of the next piece (n, n_channels), less what is decided with the next one.

        Raises
        ------
        AudioError
            When the result was not finite; what was before that has been returned.
        """
        self._check()
        if self._step is None or (self._channel is not None and not self._waiting):
            mono = self._mix(samples)
        else:
            mono = self._mix_steps(samples, is_last)
        is_finite = np.isfinite(mono)
        if is_finite.all():
            return mono
        self._is_broken = True
        return mono[: int(np.argmin(is_finite))]

    def _check(self) -> None:
        if self._is_broken:
            raise AudioError(_NOT_FINITE)

    def finish(self) -> None:
        """Tell which channels were left out, at the end of the recording.

        Raises
        ------
        AudioError
            As ``mix`` does.
        """
        self._check()
        if self._channel is not None or not self._empty:
            return
        if len(self._empty) == 1:
            self._on_note(f"channel {self._empty[0] + 1} is empty; it is left out of the mean")
        else:
            names = ", ".join(str(i + 1) for i in self._empty[:8])
            names += " and more" if len(self._empty) > 8 else ""
            self._on_note(f"channels {names} are empty; they are left out of the mean")

    def _mix_steps(self, samples: Samples, is_last: bool) -> Samples:
        self._waiting.append(samples)
        if not is_last and sum(map(len, self._waiting)) < self._n_next:
            return samples[:0, 0]
        samples = np.concatenate(self._waiting)
        pieces, at = [samples[:0, 0]], 0
        while at < len(samples) and (is_last or at + self._n_next <= len(samples)):
            pieces.append(self._mix(samples[at : at + self._n_next]))
            at, self._n_next = at + self._n_next, self._step or 1
        self._waiting = [samples[at:].copy()] if at < len(samples) else []
        return np.concatenate(pieces)

    def _mix(self, samples: Samples) -> Samples:
        if self._channel is not None:
            return samples[:, self._channel - 1]
        with np.errstate(over="ignore", invalid="ignore"):
            mean = _mean_of(samples)
            self._energies += [np.dot(channel, channel) for channel in samples.T]
            self._mean_energy += float(np.dot(mean, mean))
        loudest = int(np.argmax(self._energies))
        most = float(self._energies[loudest])
        if not 0 < most < np.inf:  # silent so far, or not finite
            return mean
        is_empty = self._energies <= _EMPTY * most
        n_used = int(np.count_nonzero(~is_empty))
        gain = len(is_empty) / n_used  # the empty ones add nothing to the mean
        if n_used > 1 and self._mean_energy * gain**2 < _CANCELLED * most:
            self._channel = loudest + 1
            self._on_note(
                f"channels cancel out; channel {self._channel} is used: name another if it is the"
                " wrong one"
            )
            return samples[:, loudest]
        self._empty = np.flatnonzero(is_empty).tolist()
        return samples[:, ~is_empty].mean(axis=1) if self._empty else mean


class PieceReader:
    """Reads any number of frames from successive pieces (n, n_channels) of any length."""

    def __init__(self, pieces: Iterator[Samples], n_channels: int) -> None:
        self._pieces = pieces
        self._nothing: Samples = np.empty((0, n_channels), dtype=np.float32)
        self._rest = self._nothing

    def read(self, n_frames: int) -> Samples:
        """Return the next (n_frames, n_channels), fewer only at the end."""
        found = []
        while n_frames > 0:
            if not len(self._rest):
                rest = next(self._pieces, None)
                if rest is None:
                    break
                self._rest = rest
            found.append(self._rest[:n_frames])
            self._rest = self._rest[n_frames:]
            n_frames -= len(found[-1])
        return found[0] if len(found) == 1 else np.concatenate([self._nothing, *found])


def read_past(read: Callable[[int], Samples], n_frames: int, n_piece: int) -> int:
    """Read over frames, ``n_piece`` at a time; return how many there were."""
    n_skipped = 0
    while n_skipped < n_frames:
        n_asked = min(n_piece, n_frames - n_skipped)
        n_read = len(read(n_asked))
        n_skipped += n_read
        if n_read < n_asked:
            break
    return n_skipped


def _mean_of(samples: Samples) -> Samples:
    """Return the mean (n,) of the channels of ``samples`` (n, n_channels)."""
    if samples.shape[1] == 2:  # the same values, many times faster
        total: Samples = samples[:, 0] + samples[:, 1]
        return np.multiply(total, np.float32(0.5), out=total)
    mean: Samples = samples.mean(axis=1)
    return mean


_LOUDEST_FLOAT = 16.0
"""Floats beyond it are integers in disguise: no sound that was meant to reach 1 goes so far."""
_INTEGER_SCALES = {16: 1 << 15, 24: 1 << 23, 32: 1 << 31}
"""Full scale of integers, by their bits."""


def peak_of(samples: Samples) -> float:
    """Return the largest size of a finite value in ``samples`` (...), 0 of none."""
    peak = max(float(samples.max(initial=0.0)), -float(samples.min(initial=0.0)))
    if not np.isfinite(peak):
        size = np.abs(samples)
        peak = float(size.max(initial=0.0, where=np.isfinite(size)))
    return peak


def integer_bits(peak: float) -> int | None:
    """Return the bits of the integers at whose scale floats with such a peak are; None of [-1, 1].

    Raises
    ------
    AudioError
        When no integers are so large.
    """
    if peak <= _LOUDEST_FLOAT:
        return None
    for bits, scale in _INTEGER_SCALES.items():
        if peak <= 2 * scale:  # filters overshoot
            return bits
    raise AudioError(f"samples of up to {peak:.1g} where 1 is full scale; export it again")


def scale_down(
    samples: Samples, bits: int | None, on_note: Callable[[str], None] = ignore_note
) -> Samples:
    """Return ``samples`` (...) at the scale of integers of ``bits`` in [-1, 1], and tell so."""
    if bits is None:
        return samples
    scale = _INTEGER_SCALES[bits]
    on_note(f"floats at the scale of {bits}-bit integers; they were divided by {scale}")
    return samples * np.float32(1 / scale)


def resample(samples: Samples, from_rate: int, to_rate: int) -> Samples:
    """Return ``samples`` (n_samples,) at ``to_rate`` Hz, band-limited (soxr, high quality)."""
    if from_rate == to_rate:
        return samples
    import soxr

    return _finite(soxr.resample(samples, from_rate, to_rate, quality="HQ"))


def _finite(samples: Samples) -> Samples:
    """Return ``samples`` (...) unless some are not finite, as a resampler's may become."""
    if not np.isfinite(samples).all():
        raise AudioError(_NOT_FINITE)
    return samples


def open_resampler(
    from_rate: int, to_rate: int, n_channels: int = 1
) -> Callable[[Samples, bool], Samples]:
    """Return a function that resamples a stream piece by piece, as if it were one (soxr).

    It takes a piece (n,) of any length at ``from_rate`` Hz, or (n, n_channels) of more channels,
    and whether it is the last; it returns the samples at ``to_rate`` Hz that are ready.
    """
    if from_rate == to_rate:
        return lambda samples, is_last: samples
    import soxr

    stream = soxr.ResampleStream(from_rate, to_rate, n_channels, dtype="float32", quality="HQ")

    def convert(samples: Samples, is_last: bool) -> Samples:
        return _finite(stream.resample_chunk(np.ascontiguousarray(samples), is_last))

    return convert


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
    return _round(np.clip(samples, -1.0, np.float32(_LARGEST)))


def _round(samples: Samples) -> PCM:
    """Return ``samples`` (...) in -1 .. ``_LARGEST`` as 16-bit integers."""
    scaled = samples * np.float32(PCM_SCALE)
    pcm: PCM = np.rint(scaled, out=scaled).astype(np.int16)
    return pcm


def to_scaled_pcm(samples: Samples) -> tuple[PCM, float]:
    """Return ``samples`` (n,) as 16-bit integers of full scale, and the amplitude of full scale.

    That is 1 for samples in [-1, 1]; otherwise just so much more that none is clipped.
    """
    peak = max(-float(samples.min(initial=0)), float(samples.max(initial=0)))
    if peak <= _LARGEST:
        return _round(samples), 1.0
    if peak <= 1:
        return to_pcm(samples), 1.0
    scale = float(np.float32(peak * PCM_SCALE / (PCM_SCALE - 1)))
    return to_pcm(samples / np.float32(scale)), scale


def to_float(samples: PCM | Samples) -> Samples:
    """Return 16-bit integers (...) as float32 in [-1, 1), and float32 as it is."""
    if samples.dtype != np.int16:
        return cast(Samples, samples)
    floats = samples.astype(np.float32)
    floats *= np.float32(1 / PCM_SCALE)
    return floats


def loudest_start(samples: Samples | PCM, n_samples: int) -> int:
    """Return where in ``samples`` (n,) the window of ``n_samples`` with the most energy starts.

    In a clip that is not longer than the window it is 0. It is found by the samples as 16-bit
    integers, so that it is the same for a clip that is read and one that is stored.
    """
    if len(samples) <= n_samples:
        return 0
    pcm = samples if samples.dtype == np.int16 else to_scaled_pcm(to_float(samples))[0]
    energy = np.zeros(len(pcm) + 1)
    np.square(pcm, dtype=np.float64, out=energy[1:])
    np.cumsum(energy, out=energy)
    # In place: of a long clip each array counts.
    of_window = np.subtract(energy[n_samples:], energy[:-n_samples], out=energy[:-n_samples])
    return int(np.argmax(of_window))


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
