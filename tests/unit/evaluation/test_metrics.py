"""Scores of a case worked out by hand, and of the oracle scikit-learn."""

import json

import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn.metrics import balanced_accuracy_score, classification_report

from speechcls.evaluation.metrics import (
    bootstrap_interval,
    has_single_speaker,
    interval_of,
    reliability_bins,
    resample_accuracies,
    score,
    wilson_interval,
    worst_confusion,
)
from speechcls.labels import SILENCE, UNKNOWN

#           a  a  a  a  b  b  c
TRUTH = np.array([0, 0, 0, 0, 1, 1, 2])
ANSWER = np.array([0, 0, 0, 1, 1, 0, 0])
LABELS = ("a", "b", "c", "never")


def test_a_case_by_hand() -> None:
    scores = score(TRUTH, ANSWER, LABELS, [""] * 7)
    assert scores.confusion.tolist() == [[3, 1, 0, 0], [1, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]]
    assert scores.accuracy == pytest.approx(4 / 7)
    a, b, c, never = scores.per_label
    assert (a.precision, a.recall, a.n_clips) == pytest.approx((3 / 5, 3 / 4, 4))
    assert a.f1 == pytest.approx(2 * 0.6 * 0.75 / 1.35)
    assert (b.precision, b.recall, b.f1) == pytest.approx((1 / 2, 1 / 2, 1 / 2))
    assert (c.precision, c.recall, c.f1, c.n_clips) == (0, 0, 0, 1)
    assert never.n_clips == 0
    assert scores.macro_f1 == pytest.approx((2 / 3 + 1 / 2 + 0) / 3)  # "never" does not count
    assert scores.balanced_accuracy == pytest.approx((3 / 4 + 1 / 2 + 0) / 3)
    assert scores.most_confused() == [("a", "b", 1), ("b", "a", 1), ("c", "a", 1)]
    assert scores.most_confused(1) == [("a", "b", 1)]


def test_equal_to_scikit_learn() -> None:
    rng = np.random.default_rng(3)
    truth, answer = rng.integers(0, 5, 300), rng.integers(0, 5, 300)
    names = list("abcde")
    scores = score(truth, answer, names, [""] * 300)
    report = classification_report(truth, answer, target_names=names, output_dict=True)
    assert scores.accuracy == pytest.approx(report["accuracy"])
    assert scores.macro_f1 == pytest.approx(report["macro avg"]["f1-score"])
    assert scores.balanced_accuracy == pytest.approx(balanced_accuracy_score(truth, answer))
    for name, row in zip(names, scores.per_label, strict=True):
        assert row.precision == pytest.approx(report[name]["precision"])
        assert row.recall == pytest.approx(report[name]["recall"])


def test_interval_of_independent_clips_is_the_binomial_one() -> None:
    is_right = np.arange(400) < 360
    low, high = bootstrap_interval(is_right, [""] * 400)
    half = 1.96 * np.sqrt(0.9 * 0.1 / 400)
    assert low == pytest.approx(0.9 - half, abs=0.006)
    assert high == pytest.approx(0.9 + half, abs=0.006)


def test_interval_is_wider_when_clips_of_a_speaker_go_together() -> None:
    is_right = np.repeat(np.arange(20) < 18, 20)  # two of twenty speakers are never understood
    by_speaker = bootstrap_interval(is_right, np.repeat(np.arange(20).astype(str), 20).tolist())
    by_clip = bootstrap_interval(is_right, [""] * 400)
    assert by_speaker[1] - by_speaker[0] > 3 * (by_clip[1] - by_clip[0])


def test_the_clips_of_a_single_speaker_are_drawn_one_by_one() -> None:
    is_right = np.arange(400) < 360
    alone = bootstrap_interval(is_right, ["ann"] * 400)
    assert alone == bootstrap_interval(is_right, [""] * 400)
    # With silence, which nobody speaks, it is still one speaker.
    assert bootstrap_interval(is_right, ["ann"] * 390 + [""] * 10) == alone


