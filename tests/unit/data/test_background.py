"""Where held-out silence is cut from, how long and how loud it is, and that it stays the same."""

import dataclasses
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile

from speechcls.artifact.format import SplitRow
from speechcls.data.background import find_trained, sample_background, split_range
from speechcls.data.clips import read_example
from speechcls.labels import SILENCE
from speechcls.layouts.examples import Example

RATE = 16_000
RAIN, TRAIN = Path("rain.wav"), Path("train.wav")


@pytest.mark.parametrize(
    ("split", "start_s", "end_s"),
    [("train", 0, 48), ("validation", 48, 54), ("test", 54, 60), (None, 0, 60)],
)
def test_each_split_has_its_part_of_a_recording(split, start_s, end_s):
    assert split_range(60.0, split) == pytest.approx((start_s, end_s))


@pytest.mark.parametrize("duration_s", [0.7, 60.0, 95.183])
def test_the_parts_meet_and_do_not_overlap(duration_s):
    (_, first), (second, third), (fourth, last) = (
        split_range(duration_s, split) for split in ("train", "validation", "test")
    )
    assert first == second
    assert third == fourth
    assert last == duration_s


@pytest.mark.parametrize("split", ["validation", "test", "train", None])
def test_cuts_lie_in_their_part_and_have_the_length_of_the_window(split):
    durations_s = {RAIN: 60.0, TRAIN: 95.0}
    cuts = sample_background(durations_s, split, 500, 1.0)
    assert len(cuts) == 500
    for cut in cuts:
        first, last = split_range(durations_s[cut.path], split)
        assert first - 1e-4 <= cut.start_s
        assert cut.end_s <= last + 1e-4
        assert cut.end_s - cut.start_s == pytest.approx(1.0, abs=1e-3)
        assert (cut.label, cut.speaker, cut.split) == ("_silence_", None, split)


def test_cuts_are_spread_over_the_whole_part():
    starts_s = [cut.start_s for cut in sample_background({RAIN: 60.0}, "validation", 500, 1.0)]
    # Uniform in 48 .. 53: a fifth in each second, 100 with a standard deviation of 9.
    counts = Counter(int(start_s) for start_s in starts_s)
    assert set(counts) == {48, 49, 50, 51, 52}
    assert all(64 <= n <= 136 for n in counts.values())


def test_recordings_take_turns():
    cuts = sample_background({RAIN: 60.0, TRAIN: 95.0}, "test", 5, 1.0)
    assert [cut.path for cut in cuts] == [RAIN, TRAIN, RAIN, TRAIN, RAIN]


def test_the_level_is_at_most_as_recorded_and_sometimes_none():
    gains = [cut.gain for cut in sample_background({RAIN: 60.0}, "test", 1_000, 1.0)]
    heard = [gain for gain in gains if gain]
    # A tenth is digital silence: 100, standard deviation 9.5.
    assert 62 <= gains.count(0.0) <= 138
    assert min(heard) >= 0.0316  # -30 dB is 10 ** -1.5
    assert max(heard) <= 1.0
    # Uniform in dB: half of them below -15 dB, 10 ** -0.75; 450, standard deviation 15.
    assert 390 <= sum(gain < 0.17783 for gain in heard) <= 510


def test_they_are_the_same_each_time():
    durations_s = {RAIN: 60.0, TRAIN: 95.0}
    first = sample_background(durations_s, "test", 20, 1.0)
    assert sample_background(durations_s, "test", 20, 1.0) == first
    assert sample_background(durations_s, "test", 10, 1.0) == first[:10]


def test_validation_and_test_are_not_cut_alike():
    places = [
        [
            cut.start_s - split_range(60.0, split)[0]
            for cut in sample_background({RAIN: 60.0}, split, 5, 1.0)
        ]
        for split in ("validation", "test")
    ]
    assert places[0] != pytest.approx(places[1], abs=0.01)


def test_a_part_shorter_than_the_window_is_taken_whole():
    (cut,) = sample_background({RAIN: 2.0}, "validation", 1, 1.0)
    assert cut == Example(RAIN, "_silence_", None, "validation", 1.6, 1.8, cut.gain)


def test_none_are_cut_where_none_are_asked_for():
    assert sample_background({RAIN: 60.0}, "test", 0, 1.0) == []


# Which sound a training used


def noise(seconds, seed, rate=RATE):
    return np.random.default_rng(seed).normal(0.0, 0.05, round(seconds * rate)).astype("float32")


@pytest.fixture
def rows(tmp_path):
    """What split.csv has of a training on a clip, and on the noise in ``trained/``."""
    folder = tmp_path / "trained"
    folder.mkdir()
    for seed, name in enumerate(("fan", "street")):
        soundfile.write(folder / f"{name}.flac", noise(20, seed), RATE)
    soundfile.write(folder / "none.flac", np.zeros(20 * RATE), RATE)
    for seed, name in enumerate(("yes", "no"), 10):
        soundfile.write(tmp_path / f"{name}.wav", noise(1, seed), RATE)
    durations_s = dict.fromkeys(sorted(folder.iterdir()), 20.0)
    cuts = sample_background(durations_s, "validation", 30, 1.0)
    clips = [Example(tmp_path / "yes.wav", "yes", split="train")]
    clips += [Example(tmp_path / "no.wav", "no", split="test")]
    return [
        SplitRow(
            f"_background_noise_/{example.path.name}" if example.label == SILENCE else "x",
            *(example.label, "", example.split, example.start_s, example.end_s, example.gain),
            read_example(example, RATE).digest,
        )
        for example in [*clips, *cuts]
    ]


def found(rows, *paths):
    return [path.name for path in find_trained(paths, rows, RATE)]


def test_background_of_a_training_is_known_by_its_sound(tmp_path, rows):
    folder = tmp_path / "trained"
    fan = folder / "fan.flac"
    other = tmp_path / "fan.flac"  # the name alone says nothing
    soundfile.write(other, noise(20, 5), RATE)
    renamed = tmp_path / "renamed.wav"
    soundfile.write(renamed, soundfile.read(folder / "street.flac")[0], RATE, subtype="PCM_16")
    shorter = tmp_path / "shorter.wav"
    soundfile.write(shorter, noise(2, 6), RATE)
    assert found(rows, fan, other, renamed, shorter) == ["fan.flac", "renamed.wav"]
    # In digital silence every recording is the same.
    assert found(rows, folder / "none.flac") == []
    assert found([], fan) == []


def test_among_very_much_background_only_that_of_the_name_is_compared(tmp_path, rows):
    many = [dataclasses.replace(rows[-1], path=f"n/{i}.wav", digest="0") for i in range(60)]
    fan = tmp_path / "trained" / "fan.flac"
    renamed = tmp_path / "renamed.flac"
    renamed.write_bytes(fan.read_bytes())
    assert found([*rows, *many], fan, renamed) == ["fan.flac"]


def test_clips_of_a_training_are_known_but_not_those_of_its_test(tmp_path, rows):
    broken = tmp_path / "broken.wav"
    broken.write_bytes(b"RIFF")
    paths = (tmp_path / "yes.wav", tmp_path / "no.wav", broken, tmp_path / "missing.wav")
    assert found(rows, *paths) == ["yes.wav"]
