"""Confident learning, by hand and on planted wrong labels."""

import numpy as np
import pytest

from speechcls.data_quality.label_errors import find_label_errors


def test_thresholds_by_hand():
    probabilities = np.array(
        [[0.9, 0.1], [0.7, 0.3], [0.1, 0.9], [0.2, 0.8], [0.4, 0.6], [0.45, 0.55]], np.float32
    )
    given = np.array([0, 0, 0, 1, 1, 0])
    # Self-confidence of label 1 is (0.8 + 0.6) / 2 = 0.7: clip 2 reaches it, clip 5 does not.
    [error] = find_label_errors(probabilities, given, threshold_scale=1.0)
    assert (error.clip, error.likely) == (2, 1)
    assert error.margin == pytest.approx(0.8)
    # 0.7 times that is 0.49, which clip 5 reaches too; the larger margin comes first.
    assert [e.clip for e in find_label_errors(probabilities, given, threshold_scale=0.7)] == [2, 5]


def test_a_label_of_low_probability_is_judged_by_its_own_measure():
    # The model gives 0.5 to what is label 1: clip 4 reaches that, though 0.5 is not a majority.
    sure, unsure = [0.9, 0.05, 0.05], [0.3, 0.5, 0.2]
    probabilities = np.array([sure, sure, unsure, unsure, unsure], np.float32)
    given = np.array([0, 0, 1, 1, 0])
    [error] = find_label_errors(probabilities, given, threshold_scale=1.0)
    assert (error.clip, error.likely) == (4, 1)


def test_a_label_that_does_not_occur_is_never_the_likely_one():
    probabilities = np.array([[0.1, 0.1, 0.8], [0.9, 0.1, 0.0], [0.1, 0.9, 0.0]], np.float32)
    assert find_label_errors(probabilities, np.array([0, 0, 1])) == []


def test_wrong_labels_are_found_and_right_ones_are_not():
    rng = np.random.default_rng(0)
    truth = rng.integers(5, size=1_000)
    logits = rng.normal(0, 1, (1_000, 5))
    logits[np.arange(1_000), truth] += 6
    probabilities = (np.exp(logits) / np.exp(logits).sum(1, keepdims=True)).astype(np.float32)
    given = truth.copy()
    given[:50] = (truth[:50] + rng.integers(1, 5, 50)) % 5
    errors = find_label_errors(probabilities, given)
    found = {error.clip for error in errors if error.clip < 50}
    assert len(found) >= 47
    assert len(errors) - len(found) <= 2
    assert all(error.likely == truth[error.clip] for error in errors if error.clip < 50)
    assert [e.margin for e in errors] == sorted((e.margin for e in errors), reverse=True)
