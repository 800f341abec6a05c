"""Sound from files and pipes, in pieces of any size."""

import contextlib
import io
import types

import numpy as np
import pytest
import soundfile
import soxr
from common import wav_bytes

from speechcls.errors import AudioError, ConfigError, EmptyError
from speechcls.live.sources import Block, FileSource, Pipe, at_rate

RATE = 16_000


def joined(blocks):
    return np.concatenate([np.empty(0), *(block.samples for block in blocks)])


def warnings_of(blocks):
    return [line for block in blocks for line in block.warnings]


def pipe(content, *sizes):
    """A stream from which ``content`` comes in pieces of these sizes, then as asked for."""
    rest, most = io.BytesIO(content), iter(sizes)
    return types.SimpleNamespace(read=lambda n: rest.read(min(n, next(most, n))))


def as_wav(pcm, rate=RATE, **options):
    file = io.BytesIO()
    soundfile.write(file, pcm, rate, format="WAV", subtype="PCM_16", **options)
    return file.getvalue()


@pytest.mark.parametrize("sizes", [(), (1,), (3, 1, 5), (37 * 32 + 1,) * 4], ids=str)
def test_a_pipe_gives_its_samples_whatever_the_pieces(sizes, rng):
    pcm = rng.integers(-32_768, 32_767, 4_001, dtype=np.int16)
    blocks = list(Pipe(pipe(pcm.tobytes(), *sizes), RATE).blocks())
    np.testing.assert_array_equal(joined(blocks) * 32_768, pcm)
    assert {block.rate for block in blocks} == {RATE}
    assert max(len(block.samples) for block in blocks) <= 4_096
    assert warnings_of(blocks) == []


def test_a_pipe_that_ends_within_a_sample_says_so():
    blocks = list(Pipe(pipe(b"\x00\x40\x01"), RATE).blocks())
    assert joined(blocks).tolist() == [0.5]
    assert warnings_of(blocks) == ["stdin: ended within a sample; check its format"]


def test_an_empty_pipe_is_an_error():
    with pytest.raises(EmptyError, match=r"stdin: is empty \(0 bytes\)"):
        list(Pipe(pipe(b""), RATE).blocks())


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:", "a Git LFS pointer.*lfs pull"),
        (b"\n<!DOCTYPE html><html>" + "Stra\u00dfe ".encode() * 20, "an HTML page.*download it"),
        (b"PK\x03\x04" + bytes(99), "a ZIP archive.*unpack it"),
        (b"ID3\x03\0\0\0\0\x0f\x76" + bytes(2_000), "an MP3, which cannot be read from a pipe"),
        (b"hello\n", "text, not a recording"),
    ],
)
def test_what_is_no_sound_is_refused_in_a_pipe_by_name(content, told):
    for sizes in ((), (1, 2, 7)):
        with pytest.raises(AudioError, match=f"stdin: {told}"):
            list(Pipe(pipe(content, *sizes), RATE).blocks())


def test_silence_in_a_pipe_is_sound():
    assert joined(Pipe(pipe(bytes(2_000)), RATE).blocks()).tolist() == [0.0] * 1_000


@pytest.mark.parametrize("sizes", [(), (1, 2, 7, 30, 5)], ids=str)
@pytest.mark.parametrize("claims", [None, 0x8000_0000])
def test_a_wav_in_a_pipe_is_read_without_its_header(sizes, claims, rng):
    pcm = rng.integers(-30_000, 30_000, (501, 2), dtype=np.int16)
    content = as_wav(pcm, 44_100)
    if claims:  # as arecord writes it, which cannot know
        content = content[:40] + claims.to_bytes(4, "little") + content[44:]
    else:  # what stands behind the sound is none
        content += b"LIST\x04\x00\x00\x00abcd"
    blocks = list(Pipe(pipe(content, *sizes), RATE).blocks())
    np.testing.assert_allclose(joined(blocks) * 32_768, pcm.mean(axis=1), atol=0.01)
    assert {block.rate for block in blocks} == {44_100}


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW"])
@pytest.mark.parametrize("sizes", [(), (1, 2, 7, 30, 5, 4_096, 3)], ids=str)
def test_a_wav_of_any_kind_in_a_pipe_is_read_as_the_file(subtype, sizes, tone):
    file = io.BytesIO()
    stereo = np.stack([tone(440, 0.3), tone(700, 0.3)], axis=1)
    soundfile.write(file, stereo, 8_000, format="WAV", subtype=subtype)
    blocks = list(Pipe(pipe(file.getvalue(), *sizes), RATE).blocks())
    file.seek(0)
    expected = soundfile.read(file, dtype="float32")[0].mean(axis=1)
    np.testing.assert_array_equal(joined(blocks), expected)
    assert {block.rate for block in blocks} == {8_000}
    assert warnings_of(blocks) == []


