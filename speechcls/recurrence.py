"""The equations of the recurrent cells in NumPy, gate by gate: written to be read, not to be fast.

``rnn_step``, ``lstm_step`` and ``gru_step`` are one time step each; ``run_recurrence`` carries them
over time, layers and directions with the weights of a trained ``torch.nn.RNN``, ``LSTM`` or ``GRU``
and keeps every gate's activation. x is the input of the step, h the hidden state and c the LSTM's
cell, both from the step before. Papers write W x for a column x; here each clip of a batch is one
row of ``x``, so the same product is ``x @ W.T``.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from speechcls.errors import ConfigError

Array = NDArray[np.floating[Any]]


class GateWeights(NamedTuple):
    """What decides one gate's activation, given x and h."""

    w_x: Array  # (hidden_size, n_inputs)
    b_x: Array  # (hidden_size,)
    w_h: Array  # (hidden_size, hidden_size)
    b_h: Array  # (hidden_size,)

    def from_input(self, x: Array) -> Array:
        """W_x x + b_x for each clip: (batch, n_inputs) to (batch, hidden_size)."""
        return x @ self.w_x.T + self.b_x

    def from_hidden(self, h: Array) -> Array:
        """W_h h + b_h for each clip: (batch, hidden_size) to (batch, hidden_size)."""
        return h @ self.w_h.T + self.b_h


CellWeights = Mapping[str, GateWeights]  # by gate
State = tuple[Array, ...]  # (h,) or (h, c): a tuple always, so that one loop serves every cell
Gates = dict[str, Array]  # activations by gate


def sigmoid(a: Array) -> Array:
    """1 / (1 + exp(-a)), elementwise in [0, 1], by an identity in which no ``a`` overflows."""
    squashed: Array = 0.5 * (1 + np.tanh(0.5 * a))
    return squashed


def rnn_step(x: Array, state: State, weights: CellWeights) -> tuple[State, Gates]:
    """State of a simple recurrent network after one time step, and no gates: it has none.

    Parameters
    ----------
    x : (batch, n_inputs)
    state : (h,), h is (batch, hidden_size) in [-1, 1]
    weights : of 'hidden'

    Source
    ------
    Elman 1990, "Finding structure in time"; squashed by tanh, as torch does.
    """
    (h,) = state
    new_h = np.tanh(weights["hidden"].from_input(x) + weights["hidden"].from_hidden(h))
    return (new_h,), {}


def lstm_step(x: Array, state: State, weights: CellWeights) -> tuple[State, Gates]:
    """State of a long short-term memory after one time step, and its gates.

    Parameters
    ----------
    x : (batch, n_inputs)
    state : (h, c), each (batch, hidden_size); h in [-1, 1], c unbounded
    weights : of 'forget', 'input', 'output' and 'candidate'

    Returns
    -------
    New (h, c), and by name (batch, hidden_size): 'forget', 'input' and 'output' in [0, 1],
    'candidate' in [-1, 1], and 'cell', the new c

    Source
    ------
    Hochreiter & Schmidhuber 1997, "Long short-term memory"; the forget gate of Gers, Schmidhuber &
    Cummins 2000, "Learning to forget". As in torch, both squashing functions are tanh, no gate
    sees the cell (no peepholes), and a gate's two biases simply add up.
    """
    h, c = state
    w = weights
    forget = sigmoid(w["forget"].from_input(x) + w["forget"].from_hidden(h))
    input_ = sigmoid(w["input"].from_input(x) + w["input"].from_hidden(h))
    output = sigmoid(w["output"].from_input(x) + w["output"].from_hidden(h))
    candidate = np.tanh(w["candidate"].from_input(x) + w["candidate"].from_hidden(h))
    new_c = forget * c + input_ * candidate
    new_h = output * np.tanh(new_c)
    gates = {"forget": forget, "input": input_, "output": output}
    return (new_h, new_c), {**gates, "candidate": candidate, "cell": new_c}


def gru_step(x: Array, state: State, weights: CellWeights) -> tuple[State, Gates]:
    """State of a gated recurrent unit after one time step, and its gates.

    Publications differ on two points; this is what torch does:

    * Reset: the paper resets h before the hidden matrix, candidate = tanh(W x + U (r · h)). Torch
      lets r scale what comes out of that matrix, bias included: tanh(W_x x + b_x + r · (W_h h +
      b_h)). ONNX calls it ``linear_before_reset=1``. Weights trained for one do not fit the other.
    * Update: z = 1 keeps h and z = 0 takes the candidate, as in the paper. Chung et al. 2014 and
      many textbooks swap the two, which is the same cell with the update gate's weights negated.

    Parameters
    ----------
    x : (batch, n_inputs)
    state : (h,), h is (batch, hidden_size) in [-1, 1]
    weights : of 'reset', 'update' and 'candidate'

    Returns
    -------
    New (h,), and by name (batch, hidden_size): 'reset', 'update' in [0, 1], 'candidate' in [-1, 1]

    Source
    ------
    Cho et al. 2014, "Learning phrase representations using RNN encoder-decoder for statistical
    machine translation", arXiv 1406.1078v3, to which torch adds the biases.
    """
    (h,) = state
    w = weights
    reset = sigmoid(w["reset"].from_input(x) + w["reset"].from_hidden(h))
    update = sigmoid(w["update"].from_input(x) + w["update"].from_hidden(h))
    candidate = np.tanh(w["candidate"].from_input(x) + reset * w["candidate"].from_hidden(h))
    new_h = update * h + (1 - update) * candidate
    return (new_h,), {"reset": reset, "update": update, "candidate": candidate}


