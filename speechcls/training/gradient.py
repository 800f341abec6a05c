"""The gradient of a batch: captured as a CUDA graph, in parts where memory is short, or shared.

Several processes each have the gradient of their own rows, and add them up at once: all weights of
a network are a few megabytes, one message. Each process counts by the rows that it has.
"""

import itertools
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, NamedTuple, TypeVar

import torch
from torch import Tensor

from speechcls.distributed.group import ALONE, Group
from speechcls.errors import reason_of
from speechcls.networks.recogniser import Recogniser, forward_mixed_precision

_N_SHAPES = 2
"""Shapes that are captured: those of whole batches, and of the last one of an epoch."""
_N_WARM_UP = 3
"""Steps before a capture, in which libraries choose their kernels."""
_N_AHEAD = 32
"""Steps by which the host may run ahead of a GPU."""
_N_CLIPS_NAMED = 3


class Diverged(Exception):
    """The loss of a batch, or of the validation clips, is not finite."""

    def __init__(self, what: str, lr: float, clips: Sequence[int]) -> None:
        self._what, self._lr, self._clips = what, lr, clips

    def describe(self, paths: Sequence[str]) -> str:
        """Return it in one line.

        Parameters
        ----------
        paths : of all clips of the corpus
        """
        named = [paths[clip] for clip in self._clips[:_N_CLIPS_NAMED]]
        n_more = len(self._clips) - len(named)
        more = f" and {n_more} more" if n_more else ""
        clips = f"; clips {', '.join(named)}{more}" if named else ""
        return f"{self._what} at a learning rate of {self._lr:.3g}{clips}; choose a lower one"


