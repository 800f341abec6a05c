"""Models of formats 1 and 2, made by the speechcls of their time, predict as they did then."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import soundfile
import torch

from speechcls import Classifier, StreamingClassifier
from speechcls.artifact.calibration import load_calibration
from speechcls.artifact.store import load_artifact, load_split, load_weights, read_metrics
from speechcls.audio.samples import fit_length
from speechcls.config import TrainConfig
from speechcls.networks.load import load_recogniser
from speechcls.runtime.stream import PosteriorStream

HERE = Path(__file__).parent
MODELS = ("format-1-early", "format-1", "format-2", "format-2-stream")
STREAMS = ("format-2", "format-2-stream")
SIMD = 1e-6
"""Other processors add in another order."""

_spec = importlib.util.spec_from_file_location("signals", HERE / "signals.py")
signals = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(signals)


def expected_of(name):
    return json.loads((HERE / name / "expected.json").read_text())


def run_bare(name, graph, inputs):
    """What ONNX Runtime alone makes of a graph, on one thread as speechcls runs it."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    path = str(HERE / name / graph)
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return session.run(None, inputs)


def at_temperature(probabilities, temperature):
    """The definition, in double precision."""
    powers = probabilities.astype(np.float64) ** (1 / temperature)
    return powers / powers.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("name", MODELS)
def test_clips_are_predicted_as_before(name, tmp_path):
    classifier = Classifier.load(HERE / name, jobs=1)
    clips = expected_of(name)["clips"]
    assert clips.keys() == signals.CLIPS.keys()
    for clip, expected in clips.items():
        path = tmp_path / f"{clip}.wav"
        soundfile.write(path, signals.CLIPS[clip], signals.RATE, subtype="PCM_16")
        for given in (path, signals.CLIPS[clip]):
            prediction = classifier.predict(given)
            assert prediction.label == next(iter(expected))
            assert prediction.probabilities == pytest.approx(expected, abs=SIMD)


@pytest.mark.parametrize("name", MODELS)
def test_predictions_are_those_of_the_graph_to_the_last_bit(name):
    classifier = Classifier.load(HERE / name, jobs=1)
    n_samples = classifier.artifact.features.n_samples
    floats = {clip: pcm.astype(np.float32) / 32_768 for clip, pcm in signals.CLIPS.items()}
    windows = np.stack([fit_length(samples, n_samples) for samples in floats.values()])
    for window, samples in zip(windows, floats.values(), strict=True):
        [bare] = run_bare(name, "model.onnx", {"samples": window[None]})
        classifier.temperature = 1.0
        prediction = classifier.predict(samples)
        in_order = [prediction.probabilities[label] for label in classifier.labels]
        assert in_order == bare[0].tolist()
    [bare] = run_bare(name, "model.onnx", {"samples": windows})
    assert np.array_equal(classifier.probabilities(windows), bare)


@pytest.mark.parametrize("name", STREAMS)
def test_streams_are_predicted_as_before(name):
    expected = expected_of(name)
    samples = signals.STREAM.astype(np.float32) / 32_768
    for n_piece in (len(samples), 777):
        blocks = np.split(samples, range(n_piece, len(samples), n_piece))
        times, rows = zip(*PosteriorStream(load_artifact(HERE / name)).run(blocks), strict=True)
        assert np.concatenate(times).tolist() == expected["times_s"]
        np.testing.assert_allclose(np.concatenate(rows), expected["posteriors"], atol=SIMD)


@pytest.mark.parametrize("name", STREAMS)
def test_posteriors_are_those_of_the_graph_to_the_last_bit(name):
    artifact = load_artifact(HERE / name)
    stream = PosteriorStream(artifact)
    temperature, stream.temperature = stream.temperature, 1.0
    n = round(stream.every_s * stream.sample_rate)
    samples = (signals.STREAM.astype(np.float32) / 32_768)[: 40 * n]
    graph = str(artifact.path / "stream.onnx")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    state = {i.name: np.zeros(i.shape, np.float32) for i in session.get_inputs()[1:]}
    bare = []
    for start in range(0, len(samples), n):
        row, *after = session.run(None, {"samples": samples[None, start : start + n]} | state)
        state = dict(zip(state, after, strict=True))
        bare.append(row)
    rows = np.concatenate([stream.feed(block).probabilities for block in np.split(samples, 40)])
    assert np.array_equal(rows, np.concatenate(bare))
    calibrated = PosteriorStream(artifact).feed(samples[:n]).probabilities
    np.testing.assert_allclose(calibrated, at_temperature(bare[0], temperature), atol=SIMD)


@pytest.mark.parametrize("name", STREAMS)
def test_events_are_detected_as_before(name):
    expected = expected_of(name)
    assert len(expected["events"]) == 4
    classifier = StreamingClassifier.load(HERE / name, expected["threshold"])
    events = classifier.feed(signals.STREAM) + classifier.finish()
    found = [[e.start_s, e.end_s, e.label, e.probability] for e in events]
    for event, before in zip(found, expected["events"], strict=True):
        assert event == pytest.approx(before, abs=1e-5)


@pytest.mark.parametrize("name", MODELS)
def test_what_is_known_of_a_model_is_read(name):
    artifact = load_artifact(HERE / name)
    version = json.loads((HERE / name / "config.json").read_text())["format_version"]
    assert version == int(name.split("-")[1])
    assert artifact.features.running_s == (1.0 if name == "format-2-stream" else 0.0)
    assert artifact.labels == ("high", "low", "_unknown_", "_silence_")
    assert artifact.words == ("high", "low", "_silence_", "_scrambled_", "other")
    assert load_weights(artifact)
    metrics = read_metrics(artifact.path, required=True)
    training = TrainConfig.from_dict(metrics["training"])
    assert (training.lr, training.ema_decay, training.unknown_ratio) == (0.01, 0.0, 3.0)
    rows = load_split(artifact)
    assert (HERE / name / "split.csv").read_bytes().count(b"\r\n") == 1 + len(rows) > 70
    assert {row.split for row in rows} == {"train", "validation", "test"}
    assert {row.speaker for row in rows if row.label == "high"} == {f"s{n:02}" for n in range(12)}
    assert all(len(row.digest) >= 16 and row.gain <= 1 for row in rows)


@pytest.mark.parametrize("name", MODELS)
def test_the_weights_make_the_network_of_the_graph(name):
    artifact = load_artifact(HERE / name)
    pcm = fit_length(signals.CLIPS["high"], artifact.features.n_samples)
    window = pcm[None].astype(np.float32) / 32_768
    with torch.no_grad():
        probabilities = load_recogniser(artifact)(torch.from_numpy(window)).softmax(dim=1)
    [bare] = run_bare(name, "model.onnx", {"samples": window})
    np.testing.assert_allclose(probabilities.numpy(), bare, atol=1e-4)


def test_an_old_calibration_is_obeyed():
    calibration = load_calibration(load_artifact(HERE / "format-2-stream"))
    assert calibration.temperature == 0.8
    classifier = StreamingClassifier.load(HERE / "format-2-stream")
    assert classifier.thresholds == calibration.thresholds == {"high": 0.1818, "low": 0.4061}
