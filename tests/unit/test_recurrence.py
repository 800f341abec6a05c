"""Recurrence against values worked out by hand.

The weights are chosen so that every squashing comes out even:
sigmoid(ln 3) = 3/4, sigmoid(0) = 1/2, sigmoid(-ln 3) = 1/4, tanh(ln 2) = 3/5, tanh(ln 3) = 4/5.
"""

from math import log

import numpy as np
import pytest

from speechcls.errors import ConfigError
from speechcls.recurrence import (
    GateWeights,
    gru_step,
    lstm_step,
    rnn_step,
    run_recurrence,
    sigmoid,
)

LN2, LN3 = log(2), log(3)
N_GATES = {"rnn": 1, "lstm": 4, "gru": 3}


def gate(w_x, b_x, w_h, b_h):
    """One gate of hidden size 1 on one input."""
    return GateWeights(np.array([[w_x]]), np.array([b_x]), np.array([[w_h]]), np.array([b_h]))


def constant(value):
    """A gate that sees neither x nor h."""
    return gate(0.0, value, 0.0, 0.0)


def column(*values):
    """One value a clip, (batch, 1)."""
    return np.array(values)[:, np.newaxis]


def random_weights(cell, rng, n_inputs, hidden_size, num_layers=1, bidirectional=False, scale=1.0):
    """Normal weights by torch's names and in its shapes."""
    rows = N_GATES[cell] * hidden_size
    suffixes = ["", "_reverse"] if bidirectional else [""]
    weights = {}
    for layer in range(num_layers):
        width = n_inputs if layer == 0 else len(suffixes) * hidden_size
        for suffix in suffixes:
            weights[f"weight_ih_l{layer}{suffix}"] = rng.standard_normal((rows, width))
            weights[f"weight_hh_l{layer}{suffix}"] = rng.standard_normal((rows, hidden_size))
            weights[f"bias_ih_l{layer}{suffix}"] = rng.standard_normal(rows)
            weights[f"bias_hh_l{layer}{suffix}"] = rng.standard_normal(rows)
    return {name: scale * array for name, array in weights.items()}


def constant_weights(stacked, suffix="l0", n_inputs=1):
    """Hidden size 1, only ``bias_ih`` set: its entries are the gates' inputs in torch's order."""
    rows = len(stacked)
    return {
        f"weight_ih_{suffix}": np.zeros((rows, n_inputs)),
        f"weight_hh_{suffix}": np.zeros((rows, 1)),
        f"bias_ih_{suffix}": np.array(stacked, dtype=float),
        f"bias_hh_{suffix}": np.zeros(rows),
    }


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def test_sigmoid_by_hand():
    np.testing.assert_allclose(sigmoid(np.array([-LN3, 0, LN3])), [0.25, 0.5, 0.75], rtol=1e-15)
    np.testing.assert_array_equal(sigmoid(np.array([-1e300, 1e300])), [0, 1])


def test_rnn_step_by_hand():
    # 2·1 - 1 + 0.5·(-4) + (1 + ln 3) = ln 3, and 3·1 - 1 + 0.25·(-4) + (1 + ln 3) = 2 + ln 3.
    weights = {"hidden": gate(w_x=1.0, b_x=-1.0, w_h=-4.0, b_h=1 + LN3)}
    (h,), gates = rnn_step(column(2.0, 3.0), (column(0.5, 0.25),), weights)
    np.testing.assert_allclose(h, column(0.8, np.tanh(2 + LN3)), rtol=1e-15)
    assert gates == {}