class Gradient:
    """Sets the gradients of a recogniser's weights to those of the mean loss of a batch.

    On CUDA the kernels of a batch are captured as one graph, which the host launches at once: a
    recurrent network has hundreds of them, most of which take less time than their launch.

    Parameters
    ----------
    loss : returns the mean loss of logits and targets, or the part of it that own rows have
    batch_size : clips of a whole batch, in messages
    may_capture : whether CUDA graphs may be captured
    group : the processes that share each batch
    """

    def __init__(
        self,
        recogniser: Recogniser,
        loss: Callable[[Tensor, Tensor], Tensor],
        batch_size: int,
        may_capture: bool = True,
        group: Group = ALONE,
    ) -> None:
        self._recogniser, self._loss, self._batch_size = recogniser, loss, batch_size
        self._n_parts, self._group = 1, group
        is_cuda = recogniser.feature_mean.device.type == "cuda"
        self._may_capture = may_capture and is_cuda and group.is_alone
        self._captured: dict[torch.Size, _Captured] = {}

    def find(self, features: Tensor, targets: Tensor, on_warning: Callable[[str], None]) -> Tensor:
        """Return the mean loss (), after setting the gradients.

        In parts, the loss is that of the whole batch but for BatchNorm, and for rows of a stream
        with more words than others.

        Parameters
        ----------
        features : (batch, n_frames, n_features)
        targets : (batch, ...), what ``loss`` takes
        on_warning : called where memory makes batches be computed in parts, or steps cannot be
            captured

        Raises
        ------
        torch.OutOfMemoryError
            When there is not even memory for a single row, or not in one of several processes.
        """
        if not self._group.is_alone:
            return self._find_together(features, targets)
        shape = features.shape
        if self._may_capture and shape not in self._captured and len(self._captured) < _N_SHAPES:
            self._capture(features, targets, on_warning)
        if shape in self._captured:
            return self._captured[shape].replay(features, targets)
        while (loss := self._find_in_parts(features, targets)) is None:
            self._n_parts *= 2
            on_warning(
                f"{features.device}: out of memory; batches of {self._batch_size} are computed in"
                f" {self._n_parts} parts"
            )
        return loss

    def close(self) -> None:
        """Free the graphs and their memory."""
        for captured in self._captured.values():
            captured.graph.reset()
        self._captured, self._may_capture = {}, False

    def _find_together(self, features: Tensor, targets: Tensor) -> Tensor:
        """Return the loss of the rows of all processes, after setting their gradients."""
        self._recogniser.zero_grad()
        loss = self._add(features, targets, 1.0)
        gradients = [w.grad for w in self._recogniser.parameters() if w.grad is not None]
        flat = torch.cat([*(gradient.flatten() for gradient in gradients), loss.reshape(1)])
        sizes = [gradient.numel() for gradient in gradients]
        *parts, total = torch.split(self._group.add(flat), [*sizes, 1])
        for gradient, part in zip(gradients, parts, strict=True):
            gradient.copy_(part.view_as(gradient))
        return total.squeeze(0)

    def _find_in_parts(self, features: Tensor, targets: Tensor) -> Tensor | None:
        """Return the loss; None where memory does not suffice."""
        self._recogniser.zero_grad()
        total = torch.zeros((), device=features.device)
        n = self._n_parts
        try:
            for part, answers in zip(features.chunk(n), targets.chunk(n), strict=True):
                total += self._add(part, answers, len(answers) / len(targets))
            return total
        except torch.OutOfMemoryError:
            if n >= len(targets):
                raise
        torch.cuda.empty_cache()
        return None

    def _add(self, features: Tensor, targets: Tensor, weight: float) -> Tensor:
        """Add the gradient of the weighted loss, and return the latter."""
        logits = forward_mixed_precision(self._recogniser, features)
        loss = self._loss(logits, targets) * weight
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.detach()

    def _capture(
        self, features: Tensor, targets: Tensor, on_warning: Callable[[str], None]
    ) -> None:
        """Capture the step of batches of this shape, or none from now on if that is impossible."""
        buffers = [(buffer, buffer.clone()) for buffer in self._recogniser.buffers()]
        state = torch.cuda.get_rng_state(features.device)
        try:
            captured = _Captured(self._recogniser, self._add, features, targets)
            self._captured[features.shape] = captured
        except torch.OutOfMemoryError:
            self._may_capture = False
            torch.cuda.empty_cache()  # in parts there may be enough
        except RuntimeError as error:
            self._may_capture = False
            on_warning(f"{features.device}: steps are not captured ({reason_of(error)})")
        for buffer, before in buffers:  # as if there had been no warm-up
            buffer.copy_(before)
        torch.cuda.set_rng_state(state, features.device)


class _Captured:
    """The step of batches of one shape as a CUDA graph, with the memory that it works on."""

    def __init__(
        self,
        recogniser: Recogniser,
        add: Callable[[Tensor, Tensor, float], Tensor],
        features: Tensor,
        targets: Tensor,
    ) -> None:
        self._features, self._targets = features.clone(), targets.clone()
        # Of its own: graphs that share a stream share cuBLAS's workspace too, which the end of one
        # of them frees (https://github.com/pytorch/pytorch/issues/193402).
        stream = torch.cuda.Stream(features.device)  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream(features.device))
        with torch.cuda.stream(stream):
            for _ in range(_N_WARM_UP):
                recogniser.zero_grad()
                add(self._features, self._targets, 1.0)
            recogniser.zero_grad()  # so that the graph sets gradients, and does not add to them
        torch.cuda.current_stream(features.device).wait_stream(stream)
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph, stream=stream, capture_error_mode="thread_local"):
            self._loss = add(self._features, self._targets, 1.0)
        self._gradients = [(weight, weight.grad) for weight in recogniser.parameters()]

    def replay(self, features: Tensor, targets: Tensor) -> Tensor:
        """Return the mean loss (), after setting the gradients."""
        self._features.copy_(features)
        self._targets.copy_(targets)
        self.graph.replay()
        for weight, gradient in self._gradients:
            weight.grad = gradient
        return self._loss


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
