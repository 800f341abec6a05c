"""Recordings whose header is wrong about their length: heard whole, and told where cut off."""

import io
import struct

import numpy as np
import pytest
import soundfile
from common import FLOAT, wav_bytes
from common_audio import Pipe, mp3_frames, read_blocks, without_info

from speechcls.audio.decode import read_clip, read_native
from speechcls.errors import AudioError

RATE = 16_000
BEHIND_NOTE = "what is behind the samples that its header tells of was not read"
SIZE_NOTE = "the size in its header is wrong; it was read to its end"


@pytest.fixture
def noise(rng):
    return (0.1 * rng.standard_normal(2 * RATE)).astype(np.float32)


def encoded(samples, kind, subtype=None, rate=RATE, **options):
    """The bytes of a file."""
    file = io.BytesIO()
    channels = 1 if samples.ndim == 1 else samples.shape[1]
    with soundfile.SoundFile(file, "w", rate, channels, subtype, None, kind, **options) as sound:
        sound.write(samples)
    return file.getvalue()


def read(content):
    """The samples (n,) of a file of one channel, its notes and what is wrong with it."""
    notes = []
    try:
        samples, _ = read_native(io.BytesIO(content), on_note=notes.append)
    except AudioError as error:
        return None, notes, str(error).removeprefix("stream: ")
    return samples[:, 0], notes, ""


def with_flac_total(content, total):
    """A FLAC whose header says another number of samples; 0: unknown, as through a pipe."""
    changed = bytearray(content)
    field = int.from_bytes(changed[18:26], "big")
    changed[18:26] = (field >> 36 << 36 | total).to_bytes(8, "big")
    return bytes(changed)


def test_a_flac_of_unknown_length_is_read_to_its_end(noise):
    whole = encoded(noise, "FLAC")
    expected = read(whole)[0]
    samples, notes, fault = read(with_flac_total(whole, 0))
    assert (np.array_equal(samples, expected), notes, fault) == (True, [], "")
    blocks, fault, reader = read_blocks(io.BytesIO(with_flac_total(whole, 0)))
    assert (np.array_equal(blocks, expected), fault, reader.duration_s) == (True, "", None)


@pytest.mark.parametrize("total", [32_001, 10**6, 2**36 - 1])
def test_a_flac_that_promises_more_than_it_has_is_truncated(total, noise):
    content = with_flac_total(encoded(noise, "FLAC"), total)
    assert read(content)[2] == f"truncated (32000 of {total} frames); copy it again"
    blocks, fault, _ = read_blocks(io.BytesIO(content))
    assert (len(blocks), fault) == (32_000, f"truncated (32000 of {total} frames); copy it again")


@pytest.mark.parametrize("total", [1, 4_096, 16_000, 28_672, 31_999])
def test_a_flac_with_more_than_it_tells_of_is_heard_whole(total, noise):
    noise[-3_000:] = 0  # so that the last frame is of a few bytes
    whole = encoded(noise, "FLAC")
    samples, notes, fault = read(with_flac_total(whole, total))
    assert (np.array_equal(samples, read(whole)[0]), notes, fault) == (True, [SIZE_NOTE], "")


