"""Long recordings block by block: the same sound whatever the blocks, and every way they break."""

import os
import struct
import threading

import numpy as np
import pytest
import soundfile
from common import FIVE, FLOAT, wav_bytes
from common_audio import Pipe

from speechcls.audio.blocks import open_recording
from speechcls.audio.decode import read_clip
from speechcls.errors import AudioError

RATE = 16_000


def read_all(source, block_s=0.1, **options):
    """All of a recording until its end or its fault, and that fault."""
    blocks, fault = [np.empty(0, dtype=np.float32)], ""
    with open_recording(source, RATE, **options) as recording:
        try:
            for block in recording.blocks(block_s):
                blocks.append(block)
        except AudioError as error:
            fault = str(error)
    return np.concatenate(blocks), fault


@pytest.fixture
def noise(rng):
    """Two seconds and a bit, no multiple of any block."""
    return (0.1 * rng.standard_normal(33_333)).astype(np.float32)


@pytest.mark.parametrize("block_s", [0.001, 0.1, 0.7, 5.0])
@pytest.mark.parametrize("rate", [16_000, 44_100])
def test_blocks_of_any_length_make_the_same_sound(block_s, rate, noise, tmp_path, write_wav):
    path = write_wav(tmp_path / "a.wav", noise, rate)
    samples, fault = read_all(path, block_s)
    assert fault == ""
    assert samples.dtype == np.float32
    np.testing.assert_allclose(samples, read_all(path, 0.25)[0], atol=1e-6)


def test_a_recording_at_the_models_rate_is_that_of_read_clip(noise, tmp_path, write_wav):
    path = write_wav(tmp_path / "a.flac", noise)
    assert np.array_equal(read_all(path)[0], read_clip(path, RATE))


@pytest.mark.parametrize("rate", [8_000, 22_050, 44_100, 48_000])
def test_resampled_blocks_are_those_of_read_clip(rate, noise, tmp_path, write_wav):
    path = write_wav(tmp_path / "a.wav", noise, rate, "FLOAT")
    samples, whole = read_all(path)[0], read_clip(path, RATE)
    assert abs(len(samples) - len(whole)) <= 1
    np.testing.assert_allclose(samples[500 : len(whole) - 500], whole[500:-500], atol=1e-3)
    assert np.abs(whole).max() > 0.1


def test_channels(tmp_path, write_wav, tone):
    left, right = tone(300.0), tone(700.0)
    path = write_wav(tmp_path / "a.wav", np.stack([left, right], axis=1), subtype="FLOAT")
    assert np.array_equal(read_all(path, channel=1)[0], left)
    assert np.array_equal(read_all(path, channel=2)[0], right)
    np.testing.assert_allclose(read_all(path)[0], (left + right) / 2, atol=1e-7)
    with open_recording(path, RATE, channel=3) as recording, pytest.raises(AudioError) as raised:
        next(recording.blocks())
    assert str(raised.value) == f"{path}: has no channel 3; name one of 1 to 2"


def test_the_duration_is_known_of_a_file_and_of_a_pipe_that_tells(tmp_path, write_wav, tone):
    path = write_wav(tmp_path / "a.wav", tone(300.0, 1.5, 8_000), 8_000)
    for source in (path, Pipe(path.read_bytes())):
        with open_recording(source, RATE) as recording:
            assert recording.duration_s == 1.5
    with open_recording(Pipe(wav_bytes(b"", size=0xFFFF_FFFF)), RATE) as recording:
        assert recording.duration_s is None


@pytest.mark.parametrize("size", [0, 10, 0x7FFF_F000, 0xFFFF_FFFF])
def test_a_wav_from_a_pipe_whatever_size_it_claims(size):
    data = struct.pack("<5h", 0, 16_384, -16_384, -32_768, 8_192)
    samples, fault = read_all(Pipe(wav_bytes(data, size=size), most=3), name="-")
    assert (samples.tolist(), fault) == (FIVE, "")


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(wav_bytes(bytes([128, 192, 64, 0, 160]), bits=8), id="8 bit"),
        pytest.param(
            wav_bytes(
                b"".join((int(x * (1 << 23))).to_bytes(3, "little", signed=True) for x in FIVE), 24
            ),
            id="24 bit",
        ),
        pytest.param(wav_bytes(struct.pack("<5f", *FIVE), bits=32, tag=FLOAT), id="float"),
        pytest.param(
            wav_bytes(struct.pack("<5d", *FIVE), bits=64, tag=FLOAT, extensible=True),
            id="double, extensible",
        ),
    ],
)
def test_a_wav_of_every_depth_from_a_pipe(content):
    assert read_all(Pipe(content))[0].tolist() == FIVE


def test_what_stands_before_and_behind_the_samples_of_a_wav_is_no_sound():
    content = wav_bytes(struct.pack("<2h", 16_384, -16_384))
    note = b"LIST\3\0\0\0odd\0"  # padded to a whole number of pairs
    before, data = content[:36], content[36:]
    assert read_all(Pipe(before + note + data + note))[0].tolist() == [0.5, -0.5]


