"""Sources of live sound: a file at its own pace, and a pipe; each reports what it lost."""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

import numpy as np

from speechcls.audio.decode import naming_errors, open_file, read_frames
from speechcls.audio.samples import Samples, open_resampler, to_mono
from speechcls.audio.wav import (
    SampleFormat,
    decode_frames,
    is_wav,
    raw_format,
    read_exactly,
    read_wav_header,
)
from speechcls.errors import AudioError, ConfigError

BLOCK_S = 0.04
"""Length of the longest piece of sound that comes at once."""
_NOTHING: Samples = np.empty(0, dtype=np.float32)
_HEAD_BYTES = 12
"""Bytes by which the beginning of a pipe is recognised."""
_ENCODED = {
    b"fLaC": "FLAC",
    b"OggS": "Ogg",
    b"ID3\x03": "MP3",
    b"ID3\x04": "MP3",
    b"FORM": "AIFF",
    b"RF64": "RF64",
    b"caff": "CAF",
    b".snd": "AU",
}


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
    speed : how much faster than real time; 0: as fast as it can be read

    Raises
    ------
    AudioError
        When the file is missing, not audio, or (while reading) damaged or not finite.
    """

    def __init__(
        self,
        path: Path,
        speed: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._name, self._speed, self._clock, self._sleep = str(path), speed, clock, sleep
        with naming_errors(self._name), ExitStack() as stack:
            file = stack.enter_context(path.open("rb", buffering=0))
            self._recording = stack.enter_context(open_file(file, file.fileno()))
            self._stack = stack.pop_all()

    def blocks(self) -> Iterator[Block]:
        """Yield the file's sound, each piece at the time at which it would have been spoken."""
        rate, n_read, started = self._recording.samplerate, 0, self._clock()
        n_frames, n_block = self._recording.frames, max(1, round(BLOCK_S * rate))
        while True:
            with naming_errors(self._name):
                frames = read_frames(self._recording, n_block)
                samples = to_mono(frames)
            if len(frames) == 0:
                break
            n_read += len(frames)
            if self._speed:
                early_s = n_read / rate / self._speed - (self._clock() - started)
                if early_s > 0:
                    self._sleep(early_s)
            yield Block(samples, rate)
        if n_read < n_frames:
            warning = f"{self._name}: truncated ({n_read} of {n_frames} frames); copy it again"
            yield Block(_NOTHING, rate, warnings=(warning,))

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

    Raises
    ------
    AudioError
        While reading: when it is of another format, or samples are not finite.
    ConfigError
        When the rate is impossible.
    """

    def __init__(self, file: BinaryIO, rate: int, name: str = "stdin") -> None:
        if not 1_000 <= rate <= 768_000:
            raise ConfigError(f"{rate} Hz is not possible; it must be 1000 to 768000", field="rate")
        self._file, self._rate, self._name = file, rate, name

    def blocks(self) -> Iterator[Block]:
        """Yield the pipe's sound until it ends."""
        with naming_errors(self._name):
            head = read_exactly(self._file, _HEAD_BYTES)
            if kind := _ENCODED.get(head[:4]):
                raise AudioError(
                    f"{kind}, which cannot be read from a pipe; name the file, or decode it with"
                    " ffmpeg -i FILE -f s16le -ac 1 -ar 16000 -"
                )
            if head[:4] == b"RIFF" and len(head) < _HEAD_BYTES:
                raise AudioError("ends within the header of a WAV; record it again")
            if is_wav(head):
                format, rest = read_wav_header(self._file), b""
            else:
                format, rest = raw_format(self._rate), head
        yield from self._read(format, rest)

    def _read(self, format: SampleFormat, rest: bytes) -> Iterator[Block]:
        """Yield the sound of ``rest`` and of the pipe, each piece as soon as it is there."""
        frame_bytes = format.frame_bytes
        n_most = frame_bytes * max(1, round(BLOCK_S * format.rate))
        n_left = None if format.n_frames is None else format.n_frames * frame_bytes
        while n_left is None or n_left > 0:
            piece = rest or self._file.read(n_most if n_left is None else min(n_most, n_left))
            rest = b""
            if not piece:
                break
            piece += read_exactly(self._file, -len(piece) % frame_bytes)
            n_left = None if n_left is None else n_left - len(piece)
            n_odd = len(piece) % frame_bytes
            with naming_errors(self._name):
                samples = to_mono(decode_frames(piece[: len(piece) - n_odd], format))
            yield Block(samples, format.rate)
            if n_odd:
                warning = f"{self._name}: ended within a sample; check its format"
                yield Block(_NOTHING, format.rate, warnings=(warning,))
                break


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
