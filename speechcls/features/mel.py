"""Samples to features: batched torch modules on any device, equal to librosa's.

A new kind of features is a subclass of ``LogMel``, most simply with a ``from_energies`` of its own,
a line in ``FEATURES``, and an entry in ``speechcls.config.FEATURE_KINDS``.
"""

import dataclasses
import math
import warnings

import torch
from torch import Tensor, nn
from torch.nn import functional

from speechcls.artifact.constants import feature_tables
from speechcls.audio.samples import FloatArray, Samples
from speechcls.audio.spectrogram import spectrogram
from speechcls.config import FeatureConfig
from speechcls.errors import ConfigError
from speechcls.features.onnx_fft import PowerSpectrum

_DECIBELS = 10.0 / math.log(10.0)
_BLOCK = 4
"""Clips per block on the CPU; larger blocks exceed its cache."""


class LogMel(nn.Module):
    """Mel energies in decibels.

    Source
    ------
    Stevens, Volkmann & Newman 1937 for the scale; scale, filter shapes and area norm as librosa's
    (Slaney's), checked against ``librosa.feature.melspectrogram`` in ``tests/golden``.
    """

    filters: Tensor

    def __init__(self, config: FeatureConfig) -> None:
        super().__init__()
        self.config = config
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)
            try:
                tables = feature_tables(config)
            except UserWarning as warning:
                raise ConfigError(
                    f"{config.n_mels} bands are too many for n_fft {config.n_fft},"
                    " some would hold no frequency; choose fewer bands or a larger n_fft",
                    field="n_mels",
                ) from warning
        window = torch.hann_window(config.win_length, periodic=True, dtype=torch.float64)
        before = (config.n_fft - config.win_length) // 2
        after = config.n_fft - config.win_length - before
        window = functional.pad(window, (before, after))  # (n_fft,)
        self.register_buffer("filters", torch.from_numpy(tables.filters), persistent=False)
        self._dct = tables.dct
        self.window = window  # no buffer: a device without float64 could not take it
        self._windows: dict[tuple[torch.device, torch.dtype], Tensor] = {}
        self.onnx_power: PowerSpectrum | None = None

    def prepare_for_export(self) -> None:
        """Compute spectra by ``PowerSpectrum`` from now on, with the filters for its bins."""
        self.onnx_power = PowerSpectrum(self.window, self.config.hop_length)
        bins = self.onnx_power.bins
        filters = self.filters[:, bins]
        for i in range(len(bins)):
            if bins[i] in bins[:i]:
                filters[:, i] = 0.0  # counted already
        self.filters = filters

    def forward(self, samples: Tensor, precision: torch.dtype = torch.float64) -> Tensor:
        """Return features of a batch of clips.

        Parameters
        ----------
        samples : (batch, n_samples) amplitude in [-1, 1] at ``config.sample_rate`` Hz
        precision : of the Fourier transform

        Returns
        -------
        (batch, n_frames, n_features) float32, of mel energies in dB, above the clip's mean energy
        if ``config.relative``, earliest frame first; the middle of frame ``i`` is at sample
        ``i * hop_length``, with a running mean its end at ``(i + 1) * hop_length``
        """
        padded = functional.pad(samples, self._margins)
        if self.onnx_power:
            return self.from_energies(self.energies(padded))
        n_block = _BLOCK if samples.device.type == "cpu" else len(samples)
        blocks = torch.split(padded, n_block)
        return torch.cat([self.from_energies(self.energies(block, precision)) for block in blocks])

    def energies(self, samples: Tensor, precision: torch.dtype = torch.float64) -> Tensor:
        """Return mel energies (batch, n_frames, n_mels) of every whole frame in ``samples``."""
        power = self.onnx_power(samples) if self.onnx_power else self._power(samples, precision)
        return functional.linear(power, self.filters).clamp(min=self.config.power_floor)

    def from_energies(self, energy: Tensor, level: Tensor | None = None) -> Tensor:
        """Return features of mel energies (batch, n_frames, n_mels): here the same in dB.

        They are relative if so configured.

        Parameters
        ----------
        level : (batch, n_frames or 1, 1) energies of 0 dB, if they are relative; by default the
            mean of these frames
        """
        if not self.config.relative:
            return _DECIBELS * torch.log(energy)
        if level is None and self.config.running_s:
            level, _ = self.running_level(energy)
        elif level is None:
            # Over all frames and bands, so that distance to the microphone makes no difference; the
            # zeros that a short clip is filled up with move a mean of energies by a few dB only.
            level = energy.mean(dim=(1, 2), keepdim=True)
        return (_DECIBELS * torch.log(energy / level)).clamp(min=-self.config.range_db)

    def running_level(self, energy: Tensor, sums: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the exponentially weighted mean energy up to each frame.

        Parameters
        ----------
        energy : (batch, n_frames, n_mels)
        sums : (batch, 2) what an earlier call returned, of the frames before; None: there are none

        Returns
        -------
        (batch, n_frames, 1) levels, and accumulated sums to continue from: of energies and of their
        weights
        """
        config = self.config
        keep = math.exp(-config.hop_length / (config.sample_rate * config.running_s))
        frames = torch.arange(energy.shape[1], device=energy.device)
        lags = frames[:, None] - frames[None, :]
        weights = (lags >= 0) * keep ** lags.clamp(min=0).to(energy.dtype)
        means = energy.mean(dim=2)
        faded = torch.stack([means, torch.ones_like(means)], dim=1) @ weights.T  # (batch, 2, n)
        if sums is not None:
            faded = faded + sums.unsqueeze(2) * keep ** (1 + frames).to(energy.dtype)
        return (faded[:, 0] / faded[:, 1]).unsqueeze(2), faded[:, :, -1]

    def _power(self, samples: Tensor, precision: torch.dtype) -> Tensor:
        """Power spectrum (batch, n_frames, n_bins) of ``samples`` (batch, n_samples)."""
        # As librosa, in float64 where the device has it: a transform in float32 leaves rounding
        # errors of up to 0.1 dB in bands far below the loudest one.
        precision = torch.float32 if samples.device.type == "mps" else precision
        place = samples.device, precision
        if place not in self._windows:
            self._windows[place] = self.window.to(*place)
        samples, window = samples.to(precision), self._windows[place]
        frames = samples.unfold(1, self.config.n_fft, self.config.hop_length) * window
        parts = torch.view_as_real(torch.fft.rfft(frames)).float().square()
        return parts[..., 0] + parts[..., 1]

    @property
    def _margins(self) -> tuple[int, int]:
        """Zeros before the first sample and after the last one.

        Frame 0 is centred on the first sample; with a running mean it ends a hop after it.
        """
        config = self.config
        if config.running_s:
            return config.n_fft - config.hop_length, 0
        return config.n_fft // 2, config.n_fft // 2


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
        assert self._dct is not None
        self.register_buffer("dct", torch.from_numpy(self._dct), persistent=False)

    def from_energies(self, energy: Tensor, level: Tensor | None = None) -> Tensor:
        """Return cepstral coefficients (batch, n_frames, n_mfcc) of ``energy``, as ``LogMel``."""
        return functional.linear(super().from_energies(energy, level), self.dct)


FEATURES = {"mfcc": MFCC, "log-mel": LogMel}
"""The feature module of each ``FeatureConfig.kind``."""


def clip_features(samples: Samples, kind: str, config: FeatureConfig) -> FloatArray:
    """Return one kind of features of a whole clip.

    Parameters
    ----------
    samples : (n_samples,) at ``config.sample_rate`` Hz
    kind : ``spectrogram``, ``log-mel`` or ``mfcc``

    Returns
    -------
    (n_frames, n_features), of which frame ``i`` has its middle at sample ``i * hop_length``
    """
    if kind == "spectrogram":
        return spectrogram(samples, config)
    config = dataclasses.replace(config, kind=kind)
    features: FloatArray = FEATURES[kind](config)(torch.from_numpy(samples)[None])[0].numpy()
    return features
