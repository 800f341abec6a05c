"""Channels that cancel out or are empty, and floats at the scale of integers."""

import contextlib
import io

import numpy as np
import pytest
import soundfile
from common_audio import Pipe, read_blocks

from speechcls.audio.decode import read_clip, read_native
from speechcls.audio.samples import to_mono
from speechcls.errors import AudioError
from speechcls.live.sources import FileSource

RATE = 16_000
CANCEL = "channels cancel out; channel 1 is used: name another if it is the wrong one"


@pytest.fixture
def word(tone):
    return tone(440.0)


def write(path, channels, subtype="FLOAT"):
    soundfile.write(path, np.stack(channels, axis=1), RATE, subtype=subtype)
    return path


def noted(path, **options):
    notes = []
    return read_clip(path, RATE, on_note=notes.append, **options), notes


def test_of_channels_that_cancel_out_the_loudest_is_taken(tmp_path, word):
    path = write(tmp_path / "a.wav", [word, -word])
    samples, notes = noted(path)
    assert (np.array_equal(samples, word), notes) == (True, [CANCEL])
    path = write(tmp_path / "a.wav", [0.9 * word, -word])  # 20 dB and more are lost
    samples, notes = noted(path)
    assert np.array_equal(samples, -word)
    assert notes == [CANCEL.replace("channel 1 is", "channel 2 is")]


def test_channels_that_only_weaken_each_other_are_averaged(tmp_path, word):
    path = write(tmp_path / "a.wav", [0.75 * word, -word])  # an eighth: 1.6 % of the power
    samples, notes = noted(path)
    assert notes == []
    np.testing.assert_allclose(samples, -word / 8, atol=1e-6)


def test_an_empty_channel_is_left_out_of_the_mean(tmp_path, word):
    nothing = np.zeros_like(word)
    path = write(tmp_path / "a.wav", [nothing, word])
    samples, notes = noted(path)
    assert np.array_equal(samples, word)
    assert notes == ["channel 1 is empty; it is left out of the mean"]
    path = write(tmp_path / "a.wav", [word, nothing, word / 2, nothing])
    samples, notes = noted(path)
    np.testing.assert_allclose(samples, 0.75 * word, atol=1e-6)
    assert notes == ["channels 2, 4 are empty; they are left out of the mean"]
    path = write(tmp_path / "a.wav", [nothing, word, -word])
    samples, notes = noted(path)
    assert np.array_equal(samples, word)
    assert notes == [CANCEL.replace("channel 1 is", "channel 2 is")]


def test_silence_in_all_channels_is_silence(tmp_path, word):
    samples, notes = noted(write(tmp_path / "a.wav", [np.zeros_like(word)] * 2))
    assert (samples.any(), notes) == (False, [])


def test_a_channel_is_taken_by_its_number(tmp_path, word):
    path = write(tmp_path / "a.wav", [word, -word])
    samples, notes = noted(path, channel=2)
    assert (np.array_equal(samples, -word), notes) == (True, [])
    frames, _ = read_native(path, channel=2)
    assert np.array_equal(frames, -word[:, None])
    assert np.array_equal(read_native(path, channel=1)[0], word[:, None])
    for read in (lambda: read_clip(path, RATE, channel=3), lambda: read_native(path, channel=3)):
        with pytest.raises(AudioError) as raised:
            read()
        assert str(raised.value) == f"{path}: has no channel 3; name one of 1 to 2"


def test_the_mono_of_an_array_is_that_of_a_file(tmp_path, word):
    path = write(tmp_path / "a.wav", [word, -word])
    notes = []
    assert np.array_equal(to_mono(read_native(path)[0], on_note=notes.append), noted(path)[0])
    assert notes == [CANCEL]


@pytest.mark.parametrize("block_s", [0.001, 0.04, 0.7, 5.0])
def test_blocks_of_channels_that_cancel_out(block_s, tmp_path, word):
    quiet = 0.001 * np.random.default_rng(0).standard_normal((4_000, 2)).astype(np.float32)
    left = np.concatenate([quiet[:, 0], word, word])
    right = np.concatenate([quiet[:, 1], -word, word])
    path = write(tmp_path / "a.wav", [left, right])
    samples, fault, reader = read_blocks(path, block_s=block_s)
    assert (fault, reader.notes) == ("", [])  # they do not in the whole, which is known of a file
    assert np.array_equal(samples, noted(path)[0])
    samples, fault, reader = read_blocks(Pipe(path.read_bytes()), block_s=block_s)
    assert (fault, reader.notes) == ("", [CANCEL])
    # Once taken it stays; what came long before it was the mean.
    assert np.array_equal(samples[4_000:], left[4_000:])
    np.testing.assert_allclose(samples[:3_000], quiet[:3_000].mean(axis=1), atol=1e-9)
    assert np.array_equal(samples, read_blocks(Pipe(path.read_bytes()))[0])


