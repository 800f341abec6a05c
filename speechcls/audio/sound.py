"""One way to open every recording: by libsndfile, or by ffmpeg what that cannot read.

Lengths in headers are no more than what they are in each format: estimates, or promises.
"""

import io
import os
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache, partial
from typing import BinaryIO, Protocol, cast

import numpy as np
import soundfile

from speechcls.audio.ffmpeg import FfmpegSound
from speechcls.audio.samples import (
    PCM,
    PieceReader,
    Samples,
    ignore_note,
    integer_bits,
    match_channels,
    open_resampler,
    peak_of,
    read_past,
    scale_down,
    to_float,
)
from speechcls.audio.sniff import (
    HEAD_BYTES,
    OTHER_IFF,
    SAMPLE_DUMP,
    find_contents,
    kind_by_magic,
    kind_of,
    refusal_of,
)
from speechcls.audio.wav import check_format
from speechcls.errors import AudioError, EmptyError
from speechcls.formats.ends import claims_fit, judge_end
from speechcls.formats.mpeg import id3_bytes
from speechcls.formats.splice import Contents, KnownFile, Parts, Spliced, whole

BLOCK_VALUES = 1 << 20
"""Samples of all channels up to which a recording is decoded at once (4 MB)."""
_PIECE = 128
"""Frames at a time before damage: of a read that meets it libsndfile gives nothing."""
_BY_LIBSNDFILE = frozenset({"wav", "w64", "aiff", "au", "caf", "flac", "mp3"})
"""Formats of which libsndfile says best what is wrong."""


class Sound(Protocol):
    """An open recording, read from start to end."""

    rate: int
    """Hz."""
    n_channels: int
    n_frames: int | None
    """Its length as far as that is known before the end; None otherwise."""
    is_float: bool
    """Whether it stores floats, which may be at any scale."""
    fault: AudioError | None
    """What is wrong at its end, without a subject; final once ``read`` has come to the end."""
    notes: list[str]
    """Sentences about what was mended; final at the end as well."""

    def read(self, n_frames: int) -> Samples:
        """Return the next (n_frames, n_channels) float32, fewer only at the end."""
        ...

    def skip(self, n_frames: int) -> int:
        """Pass over frames; return how many there were, fewer only at the end."""
        ...

    def close(self) -> None:
        """Release it."""
        ...


class _Forward(soundfile.SoundFile):  # type: ignore[misc]
    """A file of which reading never seeks, as soundfile otherwise does after each block.

    libsndfile cannot in a FLAC of unknown length.
    """

    __setattr__ = object.__setattr__  # soundfile's looks for texts to write into the file

    def seekable(self) -> bool:
        """Return False."""
        return False

    def flush(self) -> None:
        """Do nothing: nothing is written."""

    def read_frames(self, n_frames: int, dtype: str) -> PCM | Samples:
        """Return the next (n_frames, n_channels), fewer at the end: as ``read``, in less time."""
        frames = np.empty((n_frames, self.channels), dtype)
        n_read = self.buffer_read_into(frames, dtype) if n_frames else 0
        return frames[:n_read]


