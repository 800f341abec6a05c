"""From a recording to mono samples at the model's rate, of the model's length."""

import os
import re
from pathlib import Path
from typing import BinaryIO, TypeVar

import numpy as np
import numpy.typing as npt
import soundfile

from speechcls.errors import AudioError

Samples = npt.NDArray[np.float32]
PCM = npt.NDArray[np.int16]
T = TypeVar("T", Samples, PCM)

SUFFIXES = frozenset(
    {".wav", ".w64", ".rf64", ".flac", ".ogg", ".oga", ".opus", ".mp3"}
    | {".aif", ".aiff", ".aifc", ".au", ".snd", ".caf"}
)
"""File name endings, in lower case, by which recordings are found in a folder."""

_SIZE_IN_HEADER = re.compile(r"(?:data|SSND) : (\d+) \(should be (\d+)\)")
# Programs that write a WAV into a pipe cannot know its size and put about 2 or 4 GiB.
_SIZE_UNKNOWN = 0x7FFF_0000


def read_clip(
    source: str | os.PathLike[str] | BinaryIO,
    sample_rate: int,
    start_s: float = 0.0,
    end_s: float | None = None,
    name: str | None = None,
) -> Samples:
    """Return a recording as mono samples in [-1, 1] at ``sample_rate`` Hz.

    Parameters
    ----------
    source : a file, or an open binary stream that can seek
    start_s, end_s : seconds; only this part of the recording is read (None: to its end)
    name : what messages call the recording, by default its path

    Returns
    -------
    (n_samples,) float32; channels are averaged, a full-scale clip may exceed 1 by resampling

    Raises
    ------
    AudioError
        When the recording is missing, unreadable, truncated, empty or not finite.
    """
    name = name or str(source)
    try:
        with soundfile.SoundFile(source) as recording:
            rate, n_frames = recording.samplerate, recording.frames
            declared = _SIZE_IN_HEADER.search(recording.extra_info)
            if declared and int(declared[2]) < int(declared[1]) < _SIZE_UNKNOWN:
                raise AudioError(
                    f"{name}: truncated ({declared[2]} of {declared[1]} bytes); copy it again"
                )
            first = min(round(start_s * rate), n_frames)
            last = n_frames if end_s is None else min(round(end_s * rate), n_frames)
            if first:
                recording.seek(first)
            samples = recording.read(max(0, last - first), dtype="float32", always_2d=True)
    except soundfile.SoundFileError as error:
        raise AudioError(f"{name}: {_why_unreadable(source, error)}") from error
    if n_frames == 0:
        raise AudioError(f"{name}: no audio data (0 frames); record it again or delete it")
    if last <= first:
        raise AudioError(
            f"{name}: nothing between {start_s:g} s and {end_s if end_s is not None else 'the end'}"
            f" (it lasts {n_frames / rate:.2f} s); mend start_s and end_s"
        )
    if len(samples) < last - first:
        raise AudioError(
            f"{name}: truncated ({len(samples)} of {last - first} frames); copy it again"
        )
    mono = samples[:, 0] if samples.shape[1] == 1 else samples.mean(axis=1)
    if not np.isfinite(mono).all():
        raise AudioError(f"{name}: NaN or infinite samples; export it again")
    mono = resample(mono, rate, sample_rate)
    if len(mono) == 0:
        raise AudioError(f"{name}: shorter than one sample at {sample_rate} Hz; record it again")
    return mono


def _why_unreadable(source: object, error: soundfile.SoundFileError) -> str:
    """Say what is wrong with a file that libsndfile refused, and what to do."""
    if isinstance(source, str | os.PathLike):
        if Path(source).is_dir():
            return "is a folder, not a recording"
        try:
            with Path(source).open("rb") as file:
                empty = not file.read(1)
        except FileNotFoundError:
            return "no such file"
        except OSError as os_error:
            return (os_error.strerror or str(os_error)).lower()
        if empty:
            return "is empty (0 bytes); record it again or delete it"
    reason = getattr(error, "error_string", str(error)).rstrip(".")
    return f"not readable audio ({reason}); convert it to WAV or delete it"


def resample(samples: Samples, from_rate: int, to_rate: int) -> Samples:
    """Return ``samples`` (n_samples,) at ``to_rate`` Hz, band-limited (soxr, high quality)."""
    if from_rate == to_rate:
        return samples
    import soxr

    resampled: Samples = soxr.resample(samples, from_rate, to_rate, quality="HQ")
    return resampled


def to_pcm(samples: Samples) -> PCM:
    """Return ``samples`` in [-1, 1] as 16-bit integers, as a WAV stores them; louder ones clip."""
    pcm: PCM = np.clip(np.rint(samples * 32_768.0), -32_768, 32_767).astype(np.int16)
    return pcm


def loudest_start(samples: Samples | PCM, n_samples: int) -> int:
    """Return where the window of ``n_samples`` with the most energy starts; 0 in a short clip."""
    if len(samples) <= n_samples:
        return 0
    energy = np.concatenate([[0.0], np.cumsum(np.square(samples, dtype=np.float64))])
    return int(np.argmax(energy[n_samples:] - energy[:-n_samples]))


def fit_length(samples: T, n_samples: int) -> T:
    """Return exactly ``n_samples``: the loudest window of a long clip, a short one amid zeros."""
    missing = n_samples - len(samples)
    if missing > 0:
        return np.pad(samples, (missing // 2, missing - missing // 2))
    start = loudest_start(samples, n_samples)
    return samples[start : start + n_samples]
