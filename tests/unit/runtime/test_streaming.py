"""The library's streaming classifier: pieces of any size and rate, and its end."""

import numpy as np
import pytest
import soxr
import torch

from speechcls import StreamingClassifier
from speechcls.artifact.store import load_artifact
from speechcls.config import EventSettings
from speechcls.errors import ArtifactError, AudioError, ConfigError
from speechcls.runtime.detection import Detector, choose_thresholds
from speechcls.runtime.stream import PosteriorStream

COMPAT = "tests/compat"
RATE = 8_000


@pytest.fixture(scope="module", params=["format-2", "format-2-stream"])
def model(request):
    return request.config.rootpath / COMPAT / request.param


@pytest.fixture(scope="module")
def sound():
    """Two high and two low tones in faint noise, which both models know; float32 at 8 kHz."""
    samples = 0.004 * np.random.default_rng(0).standard_normal(6 * RATE)
    times = np.arange(RATE // 5) / RATE
    for start_s, hz in ((0.5, 400), (1.6, 1_600), (2.8, 410), (3.9, 1_580)):
        start = round(start_s * RATE)
        samples[start : start + len(times)] += 0.3 * np.sin(2 * np.pi * hz * times)
    return samples.astype(np.float32)


def detect(classifier, sound, n_piece):
    events = []
    for start in range(0, len(sound), n_piece):
        events += classifier.feed(sound[start : start + n_piece])
    return events + classifier.finish()


def labels_of(events):
    return [event.label for event in events]


@pytest.mark.parametrize("n_piece", [1_000_000, 1_600, 333])
def test_it_is_feed_push_finish_whatever_the_pieces(n_piece, model, sound):
    artifact = load_artifact(model)
    stream = PosteriorStream(artifact)
    detector = Detector(stream, choose_thresholds(artifact, 0.3))
    expected = detector.push(stream.feed(sound))
    expected += detector.push(stream.finish()) + detector.finish()
    found = detect(StreamingClassifier.load(model, 0.3), sound, n_piece)
    assert labels_of(found) == labels_of(expected) == ["low", "high", "low", "high"]
    times = [(e.start_s, e.end_s, e.probability) for e in found]
    np.testing.assert_allclose(
        times, [(e.start_s, e.end_s, e.probability) for e in expected], atol=1e-5
    )


def test_the_settings_of_detect(model, sound):
    def labels(**options):
        return labels_of(detect(StreamingClassifier.load(model, **options), sound, 4_000))

    assert labels(threshold=0.3, labels=["low"]) == ["low", "low"]
    assert labels(threshold=1.0) == []
    assert labels(threshold=0.3, settings=EventSettings(min_s=5.0)) == []
    assert labels(threshold=0.3, settings=EventSettings(refractory_s=60.0)) != labels(threshold=0.3)


def test_eager_events_come_earlier(model, sound):
    def first_after(eager):
        classifier = StreamingClassifier.load(model, 0.3, eager=eager)
        for n in range(0, len(sound), 400):
            if classifier.feed(sound[n : n + 400]):
                return n / RATE
        return None

    assert first_after(True) < first_after(False)
    assert first_after(True) < 0.5 + 0.2 + 0.3  # 0.3 s after the end of the first tone


@pytest.mark.parametrize("rate", [16_000, 44_100])
def test_samples_of_another_rate_are_resampled_across_pieces(rate, model, sound):
    resampled = soxr.resample(sound, RATE, rate)
    classifier = StreamingClassifier.load(model, 0.3, sample_rate=rate)
    assert classifier.sample_rate == rate
    found = detect(classifier, resampled, 997)
    whole = detect(StreamingClassifier.load(model, 0.3), sound, len(sound))
    assert labels_of(found) == labels_of(whole)
    middles = [event.centre_s for event in whole]
    assert [event.centre_s for event in found] == pytest.approx(middles, abs=0.03)


def test_integers_are_taken_and_other_arrays_refused(model, sound):
    pcm = np.rint(32_768 * sound).astype(np.int16)
    as_floats = pcm.astype(np.float64) / 32_768
    events = [detect(StreamingClassifier.load(model, 0.3), s, 800) for s in (pcm, as_floats)]
    assert events[0] == events[1]
    classifier = StreamingClassifier.load(model)
    for wrong, fact in (
        (sound[None], r"shape \(1, 48000\): give samples \(n_samples,\)"),
        (np.zeros(3, np.int32), "array of int32"),
        (np.array([0.0, np.nan]), "NaN or infinite"),
    ):
        with pytest.raises(AudioError, match=fact):
            classifier.feed(wrong)
    assert classifier.feed(np.empty(0)) == []


def test_the_latest_posterior(model, sound):
    classifier = StreamingClassifier.load(model)
    assert classifier.posterior is None
    classifier.feed(sound[: 2 * RATE])
    assert classifier.posterior.shape == (len(classifier.artifact.labels),)
    assert classifier.posterior.sum() == pytest.approx(1.0, abs=1e-5)


def test_nothing_comes_after_the_end(model):
    classifier = StreamingClassifier.load(model)
    assert classifier.finish() == []
    with pytest.raises(AudioError, match="the stream has ended"):
        classifier.feed(np.zeros(3))
    with pytest.raises(AudioError, match="the stream has ended"):
        classifier.finish()


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"threshold": 2.0}, "threshold"),
        ({"labels": ["maybe"]}, "labels"),
        ({"every_s": 0.0}, "every_s"),
        ({"every_s": float("inf")}, "every_s"),
        ({"sample_rate": 0}, "sample_rate"),
    ],
)
def test_impossible_settings_are_refused(options, field, model):
    with pytest.raises(ConfigError) as error:
        StreamingClassifier.load(model, **options)
    assert error.value.field == field


def test_a_model_that_knows_clips_only_is_refused(request):
    with pytest.raises(ArtifactError, match=r"stream\.onnx: no such file; .* train it again"):
        StreamingClassifier.load(request.config.rootpath / COMPAT / "format-1")


def test_what_is_printed_is_short(model):
    text = repr(StreamingClassifier.load(model))
    assert text == f"StreamingClassifier('{model}', 2 labels to detect at 8000 Hz)"


def test_tensors_are_samples_and_lists_are_not():
    stream = StreamingClassifier.load("commands")
    assert stream.feed(torch.zeros(1_000)) == []
    with pytest.raises(AudioError, match="list: not samples; give an array"):
        stream.feed([0.0] * 10)


def test_impossible_rates_of_a_stream_are_refused():
    for rate in (0, float("nan"), float("inf")):
        with pytest.raises(ConfigError, match="sample_rate"):
            StreamingClassifier.load("commands", sample_rate=rate)
