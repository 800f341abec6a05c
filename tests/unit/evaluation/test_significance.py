"""McNemar, Holm and the bootstrap on cases worked out by hand."""

import numpy as np
import pytest
from scipy.stats import binomtest

from speechcls.evaluation.metrics import bootstrap_interval, resample_accuracies
from speechcls.evaluation.significance import (
    Contender,
    Pair,
    agreement_chance,
    compare,
    holm_adjust,
    mcnemar,
)


def contender(name, *runs):
    """Each run as a string of 1 (right) and 0 (wrong), a clip a character."""
    return Contender(name, np.array([[mark == "1" for mark in run] for run in runs]))


def bootstrap(contenders, speakers):
    return resample_accuracies([each.right for each in contenders], speakers)


def test_mcnemar_by_hand():
    # Of 6 clips 1 or fewer one way: (1 + 6) / 64, and as much the other way.
    assert mcnemar(1, 5) == mcnemar(5, 1) == pytest.approx(14 / 64)
    assert mcnemar(0, 0) == mcnemar(3, 3) == 1.0
    assert mcnemar(0, 10) == pytest.approx(2 / 1_024)


@pytest.mark.parametrize(("b", "c"), [(22, 7), (0, 3), (40, 41), (300, 250), (2, 4_000)])
def test_mcnemar_is_the_binomial_test(b, c):
    assert mcnemar(b, c) == pytest.approx(binomtest(b, b + c).pvalue, rel=1e-9, abs=1e-300)


def test_holm_by_hand():
    # The smallest times 3, the next times 2 but no smaller than that, the last as it is.
    assert holm_adjust([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm_adjust([0.5, 0.9]) == [1.0, 1.0]
    assert holm_adjust([0.2]) == [0.2]


def test_the_bootstrap_draws_whole_speakers():
    # Of speakers x and y the first model knows x only: what is drawn is xx, xy, yx or yy.
    first, second = contender("a", "1100"), contender("b", "1111")
    drawn = bootstrap([first, second], ["x", "x", "y", "y"])
    assert set(drawn[:, 0]) == {0.0, 0.5, 1.0}
    assert set(drawn[:, 1]) == {1.0}
    assert (drawn[:, 0] == 0.5).mean() == pytest.approx(0.5, abs=0.04)
    assert (drawn[:, 0] == 1.0).mean() == pytest.approx(0.25, abs=0.04)


def test_the_bootstrap_of_a_difference_is_paired():
    # One speaker is hard for both: accuracies vary, their difference of one clip in two does not.
    first, second = contender("a", "10" "00"), contender("b", "11" "01")  # fmt: skip
    drawn = bootstrap([first, second], ["x", "x", "y", "y"])
    assert set(drawn[:, 0]) == {0.0, 0.25, 0.5}
    np.testing.assert_allclose(drawn[:, 1] - drawn[:, 0], 0.5)


def test_the_bootstrap_draws_trainings_too():
    drawn = bootstrap([contender("a", "11", "00"), contender("b", "11")], ["x", "y"])
    assert set(drawn[:, 0]) == {0.0, 0.5, 1.0}
    assert set(drawn[:, 1]) == {1.0}
    assert (drawn[:, 0] == 0.5).mean() == pytest.approx(0.5, abs=0.04)


def test_an_interval_is_that_of_evaluate(rng):
    right = rng.random((1, 60)) < 0.8
    speakers = [f"s{i % 7}" if i % 5 else "" for i in range(60)]
    result = compare([Contender("a", right), Contender("b", ~right)], speakers)
    assert result.intervals[0] == pytest.approx(bootstrap_interval(right[0], speakers))


def test_a_pair_of_models():
    first, second = contender("a", "1" + 20 * "0" + 79 * "1"), contender("b", "0" + 99 * "1")
    [pair] = compare([first, second], [""] * 100).pairs
    assert (pair.only_first, pair.only_second, pair.test) == (1, 20, "mcnemar")
    assert pair.difference == pytest.approx(0.19)
    assert pair.p == pair.p_adjusted == mcnemar(1, 20)
    # 95 % of a normal distribution with the deviation of the mean of 100 differences.
    deviation = np.std([-1.0] + 20 * [1.0] + 79 * [0.0]) / 10
    assert pair.low == pytest.approx(0.19 - 1.96 * deviation, abs=0.015)
    assert pair.high == pytest.approx(0.19 + 1.96 * deviation, abs=0.015)
    assert pair.verdict == "b is better"


def test_equal_models_differ_by_luck():
    [pair] = compare([contender("a", "1101"), contender("b", "1101")], list("wxyz")).pairs
    assert (pair.difference, pair.low, pair.high, pair.p) == (0.0, 0.0, 0.0, 1.0)
    assert pair.verdict == "may be luck"


def test_one_speaker_may_not_decide():
    # Many clips, and McNemar is sure; but all of the difference is one voice of three.
    first = contender("a", 40 * "1" + 20 * "0" + 20 * "1")
    second = contender("b", 80 * "1")
    speakers = 40 * ["x"] + 20 * ["y"] + 20 * ["z"]
    [pair] = compare([first, second], speakers).pairs
    assert pair.p < 1e-5
    assert pair.low == 0.0
    assert not pair.is_significant


def test_several_trainings_are_told_apart_by_the_bootstrap():
    good = contender("good", *3 * ["1" * 38 + "00"])
    poor = contender("poor", "1" * 20 + "0" * 20, "0" * 20 + "1" * 20)
    [pair] = compare([good, poor], [str(i) for i in range(40)]).pairs
    assert (pair.only_first, pair.only_second, pair.test) == (None, None, "bootstrap")
    assert pair.difference == pytest.approx(-0.45)
    assert pair.p == pytest.approx(2 / 2_001)  # no draw of 2,000 the other way
    assert pair.verdict == "good is better"
    [same] = compare([good, good], [str(i) for i in range(40)]).pairs
    assert same.verdict == "may be luck"


def test_many_pairs_ask_for_more():
    """One of 15 pairs with p = 0.02 is what luck brings."""
    pair = Pair(
        "a", "b", 0.1, 0.02, 0.2, 2, 9, "mcnemar", 0.02, holm_adjust([0.02] + 14 * [0.5])[0]
    )
    assert pair.p_adjusted == pytest.approx(0.3)
    assert pair.verdict == "may be luck"


def test_models_on_one_speaker_are_compared_clip_by_clip():
    first, second = np.arange(60) < 30, np.arange(60) < 40
    contenders = [Contender("a", first[None]), Contender("b", second[None])]
    alone = compare(contenders, ["ann"] * 60)
    assert alone.pairs[0].low < alone.pairs[0].difference < alone.pairs[0].high
    assert alone.pairs == compare(contenders, [""] * 60).pairs


def test_how_often_random_clips_agree_on_a_label():
    """Of 2 clips of each of 2 labels, 2 drawn: 6 pairs, of which 2 are of one label."""
    assert agreement_chance([2, 2], 2, 2) == pytest.approx(1 / 3)
    assert agreement_chance([2, 2], 2, 1) == 1
    assert agreement_chance([3, 1], 2, 2) == pytest.approx(3 / 6)
    assert agreement_chance([4, 4, 4], 4, 4) == pytest.approx(3 / 495)
    assert agreement_chance([1, 1, 1], 2, 2) == 0
