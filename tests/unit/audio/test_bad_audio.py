"""Recordings that cannot be used, and those with strange names that can."""

import io
import os
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile
from common import FIVE, wav_bytes

from speechcls.audio.decode import read_clip
from speechcls.audio.samples import fit_length, loudest_start, to_pcm
from speechcls.errors import AudioError


def message_of(source, *args, **kwargs):
    """What read_clip says is wrong."""
    with pytest.raises(AudioError) as error:
        read_clip(source, 16_000, *args, **kwargs)
    return str(error.value)


def test_missing_file(tmp_path):
    path = tmp_path / "none.wav"
    assert message_of(path) == f"{path}: no such file; check the path"


def test_a_folder_is_no_recording(tmp_path):
    assert message_of(tmp_path) == f"{tmp_path}: is a folder, not a recording; name a file in it"


def test_empty_file(tmp_path):
    path = tmp_path / "empty.wav"
    path.touch()
    assert message_of(path) == f"{path}: is empty (0 bytes); record it again or leave it out"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(
            b"To be, or not to be: that is the question. " * 9,
            "text, not a recording; name a recording, or leave it out",
            id="text",
        ),
        pytest.param(
            b"\0" * 4_000,
            "zeros alone, as an interrupted copy leaves them, not a recording; copy it again",
            id="zeros",
        ),
        pytest.param(
            bytes(range(128, 256)) * 9,
            "not readable audio (of no known format); export it again as a WAV",
            id="noise",
        ),
        pytest.param(
            wav_bytes(b"\0\0" * 100)[:30],
            "not readable audio (a WAV: Error in WAV file. No 'data' chunk marker);"
            " export it again",
            id="half a WAV header",
        ),
        pytest.param(
            wav_bytes(b"\0\0" * 100, rate=0),
            "not readable audio (a WAV: Internal error : SF_INFO struct incomplete);"
            " export it again",
            id="0 Hz",
        ),
        pytest.param(
            wav_bytes(b"\0\0" * 100, rate=1),
            "1 Hz is not a sample rate (1000 to 768000); mend the header",
            id="1 Hz",
        ),
        pytest.param(
            wav_bytes(b"\0\0" * 100, rate=2_000_000_000),
            "2000000000 Hz is not a sample rate (1000 to 768000); mend the header",
            id="2 GHz",
        ),
        pytest.param(
            wav_bytes(bytes(400), bits=24)[:32] + struct.pack("<HH", 4, 24) + bytes(400),
            "1 channels of 24 bits in 4 bytes, a header that contradicts itself; export it again",
            id="24 bits in 4 bytes",
        ),
        pytest.param(
            b"ID3\x03\0\0\0\0\0\x7f" + b"\0" * 127,
            "not readable audio (an MP3: no frame that can be decoded); export it again",
            id="an ID3 tag alone",
        ),
        pytest.param(
            wav_bytes(b"\0\0" * 4_000, channels=4_000),
            "not readable audio (a WAV: Too many channels specified); export it again",
            id="4000 channels",
        ),
        pytest.param(
            wav_bytes(b"\0\0" * 100, tag=0x7777),
            "not readable audio (a WAV: Error in WAV/W64/RF64 file. Malformed 'fmt ' chunk);"
            " export it again",
            id="unknown coding",
        ),
    ],
)
def test_what_is_not_audio_is_refused_as_what_it_is(content, message, tmp_path):
    path = tmp_path / "clip.wav"
    path.write_bytes(content)
    assert message_of(path) == f"{path}: {message}"


def test_zero_frames(tmp_path):
    path = tmp_path / "clip.wav"
    path.write_bytes(wav_bytes(b""))
    assert message_of(path) == f"{path}: no audio data (0 frames); record it again or leave it out"


