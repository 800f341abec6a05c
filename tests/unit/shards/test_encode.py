"""A clip in a shard has the samples that it had in its data set."""

import io

import numpy as np
import pytest
import soundfile

from speechcls.audio.decode import read_native
from speechcls.errors import AudioError
from speechcls.layouts.examples import Example
from speechcls.shards.encode import encode_clip, encode_samples


def decoded(content):
    return soundfile.read(io.BytesIO(content), dtype="float32", always_2d=True)


@pytest.mark.parametrize(
    ("samples", "suffix", "subtype"),
    [
        ([[0.5], [-1.0], [32767 / 32768]], ".flac", "PCM_16"),
        ([[0.5, 0.25], [2**-23, -1.0]], ".flac", "PCM_24"),
        ([[1.0], [0.0]], ".wav", "FLOAT"),  # full scale is one more than an integer can be
        ([[2**-24], [0.0]], ".wav", "FLOAT"),
        ([[0.0] * 9], ".wav", "FLOAT"),
    ],
)
def test_samples_are_kept_exactly_in_the_smallest_form(samples, suffix, subtype):
    samples = np.array(samples, dtype=np.float32)
    encoded = encode_samples(samples, 16_000)
    assert encoded.suffix == suffix
    assert soundfile.info(io.BytesIO(encoded.content)).subtype == subtype
    again, rate = decoded(encoded.content)
    np.testing.assert_array_equal(again, samples)
    assert rate == 16_000


def test_a_whole_recording_is_its_own_bytes(tmp_path, tone, write_wav):
    path = write_wav(tmp_path / "A.WAV", tone(440))
    assert encode_clip(Example(path, "a")) == (path.read_bytes(), ".wav")


def test_a_part_of_one_channel_becomes_a_clip_of_its_own(tmp_path, rng, write_wav):
    samples = rng.uniform(-1, 1, (8_000, 2)).astype(np.float32)
    path = write_wav(tmp_path / "a.wav", samples, rate=8_000)
    encoded = encode_clip(Example(path, "a", start_s=0.25, end_s=0.5, channel=2))
    stored, _ = read_native(path)
    again, rate = decoded(encoded.content)
    assert (encoded.suffix, rate) == (".flac", 8_000)
    np.testing.assert_array_equal(again, stored[2_000:4_000, 1:])


def test_what_is_not_there_is_named(tmp_path):
    with pytest.raises(AudioError, match=r"none\.wav: no such file"):
        encode_clip(Example(tmp_path / "none.wav", "a"))
