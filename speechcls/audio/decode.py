"""Whole clips: mono samples at a given rate, or all as it is; and errors that name them."""

import io
import math
import os
import struct
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import BinaryIO, NamedTuple, cast

import numpy as np
import soundfile

from speechcls.audio.samples import (
    ChannelMixer,
    Samples,
    check_channel,
    ignore_note,
    open_resampler,
    resample,
    to_mono,
)
from speechcls.audio.sound import BLOCK_VALUES, Sound, open_scaled
from speechcls.errors import AudioError, EmptyError, reason_of

OnNote = Callable[[str], None]
"""Called with a sentence that is worth knowing about a recording and does not name it."""
_BYTES_PER_BYTE, _BYTES_FREE = 64, 64_000_000
"""Memory that a clip may take: so much for each byte of its file, and so much in any case."""
_HELD_RATIO = 5
"""How many times its samples at the model's rate a clip takes until it is stored."""
_GROWTH = 1.25
_OTHER_ERRORS = (ArithmeticError, EOFError, LookupError, RuntimeError, ValueError, struct.error)
"""What damaged content can make of the libraries that read it."""
_STEP_S = 0.1
"""Duration of which the channels of a long recording are judged at a time."""


def read_clip(
    source: str | os.PathLike[str] | BinaryIO,
    sample_rate: int,
    start_s: float = 0.0,
    end_s: float | None = None,
    name: str | None = None,
    channel: int | None = None,
    on_note: OnNote = ignore_note,
    longest_s: float = math.inf,
) -> Samples:
    """Return a recording as mono samples in [-1, 1] at ``sample_rate`` Hz.

    Parameters
    ----------
    source : a file, or an open binary stream that can seek
    start_s, end_s : seconds; only this part of the recording is read (None: to its end)
    name : what messages call the recording (default: see ``display_name``)
    channel : which one to read, from 1 on; None: see ``to_mono``
    on_note : called with what was mended: a sentence, the same for every recording like this
    longest_s : seconds that may be read; more is an error before it is held in memory

    Returns
    -------
    (n_samples,) float32; a full-scale clip may exceed 1 by resampling

    Raises
    ------
    AudioError
        When the recording is missing, unreadable, truncated, empty, not finite, or too long.
    """
    with _open_part(source, start_s, end_s, name) as part:
        part = part._replace(longest_s=longest_s)
        sound, n_block = part.sound, part.n_block
        if part.n_wanted is None or part.n_wanted > n_block:
            frames = sound.read(n_block)
            is_whole = len(frames) < n_block
        else:
            frames, is_whole = sound.read(part.n_wanted), True
        if is_whole:
            part.check_length(len(frames))
            part.check_end(len(frames))
            mono = to_mono(frames, channel, on_note)
            part.check_cost(_HELD_RATIO * len(mono) * sample_rate // sound.rate)
            samples = resample(mono, sound.rate, sample_rate)
        else:
            pieces = mono_pieces(
                part.pieces(frames, sample_rate), sound, sample_rate, channel, on_note
            )
            samples = part.join(pieces)
        if len(samples) == 0:
            raise AudioError(f"shorter than one sample at {sample_rate} Hz; record it again")
        for note in sound.notes:
            on_note(note)
    return samples


def read_native(
    source: str | os.PathLike[str],
    start_s: float = 0.0,
    end_s: float | None = None,
    channel: int | None = None,
    on_note: OnNote = ignore_note,
) -> tuple[Samples, int]:
    """Return a recording (n_frames, n_channels) at its own rate, and that rate, Hz.

    Parameters
    ----------
    start_s, end_s, on_note : as in ``read_clip``
    channel : the only one to return, from 1 on

    Raises
    ------
    AudioError
        As ``read_clip`` does, but for samples that are not finite, which are returned.
    """
    with _open_part(source, start_s, end_s) as part:
        sound = part.sound
        if channel is not None:
            check_channel(channel, sound.n_channels)
        columns = slice(None) if channel is None else slice(channel - 1, channel)
        frames = part.join(piece[:, columns] for piece in part.pieces())
        for note in sound.notes:
            on_note(note)
        return frames, sound.rate


class _Part(NamedTuple):
    """The part of an open recording that is wanted; what it has read is before it."""

    sound: Sound
    n_bytes: int
    """Size of the file."""
    start_s: float
    end_s: float | None
    n_skipped: int
    n_wanted: int | None
    """Frames; None: to the end."""
    longest_s: float = math.inf

    @property
    def n_block(self) -> int:
        """Frames to read at a time."""
        return _n_block(self.sound)

    def pieces(self, first: Samples | None = None, rate: int = 0) -> Iterator[Samples]:
        """Yield the frames (n, n_channels) of the part, the last piece shorter than the others.

        Parameters
        ----------
        first : what was read of it already
        rate : Hz to which one channel of them will be resampled
        """
        n_read, n_block = 0, self.n_block
        # What is resampled is kept, the frames are not; without a rate these are, and measured.
        n_kept = rate / self.sound.rate * _HELD_RATIO if rate else 2 * self.sound.n_channels
        n_values = max(self.sound.n_channels, n_kept)
        while True:
            n_left = None if self.n_wanted is None else self.n_wanted - n_read
            n_asked = n_block if n_left is None else min(n_block, n_left)
            frames = self.sound.read(n_asked) if first is None else first
            first = None
            n_read += len(frames)
            self.check_length(n_read)
            self.check_cost(n_read * n_values)
            if len(frames) < n_block:
                self.check_end(n_read)
            yield frames
            if len(frames) < n_block:
                break

    def check_length(self, n_read: int) -> None:
        """Refuse more than ``longest_s`` seconds."""
        if n_read > self.longest_s * self.sound.rate:
            raise AudioError(
                f"lasts more than {self.longest_s:g} s; cut it into clips, or detect words in it"
            )

    def check_end(self, n_read: int) -> None:
        """Refuse what is not all there, or nothing, when as much was read as there is."""
        if n_read == self.n_wanted:
            return
        if self.sound.fault:
            raise self.sound.fault
        if n_read == 0 and self.n_skipped == 0 and self.n_wanted is None:
            raise EmptyError("no audio data (0 frames); record it again or leave it out")
        if n_read == 0:
            raise self.nothing(self.n_skipped)

    def nothing(self, n_frames: int) -> AudioError:
        """Return the error of a part that is not within ``n_frames``."""
        end = "the end" if self.end_s is None else f"{self.end_s:g} s"
        return AudioError(
            f"nothing between {self.start_s:g} s and {end} (it lasts"
            f" {n_frames / self.sound.rate:.2f} s); correct start_s and end_s"
        )

    def check_cost(self, n_values: float) -> None:
        """Refuse to hold more float32 values than a file of this size may cost."""
        if 4 * n_values > _BYTES_PER_BYTE * self.n_bytes + _BYTES_FREE:
            raise AudioError("too long for one clip; cut it into clips, or detect words in it")

    def join(self, pieces: Iterator[Samples]) -> Samples:
        """Return pieces (n, ...) as one array, which takes hardly more memory than they do."""
        joined = next(pieces)
        n_joined = len(joined)
        for piece in pieces:
            joined = joined if joined.flags.owndata else joined.copy()
            n_all = n_joined + len(piece)
            self.check_cost(n_all * (piece.size // max(len(piece), 1)))
            if n_all > len(joined):
                joined.resize((int(n_all * _GROWTH), *joined.shape[1:]), refcheck=False)
            joined[n_joined:n_all] = piece
            n_joined = n_all
        if len(joined) > n_joined:
            joined.resize((n_joined, *joined.shape[1:]), refcheck=False)
        return joined


@contextmanager
def _open_part(
    source: str | os.PathLike[str] | BinaryIO,
    start_s: float,
    end_s: float | None,
    name: str | None = None,
) -> Iterator[_Part]:
    """Yield the part of a recording from ``start_s`` to ``end_s``; errors name the recording."""
    with naming_errors(name or display_name(source)), open_binary(source) as file:
        n_bytes = file.seek(0, os.SEEK_END)
        sound = open_scaled(file, is_whole=start_s == 0 and end_s is None)
        try:
            part = _Part(sound, n_bytes, start_s, end_s, 0, None)
            end = math.inf if end_s is None else end_s
            if not 0 <= start_s < end or start_s == math.inf:
                raise part.nothing(sound.n_frames or sound.skip(1 << 62))
            if end < math.inf or start_s:
                n_before = round(start_s * sound.rate)
                n_wanted = None if end == math.inf else round(end * sound.rate) - n_before
                n_skipped = sound.skip(n_before) if n_before else 0
                part = part._replace(n_skipped=n_skipped, n_wanted=n_wanted)
                if n_skipped < n_before:
                    raise part.nothing(n_skipped)
                if n_wanted == 0:
                    raise part.nothing(sound.n_frames or n_skipped + sound.skip(1 << 62))
            yield part
        finally:
            sound.close()


@contextmanager
def open_binary(source: str | os.PathLike[str] | BinaryIO) -> Iterator[BinaryIO]:
    """Yield an unbuffered file of a recording, or the stream itself.

    It is unbuffered, since libsndfile reads from its descriptor.
    """
    if isinstance(source, str | os.PathLike):
        try:
            file = io.FileIO(source)  # a tenth of the time that pathlib takes
        except ValueError as error:  # a name that no file can have
            raise FileNotFoundError(str(error)) from error
        with file:
            yield cast(BinaryIO, file)
    elif isinstance(source, io.BufferedReader) and isinstance(source.raw, io.FileIO):
        yield cast(BinaryIO, source.raw)
    else:
        yield source


def mixed_pieces(
    pieces: Iterable[Samples],
    sound: Sound,
    channel: int | None,
    on_note: OnNote,
    is_ahead: bool,
) -> Iterator[Samples]:
    """Yield successive pieces (n, n_channels) of a recording as mono samples (m,), no longer ones.

    Joined they are the same whatever the pieces are.

    Parameters
    ----------
    channel, on_note : as in ``to_mono``, by what has come so far
    is_ahead : whether to wait for as much as ``read_clip`` decides on at once
    """
    step = max(1, round(_STEP_S * sound.rate))
    n_first = _n_block(sound) if is_ahead else 0
    mixer = ChannelMixer(sound.n_channels, channel, on_note, step, n_first)
    n_most = 1
    for piece in pieces:
        n_most = max(n_most, len(piece))
        yield from _split(mixer.mix(piece, False), n_most)
    rest = mixer.mix(np.empty((0, sound.n_channels), dtype=np.float32), True)
    yield from _split(rest, n_most)
    mixer.finish()


def _n_block(sound: Sound) -> int:
    """Return the frames of a recording to read at a time."""
    return max(1, BLOCK_VALUES // sound.n_channels)


def _split(samples: Samples, n_most: int) -> Iterator[Samples]:
    """Yield ``samples`` (n,) in pieces of at most ``n_most``, one of no samples as well."""
    for start in range(0, max(len(samples), 1), n_most):
        yield samples[start : start + n_most]


def mono_pieces(
    pieces: Iterable[Samples],
    sound: Sound,
    sample_rate: int,
    channel: int | None,
    on_note: OnNote,
    is_ahead: bool = True,
) -> Iterator[Samples]:
    """Yield what ``mixed_pieces`` does at ``sample_rate`` Hz."""
    convert = open_resampler(sound.rate, sample_rate)
    for piece in mixed_pieces(pieces, sound, channel, on_note, is_ahead):
        yield convert(piece, False)
    yield convert(np.empty(0, dtype=np.float32), True)


def display_name(source: str | os.PathLike[str] | BinaryIO) -> str:
    """Return what messages call a recording: its path, or the ``name`` of an open stream."""
    if isinstance(source, str | os.PathLike):
        return str(source)
    name = getattr(source, "name", None)
    return name if isinstance(name, str) else "stream"


@contextmanager
def naming_errors(name: str) -> Iterator[None]:
    """Turn errors of the block into an AudioError that names the recording ``name``.

    An AudioError raised in the block has no subject yet. What else a damaged file can do to the
    libraries that read it is an error of that file as well.

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
        raise AudioError(f"{name}: not readable audio ({reason}); export it again") from error
    except IsADirectoryError as error:
        raise AudioError(f"{name}: is a folder, not a recording; name a file in it") from error
    except FileNotFoundError as error:
        raise AudioError(f"{name}: no such file; check the path") from error
    except MemoryError as error:  # also std::bad_alloc of soxr
        raise AudioError(f"{name}: takes more memory than there is; cut it into parts") from error
    except OSError as error:
        raise AudioError(f"{name}: {reason_of(error)}; fix that or leave it out") from error
    except _OTHER_ERRORS as error:
        reason = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        raise AudioError(f"{name}: not readable audio ({reason}); export it again") from error