class _Cell(NamedTuple):
    """One kind of cell, as the loop over time needs to know it."""

    step: Callable[[Array, State, CellWeights], tuple[State, Gates]]
    n_states: int
    stacked: tuple[str, ...]  # torch stacks the gates' weights in one matrix, in this order


_CELLS = {
    "rnn": _Cell(rnn_step, 1, ("hidden",)),
    "lstm": _Cell(lstm_step, 2, ("input", "forget", "candidate", "output")),
    "gru": _Cell(gru_step, 1, ("reset", "update", "candidate")),
}
_SUFFIXES = {"forward": "", "reverse": "_reverse"}


@dataclass(frozen=True)
class DirectionTrace:
    """What one layer did in one direction; frame t is the input's frame t, in reverse too."""

    hidden: Array  # (batch, n_frames, hidden_size) in [-1, 1], h after each frame
    gates: Gates  # by name (batch, n_frames, hidden_size), as the step function gives them


@dataclass(frozen=True)
class RecurrenceTrace:
    """What a network did; a forward direction ends at frame -1, a reverse one at frame 0."""

    outputs: Array  # (batch, n_frames, n_directions * hidden_size), the forward columns first
    layers: tuple[dict[str, DirectionTrace], ...]  # each by 'forward' and, if there, 'reverse'


def run_recurrence(cell: str, weights: Mapping[str, Array], inputs: Array) -> RecurrenceTrace:
    """Trace of a recurrent network run from a state of zeros, in the dtype of ``inputs``.

    Parameters
    ----------
    cell : 'rnn', 'lstm' or 'gru'
    weights : by torch's names and in its shapes: weight_ih_l0, weight_hh_l0, bias_ih_l0 and
        bias_hh_l0 for the first layer, l1 for the next, with _reverse appended for the other
        direction; the names decide how many layers and directions there are
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
    if cell not in _CELLS:
        raise ConfigError(f"recurrent cell {cell!r}: not known; choose one of {', '.join(_CELLS)}")
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
    gate_weights = _unpack(cell, weights, f"l{layer}{_SUFFIXES[direction]}", inputs.dtype)
    hidden_size = weights["weight_hh_l0"].shape[1]
    batch, n_frames, _ = inputs.shape
    hidden = np.empty((batch, n_frames, hidden_size), inputs.dtype)
    gates_at: list[Gates] = [{}] * n_frames
    state: State = _CELLS[cell].n_states * (np.zeros((batch, hidden_size), inputs.dtype),)
    for frame in range(n_frames) if direction == "forward" else reversed(range(n_frames)):
        state, gates_at[frame] = _CELLS[cell].step(inputs[:, frame], state, gate_weights)
        hidden[:, frame] = state[0]
    gates = {name: np.stack([at[name] for at in gates_at], axis=1) for name in gates_at[0]}
    return DirectionTrace(hidden, gates)


def _unpack(cell: str, weights: Mapping[str, Array], suffix: str, dtype: DTypeLike) -> CellWeights:
    """Torch's stacked weights of one layer and direction, gate by gate."""
    stacked = _CELLS[cell].stacked
    parts = (f"{part}_{suffix}" for part in ("weight_ih", "bias_ih", "weight_hh", "bias_hh"))
    split = [np.split(np.asarray(weights[part], dtype), len(stacked)) for part in parts]
    return {name: GateWeights(*rows) for name, *rows in zip(stacked, *split, strict=True)}


def _check_weights(cell: str, weights: Mapping[str, Array], n_inputs: int) -> tuple[int, list[str]]:
    """Layer count and directions that the names stand for, once names and shapes are right."""
    found = [m for name in weights if (m := re.fullmatch(r"\w+_l(\d+)(_reverse)?", name))]
    num_layers = len({m[1] for m in found}) or 1
    directions = ["forward", "reverse"] if any(m[2] for m in found) else ["forward"]
    has = {name: np.shape(array) for name, array in weights.items()}
    hidden_size = has.get("weight_hh_l0", (0,))[-1]
    rows = len(_CELLS[cell].stacked) * hidden_size
    shapes: dict[str, tuple[int, ...]] = {}
    for layer in range(num_layers):
        width = n_inputs if layer == 0 else len(directions) * hidden_size
        for suffix in (f"l{layer}{_SUFFIXES[direction]}" for direction in directions):
            shapes |= {f"weight_ih_{suffix}": (rows, width), f"bias_ih_{suffix}": (rows,)}
            shapes |= {f"weight_hh_{suffix}": (rows, hidden_size), f"bias_hh_{suffix}": (rows,)}
    faults = [f"missing {name}" for name in shapes if name not in has]
    faults += [f"unknown {name}" for name in has if name not in shapes]
    faults = faults or [f"{n} is {has[n]}, not {shapes[n]}" for n in shapes if has[n] != shapes[n]]
    if faults:
        mend = f"pass exactly {', '.join(shapes)}, made for {n_inputs} inputs"
        raise ConfigError(f"{cell} weights: {', '.join(faults)}; {mend}")
    return num_layers, directions