def test_samples_that_are_not_finite_are_refused_in_a_pipe():
    file = io.BytesIO()
    soundfile.write(file, np.array([0.0, np.inf]), RATE, format="WAV", subtype="FLOAT")
    with pytest.raises(AudioError, match="stdin: NaN or infinite"):
        list(Pipe(pipe(file.getvalue()), RATE).blocks())


def test_a_wav_of_a_kind_that_is_not_known_or_cut_in_its_header_is_refused():
    compressed = wav_bytes(b"\0" * 8, bits=4, tag=0x11)
    with pytest.raises(AudioError, match="stdin: a WAV of a kind that cannot be read from a pipe"):
        list(Pipe(pipe(compressed), RATE).blocks())
    with pytest.raises(AudioError, match="stdin: no audio data"):
        list(Pipe(pipe(as_wav(np.zeros(9))[:30]), RATE).blocks())


def test_other_formats_in_a_pipe_are_refused_by_name():
    file = io.BytesIO()
    soundfile.write(file, np.zeros(100), RATE, format="FLAC")
    with pytest.raises(
        AudioError, match="stdin: a FLAC, which cannot be read from a pipe; name the file"
    ):
        list(Pipe(pipe(file.getvalue()), RATE).blocks())


def test_an_impossible_rate_is_refused():
    with pytest.raises(ConfigError, match="rate: 0 Hz"):
        Pipe(0, 0)


def blocks_of(recording):
    with contextlib.closing(recording):
        yield from recording.blocks()


