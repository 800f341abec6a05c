"""Random changes to batches of clips, on their device, each from an explicit generator."""

import torch
from torch import Tensor, nn

from speechcls.silence import QUIETEST_DB, SILENT_SHARE


def cut_noise(noise: Tensor, n_cuts: int, n_samples: int, generator: torch.Generator) -> Tensor:
    """Return random cuts of background noise as recorded.

    Parameters
    ----------
    noise : (n_noise,) float32 amplitude in [-1, 1], repeated if shorter than ``n_samples``
    generator : on the processor, whatever the device of ``noise``

    Returns
    -------
    (n_cuts, n_samples) float32
    """
    starts = torch.randint(len(noise), (n_cuts, 1), generator=generator)
    places = (starts + torch.arange(n_samples)) % len(noise)  # (n_cuts, n_samples)
    return noise[places.to(noise.device)]


def fade_noise(cuts: Tensor, generator: torch.Generator) -> Tensor:
    """Return cuts of noise (n_cuts, n_samples) at random level, some of them digital silence.

    The gain is uniform in dB from ``QUIETEST_DB`` to 0.
    """
    gain_db = QUIETEST_DB * torch.rand(len(cuts), 1, generator=generator)
    is_silent = torch.rand(len(cuts), 1, generator=generator) < SILENT_SHARE
    return cuts * torch.where(is_silent, 0.0, 10 ** (gain_db / 20)).to(cuts.device)


def shift(samples: Tensor, most: int, generator: torch.Generator) -> Tensor:
    """Return clips (batch, n_samples), each moved by up to ``most`` samples either way, zeros in.

    Every whole number of samples from ``-most`` (earlier) to ``most`` (later) is as likely.
    """
    n_samples = samples.shape[1]
    offsets = torch.randint(-most, most + 1, (len(samples), 1), generator=generator)
    places = (torch.arange(n_samples) - offsets + most).to(samples.device)
    return nn.functional.pad(samples, (most, most)).gather(1, places)


def add_noise(
    samples: Tensor,
    noise: Tensor,
    share: float,
    snr_db: tuple[float, float],
    generator: torch.Generator,
) -> Tensor:
    """Return clips (batch, n_samples) with background noise added to about ``share`` of them.

    The ratio of the clip's mean power to the noise's is uniform in dB within ``snr_db``. Digital
    silence stays what it is.

    Parameters
    ----------
    noise : (n_noise,) float32 amplitude in [-1, 1]
    """
    cuts = cut_noise(noise, len(samples), samples.shape[1], generator)
    low, high = snr_db
    ratio_db = low + (high - low) * torch.rand(len(samples), 1, generator=generator)
    is_noisy = torch.rand(len(samples), 1, generator=generator) < share
    power, noise_power = (x.square().mean(dim=1, keepdim=True) for x in (samples, cuts))
    gain = (power / noise_power.clamp(min=1e-12)).sqrt() / (10 ** (ratio_db / 20)).to(power.device)
    return samples + cuts * torch.where(is_noisy.to(power.device), gain, 0.0)


def mask_time(features: Tensor, n_masks: int, most: int, generator: torch.Generator) -> Tensor:
    """Return standardised features with stretches of frames set to 0, their mean.

    Parameters
    ----------
    features : (batch, n_frames, n_features)
    n_masks : stretches in each clip
    most : longest stretch, frames; each length from 0 is as likely

    Source
    ------
    Park et al. 2019, SpecAugment.
    """
    batch, n_frames, _ = features.shape
    frames = torch.arange(n_frames)
    is_masked = torch.zeros(batch, n_frames, dtype=torch.bool)
    for _ in range(n_masks):
        lengths = torch.randint(min(most, n_frames) + 1, (batch, 1), generator=generator)
        starts = (torch.rand(batch, 1, generator=generator) * (n_frames - lengths + 1)).long()
        is_masked |= (frames >= starts) & (frames < starts + lengths)
    return features.masked_fill(is_masked.unsqueeze(2).to(features.device), 0.0)
