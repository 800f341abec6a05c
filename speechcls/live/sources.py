"""Sound as it comes: from a file at its own pace, from a pipe; each says what it lost."""

import os
import struct
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import soundfile

from speechcls.audio.samples import Samples, to_float
from speechcls.errors import AudioError, ConfigError

BLOCK_S = 0.04
"""Longest piece of sound that comes at once."""
_SIZE_UNKNOWN = 0x7FFF_0000  # what is written into a pipe carries such a size
_NOTHING: Samples = np.empty(0, dtype=np.float32)
_PCM, _EXTENSIBLE = 1, 0xFFFE
_NO_PCM = {
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
    """A piece of sound, and what happened before it."""

    samples: Samples
    """(n_samples,) mono in [-1, 1] at ``rate``; may be empty."""
    rate: int
    """Hz."""
    lost_s: float = 0.0
    """Sound before it that nobody has heard."""
    warnings: tuple[str, ...] = ()
    """What went wrong before it, for people."""


class Source(Protocol):
    """Where sound comes from."""

    def blocks(self) -> Iterator[Block]:
        """Yield the sound as it comes."""
        ...


class FileSource:
    """A file, heard as if it were spoken now.

    Parameters
    ----------
    speed : how much faster than it was spoken; 0: as fast as it can be read

    Raises
    ------
    AudioError
        When the file is missing, no audio, or (while reading) not finite.
    """

    def __init__(
        self,
        path: Path,
        speed: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._path, self._speed, self._clock, self._sleep = path, speed, clock, sleep
        try:
            self._file = path.open("rb", buffering=0)
        except (OSError, ValueError) as error:
            reason = (getattr(error, "strerror", None) or str(error)).lower()
            raise AudioError(f"{path}: {reason}; name a recording") from error
        try:
            self._recording = soundfile.SoundFile(self._file.fileno(), closefd=False)
        except (soundfile.SoundFileError, OSError) as error:
            self._file.close()
            reason = getattr(error, "error_string", str(error)).rstrip(".")
            raise AudioError(f"{path}: not readable audio ({reason}); convert it to WAV") from error

    def blocks(self) -> Iterator[Block]:
        """Yield the file's sound, each piece when it would have been spoken."""
        rate, n_read, started = self._recording.samplerate, 0, self._clock()
        n_frames = self._recording.frames
        while True:
            try:
                read = self._recording.read(
                    max(1, round(BLOCK_S * rate)), dtype="float32", always_2d=True
                )
            except soundfile.SoundFileError as error:
                raise AudioError(f"{self._path}: damaged ({error}); export it again") from error
            if len(read) == 0:
                break
            samples = read.mean(axis=1)
            if not np.isfinite(samples).all():
                raise AudioError(f"{self._path}: NaN or infinite samples; export it again")
            n_read += len(read)
            if self._speed:
                early_s = n_read / rate / self._speed - (self._clock() - started)
                if early_s > 0:
                    self._sleep(early_s)
            yield Block(samples, rate)
        if n_read < n_frames:
            warnings = f"{self._path}: truncated ({n_read} of {n_frames} frames); copy it again"
            yield Block(_NOTHING, rate, warnings=(warnings,))

    def close(self) -> None:
        """Close the file."""
        self._recording.close()
        self._file.close()


class Pipe:
    """Mono PCM, signed 16-bit little-endian, from an open file, or a WAV of that as arecord writes.

    What is not read waits in the pipe, so that nothing is lost here. Pieces may be of any size.

    Parameters
    ----------
    descriptor : of the open file
    rate : Hz, where the pipe itself does not say so
    """

    def __init__(self, descriptor: int, rate: int, name: str = "stdin") -> None:
        if not 1_000 <= rate <= 768_000:
            raise ConfigError(f"rate: {rate} Hz is not possible; it must be 1000 to 768000")
        self._descriptor, self._rate, self._name = descriptor, rate, name
        self._n_channels = 1
        self._n_left: int | None = None  # bytes of sound that are to come, where it is known
        self._rest = b""

    def blocks(self) -> Iterator[Block]:
        """Yield the pipe's sound until it ends."""
        self._rest = self._read_until(4)
        if kind := _NO_PCM.get(self._rest[:4]):
            raise AudioError(
                f"{self._name}: {kind}, not raw PCM; use --from FILE, or decode it with"
                " ffmpeg -i FILE -f s16le -ac 1 -ar 16000 -"
            )
        if self._rest[:4] == b"RIFF":
            self._read_header()
        n_most = 2 * self._n_channels * max(1, round(BLOCK_S * self._rate))
        while self._n_left is None or self._n_left > 0:
            piece = self._rest or os.read(self._descriptor, n_most)
            self._rest = b""
            if not piece:
                break
            frame = 2 * self._n_channels
            while len(piece) % frame:  # wait for the rest of the sample
                more = os.read(self._descriptor, frame - len(piece) % frame)
                piece += more
                if not more:
                    break
            if self._n_left is not None:
                piece = piece[: self._n_left]
                self._n_left -= len(piece)
            n_odd = len(piece) % frame
            pcm = np.frombuffer(piece[: len(piece) - n_odd], dtype="<i2")
            samples = to_float(pcm.astype(np.int16, copy=False)).reshape(-1, self._n_channels)
            yield Block(samples.mean(axis=1), self._rate)
            if n_odd:
                warnings = f"{self._name}: ended within a sample; is it 16-bit PCM?"
                yield Block(_NOTHING, self._rate, warnings=(warnings,))
                break

    def _read_until(self, n_bytes: int) -> bytes:
        """Return what is there, with at least ``n_bytes`` unless the pipe ends."""
        while len(self._rest) < n_bytes and (piece := os.read(self._descriptor, 4_096)):
            self._rest += piece
        return self._rest

    def _take(self, n_bytes: int) -> bytes:
        """Return the next ``n_bytes`` of a header."""
        taken, self._rest = self._read_until(n_bytes)[:n_bytes], self._rest[n_bytes:]
        if len(taken) < n_bytes:
            raise AudioError(f"{self._name}: ends within the header of a WAV; record it again")
        return taken

    def _read_header(self) -> None:
        """Read a WAV's header up to its sound."""
        self._take(12)
        while True:
            name, size = struct.unpack("<4sI", self._take(8))
            if name == b"data":
                self._n_left = size if 0 < size < _SIZE_UNKNOWN else None
                return
            chunk = self._take(size + size % 2)
            if name == b"fmt ":
                chunk = chunk[:16].ljust(16, b"\0")
                kind, n_channels, rate, _, _, n_bits = struct.unpack("<HHIIHH", chunk)
                if kind not in (_PCM, _EXTENSIBLE) or n_bits != 16 or n_channels == 0 or rate == 0:
                    raise AudioError(
                        f"{self._name}: a WAV of another kind than 16-bit PCM; record it with"
                        " arecord -f S16_LE, or use --from FILE"
                    )
                self._n_channels, self._rate = n_channels, rate


def at_rate(blocks: Iterable[Block], rate: int) -> Iterator[Block]:
    """Yield ``blocks`` at ``rate`` Hz, resampled in one go from one loss to the next (soxr)."""
    import soxr

    resampler, from_rate = None, rate
    for block in blocks:
        if resampler is not None and (block.lost_s or block.rate != from_rate):
            yield Block(resampler.resample_chunk(_NOTHING, last=True), rate)
            resampler = None
        if resampler is None and block.rate != rate:
            resampler = soxr.ResampleStream(block.rate, rate, 1, dtype="float32", quality="HQ")
        from_rate = block.rate
        samples = block.samples if resampler is None else resampler.resample_chunk(block.samples)
        yield Block(samples, rate, block.lost_s, block.warnings)
    if resampler is not None:
        yield Block(resampler.resample_chunk(_NOTHING, last=True), rate)
