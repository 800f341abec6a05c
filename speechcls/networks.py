"""The zoo: recurrent networks from features to one logit a label.

A new architecture is a class with ``forward(features) -> logits`` and a line in ``NETWORKS``.
"""

from typing import ClassVar

import torch
from torch import Tensor, nn

from speechcls.config import FeatureConfig, NetworkConfig
from speechcls.errors import ConfigError
from speechcls.features import FEATURES


class Readout(nn.Module):
    """Makes one vector of all frames.

    ``last`` takes the state after the whole clip: of the forward direction at the last frame, of
    the backward direction at the first. ``mean`` averages the frames. ``attention`` averages them
    with learnt weights that sum to 1 (Bahdanau et al. 2015, with one learnt query).
    """

    def __init__(self, kind: str, size: int, bidirectional: bool) -> None:
        super().__init__()
        self.kind = kind
        self.bidirectional = bidirectional
        if kind == "attention":
            self.project = nn.Linear(size, size)
            self.score = nn.Linear(size, 1, bias=False)

    def forward(self, outputs: Tensor) -> Tensor:
        """Return (batch, size) from ``outputs`` (batch, n_frames, size)."""
        if self.kind == "mean":
            return outputs.mean(dim=1)
        if self.kind == "attention":
            weights: Tensor = self.score(torch.tanh(self.project(outputs))).softmax(dim=1)
            return (weights * outputs).sum(dim=1)  # weights: (batch, n_frames, 1)
        if not self.bidirectional:
            return outputs[:, -1]
        forward, backward = outputs.chunk(2, dim=2)
        return torch.cat([forward[:, -1], backward[:, 0]], dim=1)


class Recurrent(nn.Module):
    """Recurrent layers, a readout and one linear layer; its children choose cell and directions."""

    cell: ClassVar[type[nn.RNN | nn.LSTM | nn.GRU]]
    bidirectional: ClassVar[bool] = False

    def __init__(self, config: NetworkConfig, n_features: int, n_labels: int) -> None:
        super().__init__()
        self.recurrence = self.cell(
            n_features,
            config.hidden_size,
            config.num_layers,
            batch_first=True,
            dropout=config.dropout if config.num_layers > 1 else 0.0,
            bidirectional=self.bidirectional,
        )
        size = config.hidden_size * (2 if self.bidirectional else 1)
        self.readout = Readout(config.readout, size, self.bidirectional)
        self.dropout = nn.Dropout(config.dropout)
        self.output = nn.Linear(size, n_labels)
        initialise_recurrence(self.recurrence)

    def forward(self, features: Tensor) -> Tensor:
        """Return logits (batch, n_labels) of ``features`` (batch, n_frames, n_features)."""
        outputs, _ = self.recurrence(features)
        return self.output(self.dropout(self.readout(outputs)))  # type: ignore[no-any-return]


class RNN(Recurrent):
    """Elman 1990."""

    cell = nn.RNN


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


NETWORKS: dict[str, type[nn.Module]] = {
    "rnn": RNN,
    "lstm": LSTM,
    "gru": GRU,
    "birnn": BiRNN,
    "bilstm": BiLSTM,
    "bigru": BiGRU,
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


class Recogniser(nn.Module):
    """The whole way from samples to logits: features, standardisation, network."""

    feature_mean: Tensor
    feature_std: Tensor

    def __init__(self, features: FeatureConfig, network: NetworkConfig, n_labels: int) -> None:
        super().__init__()
        if network.arch not in NETWORKS:
            raise ConfigError(f"arch: no {network.arch!r}; there are {', '.join(NETWORKS)}")
        self.features = FEATURES[features.kind](features)
        self.network = NETWORKS[network.arch](network, features.n_features, n_labels)
        self.register_buffer("feature_mean", torch.zeros(features.n_features))
        self.register_buffer("feature_std", torch.ones(features.n_features))

    def standardised(self, samples: Tensor) -> Tensor:
        """Return features (batch, n_frames, n_features) of ``samples`` (batch, n_samples)."""
        features: Tensor = self.features(samples)
        return (features - self.feature_mean) / self.feature_std

    def forward(self, samples: Tensor) -> Tensor:
        """Return logits (batch, n_labels) of ``samples`` (batch, n_samples)."""
        logits: Tensor = self.network(self.standardised(samples))
        return logits


def build_recogniser(
    features: FeatureConfig, network: NetworkConfig, n_labels: int, seed: int
) -> Recogniser:
    """Return a recogniser with freshly drawn weights, the same for the same ``seed``."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Recogniser(features, network, n_labels)


def count_parameters(network: nn.Module) -> int:
    """Return the number of trainable values."""
    return sum(parameter.numel() for parameter in network.parameters())


def count_multiply_adds(network: nn.Module, features: Tensor) -> int:
    """Return the multiply-adds of one pass over ``features`` (1, n_frames, n_features).

    Counted are the matrix products of recurrent, linear and convolutional layers.
    """
    total = 0

    def add(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal total
        n_weights = sum(p.numel() for p in layer.parameters() if p.dim() > 1)
        if isinstance(layer, nn.RNNBase):
            n_uses = inputs[0].shape[1]  # once a frame
        elif isinstance(layer, nn.Linear):
            n_uses = output.numel() // layer.out_features
        else:
            n_uses = output.numel() // output.shape[1]  # once at each place of the map
        total += n_weights * n_uses

    counted = (nn.RNNBase, nn.Linear, nn.Conv1d, nn.Conv2d)
    hooks = [m.register_forward_hook(add) for m in network.modules() if isinstance(m, counted)]
    try:
        with torch.no_grad():
            network(features)
    finally:
        for hook in hooks:
            hook.remove()
    return total
