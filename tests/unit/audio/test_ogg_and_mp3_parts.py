"""Parts of Ogg files, and MP3s that were cut out of longer ones."""

import io
import subprocess
import sys

import numpy as np
import pytest
import soundfile
from common_audio import mp3_frames, read_blocks, without_info

from speechcls.audio.decode import read_clip, read_native
from speechcls.errors import AudioError, EmptyError
from speechcls.live.sources import FileSource

RATE = 16_000


def encoded(samples, kind, subtype, rate=RATE, **options):
    """The bytes of a file."""
    file = io.BytesIO()
    soundfile.write(file, samples, rate, subtype, format=kind, **options)
    return file.getvalue()


def crc(page):
    """The checksum of an Ogg page, whose own bytes count as zeros."""
    value = 0
    for byte in page[:22] + bytes(4) + page[26:]:
        value ^= byte << 24
        for _ in range(8):
            value = (value << 1 ^ 0x04C11DB7 if value >> 31 else value << 1) & 0xFFFF_FFFF
    return value.to_bytes(4, "little")


def with_position(content, n_page, position):
    """An Ogg file of which one page tells of another position."""
    starts = [i for i in range(len(content)) if content[i : i + 4] == b"OggS"] + [len(content)]
    page = bytearray(content[starts[n_page] : starts[n_page + 1]])
    page[6:14] = position.to_bytes(8, "little", signed=True)
    page[22:26] = crc(bytes(page))
    return content[: starts[n_page]] + bytes(page) + content[starts[n_page + 1] :]


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
def test_a_part_of_an_ogg_is_that_of_the_whole(subtype, rng, tmp_path):
    path = tmp_path / "a.ogg"
    path.write_bytes(encoded(0.1 * rng.standard_normal(5 * RATE), "OGG", subtype))
    whole = read_clip(path, RATE)
    for start, end in ((0, 1_600), (800, 1_600), (30_000, 70_000), (79_000, 80_000)):
        part = read_clip(path, RATE, start / RATE, end / RATE)
        assert np.array_equal(part, whole[start:end])
    with pytest.raises(AudioError, match=r"nothing between 6 s and the end \(it lasts 5.00 s\)"):
        read_clip(path, RATE, 6.0)


@pytest.mark.parametrize("is_junk", [False, True])
@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
def test_an_ogg_without_a_page_in_its_middle_is_damaged(subtype, is_junk, rng):
    content = encoded(0.1 * rng.standard_normal(5 * RATE), "OGG", subtype)
    starts = [i for i in range(len(content)) if content[i : i + 4] == b"OggS"]
    assert len(starts) > 4
    start, end = starts[3:5]
    source = content[:start] + is_junk * rng.bytes(end - start) + content[end:]
    with pytest.raises(AudioError, match=r"damaged \(page 4 is missing\); copy it again"):
        read_clip(io.BytesIO(source), RATE)
    samples, fault, _ = read_blocks(io.BytesIO(source))
    assert len(samples) > 2 * RATE and "damaged (page 4" in fault
    assert len(read_clip(io.BytesIO(content), RATE)) == 5 * RATE


@pytest.mark.parametrize("n_page", [1, 2, 3])
@pytest.mark.parametrize("position", [-2, -(2**62), -(2**63), 2**62])
def test_impossible_positions_in_an_ogg_end_no_process(n_page, position, rng, tmp_path):
    path = tmp_path / "a.ogg"
    content = encoded(0.1 * rng.standard_normal(3 * RATE), "OGG", "VORBIS")
    path.write_bytes(with_position(content, n_page, position))
    program = (
        "import sys\n"
        "from speechcls.audio.decode import read_clip\n"
        "from speechcls.errors import AudioError\n"
        "for part in ((0.0, None), (0.05, 0.1), (2.5, 2.6)):\n"
        "    try:\n"
        "        read_clip(sys.argv[1], 16_000, *part)\n"
        "    except AudioError:\n"
        "        pass\n"
    )
    done = subprocess.run([sys.executable, "-c", program, path], capture_output=True)
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_part_behind_the_end_tells_how_long_the_recording_really_is(rng, tmp_path):
    path = tmp_path / "a.ogg"
    content = encoded(0.1 * rng.standard_normal(3 * RATE), "OGG", "VORBIS")
    path.write_bytes(content)
    with pytest.raises(AudioError, match=r"nothing between 4 s and 5 s \(it lasts 3.00 s\)"):
        read_clip(path, RATE, 4.0, 5.0)
    path.write_bytes(with_position(content, content.count(b"OggS") - 1, 20 * RATE))
    with pytest.raises(AudioError, match=r"\(it lasts 3\.\d\d s\)"):
        read_clip(path, RATE, 4.0, 5.0)


