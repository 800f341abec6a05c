"""The equations of the recurrent cells in NumPy, gate by gate: written to be read, not to be fast.

``rnn_step``, ``lstm_step`` and so on are one time step each; ``run_recurrence`` carries them over
time, layers and directions with the weights of a trained network and keeps every gate's activation.
x is the input of the step, h the hidden state and c the LSTM's cell, both from the step before.
Papers write W x for a column x; here each clip of a batch is one row of ``x``, so the same product
is ``x @ W.T``.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from speechcls.errors import ConfigError

Array = NDArray[np.floating[Any]]


class GateWeights(NamedTuple):
    """What decides one gate's activation, given x and h; zeros for what a cell does not have."""

    w_x: Array  # (n_units, n_inputs), where n_units is hidden_size, and more only in lstmp
    b_x: Array  # (n_units,)
    w_h: Array  # (n_units, hidden_size)
    b_h: Array  # (n_units,)

    def from_input(self, x: Array) -> Array:
        """W_x x + b_x for each clip: (batch, n_inputs) to (batch, n_units)."""
        return x @ self.w_x.T + self.b_x

    def from_hidden(self, h: Array) -> Array:
        """W_h h + b_h for each clip: (batch, hidden_size) to (batch, n_units)."""
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


def lstmp_step(x: Array, state: State, weights: CellWeights, w_hr: Array) -> tuple[State, Gates]:
    """State of an LSTM whose h is projected to fewer values, after one time step, and its gates.

    The step is the LSTM's, but what it hands on is W_hr h. The next step's gates and the next layer
    see only that, so their matrices are narrower; c is not projected.

    Parameters
    ----------
    x : (batch, n_inputs)
    state : (h, c), h is (batch, hidden_size), c is (batch, n_units); both unbounded
    weights : of 'forget', 'input', 'output' and 'candidate'
    w_hr : (hidden_size, n_units)

    Returns
    -------
    New (h, c), and by name (batch, n_units) the gates of ``lstm_step``

    Source
    ------
    Sak, Senior & Beaufays 2014, "Long short-term memory recurrent neural network architectures for
    large scale acoustic modeling"; as in torch (``proj_size``), without their peepholes.
    """
    (new_h, new_c), gates = lstm_step(x, state, weights)
    return (new_h @ w_hr.T, new_c), gates


def fastrnn_step(
    x: Array, state: State, weights: CellWeights, alpha_logit: Array, beta_logit: Array
) -> tuple[State, Gates]:
    """State of a FastRNN after one time step, and no gates: alpha and beta are the same always.

    alpha says how much of what a simple recurrent network would do is taken in, beta how much of
    the old h stays. Each is one learnt number a layer for all units, frames and clips, kept within
    0 and 1 by a sigmoid. With beta near 1 and alpha near 1 - beta, h is a slowly leaking average.

    Parameters
    ----------
    x : (batch, n_inputs)
    state : (h,), h is (batch, hidden_size), never beyond alpha / (1 - beta) from a start at zero
    weights : of 'hidden', whose ``b_h`` is zero
    alpha_logit, beta_logit : () numbers whose sigmoids are alpha and beta

    Source
    ------
    Kusupati et al. 2018, "FastGRNN: A fast, accurate, stable and tiny kilobyte sized gated
    recurrent neural network", section 3.1, with tanh.
    """
    (h,) = state
    alpha, beta = sigmoid(alpha_logit), sigmoid(beta_logit)
    pushed = np.tanh(weights["hidden"].from_input(x) + weights["hidden"].from_hidden(h))
    return (beta * h + alpha * pushed,), {}


def mingru_step(x: Array, state: State, weights: CellWeights) -> tuple[State, Gates]:
    """State of a minimal gated recurrent unit after one time step, and its gates.

    A GRU whose update and candidate see x alone, without a reset gate or a tanh. Here z = 1 takes
    the candidate and z = 0 keeps h, the reverse of ``gru_step``, each as its paper has it.

    Parameters
    ----------
    x : (batch, n_inputs)
    state : (h,), h is (batch, hidden_size), unbounded
    weights : of 'update' and 'candidate', whose ``w_h`` and ``b_h`` are zero

    Returns
    -------
    New (h,), and by name (batch, hidden_size): 'update' in [0, 1], 'candidate' unbounded

    Source
    ------
    Feng et al. 2024, "Were RNNs all we needed?", arXiv 2410.01201.
    """
    (h,) = state
    update = sigmoid(weights["update"].from_input(x))
    candidate = weights["candidate"].from_input(x)
    new_h = (1 - update) * h + update * candidate
    return (new_h,), {"update": update, "candidate": candidate}


