"""Gradients of the answer and of the memory, against torch, finite differences and by hand."""

import numpy as np
import pytest
import torch
from common_explain_page import torch_answer
from common_explaining import make_lively, make_model, noise_and_tone

from speechcls.config import FeatureConfig, NetworkConfig
from speechcls.explain.lookback import (
    answer_gradient,
    answer_logit,
    gain_by_lag,
    layer_inputs,
    memory_gains,
)
from speechcls.explain.recurrence import EQUATIONS
from speechcls.explain.trace import explain
from speechcls.explain.unroll import unpack_layer
from speechcls.networks.zoo import feature_kind

KINDS = ["rnn", "lstm", "gru", "lstmp", "fastrnn", "mingru", "bilstm"]


def explained(tmp_path, arch, readout="last", change=make_lively, **sizes):
    running_s = 1.0 if readout == "stream" else 0.0
    features = FeatureConfig(kind=feature_kind(arch), duration_s=0.3, running_s=running_s)
    network = NetworkConfig(
        arch=arch, readout=readout, **({"hidden_size": 6, "num_layers": 2} | sizes)
    )
    classifier, _ = make_model(tmp_path / "model", features, network, change)
    samples = noise_and_tone(features.n_samples, np.random.default_rng(0))
    return explain(classifier, samples)


def run_from(explanation, layer, way, step, memory):
    """The memory after each step if it is set to ``memory`` at one, and h is as it was."""
    cell, trace = explanation.cell, explanation.layer(layer)[way]
    state = explanation.recogniser.network.recurrence.state_dict()
    weights = {name: tensor.double().numpy() for name, tensor in state.items()}
    gate_weights, arguments = unpack_layer(cell, weights, layer - 1, way, np.float64)
    inputs = layer_inputs(explanation, layer)
    is_both = EQUATIONS[cell].n_states == 2
    states = (trace.hidden[0, step][None], memory[None]) if is_both else (memory[None],)
    found = {step: memory}
    rest = range(step + 1, len(inputs)) if way == "forward" else range(step - 1, -1, -1)
    for t in rest:
        states, _ = EQUATIONS[cell].step(inputs[t][None], states, gate_weights, **arguments)
        found[t] = states[-1][0]
    return found


@pytest.mark.parametrize("arch", KINDS)
def test_the_memory_against_finite_differences(arch, tmp_path):
    explanation = explained(tmp_path, arch)
    way = list(explanation.layer(2))[-1]
    gains = memory_gains(explanation, 2, way)
    trace = explanation.layer(2)[way]
    memory = trace.gates.get("cell", trace.hidden)[0]
    np.testing.assert_allclose(np.diagonal(gains), 1.0)
    start, small = (1, 1e-6) if way == "forward" else (len(gains) - 2, 1e-6)
    sides = [
        [
            run_from(explanation, 2, way, start, memory[start] + sign * small * unit)
            for unit in np.eye(memory.shape[1])
        ]
        for sign in (1, -1)
    ]
    for t in range(len(gains)):
        is_later = t >= start if way == "forward" else t <= start
        if not is_later:
            assert gains[t, start] == 0.0
            continue
        jacobian = [(up[t] - down[t]) / (2 * small) for up, down in zip(*sides, strict=True)]
        expected = np.sqrt(np.square(jacobian).sum() / memory.shape[1])
        assert gains[t, start] == pytest.approx(expected, rel=1e-5, abs=1e-8)


def test_a_simple_unit_forgets_by_its_weight(tmp_path):
    def leak(recogniser):
        recurrence = recogniser.network.recurrence
        for parameter in recurrence.parameters():
            parameter.zero_()
        recurrence.weight_hh_l0.fill_(0.5)

    explanation = explained(tmp_path, "rnn", change=leak, hidden_size=1, num_layers=1)
    gains = memory_gains(explanation, 1, "forward")
    lags = np.arange(len(gains))
    np.testing.assert_allclose(gains[:, 0], 0.5**lags)  # tanh has the slope 1 at 0
    np.testing.assert_allclose(gain_by_lag(gains, "forward"), 0.5**lags)
    np.testing.assert_allclose(gain_by_lag(gains.T, "reverse"), 0.5**lags)


def test_the_gains_are_those_of_torch(tmp_path):
    explanation = explained(tmp_path, "gru", num_layers=1)
    recurrence = explanation.recogniser.network.recurrence
    inputs = torch.from_numpy(layer_inputs(explanation, 1)).float()[None]
    hidden = torch.from_numpy(explanation.layer(1)["forward"].hidden).float()

    def later(h):
        return recurrence(inputs[:, 3:6], h[None, None])[0][0, -1]

    jacobian = torch.autograd.functional.jacobian(later, hidden[0, 2])
    expected = float(jacobian.norm()) / np.sqrt(6)
    assert memory_gains(explanation, 1, "forward")[5, 2] == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(("arch", "readout"), [("bigru", "attention"), ("lstm", "last")])
def test_the_gradient_of_the_answer_against_finite_differences(arch, readout, tmp_path):
    explanation = explained(tmp_path, arch, readout)
    recogniser, features = explanation.recogniser.double(), explanation.features.astype(np.float64)
    found, small, frame = answer_gradient(recogniser, features), 1e-6, 9

    def logit(changed):
        with torch.no_grad():
            return float(answer_logit(recogniser, torch.from_numpy(changed)[None]))

    gradient = []
    for feature in range(features.shape[1]):
        up, down = features.copy(), features.copy()
        up[frame, feature] += small
        down[frame, feature] -= small
        gradient.append((logit(up) - logit(down)) / (2 * small))
    assert found.shape == (len(features),)
    assert found[frame] == pytest.approx(np.linalg.norm(gradient), rel=1e-4)
    assert found[frame] > 0
    answer = torch_answer(explanation.recogniser.float(), explanation.features)
    assert answer.argmax() == explanation.label_index
