"""A recogniser as a module that any exporter can trace, whatever the format."""

import copy
import warnings
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor, nn

from speechcls.networks.recogniser import Recogniser

TOLERANCE = 1e-4
"""Largest difference of a probability between two engines that is accepted."""


class ProbabilityModule(nn.Module):
    """Probabilities (batch, n_labels) of samples (batch, n_samples)."""

    def __init__(self, recogniser: Recogniser) -> None:
        super().__init__()
        self.recogniser = recogniser

    def forward(self, samples: Tensor) -> Tensor:
        """Return probabilities (batch, n_labels)."""
        return self.recogniser(samples).softmax(dim=1)  # type: ignore[no-any-return]


def exportable(recogniser: Recogniser) -> Recogniser:
    """Return a copy on the CPU in which every layer is ONNX-exportable."""
    copied = copy.deepcopy(recogniser).to("cpu").eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of torch.jit.script
        for module in list(copied.modules()):
            if prepare := getattr(module, "prepare_for_export", None):
                prepare()
    return copied


def excess_difference(
    probabilities: npt.NDArray[np.floating[Any]], expected: npt.NDArray[np.floating[Any]]
) -> float | None:
    """Return the largest difference if it is more than ``TOLERANCE``, or NaN; otherwise None."""
    difference = float(np.abs(probabilities - expected).max())
    return None if difference <= TOLERANCE else difference
