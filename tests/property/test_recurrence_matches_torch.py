"""The NumPy equations give what the networks give, for every cell, depth and direction."""

from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from speechcls.config import NetworkConfig
from speechcls.explain.unroll import run_recurrence
from speechcls.networks.layers import FastRNNLayer, MinGRULayer, StackedLayers
from speechcls.networks.zoo import NETWORKS, build_network

pytestmark = pytest.mark.filterwarnings("ignore:LSTM with projections:UserWarning")  # it is slow

OURS = {
    "fastrnn": partial(StackedLayers, FastRNNLayer),
    "mingru": partial(StackedLayers, MinGRULayer),
}
CELLS = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU, "lstmp": nn.LSTM} | OURS
every_kind = pytest.mark.parametrize(
    ("cell", "num_layers", "bidirectional"),
    [
        (cell, layers, both)
        for cell in CELLS
        for layers in (1, 2, 3)
        for both in ((False,) if cell in OURS else (False, True))
    ],
)


@st.composite
def problems(draw):
    """Sizes, dtype, and the seed for weights and inputs."""
    return {
        "batch": draw(st.integers(1, 4)),
        "n_frames": draw(st.integers(1, 20)),
        "n_inputs": draw(st.integers(1, 8)),
        "hidden_size": draw(st.integers(1, 8)),
        "dtype": draw(st.sampled_from([torch.float32, torch.float64])),
        "loudness": draw(st.sampled_from([0.0, 1.0, 30.0])),
        "seed": draw(st.integers(0, 2**32 - 1)),
    }


def build(cell, num_layers, bidirectional, problem):
    """A network of one drawn problem, in which no two numbers that the equations tell apart agree.

    A projected LSTM has ``hidden_size`` + 1 units.
    """
    sizes = problem["n_inputs"], problem["hidden_size"], num_layers
    if cell in OURS:
        network = CELLS[cell](*sizes).to(problem["dtype"])
        for name, parameter in network.named_parameters():
            if name.endswith("_logit"):  # as they start, alpha is 1 - beta in every layer
                nn.init.normal_(parameter)
        return network
    settings = {"bidirectional": bidirectional, "batch_first": True, "dtype": problem["dtype"]}
    if cell == "lstmp":
        sizes = problem["n_inputs"], problem["hidden_size"] + 1, num_layers
        settings["proj_size"] = problem["hidden_size"]
    return CELLS[cell](*sizes, **settings)


def run_both(cell, num_layers, bidirectional, problem):
    """The trace, and the network's outputs and final states as arrays, for one drawn problem."""
    # Layers draw their weights from the global generator and take no other.
    torch.manual_seed(problem["seed"])
    network = build(cell, num_layers, bidirectional, problem)
    shape = (problem["batch"], problem["n_frames"], problem["n_inputs"])
    inputs = problem["loudness"] * torch.randn(shape, dtype=problem["dtype"])
    with torch.no_grad():
        outputs, states = network(inputs)
    finals = [state.numpy() for state in (states if "lstm" in cell else (states,))]
    return run_recurrence(cell, arrays(network), inputs.numpy()), outputs.numpy(), finals


def arrays(network):
    """The weights by the names of the ``state_dict``."""
    return {name: tensor.numpy() for name, tensor in network.state_dict().items()}


def tolerance(problem, outputs):
    """The largest difference allowed: minGRU squashes nothing, so that it grows with the inputs."""
    return max(1, np.abs(outputs).max()) * (1e-5 if problem["dtype"] == torch.float32 else 1e-12)


@every_kind
@settings(max_examples=20, deadline=None, derandomize=True)
@given(problem=problems())
def test_outputs_and_final_states_match_torch(cell, num_layers, bidirectional, problem):
    trace, outputs, finals = run_both(cell, num_layers, bidirectional, problem)
    close = {"rtol": 0, "atol": tolerance(problem, outputs)}
    assert trace.outputs.dtype == outputs.dtype
    np.testing.assert_allclose(trace.outputs, outputs, **close)

    # torch lists final states layer by layer, forward before reverse, (batch, hidden_size) each.
    directions = [pair for layer in trace.layers for pair in layer.items()]
    assert len(directions) == len(finals[0])
    for at, (name, direction) in enumerate(directions):
        last_frame = {"forward": -1, "reverse": 0}[name]
        np.testing.assert_allclose(direction.hidden[:, last_frame], finals[0][at], **close)
        if "lstm" in cell:
            np.testing.assert_allclose(
                direction.gates["cell"][:, last_frame], finals[1][at], **close
            )


@pytest.mark.parametrize("cell", ["lstm", "gru"])
@settings(max_examples=40, deadline=None, derandomize=True)
@given(problem=problems())
def test_traced_gates_explain_the_outputs_of_torch(cell, problem):
    trace, outputs, _ = run_both(cell, 2, True, problem)
    hidden_size = problem["hidden_size"]
    start = np.zeros((problem["batch"], 1, hidden_size))
    for name, columns in (
        ("forward", outputs[..., :hidden_size]),
        ("reverse", outputs[..., hidden_size:]),
    ):
        # In the order in which this direction read the frames.
        step = {"forward": 1, "reverse": -1}[name]
        h = columns[:, ::step]
        gates = {key: array[:, ::step] for key, array in trace.layers[-1][name].gates.items()}
        if cell == "lstm":
            before = np.concatenate([start, gates["cell"][:, :-1]], axis=1)
            c = gates["forget"] * before + gates["input"] * gates["candidate"]
            np.testing.assert_allclose(gates["cell"], c, rtol=0, atol=tolerance(problem, outputs))
            expected = gates["output"] * np.tanh(gates["cell"])
        else:
            before = np.concatenate([start, h[:, :-1]], axis=1)
            expected = gates["update"] * before + (1 - gates["update"]) * gates["candidate"]
        np.testing.assert_allclose(expected, h, rtol=0, atol=tolerance(problem, outputs))


@settings(max_examples=40, deadline=None, derandomize=True)
@given(problem=problems())
def test_traced_gates_of_mingru_explain_its_outputs(problem):
    trace, h, _ = run_both("mingru", 2, False, problem)
    gates = trace.layers[-1]["forward"].gates
    before = np.concatenate([np.zeros_like(h[:, :1]), h[:, :-1]], axis=1)
    expected = (1 - gates["update"]) * before + gates["update"] * gates["candidate"]
    np.testing.assert_allclose(expected, h, rtol=0, atol=tolerance(problem, h))


@pytest.mark.parametrize("num_layers", [1, 2, 3])
@pytest.mark.parametrize("arch", NETWORKS)
def test_recurrence_of_every_network(arch, num_layers):
    torch.manual_seed(0)
    config = NetworkConfig(arch=arch, hidden_size=8, num_layers=num_layers)
    network = build_network(config, n_features=5, n_outputs=3).eval()
    recurrence, n_inputs = network.recurrence, 8 if network.front_end else 5
    features = torch.randn(2, 30, n_inputs)
    with torch.no_grad():
        for parameter in recurrence.parameters():
            # Biases start at zero, and some numbers equal: here each has one of its own.
            parameter.add_(0.2 * torch.randn_like(parameter))
        outputs, _ = recurrence(features)
    trace = run_recurrence(network.cell.name, arrays(recurrence), features.numpy())
    assert len(trace.layers) == num_layers
    np.testing.assert_allclose(trace.outputs, outputs.numpy(), rtol=0, atol=1e-5)
