"""A whole recurrence in NumPy: the equations of a cell carried over time, layers and directions."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import DTypeLike

from speechcls.errors import ConfigError
from speechcls.explain.recurrence import (
    EQUATIONS,
    Array,
    CellWeights,
    Gates,
    GateWeights,
    State,
    StoredArray,
)

_SUFFIXES = {"forward": "", "reverse": "_reverse"}


@dataclass(frozen=True)
class DirectionTrace:
    """States and gates of one layer and direction; frame t is the input's, in reverse too."""

    hidden: Array  # (batch, n_frames, hidden_size), h after each frame
    gates: Gates  # by name (batch, n_frames, n_units), as the step function gives them


@dataclass(frozen=True)
class RecurrenceTrace:
    """Trace of all layers; a forward direction ends at frame -1, a reverse one at frame 0."""

    outputs: Array  # (batch, n_frames, n_directions * hidden_size), the forward columns first
    layers: tuple[dict[str, DirectionTrace], ...]  # each by 'forward' and, if there, 'reverse'


def run_recurrence(cell: str, weights: Mapping[str, Array], inputs: Array) -> RecurrenceTrace:
    """Trace of a recurrent network run from a state of zeros, in the dtype of ``inputs``.

    Parameters
    ----------
    cell : a name in ``recurrence.EQUATIONS``
    weights : by the names of the ``state_dict`` and in its shapes; they decide how many layers and
        directions there are. Torch's layers have weight_ih_l0, weight_hh_l0, bias_ih_l0, bias_hh_l0
        and in 'lstmp' weight_hr_l0, then l1, with _reverse appended for the other direction; those
        of ``StackedLayers`` have layers.0.weight_hh and so on, and one direction
    inputs : (batch, n_frames, n_inputs) floating, one frame or more

    Raises
    ------
    ConfigError
        Unknown cell; missing, unknown or misshapen weight; inputs other than above.

    Source
    ------
    Schuster & Paliwal 1997, "Bidirectional recurrent neural networks". Each further layer reads
    the outputs of the one below; there is no dropout between them, as in torch's ``eval`` mode.
    """
    if cell not in EQUATIONS:
        raise ConfigError(
            f"recurrent cell {cell!r}: not known; choose one of {', '.join(EQUATIONS)}"
        )
    if inputs.ndim != 3 or not inputs.shape[1] or not np.issubdtype(inputs.dtype, np.floating):
        found = f"{inputs.dtype} of shape {inputs.shape}"
        raise ConfigError(f"{cell} inputs: {found}; pass floats (batch, n_frames >= 1, n_inputs)")
    num_layers, directions = _check_weights(cell, weights, n_inputs=inputs.shape[2])
    outputs = inputs
    layers = []
    for layer in range(num_layers):
        traces = {way: _run_layer(cell, weights, outputs, layer, way) for way in directions}
        # (batch, n_frames, n_directions * hidden_size)
        outputs = np.concatenate([trace.hidden for trace in traces.values()], axis=2)
        layers.append(traces)
    return RecurrenceTrace(outputs, tuple(layers))


def _run_layer(
    cell: str, weights: Mapping[str, Array], inputs: Array, layer: int, direction: str
) -> DirectionTrace:
    """One layer over all frames of (batch, n_frames, n_inputs), in one direction."""
    gate_weights, arguments = unpack_layer(cell, weights, layer, direction, inputs.dtype)
    n_units, hidden_size = next(iter(gate_weights.values())).w_h.shape
    batch, n_frames, _ = inputs.shape
    hidden = np.empty((batch, n_frames, hidden_size), inputs.dtype)
    gates_at: list[Gates] = [{}] * n_frames
    step, n_states, *_ = EQUATIONS[cell]
    sizes = (hidden_size, n_units)[:n_states]  # of h and c
    state: State = tuple(np.zeros((batch, size), inputs.dtype) for size in sizes)
    for frame in range(n_frames) if direction == "forward" else reversed(range(n_frames)):
        state, gates_at[frame] = step(inputs[:, frame], state, gate_weights, **arguments)
        hidden[:, frame] = state[0]
    gates = {name: np.stack([at[name] for at in gates_at], axis=1) for name in gates_at[0]}
    return DirectionTrace(hidden, gates)


