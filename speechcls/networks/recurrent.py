"""The recurrent networks: a front end, recurrent layers, a readout and one linear layer."""

from typing import ClassVar

import torch
from torch import Tensor, nn

from speechcls.config import NetworkConfig
from speechcls.errors import ConfigError
from speechcls.networks.frontends import BlockFrontEnd, FrontEnd
from speechcls.networks.layers import Cell, initialise_recurrence
from speechcls.networks.network import Network, States


class Readout(nn.Module):
    """Pools all frames into one vector.

    ``last`` takes the state after the whole clip: of the forward direction at the last frame, of
    the backward direction at the first. ``mean`` averages the frames. ``attention`` averages them
    with learnt weights that sum to 1 (Bahdanau et al. 2015, with learnt queries): each head weighs
    its own part of the channels, so that heads may attend to different moments. ``stream`` needs no
    readout: there are logits of each step.
    """

    def __init__(self, kind: str, size: int, bidirectional: bool, n_heads: int = 1) -> None:
        super().__init__()
        self.kind = kind
        self.bidirectional = bidirectional
        self.n_heads = n_heads
        if kind == "attention":
            self.project = nn.Linear(size, size // n_heads)
            self.score = nn.Linear(size // n_heads, n_heads, bias=False)

    def forward(self, outputs: Tensor) -> Tensor:
        """Return (batch, size) from ``outputs`` (batch, n_frames, size)."""
        if self.kind == "mean":
            return outputs.mean(dim=1)
        if self.kind == "attention":
            weights: Tensor = self.score(torch.tanh(self.project(outputs))).softmax(dim=1)
            batch, n_frames, size = outputs.shape
            by_head = outputs.reshape(batch, n_frames, self.n_heads, size // self.n_heads)
            return (weights.unsqueeze(3) * by_head).sum(dim=1).flatten(1)
        if not self.bidirectional:
            return outputs[:, -1]
        forward, backward = outputs.chunk(2, dim=2)
        return torch.cat([forward[:, -1], backward[:, 0]], dim=1)


class Recurrent(Network):
    """Recurrent layers, a readout and one linear layer; subclasses choose cell, front and heads."""

    cell: ClassVar[Cell]
    bidirectional: ClassVar[bool] = False
    front: ClassVar[type[FrontEnd] | None] = BlockFrontEnd
    """What comes before the recurrence; None gives it the features as they are."""
    n_heads: ClassVar[int] = 1

    def __init__(self, config: NetworkConfig, n_features: int, n_outputs: int) -> None:
        super().__init__(config, n_features, n_outputs)
        self.num_layers, self.hidden_size = config.num_layers, config.hidden_size
        size = config.hidden_size
        self.front_end = self.front(n_features, size, config.step_frames) if self.front else None
        self.frames_per_step = self.front_end.frames_per_step if self.front_end else 1
        self.recurrence = self.cell.layers(
            config.hidden_size if self.front_end else n_features,
            config.hidden_size,
            config.num_layers,
            dropout=config.dropout if config.num_layers > 1 else 0.0,
            **({"bidirectional": True} if self.bidirectional else {}),
        )
        size = config.hidden_size // self.cell.output_divisor * (2 if self.bidirectional else 1)
        if config.readout == "attention" and size % self.n_heads:
            raise ConfigError(
                f"{config.hidden_size} is not possible; {config.arch} has {self.n_heads} heads,"
                f" which must divide {size}",
                field="hidden_size",
            )
        self.readout = Readout(config.readout, size, self.bidirectional, self.n_heads)
        self.dropout = nn.Dropout(config.dropout)
        self.output = nn.Linear(size, n_outputs)
        initialise_recurrence(self.recurrence)

    def forward(self, features: Tensor) -> Tensor:
        """Return logits (batch, n_outputs) of ``features`` (batch, n_frames, n_features).

        With the readout ``stream`` they are (batch, n_steps, n_outputs).
        """
        if self.is_streaming:
            features = self._whole_steps(features)
            return self.step(features, self.states(features.shape[0], features.device))[0]
        if self.front_end:
            features = self.dropout(self.front_end(features))
        outputs, _ = self.recurrence(features)
        return self.output(self.dropout(self.readout(outputs)))  # type: ignore[no-any-return]

    def recurrence_inputs(self, features: Tensor) -> Tensor:
        """Return what the recurrence reads, (batch, n_steps, n_inputs), without dropout."""
        if self.is_streaming:
            features = self._whole_steps(features)
        if not self.front_end:
            return features
        if self.is_streaming:
            states = self.front_end.states(features.shape[0], features.device)
            return self.front_end.step(features, states)[0]
        return self.front_end(features)  # type: ignore[no-any-return]

    def states(self, batch: int, device: torch.device | None = None) -> States:
        """Return the states that ``step`` starts from: of the front end, then of the cells."""
        of_front = self.front_end.states(batch, device) if self.front_end else []
        of_cells = torch.zeros(self.num_layers, batch, self.hidden_size, device=device)
        return [*of_front, *[of_cells] * self.cell.n_states]

    def step(self, features: Tensor, states: States) -> tuple[Tensor, States]:
        """Return logits of each step, and the states after it; shapes as in ``Network.step``."""
        n_cells = self.cell.n_states
        of_front, of_cells = states[:-n_cells], states[-n_cells:]
        if self.front_end:
            features, of_front = self.front_end.step(features, of_front)
            features = self.dropout(features)
        outputs, cells = self.recurrence(features, tuple(of_cells) if n_cells > 1 else of_cells[0])
        logits = self.output(self.dropout(outputs))
        return logits, [*of_front, *(cells if n_cells > 1 else [cells])]

    def _whole_steps(self, features: Tensor) -> Tensor:
        """Return ``features`` without the frames at the end that fill no step."""
        n_frames = features.shape[1] // self.frames_per_step * self.frames_per_step
        return features[:, :n_frames]


def plain_network(
    cell: Cell, bidirectional: bool = False, front: type[FrontEnd] | None = BlockFrontEnd
) -> type[Recurrent]:
    """Return the class of networks that have one kind of cell and nothing of their own."""
    is_bidirectional, of_cell, before = bidirectional, cell, front

    class PlainNetwork(Recurrent):
        __doc__ = of_cell.about_bidirectional if is_bidirectional else of_cell.about
        cell, bidirectional, front = of_cell, is_bidirectional, before
        feature_kind = "log-mel" if before else "mfcc"
        can_stream = (
            of_cell.can_stream and not is_bidirectional and (before is None or before.is_causal)
        )

    return PlainNetwork