def test_another_format_from_a_pipe(noise, tmp_path, write_wav):
    path = write_wav(tmp_path / "a.flac", noise)
    assert np.array_equal(read_all(Pipe(path.read_bytes()))[0], read_all(path)[0])


def test_a_pipe_of_the_system_gives_blocks_before_its_end():
    reading, writing = os.pipe()
    one_second = struct.pack("<16000h", *range(16_000))
    with os.fdopen(reading, "rb") as source, os.fdopen(writing, "wb", buffering=0) as sink:
        feeder = threading.Thread(
            target=sink.write, args=(wav_bytes(one_second, size=0xFFFF_FFFF),)
        )
        feeder.start()
        with open_recording(source, RATE, name="-") as recording:
            blocks = recording.blocks(0.5)
            first = [next(blocks), next(blocks)]  # the pipe is still open
        feeder.join()
    assert np.array_equal(np.concatenate(first) * 32_768, np.arange(16_000))


def test_sound_without_a_header(tmp_path):
    data = struct.pack("<5h", 0, 16_384, -16_384, -32_768, 8_192)
    (tmp_path / "a.raw").write_bytes(data)
    assert read_all(tmp_path / "a.raw", raw_rate=RATE)[0].tolist() == FIVE
    assert read_all(Pipe(data, most=3), raw_rate=RATE)[0].tolist() == FIVE
    assert len(read_all(Pipe(data * 100), raw_rate=8_000)[0]) == 1_000


@pytest.mark.parametrize("through_pipe", [False, True])
def test_what_a_truncated_wav_holds_comes_before_its_error(
    through_pipe, noise, tmp_path, write_wav
):
    path = write_wav(tmp_path / "a.wav", noise)
    expected = read_all(path)[0][:20_000]
    path.write_bytes(path.read_bytes()[: 44 + 40_000])
    if through_pipe:
        with path.open("rb") as file:
            samples, fault = read_all(Pipe(file.read()))
        assert fault.endswith(": truncated (20000 of 33333 frames); copy it again")
    else:
        samples, fault = read_all(path)
        assert fault == f"{path}: truncated (40000 of 66666 bytes); copy it again"
    assert np.array_equal(samples, expected)


def test_what_a_truncated_flac_holds_comes_before_its_error(noise, tmp_path, write_wav):
    path = write_wav(tmp_path / "a.flac", np.tile(noise, 5))
    expected = read_all(path)[0]
    path.write_bytes(path.read_bytes()[:-60_000])
    samples, fault = read_all(path)
    assert fault.startswith(f"{path}: ")
    assert len(samples) > 80_000
    assert np.array_equal(samples, expected[: len(samples)])


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_comes_before_a_sample_that_is_no_number(value, noise, tmp_path):
    broken = noise.copy()
    broken[20_000] = value
    soundfile.write(tmp_path / "a.wav", broken, RATE, subtype="FLOAT")
    samples, fault = read_all(tmp_path / "a.wav")
    assert fault == f"{tmp_path / 'a.wav'}: NaN or infinite samples; export it again"
    assert np.array_equal(samples, noise[:20_000])


BAD = {
    "empty": (b"", "is empty (0 bytes); record it again or leave it out"),
    "no samples": (wav_bytes(b""), "no audio data (0 frames); record it again or leave it out"),
    "text": (b"no recording at all", "text, not a recording; name a recording"),
}


@pytest.mark.parametrize(("content", "reason"), BAD.values(), ids=BAD)
@pytest.mark.parametrize("through_pipe", [False, True])
def test_what_is_no_recording(content, reason, through_pipe, tmp_path):
    (tmp_path / "a.wav").write_bytes(content)
    source = Pipe(content) if through_pipe else tmp_path / "a.wav"
    with pytest.raises(AudioError) as raised, open_recording(source, RATE, name="a") as recording:
        list(recording.blocks())
    assert str(raised.value).startswith(f"a: {reason}")


def test_a_wav_from_a_pipe_that_is_cut_in_its_header():
    whole = wav_bytes(struct.pack("<2h", 1, 2))
    for content, reason in [
        (whole[:30], "a: no audio data (0 frames)"),
        (whole[:12] + whole[36:], "a: not readable audio (no format before the samples)"),
    ]:
        with pytest.raises(AudioError) as raised, open_recording(Pipe(content), RATE, name="a"):
            pass
        assert str(raised.value).startswith(reason)


def test_a_packed_wav_from_a_pipe(noise, tmp_path):
    soundfile.write(tmp_path / "a.wav", noise, RATE, subtype="IMA_ADPCM")
    expected, fault = read_all(tmp_path / "a.wav")
    assert (len(expected) >= len(noise), fault) == (True, "")
    samples, fault = read_all(Pipe((tmp_path / "a.wav").read_bytes()))
    assert (np.array_equal(samples, expected), fault) == (True, "")


def test_a_missing_file_and_a_folder(tmp_path):
    for source, reason in [(tmp_path / "no", "no such file"), (tmp_path, "is a folder")]:
        with pytest.raises(AudioError) as raised, open_recording(source, RATE):
            pass
        assert str(raised.value).startswith(f"{source}: {reason}")
