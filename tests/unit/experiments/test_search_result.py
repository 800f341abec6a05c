"""Whether the gain of a search is more than luck."""

import pytest

from speechcls.experiments.search_result import TrialRow, choose_best, compare_chosen

CLIPS = [f"clip{i}" for i in range(20)]
NOBODY = dict.fromkeys(CLIPS, "")
DEFAULT = {clip: i >= 8 for i, clip in enumerate(CLIPS)}
ALL_RIGHT = dict.fromkeys(CLIPS, True)


def test_the_p_value_is_multiplied_by_the_number_of_trials_that_were_chosen_from():
    pair = compare_chosen(DEFAULT, ALL_RIGHT, NOBODY, 4)
    assert (pair.only_first, pair.only_second) == (0, 8)
    assert pair.difference == pytest.approx(8 / 20)
    assert pair.p == 2 / 2**8  # eight clips, all won by one
    assert pair.p_adjusted == 4 * pair.p
    assert pair.is_significant


def test_the_best_of_many_needs_a_larger_gain():
    pair = compare_chosen(DEFAULT, ALL_RIGHT, NOBODY, 7)
    assert pair.p_adjusted == pytest.approx(7 / 128)
    assert not pair.is_significant
    assert compare_chosen(DEFAULT, ALL_RIGHT, NOBODY, 1_000).p_adjusted == 1.0


def test_a_gain_by_one_speaker_of_many_is_not_significant():
    """Her clips are right or wrong together: McNemar's test alone would take it for a gain."""
    speakers = {clip: "ann" if i < 8 else f"s{i}" for i, clip in enumerate(CLIPS)}
    pair = compare_chosen(DEFAULT, ALL_RIGHT, speakers, 1)
    assert pair.p_adjusted < 0.05
    assert pair.low == 0.0
    assert not pair.is_significant


def test_clips_that_one_of_them_did_not_have_are_left_out():
    second = {clip: True for clip in CLIPS[2:]} | {"a cut of another length": False}
    pair = compare_chosen(DEFAULT, second, NOBODY, 1)
    assert pair.only_second == 6
    assert pair.difference == pytest.approx(6 / 18)


def test_the_first_of_equal_trials_is_the_best():
    rows = [TrialRow(i, "finished", score, 1, 1.0, {}) for i, score in enumerate((0.5, 0.9, 0.9))]
    assert choose_best(rows).trial == 1
    assert choose_best(rows[::-1]).trial == 1
