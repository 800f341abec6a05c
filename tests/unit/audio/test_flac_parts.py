"""FLACs that were joined are heard whole, and nothing else is taken for a part."""

import io
import os

import numpy as np
import pytest
import soundfile
from common_audio import read_blocks

from speechcls.audio.decode import read_clip, read_native
from speechcls.errors import AudioError

RATE = 16_000
ID3 = b"ID3\x04\0\0\0\0\x01\x05" + b"picture".ljust(128 + 5, b"\xff")
ID3V1 = b"TAG".ljust(128, b"\xff")
SIZE_NOTE = "the size in its header is wrong; it was read to its end"


@pytest.fixture
def noise(rng):
    """A function that returns (n,) 16-bit integers."""
    return lambda n: rng.integers(-10_000, 10_000, n, np.int16)


def flac(values, rate=RATE, subtype="PCM_16"):
    """The bytes of a file."""
    file = io.BytesIO()
    soundfile.write(file, values, rate, subtype, format="FLAC")
    return file.getvalue()


def frames_at(content):
    """Where the first frame of a file is."""
    at, is_last = 4, False
    while not is_last:
        is_last = content[at] > 127
        at += 4 + int.from_bytes(content[at + 1 : at + 4], "big")
    return at


def with_block(content, kind, inside):
    """A file with one more block before its sound."""
    block = bytes([kind]) + len(inside).to_bytes(3, "big") + inside
    return content[:42] + block + content[42:]


def with_total(content, total):
    """A file that tells of another number of samples; 0: unknown."""
    field = int.from_bytes(content[18:26], "big") >> 36 << 36 | total
    return content[:18] + field.to_bytes(8, "big") + content[26:]


def read(content):
    """The samples of one channel as 16-bit integers, and the notes."""
    notes = []
    samples, rate = read_native(io.BytesIO(content), on_note=notes.append)
    assert rate == RATE
    return (samples[:, 0] * 32_768).astype(int).tolist(), notes


@pytest.mark.parametrize("lengths", [(9_000, 9_000), (9_000, 20_000, 100), (4_096,) * 3])
@pytest.mark.parametrize("total", ["told", "unknown"])
@pytest.mark.parametrize("form", ["as written", "one block"])
@pytest.mark.parametrize(
    ("before", "between", "behind"),
    [(b"", b"", b""), (ID3, ID3, b""), (b"", ID3V1, ID3V1), (b"", ID3V1 + ID3, ID3)],
    ids=["alone", "ID3v2 before each", "ID3v1 behind each", "all"],
)
def test_joined_flacs_are_heard_whole(lengths, total, form, before, between, behind, noise):
    parts = [noise(n) for n in lengths]
    files = [flac(part) for part in parts]
    if form == "one block":  # the one that has to be there is the last
        files = [c[:4] + b"\x80" + c[5:42] + c[frames_at(c) :] for c in files]
    if total == "unknown":
        files = [with_total(content, 0) for content in files]
    joined = before + between.join(files) + behind
    assert read(joined) == (np.concatenate(parts).tolist(), [])
    blocks, fault, _ = read_blocks(io.BytesIO(joined))
    assert (np.array_equal(blocks * 32_768, np.concatenate(parts)), fault) == (True, "")


def test_a_part_across_the_joint_is_that_of_the_whole(noise, tmp_path):
    one, two = noise(9_000), noise(9_000)
    (tmp_path / "a.flac").write_bytes(flac(one) + flac(two))
    samples = read_clip(tmp_path / "a.flac", RATE, 0.5, 1.0)
    assert np.array_equal(samples * 32_768, np.concatenate([one[8_000:], two[:7_000]]))
    with pytest.raises(AudioError, match=r"nothing between 2 s and the end \(it lasts 1.12 s\)"):
        read_clip(tmp_path / "a.flac", RATE, 2.0)


@pytest.mark.parametrize("in_file", [False, True])
@pytest.mark.parametrize("n_over", range(20))
def test_a_part_is_found_wherever_it_starts(n_over, in_file, noise, tmp_path):
    """Its first bytes may be the last ones of what is looked at a time."""
    one, two = noise(60_000), noise(5_000)
    content = flac(one)
    start = 2 * (1 << 17) + 42 - n_over
    content = with_block(content, 1, bytes(start - 4 - len(content)))
    assert len(content) == start
    source = io.BytesIO(content + flac(two))
    if in_file:
        (tmp_path / "a.flac").write_bytes(source.getvalue())
        source = tmp_path / "a.flac"
    samples = read_native(source)[0][:, 0] * 32_768
    assert samples.tolist() == np.concatenate([one, two]).tolist()