class _FileSound:
    """A recording that libsndfile reads; see ``Sound``."""

    def __init__(self, file: BinaryIO) -> None:
        self._source = file
        self._open()
        self.rate, self.n_channels = self._file.samplerate, self._file.channels
        check_format(self.rate, self.n_channels)
        self._format, subtype = self._file.format, self._file.subtype  # each asks libsndfile
        is_endless = self._file.frames >= 1 << 62  # a FLAC of unknown length
        self.n_frames: int | None = None if is_endless else self._file.frames
        is_estimate = self._format in ("MP3", "OGG") or "MPEG" in subtype
        self._is_promised = not is_estimate and not is_endless
        self.is_float = subtype in ("FLOAT", "DOUBLE")
        # 16-bit samples are read as such: the same values in half the time.
        self._dtype = "int16" if subtype == "PCM_16" else "float32"
        self.fault, self.notes = judge_end(file, self._format)
        self._n_read = 0

    def _open(self) -> None:
        # By descriptor where there is one: each call back into Python takes time.
        self._source.seek(0)
        is_file = isinstance(self._source, io.FileIO)
        source = self._source.fileno() if is_file else whole(self._source)
        self._file = _Forward(source, closefd=False)

    def read(self, n_frames: int) -> Samples:
        n_most = n_frames
        if self._is_promised and self.n_frames is not None:
            n_most = min(n_frames, self.n_frames - self._n_read)  # nothing is allocated for more
        try:
            frames = to_float(self._file.read_frames(n_most, self._dtype))
        except soundfile.SoundFileError as error:
            frames = self._salvage(n_most)
            reason = _reason(error)
            if "mid stream" in reason:
                self.fault = AudioError(f"{reason}; convert it: ffmpeg -i x.flac x.wav")
            elif not self._is_promised and self.fault is None:
                n_read = self._n_read + len(frames)
                self.fault = AudioError(
                    f"damaged or truncated after {n_read} frames ({reason}); copy it again"
                )
        self._n_read += len(frames)
        if len(frames) < n_most and self._is_promised and self.fault is None:
            counts = f"{self._n_read} of {self.n_frames} frames"
            self.fault = AudioError(f"truncated ({counts}); copy it again")
        return frames

    def _salvage(self, n_frames: int) -> Samples:
        """Return the next frames as far as they come before the damage that a read has met."""
        pieces = []
        if self._format == "FLAC":
            self._file.close()
            self._open()
            n_before, n_kept, n_piece = self._n_read, 0, 1
            try:
                while n_kept < n_frames and n_piece:
                    n_piece = min(_PIECE, n_before or n_frames - n_kept)
                    piece = self._file.read_frames(n_piece, self._dtype)
                    n_piece = len(piece)
                    if n_before:
                        n_before -= n_piece
                    else:
                        pieces.append(piece)
                        n_kept += n_piece
            except soundfile.SoundFileError:  # there it is
                pass
        nothing = np.empty((0, self.n_channels), dtype=self._dtype)
        return to_float(np.concatenate([nothing, *pieces]))

    def skip(self, n_frames: int) -> int:
        # An MP3 decoder that starts in the middle needs some frames to synchronise, and in an Ogg
        # libsndfile believes positions without a check, which can end the process.
        if self._format not in ("MP3", "OGG") and self.n_frames is not None:
            n_skipped = min(n_frames, self.n_frames - self._n_read)
            try:
                self._file.seek(self._n_read + n_skipped)
                self._n_read += n_skipped
                return n_skipped
            except soundfile.SoundFileError:  # as in a FLAC that is cut off: read up to there
                n_frames += self._n_read
                self._n_read = 0
                self._open()
        return read_past(self.read, n_frames, self.rate)

    def close(self) -> None:
        self._file.close()


class _ChainSound:
    """Recordings that were joined, one after the other, at the rate of the first; see ``Sound``."""

    def __init__(self, links: Sequence[Callable[[], Sound]]) -> None:
        self._links = links
        self._current = links[0]()
        self.rate, self.n_channels = self._current.rate, self._current.n_channels
        self.is_float = self._current.is_float
        self.n_frames: int | None = None
        self.fault: AudioError | None = None
        self.notes: list[str] = []
        self._reader = PieceReader(self._pieces(), self.n_channels)

    def _pieces(self) -> Iterator[Samples]:
        for i, open_link in enumerate(self._links):
            if i:
                self._current.close()
                self._current = open_link()
            link = self._current
            convert = open_resampler(link.rate, self.rate, self.n_channels)
            is_last = False
            while not is_last:
                frames = link.read(link.rate)
                is_last = len(frames) < link.rate
                frames = match_channels(frames, self.n_channels)
                if link.rate != self.rate:
                    frames = frames[:, 0] if self.n_channels == 1 else frames
                    frames = convert(frames, is_last).reshape(-1, self.n_channels)
                yield frames
            self.fault = self.fault or link.fault

    def read(self, n_frames: int) -> Samples:
        return self._reader.read(n_frames)

    def skip(self, n_frames: int) -> int:
        return read_past(self.read, n_frames, self.rate)

    def close(self) -> None:
        self._current.close()


def open_sound(file: BinaryIO) -> Sound:
    """Return the recording in a file, which has to stay open.

    Parameters
    ----------
    file : it has to seek

    Raises
    ------
    AudioError
        Without a subject, when it cannot be read; ``EmptyError`` when there are no bytes at all.
    """
    file.seek(0)
    head = file.read(HEAD_BYTES)
    if not head:
        raise EmptyError("is empty (0 bytes); record it again or leave it out")
    if kind_by_magic(head) in (SAMPLE_DUMP, OTHER_IFF):
        raise refusal_of(head)
    if n_tag := id3_bytes(head):
        file.seek(n_tag)
        kind = kind_of(file.read(HEAD_BYTES))
        if kind is not None and kind.demuxer != "mp3":  # neither library skips the tag
            n_bytes = file.seek(0, os.SEEK_END)
            return open_sound(_spliced(file, [(n_tag, n_bytes)]))
    contents = find_contents(file, head)
    try:
        sound = _open_contents(file, contents)
    except AudioError as error:
        raise contents.fault or error from error
    sound.fault = contents.fault or sound.fault
    sound.notes += contents.notes
    return sound


