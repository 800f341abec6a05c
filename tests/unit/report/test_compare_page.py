"""The page of a comparison: what it says in words, and the clips on which models differ."""

import csv

import numpy as np
import pytest
from common_compare import make_comparison

from speechcls.evaluation.significance import Pair, mcnemar
from speechcls.report.compare_page import (
    describe_best,
    describe_pair,
    differing_groups,
    recall_table,
    write_compare_page,
)

LABELS = ("no", "yes")
TRUTH = [0, 1] * 20
FIRST = [*TRUTH[:38], 1, 0]  # wrong on the last two
SECOND = [0] * 40  # always no


def pair(difference, low, high, p, only=(None, None)):
    return Pair("a", "b", difference, low, high, *only, "mcnemar", p, p)


@pytest.mark.parametrize(
    ("one", "n_pairs", "words"),
    [
        (pair(0.08, 0.02, 0.14, 0.004, (2, 10)), 1,
         "b is better than a: 8.0 points more are right (95 % interval 2.0 to 14.0). Chance alone"
         " gives such a difference about once in 250 comparisons."),
        (pair(-0.08, -0.14, -0.02, 1e-9, (90, 10)), 3,
         "a is better than b: 8.0 points more are right (95 % interval 2.0 to 14.0). Chance alone"
         " gives such a difference less than once in 1,000,000 comparisons (corrected for 3"
         " pairs)."),
        (pair(-0.02, -0.05, 0.01, 0.4, (9, 5)), 1,
         "a and b: no difference is shown. The first is 2.0 points ahead (95 % interval -1.0 to"
         " +5.0); chance alone gives such a difference in 40 of 100 comparisons."),
        (pair(0.02, 0.0, 0.05, 0.5, (0, 2)), 1,
         "b and a: no difference is shown. Just one of them is right on 2 clips; it takes 6 at"
         " least to tell two models apart."),
    ],
)  # fmt: skip
def test_significance_in_words(one, n_pairs, words):
    assert describe_pair(one, n_pairs) == words


def test_it_takes_six_clips_at_least():
    assert mcnemar(0, 5) > 0.05 > mcnemar(0, 6)


def test_the_best_is_named_only_where_it_is_shown(tmp_path):
    comparison, *_ = make_comparison(tmp_path, LABELS, TRUTH, [FIRST, SECOND], ("a", "b"))
    assert describe_best(comparison) == "a is better than the other, more than by chance."
    alike, *_ = make_comparison(tmp_path, LABELS, TRUTH, [FIRST, TRUTH], ("a", "b"))
    assert describe_best(alike) == "No model is shown to be better: the differences may be chance."
    three, *_ = make_comparison(tmp_path, LABELS, TRUTH, [FIRST, TRUTH, SECOND], ("a", "b", "c"))
    assert describe_best(three) == "b has the highest accuracy, but a may be as good."


def test_clips_are_grouped_by_who_is_right(tmp_path):
    comparison, predictions, _, dataset = make_comparison(
        tmp_path, LABELS, TRUTH, [FIRST, SECOND], ("a", "b")
    )
    # b is wrong on 20 yes, of which a has all but one; of clip 38, a no, a is wrong and b right.
    first, second = differing_groups(comparison, predictions, dataset)
    assert (first.right, first.wrong, first.n_clips) == (("a",), ("b",), 19)
    assert (second.right, second.wrong, second.n_clips) == (("b",), ("a",), 1)
    [clip] = second.clips
    assert (clip.path, clip.truth, clip.answers) == ("38.wav", "no", (("a", "yes"),))
    assert clip.sound.startswith("data:audio/wav;base64,")
    (tmp_path / "data" / "38.wav").unlink()
    assert differing_groups(comparison, predictions, dataset)[1].clips[0].sound == ""


def test_recall_by_model_the_largest_difference_first(tmp_path):
    comparison, predictions, *_ = make_comparison(
        tmp_path, LABELS, TRUTH, [FIRST, SECOND], ("a", "b")
    )
    assert recall_table(comparison, predictions).rows == [
        ("yes", 20, 0.95, 0.0),
        ("no", 20, 0.95, 1.0),
    ]


def test_of_several_trainings_most_decide(tmp_path):
    rows = [FIRST, FIRST, SECOND, SECOND, SECOND, FIRST]
    comparison, predictions, _, dataset = make_comparison(
        tmp_path, LABELS, TRUTH, rows, ("a", "b"), n_trainings=3
    )
    first, _ = differing_groups(comparison, predictions, dataset)
    assert (first.right, first.n_clips) == (("a",), 19)
    assert first.clips[0].answers == (("b", "no, yes"),)


def test_the_page_has_its_tables_beside_it(tmp_path):
    comparison = make_comparison(tmp_path, ("<b>&", "yes"), TRUTH, [FIRST, SECOND], ("a<i>", "b"))
    page = write_compare_page(*comparison, {}, tmp_path / "out")
    text = page.read_text()
    assert "<b>&" not in text and "a<i>" not in text
    assert "a&lt;i&gt; is better than the other" in text
    assert '<li class="card"><p>a&lt;i&gt; is better than b: 45.0 points more are right' in text
    names = {path.stem for path in (tmp_path / "out" / "tables").iterdir()}
    assert names == {"models", "pairs", "recall_by_model", "differences"}
    with (tmp_path / "out" / "tables" / "differences.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["path", "speaker", "label", "a<i>", "b"]
    assert len(rows) - 1 == int((np.array(FIRST) != SECOND).sum())
