"""Scores of a case worked out by hand, and of the oracle scikit-learn."""

import numpy as np
import pytest
from sklearn.metrics import classification_report

from speechcls.evaluation.metrics import bootstrap_interval, has_single_speaker, score

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
    assert not has_single_speaker(["ann", "bob"])
    assert not has_single_speaker(["", ""])


def test_number_of_speakers() -> None:
    assert score(TRUTH, ANSWER, LABELS, ["x", "x", "y", "y", "", "", "x"]).n_speakers == 2


def test_dict_holds_every_figure() -> None:
    result = score(TRUTH, ANSWER, LABELS, [""] * 7).to_dict()
    assert result["labels"] == list(LABELS)
    assert result["per_label"]["b"] == {"precision": 0.5, "recall": 0.5, "f1": 0.5, "n_clips": 2}
    assert result["confusion"][0] == [3, 1, 0, 0]
    assert result["accuracy_low"] <= result["accuracy"] <= result["accuracy_high"]
