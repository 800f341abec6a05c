"""Weights and inputs that do not belong to a recurrent cell are refused by name."""

import re
from functools import partial

import numpy as np
import pytest
from torch import nn

from speechcls.errors import ConfigError
from speechcls.explain.unroll import run_recurrence
from speechcls.networks.layers import FastRNNLayer, MinGRULayer, StackedLayers

CELLS = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU, "lstmp": nn.LSTM}
CELLS |= {"fastrnn": partial(StackedLayers, FastRNNLayer)}
CELLS |= {"mingru": partial(StackedLayers, MinGRULayer)}
INPUTS = np.zeros((1, 4, 3))


def weights_of(cell, num_layers=1, **settings):
    """The weights of a network of hidden size 2 on 3 inputs; the projected LSTM has 3 units."""
    if cell == "lstmp":
        settings["proj_size"] = 2
    network = CELLS[cell](3, 3 if cell == "lstmp" else 2, num_layers, **settings)
    return {name: tensor.numpy() for name, tensor in network.state_dict().items()}


def test_unknown_cell_lists_the_known_ones():
    with pytest.raises(
        ConfigError, match=r"'elman': .*; choose one of rnn, lstm, gru, lstmp, fastrnn, mingru$"
    ):
        run_recurrence("elman", weights_of("rnn"), INPUTS)


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
def test_wrong_weights_are_named(spoil, message):
    weights = weights_of("lstm", num_layers=2, bidirectional=True)
    with pytest.raises(ConfigError, match=message):
        run_recurrence("lstm", spoil(weights), INPUTS)


@pytest.mark.parametrize("cell", CELLS)
def test_every_missing_unknown_and_misshapen_weight_of_every_cell_is_named(cell):
    weights = weights_of(cell, num_layers=2)
    run_recurrence(cell, weights, INPUTS)
    for name in weights:
        others = {key: array for key, array in weights.items() if key != name}
        with pytest.raises(ConfigError, match=f"^{cell} weights: missing {name}; pass exactly "):
            run_recurrence(cell, others, INPUTS)
        with pytest.raises(ConfigError, match=f"^{cell} weights: unknown {name}s; pass exactly "):
            run_recurrence(cell, weights | {f"{name}s": weights[name]}, INPUTS)
        found = (*weights[name].shape, 1)
        with pytest.raises(ConfigError, match=rf"{name} is {re.escape(str(found))}, not \("):
            run_recurrence(cell, weights | {name: weights[name][..., np.newaxis]}, INPUTS)


@pytest.mark.parametrize(
    ("cell", "name", "shape", "expected"),
    [
        ("lstmp", "weight_hr_l1", (3, 2), (2, 3)),
        ("lstmp", "weight_hh_l0", (12, 3), (12, 2)),
        ("lstmp", "weight_ih_l1", (12, 3), (12, 2)),
        ("fastrnn", "layers.0.alpha_logit", (2,), ()),
        ("fastrnn", "layers.1.from_input.weight", (2, 3), (2, 2)),
        ("mingru", "layers.0.candidate.bias", (3,), (2,)),
        ("mingru", "layers.1.update.weight", (2, 3), (2, 2)),
    ],
)
def test_shapes_that_do_not_fit_together_are_named(cell, name, shape, expected):
    fault = f"{cell} weights: {name} is {shape}, not {expected}; pass exactly"
    with pytest.raises(ConfigError, match="^" + re.escape(fault)):
        run_recurrence(cell, weights_of(cell, num_layers=2) | {name: np.zeros(shape)}, INPUTS)


@pytest.mark.parametrize("cell", ["fastrnn", "mingru"])
def test_layers_of_one_direction_refuse_another(cell):
    weights = weights_of(cell)
    name = next(iter(weights))
    with pytest.raises(ConfigError, match=f"^{cell} weights: unknown {name}_reverse; pass"):
        run_recurrence(cell, weights | {f"{name}_reverse": weights[name]}, INPUTS)


@pytest.mark.parametrize("cell", CELLS)
def test_a_gap_in_the_layers_is_named(cell):
    weights = weights_of(cell, num_layers=2)
    moved = {re.sub(r"(_l|layers\.)1", r"\g<1>2", name): array for name, array in weights.items()}
    with pytest.raises(ConfigError) as raised:
        run_recurrence(cell, moved, INPUTS)
    for absent in weights.keys() - moved:
        assert f"missing {absent}," in str(raised.value)
    for surplus in moved.keys() - weights:
        assert re.search(f"unknown {re.escape(surplus)}[,;]", str(raised.value))


def test_weights_of_another_cell_are_refused():
    with pytest.raises(ConfigError, match=r"gru weights: weight_ih_l0 is \(8, 3\), not \(6, 3\)"):
        run_recurrence("gru", weights_of("lstm"), INPUTS)
    with pytest.raises(ConfigError, match=r"lstm weights: unknown weight_hr_l0; pass exactly"):
        run_recurrence("lstm", weights_of("lstmp"), INPUTS)
    with pytest.raises(ConfigError, match=r"lstmp weights: missing weight_hr_l0; pass exactly"):
        run_recurrence("lstmp", weights_of("lstm"), INPUTS)
    with pytest.raises(ConfigError, match=r"mingru .*missing layers.0.update.weight, .*unknown"):
        run_recurrence("mingru", weights_of("fastrnn"), INPUTS)


@pytest.mark.parametrize(
    "inputs", [np.zeros((4, 3)), np.zeros((1, 0, 3)), np.zeros((1, 4, 3), dtype=np.int16)]
)
def test_wrong_inputs_are_described(inputs):
    with pytest.raises(ConfigError, match=rf"^rnn inputs: {inputs.dtype} of shape .*; pass floats"):
        run_recurrence("rnn", weights_of("rnn"), inputs)
