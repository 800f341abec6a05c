"""All clips of a data set in memory: order, digests, windows, the usual length, the bad ones."""

from pathlib import Path

import numpy as np
import pytest

from speechcls.data.clips import (
    as_clip,
    describe_notes,
    digest_of,
    read_clips,
    read_example,
    window_of,
)
from speechcls.errors import AudioError
from speechcls.layouts.examples import Example


def pcm(*values):
    """16-bit samples."""
    return np.array(values, dtype=np.int16)


@pytest.fixture
def examples(tmp_path, write_wav, rng):
    """Nine clips of different noise, the first of 100 samples, each 50 longer than the last."""
    return [
        Example(
            write_wav(
                tmp_path / f"{i}.wav", rng.integers(-999, 999, 100 + 50 * i).astype(np.int16)
            ),
            "yes" if i % 2 else "no",
            f"speaker {i}",
        )
        for i in range(9)
    ]


def test_a_digest_is_that_of_the_samples_as_little_endian_bytes():
    # printf '\x01\x00\x02\x00\x03\x00' | b2sum --length=80
    assert digest_of(pcm(1, 2, 3)) == "482c5f1168c27cb06927"
    assert digest_of(pcm(1, 2, 3)) == digest_of(pcm(9, 1, 2, 3)[1:])
    assert digest_of(pcm(1, 2, 3)) != digest_of(pcm(1, 2, 3, 0))
    assert digest_of(pcm(1, 2, 3)) != digest_of(pcm(3, 2, 1))


def test_the_same_sound_has_one_digest_in_every_lossless_format(tmp_path, write_wav, rng):
    sound = rng.integers(-32_768, 32_768, 4_000).astype(np.int16)
    exact = sound / 32_768.0
    stereo = np.stack([sound, sound], axis=1)
    paths = [
        write_wav(tmp_path / "a.wav", sound),
        write_wav(tmp_path / "b.flac", sound),
        write_wav(tmp_path / "c.aiff", sound, format="AIFF"),
        write_wav(tmp_path / "d.wav", exact, subtype="FLOAT"),
        write_wav(tmp_path / "e.wav", stereo),
        write_wav(tmp_path / "f.caf", sound, format="CAF"),
    ]
    store = read_clips([Example(path, "yes") for path in paths], 16_000)
    assert store.bad == []
    assert store.digests == [digest_of(sound)] * len(paths)


def test_clips_lie_one_after_the_other_in_order(examples):
    store = read_clips(examples, 16_000)
    assert store.examples == examples
    assert store.sample_rate == 16_000
    assert store.samples.dtype == np.int16
    assert store.lengths.tolist() == [100, 150, 200, 250, 300, 350, 400, 450, 500]
    each = [read_example(example, 16_000) for example in examples]
    assert np.array_equal(store.samples, np.concatenate([clip.pcm for clip in each]))
    assert all(map(np.array_equal, store.clips(), [clip.pcm for clip in each]))
    assert store.digests == [digest_of(clip.pcm) for clip in each]


def test_bad_clips_are_listed_and_left_out(examples, tmp_path):
    gone, empty = tmp_path / "gone.wav", tmp_path / "empty.wav"
    empty.touch()
    mixed = [Example(gone, "no"), *examples[:2], Example(empty, "yes"), examples[2]]
    store = read_clips(mixed, 16_000)
    assert store.examples == examples[:3]
    assert store.lengths.tolist() == [100, 150, 200]
    assert len(store.digests) == 3
    assert store.bad == [
        f"{gone}: no such file; check the path",
        f"{empty}: is empty (0 bytes); record it again or leave it out",
    ]


def test_no_clip_at_all():
    store = read_clips([], 16_000)
    assert (len(store.samples), len(store.lengths)) == (0, 0)
    assert (store.samples.dtype, store.lengths.dtype) == (np.int16, np.int64)


