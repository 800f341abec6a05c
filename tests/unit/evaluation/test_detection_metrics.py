"""Matching, the curve, the Poisson bound and calibration, by hand or against other libraries."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_bipartite_matching

from speechcls.evaluation.detection_metrics import (
    TOLERANCE_S,
    det_curve,
    hours_needed,
    match_events,
    score_events,
    upper_rate,
)
from speechcls.evaluation.metrics import expected_calibration_error, fit_temperature
from speechcls.layouts.annotations import Word
from speechcls.runtime.detection import Event


def event(centre_s, label="yes", probability=0.9):
    return Event(centre_s - 0.2, centre_s + 0.2, label, probability)


WORDS = [Word(1.0, 1.5, "yes"), Word(2.0, 2.5, "yes"), Word(4.0, 4.5, "no"), Word(6.0, 6.4, "no")]
EVENTS = [
    event(1.3, probability=0.95),  # hits the first
    event(1.7, probability=0.55),  # too late for the second: the first is taken
    event(2.7, probability=0.85),  # hits the second, late
    event(4.25, "yes", 0.65),  # another word
    event(6.2, "no", 0.75),  # hits the last
]


def test_events_are_matched_one_to_one_by_label_and_place():
    assert match_events(WORDS, EVENTS) == [(0, 0), (1, 2), (3, 4)]
    scores = score_events(WORDS, EVENTS, ["yes", "no"], hours=0.5)
    counts = {
        k: (c.n_words, c.hits, c.misses, c.confused, c.false_alarms)
        for k, c in scores.per_label.items()
    }
    # The yes at 4.25 s is in the place of a no, that at 1.7 s in that of a yes already hit.
    assert counts == {"yes": (2, 2, 0, 1, 1), "no": (2, 1, 1, 0, 0)}
    total = scores.total
    assert (total.hits, total.misses, total.confused, total.false_alarms) == (3, 1, 1, 1)
    assert scores.total.miss_rate == 0.25
    assert scores.false_alarms_per_hour == 2.0
    np.testing.assert_allclose(scores.offsets_s, [0.05, 0.45, 0.0], atol=1e-9)
    assert scores.median_distance_s == pytest.approx(0.05)
    assert scores.near_ratio == pytest.approx(2 / 3)


def test_the_scores_as_json_have_the_keys_that_are_out():
    yes = {"words": 2, "hits": 2, "misses": 0, "confused": 1, "false_alarms": 1, "miss_rate": 0.0}
    no = {"words": 2, "hits": 1, "misses": 1, "confused": 0, "false_alarms": 0, "miss_rate": 0.5}
    assert score_events(WORDS, EVENTS, ["yes", "no"], hours=0.5).to_dict() == {
        "hours": 0.5,
        "words": 4,
        "hits": 3,
        "misses": 1,
        "confused": 1,
        "false_alarms": 1,
        "miss_rate": 0.25,
        "false_alarms_an_hour": 2.0,
        "upper_false_alarms_an_hour": pytest.approx(4.7439 / 0.5, abs=1e-3),  # Garwood's table
        "tolerance_s": 0.25,
        "near_s": 0.15,
        "near_share": pytest.approx(2 / 3),
        "median_distance_s": pytest.approx(0.05),
        "per_label": {"yes": yes, "no": no},
    }


def test_hits_come_in_the_order_of_their_events():
    assert match_events(WORDS[::-1], EVENTS) == [(3, 0), (2, 2), (0, 4)]


def test_far_from_any_word_nothing_is_confused():
    words = [Word(1.0, 1.5, "yes")]
    scores = score_events(words, [event(1.2, "no"), event(1.8, "no"), event(9, "no")], ["no"], 1.0)
    assert (scores.total.confused, scores.total.false_alarms, scores.total.misses) == (1, 2, 1)
    assert score_events([], [event(1.0)], ["yes"], 1.0).total.false_alarms == 1


@pytest.mark.parametrize(("centre_s", "is_hit"), [(0.74, 0), (0.76, 1), (1.74, 1), (1.76, 0)])
def test_the_tolerance_is_a_quarter_of_a_second_on_both_sides(centre_s, is_hit):
    assert len(match_events([Word(1.0, 1.5, "yes")], [event(centre_s)])) == is_hit


@pytest.mark.parametrize("centre_s", [0.75, 1.75])
def test_the_bounds_of_the_tolerance_belong_to_it(centre_s):
    there = Event(centre_s - 0.25, centre_s + 0.25, "yes", 0.9)  # exact in binary
    assert match_events([Word(1.0, 1.5, "yes")], [there]) == [(0, 0)]
    assert score_events([Word(1.0, 1.5, "no")], [there], ["yes"], 1.0).total.confused == 1


def test_within_the_tolerance_after_another_word_it_is_confused():
    scores = score_events([Word(1.0, 1.5, "no")], [event(1.6)], ["yes", "no"], 1.0)
    assert (scores.total.confused, scores.total.false_alarms) == (1, 0)


def test_a_hit_at_the_place_of_another_word_too_is_not_confused():
    words = [Word(1.0, 1.5, "yes"), Word(1.6, 2.0, "no")]
    scores = score_events(words, [event(1.4)], ["yes", "no"], 1.0)
    assert (scores.total.hits, scores.total.confused, scores.total.false_alarms) == (1, 0, 0)


def test_a_word_heard_twice_is_one_hit_and_one_false_alarm():
    scores = score_events([Word(1.0, 1.5, "yes")], [event(1.1), event(1.4)], ["yes"], 1.0)
    assert (scores.total.hits, scores.total.false_alarms) == (1, 1)


def test_an_event_leaves_a_word_to_the_one_that_can_hit_no_other():
    words = [Word(1.0, 1.5, "yes"), Word(1.2, 2.2, "yes")]
    assert len(match_events(words, [event(1.3), event(2.3)])) == 2


times = st.lists(st.integers(0, 60), max_size=12)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 9)), max_size=12), times)
def test_no_other_matching_has_more_hits(words, centres):
    words = [Word(start / 10, (start + length) / 10, "yes") for start, length in words]
    events = [event(centre / 10 + 0.01) for centre in centres]  # on no border
    pairs = match_events(words, events)
    fits = np.array(
        [
            [w.start_s - TOLERANCE_S <= e.centre_s <= w.end_s + TOLERANCE_S for e in events]
            for w in words
        ],
        dtype=np.int8,
    ).reshape(len(words), len(events))
    assert all(fits[pair] for pair in pairs)
    assert len({i for i, _ in pairs}) == len({j for _, j in pairs}) == len(pairs)
    best = 0
    if fits.size:
        best = int((maximum_bipartite_matching(csr_array(fits), perm_type="column") >= 0).sum())
    assert len(pairs) == best


def test_the_curve_sweeps_over_the_probabilities():
    points = {point.threshold: point for point in det_curve(WORDS, EVENTS, hours=0.5)}
    first = next(iter(points.values()))
    assert first.to_dict() == {
        "threshold": first.threshold,
        "miss_rate": first.miss_rate,
        "false_alarms_an_hour": first.false_alarms_per_hour,  # the key that is out
    }
    expected = {0.5: (1, 1), 0.6: (1, 0), 0.7: (1, 0), 0.8: (2, 0), 0.9: (3, 0), 0.96: (4, 0)}
    for threshold, (misses, alarms) in expected.items():
        point = points[threshold]
        assert (point.miss_rate, point.false_alarms_per_hour) == (misses / 4, alarms / 0.5)


def test_the_curve_keeps_what_is_as_probable_as_the_threshold():
    points = det_curve([Word(1.0, 1.5, "yes")], [event(1.3, probability=0.5)], hours=1.0)
    missed = {point.threshold: point.miss_rate for point in points}
    assert (missed[0.5], missed[0.55]) == (0.0, 1.0)


def test_the_upper_bound_of_no_event_in_an_hour_is_three():
    assert upper_rate(0, 1.0) == pytest.approx(-np.log(0.05))  # 2.996, the rule of three
    assert upper_rate(0, 0.1) == pytest.approx(29.957, abs=1e-3)
    assert upper_rate(3, 2.0) == pytest.approx(7.7537 / 2, abs=1e-4)  # Garwood's table
    assert hours_needed(0.5) == pytest.approx(2 * 2.9957, abs=1e-3)


def test_calibration_error_by_hand():
    # confidence 0.95, three of four right; 0.62, one of two right: |0.75 - 0.95|, |0.5 - 0.62|
    confidence = np.array([0.95] * 4 + [0.62] * 2)
    probabilities = np.stack([confidence, 1 - confidence], axis=1)
    truth = np.array([0, 0, 0, 1, 0, 1])
    expected = (4 * 0.20 + 2 * 0.12) / 6
    assert expected_calibration_error(probabilities, truth) == pytest.approx(expected)


def test_errors_of_two_bins_do_not_cancel_out():
    probabilities = np.array([[0.9, 0.1], [0.9, 0.1], [0.6, 0.4], [0.6, 0.4]])
    truth = np.array([0, 1, 0, 0])
    assert expected_calibration_error(probabilities, truth) == pytest.approx(0.4)


def test_clips_that_are_all_right_say_nothing_of_the_temperature():
    probabilities, truth = np.array([[0.9, 0.1], [0.2, 0.8]]), np.array([0, 1])
    assert fit_temperature(probabilities, truth) == 1.0
    assert fit_temperature(probabilities, 1 - truth) > 10


@pytest.mark.parametrize("temperature", [2.5, 0.6])
def test_the_temperature_of_a_model_too_sure_is_found(temperature):
    rng = np.random.default_rng(0)
    logits = 2 * rng.standard_normal((40_000, 6))
    honest = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    truth = (honest.cumsum(axis=1) < rng.random((len(honest), 1))).sum(axis=1)
    too_sure = honest**temperature
    too_sure = (too_sure / too_sure.sum(axis=1, keepdims=True)).astype(np.float32)
    assert fit_temperature(too_sure, truth) == pytest.approx(temperature, rel=0.02)
    assert expected_calibration_error(too_sure, truth) > 0.05
    assert expected_calibration_error(honest, truth) < 0.01
