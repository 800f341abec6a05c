"""Recordings of every format against the samples put into them, and every way they can be bad."""

import struct

import numpy as np
import pytest
import soundfile
from common import FIVE, FLOAT, wav_bytes

from speechcls.audio.decode import read_clip, read_native
from speechcls.audio.samples import resample, to_pcm
from speechcls.audio.sniff import SUFFIXES
from speechcls.errors import AudioError


def pack_24(values):
    """Whole numbers as 24-bit little-endian bytes."""
    return b"".join(value.to_bytes(3, "little", signed=True) for value in values)


def middle(samples):
    """The samples but for a tenth at either end, where a resampler's filter has little to go on."""
    return samples[len(samples) // 10 : -(len(samples) // 10)]


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(wav_bytes(bytes([128, 192, 64, 0, 160]), bits=8), id="8 bit, unsigned"),
        pytest.param(
            wav_bytes(struct.pack("<5h", 0, 16_384, -16_384, -32_768, 8_192)), id="16 bit"
        ),
        pytest.param(
            wav_bytes(pack_24([0, 1 << 22, -(1 << 22), -(1 << 23), 1 << 21]), bits=24), id="24 bit"
        ),
        pytest.param(
            wav_bytes(struct.pack("<5i", 0, 1 << 30, -(1 << 30), -(1 << 31), 1 << 29), bits=32),
            id="32 bit",
        ),
        pytest.param(wav_bytes(struct.pack("<5f", *FIVE), bits=32, tag=FLOAT), id="float"),
        pytest.param(wav_bytes(struct.pack("<5d", *FIVE), bits=64, tag=FLOAT), id="double"),
        pytest.param(
            wav_bytes(pack_24([0, 1 << 22, -(1 << 22), -(1 << 23), 1 << 21]), 24, extensible=True),
            id="24 bit extensible",
        ),
        pytest.param(
            wav_bytes(struct.pack("<5f", *FIVE), bits=32, tag=FLOAT, extensible=True),
            id="float extensible",
        ),
    ],
)
def test_wav_of_every_depth_gives_the_amplitudes_it_stores(content, tmp_path):
    path = tmp_path / "clip.wav"
    path.write_bytes(content)
    samples = read_clip(path, 16_000)
    assert samples.dtype == np.float32
    assert samples.tolist() == FIVE


@pytest.mark.parametrize(
    ("ending", "kind"),
    [
        ("wav", "WAV"),
        ("wav", "WAVEX"),
        ("w64", "W64"),
        ("rf64", "RF64"),
        ("flac", "FLAC"),
        ("aif", "AIFF"),
        ("aiff", "AIFF"),
        ("au", "AU"),
        ("snd", "AU"),
        ("caf", "CAF"),
    ],
)
def test_lossless_formats_keep_every_sample(ending, kind, tmp_path, rng):
    stored = rng.integers(-32_768, 32_768, 1_000).astype(np.int16)
    path = tmp_path / f"clip.{ending}"
    soundfile.write(path, stored, 16_000, format=kind, subtype="PCM_16")
    assert path.suffix in SUFFIXES
    assert np.array_equal(to_pcm(read_clip(path, 16_000)), stored)


@pytest.mark.parametrize(
    ("ending", "kind", "subtype"),
    [
        ("ogg", "OGG", "VORBIS"),
        ("oga", "OGG", "VORBIS"),
        ("opus", "OGG", "OPUS"),
        ("mp3", "MP3", "MPEG_LAYER_III"),
        ("aifc", "AIFF", "ULAW"),
        ("wav", "WAV", "ALAW"),
    ],
)
def test_lossy_formats_keep_pitch_and_level(ending, kind, subtype, tmp_path, tone):
    path = tmp_path / f"clip.{ending}"
    with path.open("wb") as file:
        soundfile.write(file, tone(1_000.0), 16_000, format=kind, subtype=subtype)
    assert path.suffix in SUFFIXES
    samples = read_clip(path, 16_000)
    spectrum = np.abs(np.fft.rfft(samples[:16_000]))
    assert len(samples) == 16_000
    assert np.argmax(spectrum) == 1_000  # one bin is 1 Hz
    # A sine of amplitude 0.5 has the root mean square 0.5 / sqrt(2).
    assert np.sqrt(np.mean(np.square(middle(samples)))) == pytest.approx(0.3536, abs=0.015)


