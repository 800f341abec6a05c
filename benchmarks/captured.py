"""Steps captured as a CUDA graph, for ``gpu.py``: what they would save, if they could be trusted.

The gradients are those of plain steps to the bit for every network of the zoo, in a third to an
eighth of the time. But of 18 trainings by captured steps on an H100 (torch 2.11, CUDA 13) one ended
with an illegal memory access and one with a validation loss that was not finite. The cause is not
known, so that speechcls does not capture.
"""

import torch
from torch import Tensor
from torch.nn import functional

from speechcls.networks.recogniser import Recogniser, forward_mixed_precision

_N_WARM_UP = 3
"""Steps before a capture, in which libraries choose their kernels."""


class CapturedGradient:
    """Forward and backward of batches of one shape, with the memory that they work on."""

    def __init__(self, recogniser: Recogniser, features: Tensor, targets: Tensor) -> None:
        self._recogniser = recogniser
        self._features, self._targets = features.clone(), targets.clone()
        stream = torch.cuda.Stream(features.device)  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream(features.device))
        with torch.cuda.stream(stream):
            for _ in range(_N_WARM_UP):
                recogniser.zero_grad()
                self._add()
            recogniser.zero_grad()  # so that the graph sets gradients, and does not add to them
        torch.cuda.current_stream(features.device).wait_stream(stream)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            self._loss = self._add()
        self._gradients = [(weight, weight.grad) for weight in recogniser.parameters()]

    def _add(self) -> Tensor:
        """Add the gradient, and return the mean loss."""
        logits = forward_mixed_precision(self._recogniser, self._features)
        loss = functional.cross_entropy(logits, self._targets)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.detach()

    def find(self, features: Tensor, targets: Tensor) -> Tensor:
        """Return the mean loss (), after setting the gradients."""
        self._features.copy_(features)
        self._targets.copy_(targets)
        self._graph.replay()
        for weight, gradient in self._gradients:
            weight.grad = gradient
        return self._loss
