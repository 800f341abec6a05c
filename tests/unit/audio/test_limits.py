"""No file ends a run, takes more memory than it may, or more than the time it is worth."""

import io
import itertools
import struct
import tracemalloc
from contextlib import nullcontext

import av
import numpy as np
import pytest
import soundfile
from common import wav_bytes
from common_audio import Pipe, read_blocks

from speechcls.audio import sound
from speechcls.audio.decode import naming_errors, read_clip, read_native
from speechcls.errors import AudioError
from speechcls.live.sources import Pipe as LivePipe

RATE = 16_000


@pytest.mark.parametrize(
    "error",
    [
        MemoryError("std::bad_alloc"),
        OverflowError("Python int too large to convert to C long"),
        RuntimeError("soxr: fault"),
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"),
        ValueError("cannot reshape"),
        IndexError("list index out of range"),
        struct.error("unpack requires a buffer"),
        ZeroDivisionError("division by zero"),
        EOFError("End of file"),
        soundfile.LibsndfileError(1),
        OSError(5, "Input/output error"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_whatever_a_file_does_is_an_error_of_that_file(error):
    with pytest.raises(AudioError) as raised, naming_errors("bad.wav"):
        raise error
    assert str(raised.value).startswith("bad.wav: ")
    assert "; " in str(raised.value)
    assert raised.value.__cause__ is error


def test_an_interruption_is_no_error_of_a_file():
    with pytest.raises(KeyboardInterrupt), naming_errors("good.wav"):
        raise KeyboardInterrupt


def test_a_flac_of_petabytes_allocates_nothing_for_them(rng):
    file = io.BytesIO()
    soundfile.write(file, 0.1 * rng.standard_normal(RATE), RATE, format="FLAC")
    content = bytearray(file.getvalue())
    field = int.from_bytes(content[18:26], "big")
    content[18:26] = (field >> 36 << 36 | 2**36 - 1).to_bytes(8, "big")
    tracemalloc.start()
    with pytest.raises(AudioError, match=r"truncated \(16000 of 68719476735 frames\)"):
        read_native(io.BytesIO(bytes(content)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 64_000_000


@pytest.mark.parametrize("read", [read_native, lambda source: read_clip(source, 768_000)])
def test_a_small_file_of_much_sound_is_no_clip(read):
    """An hour of silence in less than a megabyte of FLAC."""
    file = io.BytesIO()
    soundfile.write(file, np.zeros(48_000 * 600, np.int16), 48_000, format="FLAC")
    assert len(file.getvalue()) < 100_000
    with pytest.raises(AudioError) as raised:
        read(io.BytesIO(file.getvalue()))
    reason = "too long for one clip; cut it into clips, or detect words in it"
    assert str(raised.value) == f"stream: {reason}"


def test_upsampling_counts_as_well():
    content = wav_bytes(bytes(3_000_000), rate=1_000)
    assert len(read_native(io.BytesIO(content))[0]) == 1_500_000
    with pytest.raises(AudioError, match="too long for one clip"):
        read_clip(io.BytesIO(content), 768_000)


def in_small_pieces(monkeypatch):
    """Take every clip for a long one."""
    monkeypatch.setattr(sound, "BLOCK_VALUES", 1_000)
    monkeypatch.setattr("speechcls.audio.decode.BLOCK_VALUES", 1_000)


@pytest.mark.parametrize("is_long", [False, True])
@pytest.mark.parametrize(("times", "most"), [(768, 4_201), (64, 55_558)])
def test_the_most_that_a_clip_may_cost_by_hand(times, most, is_long, monkeypatch):
    """64 bytes of memory for each one of the file, and 64 MB; 5 floats for each sample in the end.

    At 768 times its rate a frame of 2 bytes comes to 5 * 4 * 768 = 15,360 bytes: n frames cost
    15,360 n, and may cost 64 * (44 + 2 n) + 64,000,000, which is less from n = 4,202 on. At 64
    times the rate both are 71,114,240 for n = 55,558.
    """
    if is_long:
        in_small_pieces(monkeypatch)
    content = wav_bytes(bytes(2 * most), rate=1_000)
    assert len(read_clip(io.BytesIO(content), 1_000 * times)) == most * times
    content = wav_bytes(bytes(2 * most + 2), rate=1_000)
    with pytest.raises(AudioError, match="too long for one clip"):
        read_clip(io.BytesIO(content), 1_000 * times)


@pytest.mark.parametrize(("n_values", "is_refused"), [(7_900_000, False), (8_300_000, True)])
@pytest.mark.parametrize("channels", [1, 2])
def test_frames_that_are_kept_as_they_are_cost_twice_their_size(n_values, channels, is_refused):
    """8 bytes a value: of silence in 40 kB of FLAC not much more than 8 million are read."""
    file, n_frames = io.BytesIO(), n_values // channels
    soundfile.write(file, np.zeros((n_frames, channels), np.int16), 48_000, format="FLAC")
    assert len(file.getvalue()) < 40_000
    reading = pytest.raises(AudioError, match="too long") if is_refused else nullcontext()
    with reading:
        assert len(read_native(io.BytesIO(file.getvalue()))[0]) == n_frames


def test_channels_of_a_long_clip_are_chosen_and_told_as_of_a_short_one(tone, monkeypatch):
    file, word = io.BytesIO(), tone(440.0)
    soundfile.write(file, np.stack([word, -word], axis=1), RATE, "FLOAT", format="WAV")
    in_small_pieces(monkeypatch)
    assert np.array_equal(read_clip(io.BytesIO(file.getvalue()), RATE, channel=2), -word)
    notes = []
    samples = read_clip(io.BytesIO(file.getvalue()), RATE, on_note=notes.append)
    assert np.array_equal(samples, word)
    assert notes == ["channels cancel out; channel 1 is used: name another if it is the wrong one"]


@pytest.mark.parametrize("rate", [RATE, 44_100])
@pytest.mark.parametrize("channels", [1, 2])
def test_a_long_clip_is_read_as_a_short_one(rate, channels, rng, monkeypatch):
    """Clips above a limit are converted piece by piece: the same samples."""
    samples = (0.1 * rng.standard_normal((3 * rate, channels))).astype(np.float32)
    file = io.BytesIO()
    soundfile.write(file, samples, rate, "FLOAT", format="WAV")
    source = io.BytesIO(file.getvalue())
    whole, part = read_clip(source, RATE), read_clip(source, RATE, 0.5, 2.25)
    frames = read_native(source)[0]
    monkeypatch.setattr(sound, "BLOCK_VALUES", 10_000)
    monkeypatch.setattr("speechcls.audio.decode.BLOCK_VALUES", 10_000)
    assert np.array_equal(read_clip(source, RATE), whole)
    assert np.array_equal(read_clip(source, RATE, 0.5, 2.25), part)
    assert np.array_equal(read_native(source)[0], frames)


@pytest.mark.parametrize("rate", [0, 1, 999, 768_001, 2_000_000_000])
def test_impossible_rates_through_a_pipe(rate):
    content = wav_bytes(bytes(400_000), rate=rate)
    message = f"{rate} Hz is not a sample rate (1000 to 768000); mend the header"
    assert read_blocks(Pipe(content), name="stream")[1] == message
    with pytest.raises(AudioError) as raised:
        list(LivePipe(Pipe(content), RATE).blocks())
    assert str(raised.value) == f"stdin: {message}"


KINDS = [("WAV", "PCM_16"), ("WAV", "FLOAT"), ("WAV", "IMA_ADPCM"), ("AIFF", "PCM_24")]
KINDS += [("AU", "ULAW"), ("CAF", "PCM_16"), ("W64", "PCM_16"), ("RF64", "PCM_16")]
KINDS += [("FLAC", "PCM_16"), ("OGG", "VORBIS"), ("OGG", "OPUS"), ("MP3", "MPEG_LAYER_III")]


@pytest.mark.parametrize(("kind", "subtype"), KINDS, ids=[f"{k}-{s}" for k, s in KINDS])
def test_bytes_that_were_changed_at_random(kind, subtype, rng):
    """Every reader gives samples or an AudioError; the header is hit hardest."""
    file = io.BytesIO()
    noise = 0.1 * rng.standard_normal((4_000, 2))
    soundfile.write(file, noise, RATE, subtype, format=kind)
    content = np.frombuffer(file.getvalue(), np.uint8)
    for i in range(150):
        changed = content.copy()
        n_head = (40, 200, len(content))[i % 3]
        positions = rng.integers(0, n_head, rng.integers(1, 5))
        changed[positions] = rng.choice([0, 1, 127, 128, 255, rng.integers(256)], len(positions))
        data = (
            changed[: rng.integers(20, len(content) + 1)].tobytes() if i % 2 else changed.tobytes()
        )
        for read in (
            lambda data=data: read_clip(io.BytesIO(data), RATE),
            lambda data=data: read_native(io.BytesIO(data)),
            lambda data=data: itertools.islice(LivePipe(Pipe(data), RATE).blocks(), 2_000),
        ):
            try:
                for _ in read():
                    pass
            except AudioError as error:
                assert str(error).startswith(("stream: ", "stdin: "))
        for source in (io.BytesIO(data), Pipe(data)):
            read_blocks(source, name="stream")  # it catches no other error


@pytest.mark.parametrize("kind", [b"WAVE", b"AVI "])
def test_a_list_of_texts_of_gigabytes_is_not_given_to_ffmpeg(kind):
    content = b"RIFF" + struct.pack("<I", 99) + kind + b"LIST" + b"\xff\xff\xff\x7f" + b"INFO"
    with pytest.raises(AudioError, match="not readable audio"):
        read_clip(io.BytesIO(content + bytes(99)), RATE)


def test_a_frame_of_apple_lossless_of_gigabytes_is_not_given_to_ffmpeg():
    box = b"\0\0\0\x24alac\0\0\0\0" + struct.pack(">I", 1 << 24) + bytes(20)
    content = b"\0\0\0\x10ftypM4A \0\0\0\0" + struct.pack(">I4s", 8 + len(box), b"moov") + box
    with pytest.raises(AudioError, match="not readable audio"):
        read_clip(io.BytesIO(content), RATE)


@pytest.mark.parametrize("fragmented", [False, True])
def test_samples_of_gigabytes_are_not_given_to_ffmpeg(fragmented, tmp_path):
    path = tmp_path / "tone.m4a"
    options = {"movflags": "empty_moov+frag_every_frame"} if fragmented else {}
    with av.open(str(path), "w", format="mp4", options=options) as out:
        stream = out.add_stream("alac", rate=RATE)
        frame = av.AudioFrame.from_ndarray(np.full((1, 4_000), 8_000, np.int16), "s16p", "mono")
        frame.rate = RATE
        out.mux([*stream.encode(frame), *stream.encode(None)])
    content = bytearray(path.read_bytes())
    assert len(read_clip(path, RATE)) == 4_000
    if fragmented:
        at = content.index(b"trun") + 8
        content[at - 3 : at] = bytes(3)  # no size or time of its own for each
    else:
        at = content.index(b"stsz") + 12
        assert content[at - 4 : at] != bytes(4)  # one size for all
    content[at : at + 4] = (1 << 24).to_bytes(4, "big")
    with pytest.raises(AudioError, match="not readable audio"):
        read_clip(io.BytesIO(content), RATE)


@pytest.mark.parametrize("size", [2**62, 2**63 - 1, 2**63, 2**64 - 1])
@pytest.mark.parametrize("kind", ["CAF", "RF64"])
def test_absurd_sizes_are_told_and_nothing_is_printed(kind, size, tmp_path, capfd):
    file = io.BytesIO()
    soundfile.write(file, np.full(9_000, 0.25), 16_000, "PCM_16", format=kind)
    content = bytearray(file.getvalue())
    if kind == "CAF":
        content[12:20] = size.to_bytes(8, "big")  # of the chunk that describes the sound
    else:
        content[20:36] = size.to_bytes(8, "little") * 2
    path = tmp_path / "x"
    path.write_bytes(content)
    for source in (path, io.BytesIO(content)):
        try:
            assert len(read_clip(source, 16_000)) == 9_000
        except AudioError as error:
            assert "invalid argument" not in str(error).lower()
    assert capfd.readouterr() == ("", "")