def test_a_misleading_ending_does_not_matter(tmp_path, write_wav, tone):
    path = write_wav(tmp_path / "clip.wav", tone(440.0))
    expected = read_clip(path, 16_000)
    for name in ("clip.mp3", "clip.txt", "clip", "clip.raw"):
        other = tmp_path / name
        other.write_bytes(path.read_bytes())
        assert np.array_equal(read_clip(other, 16_000), expected), name


@pytest.mark.parametrize("rate", [8_000, 11_025, 22_050, 44_100, 48_000, 96_000])
def test_a_sine_of_any_rate_keeps_frequency_amplitude_and_length(rate, tmp_path, write_wav, tone):
    path = write_wav(tmp_path / "clip.wav", tone(1_000.0, 1.0, rate), rate, "FLOAT")
    samples = read_clip(path, 16_000)
    assert samples.dtype == np.float32
    assert len(samples) == 16_000
    np.testing.assert_allclose(middle(samples), middle(tone(1_000.0)), atol=1e-3)


def test_resampling_removes_what_the_lower_rate_cannot_hold(tone):
    high = resample(tone(6_000.0, 1.0, 16_000), 16_000, 8_000)
    assert len(high) == 8_000
    assert np.abs(middle(high)).max() < 1e-3  # aliased it would be 0.5, at 2 kHz


def test_resampling_to_the_same_rate_changes_nothing(tone):
    samples = tone(440.0)
    assert resample(samples, 16_000, 16_000) is samples


def test_channels_are_averaged(tmp_path, write_wav):
    left, right = np.full(100, 0.5), np.full(100, -0.25)
    path = write_wav(tmp_path / "two.wav", np.stack([left, right], axis=1), subtype="FLOAT")
    assert read_clip(path, 16_000).tolist() == [0.125] * 100
    third = np.stack([left, right, np.full(100, 0.5)], axis=1)
    path = write_wav(tmp_path / "three.wav", third, subtype="FLOAT")
    assert read_clip(path, 16_000).tolist() == [0.25] * 100


@pytest.mark.parametrize(
    ("start_s", "end_s", "first", "last"),
    [
        (0.0, None, 0, 999),
        (0.25, None, 250, 999),
        (0.25, 0.5, 250, 499),
        (0.0, 0.0005, None, None),  # 0.5 frames round to 0: nothing
        (0.0, 0.0006, 0, 0),
        (0.9994, 5.0, 999, 999),
        (0.5, 1.0, 500, 999),
    ],
)
def test_only_the_part_asked_for_is_read(start_s, end_s, first, last, tmp_path, write_wav):
    ramp = np.arange(1_000, dtype=np.int16)  # sample number i is i
    path = write_wav(tmp_path / "ramp.wav", ramp, rate=1_000)
    if first is None:
        with pytest.raises(AudioError, match="nothing between"):
            read_clip(path, 1_000, start_s, end_s)
    else:
        part = to_pcm(read_clip(path, 1_000, start_s, end_s))
        assert part.tolist() == list(range(first, last + 1))
        assert np.array_equal(to_pcm(read_native(path, start_s, end_s)[0])[:, 0], part)


@pytest.mark.parametrize("kind", ["FLAC", "OGG", "MP3"])
def test_a_part_of_a_packed_recording_is_the_same_part(kind, tmp_path, tone):
    path = tmp_path / f"clip.{kind.lower()}"
    rising = tone(440.0, 2.0) * np.linspace(0, 1, 32_000, dtype=np.float32)
    soundfile.write(path, rising, 16_000, format=kind)
    whole, part = read_clip(path, 16_000), read_clip(path, 16_000, 0.5, 1.25)
    np.testing.assert_allclose(part, whole[8_000:20_000], atol=1e-4)


def test_a_part_is_cut_at_the_recordings_own_rate(tmp_path, write_wav, tone):
    samples = tone(1_000.0, 2.0, 44_100)
    path = write_wav(tmp_path / "clip.wav", samples, 44_100, "FLOAT")
    part = read_clip(path, 16_000, 0.5, 1.5)
    assert len(part) == 16_000
    np.testing.assert_allclose(middle(part), middle(tone(1_000.0)), atol=1e-3)
