"""A WAV from a pipe is what it is as a file: the same samples, notes and faults."""

import io
import struct

import numpy as np
import pytest
import soundfile
from common import FLOAT, wav_bytes
from common_audio import Pipe, read_blocks

from speechcls.audio.blocks import open_recording
from speechcls.live.sources import Pipe as LivePipe

RATE = 16_000
BEHIND_NOTE = "what is behind the samples that its header tells of was not read"
SIZE_NOTE = "the size in its header is wrong; it was read to its end"
SOUND = np.random.default_rng(0).integers(-20_000, 20_000, 60_000).astype("<i2").tobytes()
TEXTS = b"LIST" + struct.pack("<I", 20) + b"INFOICMT" + struct.pack("<I", 8) + b"recorded"
ADPCM = io.BytesIO()
soundfile.write(ADPCM, np.zeros(2_000), RATE, "IMA_ADPCM", format="WAV")


def wav(n_bytes, size=None, riff=None, **options):
    """A WAV of ``n_bytes`` of samples that says so of ``size``, and of ``riff`` in all."""
    content = bytearray(wav_bytes(SOUND[:n_bytes], size=size, **options))
    riff = len(content) - 8 if riff is None else riff
    content[4:8] = struct.pack("<I", riff)
    return bytes(content)


# what comes through the pipe; the samples at 16 kHz that are heard of it, and the notes
JOINED = {
    "two": (wav(20_000) + wav(8_000), 14_000, []),
    "many": (wav(2_000) * 20, 20_000, []),
    "padded": (wav(19_999, bits=8) + b"\0" + wav(8_000, bits=8), 27_999, []),
    "not padded": (wav(19_999, bits=8) + wav(8_000, bits=8), 27_999, []),
    "with texts between": (wav(20_000) + TEXTS + wav(8_000), 14_000, []),
    "half a sample between": (wav(20_001) + b"\0" + wav(8_000), 14_000, []),
    "of floats": (wav(4, bits=32, tag=FLOAT) * 3, 3, []),
    "none in the first": (wav(0) + wav(8_000), 4_000, []),
    "none in the second": (wav(8_000) + wav(0), 4_000, []),
    "the second of unknown size": (wav(20_000) + wav(8_000, 0xFFFF_FFFF), 14_000, []),
    "the second never finished": (wav(20_000) + wav(8_000, 0), 14_000, [SIZE_NOTE]),
    "the second larger": (wav(20_000) + wav(90_000, 70_000, 90_036), 55_000, [SIZE_NOTE]),
    "nothing but the first bytes of a header": (wav(20_000) + wav(0)[:20], 10_000, [BEHIND_NOTE]),
}
LONG_CHUNK = b"JUNK" + struct.pack("<I", 300_000) + bytes(300_000)
LIKE_A_CHUNK = wav(20_000, riff=40_044) + b"abcd" + b"\xff" * 4 + SOUND[:20_000]
BEHIND = {
    "zeros": (wav(20_000) + bytes(90_000), 10_000, []),
    "a tag": (wav(20_000) + b"TAG".ljust(128), 10_000, []),
    "texts": (wav(20_000) + TEXTS * 3, 10_000, []),
    "texts that are cut off": (wav(20_000) + TEXTS + TEXTS[:-5], 10_000, []),
    "texts, then no chunk": (wav(20_000) + TEXTS + SOUND[:4_000], 10_000, []),
    "a long chunk": (wav(20_000) + LONG_CHUNK, 10_000, []),
    "sound, and the size of the file": (wav(110_000, 20_000, 110_036), 55_000, [SIZE_NOTE]),
    "sound, and no right size": (wav(110_000, 20_000, 100), 55_000, [SIZE_NOTE]),
    "sound behind a right size": (wav(110_000, 20_000, 20_036), 10_000, [BEHIND_NOTE]),
    "a little": (wav(21_000, 20_000, 20_036), 10_000, [BEHIND_NOTE]),
    "half a sample": (wav(20_001, 20_000), 10_000, []),
    "sound like a chunk, and the size of the file": (LIKE_A_CHUNK, 20_004, [SIZE_NOTE]),
}  # fmt: skip


