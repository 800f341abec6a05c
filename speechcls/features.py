"""Samples to features: batched torch modules on any device, equal to librosa's."""

import math
import warnings

import librosa
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from speechcls.config import FeatureConfig
from speechcls.errors import ConfigError


class LogMel(nn.Module):
    """Mel energies in decibels.

    Source
    ------
    Stevens, Volkmann & Newman 1937 for the scale; scale, filter shapes and area norm as librosa's
    (Slaney's), checked against ``librosa.feature.melspectrogram`` in ``tests/golden``.
    """

    filters: Tensor
    window: Tensor
    fourier: Tensor

    def __init__(self, config: FeatureConfig) -> None:
        super().__init__()
        self.config = config
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)
            try:
                filters = librosa.filters.mel(
                    sr=config.sample_rate,
                    n_fft=config.n_fft,
                    n_mels=config.n_mels,
                    fmin=config.fmin,
                    fmax=config.fmax,
                )  # (n_mels, 1 + n_fft // 2)
            except UserWarning as warning:
                raise ConfigError(
                    f"n-mels: {config.n_mels} bands are too many for n-fft {config.n_fft},"
                    " some would hold no frequency; choose fewer bands or a longer n-fft"
                ) from warning
        window = torch.hann_window(config.win_length, periodic=True, dtype=torch.float64)
        self.register_buffer("filters", torch.from_numpy(filters).float(), persistent=False)
        self.register_buffer("window", window.float(), persistent=False)
        self.register_buffer("fourier", _fourier_kernels(config, window), persistent=False)

    def forward(self, samples: Tensor) -> Tensor:
        """Mel energies of a batch of clips.

        Parameters
        ----------
        samples : (batch, n_samples) amplitude in [-1, 1] at ``config.sample_rate`` Hz

        Returns
        -------
        (batch, n_frames, n_mels) float32 dB, earliest frame first; the middle of frame ``i`` is
        at sample ``i * hop_length``
        """
        exporting = torch.onnx.is_in_onnx_export()
        power = self._power_by_matrix(samples) if exporting else self._power_by_fft(samples)
        energy = functional.linear(power, self.filters)  # (batch, n_frames, n_mels)
        decibels = (10.0 / math.log(10.0)) * torch.log(energy.clamp(min=self.config.power_floor))
        return decibels

    def _power_by_fft(self, samples: Tensor) -> Tensor:
        """Power spectrum (batch, n_frames, n_bins) by the fast transform: for training."""
        spectrum = torch.stft(
            samples,
            self.config.n_fft,
            self.config.hop_length,
            self.config.win_length,
            self.window,
            center=True,
            pad_mode="constant",
            return_complex=True,
        )  # (batch, n_bins, n_frames)
        return (spectrum.real.square() + spectrum.imag.square()).transpose(1, 2)

    def _power_by_matrix(self, samples: Tensor) -> Tensor:
        """Power spectrum as a strided convolution, which every ONNX engine runs well."""
        padded = functional.pad(samples, (self._margin, self._margin)).unsqueeze(1)
        # (batch, 2 * n_bins, n_frames): all cosines, then all sines
        spectrum = functional.conv1d(padded, self.fourier, stride=self.config.hop_length)
        cosine, sine = spectrum.square().chunk(2, dim=1)
        return (cosine + sine).transpose(1, 2)

    @property
    def _margin(self) -> int:
        """Zeros before the first sample, so that frame 0 is centred on it."""
        return self.config.n_fft // 2 - (self.config.n_fft - self.config.win_length) // 2


def _fourier_kernels(config: FeatureConfig, window: Tensor) -> Tensor:
    """Windowed cosines and sines (2 * n_bins, 1, win_length), the window centred in n_fft."""
    offset = (config.n_fft - config.win_length) // 2
    time = torch.arange(config.win_length, dtype=torch.float64) + offset
    bins = torch.arange(1 + config.n_fft // 2, dtype=torch.float64)
    phase = 2 * math.pi / config.n_fft * torch.outer(bins, time)
    return torch.cat([phase.cos() * window, -phase.sin() * window]).unsqueeze(1).float()


class MFCC(LogMel):
    """Mel-frequency cepstral coefficients.

    Source
    ------
    Davis & Mermelstein 1980; orthonormal DCT-II over mel energies in dB with an absolute floor, as
    ``librosa.feature.mfcc``, checked in ``tests/golden``.
    """

    dct: Tensor

    def __init__(self, config: FeatureConfig) -> None:
        super().__init__(config)
        # The coefficients of each unit vector are the columns of the matrix.
        dct = librosa.feature.mfcc(S=np.eye(config.n_mels), n_mfcc=config.n_mfcc)
        self.register_buffer("dct", torch.from_numpy(dct).float(), persistent=False)

    def forward(self, samples: Tensor) -> Tensor:
        """Mel-frequency cepstral coefficients of a batch of clips.

        Parameters
        ----------
        samples : (batch, n_samples) amplitude in [-1, 1] at ``config.sample_rate`` Hz

        Returns
        -------
        (batch, n_frames, n_mfcc) float32, earliest frame first
        """
        return functional.linear(super().forward(samples), self.dct)


FEATURES = {"mfcc": MFCC, "log-mel": LogMel}
"""The feature module of each ``FeatureConfig.kind``."""