def test_a_part_that_begins_at_the_end_is_nothing(tmp_path, write_wav, tone):
    path = write_wav(tmp_path / "clip.wav", tone(440.0, 1.5))
    assert message_of(path, 1.5) == (
        f"{path}: nothing between 1.5 s and the end (it lasts 1.50 s); correct start_s and end_s"
    )


def test_an_open_file_is_called_by_its_name(tmp_path):
    path = tmp_path / "clip.wav"
    path.write_bytes(wav_bytes(b""))
    with path.open("rb") as file:
        assert message_of(file).startswith(f"{path}: no audio data (0 frames)")
    # One that was opened by its number has that for a name.
    with path.open("rb") as file, os.fdopen(os.dup(file.fileno()), "rb") as numbered:
        assert message_of(numbered).startswith("stream: no audio data (0 frames)")


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_not_finite(bad, tmp_path, write_wav):
    samples = np.zeros(100, dtype=np.float32)
    samples[50] = bad
    path = write_wav(tmp_path / "clip.wav", samples, subtype="FLOAT")
    assert message_of(path) == f"{path}: NaN or infinite samples; export it again"
    # A part of it that is sound can be used.
    assert read_clip(path, 16_000, 0.0, 0.003).tolist() == [0.0] * 48


def test_floats_beyond_every_level_are_refused_without_a_warning(tmp_path, write_wav):
    path = write_wav(tmp_path / "clip.wav", np.full((100, 2), 3e38), subtype="FLOAT")
    reason = "samples of up to 3e+38 where 1 is full scale; export it again"
    assert message_of(path) == f"{path}: {reason}"


def test_truncated_wav(tmp_path):
    path = tmp_path / "clip.wav"
    path.write_bytes(wav_bytes(b"\0\0" * 100)[:-66])
    assert message_of(path) == f"{path}: truncated (134 of 200 bytes); copy it again"
    path.write_bytes(wav_bytes(b"\0\0" * 100)[:44])
    assert message_of(path) == f"{path}: truncated (0 of 200 bytes); copy it again"


@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
@pytest.mark.parametrize(
    ("kind", "subtype"),
    [
        ("WAV", "PCM_16"),
        ("WAV", "FLOAT"),
        ("WAVEX", "PCM_24"),
        ("AIFF", "PCM_16"),
        ("AIFF", "FLOAT"),
        ("CAF", "PCM_16"),
        ("AU", "PCM_16"),
        ("W64", "PCM_16"),
        ("RF64", "PCM_16"),
        ("FLAC", "PCM_16"),
        ("MP3", "MPEG_LAYER_III"),
        ("OGG", "VORBIS"),
        ("OGG", "OPUS"),
    ],
)
def test_a_file_cut_short_is_refused(kind, subtype, share, tmp_path, rng):
    path = tmp_path / "clip.wav"
    noise = 0.1 * rng.standard_normal(32_000)
    soundfile.write(path, noise, 16_000, format=kind, subtype=subtype)
    assert len(read_clip(path, 16_000)) == 32_000
    content = path.read_bytes()
    path.write_bytes(content[: round(share * len(content))])
    assert message_of(path).startswith(f"{path}: truncated (")


@pytest.mark.parametrize("size", [0xFFFF_FFFF, 0xFFFF_FFFF - 36, 0x7FFF_FFFF, 0x7FFF_F000, 1 << 31])
def test_a_wav_written_into_a_pipe_is_read_to_its_end(size, tmp_path):
    values = range(-500, 500)
    path = tmp_path / "clip.wav"
    path.write_bytes(wav_bytes(struct.pack("<1000h", *values), size=size))
    assert to_pcm(read_clip(path, 16_000)).tolist() == list(values)


def test_a_wav_larger_than_its_pipe_is_found_truncated_below_two_gigabytes(tmp_path):
    path = tmp_path / "clip.wav"
    path.write_bytes(wav_bytes(b"\0\0" * 100, size=0x7FFE_0000))
    assert message_of(path) == f"{path}: truncated (200 of {0x7FFE_0000} bytes); copy it again"


