"""Posteriors become events: when a word was, how likely, one each, none that is not asked for."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from common import refusal

from speechcls.artifact.calibration import Calibration, save_calibration
from speechcls.artifact.format import Artifact
from speechcls.config import FeatureConfig, NetworkConfig
from speechcls.errors import ConfigError
from speechcls.runtime.detection import (
    DEFAULT_THRESHOLD,
    Detector,
    Event,
    EventSettings,
    choose_thresholds,
    detect_events,
)
from speechcls.runtime.stream import Posteriors

LABELS = ("yes", "no", "_unknown_", "_silence_")
RAW = EventSettings(smoothing_s=0.0, min_s=0.0)
CLOSE = EventSettings(smoothing_s=0.0, min_s=0.0, refractory_s=0.3)
EVERY_S = 0.1


def fake_stream(is_causal=False, every_s=EVERY_S):
    """What a Detector asks of a stream."""
    features = FeatureConfig()
    network = NetworkConfig(arch="crnn")
    artifact = Artifact(Path("model"), features, network, tuple(LABELS), tuple(LABELS), contents={})
    return SimpleNamespace(
        artifact=artifact, labels=LABELS, is_causal=is_causal, every_s=every_s, sample_rate=16_000
    )


def posteriors(n, bumps, every_s=EVERY_S):
    """Posteriors that say silence, but for ``bumps``: label, first and last answer, probability."""
    rows = np.zeros((n, len(LABELS)), np.float32)
    for label, first, last, probability in bumps:
        rows[first : last + 1, LABELS.index(label)] = probability
    rows[:, 3] = 1 - rows.sum(axis=1)
    return Posteriors(every_s * np.arange(1, n + 1), rows)


def stepwise(every):
    """Posteriors one at a time, as a live stream gives them."""
    for i in range(len(every.times_s)):
        yield Posteriors(every.times_s[i : i + 1], every.probabilities[i : i + 1])


def find(bumps, thresholds=None, settings=RAW, n=60, pieces=1, **options):
    """The events in such answers, given all at once or in pieces."""
    stream = fake_stream(options.pop("is_causal", False))
    detector = Detector(stream, thresholds or {"yes": 0.5, "no": 0.5}, settings, **options)
    every = posteriors(n, bumps)
    found = []
    for times, rows in zip(
        np.array_split(every.times_s, pieces),
        np.array_split(every.probabilities, pieces),
        strict=True,
    ):
        found += detector.push(Posteriors(times, rows))
    return found + detector.finish()


def test_a_word_lies_in_the_middle_of_the_windows_that_hold_it():
    # Windows that end at 2.0 to 2.6 s hold it: their middles are around 1.8 s.
    [event] = find([("yes", 19, 25, 0.9)])
    assert (event.label, event.probability) == ("yes", pytest.approx(0.9))
    assert event.centre_s == pytest.approx(1.8 + 0.02)
    # Seven windows in ten hold it, so that three tenths of a window are its length.
    assert event.end_s - event.start_s == pytest.approx(0.3)


def test_a_causal_word_has_ended_when_it_is_detected():
    [event] = find([("no", 19, 25, 0.9)], is_causal=True)
    assert event.centre_s == pytest.approx(2.3 - 0.35)
    [eager] = find([("no", 19, 25, 0.9)], is_causal=True, eager=True)
    assert eager.centre_s == pytest.approx(2.0 - 0.10)


def test_the_length_of_a_word_that_no_window_measures_is_the_usual_one():
    for options in ({}, {"eager": True}):
        [event] = find([("no", 19, 25, 0.9)], is_causal=True, **options)
        assert event.end_s - event.start_s == pytest.approx(0.34)


def test_an_eager_word_of_windows_ends_where_the_first_window_ends_that_holds_it():
    [event] = find([("yes", 19, 25, 0.9)], eager=True)
    assert (event.start_s, event.end_s) == pytest.approx((2.0 - 0.34, 2.0))


def test_a_word_at_the_start_of_the_stream_starts_at_0_at_the_earliest():
    # Ten windows of 1 s around 0.27 s: the shortest word; five around 0.92 s: one of 0.5 s.
    [first, second] = find([("yes", 2, 11, 0.9), ("no", 11, 15, 0.8)], settings=CLOSE)
    assert (first.start_s, first.end_s) == (pytest.approx(0.17), pytest.approx(0.37))
    assert (second.start_s, second.end_s) == (pytest.approx(0.67), pytest.approx(1.17))
    [event] = find([("yes", 0, 8, 0.9)])
    assert (event.start_s, event.end_s) == (0.0, pytest.approx(0.12))


def test_a_segment_opens_far_below_the_threshold():
    # The rise counts for the centre: (4 * 0.3 * 1.75 + 2 * 0.9 * 2.05) / 3 = 1.93 s.
    [event] = find([("yes", 15, 18, 0.3), ("yes", 19, 20, 0.9)])
    assert event.centre_s == pytest.approx(1.93 - 0.5 + 0.02)


def test_an_eager_word_has_to_reach_its_threshold():
    bumps = [("yes", 5, 9, 0.3), ("yes", 20, 22, 0.3), ("yes", 23, 25, 0.9)]
    [event] = find(bumps, is_causal=True, eager=True)
    assert event.centre_s == pytest.approx(2.4 - 0.10)


@pytest.mark.parametrize("threshold", [0.5, 0.0625])
@pytest.mark.parametrize("eager", [False, True])
def test_a_posterior_equal_to_the_threshold_reaches_it(threshold, eager):
    [event] = find([("yes", 10, 14, threshold)], {"yes": threshold}, eager=eager)
    assert event.probability == threshold


@pytest.mark.parametrize("pieces", [1, 7, 60])
def test_pieces_make_no_difference(pieces):
    bumps = [("yes", 5, 9, 0.8), ("no", 20, 24, 0.7), ("yes", 40, 47, 0.9)]
    found = find(bumps, pieces=pieces)
    assert found == find(bumps)
    assert [event.label for event in found] == ["yes", "no", "yes"]


def test_what_stays_below_its_threshold_is_none():
    bumps = [("yes", 10, 14, 0.6), ("no", 30, 34, 0.6)]
    assert [e.label for e in find(bumps, {"yes": 0.7, "no": 0.6})] == ["no"]


def test_other_labels_only_when_asked_for():
    bumps = [("_unknown_", 10, 14, 0.9)]
    assert find(bumps) == []
    assert [e.label for e in find(bumps, {"_unknown_": 0.5})] == ["_unknown_"]


def test_of_two_words_at_one_time_the_likelier_counts():
    bumps = [("yes", 10, 14, 0.6), ("no", 16, 19, 0.9)]  # middles 0.5 s from each other
    assert [e.label for e in find(bumps)] == ["no"]
    assert [e.label for e in find(bumps, settings=CLOSE)] == ["yes", "no"]


def test_words_come_in_the_order_of_their_centres_not_of_their_ends():
    bumps = [("yes", 30, 50, 0.4), ("no", 43, 47, 0.5)]  # centres 4.1 s and 4.6 s
    found = find(bumps, {"yes": 0.3, "no": 0.3}, CLOSE)
    assert [e.label for e in found] == ["yes", "no"]


def test_a_suppressed_word_does_not_keep_later_ones_back():
    detector = Detector(fake_stream(), {"yes": 0.5, "no": 0.5}, CLOSE)
    bumps = [("yes", 30, 32, 0.6), ("no", 33, 34, 0.9), ("yes", 38, 40, 0.7)]
    found = detector.push(posteriors(41, bumps))
    assert found == []  # all of them may still be suppressed
    assert [(e.label, round(e.probability, 6)) for e in detector.finish()] == [
        ("no", 0.9),
        ("yes", 0.7),
    ]


def test_a_word_too_close_to_one_that_was_reported_is_its_repeat():
    # Centres 2.2, 2.4 and 2.6 s: the second one outdoes the first one, and is reported instead.
    bumps = [("yes", 20, 22, 0.6), ("no", 23, 23, 0.9), ("yes", 25, 25, 0.95)]
    detector = Detector(fake_stream(), {"yes": 0.5, "no": 0.5}, CLOSE)
    found = [event for e in stepwise(posteriors(60, bumps)) for event in detector.push(e)]
    assert [e.label for e in found + detector.finish()] == ["no"]


def test_an_eager_word_is_not_repeated_before_its_time():
    bumps = [("yes", 10, 12, 0.9), ("yes", 14, 16, 0.9), ("yes", 19, 20, 0.9)]
    found = find(bumps, is_causal=True, eager=True)  # 0.8 s from each other at the closest
    assert [round(e.centre_s, 6) for e in found] == [1.0, 1.9]


@pytest.mark.parametrize("eager", [False, True])
def test_words_at_the_shortest_distance_are_both_kept(eager):
    def find_with(refractory_s):
        settings = EventSettings(smoothing_s=0.0, min_s=0.0, refractory_s=refractory_s)
        return find([("yes", 10, 12, 0.9), ("no", 17, 19, 0.8)], settings=settings, eager=eager)

    first, second = found = find_with(0.0)
    distance_s = second.centre_s - first.centre_s
    assert find_with(distance_s) == found
    assert find_with(distance_s + 1e-6) == [first]


def test_what_is_short_is_none():
    settings = EventSettings(smoothing_s=0.0, min_s=0.3)
    bumps = [("yes", 10, 11, 0.9), ("no", 30, 32, 0.9)]
    assert [e.label for e in find(bumps, settings=settings)] == ["no"]


def test_smoothing_averages_and_moves_nothing():
    settings = EventSettings(smoothing_s=0.3, min_s=0.0)
    [event] = find([("yes", 20, 20, 0.9)], {"yes": 0.25}, settings)
    assert event.probability == pytest.approx(0.3)  # a third of it
    assert event.centre_s == pytest.approx(2.1 - 0.5 + 0.02)
    assert find([("yes", 20, 20, 0.9)], {"yes": 0.35}, settings) == []


def test_eager_detectors_report_at_once_and_never_twice():
    detector = Detector(fake_stream(True), {"yes": 0.5}, RAW, eager=True)
    every = posteriors(40, [("yes", 10, 14, 0.9), ("yes", 30, 34, 0.9)])
    at = [(i, e.label) for i, part in enumerate(stepwise(every)) for e in detector.push(part)]
    assert at == [(10, "yes"), (30, "yes")]
    assert detector.finish() == []


def test_the_end_of_the_sound_ends_a_word():
    [event] = find([("yes", 55, 59, 0.9)])
    assert event.label == "yes"


def test_events_come_long_before_the_end():
    detector = Detector(fake_stream(), {"yes": 0.5}, RAW)
    found = detector.push(posteriors(60, [("yes", 5, 9, 0.9)]))
    assert [event.label for event in found] == ["yes"]


def test_several_detectors_go_over_one_stream():
    stream = fake_stream()
    bumps = [("yes", 10, 14, 0.9), ("no", 55, 59, 0.6)]
    every = posteriors(60, bumps)
    parts = [
        Posteriors(every.times_s[start : start + 30], every.probabilities[start : start + 30])
        for start in (0, 30)
    ]
    strict = Detector(stream, {"yes": 0.5, "no": 0.7}, RAW)
    lax = Detector(stream, {"yes": 0.5, "no": 0.5}, RAW)
    steps = list(detect_events(iter(parts), strict, lax))
    assert [[[e.label for e in events] for events in step] for step in steps] == [
        [["yes"], ["yes"]],  # after the first 30 posteriors
        [[], []],
        [[], ["no"]],  # what is open at the end
    ]
    assert [event for step in steps for event in step[1]] == find(bumps)
    assert isinstance(steps[0][0][0], Event)


def test_no_detector_and_no_posteriors():
    assert list(detect_events([])) == [()]
    assert list(detect_events([], Detector(fake_stream(), {"yes": 0.5}))) == [([],)]


def test_thresholds_are_those_asked_for():
    artifact = fake_stream().artifact
    assert choose_thresholds(artifact) == {"yes": DEFAULT_THRESHOLD, "no": DEFAULT_THRESHOLD}
    assert choose_thresholds(artifact, 0.3, ["no", "_silence_"]) == {"no": 0.3, "_silence_": 0.3}
    message = refusal(ConfigError, choose_thresholds, artifact, 0.3, ["maybe"])
    assert message == "labels: the model has no label maybe; it has yes, no, _unknown_, _silence_"
    message = refusal(ConfigError, choose_thresholds, artifact, None, ["maybe", "no", "go"])
    assert message.startswith("labels: the model has no label maybe, go; it has ")
    message = refusal(ConfigError, choose_thresholds, artifact, 1.5)
    assert message == "threshold: 1.5 is not possible; it must be in 0 .. 1"


def test_the_thresholds_of_a_calibrated_model_are_its_own(tmp_path):
    artifact = Artifact(tmp_path, FeatureConfig(), NetworkConfig(), LABELS, LABELS)
    save_calibration(artifact, Calibration({"no": 0.8}, 1.0, 2.0, 1, 2.4, 1.0, 0, None, None))
    assert choose_thresholds(artifact) == {"yes": DEFAULT_THRESHOLD, "no": 0.8}
    assert choose_thresholds(artifact, 0.3) == {"yes": 0.3, "no": 0.3}


def test_an_event_as_json_is_rounded():
    event = Event(1.23456, 2.34567, "yes", 0.12345678)
    assert event.to_dict() == {
        "start_s": 1.235,
        "end_s": 2.346,
        "label": "yes",
        "probability": 0.123457,
    }


@pytest.mark.parametrize("name", ["smoothing_s", "min_s", "refractory_s"])
@pytest.mark.parametrize("value", [-0.1, 61.0, float("nan")])
def test_impossible_settings_are_refused(name, value):
    message = refusal(ConfigError, EventSettings, **{name: value})
    assert message.startswith(f"{name}: ")
