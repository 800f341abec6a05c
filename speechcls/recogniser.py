"""A whole recogniser: from samples to one logit a label."""

import dataclasses
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from speechcls.cells import FastRNNLayer
from speechcls.config import SIZES, FeatureConfig, NetworkConfig
from speechcls.errors import ConfigError
from speechcls.features import FEATURES
from speechcls.networks import NETWORKS

_WIDTHS = range(4, 1025, 4)
"""Hidden sizes that ``fit_size`` chooses from."""


class Recogniser(nn.Module):
    """The whole way from samples to logits: features, standardisation, network.

    The network may tell more words apart than there are labels; the probabilities of all words of
    one label, as of ``_unknown_``, are then summed.
    """

    feature_mean: Tensor
    feature_std: Tensor
    members: Tensor

    def __init__(
        self, features: FeatureConfig, network: NetworkConfig, label_of_output: Sequence[int]
    ) -> None:
        super().__init__()
        if network.arch not in NETWORKS:
            raise ConfigError(f"arch: no {network.arch!r}; there are {', '.join(NETWORKS)}")
        if network.readout == "stream" and not features.running_s:
            raise ConfigError("readout: a stream has no mean of the whole clip; give --running 1")
        self.features = FEATURES[features.kind](features)
        n_outputs = len(label_of_output)
        self.network = NETWORKS[network.arch](network, features.n_features, n_outputs)
        self.register_buffer("feature_mean", torch.zeros(features.n_features))
        self.register_buffer("feature_std", torch.ones(features.n_features))
        self.sums = list(label_of_output) != list(range(n_outputs))
        members = nn.functional.one_hot(torch.tensor(label_of_output)).float()
        self.register_buffer("members", members, persistent=False)  # (n_outputs, n_labels)

    def standardised(self, samples: Tensor) -> Tensor:
        """Return features (batch, n_frames, n_features) of ``samples`` (batch, n_samples)."""
        return self.standardise(self.features(samples))

    def standardise(self, features: Tensor) -> Tensor:
        """Return ``features`` (batch, n_frames, n_features) in deviations from their means."""
        return (features - self.feature_mean) / self.feature_std

    def by_label(self, logits: Tensor) -> Tensor:
        """Return logits (..., n_labels) of the network's logits (..., n_outputs)."""
        if not self.sums:
            return logits
        # The logarithm of a probability is a logit of it.
        return (logits.softmax(dim=-1) @ self.members).clamp(min=1e-30).log()

    def forward(self, samples: Tensor) -> Tensor:
        """Return logits (batch, n_labels) of ``samples`` (batch, n_samples)."""
        return self.logits_of(self.standardised(samples))

    def logits_of(self, features: Tensor) -> Tensor:
        """Return logits (batch, n_labels) of standardised features."""
        logits = self.by_label(self.network(features))
        return at_best_step(logits) if logits.dim() == 3 else logits


def at_best_step(logits: Tensor) -> Tensor:
    """Return logits (batch, n_labels) of the step at which a word is likeliest.

    Parameters
    ----------
    logits : (batch, n_steps, n_labels), of which the last label stands for no word
    """
    likeliest = logits.softmax(dim=2)[:, :, :-1].amax(dim=2).argmax(dim=1)
    index = likeliest[:, None, None].expand(-1, 1, logits.shape[2])
    return logits.gather(1, index).squeeze(1)


def build_recogniser(
    features: FeatureConfig, network: NetworkConfig, label_of_output: Sequence[int], seed: int
) -> Recogniser:
    """Return a recogniser with freshly drawn weights, the same for the same ``seed``.

    Parameters
    ----------
    label_of_output : for each output of the network the index of the label that it counts as;
        ``range(n_labels)`` where each label is one output

    Raises
    ------
    ConfigError
        When there is no such network, or it cannot be built so.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Recogniser(features, network, label_of_output)


def fit_size(
    size: str, features: FeatureConfig, network: NetworkConfig, n_outputs: int
) -> NetworkConfig:
    """Return ``network`` with the largest hidden size that keeps it below ``SIZES[size]``.

    Raises
    ------
    ConfigError
        When ``size`` is unknown, or even the smallest network has more parameters.
    """
    if size not in SIZES:
        raise ConfigError(f"size: no {size!r}; there are {', '.join(SIZES)}")
    chosen = None
    for width in _WIDTHS:
        candidate = dataclasses.replace(network, hidden_size=width)
        with torch.device("meta"):
            built = NETWORKS[network.arch](candidate, features.n_features, n_outputs)
        if count_parameters(built) >= SIZES[size]:
            break
        chosen = candidate
    if chosen is None:
        raise ConfigError(
            f"size: {network.arch} with {n_outputs} outputs has no {size} form below"
            f" {SIZES[size]:,} parameters; choose a larger one"
        )
    return chosen


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
        n_weights = sum(p.numel() for p in layer.parameters(recurse=False) if p.dim() > 1)
        if isinstance(layer, nn.RNNBase | FastRNNLayer):
            n_uses = inputs[0].shape[1]  # once a frame
        elif isinstance(layer, nn.Linear):
            n_uses = output.numel() // layer.out_features
        else:
            n_uses = output.numel() // output.shape[1]  # once at each place of the map
        total += n_weights * n_uses

    counted = (nn.RNNBase, FastRNNLayer, nn.Linear, nn.Conv1d, nn.Conv2d)
    hooks = [m.register_forward_hook(add) for m in network.modules() if isinstance(m, counted)]
    try:
        with torch.no_grad():
            network(features)
    finally:
        for hook in hooks:
            hook.remove()
    return total