def test_what_follows_the_samples_is_no_sound(tmp_path):
    path = tmp_path / "clip.wav"
    path.write_bytes(wav_bytes(b"\1\0" * 100) + struct.pack("<4sI4s", b"LIST", 4, b"INFO"))
    assert to_pcm(read_clip(path, 16_000)).tolist() == [1] * 100


def test_nothing_is_left_of_one_sample_at_a_third_of_its_rate(tmp_path, write_wav):
    path = write_wav(tmp_path / "clip.wav", np.array([0.5]), rate=48_000)
    expected = f"{path}: shorter than one sample at 16000 Hz; record it again"
    assert message_of(path) == expected


def test_a_part_beyond_the_end(tmp_path, write_wav, tone):
    path = write_wav(tmp_path / "clip.wav", tone(440.0, 1.5))
    expected = (
        f"{path}: nothing between 2 s and the end (it lasts 1.50 s); correct start_s and end_s"
    )
    assert message_of(path, 2.0) == expected
    expected = f"{path}: nothing between 1 s and 0.5 s (it lasts 1.50 s); correct start_s and end_s"
    assert message_of(path, 1.0, 0.5) == expected


def test_a_part_that_starts_before_the_beginning(tmp_path, write_wav, tone):
    path = write_wav(tmp_path / "clip.wav", tone(440.0))
    assert "start_s" in message_of(path, -0.5, 0.5)


@pytest.mark.parametrize(
    "name",
    [
        "two words.wav",
        'it\'s "quoted".wav',
        "new\nline.wav",
        "carriage\rreturn.wav",
        "はい ñandú.wav",
        "-.wav",
        "100%s.wav",
        "[ab]*?.wav",
        "back\\slash.wav",
        ".wav",
    ],
)
@pytest.mark.parametrize("kind", [str, Path])
def test_any_name_can_be_read_and_is_named_in_errors(name, kind, tmp_path, write_wav, tone):
    path = write_wav(tmp_path / name, tone(440.0, 0.1))
    assert len(read_clip(kind(path), 16_000)) == 1_600
    path.write_bytes(b"")
    assert message_of(kind(path)).startswith(f"{path}: is empty")
    path.unlink()
    assert message_of(kind(path)) == f"{path}: no such file; check the path"


def test_a_name_that_is_no_text_can_be_read(tmp_path, write_wav, tone):
    path = tmp_path / os.fsdecode(b"\xff\xfe.wav")
    try:
        write_wav(path, tone(440.0, 0.1))
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    assert len(read_clip(path, 16_000)) == 1_600
    assert len(read_clip(str(path), 16_000)) == 1_600


def test_a_missing_file_whose_name_is_no_text(tmp_path):
    path = tmp_path / os.fsdecode(b"\xff.wav")
    assert message_of(path) == f"{path}: no such file; check the path"


@pytest.mark.parametrize("name", ["x" * 300 + ".wav", "nul\0byte.wav"], ids=["too long", "NUL"])
def test_an_impossible_name_is_an_error_of_this_recording(name):
    assert message_of(name).startswith(f"{name}: ")


def test_an_open_stream_is_read_and_called_as_asked(tmp_path):
    content = wav_bytes(struct.pack("<5h", 0, 16_384, -16_384, -32_768, 8_192))
    assert read_clip(io.BytesIO(content), 16_000).tolist() == FIVE
    with (tmp_path / "clip.wav").open("w+b") as file:
        file.write(content)
        file.seek(0)
        assert read_clip(file, 16_000).tolist() == FIVE
    truncated = message_of(io.BytesIO(wav_bytes(b"\0" * 99)[:-90]), name="standard input")
    assert truncated == "standard input: truncated (9 of 99 bytes); copy it again"
    assert message_of(io.BytesIO(b"\x80" * 100), name="standard input").startswith(
        "standard input: not readable audio ("
    )