@pytest.mark.parametrize("kind", ["WAV", "AIFF"])
def test_every_reader_says_that_there_is_no_sound(kind, tmp_path):
    path = tmp_path / "a.wav"
    soundfile.write(path, np.zeros(0, np.float32), RATE, format=kind)
    reason = "no audio data (0 frames); record it again or leave it out"
    source = FileSource(path, 0)
    for read in (lambda: read_clip(path, RATE), lambda: list(source.blocks())):
        with pytest.raises(EmptyError) as raised:
            read()
        assert str(raised.value) == f"{path}: {reason}"
    source.close()
    assert read_blocks(path)[1] == f"{path}: {reason}"


def main_data_begin(frame):
    """How many bytes before a frame of version 1 it begins; of the others, too."""
    word = int.from_bytes(frame[4:6], "big")  # encoders write no checksum
    return word >> 7 if frame[1] >> 3 & 3 == 3 else word >> 8


@pytest.mark.parametrize("rate", [16_000, 44_100])
@pytest.mark.parametrize("n_channels", [1, 2])
def test_of_an_mp3_cut_out_of_a_longer_one_no_frame_is_garbage(rate, n_channels, rng):
    """What the first frames have in those that are not there is silence, the rest is right."""
    noise = (
        rng.standard_normal((2 * rate, n_channels)) * np.geomspace(0.001, 0.3, 2 * rate)[:, None]
    )
    whole = encoded(noise, "MP3", None, rate, bitrate_mode="CONSTANT", compression_level=0.7)
    frames = without_info(mp3_frames(whole))
    n_samples = 1_152 if rate > 24_000 else 576
    expected = read_native(io.BytesIO(b"".join(frames)))[0]
    starts = [i for i in range(5, 40) if main_data_begin(frames[i])]
    assert len(starts) > 5
    for start in starts[:6]:
        samples, _ = read_native(io.BytesIO(b"".join(frames[start:])))
        assert len(samples) == (len(frames) - start) * n_samples
        np.testing.assert_array_equal(samples[: n_samples - 500], 0)
        # Of a frame one half is in the overlap with the one before.
        size = np.abs(expected[start * n_samples : (start + 8) * n_samples]).max()
        assert np.abs(samples[: 8 * n_samples]).max() < 1.5 * size
        right = expected[(start + 12) * n_samples :]
        np.testing.assert_allclose(samples[12 * n_samples :], right, atol=1e-5)


def test_an_mp3_behind_junk_is_heard(rng):
    frames = without_info(mp3_frames(encoded(0.1 * rng.standard_normal(RATE), "MP3", None)))
    expected = read_native(io.BytesIO(b"".join(frames)))[0]
    for junk in (b"junk", b"\xff\xff\0\0junk", b"\xff\xfb" + rng.bytes(70_000)):
        assert np.array_equal(read_native(io.BytesIO(junk + b"".join(frames)))[0], expected)


@pytest.mark.parametrize("head", [b"\xff\xff\0\0", b"\xff\xfb\0\0"])
def test_two_bytes_make_no_mp3(head):
    """As of tables and pictures, in which libsndfile finds a frame of the free format."""
    for rest in (b"\7\0\0\0\4\0\0\0\1\0\1\0\2\0" * 100, bytes(5_000), b"\1\2\3\4" * 2_000):
        with pytest.raises(AudioError) as raised:
            read_clip(io.BytesIO(head + rest), RATE)
        assert str(raised.value) == (
            "stream: not readable audio (of no known format); export it again as a WAV"
        )


def test_an_mp3_of_the_free_format_is_heard():
    """Frames of 391 and 392 bytes, of silence; their headers tell no length."""
    frames = [bytes([0xFF, 0xFB, i % 2 << 1, 0xC0]).ljust(391 + i % 2, b"\0") for i in range(20)]
    samples, rate = read_native(io.BytesIO(b"".join(frames)))
    assert (rate, samples.any(), len(samples) // 1_152) == (44_100, False, 20)


def test_of_an_mp3_without_sound_or_with_a_wrong_size_nothing_is_printed(rng, capfd):
    """libsndfile's decoder writes to the standard error."""
    content = encoded(0.1 * rng.standard_normal(RATE), "MP3", None)
    info, *frames = mp3_frames(content)
    at = info.index(b"Xing" if b"Xing" in info else b"Info") + 8  # how many frames there are
    nothing = info[:at] + bytes(4) + info[at + 4 :]
    for alone, reason in (
        (info, f"truncated (0 of {len(frames)} MPEG frames); copy it again"),
        (nothing, "an MP3 without a frame of sound; record it again or leave it out"),
    ):
        with pytest.raises(AudioError) as raised:
            read_clip(io.BytesIO(alone), RATE)
        assert str(raised.value) == f"stream: {reason}"
    expected = read_clip(io.BytesIO(content), RATE)
    n_bytes = (2 * len(content)).to_bytes(4, "big")
    wrong = info[: at + 4] + n_bytes + info[at + 8 :]
    samples = read_clip(io.BytesIO(wrong + b"".join(frames)), RATE)
    np.testing.assert_allclose(samples, expected, atol=1e-6)
    assert capfd.readouterr().err == ""
