"""The zoo: recurrent networks from features to logits.

A new architecture is a class with ``forward(features) -> logits`` and a line in ``NETWORKS``.
"""

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from speechcls.config import NetworkConfig
from speechcls.errors import ConfigError
from speechcls.networks.frontends import BlockFrontEnd, ConvFrontEnd, States
from speechcls.networks.layers import FastRNNLayers, MinGRULayers, ProjectedLSTM


class Readout(nn.Module):
    """Makes one vector of all frames.

    ``last`` takes the state after the whole clip: of the forward direction at the last frame, of
    the backward direction at the first. ``mean`` averages the frames. ``attention`` averages them
    with learnt weights that sum to 1 (Bahdanau et al. 2015, with learnt queries): each head weighs
    its own share of the channels, so that heads may look at different moments. ``stream`` needs no
    readout: each step has an answer.
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


class Recurrent(nn.Module):
    """Recurrent layers, a readout and one linear layer; its children choose what is in them."""

    cell: ClassVar[type[nn.Module]]
    bidirectional: ClassVar[bool] = False
    front: ClassVar[type[BlockFrontEnd] | type[ConvFrontEnd] | None] = BlockFrontEnd
    """What comes before the recurrence; None gives it the features as they are."""
    n_heads: ClassVar[int] = 1

    @classmethod
    def streams(cls) -> bool:
        """Tell whether it can go on where it was, and needs nothing of what comes later."""
        return cls.cell in (nn.RNN, nn.LSTM, nn.GRU) and not cls.bidirectional

    def __init__(self, config: NetworkConfig, n_features: int, n_outputs: int) -> None:
        super().__init__()
        if config.readout == "stream" and not self.streams():
            able = ", ".join(name for name, network in NETWORKS.items() if network.streams())
            raise ConfigError(f"arch: {config.arch} cannot run on a stream; {able} can")
        self.num_layers, self.hidden_size = config.num_layers, config.hidden_size
        n_inputs = n_features
        if self.front:
            n_inputs = config.hidden_size
            self.front_end = self.front(n_features, n_inputs, causal=not self.bidirectional)
        settings: dict[str, Any] = {}
        if issubclass(self.cell, nn.RNNBase):
            settings = {"batch_first": True, "bidirectional": self.bidirectional}
        self.recurrence = self.cell(
            n_inputs,
            config.hidden_size,
            config.num_layers,
            dropout=config.dropout if config.num_layers > 1 else 0.0,
            **settings,
        )
        size = getattr(self.recurrence, "proj_size", 0) or config.hidden_size
        size *= 2 if self.bidirectional else 1
        if config.readout == "attention" and size % self.n_heads:
            raise ConfigError(
                f"hidden-size: {config.hidden_size} is not possible; {config.arch} has"
                f" {self.n_heads} heads, which must divide {size}"
            )
        self.readout = Readout(config.readout, size, self.bidirectional, self.n_heads)
        self.dropout = nn.Dropout(config.dropout)
        self.output = nn.Linear(size, n_outputs)
        if isinstance(self.recurrence, nn.RNNBase):
            initialise_recurrence(self.recurrence)

    def forward(self, features: Tensor) -> Tensor:
        """Return logits (batch, n_outputs) of ``features`` (batch, n_frames, n_features).

        With the readout ``stream`` they are (batch, n_steps, n_outputs).
        """
        if self.readout.kind == "stream":
            features = features[
                :, : features.shape[1] // self.frames_per_step * self.frames_per_step
            ]
            return self.step(features, self.states(features.shape[0], features.device))[0]
        if self.front:
            features = self.dropout(self.front_end(features))
        outputs, _ = self.recurrence(features)
        return self.output(self.dropout(self.readout(outputs)))  # type: ignore[no-any-return]

    @property
    def frames_per_step(self) -> int:
        """Frames that become one step of the recurrence."""
        return 4 if self.front else 1

    def states(self, batch: int, device: torch.device | None = None) -> States:
        """Return what ``step`` starts from."""
        hidden = torch.zeros(self.num_layers, batch, self.hidden_size)
        of_cells = [hidden] * (2 if self.cell is nn.LSTM else 1)
        of_front = self.front_end.states(batch) if self.front else []
        return [state.to(device) for state in (*of_front, *of_cells)]

    def step(self, features: Tensor, states: States) -> tuple[Tensor, States]:
        """Return logits of each step, and what to go on from.

        Parameters
        ----------
        features : (batch, n_frames, n_features), what comes after that of which ``states`` know;
            ``n_frames`` is a multiple of ``frames_per_step``

        Returns
        -------
        (batch, n_frames / frames_a_step, n_outputs), and the new states
        """
        n_cells = 2 if self.cell is nn.LSTM else 1
        of_front, of_cells = states[:-n_cells], states[-n_cells:]
        if self.front:
            features, of_front = self.front_end.step(features, of_front)
            features = self.dropout(features)
        outputs, cells = self.recurrence(features, tuple(of_cells) if n_cells > 1 else of_cells[0])
        logits = self.output(self.dropout(outputs))
        return logits, [*of_front, *(cells if n_cells > 1 else [cells])]


class RNN(Recurrent):
    """Elman 1990, frame by frame."""

    cell = nn.RNN
    front = None  # the textbook's, to compare the others with


class LSTM(Recurrent):
    """Hochreiter & Schmidhuber 1997, with the forget gate of Gers et al. 2000."""

    cell = nn.LSTM


class GRU(Recurrent):
    """Cho et al. 2014."""

    cell = nn.GRU


class BiRNN(RNN):
    """Both directions, Schuster & Paliwal 1997."""

    bidirectional = True


class BiLSTM(LSTM):
    """Both directions, Graves & Schmidhuber 2005."""

    bidirectional = True


class BiGRU(GRU):
    """Both directions of a GRU."""

    bidirectional = True


class LSTMP(Recurrent):
    """LSTM with states projected to half their size, Sak et al. 2014."""

    cell = ProjectedLSTM


class FastRNN(Recurrent):
    """RNN with a weighted residual, so that it remembers, Kusupati et al. 2018."""

    cell = FastRNNLayers


class MinGRU(Recurrent):
    """GRU whose gates see only the input, trained by a scan, Feng et al. 2024."""

    cell = MinGRULayers


class CRNN(GRU):
    """Causal convolutions, then a GRU, Arik et al. 2017."""

    front = ConvFrontEnd


class AttBiGRU(BiGRU):
    """Convolutions, BiGRU, four heads of attention, after de Andrade et al. 2018."""

    front = ConvFrontEnd
    n_heads = 4


class AttBiLSTM(BiLSTM):
    """Convolutions, BiLSTM, four heads of attention, after de Andrade et al. 2018."""

    front = ConvFrontEnd
    n_heads = 4


NETWORKS: dict[str, type[Recurrent]] = {
    "rnn": RNN,
    "fastrnn": FastRNN,
    "lstm": LSTM,
    "lstmp": LSTMP,
    "gru": GRU,
    "mingru": MinGRU,
    "birnn": BiRNN,
    "bilstm": BiLSTM,
    "bigru": BiGRU,
    "crnn": CRNN,
    "att-bigru": AttBiGRU,
    "att-bilstm": AttBiLSTM,
}
"""Every architecture by its name on the command line."""


def initialise_recurrence(recurrence: nn.RNNBase) -> None:
    """Start with orthogonal recurrent weights, Glorot input weights and forget gates open.

    Source
    ------
    Saxe et al. 2014 (orthogonal, for each gate); Glorot & Bengio 2010; Jozefowicz et al. 2015
    (forget-gate bias 1).
    """
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


def feature_kind(arch: str) -> str:
    """Return the kind of features that suits an architecture; any kind for an unknown one.

    A front end learns its own way from bands to what the recurrence needs; without one, cepstral
    coefficients do it.
    """
    return "log-mel" if arch in NETWORKS and NETWORKS[arch].front else "mfcc"
