"""The equations of the recurrent cells in NumPy, gate by gate: written to be read, not to be fast.

``rnn_step``, ``lstm_step`` and so on are one time step each; ``EQUATIONS`` says where each cell's
weights are stored and titles its gates; ``unroll.run_recurrence`` carries the steps over time,
layers and directions with the weights of a trained network and keeps every gate's activation. A new
cell is a step and an entry in ``EQUATIONS``.

x is the input of the step, h the hidden state and c the LSTM's cell, both from the step before.
Papers write W x for a column x; here each clip of a batch is one row of ``x``, so the same product
is ``x @ W.T``.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

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


class StoredArray(NamedTuple):
    """One array of one layer and direction, as the trained network stores it."""

    name: str  # {layer} stands for 0, 1 ... and {reverse} for nothing or _reverse
    part: str  # a field of GateWeights or, if the array is of no gate, an argument of the step
    shape: tuple[str, ...]  # of 'inputs', 'hidden' and 'units', for one gate
    gates: tuple[str, ...] = ()  # stacked along the first axis, in this order


class GateInfo(NamedTuple):
    """How a gate is presented."""

    title: str
    is_fraction: bool = False  # a sigmoid, in [0, 1]


class CellEquations(NamedTuple):
    """One kind of cell: its equations, where its weights are stored, and titles for its panels."""

    step: Callable[..., tuple[State, Gates]]
    n_states: int
    sized_by: str  # the array whose shape tells 'hidden' and 'units'
    stored: tuple[StoredArray, ...]
    state: str  # title of h
    gates: Mapping[str, GateInfo] = {}  # by the names that the step gives them


def _by_torch(gates: tuple[str, ...], n_units: str = "hidden") -> tuple[StoredArray, ...]:
    """Arrays of ``torch.nn.RNN`` and its like, each of which stacks all gates."""
    return (
        StoredArray("weight_ih_l{layer}{reverse}", "w_x", (n_units, "inputs"), gates),
        StoredArray("bias_ih_l{layer}{reverse}", "b_x", (n_units,), gates),
        StoredArray("weight_hh_l{layer}{reverse}", "w_h", (n_units, "hidden"), gates),
        StoredArray("bias_hh_l{layer}{reverse}", "b_h", (n_units,), gates),
    )


def _linear(name: str, gate: str) -> tuple[StoredArray, ...]:
    """Arrays of a ``torch.nn.Linear`` on the inputs of ``StackedLayers``."""
    return (
        StoredArray(f"layers.{{layer}}.{name}.weight", "w_x", ("hidden", "inputs"), (gate,)),
        StoredArray(f"layers.{{layer}}.{name}.bias", "b_x", ("hidden",), (gate,)),
    )


_STACKED_IN_LSTM = ("input", "forget", "candidate", "output")
_LSTM_GATES = {
    "forget": GateInfo("forget gate f: fraction of the old cell that stays", is_fraction=True),
    "input": GateInfo("input gate i: fraction of the candidate that is added", is_fraction=True),
    "output": GateInfo("output gate o: fraction of the cell that is shown", is_fraction=True),
    "candidate": GateInfo("candidate c\u0303: what could be added"),
    "cell": GateInfo("cell c = f·c + i·c\u0303: cell state"),
}
_CANDIDATE = GateInfo("candidate: what could become the state")

EQUATIONS: dict[str, CellEquations] = {
    "rnn": CellEquations(
        rnn_step,
        n_states=1,
        sized_by="weight_hh_l0",
        stored=_by_torch(("hidden",)),
        state="state h = tanh(W_x x + W_h h + b)",
    ),
    "lstm": CellEquations(
        lstm_step,
        n_states=2,
        sized_by="weight_hh_l0",
        stored=_by_torch(_STACKED_IN_LSTM),
        state="state h = o·tanh(c)",
        gates=_LSTM_GATES,
    ),
    "gru": CellEquations(
        gru_step,
        n_states=1,
        sized_by="weight_hh_l0",
        stored=_by_torch(("reset", "update", "candidate")),
        state="state h = z·h + (1 - z)·candidate",
        gates={
            "reset": GateInfo(
                "reset gate r: fraction of the old state that the candidate sees", True
            ),
            "update": GateInfo("update gate z: fraction of the old state that stays", True),
            "candidate": _CANDIDATE,
        },
    ),
    "lstmp": CellEquations(
        lstmp_step,
        n_states=2,
        sized_by="weight_hr_l0",
        stored=(
            *_by_torch(_STACKED_IN_LSTM, n_units="units"),
            StoredArray("weight_hr_l{layer}{reverse}", "w_hr", ("hidden", "units")),
        ),
        state="state h = P (o·tanh(c)), projected",
        gates=_LSTM_GATES,
    ),
    "fastrnn": CellEquations(
        fastrnn_step,
        n_states=1,
        sized_by="layers.0.weight_hh",
        stored=(
            *_linear("from_input", "hidden"),
            StoredArray("layers.{layer}.weight_hh", "w_h", ("hidden", "hidden"), ("hidden",)),
            StoredArray("layers.{layer}.alpha_logit", "alpha_logit", ()),
            StoredArray("layers.{layer}.beta_logit", "beta_logit", ()),
        ),
        state="state h = β·h + α·tanh(W_x x + W_h h + b)",
    ),
    "mingru": CellEquations(
        mingru_step,
        n_states=1,
        sized_by="layers.0.update.weight",
        stored=(*_linear("update", "update"), *_linear("candidate", "candidate")),
        state="state h = (1 - z)·h + z·candidate",
        gates={
            "update": GateInfo("update gate z: fraction of the candidate that is taken", True),
            "candidate": _CANDIDATE,
        },
    ),
}
"""Every cell by the name that it has in ``speechcls.networks.layers.CELLS``."""
