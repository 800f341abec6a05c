"""Recurrence against values worked out by hand.

The weights are chosen so that every squashing comes out even:
sigmoid(ln 3) = 3/4, sigmoid(0) = 1/2, sigmoid(-ln 3) = 1/4, tanh(ln 2) = 3/5, tanh(ln 3) = 4/5.
"""

import itertools
from math import log

import numpy as np
import pytest

from speechcls.explain.recurrence import (
    GateWeights,
    fastrnn_step,
    gru_step,
    lstm_step,
    lstmp_step,
    mingru_step,
    rnn_step,
    sigmoid,
)
from speechcls.explain.unroll import run_recurrence

LN2, LN3 = log(2), log(3)
N_GATES = {"rnn": 1, "lstm": 4, "gru": 3, "lstmp": 4}
"""Of the cells that torch has."""
CELLS = [*N_GATES, "fastrnn", "mingru"]


def gate(w_x, b_x, w_h, b_h):
    """One gate of hidden size 1 on one input."""
    return GateWeights(np.array([[w_x]]), np.array([b_x]), np.array([[w_h]]), np.array([b_h]))


def constant(value):
    """A gate that sees neither x nor h."""
    return gate(0.0, value, 0.0, 0.0)


def column(*values):
    """One value a clip, (batch, 1)."""
    return np.array(values)[:, np.newaxis]


def random_weights(cell, rng, n_inputs, hidden_size, num_layers=1, bidirectional=False):
    """Normal weights by the network's names and in its shapes; the projected LSTM has 3 units."""
    n_units = 3 if cell == "lstmp" else hidden_size
    suffixes = ["", "_reverse"] if bidirectional and cell in N_GATES else [""]
    shapes = {}
    for layer, suffix in itertools.product(range(num_layers), suffixes):
        width = n_inputs if layer == 0 else len(suffixes) * hidden_size
        linear = {"weight": (hidden_size, width), "bias": (hidden_size,)}
        if cell == "fastrnn":
            shapes |= {f"layers.{layer}.from_input.{name}": linear[name] for name in linear}
            shapes[f"layers.{layer}.weight_hh"] = (hidden_size, hidden_size)
            shapes |= {f"layers.{layer}.{name}_logit": () for name in ("alpha", "beta")}
        elif cell == "mingru":
            shapes |= {f"layers.{layer}.update.{name}": linear[name] for name in linear}
            shapes |= {f"layers.{layer}.candidate.{name}": linear[name] for name in linear}
        else:
            rows, end = N_GATES[cell] * n_units, f"l{layer}{suffix}"
            shapes |= {f"weight_ih_{end}": (rows, width), f"weight_hh_{end}": (rows, hidden_size)}
            shapes |= {f"bias_ih_{end}": (rows,), f"bias_hh_{end}": (rows,)}
            if cell == "lstmp":
                shapes[f"weight_hr_{end}"] = (hidden_size, n_units)
    return {name: rng.standard_normal(shape) for name, shape in shapes.items()}


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


def test_lstmp_step_by_hand():
    # Two units, one projected h: every gate of the first sees 2h, of the second nothing.
    def pair(value):
        return GateWeights(np.zeros((2, 1)), np.array([value, value]), np.array([[2.0], [0]]), 0)

    weights = {"forget": pair(0), "input": pair(0), "output": pair(LN3), "candidate": pair(LN2)}
    state = (column(0.0), np.array([[2 * LN2 - 0.6, 2 * LN3 - 0.6]]))
    # c' = 1/2·c + 1/2·3/5 = (ln 2, ln 3), so W_hr h' = 10·3/4·3/5 + 100·3/4·4/5.
    (h, c), gates = lstmp_step(column(5.0), state, weights, np.array([[10.0, 100]]))
    np.testing.assert_allclose(c, [[LN2, LN3]], rtol=1e-14)
    np.testing.assert_allclose(h, [[64.5]], rtol=1e-14)
    np.testing.assert_allclose(gates["cell"], c, rtol=1e-15)
    # Of h = ln 3 / 2 the first unit's forget gate makes 3/4, where it was 1/2.
    _, gates = lstmp_step(column(5.0), (column(LN3 / 2), c), weights, np.array([[10.0, 100]]))
    np.testing.assert_allclose(gates["forget"], [[0.75, 0.5]], rtol=1e-14)


def test_fastrnn_step_by_hand():
    # 2·1 + ln 3 + 0.5·(-4) = ln 3, whose tanh is 0.8; then 3/4·0.8 + 1/2·0.5.
    weights = {"hidden": gate(w_x=1.0, b_x=LN3, w_h=-4.0, b_h=0.0)}
    state = (column(0.5),)
    (h,), gates = fastrnn_step(column(2.0), state, weights, np.array(LN3), np.array(0.0))
    np.testing.assert_allclose(h, [[0.85]], rtol=1e-14)
    assert gates == {}


