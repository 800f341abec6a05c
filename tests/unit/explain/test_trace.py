"""The arrays behind every panel: equal to the exported model, and by hand for a tiny network."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from common_explaining import LABEL_OF_OUTPUT, LABELS, make_lively, make_model, noise_and_tone

from speechcls.audio.spectrogram import spectrogram
from speechcls.config import FeatureConfig, NetworkConfig
from speechcls.errors import ArtifactError, ConfigError
from speechcls.explain.panels import gate_panels, middle_of_activity
from speechcls.explain.recurrence import EQUATIONS
from speechcls.explain.trace import (
    Curve,
    explain,
    occlude,
    read_out,
    reveal,
)
from speechcls.explain.unroll import run_recurrence
from speechcls.features.mel import clip_features
from speechcls.networks.recogniser import build_recogniser
from speechcls.networks.zoo import NETWORKS, feature_kind

STREAMING = [name for name, network in NETWORKS.items() if network.can_stream]
GATES = {
    "rnn": [],
    "fastrnn": [],
    "lstm": ["forget", "input", "output", "candidate", "cell"],
    "lstmp": ["forget", "input", "output", "candidate", "cell"],
    "gru": ["reset", "update", "candidate"],
    "mingru": ["update", "candidate"],
}


def kinds():
    for arch in NETWORKS:
        for readout in ("attention", "last", *(("stream",) if arch in STREAMING else ())):
            yield arch, readout
    yield "bigru", "mean"


@pytest.mark.parametrize(("arch", "readout"), list(kinds()))
def test_probabilities_are_those_of_the_exported_model(arch, readout, tmp_path, rng):
    running_s = 1.0 if readout == "stream" else 0.0
    features = FeatureConfig(kind=feature_kind(arch), duration_s=0.42, running_s=running_s)
    network = NetworkConfig(arch=arch, hidden_size=8, num_layers=2, readout=readout)
    classifier, recogniser = make_model(tmp_path / "model", features, network, make_lively)
    samples = noise_and_tone(features.n_samples, rng)
    explanation = explain(classifier, samples)

    expected = classifier.probabilities(samples[None])[0]
    assert expected.max() - expected.min() > 0.05  # or else any network would do
    np.testing.assert_allclose(explanation.probabilities, expected, rtol=0, atol=1e-4)
    with torch.no_grad():
        standardised = recogniser.extract_features(torch.from_numpy(samples)[None])[0].numpy()
    np.testing.assert_allclose(explanation.features, standardised, rtol=0, atol=1e-5)

    directions = ["forward", "reverse"] if NETWORKS[arch].bidirectional else ["forward"]
    assert [list(layer) for layer in explanation.layers] == [directions] * 2
    assert explanation.has_gates == bool(GATES[explanation.cell])
    for layer in (1, 2):
        panels = gate_panels(explanation, layer)
        assert [panel.name for panel in panels] == [*GATES[explanation.cell], "state"]
        [n_steps] = {panel.rows.shape[1] for panel in panels}
    is_attentive = explanation.attention is not None
    assert is_attentive == (readout == "attention")
    if is_attentive:
        assert explanation.attention.shape == (n_steps, NETWORKS[arch].n_heads)
        np.testing.assert_allclose(explanation.attention.sum(axis=0), 1.0)

    assert len(explanation.step_times_s) == n_steps
    assert len(explanation.frame_times_s) == len(explanation.features)
    # All revealed is the whole clip, nothing revealed is silence, nothing lost where it was silent.
    assert explanation.is_per_step == (readout == "stream")
    if readout != "stream":
        silence = classifier.probabilities(np.zeros_like(samples)[None])[0]
        np.testing.assert_allclose(explanation.posterior_over_time.values[-1], expected, atol=1e-5)
        np.testing.assert_allclose(explanation.posterior_over_time.values[0], silence, atol=1e-5)
    else:
        assert explanation.posterior_over_time.values.shape == (n_steps, len(LABELS))
        likeliest = explanation.posterior_over_time.values[:, :-1].max(axis=1).argmax()
        np.testing.assert_allclose(
            explanation.posterior_over_time.values[likeliest], expected, atol=1e-4
        )
    changed = samples.copy()
    changed[2_400:4_000] = 0  # 0.1 s around 0.2 s
    label_index = expected.argmax()
    lost = expected[label_index] - classifier.probabilities(changed[None])[0][label_index]
    at = np.abs(explanation.occlusion.times_s - 0.2).argmin()
    assert explanation.occlusion.times_s[at] == pytest.approx(0.2)
    np.testing.assert_allclose(explanation.occlusion.values[at], lost, atol=1e-5)


def test_a_network_of_one_unit_by_hand(tmp_path):
    features = FeatureConfig(duration_s=0.02)  # 3 frames
    network = NetworkConfig(arch="rnn", hidden_size=1, num_layers=1, readout="last")

    def deafen(recogniser):
        net = recogniser.network
        net.recurrence.weight_ih_l0.zero_()
        net.recurrence.weight_hh_l0.fill_(-2.0)
        net.recurrence.bias_ih_l0.fill_(0.5)
        net.recurrence.bias_hh_l0.fill_(0.0)
        net.output.weight.copy_(torch.tensor([[1.0], [-1.0], [0.0], [2.0]]))
        net.output.bias.copy_(torch.tensor([0.0, 0.0, 0.3, 0.0]))

    classifier, _ = make_model(tmp_path / "model", features, network, deafen)
    explanation = explain(classifier, np.zeros(320, dtype=np.float32))
    first = math.tanh(0.5)
    second = math.tanh(0.5 - 2.0 * first)
    third = math.tanh(0.5 - 2.0 * second)
    [panel] = gate_panels(explanation, 1)
    assert (panel.name, panel.n_forward) == ("state", 1)
    np.testing.assert_allclose(panel.rows, [[first, second, third]], atol=1e-6)
    powers = [math.exp(third), math.exp(-third), math.exp(0.3) + math.exp(2 * third)]
    np.testing.assert_allclose(explanation.probabilities, np.array(powers) / sum(powers), atol=1e-6)
    np.testing.assert_allclose(explanation.occlusion.values, 0.0, atol=1e-6)
    assert explanation.decisive_s is None
    np.testing.assert_allclose(explanation.step_times_s, [0.0, 0.01, 0.02])
    np.testing.assert_allclose(explanation.posterior_over_time.times_s, [0.0, 0.02])


def test_times_of_steps(tmp_path, rng):
    network = NetworkConfig(arch="gru", hidden_size=4, num_layers=1, readout="stream")
    features = FeatureConfig(kind="log-mel", duration_s=0.17, running_s=1.0)
    classifier, _ = make_model(tmp_path / "a", features, network)
    explanation = explain(classifier, noise_and_tone(features.n_samples, rng))
    # Four frames of 10 ms make a step, the 17th is left over; a frame counts when it ends.
    np.testing.assert_allclose(explanation.step_times_s, [0.04, 0.08, 0.12, 0.16])
    np.testing.assert_allclose(explanation.frame_times_s, 0.01 * np.arange(1, 18))

    network = NetworkConfig(arch="gru", hidden_size=4, num_layers=1)
    features = FeatureConfig(kind="log-mel", duration_s=0.17)
    classifier, _ = make_model(tmp_path / "b", features, network)
    explanation = explain(classifier, noise_and_tone(features.n_samples, rng))
    # A step ends with each fourth frame, the last one with the frames that are left.
    np.testing.assert_allclose(explanation.step_times_s, [0.0, 0.04, 0.08, 0.12, 0.16, 0.20])
    np.testing.assert_allclose(explanation.frame_times_s, 0.01 * np.arange(18))
    assert gate_panels(explanation, 1)[0].rows.shape == (4, 6)


def test_weights_of_another_model_are_refused(tmp_path, rng):
    features = FeatureConfig(kind="log-mel", duration_s=0.2)
    network = NetworkConfig(arch="gru", hidden_size=4, num_layers=1)
    other = build_recogniser(features, network, LABEL_OF_OUTPUT, seed=2)
    classifier, _ = make_model(tmp_path / "model", features, network, weights_of=other)
    with pytest.raises(
        ArtifactError, match=r"differ from those of model\.onnx by .*: files of different"
    ):
        explain(classifier, noise_and_tone(features.n_samples, rng))


def test_layers_are_counted_from_one(tmp_path, rng):
    features = FeatureConfig(kind="log-mel", duration_s=0.2)
    network = NetworkConfig(arch="gru", hidden_size=4, num_layers=2)
    classifier, _ = make_model(tmp_path / "model", features, network)
    explanation = explain(classifier, noise_and_tone(features.n_samples, rng))
    for layer in (0, 3):
        with pytest.raises(ConfigError, match=rf"layer: {layer} is not possible.* has 1 to 2"):
            gate_panels(explanation, layer)


def test_units_keep_one_order_and_directions_are_mirrored(tmp_path, rng):
    features = FeatureConfig(kind="log-mel", duration_s=0.4)
    network = NetworkConfig(arch="bilstm", hidden_size=6, num_layers=1)
    classifier, _ = make_model(tmp_path / "model", features, network, make_lively)
    explanation = explain(classifier, noise_and_tone(features.n_samples, rng))
    panels = gate_panels(explanation, 1)
    assert {panel.n_forward for panel in panels} == {6}
    traces = explanation.layers[0]
    orders = {way: middle_of_activity(trace.hidden[0]).argsort() for way, trace in traces.items()}
    assert not np.array_equal(orders["forward"], orders["reverse"])
    for panel in panels:
        of_gate = {
            way: (trace.hidden if panel.name == "state" else trace.gates[panel.name])[0]
            for way, trace in traces.items()
        }
        above = of_gate["forward"][:, orders["forward"][::-1]].T
        below = of_gate["reverse"][:, orders["reverse"]].T
        np.testing.assert_array_equal(panel.rows, np.concatenate([above, below]))


def test_middle_of_activity_by_hand():
    state = np.array([[0.0, 1.0, -0.5, 0.3], [0.0, 0.0, 0.0, 0.3], [-1.0, 0.0, 0.5, 0.3]])
    np.testing.assert_allclose(middle_of_activity(state), [2.0, 0.0, 1.0, 1.0], atol=1e-9)


def test_the_recurrence_is_that_of_the_reference(tmp_path, rng):
    features = FeatureConfig(duration_s=0.3)
    network = NetworkConfig(arch="birnn", hidden_size=5, num_layers=2)
    classifier, recogniser = make_model(tmp_path / "model", features, network, make_lively)
    explanation = explain(classifier, noise_and_tone(features.n_samples, rng))
    weights = {n: t.numpy() for n, t in recogniser.network.recurrence.state_dict().items()}
    trace = run_recurrence("rnn", weights, explanation.features[None].astype(np.float64))
    for ours, theirs in zip(explanation.layers, trace.layers, strict=True):
        for way in ("forward", "reverse"):
            np.testing.assert_allclose(ours[way].hidden, theirs[way].hidden, atol=1e-12)


def test_readouts_by_hand():
    outputs = np.array([[1.0, 2.0], [3.0, 6.0]])  # two steps of two values
    for kind, is_both, expected in (
        ("last", False, [3.0, 6.0]),
        ("last", True, [3.0, 2.0]),  # the reverse direction ends at the first step
        ("mean", False, [2.0, 4.0]),
        ("stream", False, outputs),
    ):
        vector, attention = read_out(kind, outputs, {}, is_both)
        np.testing.assert_array_equal(vector, expected)
        assert attention is None
    # Two heads of one value each: the first attends to both steps alike, the second has the
    # scores tanh(2) and tanh(6).
    weights = {
        "project.weight": np.array([[0.0, 1.0]]),
        "project.bias": np.zeros(1),
        "score.weight": np.array([[0.0], [1.0]]),
    }
    vector, attention = read_out("attention", outputs, weights, is_both=True)
    first = 1 / (1 + math.exp(math.tanh(6) - math.tanh(2)))
    np.testing.assert_allclose(attention, [[0.5, first], [0.5, 1 - first]])
    np.testing.assert_allclose(vector, [2.0, 2 * first + 6 * (1 - first)])


def test_revealed_and_occluded_samples():
    samples = np.arange(1.0, 11.0, dtype=np.float32)  # at 50 Hz 0.1 s are five samples
    np.testing.assert_array_equal(reveal(samples, 0.06, 50), [1, 2, 3, 0, 0, 0, 0, 0, 0, 0])
    np.testing.assert_array_equal(reveal(samples, 0.2, 50), samples)
    np.testing.assert_array_equal(occlude(samples, 0.11, 50), [1, 2, 3, 0, 0, 0, 0, 0, 9, 10])
    np.testing.assert_array_equal(occlude(samples, 0.0, 50), [0, 0, 3, 4, 5, 6, 7, 8, 9, 10])
    assert samples[0] == 1.0  # untouched


def test_spectrogram_of_a_tone(tone):
    config = FeatureConfig()
    values = spectrogram(tone(1_000.0), config)
    assert values.shape == (101, 257)
    assert values.min() == -80.0
    assert values.max() == 0.0
    assert set(values[5:-5].argmax(axis=1)) == {32}  # of 31.25 Hz each
    np.testing.assert_array_equal(spectrogram(np.zeros(320, np.float32), config), -80.0)


def test_features_of_a_whole_clip(tone):
    samples = tone(1_000.0, seconds=2.5)
    config = FeatureConfig()
    for kind in ("log-mel", "mfcc"):
        assert clip_features(samples, kind, config).shape == (251, 40)
    mels, cepstra = (clip_features(samples, kind, config) for kind in ("log-mel", "mfcc"))
    # The first coefficient of an orthonormal DCT is the sum over the root of the number of bands.
    np.testing.assert_allclose(cepstra[:, 0], mels.sum(axis=1) / math.sqrt(40), rtol=1e-4)


@pytest.mark.parametrize(("lost", "decisive_s"), [(0.3, 0.4), (0.05, 0.4), (0.04, None)])
def test_the_decisive_moment_costs_most(lost, decisive_s, tmp_path, rng):
    features = FeatureConfig(kind="log-mel", duration_s=0.2)
    network = NetworkConfig(arch="gru", hidden_size=4, num_layers=1)
    classifier, _ = make_model(tmp_path / "model", features, network)
    explanation = explain(classifier, noise_and_tone(features.n_samples, rng))
    curve = Curve(np.array([0.0, 0.2, 0.4, 0.6]), np.array([-0.5, 0.0, lost, 0.01]))
    assert dataclasses.replace(explanation, occlusion=curve).decisive_s == decisive_s


@pytest.mark.parametrize("readout", ["attention", "stream"])
def test_a_calibrated_model_has_its_calibrated_probabilities(readout, tmp_path, rng):
    running_s = 1.0 if readout == "stream" else 0.0
    features = FeatureConfig(kind="log-mel", duration_s=0.4, running_s=running_s)
    network = NetworkConfig(arch="gru", hidden_size=8, num_layers=1, readout=readout)
    classifier, _ = make_model(tmp_path / "model", features, network, make_lively)
    samples = noise_and_tone(features.n_samples, rng)
    before = explain(classifier, samples).probabilities
    classifier.temperature = 3.0
    explanation = explain(classifier, samples)
    expected = classifier.probabilities(samples[None])[0]
    np.testing.assert_allclose(explanation.probabilities, expected, rtol=0, atol=1e-4)
    assert explanation.probabilities.max() < before.max() - 0.01


def test_a_cell_without_equations_is_explained_without_gates(tmp_path, rng, monkeypatch):
    features = FeatureConfig(kind="log-mel", duration_s=0.2)
    network = NetworkConfig(arch="gru", hidden_size=4, num_layers=1)
    classifier, _ = make_model(tmp_path / "model", features, network, make_lively)
    samples = noise_and_tone(features.n_samples, rng)
    known = explain(classifier, samples)
    others = {cell: each for cell, each in EQUATIONS.items() if cell != "gru"}
    monkeypatch.setattr("speechcls.explain.trace.EQUATIONS", others)
    unknown = explain(classifier, samples)
    assert (unknown.layers, unknown.attention, unknown.has_gates) == ((), None, False)
    np.testing.assert_allclose(unknown.probabilities, known.probabilities, atol=1e-5)
    np.testing.assert_allclose(unknown.occlusion.values, known.occlusion.values, atol=1e-5)
    assert unknown.end_s == pytest.approx(0.2)
    with pytest.raises(ConfigError, match=r"layer: 1 is not possible; gru has no recurrent layers"):
        gate_panels(unknown, 1)