@pytest.mark.parametrize("most", [100, 1_000, 1 << 20])
@pytest.mark.parametrize(
    ("content", "n_samples", "notes"), [*JOINED.values(), *BEHIND.values()], ids=[*JOINED, *BEHIND]
)
def test_a_pipe_is_read_as_the_file_is(content, n_samples, notes, most):
    expected, _, file = read_blocks(io.BytesIO(content))
    assert (len(expected), file.notes) == (n_samples, notes)
    samples, fault, pipe = read_blocks(Pipe(content, most))
    assert (np.array_equal(samples, expected), fault, pipe.notes) == (True, "", notes)


@pytest.mark.parametrize(("content", "n_samples", "notes"), JOINED.values(), ids=JOINED)
def test_joined_wavs_are_heard_live(content, n_samples, notes):
    blocks = list(LivePipe(Pipe(content, 100), RATE).blocks())
    samples = np.concatenate([block.samples for block in blocks])
    assert np.array_equal(samples, read_blocks(io.BytesIO(content))[0])
    told = [warning for block in blocks for warning in block.warnings]
    assert told == [f"stdin: {note}" for note in notes]


@pytest.mark.parametrize("n_channels", [1, 2])
def test_wavs_of_another_rate_come_at_that_of_the_first(n_channels, tone):
    parts = []
    for rate, channels in ((RATE, n_channels), (44_100, 2), (8_000, 1)):
        file = io.BytesIO()
        samples = np.stack([0.5 * tone(500.0, 1.0, rate)] * channels, axis=1)
        soundfile.write(file, samples, rate, "PCM_16", format="WAV")
        parts.append(file.getvalue())
    content = b"".join(parts)
    samples, fault, _ = read_blocks(Pipe(content, 700))
    assert (len(samples), fault) == (48_000, "")
    np.testing.assert_allclose(samples, read_blocks(io.BytesIO(content))[0], atol=1e-6)
    np.testing.assert_allclose(samples[33_000:47_000], 0.5 * tone(500.0)[1_000:15_000], atol=1e-3)


def test_joined_floats_at_the_scale_of_integers_are_divided():
    values = np.array([100, -3_000, 20_000], np.float32)
    content = wav_bytes(values.tobytes(), 32, FLOAT) * 2
    for source in (io.BytesIO(content), Pipe(content)):
        samples, fault, reader = read_blocks(source)
        assert np.array_equal(samples, np.tile(values / 32_768, 2))
        note = "floats at the scale of 16-bit integers; they were divided by 32768"
        assert (fault, reader.notes) == ("", [note])


def test_of_joined_wavs_the_last_one_may_be_cut_off():
    content = wav(20_000) + wav(8_000)[:-2_000]
    for source in (io.BytesIO(content), Pipe(content)):
        samples, fault, _ = read_blocks(source)
        assert len(samples) == 13_000
        assert fault.startswith("truncated (")


def test_a_packed_wav_behind_another_is_told():
    """Of a file it is read; in a pipe it cannot be."""
    content = wav(20_000) + ADPCM.getvalue()
    assert len(read_blocks(io.BytesIO(content))[0]) > 12_000
    samples, fault, pipe = read_blocks(Pipe(content))
    assert (len(samples), fault, pipe.notes) == (10_000, "", [BEHIND_NOTE])


class Endless(Pipe):
    """A pipe whose sound never ends, and how many bytes were read of it."""

    n_read = 0

    def readinto(self, buffer):
        n = super().readinto(buffer)
        if not n:
            n = min(len(buffer), self._most)
            buffer[:n] = (b"\xff\x80\x01" * n)[:n]
        self.n_read += n
        return n


@pytest.mark.parametrize(("riff", "is_right"), [(20_036, True), (0, False)])
def test_a_pipe_without_an_end_is_judged_by_its_first_bytes(riff, is_right):
    source = Endless(wav(20_000, riff=riff))
    with open_recording(source, RATE) as recording:
        blocks = recording.blocks(0.1)
        found = [len(block) for block, _ in zip(blocks, range(10), strict=False)]
    if is_right:
        assert (sum(found), recording.notes) == (10_000, [BEHIND_NOTE])
    else:
        assert (sum(found), recording.notes) == (16_000, [SIZE_NOTE])
    assert source.n_read < 44 + 20_000 + (1 << 16) + 1_000
