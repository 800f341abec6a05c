"""Front ends: layers before the recurrence that reduce the frame rate by two or four."""

import math
from typing import ClassVar

import torch
from torch import Tensor, nn

from speechcls.networks.network import States


class FrontEnd(nn.Module):
    """Layers from frames of features to steps of the recurrence, each of ``size`` values.

    A causal one never looks at a later frame than the last one of its step, and so can stream.
    """

    frames_per_step: int = 4
    is_causal: ClassVar[bool] = True

    def __init__(self, n_features: int, size: int, step_frames: int = 4) -> None:
        super().__init__()
        self.n_features, self.size = n_features, size

    def forward(self, features: Tensor) -> Tensor:
        """Return (batch, n_steps, size) of ``features`` (batch, n_frames, n_features).

        The number of steps is rounded up: the last one may lack frames.
        """
        raise NotImplementedError

    def states(self, batch: int, device: torch.device | None = None) -> States:
        """Return the states that ``step`` starts from; only of causal ones."""
        raise NotImplementedError

    def step(self, features: Tensor, states: States) -> tuple[Tensor, States]:
        """Return the steps that end in ``features``, and the states after them.

        Parameters
        ----------
        features : (batch, n_frames, n_features), ``n_frames`` a multiple of ``frames_per_step``

        Returns
        -------
        (batch, n_frames / frames_per_step, size), and the new states
        """
        raise NotImplementedError


class BlockFrontEnd(FrontEnd):
    """One linear layer over blocks of four frames, so that the recurrence has a quarter to go.

    Block i ends with frame 4 i, so that it is causal.

    Source
    ------
    Sak et al. 2015, "Fast and accurate recurrent neural network acoustic models" (stacked frames);
    Ioffe & Szegedy 2015 (batch norm).
    """

    def __init__(self, n_features: int, size: int, step_frames: int = 4) -> None:
        super().__init__(n_features, size)
        self.project = nn.Conv1d(n_features, size, 4, stride=4, padding=3, bias=False)
        self.norm = nn.BatchNorm1d(size)

    def forward(self, features: Tensor) -> Tensor:
        """Return (batch, (n_frames + 3) / 4, size) of ``features`` (batch, n_frames, n_features).

        The number of blocks is rounded up.
        """
        return torch.relu(self.norm(self.project(features.transpose(1, 2)))).transpose(1, 2)

    def states(self, batch: int, device: torch.device | None = None) -> States:
        """Return three frames of zeros, which the first block begins with."""
        return [torch.zeros(batch, self.n_features, 3, device=device)]

    def step(self, features: Tensor, states: States) -> tuple[Tensor, States]:
        """Return the blocks (batch, n_frames / 4, size) that end in ``features``, and its end."""
        frames = torch.cat([states[0], features.transpose(1, 2)], dim=2)
        blocks = nn.functional.conv1d(frames, self.project.weight, stride=4)
        return torch.relu(self.norm(blocks)).transpose(1, 2), [frames[:, :, -3:]]


class ConvFrontEnd(FrontEnd):
    """Convolutions that learn local shapes and leave a half or a quarter of the frames.

    Two stages halve frequency, and the first or both of them halve time; each ends with a
    convolution whose input is added to its output. Kernels are centred, so that they look at later
    frames too.

    Source
    ------
    He et al. 2016 (residual); Ioffe & Szegedy 2015 (batch norm).
    """

    is_causal = False

    def __init__(self, n_features: int, size: int, step_frames: int = 4) -> None:
        super().__init__(n_features, size)
        self.frames_per_step = step_frames
        unit = max(1, size // 12)
        first, second = 4 * unit, 8 * unit  # channels; processors like multiples of four
        self.stages = nn.ModuleList(
            [
                _ConvBlock(1, first, 5, (2, 2), self.is_causal),
                _ConvBlock(first, first, 3, (1, 1), self.is_causal),
                _ConvBlock(first, second, 3, (step_frames // 2, 2), self.is_causal),
                _ConvBlock(second, second, 3, (1, 1), self.is_causal),
            ]
        )
        n_bands = math.ceil(n_features / 4)
        self.project = nn.Linear(second * n_bands, size)

    def forward(self, features: Tensor) -> Tensor:
        """Return (batch, n_steps, size) of ``features`` (batch, n_frames, n_features)."""
        maps = features.unsqueeze(1)  # (batch, 1, n_frames, n_features)
        for stage in self.stages:
            maps = stage(maps)
        projected: Tensor = self.project(maps.transpose(1, 2).flatten(2))
        return projected


class CausalConvFrontEnd(ConvFrontEnd):
    """The same convolutions, each padded before the first frame only."""

    is_causal = True

    def states(self, batch: int, device: torch.device | None = None) -> States:
        """Return frames of zeros, those that the kernel of each convolution begins with."""
        states, bands = [], self.n_features
        for stage in self._stages():
            shape = batch, stage.n_inputs, stage.width - 1, bands
            states.append(torch.zeros(shape, device=device))
            bands = math.ceil(bands / stage.stride[1])
        return states

    def step(self, features: Tensor, states: States) -> tuple[Tensor, States]:
        """Return the steps (batch, n_steps, size) that end in ``features``, and new states."""
        maps, after = features.unsqueeze(1), []
        for stage, state in zip(self._stages(), states, strict=True):
            maps, state = stage.step(maps, state)
            after.append(state)
        projected: Tensor = self.project(maps.transpose(1, 2).flatten(2))
        return projected, after

    def _stages(self) -> "list[_ConvBlock]":
        return list(self.stages)  # type: ignore[arg-type]


class _ConvBlock(nn.Module):
    """One convolution with batch norm and ReLU, around which a map of equal shape is added.

    Its stride is that over time, then over frequency.
    """

    def __init__(
        self, n_inputs: int, n_outputs: int, width: int, stride: tuple[int, int], is_causal: bool
    ) -> None:
        super().__init__()
        self.n_inputs, self.width, self.stride = n_inputs, width, stride
        self.n_before = width - 1 if is_causal else 0
        """Frames of zeros before the first one, besides the padding of the convolution."""
        padding = (0 if is_causal else width // 2, width // 2)
        self.convolution = nn.Conv2d(
            n_inputs, n_outputs, width, stride, padding=padding, bias=False
        )
        # In memory with the channels last, which processors compute a tenth faster.
        self.convolution.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.norm = nn.BatchNorm2d(n_outputs)
        self.is_residual = n_inputs == n_outputs and stride == (1, 1)

    def forward(self, maps: Tensor) -> Tensor:
        padded = nn.functional.pad(maps, (0, 0, self.n_before, 0)) if self.n_before else maps
        changed = self.norm(self.convolution(padded))
        return torch.relu(changed + maps if self.is_residual else changed)

    def step(self, maps: Tensor, before: Tensor) -> tuple[Tensor, Tensor]:
        """Return what ``forward`` does of maps that follow ``before``, and the last of them."""
        frames = torch.cat([before, maps], dim=2)
        changed = self.norm(self.convolution(frames))
        changed = torch.relu(changed + maps if self.is_residual else changed)
        return changed, frames[:, :, 1 - self.width :]