def test_lstm_step_by_hand():
    # At x = 2, h = 0.5 each gate's x-part, biases and h-part add up to the number in its comment.
    weights = {
        "forget": gate(1.0, -1.0, -4.0, 1 + LN3),  # 2 - 1 - 2 + 1 + ln 3 = ln 3
        "input": gate(2.0, -1.0, -4.0, -1.0),  # 4 - 1 - 2 - 1 = 0
        "output": gate(0.5, 1.0, 2.0, -3 - LN3),  # 1 + 1 + 1 - 3 - ln 3 = -ln 3
        "candidate": gate(-1.0, LN2, 6.0, -1.0),  # -2 + ln 2 + 3 - 1 = ln 2
    }
    # c' = 3/4·c + 1/2·3/5 = ln 2 for this c, so h' = 1/4·tanh(ln 2) = 1/4·3/5.
    c = (LN2 - 0.3) / 0.75
    (new_h, new_c), gates = lstm_step(column(2.0), (column(0.5), column(c)), weights)
    assert new_c.item() == pytest.approx(LN2, rel=1e-14)
    assert new_h.item() == pytest.approx(0.15, rel=1e-14)
    assert {name: value.item() for name, value in gates.items()} == pytest.approx(
        {"forget": 0.75, "input": 0.5, "output": 0.25, "candidate": 0.6, "cell": LN2}, rel=1e-14
    )


def test_gru_step_by_hand():
    weights = {
        "reset": gate(0.5, 1.0, 2.0, -3 - LN3),  # 1 + 1 + 1 - 3 - ln 3 = -ln 3
        "update": gate(1.0, -1.0, -4.0, 1 + LN3),  # 2 - 1 - 2 + 1 + ln 3 = ln 3
        # (1 - 2 + ln 2) + 1/4·(2 + 2) = ln 2; resetting h first would give 1.5 + ln 2.
        "candidate": gate(0.5, LN2 - 2, 4.0, 2.0),
    }
    (new_h,), gates = gru_step(column(2.0), (column(0.5),), weights)
    # h' = 3/4·1/2 + 1/4·3/5; with the update gate's sense swapped it would be 0.575.
    assert new_h.item() == pytest.approx(0.525, rel=1e-14)
    assert {name: value.item() for name, value in gates.items()} == pytest.approx(
        {"reset": 0.25, "update": 0.75, "candidate": 0.6}, rel=1e-14
    )


def test_run_carries_the_state_over_time():
    weights = {
        "weight_ih_l0": np.array([[1.0]]),
        "weight_hh_l0": np.array([[1.0]]),
        "bias_ih_l0": np.array([0.0]),
        "bias_hh_l0": np.array([0.0]),
    }
    # tanh(ln 2 + 0) = 0.6, then tanh((ln 3 - 0.6) + 0.6) = 0.8.
    trace = run_recurrence("rnn", weights, np.array([[[LN2], [LN3 - 0.6]]]))
    np.testing.assert_allclose(trace.outputs, [[[0.6], [0.8]]], rtol=1e-15)


@pytest.mark.parametrize(
    ("cell", "stacked", "expected"),
    [
        ("lstm", [0, LN3, LN2, -LN3], {"input": 0.5, "forget": 0.75, "output": 0.25}),
        ("gru", [LN3, -LN3, LN2], {"reset": 0.75, "update": 0.25}),
    ],
)
def test_stacked_weights_reach_the_gate_of_their_name(cell, stacked, expected):
    trace = run_recurrence(cell, constant_weights(stacked), np.ones((1, 1, 1)))
    gates = {name: value.item() for name, value in trace.layers[0]["forward"].gates.items()}
    gates.pop("cell", None)
    assert gates == pytest.approx({**expected, "candidate": 0.6}, rel=1e-14)


def test_lstm_cell_is_traced_at_every_frame():
    # c' = 1/2·c + 1/2·0.6 from c = 0: 0.3, 0.45, 0.525.
    trace = run_recurrence("lstm", constant_weights([0, 0, LN2, 0]), np.zeros((1, 3, 1)))
    cell = trace.layers[0]["forward"].gates["cell"]
    np.testing.assert_allclose(cell[0, :, 0], [0.3, 0.45, 0.525], rtol=1e-14)


