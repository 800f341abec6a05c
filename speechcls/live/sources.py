"""Sources of live sound: a file at its own pace, and a pipe; each reports what it lost."""

import math
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

import numpy as np

from speechcls.audio.decode import display_name, mixed_pieces, naming_errors, open_binary
from speechcls.audio.samples import Samples, open_resampler
from speechcls.audio.sniff import kind_by_magic, kind_of, kind_of_text, refusal_of
from speechcls.audio.sound import ScaledSound, Sound, open_scaled
from speechcls.audio.wav import WavStream, is_wav, raw_format, read_exactly, read_wav_header
from speechcls.errors import AudioError, ConfigError, EmptyError

BLOCK_S = 0.04
"""Length of the longest piece of sound that comes at once."""
_NOTHING: Samples = np.empty(0, dtype=np.float32)
_WAV_BYTES, _HEAD_BYTES = 12, 64
"""Bytes by which the beginning of a pipe is recognised, as a WAV and otherwise."""


@dataclass(frozen=True)
class Block:
    """A piece of sound, with the loss and the warnings before it."""

    samples: Samples
    """(n_samples,) mono in [-1, 1] at ``rate``; may be empty."""
    rate: int
    """Hz."""
    lost_s: float = 0.0
    """Duration of the sound that was lost before it."""
    warnings: tuple[str, ...] = ()
    """Human-readable warnings about what went wrong before it."""


class Source(Protocol):
    """Protocol of live audio sources."""

    def blocks(self) -> Iterator[Block]:
        """Yield the sound as it arrives."""
        ...


class FileSource:
    """A file that is played as if it were spoken now.

    Parameters
    ----------
    path : the file, or an open binary stream that can seek
    speed : how much faster than real time; 0: as fast as it can be read
    channel : which one to hear, from 1 on; None: as ``read_clip`` decides
    name : what messages call it, by default its path

    Raises
    ------
    AudioError
        When the file is missing, not audio, or (while reading) damaged or not finite.
    """

    def __init__(
        self,
        path: Path | BinaryIO,
        speed: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        channel: int | None = None,
        name: str | None = None,
    ) -> None:
        self._channel, self._name = channel, name or display_name(path)
        self._speed, self._clock, self._sleep = speed, clock, sleep
        with naming_errors(self._name), ExitStack() as stack:
            file = stack.enter_context(open_binary(path))
            self._sound = stack.enter_context(closing(open_scaled(file)))
            self._stack = stack.pop_all()

    def blocks(self) -> Iterator[Block]:
        """Yield the file's sound, each piece at the time at which it would have been spoken."""
        rate, n_read, started = self._sound.rate, 0, self._clock()
        for block in _to_blocks(self._name, self._sound, self._pieces(), self._channel, True):
            n_read += len(block.samples)
            early_s = n_read / rate / (self._speed or math.inf) - (self._clock() - started)
            if self._speed and early_s > 0:
                self._sleep(early_s)
            yield block
        if n_read == 0 and self._sound.fault is None:
            reason = "no audio data (0 frames); record it again or leave it out"
            raise EmptyError(f"{self._name}: {reason}")

    def _pieces(self) -> Iterator[Samples]:
        n_block = max(1, round(BLOCK_S * self._sound.rate))
        while len(frames := self._sound.read(n_block)):
            yield frames

    def close(self) -> None:
        """Close the file."""
        self._stack.close()


