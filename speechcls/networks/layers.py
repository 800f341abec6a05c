"""Recurrent cells: the layers that torch does not have, and the registry of cells.

A new cell is a ``RecurrentLayer`` and an entry in ``CELLS`` here, and its equations in
``speechcls.explain.recurrence``. Layers that ONNX cannot express have ``prepare_for_export``, which
``speechcls.export.onnx`` calls on a copy of the network.
"""

import functools
import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from speechcls.errors import ConfigError

_N_EXPORT_DOUBLINGS = 13
"""An exported scan reaches back 2**13 frames, 80 s at 10 ms each."""


class RecurrentLayer(nn.Module):
    """One layer of one direction with one state, which is its output.

    Its own weight matrices are multiplied once per frame; ``size.count_multiply_adds`` adds to that
    the linear layers inside it. A cell that can stream takes a second argument, the state
    (batch, hidden_size) before the first frame.
    """

    def __init__(self, n_inputs: int, hidden_size: int) -> None:
        super().__init__()
        self.n_inputs, self.hidden_size = n_inputs, hidden_size

    def forward(self, inputs: Tensor) -> Tensor:
        """Return h (batch, n_frames, hidden_size) of ``inputs`` (batch, n_frames, n_inputs)."""
        raise NotImplementedError


class StackedLayers(nn.Module):
    """Layers on top of each other with dropout between, with the interface of ``torch.nn.RNN``."""

    def __init__(
        self,
        layer: type[RecurrentLayer],
        n_inputs: int,
        hidden_size: int,
        num_layers: int,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.hidden_size = hidden_size
        widths = [n_inputs] + [hidden_size] * (num_layers - 1)
        self.layers = nn.ModuleList(layer(width, hidden_size) for width in widths)
        self.dropout = nn.Dropout(dropout)

    def forward(self, inputs: Tensor, states: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return outputs (batch, n_frames, hidden_size) and the last states.

        Parameters
        ----------
        inputs : (batch, n_frames, n_inputs)
        states : (num_layers, batch, hidden_size) to start from, as the returned ones; None: zeros
        """
        last = []
        for number, layer in enumerate(self.layers):
            inputs = self.dropout(inputs) if number else inputs
            inputs = layer(inputs) if states is None else layer(inputs, states[number])
            last.append(inputs[:, -1])
        return inputs, torch.stack(last)


class FastRNNLayer(RecurrentLayer):
    """h = beta h + alpha tanh(W x + U h + b): a simple cell with a leaky state.

    alpha and beta are learnt, one of each a layer, and start at 0.27 and 0.88, so that the gradient
    neither vanishes nor explodes over the 26 blocks of frames in a second.

    Source
    ------
    Kusupati et al. 2018, "FastGRNN", section 3.1.
    """

    def __init__(self, n_inputs: int, hidden_size: int) -> None:
        super().__init__(n_inputs, hidden_size)
        self.from_input = nn.Linear(n_inputs, hidden_size)
        self.weight_hh = nn.Parameter(torch.empty(hidden_size, hidden_size))
        nn.init.xavier_uniform_(self.from_input.weight)
        nn.init.zeros_(self.from_input.bias)
        nn.init.orthogonal_(self.weight_hh)
        self.alpha_logit = nn.Parameter(torch.tensor(-1.0))
        self.beta_logit = nn.Parameter(torch.tensor(2.0))
        self._scan_leaky: Callable[..., Tensor] = _scan_leaky

    def prepare_for_export(self) -> None:
        """Script the loop, so that it goes into the graph as a loop, for clips of any length."""
        self._scan_leaky = torch.jit.script(_scan_leaky)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return h (batch, n_frames, hidden_size) of ``inputs`` (batch, n_frames, n_inputs)."""
        alpha, beta = torch.sigmoid(self.alpha_logit), torch.sigmoid(self.beta_logit)
        driven = self.from_input(inputs).to(self.weight_hh.dtype)
        with torch.autocast(inputs.device.type, enabled=False):  # a state needs full precision
            return self._scan_leaky(driven, self.weight_hh, alpha, beta)


def _scan_leaky(driven: Tensor, weight_hh: Tensor, alpha: Tensor, beta: Tensor) -> Tensor:
    """Carry a state of zeros over ``driven`` (batch, n_frames, hidden_size), frame by frame."""
    hidden = torch.zeros_like(driven[:, 0])
    outputs: list[Tensor] = []
    for frame in range(driven.size(1)):
        pushed = torch.tanh(driven[:, frame] + torch.mm(hidden, weight_hh.t()))
        hidden = beta * hidden + alpha * pushed
        outputs.append(hidden)
    return torch.stack(outputs, dim=1)


class MinGRULayer(RecurrentLayer):
    """h = (1 - z) h + z c, where z = sigmoid(W_z x + b_z) and c = W_c x + b_c.

    No gate sees the state, so that all frames are computed at once by a scan of logarithmic depth.
    z starts small, so that the state remembers.

    Source
    ------
    Feng et al. 2024, "Were RNNs all we needed?"; the scan: Hillis & Steele 1986.
    """

    def __init__(self, n_inputs: int, hidden_size: int) -> None:
        super().__init__(n_inputs, hidden_size)
        self.update = nn.Linear(n_inputs, hidden_size)
        self.candidate = nn.Linear(n_inputs, hidden_size)
        nn.init.constant_(self.update.bias, -2.0)
        self._n_doublings: int | None = None

    def prepare_for_export(self) -> None:
        """Let the scan reach far enough for clips of any length that a graph may be given."""
        self._n_doublings = _N_EXPORT_DOUBLINGS

    def forward(self, inputs: Tensor) -> Tensor:
        """Return h (batch, n_frames, hidden_size) of ``inputs`` (batch, n_frames, n_inputs)."""
        # Not in bfloat16, as products may be: a state needs full precision.
        precision = self.update.weight.dtype
        update = torch.sigmoid(self.update(inputs).to(precision))
        candidate = self.candidate(inputs).to(precision)
        return scan(1 - update, update * candidate, self._n_doublings)


def scan(keep: Tensor, take: Tensor, n_doublings: int | None = None) -> Tensor:
    """Return every h, ``h[t] = keep[t] * h[t - 1] + take[t]``, from a state of zeros.

    Parameters
    ----------
    keep, take : (batch, n_frames, size)
    n_doublings : the sums reach back 2**n_doublings frames; None: to the first one

    Returns
    -------
    (batch, n_frames, size)
    """
    if n_doublings is None:
        n_doublings = math.ceil(math.log2(max(2, keep.shape[1])))
    for doubling in range(n_doublings):
        # Each frame takes over what the one 2**doubling before has summed up.
        back = 2**doubling
        n_frames = keep.shape[1]
        kept = nn.functional.pad(keep, (0, 0, back, 0), value=1.0)[:, :n_frames]
        taken = nn.functional.pad(take, (0, 0, back, 0))[:, :n_frames]
        take = take + keep * taken
        keep = keep * kept
    return take


class ProjectedLSTM(nn.LSTM):
    """An LSTM whose states h are projected to half its size, as torch's ``proj_size``.

    Raises
    ------
    ConfigError
        When ``hidden_size`` is 1, which has no half.

    Source
    ------
    Sak, Senior & Beaufays 2014.
    """

    def __init__(self, n_inputs: int, hidden_size: int, num_layers: int, **settings: Any) -> None:
        if hidden_size < 2:
            raise ConfigError(
                f"{hidden_size} is not possible; it must be at least 2", field="hidden_size"
            )
        super().__init__(n_inputs, hidden_size, num_layers, proj_size=hidden_size // 2, **settings)
        self._is_unfolded = False

    def prepare_for_export(self) -> None:
        """Unfold the projection, which ONNX does not know.

        What is left are an ordinary LSTM whose recurrent weights are W_hh W_hr, and W_hr.
        """
        self._is_unfolded = True

    def forward(self, inputs: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:  # type: ignore[override]
        """Return outputs (batch, n_frames, hidden_size / 2) and the last states."""
        if self._is_unfolded:
            return self._forward_unfolded(inputs)
        with warnings.catch_warnings():
            # Torch warns once of its speed, which is inherent to projections.
            warnings.filterwarnings("ignore", "LSTM with projections is not supported")
            return super().forward(inputs)

    def _forward_unfolded(self, inputs: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        start = inputs.new_zeros(1, inputs.shape[0], self.hidden_size)
        for number in range(self.num_layers):
            w_ih, w_hh, b_ih, b_hh, projection = self.all_weights[number]
            unfolded = [w_ih, w_hh @ projection, b_ih, b_hh]
            outputs, *states = torch.lstm(
                inputs, (start, start), unfolded, True, 1, 0.0, False, False, True
            )
            inputs = nn.functional.linear(outputs, projection)
        return inputs, (states[0], states[1])


@dataclass(frozen=True)
class Cell:
    """A kind of recurrent cell: how its layers are made, and what the library has to know of it."""

    name: str
    """Its name in ``speechcls.explain.recurrence.EQUATIONS``, and that of its architecture."""
    layers: Callable[..., nn.Module]
    """Makes the layers, from ``n_inputs, hidden_size, num_layers, dropout=...`` and, for both
    directions, ``bidirectional=True``; they are called as ``torch.nn.RNN`` with ``batch_first``."""
    about: str
    """One-line description with reference."""
    about_bidirectional: str = ""
    """The same of the architecture of both directions; empty where there is none."""
    can_stream: bool = False
    """Whether the layers can start from states, as ``torch.nn.RNN`` does."""
    n_states: int = 1
    """Number of states (num_layers, batch, hidden_size), if it can stream; several are a tuple."""
    output_divisor: int = 1
    """Outputs of a direction have ``hidden_size // output_divisor`` values."""
    without_front_end: bool = False
    """Whether its own architectures have no front end, as in the textbooks."""


CELLS: dict[str, Cell] = {
    cell.name: cell
    for cell in (
        Cell(
            "rnn",
            functools.partial(nn.RNN, batch_first=True),
            "Elman 1990, frame by frame.",
            "Both directions, Schuster & Paliwal 1997.",
            can_stream=True,
            without_front_end=True,
        ),
        Cell(
            "fastrnn",
            functools.partial(StackedLayers, FastRNNLayer),
            "RNN with a weighted residual, so that it remembers, Kusupati et al. 2018.",
        ),
        Cell(
            "lstm",
            functools.partial(nn.LSTM, batch_first=True),
            "Hochreiter & Schmidhuber 1997, with the forget gate of Gers et al. 2000.",
            "Both directions, Graves & Schmidhuber 2005.",
            can_stream=True,
            n_states=2,
        ),
        Cell(
            "lstmp",
            functools.partial(ProjectedLSTM, batch_first=True),
            "LSTM with states projected to half their size, Sak et al. 2014.",
            output_divisor=2,
        ),
        Cell(
            "gru",
            functools.partial(nn.GRU, batch_first=True),
            "Cho et al. 2014.",
            "Both directions of a GRU.",
            can_stream=True,
        ),
        Cell(
            "mingru",
            functools.partial(StackedLayers, MinGRULayer),
            "GRU whose gates see only the input, trained by a scan, Feng et al. 2024.",
        ),
    )
}
"""Every cell by its name."""


def initialise_recurrence(recurrence: nn.Module) -> None:
    """Give torch's layers orthogonal recurrent weights, Glorot input weights, open forget gates.

    Other layers keep the weights that they draw themselves.

    Source
    ------
    Saxe et al. 2014 (orthogonal, for each gate); Glorot & Bengio 2010; Jozefowicz et al. 2015
    (forget-gate bias 1).
    """
    if not isinstance(recurrence, nn.RNNBase):
        return
    hidden_size = recurrence.hidden_size
    for name, parameter in recurrence.named_parameters():
        if name.startswith("bias"):
            nn.init.zeros_(parameter)
            if recurrence.mode == "LSTM" and name.startswith("bias_ih"):
                # torch stacks the gates as input, forget, candidate, output
                nn.init.ones_(parameter.detach()[hidden_size : 2 * hidden_size])
        else:
            start = nn.init.orthogonal_ if name.startswith("weight_hh") else nn.init.xavier_uniform_
            for gate in torch.split(parameter.detach(), hidden_size):
                start(gate)