def test_an_interval_is_never_narrower_than_that_of_independent_clips() -> None:
    z2 = 1.959963984540054**2
    speakers = ["ann", "ann", "bob", "cat"]
    assert bootstrap_interval(np.ones(4, dtype=bool), speakers) == (
        pytest.approx(4 / (4 + z2)),
        pytest.approx(1.0),
    )
    # One right, one wrong of each speaker: whoever is drawn, it is a half.
    low, high = bootstrap_interval(np.arange(4) % 2 == 0, ["ann", "ann", "bob", "bob"])
    assert (low, high) == (pytest.approx(0.5 - (high - 0.5)), pytest.approx(0.8499, abs=1e-3))
    # A model without a mistake is no less certain than one with a mistake.
    eighty = np.repeat(list("abcdefgh"), 10).tolist()
    perfect, nearly = (bootstrap_interval(np.arange(80) >= n, eighty) for n in (0, 1))
    assert perfect[0] > nearly[0]


def test_silence_does_not_hide_that_there_is_one_speaker() -> None:
    assert has_single_speaker(["ann"] * 9 + [""] * 3)
    assert not has_single_speaker(["ann"] + [""] * 99)  # of most nobody knows who speaks
    assert not has_single_speaker(["ann"] * 2 + [""] * 3)
    assert not has_single_speaker(["ann", ""])  # half are not most
    assert not has_single_speaker(["ann", "bob"])
    assert not has_single_speaker(["", ""])


def test_number_of_speakers() -> None:
    assert score(TRUTH, ANSWER, LABELS, ["x", "x", "y", "y", "", "", "x"]).n_speakers == 2


def test_dict_holds_every_figure() -> None:
    scores = score(TRUTH, ANSWER, LABELS, ["x", "x", "y", "y", "", "", "x"])
    result = scores.to_dict()
    nothing = {"precision": 0.0, "recall": 0.0, "f1": 0.0}
    assert result == {
        "n_clips": 7,
        "n_speakers": 2,
        "accuracy": pytest.approx(4 / 7),
        "accuracy_low": scores.accuracy_low,
        "accuracy_high": scores.accuracy_high,
        "balanced_accuracy": pytest.approx((3 / 4 + 1 / 2 + 0) / 3),
        "command_recall": None,
        "macro_f1": pytest.approx((2 / 3 + 1 / 2 + 0) / 3),
        "labels": ["a", "b", "c", "never"],
        "per_label": {
            "a": {"precision": 0.6, "recall": 0.75, "f1": pytest.approx(2 / 3), "n_clips": 4},
            "b": {"precision": 0.5, "recall": 0.5, "f1": 0.5, "n_clips": 2},
            "c": {**nothing, "n_clips": 1},
            "never": {**nothing, "n_clips": 0},
        },
        "confusion": [[3, 1, 0, 0], [1, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]],
        "most_confused": [
            {"truth": "a", "predicted": "b", "n_clips": 1},
            {"truth": "b", "predicted": "a", "n_clips": 1},
            {"truth": "c", "predicted": "a", "n_clips": 1},
        ],
    }
    assert json.dumps(result["confusion"][0]) == "[3, 1, 0, 0]"  # counts, not 3.0
    assert result["accuracy_low"] < 4 / 7 < result["accuracy_high"]


def test_the_ten_most_frequent_mistakes_come_first_and_equal_ones_in_order() -> None:
    wrong = [(t, p) for t in range(5) for p in range(5) if t != p]
    truth, answer = np.array([*wrong, (4, 3)]).T
    pairs = score(truth, answer, list("abcde"), [""] * 21).most_confused()
    expected = [("e", "d", 2), *(("abcde"[t], "abcde"[p], 1) for t, p in wrong[:9])]
    assert pairs == expected


def test_the_worst_confusion_is_the_one_that_costs_most_recall() -> None:
    confusion = np.array([[90, 10, 0], [0, 8, 2], [0, 0, 0]])
    assert worst_confusion(("a", "b", "c"), confusion) == ("b", "c", 2)  # 2 of 10, not 10 of 100
    assert worst_confusion(("a", "b", "c"), np.diag([3, 2, 0])) is None


COMMANDS = ("yes", "no", UNKNOWN, SILENCE)


def test_a_model_that_says_unknown_to_everything_is_not_praised() -> None:
    truth = np.repeat([0, 1, 2], [10, 10, 80])
    scores = score(truth, np.full(100, 2), COMMANDS, [""] * 100)
    assert scores.accuracy == 0.8
    assert scores.balanced_accuracy == pytest.approx(1 / 3)  # no clip is silence
    assert scores.command_recall == 0.0
    assert scores.recalls_below(0.5) == {"yes": 0.0, "no": 0.0}
    assert scores.never_predicted() == ["yes", "no", SILENCE]
    assert scores.without_clips() == [SILENCE]


