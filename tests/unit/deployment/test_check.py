"""How far an export may be from its model."""

import numpy as np
import pytest

from speechcls.artifact.store import load_artifact
from speechcls.deployment.check import Agreement, check_agreement, compare, made_clips
from speechcls.deployment.export import check_place, export_model
from speechcls.errors import ConfigError, ExportError

MODEL = np.array([[0.8, 0.2], [0.4, 0.6], [0.1, 0.9], [0.55, 0.45]], np.float32)


def test_differences_and_answers_are_counted():
    found = MODEL.copy()
    found[3] = [0.45, 0.55]
    agreement = compare(found, MODEL, np.array([0, 1, 1, 0]))
    assert agreement.largest_difference == pytest.approx(0.1)
    assert (agreement.n_answers, agreement.equal_ratio) == (4, 0.75)
    assert (agreement.accuracy, agreement.model_accuracy) == (0.75, 1.0)


def test_without_known_labels_there_is_no_accuracy():
    agreement = compare(MODEL, MODEL)
    assert (agreement.equal_ratio, agreement.accuracy, agreement.model_accuracy) == (1, None, None)


def test_another_number_of_answers_is_refused():
    with pytest.raises(ExportError, match="3 answers of 2 labels, the model 4 of 2"):
        compare(MODEL[:3], MODEL)


@pytest.mark.parametrize(
    ("agreement", "is_rounded", "words"),
    [
        (Agreement(4, 0.01, 1.0), False, "differs from the model's by 0.01, and 0.001 is allowed"),
        (Agreement(4, float("nan"), 1.0), False, "not finite"),
        (Agreement(4, 0.3, 0.9), True, r"90.0 % of its answers are the model's, and 95 % is"),
        (Agreement(4, 0.3, 0.96, 0.9, 0.95), True, r"loses 5.0 % of accuracy, and 1 % is the most"),
    ],
)
def test_what_is_too_far_is_refused(agreement, is_rounded, words):
    with pytest.raises(ExportError, match=f"^part: .*{words}"):
        check_agreement("part", agreement, is_rounded)


def test_rounded_probabilities_may_differ():
    check_agreement("part", Agreement(4, 0.3, 0.96, 0.941, 0.95), True)


def test_made_sounds_are_the_same_each_time_and_differ_from_each_other():
    artifact = load_artifact("commands-tiny")
    clips = made_clips(artifact, 8)
    assert (clips.windows == made_clips(artifact, 8).windows).all()
    assert not clips.windows[0].any()
    assert len({window.tobytes() for window in clips.windows}) == 8


def test_a_folder_of_something_else_is_never_replaced(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    for force in (False, True):
        with pytest.raises(ExportError, match="exists and is no export"):
            check_place(tmp_path, force)


def test_unknown_targets_and_purposes_are_named(tmp_path):
    artifact = load_artifact("commands-tiny")
    with pytest.raises(ConfigError, match="target: no 'coreml'; there are onnx, onnx-int8"):
        export_model(artifact, "coreml", tmp_path)
    with pytest.raises(ConfigError, match="purpose: no 'fun'; there are size, speed"):
        export_model(artifact, "onnx-int8", tmp_path, purpose="fun")