def test_mingru_step_by_hand():
    # z = sigmoid(2·1 - 2 - ln 3) = 1/4 and the candidate 2·3 + 4 = 10; the state is seen by none.
    weights = {
        "update": gate(w_x=1.0, b_x=-2 - LN3, w_h=7.0, b_h=7.0),
        "candidate": gate(w_x=3.0, b_x=4.0, w_h=7.0, b_h=7.0),
    }
    (h,), gates = mingru_step(column(2.0), (column(0.5),), weights)
    # h' = 3/4·1/2 + 1/4·10; the other way round it would be 7.625.
    assert h.item() == pytest.approx(2.875, rel=1e-14)
    assert {name: value.item() for name, value in gates.items()} == pytest.approx(
        {"update": 0.25, "candidate": 10}, rel=1e-14
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


def test_fastrnn_carries_the_state_with_each_layers_own_alpha_and_beta():
    def layer(number, bias, alpha_logit, beta_logit):
        values = {"from_input.weight": [[1]], "from_input.bias": [bias], "weight_hh": [[0]]}
        values |= {"alpha_logit": alpha_logit, "beta_logit": beta_logit}
        return {f"layers.{number}.{name}": np.array(v, float) for name, v in values.items()}

    # First layer: 1/2·0.6 = 0.3, then 3/4·0.3 + 0.3 = 0.525.
    weights = layer(0, LN2, 0, LN3) | layer(1, LN3 - 0.3, LN3, -LN3)
    trace = run_recurrence("fastrnn", weights, np.zeros((1, 2, 1)))
    first, second = (by_direction["forward"] for by_direction in trace.layers)
    np.testing.assert_allclose(first.hidden, [[[0.3], [0.525]]], rtol=1e-14)
    # 3/4·0.8 = 0.6, then 1/4·0.6 + 3/4·tanh(ln 3 + 0.225).
    expected = [[[0.6], [0.15 + 0.75 * np.tanh(LN3 + 0.225)]]]
    np.testing.assert_allclose(second.hidden, expected, rtol=1e-14)
    assert first.gates == second.gates == {}


def test_gates_of_mingru_have_the_names_of_its_weights():
    weights = {f"layers.0.{name}.weight": np.zeros((1, 1)) for name in ("update", "candidate")}
    weights |= {"layers.0.update.bias": np.array([LN3]), "layers.0.candidate.bias": np.array([8.0])}
    forward = run_recurrence("mingru", weights, np.ones((1, 2, 1))).layers[0]["forward"]
    np.testing.assert_allclose(forward.gates["update"], [[[0.75], [0.75]]], rtol=1e-14)
    np.testing.assert_allclose(forward.gates["candidate"], [[[8], [8]]], rtol=1e-14)
    np.testing.assert_allclose(forward.hidden, [[[6], [7.5]]], rtol=1e-14)


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
            n_units = 3 if cell == "lstmp" else 2
            assert {array.shape for array in direction.gates.values()} <= {(4, 5, n_units)}


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


def largest_hidden(cell, weights, layer, direction):
    """What no |h| of a layer goes beyond."""
    if cell == "lstmp":  # all units at 1, with the signs of the projection
        hr = [w for name, w in weights.items() if name.startswith(f"weight_hr_l{layer}")]
        return max(np.abs(w).sum(axis=1).max() for w in hr) * (1 + 1e-6)
    if cell == "fastrnn":  # where beta takes away what alpha adds
        logits = (weights[f"layers.{layer}.{name}_logit"] for name in ("alpha", "beta"))
        alpha, beta = map(sigmoid, logits)
        return alpha / (1 - beta) * (1 + 1e-6)
    return np.abs(direction.gates["candidate"]).max() if cell == "mingru" else 1


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("scale", [1.0, 1e30])
def test_long_and_extreme_inputs_stay_in_bounds_without_a_warning(cell, scale, rng):
    weights = random_weights(cell, rng, 3, 4, num_layers=2, bidirectional=True)
    inputs = (scale * rng.standard_normal((2, 1000, 3))).astype(np.float32)
    trace = run_recurrence(cell, weights, inputs)
    for number, direction in (
        (i, d) for i, layer in enumerate(trace.layers) for d in layer.values()
    ):
        assert np.abs(direction.hidden).max() <= largest_hidden(cell, weights, number, direction)
        if cell == "mingru":
            continue  # its candidate is as large as the inputs are
        for name, activation in direction.gates.items():
            # |c'| <= |c| + 1, since the gates are at most 1 and the candidate is within 1.
            bound = 1000 if name == "cell" else 1
            assert activation.max() <= bound
            assert activation.min() >= (-bound if name in ("candidate", "cell") else 0)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_computes_in_the_dtype_of_the_inputs(cell, dtype, rng):
    weights = random_weights(cell, rng, 3, 2)
    trace = run_recurrence(cell, weights, rng.standard_normal((1, 4, 3)).astype(dtype))
    forward = trace.layers[0]["forward"]
    arrays = [trace.outputs, forward.hidden, *forward.gates.values()]
    assert {array.dtype for array in arrays} == {np.dtype(dtype)}
