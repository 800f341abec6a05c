"""The interface of every network: all that training, export, size and explanation rely on."""

from typing import ClassVar

import torch
from torch import Tensor, nn

from speechcls.config import NetworkConfig

States = list[Tensor]
"""States of a streaming network between steps; zeros at the start."""


class Network(nn.Module):
    """A network from features to logits.

    A subclass has a constructor with the parameters below, ``forward``, and a docstring whose first
    line says what it is. It may choose any of the class attributes. One that can run on a stream
    also has ``states`` and ``step``, and a ``forward`` that returns logits of each step where
    ``is_streaming``.

    Parameters
    ----------
    config : what the user chose; fields that do not apply are ignored
    n_features : values in a frame
    n_outputs : number of words
    """

    feature_kind: ClassVar[str] = "log-mel"
    """Default kind of features in training."""
    can_stream: ClassVar[bool] = False
    """Whether it can be built with the readout ``stream``."""
    output_layer: ClassVar[str] = "output"
    """Attribute of its last layer, which training from another model reinitialises."""
    frames_per_step: int = 1
    """Frames for which ``step`` returns one row of logits."""
    is_streaming: bool = False
    """Whether it returns logits of each step, (batch, n_steps, n_outputs), not of each clip."""

    def __init__(self, config: NetworkConfig, n_features: int, n_outputs: int) -> None:
        super().__init__()
        self.is_streaming = config.is_streaming

    def forward(self, features: Tensor) -> Tensor:
        """Return logits (batch, n_outputs) of ``features`` (batch, n_frames, n_features).

        Batch and frames may be any number, in the exported graph too: take them from
        ``features.shape``, not from ``len(features)``, which the exporter stores as a constant.
        """
        raise NotImplementedError

    def states(self, batch: int, device: torch.device | None = None) -> States:
        """Return the states that ``step`` starts from; only of networks that can stream."""
        raise NotImplementedError

    def step(self, features: Tensor, states: States) -> tuple[Tensor, States]:
        """Return logits of each step, and the states after it; only of networks that can stream.

        Parameters
        ----------
        features : (batch, n_frames, n_features), the frames that follow those behind ``states``;
            ``n_frames`` is a multiple of ``frames_per_step``

        Returns
        -------
        (batch, n_frames / frames_per_step, n_outputs), and the new states
        """
        raise NotImplementedError
