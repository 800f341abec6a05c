"""The gradient of a batch, in parts where memory is short, and a check that it stays finite."""

import itertools
from collections import deque
from collections.abc import Callable
from typing import Generic, NamedTuple, TypeVar

import torch
from torch import Tensor

from speechcls.networks.recogniser import Recogniser, forward_mixed_precision

_N_AHEAD = 32
"""Steps by which the host may run ahead of a GPU."""


class Gradient:
    """Sets the gradients of a recogniser's weights to those of the mean loss of a batch.

    Parameters
    ----------
    loss : returns the mean loss of logits and targets
    batch_size : clips of a whole batch, in messages
    """

    def __init__(
        self,
        recogniser: Recogniser,
        loss: Callable[[Tensor, Tensor], Tensor],
        batch_size: int,
    ) -> None:
        self._recogniser, self._loss, self._batch_size = recogniser, loss, batch_size
        self._n_parts = 1

    def find(self, features: Tensor, targets: Tensor, on_warning: Callable[[str], None]) -> Tensor:
        """Return the mean loss (), after setting the gradients.

        In parts, the loss is that of the whole batch but for BatchNorm, and for rows of a stream
        with more words than others.

        Parameters
        ----------
        features : (batch, n_frames, n_features)
        targets : (batch, ...), what ``loss`` takes
        on_warning : called where memory makes batches be computed in parts

        Raises
        ------
        torch.OutOfMemoryError
            When there is not even memory for a single row.
        """
        while (loss := self._find_in_parts(features, targets)) is None:
            self._n_parts *= 2
            on_warning(
                f"{features.device}: out of memory; batches of {self._batch_size} are computed in"
                f" {self._n_parts} parts"
            )
        return loss

    def _find_in_parts(self, features: Tensor, targets: Tensor) -> Tensor | None:
        """Return the loss; None where memory does not suffice."""
        self._recogniser.zero_grad()
        total = torch.zeros((), device=features.device)
        n = self._n_parts
        try:
            for part, answers in zip(features.chunk(n), targets.chunk(n), strict=True):
                logits = forward_mixed_precision(self._recogniser, part)
                loss = self._loss(logits, answers) * (len(answers) / len(targets))
                loss.backward()  # type: ignore[no-untyped-call]
                total += loss.detach()
            return total
        except torch.OutOfMemoryError:
            if n >= len(targets):
                raise
        torch.cuda.empty_cache()
        return None


Where = TypeVar("Where")


class Failure(NamedTuple, Generic[Where]):
    """A step whose loss or gradient was not finite."""

    where: Where
    loss: float
    norm: float
    """Of the gradient."""


class FiniteCheck(Generic[Where]):
    """Finds the first step whose loss or gradient is not finite.

    A GPU is not waited for: its failure is found some steps later.
    """

    def __init__(self, device: torch.device) -> None:
        self._is_cuda = device.type == "cuda"
        self._pending: deque[tuple[Where, Tensor, torch.cuda.Event | None]] = deque()
        self._slots = itertools.cycle(
            torch.empty(_N_AHEAD + 1, 2, pin_memory=True) if self._is_cuda else ()
        )

    def add(self, where: Where, loss: Tensor, norm: Tensor) -> Failure[Where] | None:
        """Return the first failure that is known, of this step or of one before."""
        values, arrived = torch.stack([loss, norm]), None
        if self._is_cuda:
            values = next(self._slots).copy_(values, non_blocking=True)
            arrived = torch.cuda.Event()  # type: ignore[no-untyped-call]
            arrived.record()
        self._pending.append((where, values, arrived))
        return self.find(n_left=_N_AHEAD)

    def find(self, n_left: int = 0) -> Failure[Where] | None:
        """Return the first failure, after waiting until at most ``n_left`` steps are unknown."""
        while self._pending:
            where, values, arrived = self._pending[0]
            if arrived and not arrived.query():  # type: ignore[no-untyped-call]
                if len(self._pending) <= n_left:
                    return None
                arrived.synchronize()
            self._pending.popleft()
            loss, norm = values.tolist()
            if not torch.isfinite(values).all():
                return Failure(where, loss, norm)
        return None