@pytest.mark.parametrize("total", [0, 32_000])
def test_of_a_flac_that_is_cut_off_all_whole_frames_come_before_the_error(total, noise):
    content = with_flac_total(encoded(noise, "FLAC"), total)
    cut = content[: len(content) * 6 // 10]
    blocks, fault, _ = read_blocks(io.BytesIO(cut))
    assert len(blocks) == 16_384  # four frames of 4,096
    assert np.array_equal(blocks, read(content)[0][:16_384])
    reason = "damaged or truncated after" if total == 0 else "truncated (16384 of 32000 frames)"
    assert fault.startswith(reason)
    assert read(cut)[2] == fault


def test_a_part_of_a_cut_flac_that_is_there_is_read(noise, tmp_path):
    content = encoded(noise, "FLAC")
    (tmp_path / "a.flac").write_bytes(content[: len(content) * 6 // 10])
    part = read_clip(tmp_path / "a.flac", RATE, 0.25, 0.75)
    assert np.array_equal(part, read(content)[0][4_000:12_000])
    with pytest.raises(AudioError, match="truncated"):
        read_clip(tmp_path / "a.flac", RATE, 0.75, 1.75)


@pytest.mark.parametrize("rate", [16_000, 22_050, 24_000, 44_100, 48_000])
@pytest.mark.parametrize("mode", ["CONSTANT", "VARIABLE"])
@pytest.mark.parametrize("tag", ["", "ID3 in front", "ID3 in the middle", "ID3v1 behind"])
def test_every_frame_of_an_mp3_without_a_count_is_heard(rate, mode, tag, rng):
    noise = 0.1 * rng.standard_normal(rate)
    content = encoded(noise, "MP3", rate=rate, bitrate_mode=mode, compression_level=0.6)
    frames = without_info(mp3_frames(content))
    id3 = b"ID3\x04\0\0\0\0\x27\x10" + b"\0" * (0x27 * 128 + 0x10)
    middle = len(frames) // 2
    tagged = {
        "ID3 in front": id3 + b"".join(frames),
        "ID3 in the middle": b"".join(frames[:middle]) + id3 + b"".join(frames[middle:]),
        "ID3v1 behind": b"".join(frames) + b"TAG".ljust(128),
    }.get(tag, b"".join(frames))
    samples, notes, fault = read(tagged)
    assert (notes, fault) == ([], "")
    assert len(samples) == len(frames) * (1_152 if rate > 24_000 else 576)
    # The same sound as with the count, behind the delay of encoder and decoder.
    counted = read(content)[0]
    np.testing.assert_allclose(samples[1_105 : 1_105 + len(counted)], counted, atol=1e-6)


def test_an_mp3_with_a_right_count_is_libsndfiles(noise):
    content = encoded(noise, "MP3")
    expected = soundfile.read(io.BytesIO(content), dtype="float32")[0]
    np.testing.assert_allclose(read(content)[0], expected, atol=1e-6)


@pytest.mark.parametrize("with_info", [True, False])
def test_joined_mp3s_are_heard_whole(with_info, noise):
    one, two = encoded(noise, "MP3"), encoded(noise[:9_000], "MP3")
    second = two if with_info else b"".join(without_info(mp3_frames(two)))
    samples, _, fault = read(one + second)
    n_second = len(read(second)[0])
    assert fault == ""
    # One frame of the second may count for the first.
    assert abs(len(samples) - len(noise) - n_second) <= 576
    if with_info:
        expected = np.concatenate([read(one)[0], read(two)[0]])
        np.testing.assert_allclose(samples, expected, atol=1e-6)


def test_joined_recordings_come_at_the_rate_of_the_first(noise, tone):
    for kind, subtype, atol in (("MP3", None, 0.01), ("OGG", "VORBIS", 0.01), ("WAV", None, 1e-4)):
        first = encoded(tone(500.0), kind, subtype)
        second = encoded(np.stack([tone(500.0, 1.0, 48_000)] * 2, 1), kind, subtype, 48_000)
        samples, _, fault = read(first + second)
        assert (len(samples), fault) == (32_000, "")
        expected = tone(500.0)[1_000:-1_000]
        np.testing.assert_allclose(samples[17_000:-1_000], expected, atol=10 * atol)


def test_an_mp3_that_is_cut_off_is_truncated(noise):
    content = encoded(noise, "MP3")
    frames = mp3_frames(content)
    n_sound = len(without_info(frames))
    half = b"".join(frames[: len(frames) // 2])
    counts = f"{len(frames) // 2 - 1} of {n_sound}"
    assert read(half)[2] == f"truncated ({counts} MPEG frames); copy it again"
    raw = b"".join(without_info(frames))
    assert read(raw)[1:] == ([], "")
    # Without a count a cut cannot be told from a recorder that stopped within a frame.
    samples, notes, fault = read(raw[:-9])
    assert (len(samples), fault) == ((n_sound - 1) * 576, "")
    assert notes == ["ends within its last frame; it may be truncated"]


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
def test_ogg_streams_one_behind_the_other_and_cut_off(subtype, noise):
    content = encoded(noise, "OGG", subtype)
    once, _, fault = read(content)
    assert (len(once), fault) == (32_000, "")
    thrice, _, fault = read(content * 3)
    assert (np.array_equal(thrice, np.tile(once, 3)), fault) == (True, "")
    last_page = content.rindex(b"OggS")
    missing = "truncated (its last page is missing); copy it again"
    assert read(content[:last_page])[2] == missing
    assert read(content + content[:last_page])[2] == missing
    assert read(content[:-9])[2] == "truncated (its last page is incomplete); copy it again"
    blocks, fault, _ = read_blocks(io.BytesIO(content + content[:last_page]))
    assert (len(blocks) > 32_000, fault) == (True, missing)


# what its header says of 10,000 samples of 16 bits; how many bytes the file lacks; the note
WRONG_SIZES = {
    "never finished": (0, 0, [SIZE_NOTE]),
    "44 too many": (20_044, 0, [SIZE_NOTE]),
    "one byte too many": (20_001, 0, [SIZE_NOTE]),
    "one byte is missing": (20_000, 1, [SIZE_NOTE]),
    "written into a pipe": (0xFFFF_FFFF, 0, []),
}


@pytest.mark.parametrize(("size", "n_missing", "notes"), WRONG_SIZES.values(), ids=WRONG_SIZES)
@pytest.mark.parametrize("through_pipe", [False, True])
@pytest.mark.parametrize("riff", [None, 36, 0])
def test_a_wav_with_a_wrong_size_is_heard_whole(size, n_missing, notes, through_pipe, riff, noise):
    values = (noise[:10_000] * 32_767).astype("<i2")
    content = bytearray(wav_bytes(values.tobytes(), size=size))
    if riff is not None:
        content[4:8] = struct.pack("<I", riff)
    content = bytes(content)[: len(content) - n_missing]
    expected = values[: 10_000 - n_missing] / np.float32(32_768)
    if not through_pipe:
        samples, told, fault = read(content)
        assert (np.array_equal(samples, expected), told, fault) == (True, notes, "")
    blocks, fault, reader = read_blocks(Pipe(content) if through_pipe else io.BytesIO(content))
    assert (np.array_equal(blocks, expected), fault) == (True, "")
    assert reader.notes == notes


@pytest.mark.parametrize(
    ("size", "riff", "n_read", "note"),
    [
        (2_000, 36 + 20_000, 10_000, SIZE_NOTE),  # the size of the whole file is right
        (2_000, 36 + 8_000, 10_000, SIZE_NOTE),  # neither is
        (2_000, 36 + 2_000, 1_000, BEHIND_NOTE),  # the header agrees with itself
        (19_956, 36 + 20_000, 10_000, SIZE_NOTE),
        (19_956, 36 + 19_956, 9_978, BEHIND_NOTE),
        (19_956, 0, 9_978, BEHIND_NOTE),  # 22 samples are less than a tenth of a second
        (19_999, 36 + 20_000, 9_999, None),  # less than a sample
    ],
)
def test_samples_behind_those_that_a_wav_tells_of(size, riff, n_read, note, noise):
    values = (noise[:10_000] * 32_767).astype("<i2")
    content = at(wav_bytes(values.tobytes(), size=size), 4, "<I", riff)
    samples, notes, fault = read(content)
    assert np.array_equal(samples * 32_768, values[:n_read])
    assert (notes, fault) == ([note] if note else [], "")
    blocks, fault, reader = read_blocks(Pipe(content))
    assert (np.array_equal(blocks, samples), reader.notes, fault) == (True, notes, "")


def test_a_list_of_texts_behind_a_wav_is_no_sound(noise):
    """Also where it is neither padded nor ends with the file."""
    values = (noise[:10_000] * 32_767).astype("<i2")
    texts = b"LIST" + struct.pack("<I", 5_000) + b"INFO" + b"text" * 1_250 + b"\1\2\3\4"
    for odd in (0, 1):
        content = wav_bytes(values.tobytes()[: 20_000 - odd]) + texts
        for riff in (36 + 30_000, 36 + 20_000 - odd, 36):
            samples, notes, _ = read(at(content, 4, "<I", riff))
            assert (len(samples), notes) == (10_000 - odd, [])


def test_a_wav_of_size_0_with_chunks_behind_it_is_empty():
    content = wav_bytes(b"") + struct.pack("<4sI4s", b"LIST", 4, b"INFO")
    assert read(content)[2] == "no audio data (0 frames); record it again or leave it out"
    assert read_blocks(Pipe(content))[1].startswith("no audio data")


@pytest.mark.parametrize("behind", [b"TAG".ljust(128), b"\0" * 300], ids=["ID3v1", "zeros"])
def test_tags_and_filling_behind_a_wav_are_no_sound(behind, noise):
    values = (noise[:1_000] * 32_767).astype("<i2")
    assert len(read(wav_bytes(values.tobytes()) + behind)[0]) == 1_000


def at(content, position, code, value):
    """The content with a number written into it."""
    changed = bytearray(content)
    struct.pack_into(code, changed, position, value)
    return bytes(changed)


# kind; where the size of the samples is written, from what; its code; what it counts besides
SIZES = {
    "AIFF": ("AIFF", b"SSND", 4, ">I", 8),
    "AU": ("AU", b".snd", 8, ">I", 0),
    "CAF": ("CAF", b"data", 4, ">Q", 4),
    "W64": ("W64", b"data\xf3\xac", 16, "<Q", 24),
    "RF64": ("RF64", b"ds64", 16, "<Q", 0),
}


@pytest.mark.parametrize(("kind", "name", "offset", "code", "more"), SIZES.values(), ids=SIZES)
def test_other_formats_with_a_wrong_size(kind, name, offset, code, more, noise):
    content = encoded(noise, kind, "PCM_16")
    expected = read(content)[0]
    position = content.index(name) + offset
    assert struct.unpack_from(code, content, position) == (64_000 + more,)
    for size in (more, 64_044 + more, 2_000 + more):
        samples, notes, fault = read(at(content, position, code, size))
        assert (np.array_equal(samples, expected), fault) == (True, ""), size
        assert notes == [SIZE_NOTE]
    samples, notes, fault = read(at(content, position, code, 63_956 + more))
    told = (32_000, [SIZE_NOTE]) if kind in ("AIFF", "W64") else (31_978, [BEHIND_NOTE])
    assert (len(samples), notes, fault) == (*told, "")  # two tell how long the whole file is
    _, _, fault = read(at(content, position, code, 64_000 + more + 1_000))
    assert fault.startswith("truncated (64")
    assert read(content[:-2_000])[2].startswith("truncated (6")


@pytest.mark.parametrize("size", [0, 20_044])
def test_a_float_wav_with_a_wrong_size(size, noise):
    content = wav_bytes(noise[:5_000].tobytes(), 32, FLOAT, size=size)
    assert np.array_equal(read(content)[0], noise[:5_000])
