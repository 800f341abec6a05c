"""The exponential moving average (EMA) of the weights of a recogniser in training."""

import copy
from collections.abc import Mapping

import torch
from torch import Tensor

from speechcls.networks.recogniser import Recogniser


class WeightEma:
    """A recogniser in training and the EMA of its weights."""

    def __init__(self, recogniser: Recogniser, decay: float) -> None:
        self.recogniser = recogniser
        self.model = recogniser
        if decay:
            device = recogniser.feature_mean.device
            self.model = copy.deepcopy(recogniser).to(device)  # flattens the weights for cuDNN
        self._decay, self._n_steps = decay, 0
        # A state dict holds the tensors themselves, which every step updates in place.
        pairs = list(
            zip(self.model.state_dict().values(), recogniser.state_dict().values(), strict=True)
        )
        self._values = [pair for pair in pairs if pair[0].is_floating_point()]
        self._counts = [pair for pair in pairs if not pair[0].is_floating_point()]

    def restore(self, average: Mapping[str, Tensor], n_steps: int) -> None:
        """Go on from the EMA after so many steps."""
        if self._decay:
            self.model.load_state_dict(average)
            self._n_steps = n_steps

    def step(self) -> None:
        """Update the EMA after one step of the optimiser."""
        if not self._decay:
            return
        self._n_steps += 1
        # A short memory at first, so that the random initialisation is soon forgotten.
        decay = min(self._decay, self._n_steps / (10 + self._n_steps))
        averages, weights = zip(*self._values, strict=True)
        torch._foreach_lerp_(averages, weights, 1 - decay)
        for average, count in self._counts:
            average.copy_(count)
