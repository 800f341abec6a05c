"""A cell that speechcls does not have, registered as one in it would be: in two of its modules.

As a script it is ``speechcls`` with this cell: ``python light_gru.py train DATA --arch ligru``.
"""

import functools

import numpy as np
import torch
from torch import Tensor, nn

from speechcls.explain.recurrence import (
    EQUATIONS,
    CellEquations,
    GateInfo,
    StoredArray,
    sigmoid,
)
from speechcls.networks.layers import CELLS, Cell, RecurrentLayer, StackedLayers

GATES = ("update", "candidate")


class LightGRULayer(RecurrentLayer):
    """h = z h + (1 - z) relu(W_c x + U_c h + b_c), where z = sigmoid(W_z x + U_z h + b_z)."""

    def __init__(self, n_inputs: int, hidden_size: int) -> None:
        super().__init__(n_inputs, hidden_size)
        self.from_input = nn.Linear(n_inputs, 2 * hidden_size)
        self.weight_hh = nn.Parameter(torch.empty(2 * hidden_size, hidden_size))
        nn.init.orthogonal_(self.weight_hh)
        self._loop = _loop

    def prepare_for_export(self) -> None:
        self._loop = torch.jit.script(_loop)

    def forward(self, inputs: Tensor, state: Tensor | None = None) -> Tensor:
        driven = self.from_input(inputs).float()
        if state is None:
            state = torch.zeros_like(driven[:, 0, : self.hidden_size])
        return self._loop(driven, self.weight_hh, state)


def _loop(driven: Tensor, weight_hh: Tensor, hidden: Tensor) -> Tensor:
    outputs: list[Tensor] = []
    for frame in range(driven.size(1)):
        gates = driven[:, frame] + torch.mm(hidden, weight_hh.t())
        update, candidate = gates.chunk(2, dim=1)
        update = torch.sigmoid(update)
        hidden = update * hidden + (1 - update) * torch.relu(candidate)
        outputs.append(hidden)
    return torch.stack(outputs, dim=1)


def ligru_step(x, state, weights):
    """State after one time step, and gates."""
    (h,) = state
    update = sigmoid(weights["update"].from_input(x) + weights["update"].from_hidden(h))
    candidate = weights["candidate"].from_input(x) + weights["candidate"].from_hidden(h)
    candidate = np.maximum(candidate, 0)
    new_h = update * h + (1 - update) * candidate
    return (new_h,), {"update": update, "candidate": candidate}


CELL = Cell(
    "ligru",
    functools.partial(StackedLayers, LightGRULayer),
    "GRU without a reset gate, Ravanelli et al. 2018.",
    can_stream=True,
)
CELL_EQUATIONS = CellEquations(
    ligru_step,
    n_states=1,
    sized_by="layers.0.weight_hh",
    stored=(
        StoredArray("layers.{layer}.from_input.weight", "w_x", ("hidden", "inputs"), GATES),
        StoredArray("layers.{layer}.from_input.bias", "b_x", ("hidden",), GATES),
        StoredArray("layers.{layer}.weight_hh", "w_h", ("hidden", "hidden"), GATES),
    ),
    state="state h = z·h + (1 - z)·candidate",
    gates={
        "update": GateInfo("update gate z: fraction of the old state that stays", is_fraction=True),
        "candidate": GateInfo("candidate: a rectified sum"),
    },
)

if __name__ == "__main__":
    CELLS["ligru"] = CELL
    EQUATIONS["ligru"] = CELL_EQUATIONS
    from speechcls.cli.app import main

    main()