def test_an_example_is_resampled_cut_and_scaled(tmp_path, write_wav):
    path = write_wav(tmp_path / "a.wav", np.arange(-500, 500).astype(np.int16), rate=1_000)
    assert read_example(Example(path, "a"), 1_000).pcm.tolist() == list(range(-500, 500))
    part = Example(path, "a", start_s=0.5, end_s=0.504)
    assert read_example(part, 1_000).pcm.tolist() == [0, 1, 2, 3]
    soft = Example(path, "a", start_s=0.0, end_s=0.004, gain=0.5)
    assert read_example(soft, 1_000).pcm.tolist() == [-250, -250, -249, -248]  # halves go to even
    mute = Example(path, "a", gain=0.0)
    assert not read_example(mute, 1_000).pcm.any()
    assert len(read_example(Example(path, "a"), 2_000).pcm) == 2_000


def test_an_example_of_one_channel(tmp_path, write_wav):
    sound = np.array([[100, 300], [-100, 500]], dtype=np.int16)
    path = write_wav(tmp_path / "a.wav", sound, rate=1_000)
    assert read_example(Example(path, "a"), 1_000).pcm.tolist() == [200, 200]
    assert read_example(Example(path, "a", channel=1), 1_000).pcm.tolist() == [100, -100]
    assert read_example(Example(path, "a", channel=2), 1_000).pcm.tolist() == [300, 500]


@pytest.mark.parametrize(
    ("samples", "pcm", "scale"),
    [
        ([0.5, -1.0], [16_384, -32_768], 1.0),
        ([0.5, 1.0], [16_384, 32_767], 1.0),  # as a file of 16 bits stores it
        # The peak becomes 32767: full scale is 2 * 32768 / 32767, and 1 / 2 * 32767 is 16383.5.
        ([1.0, -2.0], [16_384, -32_767], 2 * 32_768 / 32_767),
        ([0.0, 4.0, -4.0], [0, 32_767, -32_767], 4 * 32_768 / 32_767),
    ],
)
def test_full_scale_by_hand(samples, pcm, scale):
    clip = as_clip(np.array(samples, dtype=np.float32), ["a note"])
    assert clip.pcm.tolist() == pcm
    assert clip.scale == pytest.approx(scale, rel=1e-7)
    assert clip.notes == ("a note",)
    assert np.abs(clip.samples - samples).max() <= scale / 32_768
    assert clip.samples.dtype == np.float32


def test_notes_are_told_once_for_all_clips_that_have_them():
    paths = [Path(f"data/yes/{i}.wav") for i in range(4)]
    notes = [["loud"], [], ["loud", "empty"], ["loud", "loud"]]
    assert describe_notes([Example(path, "yes") for path in paths], notes) == [
        "3 clips: loud (data/yes/0.wav first)",
        "data/yes/2.wav: empty",
    ]


def test_an_example_that_cannot_be_read(tmp_path):
    with pytest.raises(AudioError, match="no such file"):
        read_example(Example(tmp_path / "gone.wav", "a"), 16_000)


@pytest.mark.parametrize(
    ("lengths", "rate", "duration_s"),
    [
        ([16_000] * 10, 16_000, 1.0),
        ([16_000] * 10, 8_000, 2.0),
        ([15_999], 16_000, 1.0),
        ([16_001], 16_000, 1.1),  # rounded up
        ([17_600], 16_000, 1.1),
        ([11_025], 11_025, 1.0),
        ([4_851], 44_100, 0.5),  # 0.11 s: not shorter than this
        ([80_000], 16_000, 4.0),  # 5 s: not longer than this
        ([64_001], 16_000, 4.0),
        ([8_000], 16_000, 0.5),
        ([8_001], 16_000, 0.6),
        # 20 clips: the 95th percentile lies at 0.95 * 19 = 18.05, a twentieth of the way from
        # the 19th length to the 20th: 8000 + 0.05 * 24000 = 9200 samples, 0.575 s.
        ([8_000] * 19 + [32_000], 16_000, 0.6),
        # 100 clips: at 94.05, among the 10 long ones.
        ([8_000] * 90 + [32_000] * 10, 16_000, 2.0),
        ([8_000] * 95 + [32_000] * 5, 16_000, 0.6),
    ],
)
def test_the_default_window_by_hand(lengths, rate, duration_s):
    assert window_of(np.array(lengths) / rate) == duration_s
