"""Thresholds by hand, the temperature in every engine, and calibration.json."""

import dataclasses
import json

import numpy as np
import pytest

from speechcls.artifact.calibration import Calibration, load_calibration, save_calibration
from speechcls.artifact.format import Artifact
from speechcls.config import FeatureConfig, NetworkConfig
from speechcls.errors import ArtifactError, ConfigError
from speechcls.evaluation.calibration import NoiseAlarms, lower_where_shown, sum_by_kind
from speechcls.evaluation.detection_metrics import (
    ValidationDetections,
    best_threshold,
    highest_threshold,
    raise_thresholds,
)
from speechcls.runtime.detection import DEFAULT_THRESHOLD, Event, choose_thresholds
from speechcls.runtime.session import apply_temperature

CALIBRATION = Calibration({"yes": 0.7, "no": 0.9}, 0.5, 2.0, 1, 2.4, 1.5, 10, 0.1, 0.02)


@pytest.fixture
def artifact(tmp_path):
    labels = ("yes", "no", "_unknown_")
    return Artifact(tmp_path, FeatureConfig(), NetworkConfig(), labels, labels)


def alarms(**probabilities):
    return [Event(0, 1, label, p) for label, values in probabilities.items() for p in values]


def test_the_best_threshold_lies_between_the_two_kinds():
    assert best_threshold(ValidationDetections((0.4, 0.5), (0.2, 0.3), 2)) == pytest.approx(0.35)
    assert best_threshold(ValidationDetections((0.8, 0.9), (0.61, 0.7), 2)) == pytest.approx(0.75)
    # with nothing wrong: between the least likely word and the least at which one is looked for
    assert best_threshold(ValidationDetections((0.5, 0.9), (), 2)) == pytest.approx(0.3)


def test_the_default_stays_where_no_other_threshold_has_a_higher_f1():
    for right, wrong in (((0.8, 0.9), (0.1, 0.2)), ((0.8, 0.9), ()), ((), (0.3,)), ((), ())):
        assert best_threshold(ValidationDetections(right, wrong, 2)) == DEFAULT_THRESHOLD
    # 0.9 alone: 2/3; with the wrong one and 0.5: 4/5 of three, but with two wrong 4/6 again
    assert best_threshold(ValidationDetections((0.5, 0.9), (0.55, 0.58), 2)) == DEFAULT_THRESHOLD
    assert best_threshold(None) == DEFAULT_THRESHOLD


@pytest.mark.parametrize(
    ("hours", "fa_per_hour", "expected"),
    [
        # No alarm shows at most 3.0 / hours with 95 % confidence: 0.5 takes 5.99 hours.
        (6.0, 0.5, {"yes": 0.2, "no": 0.7}),
        (5.9, 0.5, {"yes": 0.6, "no": 0.7}),
        (1000.0, 0.0, {"yes": 0.6, "no": 0.7}),
    ],
)
def test_no_threshold_is_below_the_default_unless_the_noise_shows_the_rate(
    hours, fa_per_hour, expected
):
    def limit(starts):
        return starts, [0, 0]

    starts = {"yes": 0.2, "no": 0.7}
    assert lower_where_shown(starts, limit, hours, fa_per_hour) == (expected, [0, 0])


def test_alarms_of_recordings_add_up_by_kind():
    alarms = [NoiseAlarms(1.0, 2), NoiseAlarms(0.5, 0), NoiseAlarms(3.0, 1)]
    kinds = sum_by_kind(["music", "", "music"], alarms)
    assert kinds == {"": NoiseAlarms(0.5, 0), "music": NoiseAlarms(4.0, 3)}
    assert kinds["music"].to_dict() == {
        "hours": 4.0,
        "false_alarms": 3,
        "fa_per_hour": 0.75,
        "upper_fa_per_hour": pytest.approx(7.7537 / 4, abs=1e-4),  # Garwood: chi2 of 8 at 95 %, / 2
    }


def test_the_best_threshold_takes_what_is_wrong_where_that_gains_more():
    # 0.9 | 0.8 wrong | 0.7 0.5: F1 of the first alone 2/4, of all 6/7
    assert best_threshold(ValidationDetections((0.5, 0.7, 0.9), (0.8,), 3)) == pytest.approx(0.3)
    # two wrong above one that is right: F1 without it 2/3, with it 4/6
    assert best_threshold(ValidationDetections((0.6, 0.9), (0.7, 0.8, 0.65), 2)) == pytest.approx(
        0.85
    )


def test_without_clips_all_labels_get_one_threshold():
    found = alarms(yes=[0.6, 0.7, 0.8], no=[0.65, 0.95])
    for n_allowed, (yes, no) in {
        5: (0.5, 0.5),
        3: (0.6001, 0.6501),
        1: (0.8001, 0.6501),
        0: (0.8001, 0.9501),
    }.items():
        raised = raise_thresholds({"yes": 0.5, "no": 0.5}, found, {}, n_allowed)
        assert raised == pytest.approx({"yes": yes, "no": no})
        left = [alarm for alarm in found if alarm.probability >= raised[alarm.label]]
        assert len(left) == n_allowed