def test_a_long_file_that_was_written_anew_is_looked_at_anew(noise, tmp_path):
    path, one, two = tmp_path / "a.flac", noise(100_000), noise(100_000)
    for content, expected in (
        (flac(one), one),
        (flac(one) + flac(two), np.concatenate([one, two])),
        (flac(two), two),
    ):
        path.write_bytes(content)
        os.utime(path, ns=(0, len(content)))
        for _ in range(2):
            assert np.array_equal(read_native(path)[0][:, 0] * 32_768, expected)


@pytest.mark.parametrize("kind", [2, 6], ids=["application", "picture"])
def test_a_flac_in_a_block_of_another_one_is_no_part(kind, noise):
    one, two, inside = noise(9_000), noise(9_000), flac(noise(3_000))
    with_inside = with_block(flac(one), kind, b"text" + inside + b"text" + inside)
    assert read(with_inside) == (one.tolist(), [])
    both = [*one.tolist(), *two.tolist()]
    assert read(with_inside + flac(two))[0] == both
    assert read(flac(one) + with_block(flac(two), kind, inside))[0] == both


@pytest.mark.parametrize("n_more", [0, 34, 2_000])
def test_the_beginning_of_a_flac_in_the_samples_is_no_part(n_more, noise, rng):
    """Noise of 8 bits is stored as it is: it can hold any bytes."""
    values = rng.integers(-128, 128, 20_000, np.int16)
    other = flac(noise(9_000))
    head = other[: 8 + n_more]
    if n_more == 2_000:  # no frame behind the blocks
        head = head[: frames_at(head)] + head[frames_at(head) + 1 :]
    values[9_000 : 9_000 + len(head)] = np.frombuffer(head, np.int8)
    content = flac(values * 256, subtype="PCM_S8")
    assert content.find(head, 42) > 0
    assert (np.array(read(content)[0]) // 256).tolist() == values.tolist()


def test_joined_flacs_come_at_the_rate_and_with_the_channels_of_the_first(tone):
    one, two = tone(500.0), np.stack([tone(500.0, 1.0, 48_000)] * 2, 1)
    samples, rate = read_native(io.BytesIO(flac(one) + flac(two, 48_000, "PCM_24")))
    assert (samples.shape, rate) == ((32_000, 1), 16_000)
    np.testing.assert_allclose(samples[16_200:-200, 0], one[200:-200], atol=1e-3)
    samples, rate = read_native(io.BytesIO(flac(two, 48_000, "PCM_24") + flac(one)))
    assert (samples.shape, rate) == ((96_000, 2), 48_000)
    np.testing.assert_allclose(samples[48_600:-600], two[600:-600], atol=1e-3)


def test_a_joined_flac_of_which_one_is_cut_off_is_truncated(noise):
    one, two = flac(noise(20_000)), flac(noise(9_000))
    cut_one, cut_two = one[: len(one) // 2], two[: len(two) // 2]
    for content, counts, n_read in (
        (one + cut_two, "4096 of 9000", 20_000 + 4_096),
        (cut_one + two, "8192 of 20000", 8_192 + 9_000),
    ):
        fault = f"truncated ({counts} frames); copy it again"
        with pytest.raises(AudioError) as raised:
            read(content)
        assert str(raised.value) == f"stream: {fault}"
        blocks, told, _ = read_blocks(io.BytesIO(content))
        assert (len(blocks), told) == (n_read, fault)


@pytest.mark.parametrize("n_part", [0, 1])
def test_a_part_with_more_than_it_tells_of_is_heard_whole(n_part, noise):
    parts = [noise(20_000), noise(20_000)]
    files = [flac(part) for part in parts]
    files[n_part] = with_total(files[n_part], 8_192)
    assert read(b"".join(files)) == (np.concatenate(parts).tolist(), [SIZE_NOTE])


def test_a_part_without_samples_adds_nothing(noise):
    values = noise(9_000)
    content = flac(values)
    nothing = with_total(content[: frames_at(content)], 0)
    for joined in (nothing + content, content + nothing, content + nothing * 2):
        assert read(joined) == (values.tolist(), [])
    assert read(content + nothing + content)[0] == values.tolist() * 2


@pytest.mark.parametrize("tags", [ID3V1, ID3, ID3 + ID3V1, ID3V1 + ID3])
def test_tags_behind_a_flac_of_unknown_length_are_no_sound(tags, noise):
    values = noise(9_000)
    assert read(with_total(flac(values), 0) + tags) == (values.tolist(), [])
