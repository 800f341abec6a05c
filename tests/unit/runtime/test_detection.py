"""Posteriors become events: when a word was, how likely, one each, none that is not asked for."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from common import refusal

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
    near = EventSettings(smoothing_s=0.0, min_s=0.0, refractory_s=0.3)
    assert [e.label for e in find(bumps, settings=near)] == ["yes", "no"]


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
    at = []
    for i in range(40):
        part = Posteriors(every.times_s[i : i + 1], every.probabilities[i : i + 1])
        at += [(i, event.label) for event in detector.push(part)]
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
    message = refusal(ConfigError, choose_thresholds, artifact, 1.5)
    assert message == "threshold: 1.5 is not possible; it must be in 0 .. 1"


@pytest.mark.parametrize("name", ["smoothing_s", "min_s", "refractory_s"])
@pytest.mark.parametrize("value", [-0.1, 61.0, float("nan")])
def test_impossible_settings_are_refused(name, value):
    message = refusal(ConfigError, EventSettings, **{name: value})
    assert message.startswith(f"{name}: ")