def test_outputs_hold_forward_before_reverse_columns():
    weights = constant_weights([LN2]) | constant_weights([LN3], "l0_reverse")
    trace = run_recurrence("rnn", weights, np.zeros((1, 2, 1)))
    np.testing.assert_allclose(trace.outputs, [[[0.6, 0.8], [0.6, 0.8]]], rtol=1e-15)


def test_second_layer_reads_both_directions_of_the_first():
    first = constant_weights([LN2]) | constant_weights([LN3], "l0_reverse")
    second = constant_weights([LN3 - 1.4], "l1", n_inputs=2)
    backward = constant_weights([LN2 + 0.2], "l1_reverse", n_inputs=2)
    second["weight_ih_l1"][:] = [[1, 1]]  # 0.6 + 0.8 + ln 3 - 1.4 = ln 3
    backward["weight_ih_l1_reverse"][:] = [[1, -1]]  # 0.6 - 0.8 + ln 2 + 0.2 = ln 2
    trace = run_recurrence("rnn", first | second | backward, np.zeros((1, 1, 1)))
    np.testing.assert_allclose(trace.outputs, [[[0.8, 0.6]]], rtol=1e-14)
    np.testing.assert_allclose(trace.layers[0]["reverse"].hidden, [[[0.8]]], rtol=1e-14)


@pytest.mark.parametrize("cell", N_GATES)
def test_reverse_equals_forward_on_flipped_inputs(cell, rng):
    forward = random_weights(cell, rng, n_inputs=3, hidden_size=2)
    both = forward | {f"{name}_reverse": array for name, array in forward.items()}
    inputs = rng.standard_normal((2, 5, 3))
    reverse = run_recurrence(cell, both, inputs).layers[0]["reverse"]
    flipped = run_recurrence(cell, forward, inputs[:, ::-1]).layers[0]["forward"]
    np.testing.assert_array_equal(reverse.hidden, flipped.hidden[:, ::-1])
    assert reverse.gates.keys() == flipped.gates.keys()
    for name in reverse.gates:
        np.testing.assert_array_equal(reverse.gates[name], flipped.gates[name][:, ::-1])


@pytest.mark.parametrize("cell", N_GATES)
def test_one_trace_a_layer_and_direction(cell, rng):
    weights = random_weights(cell, rng, 3, 2, num_layers=3, bidirectional=True)
    trace = run_recurrence(cell, weights, rng.standard_normal((4, 5, 3)))
    assert [list(layer) for layer in trace.layers] == 3 * [["forward", "reverse"]]
    last = trace.layers[-1]
    np.testing.assert_array_equal(trace.outputs[:, :, :2], last["forward"].hidden)
    np.testing.assert_array_equal(trace.outputs[:, :, 2:], last["reverse"].hidden)
    for layer in trace.layers:
        for direction in layer.values():
            assert {array.shape for array in direction.gates.values()} <= {(4, 5, 2)}


def test_lstm_keeps_its_cell_while_it_forgets_nothing_and_takes_nothing_in(rng):
    weights = {
        "forget": constant(1e3),
        "input": constant(-1e3),
        "output": gate(1.0, 0.0, 1.0, 0.0),
        "candidate": gate(1.0, 0.0, 1.0, 0.0),
    }
    start = column(-1.5, 0.25, 7.0)
    state = (np.zeros((3, 1)), start)
    for _ in range(100):
        state, gates = lstm_step(rng.standard_normal((3, 1)), state, weights)
    np.testing.assert_array_equal(state[1], start)
    np.testing.assert_array_equal(gates["cell"], start)


def test_gru_keeps_its_hidden_state_while_update_is_one(rng):
    weights = {
        "reset": gate(1.0, 0.0, 1.0, 0.0),
        "update": constant(1e3),
        "candidate": gate(1.0, 0.0, 1.0, 0.0),
    }
    start = column(-0.5, 0.25, 0.9)
    state = (start,)
    for _ in range(100):
        state, _ = gru_step(rng.standard_normal((3, 1)), state, weights)
    np.testing.assert_array_equal(state[0], start)


