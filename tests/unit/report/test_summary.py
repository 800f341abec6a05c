"""What a report says first, and the order of its confusion matrix."""

import shlex

import numpy as np
from common_report import make_predictions, random_predictions

from speechcls.report.matrix import chosen_labels, make_matrix, order_labels
from speechcls.report.mistakes import played_clips
from speechcls.report.results import Results
from speechcls.report.summary import find_weaknesses, next_steps, worst_pairs
from speechcls.report.tables import label_table


def results_of(labels, truth, predicted, confidence=0.6, speakers=None, **about):
    rows = np.full((len(truth), len(labels)), (1 - confidence) / (len(labels) - 1))
    rows[np.arange(len(truth)), predicted] = confidence
    return Results(make_predictions(labels, truth, rows, speakers, **about))


def test_labels_that_are_confused_stand_together():
    # 0 with 3 often, 1 with 4 often, 2 never.
    confusion = np.diag([10] * 5)
    confusion[0, 3] = confusion[3, 0] = confusion[1, 4] = 5
    order = order_labels(confusion)
    assert sorted(order) == list(range(5))
    assert abs(order.index(0) - order.index(3)) == 1
    assert abs(order.index(1) - order.index(4)) == 1
    assert order[-1] == 2  # those that are never confused follow


def test_without_confusions_the_order_is_that_of_the_labels():
    assert order_labels(np.diag([3, 0, 2])) == [0, 1, 2]
    two = np.array([[3, 1, 0], [0, 4, 0], [0, 0, 1]])
    assert order_labels(two) == [0, 1, 2]


def test_of_too_many_labels_those_with_most_mistakes_are_chosen():
    confusion = np.diag([2] * 130)
    for i in range(0, 120, 2):
        confusion[i, i + 1] = 1
    confusion[129, 128] = 9
    chosen = chosen_labels(confusion)
    assert len(chosen) == len(set(chosen)) == 100
    assert {128, 129} <= set(chosen)
    assert not set(chosen) & set(range(120, 128))


def test_cells_of_the_matrix():
    # Of four clips of x one is predicted as y; z does not occur.
    matrix = make_matrix(results_of("xyz", [0, 0, 0, 0, 1], [0, 0, 0, 1, 1]))
    assert matrix.labels == ("x", "y", "z")
    assert matrix.n_clips == (4, 1, 0)
    right, wrong, nothing = matrix.cells[0]
    assert (right.n_clips, right.percent, right.shade) == (3, 75.0, "r6")  # 6 * sqrt(0.75) = 5.2
    assert (wrong.n_clips, wrong.percent, wrong.shade) == (1, 25.0, "w3")
    assert nothing is None
    assert matrix.cells[1][1].shade == "r6"
    assert matrix.cells[2] == (None, None, None)


def test_the_worst_pairs_have_their_most_confident_mistake():
    rows = [[0.1, 0.9, 0], [0.3, 0.7, 0], [0.4, 0, 0.6], [1, 0, 0], [0, 0.8, 0.2]]
    results = Results(make_predictions("abc", [0, 0, 0, 0, 1], rows))
    first, second = worst_pairs(results)
    assert (first.truth, first.predicted, first.n_clips, first.clip) == ("a", "b", 2, 0)
    assert first.of_label.value == 0.5
    assert (second.truth, second.predicted, second.clip) == ("a", "c", 2)


def test_clips_of_the_worst_pairs_are_played_though_others_are_more_confident():
    labels = [f"w{i}" for i in range(12)]
    # 20 different mistakes with 0.9, and one pair twice with 0.5.
    wrong = [(t, p) for t in range(5) for p in range(5) if t != p]
    truth = [t for t, _ in wrong] + [10, 10, *range(12)]
    predicted = [p for _, p in wrong] + [11, 11, *range(12)]
    rows = np.full((len(truth), 12), 0.001)
    rows[np.arange(len(truth)), predicted] = [0.9] * 20 + [0.5] * 2 + [0.9] * 12
    predictions = make_predictions(labels, truth, rows)
    assert worst_pairs(Results(predictions))[0].clip == 20
    assert played_clips(predictions)[:20] == predictions.mistakes(20)
    assert 20 in played_clips(predictions)[20:]