class _Stored(NamedTuple):
    """One array of one layer and direction, as the trained network stores it."""

    name: str  # {layer} stands for 0, 1 ... and {reverse} for nothing or _reverse
    part: str  # a field of GateWeights or, if the array is of no gate, an argument of the step
    shape: tuple[str, ...]  # of 'inputs', 'hidden' and 'units', for one gate
    gates: tuple[str, ...] = ()  # stacked along the first axis, in this order


class _Cell(NamedTuple):
    """One kind of cell, as the loop over time needs to know it."""

    step: Callable[..., tuple[State, Gates]]
    n_states: int
    sized_by: str  # the array whose shape tells 'hidden' and 'units'
    stored: tuple[_Stored, ...]


def _by_torch(gates: tuple[str, ...], n_units: str = "hidden") -> tuple[_Stored, ...]:
    """Arrays of ``torch.nn.RNN`` and its like, each of which stacks all gates."""
    return (
        _Stored("weight_ih_l{layer}{reverse}", "w_x", (n_units, "inputs"), gates),
        _Stored("bias_ih_l{layer}{reverse}", "b_x", (n_units,), gates),
        _Stored("weight_hh_l{layer}{reverse}", "w_h", (n_units, "hidden"), gates),
        _Stored("bias_hh_l{layer}{reverse}", "b_h", (n_units,), gates),
    )


_LSTM_GATES = ("input", "forget", "candidate", "output")
_LSTMP = (
    *_by_torch(_LSTM_GATES, n_units="units"),
    _Stored("weight_hr_l{layer}{reverse}", "w_hr", ("hidden", "units")),
)
_FASTRNN = (
    _Stored("layers.{layer}.from_input.weight", "w_x", ("hidden", "inputs"), ("hidden",)),
    _Stored("layers.{layer}.from_input.bias", "b_x", ("hidden",), ("hidden",)),
    _Stored("layers.{layer}.weight_hh", "w_h", ("hidden", "hidden"), ("hidden",)),
    _Stored("layers.{layer}.alpha_logit", "alpha_logit", ()),
    _Stored("layers.{layer}.beta_logit", "beta_logit", ()),
)
_MINGRU = (
    _Stored("layers.{layer}.update.weight", "w_x", ("hidden", "inputs"), ("update",)),
    _Stored("layers.{layer}.update.bias", "b_x", ("hidden",), ("update",)),
    _Stored("layers.{layer}.candidate.weight", "w_x", ("hidden", "inputs"), ("candidate",)),
    _Stored("layers.{layer}.candidate.bias", "b_x", ("hidden",), ("candidate",)),
)
_CELLS = {
    "rnn": _Cell(rnn_step, 1, "weight_hh_l0", _by_torch(("hidden",))),
    "lstm": _Cell(lstm_step, 2, "weight_hh_l0", _by_torch(_LSTM_GATES)),
    "gru": _Cell(gru_step, 1, "weight_hh_l0", _by_torch(("reset", "update", "candidate"))),
    "lstmp": _Cell(lstmp_step, 2, "weight_hr_l0", _LSTMP),
    "fastrnn": _Cell(fastrnn_step, 1, "layers.0.weight_hh", _FASTRNN),
    "mingru": _Cell(mingru_step, 1, "layers.0.update.weight", _MINGRU),
}
_SUFFIXES = {"forward": "", "reverse": "_reverse"}


@dataclass(frozen=True)
class DirectionTrace:
    """What one layer did in one direction; frame t is the input's frame t, in reverse too."""

    hidden: Array  # (batch, n_frames, hidden_size), h after each frame
    gates: Gates  # by name (batch, n_frames, n_units), as the step function gives them