def test_an_empty_stream_is_said_to_be_empty():
    message = message_of(io.BytesIO(b""), name="standard input")
    assert message == "standard input: is empty (0 bytes); record it again or leave it out"


def test_pcm_of_amplitudes_by_hand():
    samples = np.array([0.0, 0.5, -0.5, 1 / 32_768, 0.4 / 32_768, 0.6 / 32_768], dtype=np.float32)
    pcm = to_pcm(samples)
    assert pcm.dtype == np.int16
    assert pcm.tolist() == [0, 16_384, -16_384, 1, 0, 1]


def test_pcm_clips_what_is_too_loud_and_never_wraps_round():
    samples = np.array([1.0, 1.5, 3e38, -1.0, -1.5, -3e38], dtype=np.float32)
    with np.errstate(over="ignore"):
        pcm = to_pcm(samples)
    assert pcm.tolist() == [32_767, 32_767, 32_767, -32_768, -32_768, -32_768]


def test_every_16_bit_value_comes_back_from_float():
    every = np.arange(-32_768, 32_768).astype(np.int16)
    assert np.array_equal(to_pcm(every.astype(np.float32) / np.float32(32_768)), every)


def test_every_16_bit_value_comes_back_from_a_file(tmp_path, write_wav):
    every = np.arange(-32_768, 32_768).astype(np.int16)
    for name in ("every.wav", "every.flac"):
        path = write_wav(tmp_path / name, every)
        assert np.array_equal(to_pcm(read_clip(path, 16_000)), every)


@pytest.mark.parametrize(
    ("samples", "n_samples", "expected"),
    [
        ([1, 2, 3], 3, [1, 2, 3]),
        ([1, 2, 3], 7, [0, 0, 1, 2, 3, 0, 0]),
        ([1, 2, 3], 6, [0, 1, 2, 3, 0, 0]),  # the odd zero goes behind
        ([], 2, [0, 0]),
        ([1, 0, 0, 3, -4, 0], 2, [3, -4]),  # energies 1, 0, 9, 25, 16
        ([0, 0, 0, 7], 2, [0, 7]),
        ([7, 0, 0, 0], 2, [7, 0]),
        ([0, 0, 0, 0], 2, [0, 0]),
        ([2, 2, 2, 2], 3, [2, 2, 2]),
    ],
)
@pytest.mark.parametrize("dtype", [np.float32, np.int16])
def test_fit_length_by_hand(samples, n_samples, expected, dtype):
    fitted = fit_length(np.array(samples, dtype=dtype), n_samples)
    assert fitted.dtype == dtype
    assert fitted.tolist() == expected


@pytest.mark.parametrize(
    ("samples", "n_samples", "start"),
    [
        ([1, 0, 0, 3, -4, 0], 2, 3),
        ([3, -4, 0, 0, 0, 5, 0], 2, 0),  # 25, 16, 0, 0, 25, 25: the first of equals
        ([1, 2], 2, 0),
        ([1, 2], 5, 0),
        ([0, 0, 1], 1, 2),
    ],
)
def test_loudest_start_by_hand(samples, n_samples, start):
    assert loudest_start(np.array(samples, dtype=np.float32), n_samples) == start


def test_the_energy_of_full_scale_integers_does_not_overflow():
    samples = np.concatenate([np.full(50_000, 1_000), np.full(50_000, -32_768)]).astype(np.int16)
    assert loudest_start(samples, 50_000) == 50_000


@pytest.mark.parametrize("tag", [b"", b"ID3\x04\0\0\0\0\x01\x00" + bytes(128)])
def test_an_iff_that_is_no_aiff_is_refused_before_libsndfile_reads_it_for_ever(tag, tmp_path):
    path = tmp_path / "a.iff"
    path.write_bytes(tag + b"FORM\0\0\x09\xbc16SVVHDR\0\0\0\x14" + bytes(2_000))
    with pytest.raises(AudioError, match="an IFF file of another kind than AIFF"):
        read_clip(path, 16_000)