def test_a_weakness_is_clear_where_chance_would_rarely_make_it():
    # 100 clips of two speakers, one of whom is always wrong.
    truth = [0] * 100
    predicted = [0] * 80 + [1] * 20
    speakers = ["ann"] * 80 + ["bob"] * 20
    found = find_weaknesses(results_of("xy", truth, predicted, speakers=speakers))
    [speaker] = [one for one in found if one.kind == "speaker"]
    assert (speaker.name, speaker.n_clips, speaker.right.value) == ("bob", 20, 0.0)
    assert speaker.is_clear  # 0.2 ** 20
    assert found[0] is speaker
    # One of three speakers has 5 of 6 right where 17 of 18 are: 3 * (1 - (17 / 18) ** 6) = 0.87.
    speakers = ["a"] * 6 + ["b"] * 6 + ["c"] * 6
    few = find_weaknesses(results_of("xy", [0] * 18, [1] + [0] * 17, speakers=speakers))
    [speaker] = [one for one in few if one.kind == "speaker"]
    assert (speaker.name, speaker.is_clear) == ("a", False)


def test_without_a_mistake_there_is_no_weakness():
    results = results_of("xy", [0, 1] * 20, [0, 1] * 20, speakers=["a", "b"] * 20)
    assert find_weaknesses(results) == []
    assert worst_pairs(results) == []


def commands_of(results):
    return {step.kind: step for step in next_steps(results)}


def test_the_next_step_after_mistakes_looks_into_one_and_at_its_label():
    results = results_of(
        ("go", "no"), [0] * 50 + [1] * 50, [1] * 5 + [0] * 45 + [1] * 50, 0.95,
        model_place="models/my own", data_place="data",
    )  # fmt: skip
    steps = commands_of(results)
    assert list(steps) == ["explain", "check labels", "record", "listen"]
    assert steps["explain"].words["clip"] == "data/go/0.wav"
    assert shlex.split(steps["explain"].words["model"]) == ["models/my own"]
    assert steps["check labels"].reason.startswith("5 mistakes are made with a confidence of 90 %")
    assert steps["record"].words["label"] == "go"


def test_the_next_step_where_a_label_is_lost_is_to_look_at_its_recordings():
    steps = next_steps(results_of(("go", "no"), [0] * 50 + [1] * 50, [1] * 100))
    assert steps[0].kind == "check"
    assert "No clip of go is recognised" in steps[0].reason
    assert steps[-1].kind == "train"


def test_a_clip_of_a_manifest_is_named_as_it_is():
    results = results_of(("go", "no"), [0, 1], [1, 1], data_place="lists/clips.csv")
    assert commands_of(results)["explain"].words["clip"] == "go/0.wav"


def test_files_of_before_have_no_places_and_name_model_and_data():
    steps = commands_of(results_of(("go", "no"), [0, 1], [1, 1]))
    assert (steps["explain"].words["model"], steps["explain"].words["data"]) == ("toy", "toys")


def test_a_good_calibrated_model_is_to_be_tried():
    right = [0, 1] * 200
    assert [step.kind for step in next_steps(results_of("ab", right, right, 0.99))] == ["listen"]


def test_the_table_of_labels_holds_scores_and_curves_the_hardest_first():
    results = Results(random_predictions("abc", 90, 6))
    table = label_table(results)
    assert [name for name, _ in table.columns][-2:] == ["area under ROC", "equal error rate"]
    f1 = [row[5].value for row in table.rows]
    assert f1 == sorted(f1)
    areas = {curve.label: curve.area for curve in results.curves}
    assert {row[0]: row[6] for row in table.rows} == areas
