"""BC-ResNet, the strong convolutional network that the recurrent ones are measured against.

Source
------
Kim, Chang, Lee & Sung 2021, "Broadcasted residual learning for efficient keyword spotting", table 1
and figure 2; sub-spectral normalisation: Chang et al. 2021. Written from the papers.
"""

from typing import ClassVar

import torch
from torch import Tensor, nn

from speechcls.config import NetworkConfig
from speechcls.errors import ConfigError
from speechcls.networks.network import Network

_N_BANDS = 40
"""What the paper's strides are made for, or a multiple of it."""
_N_SUB_BANDS = 5
_DROPOUT = 0.1
# Blocks of a stage, their channels (of BC-ResNet-1), stride in frequency, dilation in time.
_STAGES = ((2, 8, 1, 1), (2, 12, 2, 2), (4, 16, 2, 4), (4, 20, 1, 8))


class SubSpectralNorm(nn.Module):
    """Batch norm of each of five bands of frequency on its own."""

    def __init__(self, n_channels: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(n_channels * _N_SUB_BANDS)

    def forward(self, maps: Tensor) -> Tensor:
        """Return maps of the shape of ``maps`` (batch, n_channels, n_bands, n_frames)."""
        batch, n_channels, n_bands, n_frames = maps.shape
        split = maps.reshape(batch, n_channels * _N_SUB_BANDS, n_bands // _N_SUB_BANDS, n_frames)
        normed: Tensor = self.norm(split)
        return normed.reshape(maps.shape)


class Block(nn.Module):
    """Convolution over frequency, plus one over time of the mean over frequency, broadcast."""

    def __init__(self, n_inputs: int, n_channels: int, stride: int, dilation: int) -> None:
        super().__init__()
        self.is_transition = n_inputs != n_channels
        self.widen = (
            nn.Sequential(
                nn.Conv2d(n_inputs, n_channels, 1, bias=False),
                nn.BatchNorm2d(n_channels),
                nn.ReLU(),
            )
            if self.is_transition
            else nn.Identity()
        )
        self.over_frequency = nn.Sequential(
            nn.Conv2d(
                n_channels,
                n_channels,
                (3, 1),
                stride=(stride, 1),
                padding=(1, 0),
                groups=n_channels,
                bias=False,
            ),
            SubSpectralNorm(n_channels),
        )
        self.over_time = nn.Sequential(
            nn.Conv2d(
                n_channels,
                n_channels,
                (1, 3),
                padding=(0, dilation),
                dilation=(1, dilation),
                groups=n_channels,
                bias=False,
            ),
            nn.BatchNorm2d(n_channels),
            nn.SiLU(),
            nn.Conv2d(n_channels, n_channels, 1, bias=False),
            nn.Dropout2d(_DROPOUT),
        )

    def forward(self, maps: Tensor) -> Tensor:
        """Return (batch, n_channels, n_bands / stride, n_frames)."""
        two_dimensional = self.over_frequency(self.widen(maps))
        temporal = self.over_time(two_dimensional.mean(dim=2, keepdim=True))
        total = two_dimensional + temporal
        return torch.relu(total if self.is_transition else total + maps)


class BCResNet(Network):
    """BC-ResNet of the paper, of one width."""

    scale: ClassVar[int]
    """1 is the paper's BC-ResNet-1, 8 its BC-ResNet-8."""

    def __init__(self, config: NetworkConfig, n_features: int, n_outputs: int) -> None:
        super().__init__(config, n_features, n_outputs)
        if n_features % _N_BANDS:
            raise ConfigError(f"{n_features} is no multiple of {_N_BANDS}", field="n_mels")
        scale = self.scale
        width = 16 * scale
        blocks: list[nn.Module] = [
            nn.Conv2d(1, width, 5, stride=(2, 1), padding=2, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
        ]
        for n_blocks, channels, stride, dilation in _STAGES:
            for number in range(n_blocks):
                n_channels = channels * scale
                blocks.append(Block(width, n_channels, 1 if number else stride, dilation))
                width = n_channels
        last = 32 * scale
        self.body = nn.Sequential(
            *blocks,
            nn.Conv2d(width, width, 5, padding=(0, 2), groups=width, bias=False),
            nn.Conv2d(width, last, 1, bias=False),
            nn.BatchNorm2d(last),
            nn.ReLU(),
        )
        self.output = nn.Linear(last, n_outputs)

    def forward(self, features: Tensor) -> Tensor:
        """Return logits (batch, n_outputs) of log-mel ``features`` (batch, n_frames, n_bands)."""
        maps = self.body(features.transpose(1, 2).unsqueeze(1))  # (batch, last, 1, n_frames)
        logits: Tensor = self.output(maps.mean(dim=(2, 3)))
        return logits


class BCResNet1(BCResNet):
    """BC-ResNet-1, Kim et al. 2021."""

    scale = 1


class BCResNet3(BCResNet):
    """BC-ResNet-3, Kim et al. 2021."""

    scale = 3


class BCResNet8(BCResNet):
    """BC-ResNet-8, Kim et al. 2021."""

    scale = 8