def test_recall_of_the_commands_is_that_of_the_labels_that_are_not_reserved() -> None:
    truth, answer = np.array([0, 0, 0, 0, 1, 1, 2]), np.array([0, 0, 0, 2, 1, 2, 2])
    assert score(truth, answer, COMMANDS, [""] * 7).command_recall == pytest.approx(
        (3 / 4 + 1 / 2) / 2
    )
    assert score(truth, answer, (*COMMANDS[:2], "up"), [""] * 7).command_recall is None
    only_unknown = score(np.array([2, 2]), np.array([2, 2]), COMMANDS, [""] * 2)
    assert only_unknown.command_recall is None
    assert only_unknown.balanced_accuracy == 1.0


def test_labels_of_which_no_clip_is_recognised() -> None:
    # "never" has no clip and is not among them.
    assert score(TRUTH, ANSWER, LABELS, [""] * 7).never_recognised() == ["c"]


@pytest.mark.parametrize(
    ("truth", "answer", "expected"),
    [
        ([0, 1, 2], [1, 1, 1], "b"),
        ([0, 1, 2], [1, 1, 2], None),
        ([1, 1, 1], [1, 1, 1], None),  # there is one label only, and it is right
        ([0, 0, 1], [2, 2, 2], "c"),
    ],
)
def test_a_model_with_one_answer_for_several_labels(truth, answer, expected) -> None:
    scores = score(np.array(truth), np.array(answer), list("abc"), [""] * 3)
    assert scores.only_answer() == expected


def test_bins_of_confidence_by_hand() -> None:
    # Fifteenths: 0.6 is the upper bound of the ninth, 0.61 is in the tenth, 0.99 in the last.
    confidence = np.array([0.6, 0.61, 0.65, 0.99])
    bins = reliability_bins(np.stack([confidence, 1 - confidence], axis=1), np.array([0, 0, 1, 0]))
    assert [(b.low, b.high, b.n_clips, b.n_right) for b in bins] == [
        (8 / 15, 9 / 15, 1, 1),
        (9 / 15, 10 / 15, 2, 1),
        (14 / 15, 1.0, 1, 1),
    ]
    assert [b.confidence for b in bins] == pytest.approx([0.6, 0.63, 0.99])
    assert bins[1].gap == pytest.approx(0.13)


def test_confidence_a_rounding_outside_of_0_to_1_is_in_the_outermost_bins() -> None:
    above = np.nextafter(np.float32(1), np.float32(2))
    bins = reliability_bins(np.array([[0, 0], [above, 0]], np.float32), np.array([0, 0]))
    assert [(b.low, b.high) for b in bins] == [(0.0, 1 / 15), (14 / 15, 1.0)]


@pytest.mark.parametrize(("n_right", "n"), [(0, 1), (1, 1), (0, 20), (3, 7), (90, 100), (100, 100)])
def test_wilson_is_that_of_scipy(n_right, n) -> None:
    expected = binomtest(n_right, n).proportion_ci(method="wilson")
    assert wilson_interval(n_right, n) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_wilson_of_nothing_is_nan() -> None:
    low, high = wilson_interval(np.array([0, 1]), np.array([0, 2]))
    assert np.isnan([low[0], high[0]]).all()
    assert 0 < low[1] < 0.5 < high[1] < 1


def test_wilson_stays_within_0_and_1_whatever_is_rounded() -> None:
    n = np.arange(1, 2_000)
    assert wilson_interval(0, n)[0].min() == 0  # unclipped it would be below at 27
    assert wilson_interval(n, n)[1].max() == 1  # and above at 16


def test_the_interval_is_of_95_per_cent_of_what_was_resampled() -> None:
    resampled = np.arange(1_001) / 1_000
    assert interval_of(resampled, 0.5, 10_000) == pytest.approx((0.025, 0.975))


def test_the_draws_are_those_of_the_seed() -> None:
    clips = np.arange(465)  # of 30 speakers, i + 1 of speaker i
    is_right, speakers = clips % 61 < 45, np.repeat(np.arange(30), np.arange(1, 31)).astype(str)
    assert bootstrap_interval(is_right, speakers) == bootstrap_interval(is_right, speakers, 0)
    assert bootstrap_interval(is_right, speakers, 3) != bootstrap_interval(is_right, speakers, 4)
    runs = np.array([is_right, ~is_right, is_right])  # trainings are drawn as well
    first, again = (resample_accuracies([runs], speakers, 5) for _ in range(2))
    assert np.array_equal(first, again)
