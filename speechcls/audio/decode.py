"""Decode recordings to mono samples at a given rate."""

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import BinaryIO

import soundfile

from speechcls.audio.samples import Samples, resample, to_float, to_mono
from speechcls.errors import AudioError, EmptyError, reason_of

SUFFIXES = frozenset(
    {".wav", ".w64", ".rf64", ".flac", ".ogg", ".oga", ".opus", ".mp3"}
    | {".aif", ".aiff", ".aifc", ".au", ".snd", ".caf"}
)
"""File name endings, in lower case, by which recordings are found in a folder."""

# Where the header promises more than there is. A wrong "RIFF" size alone is harmless and common.
_SIZE_IN_HEADER = re.compile(
    r"(?:data|SSND|Data Size|riff|Riff size)\s*: (\d+) \(should be (\d+)\)"
)
SIZE_UNKNOWN = 0x7FFF_0000
"""From this size on (about 2 or 4 GiB) a WAV was written into a pipe, its size not known."""


def read_clip(
    source: str | os.PathLike[str] | BinaryIO,
    sample_rate: int,
    start_s: float = 0.0,
    end_s: float | None = None,
    name: str | None = None,
    channel: int | None = None,
    on_note: Callable[[str], None] = lambda note: None,
) -> Samples:
    """Return a recording as mono samples in [-1, 1] at ``sample_rate`` Hz.

    Parameters
    ----------
    source : a file, or an open binary stream that can seek
    start_s, end_s : seconds; only this part of the recording is read (None: to its end)
    name : what messages call the recording (default: see ``display_name``)
    channel : the one to read, from 1 on; None: the mean of all
    on_note : called with a sentence on each way in which the samples are not those of the file

    Returns
    -------
    (n_samples,) float32; a full-scale clip may exceed 1 by resampling

    Raises
    ------
    AudioError
        When the recording is missing, unreadable, truncated, empty or not finite.
    """
    with naming_errors(name or display_name(source)):
        frames, rate = _open_and_decode(source, start_s, end_s)
        samples = resample(to_mono(frames, channel), rate, sample_rate)
        if len(samples) == 0:
            raise AudioError(f"shorter than one sample at {sample_rate} Hz; record it again")
    return samples


def read_native(
    source: str | os.PathLike[str], start_s: float = 0.0, end_s: float | None = None
) -> tuple[Samples, int]:
    """Return a recording (n_frames, n_channels) at its own rate, and that rate, Hz.

    Parameters
    ----------
    start_s, end_s : as in ``read_clip``

    Raises
    ------
    AudioError
        As ``read_clip`` does, but for samples that are not finite, which are returned.
    """
    with naming_errors(display_name(source)):
        return _open_and_decode(source, start_s, end_s)


def _open_and_decode(
    source: str | os.PathLike[str] | BinaryIO, start_s: float, end_s: float | None
) -> tuple[Samples, int]:
    if not isinstance(source, str | os.PathLike):
        return _decode(source, source, start_s, end_s)
    # By descriptor: soundfile accepts fewer names than the system, and goes by the ending.
    with open(source, "rb", buffering=0) as file:  # noqa: PTH123 - a tenth of the time
        return _decode(file, file.fileno(), start_s, end_s)


def display_name(source: str | os.PathLike[str] | BinaryIO) -> str:
    """Return what messages call a recording: its path, or the ``name`` of an open stream."""
    if isinstance(source, str | os.PathLike):
        return str(source)
    name = getattr(source, "name", None)
    return name if isinstance(name, str) else "stream"


@contextmanager
def naming_errors(name: str) -> Iterator[None]:
    """Turn errors of the block into an AudioError that names the recording ``name``.

    An AudioError raised in the block has no subject yet.

    Raises
    ------
    AudioError
        With ``name`` as its subject, for each error of the block that is about the recording.
    """
    try:
        yield
    except AudioError as error:
        raise type(error)(f"{name}: {error}") from error
    except soundfile.SoundFileError as error:
        reason = getattr(error, "error_string", str(error)).rstrip(".")
        raise AudioError(
            f"{name}: not readable audio ({reason}); convert it to WAV or delete it"
        ) from error
    except IsADirectoryError as error:
        raise AudioError(f"{name}: is a folder, not a recording; name a file in it") from error
    except (FileNotFoundError, ValueError) as error:  # ValueError: a name that no file can have
        raise AudioError(f"{name}: no such file; check the path") from error
    except OSError as error:
        raise AudioError(f"{name}: {reason_of(error)}; fix that or leave it out") from error


def _decode(
    file: BinaryIO, source: BinaryIO | int, start_s: float, end_s: float | None
) -> tuple[Samples, int]:
    """Return samples (n_frames, n_channels) at the recording's own rate, and the rate.

    ``source`` is what soundfile opens: the file or its descriptor. Errors do not name it.
    """
    with open_file(file, source) as recording:
        rate, n_frames = recording.samplerate, recording.frames
        check_size(recording)
        first = min(round(start_s * rate), n_frames)
        last = n_frames if end_s is None else min(round(end_s * rate), n_frames)
        if not 0 <= first < last:
            end = "the end" if end_s is None else f"{end_s:g} s"
            raise AudioError(
                f"nothing between {start_s:g} s and {end} (it lasts {n_frames / rate:.2f} s);"
                " correct start_s and end_s"
            )
        # An MP3 decoder that starts in the middle needs some frames to synchronise.
        skipped = first if recording.format == "MP3" else 0
        if first > skipped:
            recording.seek(first)
        samples = read_frames(recording, last - first + skipped)[skipped:]
    if len(samples) < last - first:
        raise AudioError(f"truncated ({len(samples)} of {last - first} frames); copy it again")
    return samples, rate


def open_file(file: BinaryIO, source: BinaryIO | int) -> soundfile.SoundFile:
    """Return the recording in ``source``, which is ``file`` or its descriptor.

    Raises
    ------
    EmptyError
        When there are no bytes at all.
    soundfile.SoundFileError
        When libsndfile cannot read it.
    """
    try:
        return soundfile.SoundFile(source, closefd=False)
    except soundfile.SoundFileError as error:
        file.seek(0)
        if not file.read(1):
            raise EmptyError("is empty (0 bytes); record it again or delete it") from error
        raise


def check_size(recording: soundfile.SoundFile) -> None:
    """Refuse a recording whose header promises more than there is, or that has no samples.

    Raises
    ------
    AudioError
        When it is truncated.
    EmptyError
        When it has no samples.
    """
    declared = _SIZE_IN_HEADER.search(recording.extra_info)
    if declared and int(declared[2]) < int(declared[1]) < SIZE_UNKNOWN:
        raise AudioError(f"truncated ({declared[2]} of {declared[1]} bytes); copy it again")
    if recording.frames == 0:
        raise EmptyError("no audio data (0 frames); record it again or delete it")


def read_frames(recording: soundfile.SoundFile, n_frames: int) -> Samples:
    """Return the next (n_frames, n_channels) of a recording, fewer at its end."""
    # 16-bit samples are read as such: the same values in half the time.
    dtype = "int16" if recording.subtype == "PCM_16" else "float32"
    return to_float(recording.read(n_frames, dtype=dtype, always_2d=True))