def test_the_label_that_loses_fewer_words_is_raised():
    heard = {
        "yes": ValidationDetections((0.55, 0.58, 0.9), (), 3),  # would lose two
        "no": ValidationDetections((0.95, 0.96, 0.97), (), 3),  # would lose none
    }
    found = alarms(yes=[0.6], no=[0.9])
    raised = raise_thresholds({"yes": 0.5, "no": 0.5}, found, heard, 1)
    assert raised == pytest.approx({"yes": 0.5, "no": 0.9001})


def test_an_alarm_that_is_certain_stays():
    raised = raise_thresholds({"yes": 0.5}, alarms(yes=[0.7, 1.0]), {}, 0)
    assert raised == {"yes": 0.7001}


def test_no_threshold_is_raised_above_its_limit():
    found = alarms(yes=[0.6, 0.8], no=[0.7])
    raised = raise_thresholds({"yes": 0.5, "no": 0.5}, found, {}, 0, {"yes": 0.7, "no": 1.0})
    assert raised == pytest.approx({"yes": 0.6001, "no": 0.7001})  # the alarm at 0.8 is left


@pytest.mark.parametrize(
    ("loss_max", "highest"),
    [(0.0, 0.6), (0.24, 0.6), (0.25, 0.7), (0.5, 0.9), (0.75, 1.0), (1.0, 1.0)],
)
def test_the_highest_threshold_that_loses_few_words(loss_max, highest):
    found = ValidationDetections((0.3, 0.6, 0.7, 0.9), (), 4)  # of these 0.3 is lost already
    assert highest_threshold(found, 0.5, loss_max) == highest


def test_the_threshold_stays_where_no_word_is_above_it():
    assert highest_threshold(ValidationDetections((0.3,), (), 4), 0.5, 0.1) == 1.0
    assert highest_threshold(ValidationDetections((0.55,), (), 4), 0.5, 0.1) == 0.55


def test_temperature_by_hand():
    probabilities = np.array([[0.8, 0.2], [0.5, 0.5]], dtype=np.float32)
    assert apply_temperature(probabilities, 1.0) is probabilities
    # square roots: 2 to 1
    expected = [[2 / 3, 1 / 3], [0.5, 0.5]]
    np.testing.assert_allclose(apply_temperature(probabilities, 2.0), expected, rtol=1e-6)
    tempered = apply_temperature(np.array([[1.0, 0.0], [0.9, 0.1]], dtype=np.float32), 0.05)
    assert tempered.dtype == np.float32
    np.testing.assert_allclose(tempered, [[1, 0], [1, 0]], atol=1e-6)
    assert apply_temperature(np.empty((0, 2), dtype=np.float32), 2.0).shape == (0, 2)


def test_a_calibration_comes_back(artifact):
    assert load_calibration(artifact) is None
    save_calibration(artifact, CALIBRATION)
    assert load_calibration(artifact) == CALIBRATION
    save_calibration(artifact, dataclasses.replace(CALIBRATION, ece_before=None, hours=3.0))
    assert load_calibration(artifact).hours == 3.0
    assert [path.name for path in artifact.path.iterdir()] == ["calibration.json"]


def test_the_thresholds_of_events_are_the_calibrated_ones(artifact):
    assert choose_thresholds(artifact) == {"yes": DEFAULT_THRESHOLD, "no": DEFAULT_THRESHOLD}
    save_calibration(artifact, CALIBRATION)
    assert choose_thresholds(artifact) == {"yes": 0.7, "no": 0.9}
    assert choose_thresholds(artifact, labels=["no"]) == {"no": 0.9}
    assert choose_thresholds(artifact, 0.6) == {"yes": 0.6, "no": 0.6}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"thresholds": {"go": 0.5}}, "the model has no label go"),
        ({"thresholds": {"yes": 1.5}}, "thresholds"),
        ({"thresholds": {"yes": "0.5"}}, "thresholds"),
        ({"thresholds": 0.5}, "wrong type"),
        ({"temperature": 0}, "temperature: 0 is not possible"),
        ({"extra": 1}, "unknown extra"),
    ],
)
def test_a_damaged_calibration_is_refused(artifact, change, message):
    path = artifact.path / "calibration.json"
    path.write_text(json.dumps(CALIBRATION.to_dict() | change))
    with pytest.raises(ArtifactError, match=message):
        load_calibration(artifact)
    path.write_text("[]")
    with pytest.raises(ArtifactError, match="damaged or of another model"):
        load_calibration(artifact)


def test_a_missing_key_is_refused():
    values = CALIBRATION.to_dict()
    del values["hours"]
    with pytest.raises(ConfigError, match="missing hours"):
        Calibration.from_dict(values)
