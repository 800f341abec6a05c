"""When a model is called one not to rely on."""

import numpy as np

from speechcls.cli.scores import describe_failures, describe_trust
from speechcls.evaluation.metrics import score
from speechcls.labels import SILENCE, UNKNOWN

LABELS = ("yes", "no", UNKNOWN, SILENCE)


def scores_of(rows):
    """Scores of a confusion matrix: rows truth, columns prediction."""
    truth, predicted = np.nonzero(np.array(rows))
    counts = np.array(rows)[truth, predicted]
    return score(np.repeat(truth, counts), np.repeat(predicted, counts), LABELS, [""] * sum(counts))


def test_a_good_model_is_not_talked_down():
    assert describe_trust(scores_of([[9, 0, 1, 0], [0, 8, 2, 0], [1, 1, 8, 0], [0, 0, 0, 5]])) == []


def test_words_that_are_not_recognised():
    [reason] = describe_trust(scores_of([[5, 5, 0, 0], [0, 9, 1, 0], [0, 0, 10, 0], [0, 0, 0, 5]]))
    assert "30.0 % of its words are not recognised" in reason  # 50 of 100, and 10 of 100


def test_other_words_that_are_taken_for_its_own():
    [reason] = describe_trust(scores_of([[10, 0, 0, 0], [0, 10, 0, 0], [7, 0, 1, 0], [0, 0, 0, 5]]))
    assert "87.5 % of other words are not told from its own" in reason


def test_too_few_clips_to_tell():
    [reason] = describe_trust(scores_of([[4, 0, 0, 0], [0, 5, 0, 0], [0, 0, 0, 0], [0, 0, 0, 1]]))
    assert reason.startswith("fewer than 5 validation clips each of yes:")


def test_who_recognises_no_other_word_is_told_what_helps():
    failures = describe_failures(
        scores_of([[10, 0, 0, 0], [0, 10, 0, 0], [7, 1, 0, 0], [0, 0, 1, 5]])
    )
    assert failures == [
        "no validation clip of _unknown_ is recognised",
        "not to be relied on: it takes every other word for one of its own; a folder _unknown_ of"
        " words that are said near them helps most",
    ]
