"""The NumPy equations give what torch gives, for every cell, depth and direction."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from speechcls.recurrence import run_recurrence

CELLS = {"rnn": torch.nn.RNN, "lstm": torch.nn.LSTM, "gru": torch.nn.GRU}
every_kind = pytest.mark.parametrize(
    ("cell", "num_layers", "bidirectional"),
    [(cell, layers, both) for cell in CELLS for layers in (1, 2, 3) for both in (False, True)],
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


def run_both(cell, num_layers, bidirectional, problem):
    """The trace, and torch's outputs and final states as arrays, for one drawn problem."""
    # nn.RNN draws its weights from the global generator and takes no other.
    torch.manual_seed(problem["seed"])
    network = CELLS[cell](
        problem["n_inputs"],
        problem["hidden_size"],
        num_layers,
        bidirectional=bidirectional,
        batch_first=True,
        dtype=problem["dtype"],
    )
    shape = (problem["batch"], problem["n_frames"], problem["n_inputs"])
    inputs = problem["loudness"] * torch.randn(shape, dtype=problem["dtype"])
    with torch.no_grad():
        outputs, states = network(inputs)
    finals = [state.numpy() for state in (states if cell == "lstm" else (states,))]
    weights = {name: tensor.numpy() for name, tensor in network.state_dict().items()}
    return run_recurrence(cell, weights, inputs.numpy()), outputs.numpy(), finals


def tolerance(problem):
    return 1e-5 if problem["dtype"] == torch.float32 else 1e-12


@every_kind
@settings(max_examples=20, deadline=None, derandomize=True)
@given(problem=problems())
def test_outputs_and_final_states_match_torch(cell, num_layers, bidirectional, problem):
    trace, outputs, finals = run_both(cell, num_layers, bidirectional, problem)
    close = {"rtol": 0, "atol": tolerance(problem)}
    assert trace.outputs.dtype == outputs.dtype
    np.testing.assert_allclose(trace.outputs, outputs, **close)

    # torch lists final states layer by layer, forward before reverse, (batch, hidden_size) each.
    directions = [pair for layer in trace.layers for pair in layer.items()]
    assert len(directions) == len(finals[0])
    for at, (name, direction) in enumerate(directions):
        last_frame = {"forward": -1, "reverse": 0}[name]
        np.testing.assert_allclose(direction.hidden[:, last_frame], finals[0][at], **close)
        if cell == "lstm":
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
            np.testing.assert_allclose(gates["cell"], c, rtol=0, atol=tolerance(problem))
            expected = gates["output"] * np.tanh(gates["cell"])
        else:
            before = np.concatenate([start, h[:, :-1]], axis=1)
            expected = gates["update"] * before + (1 - gates["update"]) * gates["candidate"]
        np.testing.assert_allclose(expected, h, rtol=0, atol=tolerance(problem))
