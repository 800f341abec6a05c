"""The lines, points and words of the pictures; not their pixels."""

import math

import numpy as np
import pytest

from speechcls.evaluation.significance import Contender, compare
from speechcls.experiments.figures import draw_delayed_recall, draw_learning_curves, draw_sizes
from speechcls.render.curves import draw_curves

HISTORY = [
    {"epoch": 1, "loss": 2.0, "validation_loss": 1.5, "validation_accuracy": 0.4, "is_best": True},
    {"epoch": 2, "loss": 1.0, "validation_loss": 0.8, "validation_accuracy": 0.9, "is_best": True},
    {"epoch": 3, "loss": 0.5, "validation_loss": 0.9, "validation_accuracy": 0.8, "is_best": False},
]


def points(line):
    return [*zip(*line.get_data(), strict=True)]


def test_curves_of_one_training():
    loss, accuracy = draw_curves(HISTORY).axes
    training, validation = loss.lines
    assert points(training) == [(1, 2.0), (2, 1.0), (3, 0.5)]
    assert points(validation) == [(1, 1.5), (2, 0.8), (3, 0.9)]
    assert points(accuracy.lines[0]) == [(1, 40.0), (2, 90.0), (3, 80.0)]
    assert points(accuracy.lines[1]) == [(2, 90.0)]
    assert "90.0 % in epoch 2" in accuracy.get_title("left")


def with_balanced(history):
    return [
        epoch | {"validation_balanced_accuracy": epoch["validation_accuracy"] / 2}
        for epoch in history
    ]


def test_curves_are_of_what_the_best_epoch_is_chosen_by():
    _, accuracy = draw_curves(with_balanced(HISTORY)).axes
    assert points(accuracy.lines[0]) == [(1, 20.0), (2, 45.0), (3, 40.0)]
    assert "balanced accuracy: 45.0 % in epoch 2" in accuracy.get_title("left")
    [axes] = draw_learning_curves({"gru": [with_balanced(HISTORY)]}).axes
    assert points(axes.lines[0]) == [(1, 20.0), (2, 45.0), (3, 40.0)]
    assert axes.get_ylabel() == "validation balanced accuracy, %"


def test_beside_an_older_model_curves_are_of_accuracy():
    [axes] = draw_learning_curves({"new": [with_balanced(HISTORY)], "old": [HISTORY]}).axes
    assert [points(line) for line in axes.lines] == [[(1, 40.0), (2, 90.0), (3, 80.0)]] * 2
    assert axes.get_ylabel() == "validation accuracy, %"


def test_a_single_epoch_is_marked():
    assert draw_curves(HISTORY[:1]).axes[0].lines[0].get_marker() == "o"
    assert draw_learning_curves({"gru": [HISTORY[:1]]}).axes[0].lines[0].get_marker() == "o"


def test_learning_curves_have_a_line_per_seed_and_their_mean():
    shorter = [{"validation_accuracy": 0.6}, {"validation_accuracy": 0.7}]
    [axes] = draw_learning_curves({"rnn": [HISTORY, shorter], "lstm": [shorter]}).axes
    first, second, mean, lstm = axes.lines
    assert [y for _, y in points(first)] == [40.0, 90.0, 80.0]
    assert [y for _, y in points(second)] == [60.0, 70.0]
    assert points(mean) == [(1, 50.0), (2, 80.0)]
    assert [text.get_text() for text in axes.get_legend().texts] == [
        "rnn, 80.0 % at the end",
        "lstm, 70.0 % at the end",
    ]
    assert mean.get_color() == first.get_color() != lstm.get_color()


def test_accuracy_against_size():
    right = np.array([[True] * 8 + [False] * 2])
    contenders = [Contender(name, right ^ flip) for name, flip in (("a", False), ("b", True))]
    comparison = compare([*contenders, Contender("c", right)], [str(i) for i in range(10)])
    [axes] = draw_sizes(comparison, {"a": 20_000, "b": 90_000, "c": None}).axes
    assert [points(bars.lines[0]) for bars in axes.containers] == [
        [(20_000, 80.0)],
        [(90_000, pytest.approx(20.0))],
    ]
    assert [text.get_text() for text in axes.get_legend().texts] == ["a, 80.0 %", "b, 20.0 %"]
    assert axes.get_xscale() == "log"
    # Bars reach from one bound of the interval to the other.
    [segment] = axes.containers[0].lines[2][0].get_segments()
    low, high = comparison.intervals[0]
    assert segment[:, 1] == pytest.approx([100 * low, 100 * high])


def test_unknown_sizes_leave_an_empty_picture():
    right = np.ones((1, 4), bool)
    comparison = compare([Contender("a", right), Contender("b", right)], list("wxyz"))
    [axes] = draw_sizes(comparison, {"a": None, "b": None}).axes
    assert len(axes.containers) == 0


def test_delayed_recall_has_a_panel_per_step_and_a_line_per_network():
    curves = {
        (10, "rnn"): {0.0: (0.9, 0.1), 3.0: (0.2, 0.0)},
        (10, "lstm"): {0.0: (0.9, math.nan), 3.0: (0.8, math.nan)},
        (40, "rnn"): {0.0: (0.9, 0.0), 3.0: (0.5, 0.0)},
    }
    left, right = draw_delayed_recall(curves, 0.25).axes
    rnn, lstm, chance = left.lines
    assert points(rnn) == [(0.0, 90.0), (3.0, pytest.approx(20.0))]
    assert points(lstm) == [(0.0, 90.0), (3.0, 80.0)]
    assert set(chance.get_ydata()) == {25.0}
    assert points(right.lines[0]) == [(0.0, 90.0), (3.0, 50.0)]
    assert right.lines[0].get_color() == rnn.get_color()
    assert [axes.get_title("left") for axes in (left, right)] == [
        "10 ms per step",
        "40 ms per step",
    ]
    bounds = left.collections[0].get_datalim(left.transData)
    assert (bounds.y0, bounds.y1) == pytest.approx((20.0, 100.0))