@dataclass(frozen=True)
class RecurrenceTrace:
    """What a network did; a forward direction ends at frame -1, a reverse one at frame 0."""

    outputs: Array  # (batch, n_frames, n_directions * hidden_size), the forward columns first
    layers: tuple[dict[str, DirectionTrace], ...]  # each by 'forward' and, if there, 'reverse'


def run_recurrence(cell: str, weights: Mapping[str, Array], inputs: Array) -> RecurrenceTrace:
    """Trace of a recurrent network run from a state of zeros, in the dtype of ``inputs``.

    Parameters
    ----------
    cell : 'rnn', 'lstm', 'gru', 'lstmp', 'fastrnn' or 'mingru'
    weights : by the names of the ``state_dict`` and in its shapes; they decide how many layers and
        directions there are. Torch's layers have weight_ih_l0, weight_hh_l0, bias_ih_l0, bias_hh_l0
        and in 'lstmp' weight_hr_l0, then l1, with _reverse appended for the other direction; those
        of ``speechcls.cells`` have layers.0.weight_hh and so on, and one direction
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
    gate_weights, arguments = _unpack(cell, weights, layer, direction, inputs.dtype)
    n_units, hidden_size = next(iter(gate_weights.values())).w_h.shape
    batch, n_frames, _ = inputs.shape
    hidden = np.empty((batch, n_frames, hidden_size), inputs.dtype)
    gates_at: list[Gates] = [{}] * n_frames
    step, n_states, *_ = _CELLS[cell]
    sizes = (hidden_size, n_units)[:n_states]  # of h and c
    state: State = tuple(np.zeros((batch, size), inputs.dtype) for size in sizes)
    for frame in range(n_frames) if direction == "forward" else reversed(range(n_frames)):
        state, gates_at[frame] = step(inputs[:, frame], state, gate_weights, **arguments)
        hidden[:, frame] = state[0]
    gates = {name: np.stack([at[name] for at in gates_at], axis=1) for name in gates_at[0]}
    return DirectionTrace(hidden, gates)


def _unpack(
    cell: str, weights: Mapping[str, Array], layer: int, direction: str, dtype: DTypeLike
) -> tuple[CellWeights, dict[str, Array]]:
    """One layer and direction's weights gate by gate, and the step's further arguments."""
    parts: dict[str, dict[str, Array]] = {}  # by gate
    arguments = {}
    for name, stored in _arrays(cell, layer, [direction]).items():
        array = np.asarray(weights[name], dtype)
        if not stored.gates:
            arguments[stored.part] = array
            continue
        for gate, rows in zip(stored.gates, np.split(array, len(stored.gates)), strict=True):
            parts.setdefault(gate, {})[stored.part] = rows
    for part in parts.values():
        part.setdefault("b_h", np.zeros_like(part["b_x"]))
        part.setdefault("w_h", np.zeros(2 * part["b_h"].shape, dtype))  # (n_units, n_units)
    return {gate: GateWeights(**part) for gate, part in parts.items()}, arguments


def _arrays(cell: str, layer: int, directions: list[str]) -> dict[str, _Stored]:
    """Arrays of one layer by their full names."""
    return {
        stored.name.format(layer=layer, reverse=_SUFFIXES[direction]): stored
        for direction in directions
        for stored in _CELLS[cell].stored
    }


def _check_weights(cell: str, weights: Mapping[str, Array], n_inputs: int) -> tuple[int, list[str]]:
    """Layer count and directions that the names stand for, once names and shapes are right."""
    is_both = any(name.endswith("_reverse") for name in weights)
    directions = ["forward", "reverse"] if is_both else ["forward"]
    arrays = [_arrays(cell, layer, directions) for layer in range(max(1, len(weights)))]
    # A layer above a gap counts too, so that what is missing is named.
    num_layers = sum(not names.keys().isdisjoint(weights) for names in arrays) or 1
    has = {name: np.shape(array) for name, array in weights.items()}
    sized_by = _CELLS[cell].sized_by
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
        mend = f"pass exactly {', '.join(shapes)}, made for {n_inputs} inputs"
        raise ConfigError(f"{cell} weights: {', '.join(faults)}; {mend}")
    return num_layers, directions
