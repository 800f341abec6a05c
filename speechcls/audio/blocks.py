"""Recordings of any length block by block: files, pipes, and sound without a header."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import BinaryIO, cast

from speechcls.audio.decode import display_name, mono_pieces, naming_errors, open_binary
from speechcls.audio.samples import Samples
from speechcls.audio.sound import ScaledSound, Sound, open_scaled
from speechcls.audio.wav import WavStream, is_wav, raw_format, read_exactly, read_wav_header
from speechcls.errors import AudioError, EmptyError, reason_of

BLOCK_S = 1.0
"""Length of a block: shorter ones cost more, longer ones delay what is found in a pipe."""
_PIECE_BYTES = 65_536


class BlockReader:
    """A recording that is read block by block, in constant memory.

    Parameters
    ----------
    name : what messages call the recording
    sound : the recording, which stays open
    sample_rate : Hz of the blocks
    channel : which one to read, from 1 on; None: see ``to_mono``, by what has come so far
    is_ahead : whether to read so far ahead that it is decided as by ``read_clip``
    """

    def __init__(
        self, name: str, sound: Sound, sample_rate: int, channel: int | None, is_ahead: bool
    ) -> None:
        self.name = name
        self.duration_s = None if sound.n_frames is None else sound.n_frames / sound.rate
        """None where it is not known before the end."""
        self.notes: list[str] = sound.notes
        """What was mended, a sentence each without the name; complete after the last block."""
        self._sound, self._sample_rate = sound, sample_rate
        self._channel, self._is_ahead = channel, is_ahead
        self._n_read = 0

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
            pieces = self._pieces(max(1, round(block_s * self._sound.rate)))
            choice = self._channel, self.notes.append, self._is_ahead
            for block in mono_pieces(pieces, self._sound, self._sample_rate, *choice):
                if len(block):
                    yield block
            if self._sound.fault:
                raise self._sound.fault
            if self._n_read == 0:
                raise EmptyError("no audio data (0 frames); record it again or leave it out")

    def _pieces(self, n_block: int) -> Iterator[Samples]:
        while True:
            frames = self._sound.read(n_block)
            self._n_read += len(frames)
            yield frames
            if len(frames) < n_block:
                break


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
    channel : which one to read, from 1 on; None: see ``to_mono``
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
            is_file = True
            if isinstance(source, str | os.PathLike) or source.seekable():
                file = stack.enter_context(open_binary(source))
                sound = open_scaled(file) if raw_rate is None else None
            else:
                file, is_file = source, False
                sound = _open_pipe(source, stack) if raw_rate is None else None
            if sound is None:
                sound = WavStream(file, raw_format(raw_rate or sample_rate))
            stack.enter_context(closing(sound))
        yield BlockReader(name, sound, sample_rate, channel, is_file)


def _open_pipe(file: BinaryIO, stack: ExitStack) -> Sound:
    """Return the recording that comes through a pipe."""
    head = read_exactly(file, 12)
    if is_wav(head):
        format, header = read_wav_header(file)
        if format is not None:
            stream = WavStream(file, format, head + header)
            return ScaledSound(stream) if stream.is_float else stream
        head += header
    return open_scaled(_spool(head, file, stack))


def _spool(head: bytes, file: BinaryIO, stack: ExitStack) -> BinaryIO:
    """Return a temporary file of ``head`` and the rest of ``file``."""
    try:
        spool = stack.enter_context(tempfile.TemporaryFile(buffering=0))  # noqa: SIM115 - the stack
        piece = head
        while piece:
            while piece:  # a disk that is nearly full takes a part of it
                piece = piece[spool.write(piece) :]
            piece = file.read(_PIECE_BYTES)
    except OSError as error:
        raise AudioError(
            f"cannot be copied into a temporary file ({reason_of(error)}); set $TMPDIR to a folder"
            " with space for it, or name the recording itself"
        ) from error
    return cast(BinaryIO, spool)