@pytest.mark.parametrize("n_s", [2, 80])
def test_all_that_read_a_file_choose_the_same_channels(n_s, tmp_path, word):
    """First one channel, then the other; also of more than is decided on at once (33 s)."""
    nothing, sound = np.zeros_like(word), np.tile(word, n_s // 2)
    left, right = np.tile(nothing, n_s // 2), sound
    path = write(tmp_path / "a.wav", [np.concatenate([left, sound]), np.concatenate([right, left])])
    expected = read_clip(path, RATE)
    assert np.array_equal(expected[:RATE], word / 2 if n_s == 2 else word)
    for block_s in (0.013, 1.0):
        assert np.array_equal(read_blocks(path, block_s=block_s)[0], expected)
    with contextlib.closing(FileSource(path, 0)) as source:
        blocks = [block.samples for block in source.blocks()]
    assert np.array_equal(np.concatenate(blocks), expected)
    assert max(map(len, blocks)) <= 640  # as long as they are of one channel


def test_blocks_of_a_channel_that_wakes_up(tmp_path, word):
    late = np.concatenate([np.zeros(16_000, np.float32), word])
    path = write(tmp_path / "a.wav", [np.tile(word, 2), late])
    samples, _, reader = read_blocks(Pipe(path.read_bytes()))
    assert reader.notes == []  # in the end it was not empty
    np.testing.assert_allclose(samples, np.tile(word, 2), atol=1e-6)
    samples, _, reader = read_blocks(path)
    assert (np.array_equal(samples, noted(path)[0]), reader.notes) == (True, [])
    path = write(tmp_path / "a.wav", [np.tile(word, 2), 0 * late])
    assert read_blocks(path)[2].notes == ["channel 2 is empty; it is left out of the mean"]


SCALED = {16: 32_768, 24: 8_388_608, 32: 2_147_483_648}


@pytest.mark.parametrize("bits", SCALED)
@pytest.mark.parametrize("subtype", ["FLOAT", "DOUBLE"])
@pytest.mark.parametrize("kind", ["WAV", "AIFF", "CAF", "W64"])
def test_floats_at_the_scale_of_integers_are_divided_by_it(bits, subtype, kind, tmp_path, word):
    path = tmp_path / "a.wav"
    loud = word * np.float32(SCALED[bits])
    soundfile.write(path, loud, RATE, subtype, format=kind)
    note = f"floats at the scale of {bits}-bit integers; they were divided by {SCALED[bits]}"
    samples, notes = noted(path)
    assert (np.array_equal(samples, word), notes) == (True, [note])
    part, notes = noted(path, start_s=0.25, end_s=0.5)
    assert (np.array_equal(part, word[4_000:8_000]), notes) == (True, [note])
    native = []
    assert np.array_equal(read_native(path, on_note=native.append)[0][:, 0], word)
    assert native == [note]
    blocks, fault, reader = read_blocks(path)
    assert (np.array_equal(blocks, word), fault, reader.notes) == (True, "", [note])


@pytest.mark.parametrize("peak", [0.5, 1.5, 16.0])
def test_floats_a_little_beyond_full_scale_are_kept(peak, tmp_path, word):
    path = tmp_path / "a.wav"
    soundfile.write(path, word * (peak / np.abs(word).max()), RATE, "FLOAT")
    samples, notes = noted(path)
    assert notes == []
    assert np.abs(samples).max() == pytest.approx(peak)
    assert np.array_equal(read_blocks(path)[0], samples)


def test_a_quiet_part_has_the_scale_of_the_whole(tmp_path, word):
    path = tmp_path / "a.wav"
    quiet = word / 10_000  # a peak of 1.6 at the scale of 16 bits
    soundfile.write(path, np.concatenate([quiet, word]) * 32_768, RATE, "FLOAT")
    assert np.array_equal(noted(path, end_s=1.0)[0], quiet)
    assert np.array_equal(read_blocks(path)[0][:16_000], quiet)


def test_floats_through_a_pipe_are_scaled_from_the_first_loud_block_on(word):
    file = io.BytesIO()
    soundfile.write(file, word * 32_768, RATE, "FLOAT", format="WAV")
    blocks, fault, reader = read_blocks(Pipe(file.getvalue()))
    assert (np.array_equal(blocks, word), fault) == (True, "")
    assert reader.notes == ["floats at the scale of 16-bit integers; they were divided by 32768"]


def test_floats_beyond_all_integers_are_refused(tmp_path, word):
    path = tmp_path / "a.wav"
    soundfile.write(path, word * 1e12, RATE, "FLOAT")
    with pytest.raises(AudioError, match=r"samples of up to 5e\+11 where 1 is full scale"):
        read_clip(path, RATE)