class Clock:
    """Seconds that pass only where somebody sleeps."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


@pytest.mark.parametrize(("speed", "lasts_s"), [(1.0, 2.0), (4.0, 0.5), (0.0, 0.0)])
def test_a_file_comes_at_its_own_pace(speed, lasts_s, tmp_path, tone, write_wav):
    clock, samples = Clock(), tone(440, 2.0, 8_000)
    path = write_wav(tmp_path / "a.wav", samples, 8_000, "FLOAT")
    n_read = 0
    for block in blocks_of(FileSource(path, speed, clock, clock.sleep)):
        np.testing.assert_array_equal(block.samples, samples[n_read : n_read + len(block.samples)])
        n_read += len(block.samples)
        if speed:  # never before it was spoken
            assert clock.now == pytest.approx(n_read / 8_000 / speed)
    assert n_read == len(samples)
    assert clock.now == pytest.approx(lasts_s)


def test_a_slow_reader_is_not_slowed_further(tmp_path, tone, write_wav):
    clock = Clock()
    path = write_wav(tmp_path / "a.wav", tone(440))
    for _ in blocks_of(FileSource(path, 1.0, clock, clock.sleep)):
        clock.now += 0.05  # more than the 0.04 s that a block lasts
    assert clock.now == pytest.approx(25 * 0.05 + 0.04)  # it waited for the first block only


def test_a_missing_file_a_folder_and_no_audio_are_refused(tmp_path):
    (tmp_path / "a.raw").write_bytes(b"not audio" * 9)
    for name, fact in (
        ("no.wav", "no such file"),
        ("", "is a folder"),
        ("a.raw", "text, not a recording"),
    ):
        with pytest.raises(AudioError, match=fact):
            FileSource(tmp_path / name)


def test_infinite_samples_are_refused(tmp_path, write_wav):
    samples = np.array([0.0, np.inf, 0.0], dtype=np.float32)
    path = write_wav(tmp_path / "a.wav", samples, subtype="FLOAT")
    with pytest.raises(AudioError, match="NaN or infinite"):
        list(blocks_of(FileSource(path, 0)))


def test_blocks_are_resampled_as_if_they_were_one(rng):
    samples = rng.normal(0, 0.1, 44_100).astype(np.float32)
    pieces = np.split(samples, range(1_632, 44_100, 1_632))  # of 37 ms
    warnings = [("a",), *[()] * (len(pieces) - 1)]
    blocks = [Block(p, 44_100, warnings=n) for p, n in zip(pieces, warnings, strict=True)]
    resampled = list(at_rate(blocks, RATE))
    whole = soxr.resample(samples, 44_100, RATE, quality="HQ")
    np.testing.assert_allclose(joined(resampled), whole, atol=1e-5)
    assert warnings_of(resampled) == ["a"]


def test_sound_before_a_loss_and_after_it_do_not_mix():
    one, none = np.ones(4_800, dtype=np.float32), np.zeros(4_800, dtype=np.float32)
    before, rest, after, end = at_rate([Block(one, 48_000), Block(none, 48_000, 0.5)], RATE)
    assert len(before.samples) + len(rest.samples) == 1_600
    assert (before.lost_s, rest.lost_s, after.lost_s) == (0, 0, 0.5)
    assert np.abs(joined([after, end])).max() == 0.0


def test_a_rate_may_change_when_a_device_does():
    blocks = [Block(np.zeros(n, dtype=np.float32), n) for n in (48_000, 16_000, 8_000)]
    resampled = list(at_rate(blocks, RATE))
    assert len(joined(resampled)) == 3 * RATE
    assert {block.rate for block in resampled} == {RATE}


def test_a_header_that_is_cut_off_is_no_sound():
    for n in (4, 8, 11):
        with pytest.raises(AudioError, match="stdin: ends within the header of a WAV"):
            list(Pipe(pipe(as_wav(np.zeros(100, np.int16))[:n]), RATE).blocks())


def heard(source):
    """All of a source, which is closed."""
    return list(blocks_of(source) if isinstance(source, FileSource) else source.blocks())


CANCEL = "channels cancel out; channel 1 is used: name another if it is the wrong one"


def test_of_channels_that_cancel_out_one_is_heard_live(tmp_path, tone, write_wav):
    word = tone(440.0)
    path = write_wav(tmp_path / "a.wav", np.stack([word, -word], axis=1), subtype="FLOAT")
    blocks = list(blocks_of(FileSource(path, 0)))
    assert np.array_equal(joined(blocks), word)
    assert warnings_of(blocks) == [f"{path}: {CANCEL}"]
    blocks = list(Pipe(pipe(path.read_bytes()), RATE).blocks())
    assert np.array_equal(joined(blocks), word)
    assert warnings_of(blocks) == [f"stdin: {CANCEL}"]
    blocks = list(blocks_of(FileSource(path, 0, channel=2)))
    assert (np.array_equal(joined(blocks), -word), warnings_of(blocks)) == (True, [])


def test_floats_at_the_scale_of_integers_live(tmp_path, tone, write_wav):
    word = tone(440.0)
    path = write_wav(tmp_path / "a.wav", word * 32_768, subtype="FLOAT")
    note = "floats at the scale of 16-bit integers; they were divided by 32768"
    for name, source in (
        (path, FileSource(path, 0)),
        ("stdin", Pipe(pipe(path.read_bytes()), RATE)),
    ):
        blocks = heard(source)
        assert np.array_equal(joined(blocks), word)
        assert warnings_of(blocks) == [f"{name}: {note}"]


@pytest.mark.parametrize("size", [0, 32_001, 32_044])
def test_a_wav_with_a_wrong_size_is_heard_whole_live(size, tmp_path, tone):
    pcm = (tone(440.0) * 32_767).astype("<i2")
    content = wav_bytes(pcm.tobytes(), size=size)
    (tmp_path / "a.wav").write_bytes(content)
    note = "the size in its header is wrong; it was read to its end"
    for name, source in (
        (tmp_path / "a.wav", FileSource(tmp_path / "a.wav", 0)),
        ("stdin", Pipe(pipe(content), RATE)),
    ):
        blocks = heard(source)
        assert np.array_equal(joined(blocks) * 32_768, pcm)
        assert warnings_of(blocks) == [f"{name}: {note}"]


def test_what_is_cut_off_is_told_live(tmp_path, tone, write_wav):
    path = write_wav(tmp_path / "a.wav", tone(440.0))
    path.write_bytes(path.read_bytes()[:-2_000])
    blocks = list(blocks_of(FileSource(path, 0)))
    assert len(joined(blocks)) == 15_000
    assert warnings_of(blocks) == [f"{path}: truncated (30000 of 32000 bytes); copy it again"]
    blocks = list(Pipe(pipe(path.read_bytes()), RATE).blocks())
    assert len(joined(blocks)) == 15_000
    assert warnings_of(blocks) == ["stdin: truncated (15000 of 16000 frames); copy it again"]
