"""Recordings of any length block by block: files, pipes, and sound without a header."""

import io
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import BinaryIO

import soundfile

from speechcls.audio.decode import check_size, display_name, naming_errors, open_file, read_frames
from speechcls.audio.samples import Samples, open_resampler, to_mono
from speechcls.audio.wav import (
    SampleFormat,
    decode_frames,
    is_wav,
    raw_format,
    read_exactly,
    read_wav_header,
)
from speechcls.errors import AudioError

BLOCK_S = 1.0
"""Length of a block: shorter ones cost more, longer ones delay what is found in a pipe."""

_ReadFrames = Callable[[int], Samples]
"""Returns the next (n_frames, n_channels), fewer at the end."""


class BlockReader:
    """A recording that is read block by block, in constant memory.

    Parameters
    ----------
    name : what messages call the recording
    native_rate : its own sample rate, Hz
    n_frames : its length in frames; None where it is not known before the end
    read : returns the next (n_frames, n_channels), fewer at the end
    sample_rate : Hz of the blocks
    channel : which one to read, from 1 on; None: the mean of all
    fault : raised after the last block
    """

    def __init__(
        self,
        name: str,
        native_rate: int,
        n_frames: int | None,
        read: _ReadFrames,
        sample_rate: int,
        channel: int | None,
        fault: AudioError | None = None,
    ) -> None:
        self.name = name
        self.duration_s = None if n_frames is None else n_frames / native_rate
        """None where it is not known before the end."""
        self._native_rate, self._n_frames, self._read = native_rate, n_frames, read
        self._sample_rate, self._channel, self._fault = sample_rate, channel, fault

    def blocks(self, block_s: float = BLOCK_S) -> Iterator[Samples]:
        """Yield the sound as mono samples (n,) float32 at the model's rate, in order.

        Joined they are the same whatever ``block_s`` (seconds) is. The readable part of a damaged
        recording comes before its error.

        Raises
        ------
        AudioError
            When the recording ends too early, has no samples, or some that are not finite.
        """
        with naming_errors(self.name):
            resample = open_resampler(self._native_rate, self._sample_rate)
            n_block, n_read = max(1, round(block_s * self._native_rate)), 0
            while True:
                frames = self._read(n_block)
                n_read += len(frames)
                is_last = len(frames) < n_block
                block = resample(to_mono(frames, self._channel), is_last)
                if len(block):
                    yield block
                if is_last:
                    break
            if self._fault:
                raise self._fault
            if n_read == 0:
                raise AudioError("no audio data (0 frames); record it again or delete it")
            if self._n_frames is not None and n_read < self._n_frames:
                raise AudioError(f"truncated ({n_read} of {self._n_frames} frames); copy it again")


@contextmanager
def open_recording(
    source: str | os.PathLike[str] | BinaryIO,
    sample_rate: int,
    channel: int | None = None,
    raw_rate: int | None = None,
    name: str | None = None,
) -> Iterator[BlockReader]:
    """Yield a recording that is read block by block.

    A WAV, and sound without a header, is read as it comes even through a pipe; any other format
    that comes through one is first read to its end, into a temporary file.

    Parameters
    ----------
    source : a file, or an open binary stream
    sample_rate : Hz of the samples that it yields
    channel : which one to read, from 1 on; None: the mean of all
    raw_rate : Hz of sound without a header: 16-bit little-endian integers, one channel
    name : what messages call the recording, by default its path

    Raises
    ------
    AudioError
        When the recording is missing or unreadable.
    """
    name = name or display_name(source)
    with ExitStack() as stack:
        with naming_errors(name):
            file = source
            if isinstance(file, str | os.PathLike):
                file = stack.enter_context(open(file, "rb"))  # noqa: PTH123
            if raw_rate is not None:
                recording = _unseekable(name, file, raw_format(raw_rate), sample_rate, channel)
            elif file.seekable():
                recording = _seekable(name, file, stack, sample_rate, channel)
            else:
                head = read_exactly(file, 12)
                if is_wav(head):
                    format = read_wav_header(file)
                    recording = _unseekable(name, file, format, sample_rate, channel)
                else:
                    spool = stack.enter_context(tempfile.TemporaryFile())
                    spool.write(head)
                    shutil.copyfileobj(file, spool)
                    spool.seek(0)
                    recording = _seekable(name, spool, stack, sample_rate, channel)
        yield recording


def _seekable(
    name: str, file: BinaryIO, stack: ExitStack, sample_rate: int, channel: int | None
) -> BlockReader:
    """Return the recording in a file, which libsndfile reads."""
    # By descriptor where there is one: each call back into Python takes time.
    try:
        source: BinaryIO | int = file.fileno()
    except io.UnsupportedOperation:
        source = file
    recording = stack.enter_context(open_file(file, source))
    fault = None
    try:
        check_size(recording)
    except AudioError as error:
        fault = error
    read = _reading(recording)
    return BlockReader(
        name, recording.samplerate, recording.frames, read, sample_rate, channel, fault
    )


def _reading(recording: soundfile.SoundFile) -> _ReadFrames:
    return lambda n_frames: read_frames(recording, n_frames)


def _unseekable(
    name: str, file: BinaryIO, format: SampleFormat, sample_rate: int, channel: int | None
) -> BlockReader:
    """Return the recording whose samples are the next bytes of ``file``."""
    n_left = None if format.n_frames is None else format.n_frames * format.frame_bytes

    def read(n_frames: int) -> Samples:
        nonlocal n_left
        n_bytes = n_frames * format.frame_bytes
        content = read_exactly(file, n_bytes if n_left is None else min(n_bytes, n_left))
        n_left = None if n_left is None else n_left - len(content)
        whole = content[: len(content) // format.frame_bytes * format.frame_bytes]
        return decode_frames(whole, format)

    return BlockReader(name, format.rate, format.n_frames, read, sample_rate, channel)
