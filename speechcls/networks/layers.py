"""Recurrent layers that torch does not have, with the interface of ``torch.nn.RNN``.

Each takes (batch, n_frames, n_inputs) and returns (batch, n_frames, hidden_size) and the last
states, and exports to ONNX with any number of frames.
"""

import math
import warnings
from typing import Any

import torch
from torch import Tensor, nn

from speechcls.errors import ConfigError

_MOST_DOUBLINGS = 13
"""An exported scan reaches back 2**13 frames, 80 s at 10 ms each."""


class StackedLayers(nn.Module):
    """Layers on top of each other with dropout between, in one direction."""

    layer: type[nn.Module]

    def __init__(
        self, n_inputs: int, hidden_size: int, num_layers: int, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.hidden_size = hidden_size
        widths = [n_inputs] + [hidden_size] * (num_layers - 1)
        self.layers = nn.ModuleList(self.layer(width, hidden_size) for width in widths)
        self.dropout = nn.Dropout(dropout)

    def forward(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Return outputs (batch, n_frames, hidden_size) and states (num_layers, batch, hidden)."""
        states = []
        for number, layer in enumerate(self.layers):
            inputs = layer(self.dropout(inputs) if number else inputs)
            states.append(inputs[:, -1])
        return inputs, torch.stack(states)


class FastRNNLayer(nn.Module):
    """h = beta h + alpha tanh(W x + U h + b): a simple cell whose state leaks but slowly.

    alpha and beta are learnt, one of each a layer, and start at 0.27 and 0.88, so that the gradient
    neither dies nor grows over the 26 blocks of frames in a second.

    Source
    ------
    Kusupati et al. 2018, "FastGRNN", section 3.1.
    """

    def __init__(self, n_inputs: int, hidden_size: int) -> None:
        super().__init__()
        self.from_input = nn.Linear(n_inputs, hidden_size)
        self.weight_hh = nn.Parameter(torch.empty(hidden_size, hidden_size))
        nn.init.xavier_uniform_(self.from_input.weight)
        nn.init.zeros_(self.from_input.bias)
        nn.init.orthogonal_(self.weight_hh)
        self.alpha_logit = nn.Parameter(torch.tensor(-1.0))
        self.beta_logit = nn.Parameter(torch.tensor(2.0))

    def forward(self, inputs: Tensor) -> Tensor:
        """Return h (batch, n_frames, hidden_size) of ``inputs`` (batch, n_frames, n_inputs)."""
        alpha, beta = torch.sigmoid(self.alpha_logit), torch.sigmoid(self.beta_logit)
        # Scripted, the loop goes into the graph as a loop, for clips of any length.
        leak = torch.jit.script(_leak) if torch.onnx.is_in_onnx_export() else _leak
        driven = self.from_input(inputs).to(self.weight_hh.dtype)
        with torch.autocast(inputs.device.type, enabled=False):  # a state needs all its digits
            outputs: Tensor = leak(driven, self.weight_hh, alpha, beta)
        return outputs


def _leak(driven: Tensor, weight_hh: Tensor, alpha: Tensor, beta: Tensor) -> Tensor:
    """Carry a state of zeros over ``driven`` (batch, n_frames, hidden_size), frame by frame."""
    hidden = torch.zeros_like(driven[:, 0])
    outputs: list[Tensor] = []
    for frame in range(driven.size(1)):
        pushed = torch.tanh(driven[:, frame] + torch.mm(hidden, weight_hh.t()))
        hidden = beta * hidden + alpha * pushed
        outputs.append(hidden)
    return torch.stack(outputs, dim=1)


class MinGRULayer(nn.Module):
    """h = (1 - z) h + z c, where z = sigmoid(W_z x + b_z) and c = W_c x + b_c.

    No gate sees the state, so that all frames are computed at once by a scan of logarithmic depth.
    z starts small, so that the state remembers.

    Source
    ------
    Feng et al. 2024, "Were RNNs all we needed?"; the scan: Hillis & Steele 1986.
    """

    def __init__(self, n_inputs: int, hidden_size: int) -> None:
        super().__init__()
        self.update = nn.Linear(n_inputs, hidden_size)
        self.candidate = nn.Linear(n_inputs, hidden_size)
        nn.init.constant_(self.update.bias, -2.0)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return h (batch, n_frames, hidden_size) of ``inputs`` (batch, n_frames, n_inputs)."""
        # Not in bfloat16, as products may be: a state needs all its digits.
        precision = self.update.weight.dtype
        update = torch.sigmoid(self.update(inputs).to(precision))
        return scan(1 - update, update * self.candidate(inputs).to(precision))


def scan(keep: Tensor, take: Tensor) -> Tensor:
    """Return h (batch, n_frames, size) with ``h[t] = keep[t] * h[t - 1] + take[t]`` from zero."""
    n_doublings = math.ceil(math.log2(max(2, keep.shape[1])))
    if torch.onnx.is_in_onnx_export():
        n_doublings = _MOST_DOUBLINGS  # the graph serves clips of any length
    for doubling in range(n_doublings):
        # Each frame takes over what the one 2**doubling before has summed up.
        back = 2**doubling
        n_frames = keep.shape[1]
        kept = nn.functional.pad(keep, (0, 0, back, 0), value=1.0)[:, :n_frames]
        taken = nn.functional.pad(take, (0, 0, back, 0))[:, :n_frames]
        take = take + keep * taken
        keep = keep * kept
    return take


class FastRNNLayers(StackedLayers):
    """Layers of ``FastRNNLayer``."""

    layer = FastRNNLayer


class MinGRULayers(StackedLayers):
    """Layers of ``MinGRULayer``."""

    layer = MinGRULayer


class ProjectedLSTM(nn.LSTM):
    """An LSTM whose states h are projected to half its size, as torch's ``proj_size``.

    ONNX knows no projection, so the exported graph has the same layer unfolded: an ordinary LSTM
    whose recurrent weights are W_hh W_hr, followed by W_hr.

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
            raise ConfigError(f"hidden-size: {hidden_size} is not possible; lstmp halves it")
        super().__init__(n_inputs, hidden_size, num_layers, proj_size=hidden_size // 2, **settings)

    def forward(self, inputs: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:  # type: ignore[override]
        """Return outputs (batch, n_frames, hidden_size / 2) and the last states."""
        if not torch.onnx.is_in_onnx_export():
            with warnings.catch_warnings():
                # Torch says once that it could be faster, which nobody can change.
                warnings.filterwarnings("ignore", "LSTM with projections is not supported")
                return super().forward(inputs)
        start = inputs.new_zeros(1, inputs.shape[0], self.hidden_size)
        for number in range(self.num_layers):
            w_ih, w_hh, b_ih, b_hh, projection = self.all_weights[number]
            unfolded = [w_ih, w_hh @ projection, b_ih, b_hh]
            outputs, *states = torch.lstm(
                inputs, (start, start), unfolded, True, 1, 0.0, False, False, True
            )
            inputs = nn.functional.linear(outputs, projection)
        return inputs, (states[0], states[1])