class Pipe:
    """Sound from an open stream: raw PCM, or a WAV of any kind, as arecord writes them.

    Unread sound waits in the pipe, so that nothing is lost.

    Parameters
    ----------
    file : unbuffered, so that ``read`` returns what is there, in pieces of any size
    rate : Hz of raw PCM, which is 16-bit, little-endian and of one channel
    name : its name in messages
    channel : which one of a WAV to hear, from 1 on; None: see ``to_mono``, by what has come so far

    Raises
    ------
    AudioError
        While reading: when it is of another format, or samples are not finite; ``EmptyError`` when
        there are no bytes at all.
    ConfigError
        When the rate is impossible.
    """

    def __init__(
        self, file: BinaryIO, rate: int, name: str = "stdin", channel: int | None = None
    ) -> None:
        if not 1_000 <= rate <= 768_000:
            raise ConfigError(f"{rate} Hz is not possible; it must be 1000 to 768000", field="rate")
        self._file, self._rate, self._name, self._channel = file, rate, name, channel

    def blocks(self) -> Iterator[Block]:
        """Yield the pipe's sound until it ends."""
        with naming_errors(self._name):
            head = read_exactly(self._file, _WAV_BYTES)
            if not head:
                raise EmptyError("is empty (0 bytes); check the command that writes to it")
            if head[:4] == b"RIFF" and len(head) < _WAV_BYTES:
                raise AudioError("ends within the header of a WAV; record it again")
            if not is_wav(head):
                head += read_exactly(self._file, _HEAD_BYTES - len(head))
                _check_raw(head)
            if is_wav(head):
                format, header = read_wav_header(self._file)
                stream = None if format is None else WavStream(self._file, format, head + header)
            else:
                stream = WavStream(self._file, raw_format(self._rate), rest=head)
            if stream is None:
                raise AudioError(
                    "a WAV of a kind that cannot be read from a pipe; name the file, or convert it"
                    " to 16-bit PCM"
                )
        yield from _to_blocks(self._name, stream, self._pieces(stream), self._channel, False)
        if stream.n_odd and stream.fault is None:
            warning = f"{self._name}: ended within a sample; check its format"
            yield Block(_NOTHING, stream.rate, warnings=(warning,))

    def _pieces(self, stream: WavStream) -> Iterator[Samples]:
        """Yield the samples of the pipe, each piece as soon as it is there."""
        sound = ScaledSound(stream)
        n_most = max(1, round(BLOCK_S * stream.rate))
        while len(samples := stream.read_some(n_most)):
            yield sound.scale(samples) if stream.is_float else samples


def _check_raw(head: bytes) -> None:
    """Refuse what begins with these bytes, where they leave no doubt that it is no raw PCM."""
    kind = kind_of(head) if head[:3] == b"ID3" else kind_by_magic(head) or kind_of_text(head)
    if kind is None:
        return
    if kind.demuxer is None:
        raise refusal_of(head)
    raise AudioError(
        f"{kind.name}, which cannot be read from a pipe; name the file, or decode it"
        " with ffmpeg -i FILE -f s16le -ac 1 -ar 16000 -"
    )


def _to_blocks(
    name: str,
    sound: Sound,
    pieces: Iterable[Samples],
    channel: int | None,
    is_ahead: bool,
) -> Iterator[Block]:
    """Yield the pieces (n, n_channels) of a recording, with warnings about what is wrong in it."""
    n_noted = 0
    with naming_errors(name):
        for samples in mixed_pieces(pieces, sound, channel, sound.notes.append, is_ahead):
            warnings = tuple(f"{name}: {note}" for note in sound.notes[n_noted:])
            n_noted = len(sound.notes)
            if len(samples) or warnings:
                yield Block(samples, sound.rate, warnings=warnings)
    last = [f"{name}: {note}" for note in [*sound.notes[n_noted:], sound.fault] if note]
    if last:
        yield Block(_NOTHING, sound.rate, warnings=tuple(last))


def at_rate(blocks: Iterable[Block], rate: int) -> Iterator[Block]:
    """Yield ``blocks`` at ``rate`` Hz, resampled as one stream from one loss to the next."""
    resample, from_rate = None, rate
    for block in blocks:
        if resample is not None and (block.lost_s or block.rate != from_rate):
            yield Block(resample(_NOTHING, True), rate)
            resample = None
        if resample is None and block.rate != rate:
            resample = open_resampler(block.rate, rate)
        from_rate = block.rate
        samples = block.samples if resample is None else resample(block.samples, False)
        yield Block(samples, rate, block.lost_s, block.warnings)
    if resample is not None:
        yield Block(resample(_NOTHING, True), rate)