@pytest.mark.parametrize("cell", N_GATES)
@pytest.mark.parametrize("scale", [1.0, 1e30])
def test_long_and_extreme_inputs_stay_in_bounds_without_a_warning(cell, scale, rng):
    weights = random_weights(cell, rng, 3, 4, num_layers=2, bidirectional=True)
    inputs = (scale * rng.standard_normal((2, 1000, 3))).astype(np.float32)
    trace = run_recurrence(cell, weights, inputs)
    for direction in (direction for layer in trace.layers for direction in layer.values()):
        assert np.abs(direction.hidden).max() <= 1
        for name, activation in direction.gates.items():
            # |c'| <= |c| + 1, since the gates are at most 1 and the candidate is within 1.
            bound = 1000 if name == "cell" else 1
            assert activation.max() <= bound
            assert activation.min() >= (-bound if name in ("candidate", "cell") else 0)


@pytest.mark.parametrize("cell", N_GATES)
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_computes_in_the_dtype_of_the_inputs(cell, dtype, rng):
    weights = random_weights(cell, rng, 3, 2)
    trace = run_recurrence(cell, weights, rng.standard_normal((1, 4, 3)).astype(dtype))
    forward = trace.layers[0]["forward"]
    arrays = [trace.outputs, forward.hidden, *forward.gates.values()]
    assert {array.dtype for array in arrays} == {np.dtype(dtype)}


def test_unknown_cell_lists_the_known_ones(rng):
    with pytest.raises(ConfigError, match=r"'elman': not known; choose one of rnn, lstm, gru"):
        run_recurrence("elman", random_weights("rnn", rng, 3, 2), np.zeros((1, 4, 3)))


def renamed(weights, old, new):
    return {name.replace(old, new): array for name, array in weights.items()}


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (
            lambda w: {name: w[name] for name in w if name != "bias_hh_l1_reverse"},
            r"^lstm weights: missing bias_hh_l1_reverse; .*weight_ih_l0, bias_ih_l0, .*_l1_reverse",
        ),
        (
            lambda w: w | {"weight_hr_l0": w["weight_hh_l0"]},
            r": unknown weight_hr_l0; .* made for 3 inputs$",
        ),
        (lambda w: renamed(w, "_l1", "_l2"), r"missing weight_ih_l1, .*unknown weight_ih_l2"),
        (lambda w: renamed(w, "weight", "cell.weight"), r"unknown cell.weight_ih_l0"),
        (lambda w: {}, r"missing weight_ih_l0, .*exactly weight_ih_l0, bias_ih_l0, weight_hh_l0"),
        (lambda w: w | {"bias_ih_l0": np.zeros(7)}, r"bias_ih_l0 is \(7,\), not \(8,\)"),
        (lambda w: w | {"weight_ih_l1": np.zeros((8, 2))}, r"l1 is \(8, 2\), not \(8, 4\)"),
    ],
)
def test_wrong_weights_are_named(spoil, message, rng):
    weights = random_weights("lstm", rng, 3, 2, num_layers=2, bidirectional=True)
    with pytest.raises(ConfigError, match=message):
        run_recurrence("lstm", spoil(weights), np.zeros((1, 4, 3)))


def test_weights_of_another_cell_are_refused(rng):
    with pytest.raises(ConfigError, match=r"gru weights: weight_ih_l0 is \(8, 3\), not \(6, 3\)"):
        run_recurrence("gru", random_weights("lstm", rng, 3, 2), np.zeros((1, 4, 3)))


@pytest.mark.parametrize(
    "inputs", [np.zeros((4, 3)), np.zeros((1, 0, 3)), np.zeros((1, 4, 3), dtype=np.int16)]
)
def test_wrong_inputs_are_described(inputs, rng):
    with pytest.raises(ConfigError, match=rf"^rnn inputs: {inputs.dtype} of shape .*; pass floats"):
        run_recurrence("rnn", random_weights("rnn", rng, 3, 2), inputs)
