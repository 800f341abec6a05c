"""A whole recogniser: from samples to one logit per label."""

import functools
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from speechcls.config import FeatureConfig, NetworkConfig
from speechcls.errors import ConfigError
from speechcls.features.mel import FEATURES
from speechcls.networks.zoo import build_network


class Recogniser(nn.Module):
    """Features, their standardisation and a network: from samples to logits.

    The network may have more outputs (words) than there are labels; the probabilities of all words
    of one label, such as ``_unknown_``, are then summed.
    """

    feature_mean: Tensor
    feature_std: Tensor
    label_of_word: Tensor
    """(n_outputs, n_labels), 1 where the word counts as the label."""

    def __init__(
        self, features: FeatureConfig, network: NetworkConfig, label_of_output: Sequence[int]
    ) -> None:
        super().__init__()
        if network.is_streaming and not features.running_s:
            raise ConfigError(
                "a stream has no mean of the whole clip; set running_s, for example to 1",
                field="readout",
            )
        self.features = FEATURES[features.kind](features)
        n_outputs = len(label_of_output)
        self.network = build_network(network, features.n_features, n_outputs)
        self.register_buffer("feature_mean", torch.zeros(features.n_features))
        self.register_buffer("feature_std", torch.ones(features.n_features))
        self.merges_words = list(label_of_output) != list(range(n_outputs))
        label_of_word = nn.functional.one_hot(torch.tensor(label_of_output)).float()
        self.register_buffer("label_of_word", label_of_word, persistent=False)

    def extract_features(self, samples: Tensor) -> Tensor:
        """Return standardised features (batch, n_frames, n_features) of ``samples``.

        Parameters
        ----------
        samples : (batch, n_samples)
        """
        return self.normalise(self.features(samples))

    def normalise(self, features: Tensor) -> Tensor:
        """Return ``features`` (batch, n_frames, n_features) standardised as in training."""
        return (features - self.feature_mean) / self.feature_std

    def merge_word_logits(self, logits: Tensor) -> Tensor:
        """Return logits (..., n_labels) of the network's logits (..., n_outputs)."""
        if not self.merges_words:
            return logits
        # The logarithm of a probability is a logit of it.
        return (logits.softmax(dim=-1) @ self.label_of_word).clamp(min=1e-30).log()

    def forward(self, samples: Tensor) -> Tensor:
        """Return logits (batch, n_labels) of ``samples`` (batch, n_samples)."""
        return self.logits_of(self.extract_features(samples))

    def logits_of(self, features: Tensor) -> Tensor:
        """Return logits (batch, n_labels) of standardised ``features``.

        Parameters
        ----------
        features : (batch, n_frames, n_features)
        """
        logits = self.merge_word_logits(self.network(features))
        return select_peak_step(logits) if logits.dim() == 3 else logits


def select_peak_step(logits: Tensor) -> Tensor:
    """Return logits (batch, n_labels) of the step at which a word is most probable.

    Parameters
    ----------
    logits : (batch, n_steps, n_labels), of which the last label is no word
    """
    likeliest = logits.softmax(dim=2)[:, :, :-1].amax(dim=2).argmax(dim=1)
    n_labels = int(logits.shape[2])  # a number, so that the exported graph says how many
    index = likeliest[:, None, None].expand(-1, 1, n_labels)
    return logits.gather(1, index).squeeze(1)


def forward_mixed_precision(recogniser: Recogniser, features: Tensor) -> Tensor:
    """Return logits (batch, n_outputs) in float32, computed in bfloat16 where that is faster.

    The features (batch, n_frames, n_features) stay float32, which decibels need.
    """
    device = features.device.type
    with torch.autocast(device, dtype=torch.bfloat16, enabled=_mixes_precision(device)):
        logits: Tensor = recogniser.network(features)
    return logits.float()


@functools.cache
def _mixes_precision(device: str) -> bool:
    """Whether the device multiplies bfloat16 natively; others are slower with it."""
    if device != "cpu":
        return device == "cuda"
    available = getattr(torch.cpu, "get_capabilities", dict[str, bool])()  # an older torch has none
    return any(available.get(name, False) for name in ("avx512_bf16", "amx_bf16"))


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
        When there is no such architecture, or it cannot be built with these settings.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Recogniser(features, network, label_of_output)