def unpack_layer(
    cell: str, weights: Mapping[str, Array], layer: int, direction: str, dtype: DTypeLike
) -> tuple[CellWeights, dict[str, Array]]:
    """One layer and direction's weights gate by gate, and the step's further arguments."""
    parts, arguments = split_layer(cell, weights, layer, direction, dtype)
    for part in parts.values():
        part.setdefault("b_h", np.zeros_like(part["b_x"]))
        part.setdefault("w_h", np.zeros(2 * part["b_h"].shape, dtype))  # (n_units, n_units)
    return {gate: GateWeights(**part) for gate, part in parts.items()}, arguments


def split_layer(
    cell: str, weights: Mapping[str, Array], layer: int, direction: str, dtype: DTypeLike
) -> tuple[dict[str, dict[str, Array]], dict[str, Array]]:
    """One layer and direction's weights as they are stored, by gate and by the step's argument.

    Parameters
    ----------
    weights : see ``run_recurrence``
    layer : from 0, the lowest
    direction : forward or reverse

    Returns
    -------
    by gate those fields of ``GateWeights`` that the cell has, and the step's further arguments
    """
    parts: dict[str, dict[str, Array]] = {}
    arguments = {}
    for name, stored in _arrays(cell, layer, [direction]).items():
        array = np.asarray(weights[name], dtype)
        if not stored.gates:
            arguments[stored.part] = array
            continue
        for gate, rows in zip(stored.gates, np.split(array, len(stored.gates)), strict=True):
            parts.setdefault(gate, {})[stored.part] = rows
    return parts, arguments


def _arrays(cell: str, layer: int, directions: list[str]) -> dict[str, StoredArray]:
    """Arrays of one layer by their full names."""
    return {
        stored.name.format(layer=layer, reverse=_SUFFIXES[direction]): stored
        for direction in directions
        for stored in EQUATIONS[cell].stored
    }


def _check_weights(cell: str, weights: Mapping[str, Array], n_inputs: int) -> tuple[int, list[str]]:
    """Layer count and directions that the names stand for, once names and shapes are right."""
    is_both = any(name.endswith("_reverse") for name in weights)
    directions = ["forward", "reverse"] if is_both else ["forward"]
    arrays = [_arrays(cell, layer, directions) for layer in range(max(1, len(weights)))]
    # A layer above a gap counts too, so that what is missing is named.
    num_layers = sum(not names.keys().isdisjoint(weights) for names in arrays) or 1
    has = {name: np.shape(array) for name, array in weights.items()}
    sized_by = EQUATIONS[cell].sized_by
    # Of weight_hh the second axis wins, on which no gates are stacked.
    found = zip(arrays[0][sized_by].shape, has.get(sized_by, ()), strict=False)
    sizes = {"hidden": 0, "units": 0, **dict(found)}
    shapes: dict[str, tuple[int, ...]] = {}
    for layer in range(num_layers):
        sizes["inputs"] = n_inputs if layer == 0 else len(directions) * sizes["hidden"]
        for name, stored in arrays[layer].items():
            shape = [sizes[size] for size in stored.shape]
            if stored.gates:
                shape[0] *= len(stored.gates)
            shapes[name] = tuple(shape)
    faults = [f"missing {name}" for name in shapes if name not in has]
    faults += [f"unknown {name}" for name in has if name not in shapes]
    faults = faults or [f"{n} is {has[n]}, not {shapes[n]}" for n in shapes if has[n] != shapes[n]]
    if faults:
        advice = f"pass exactly {', '.join(shapes)}, made for {n_inputs} inputs"
        raise ConfigError(f"{cell} weights: {', '.join(faults)}; {advice}")
    return num_layers, directions
