"""Where held-out silence is cut from, how long and how loud it is, and that it stays the same."""

from collections import Counter
from pathlib import Path

import pytest

from speechcls.data.background import sample_background, split_range
from speechcls.layouts.examples import Example

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