def _open_contents(file: BinaryIO, contents: Contents) -> Sound:
    """Return the recordings of a file as one."""
    if contents.links is None:
        return _open_one(file)
    links = [partial(_open_parts, file, parts) for parts in contents.links]
    return links[0]() if len(links) == 1 else _ChainSound(links)


def _open_parts(file: BinaryIO, parts: Parts) -> Sound:
    return _open_one(_spliced(file, parts))


def _spliced(file: BinaryIO, parts: Parts) -> BinaryIO:
    return cast(BinaryIO, Spliced(file, parts))


def _open_one(file: BinaryIO) -> Sound:
    """Return a recording that was not joined from others, by libsndfile or else by ffmpeg."""
    try:
        return _FileSound(file)
    except soundfile.SoundFileError as error:
        file = whole(file)
        file.seek(0)
        head = file.read(HEAD_BYTES)
        kind = kind_of(head)
        if kind is None or kind.demuxer is None:
            raise refusal_of(head) from error
        if head[:4] == b"RIFX" or not claims_fit(file):  # ffmpeg would take it for something else
            raise refusal_of(head, _reason(error)) from error
        try:
            return FfmpegSound(file, kind)
        except AudioError as other:
            if kind.demuxer in _BY_LIBSNDFILE:
                no_frame = "no frame that can be decoded" if kind.demuxer == "mp3" else None
                raise refusal_of(head, no_frame or _reason(error)) from error
            raise other from error


def _reason(error: soundfile.SoundFileError) -> str:
    return str(getattr(error, "error_string", error)).rstrip(".").removeprefix("Error : ")


class ScaledSound:
    """A recording of floats, in [-1, 1] also where they are at the scale of integers.

    Parameters
    ----------
    peak : of the whole recording; None: as what is read first beyond [-1, 1] tells
    """

    is_float = True

    def __init__(self, sound: Sound, peak: float | None = None) -> None:
        self._sound, self._is_noted = sound, False
        self._bits = None if peak is None else integer_bits(peak)
        self.rate, self.n_channels, self.n_frames = sound.rate, sound.n_channels, sound.n_frames
        self.fault, self.notes = sound.fault, sound.notes

    def scale(self, samples: Samples) -> Samples:
        """Return the next ``samples`` (n, n_channels) in [-1, 1]."""
        if self._bits is None:
            self._bits = integer_bits(peak_of(samples))
        if self._bits is None:
            return samples
        on_note = ignore_note if self._is_noted else self.notes.append
        self._is_noted = True
        return scale_down(samples, self._bits, on_note)

    def read(self, n_frames: int) -> Samples:
        """Return the next (n_frames, n_channels), fewer only at the end."""
        samples = self.scale(self._sound.read(n_frames))
        self.fault = self._sound.fault
        return samples

    def skip(self, n_frames: int) -> int:
        """Pass over frames; return how many there were."""
        n_skipped = self._sound.skip(n_frames)
        self.fault = self._sound.fault
        return n_skipped

    def close(self) -> None:
        """Release it."""
        self._sound.close()


def open_scaled(file: BinaryIO, is_whole: bool = False) -> Sound:
    """Return the recording in a file as ``open_sound`` does, its floats in [-1, 1].

    Parameters
    ----------
    is_whole : whether the recording will be read at once; otherwise floats are read in advance, so
        that every part of it comes out as it does in the whole
    """
    sound = open_sound(file)
    if not sound.is_float:
        return sound
    if is_whole:
        return ScaledSound(sound)
    sound.close()
    peak = _known_peak(KnownFile(file)) if isinstance(file, io.FileIO) else _find_peak(file)
    return ScaledSound(open_sound(file), peak)


def _find_peak(file: BinaryIO) -> float:
    """Return the peak of all of the floats in a file."""
    sound = open_sound(file)
    n_block = max(1, BLOCK_VALUES // sound.n_channels)
    peak, is_last = 0.0, False
    while not is_last:
        frames = sound.read(n_block)
        is_last = len(frames) < n_block
        peak = max(peak, peak_of(frames))
    sound.close()
    return peak


@lru_cache(maxsize=256)
def _known_peak(known: KnownFile) -> float:
    # One long recording may be read in a thousand parts.
    return _find_peak(known.file)
