"""Random changes to batches of clips, on their device, each from an explicit generator.

``augment`` applies ``TRANSFORMS`` in their order; a new one is a function and an entry there,
with its settings in ``TrainConfig``. Generators are on the CPU whatever the device: a few numbers
a clip, which ``on_device`` copies. Where a batch is shared by several processes, ``Rows`` draws for
all of it. Nothing here waits for a GPU.
"""

import functools
import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from speechcls.augmentation.draws import Draws, Rows, on_device
from speechcls.augmentation.noise import cut_noise
from speechcls.augmentation.speed import change_speed
from speechcls.config import FEATURE_KINDS, FeatureConfig, TrainConfig

_EQUALISER_GAINS = 8
_NEPERS = math.log(10) / 20
"""In a decibel of amplitude: the exponential is much faster than a power of ten."""
_N_WHITE, _WHITE_SEED = 2**20, 0
_SINGLE_WORD_PROB = 0.2
"""Probability that a non-word is made of a single word."""


class AugmentationContext(NamedTuple):
    """Settings, noise and sample rate that all transforms of a training get."""

    config: TrainConfig
    noise: Tensor
    """(n_noise,) float32 amplitude in [-1, 1], background noise to mix in."""
    sample_rate: int


class Transform(NamedTuple):
    """One random change of clips."""

    is_active: Callable[[TrainConfig], bool]
    """Returns whether the settings ask for it."""
    apply: Callable[[Tensor, AugmentationContext, Draws], Tensor]
    """Returns clips (batch, n_samples) of clips, their context and a generator."""


def augment(samples: Tensor, context: AugmentationContext, generator: Draws) -> Tensor:
    """Return augmented clips (batch, n_samples) in [-1, 1]."""
    if not is_augmenting(context.config):
        return samples
    for transform in TRANSFORMS.values():
        if transform.is_active(context.config):
            samples = transform.apply(samples, context, generator)
    return samples.clamp(-1.0, 1.0)


def is_augmenting(config: TrainConfig) -> bool:
    """Whether a clip differs from one epoch to the next."""
    return any(transform.is_active(config) for transform in TRANSFORMS.values())


def change_gain(samples: Tensor, gain_db: float, generator: Draws) -> Tensor:
    """Return clips (batch, n_samples) with a gain uniform in +- ``gain_db`` dB, clipped at 1."""
    gains_db = gain_db * (2 * Rows.of(generator, len(samples)).rand(1) - 1)
    return (samples * on_device(10 ** (gains_db / 20), samples.device)).clamp_(-1.0, 1.0)


def equalise(samples: Tensor, prob: float, gain_db: float, generator: Draws) -> Tensor:
    """Return clips (batch, n_samples), each with probability ``prob`` through a random equaliser.

    Its gains are uniform in +- ``gain_db`` dB at eight frequencies, (i / 7)**2 of half the sample
    rate, and interpolated linearly over the square root of frequency.
    """
    n_samples = samples.shape[1]
    rows, chosen = _choose(samples, prob, generator)
    gains_db = gain_db * (2 * rows.rand(_EQUALISER_GAINS) - 1)
    if not len(chosen):
        return samples  # FFTs reject empty batches
    weights = _equaliser_weights(1 + n_samples // 2, samples.device)
    gain = (on_device(gains_db * _NEPERS, samples.device) @ weights).exp_()  # (n_chosen, n_bins)
    changed = torch.fft.irfft(torch.fft.rfft(samples[chosen]) * gain, n=n_samples)
    return samples.index_copy(0, chosen, changed)


@functools.cache
def _equaliser_weights(n_bins: int, device: torch.device) -> Tensor:
    """Return by how much each gain counts at each frequency, (_EQUALISER_GAINS, n_bins)."""
    position = torch.linspace(0, 1, n_bins).sqrt() * (_EQUALISER_GAINS - 1)
    distance = (position - torch.arange(_EQUALISER_GAINS)[:, None]).abs()
    return (1 - distance).clamp(min=0).to(device)


def reverberate(samples: Tensor, prob: float, sample_rate: int, generator: Draws) -> Tensor:
    """Return clips (batch, n_samples), each with probability ``prob`` reverberated.

    The impulse response is a direct path followed by noise with a decay time (60 dB) of 0.1 to
    0.5 s and a direct-to-reverberant ratio of 0 to 20 dB.

    Source
    ------
    Polack 1988: late reverberation is noise that decays exponentially.
    """
    rows, chosen = _choose(samples, prob, generator)
    n_response = sample_rate // 2
    decay_s = 0.1 + 0.4 * rows.rand(1)
    ratio_db = 20 * rows.rand(1)
    time_s = torch.arange(n_response, device=samples.device) / sample_rate
    noise = cut_noise(_white_noise(samples.device), rows.n, n_response, rows)
    if not len(chosen):
        return samples  # FFTs reject empty batches
    response = noise * (on_device(-60 * _NEPERS / decay_s, samples.device) * time_s).exp_()
    gain = on_device(10 ** (-ratio_db / 20), samples.device)
    response *= gain / torch.linalg.vector_norm(response, dim=1, keepdim=True)
    response[:, 0] += 1.0  # the direct path
    n_fft = samples.shape[1] + n_response
    spectrum = torch.fft.rfft(samples[chosen], n=n_fft) * torch.fft.rfft(response, n=n_fft)
    reverberant = torch.fft.irfft(spectrum, n=n_fft)[:, : samples.shape[1]]
    return samples.index_copy(0, chosen, reverberant)


@functools.cache
def _white_noise(device: torch.device) -> Tensor:
    """Return normal white noise (n,), of which each impulse response is an excerpt.

    Drawing as much for every response would take longer than everything else that is drawn.
    """
    generator = torch.Generator().manual_seed(_WHITE_SEED)
    return torch.randn(_N_WHITE, generator=generator).to(device)


def make_non_words(
    samples: Tensor,
    words: Tensor,
    others: Tensor,
    other_words: Tensor,
    generator: Draws,
) -> Tensor:
    """Return clips (batch, n_samples) of non-words made from words.

    Most splice the first part of one word to the second part of another: the clip and its companion
    in ``others``, scaled to the same power. With probability ``_SINGLE_WORD_PROB``, and where
    both say the same word, the clip is instead reversed or has its own two parts swapped. Words are
    cut at a quantile of their cumulative energy that is uniform in 0.35 to 0.65.

    Parameters
    ----------
    words : (batch,) integers, the word of each clip
    others : (batch, n_samples) float32 amplitude, any clips
    other_words : (batch,) integers, the word of each of these
    """
    rows = Rows.of(generator, len(samples))
    drawn = rows.own(torch.rand(4, rows.n, 1, generator=rows.generator), dim=1)
    draws = on_device(drawn, samples.device)
    quantile = 0.35 + 0.3 * draws[0]
    is_own = (draws[1] < _SINGLE_WORD_PROB) | (words == other_words).unsqueeze(1)
    own = torch.where(draws[2] < 0.5, samples.flip(1), _swap_parts(samples, quantile))
    power, other_power = (x.square().mean(dim=1, keepdim=True) for x in (samples, others))
    others = others * (power / other_power.clamp(min=1e-10)).sqrt().clamp(max=10.0)
    is_first = draws[3] < 0.5
    first, second = torch.where(is_first, samples, others), torch.where(is_first, others, samples)
    return torch.where(is_own, own, _splice(first, second, quantile))


def _swap_parts(samples: Tensor, quantile: Tensor) -> Tensor:
    """Return clips (batch, n_samples) whose words have their two parts in the other order."""
    start, middle, end = _energy_quantile_index(samples, 0.02, quantile, 0.98)
    positions = torch.arange(samples.shape[1], device=samples.device).expand(len(samples), -1)
    swapped = torch.where(
        positions < start + end - middle, positions - start + middle, positions - end + middle
    )
    is_outside = (positions < start) | (positions >= end)
    return samples.gather(1, torch.where(is_outside, positions, swapped))


def _splice(first: Tensor, second: Tensor, quantile: Tensor) -> Tensor:
    """Return clips (batch, n_samples) that begin as ``first`` and continue as ``second``."""
    n_samples = first.shape[1]
    [middle] = _energy_quantile_index(first, quantile)
    [begin] = _energy_quantile_index(second, quantile)
    positions = torch.arange(n_samples, device=first.device)
    behind = positions - middle + begin  # index into the second word
    rest = second.gather(1, behind.clamp(0, n_samples - 1)) * (behind < n_samples)
    return torch.where(positions < middle, first, rest)


def _energy_quantile_index(samples: Tensor, *quantiles: Tensor | float) -> list[Tensor]:
    """Return the samples (batch, 1) at which each quantile of a clip's energy is reached."""
    energy = samples.square().cumsum(dim=1)
    energy = energy / energy[:, -1:].clamp(min=1e-12)
    return [(energy < quantile).sum(dim=1, keepdim=True) for quantile in quantiles]


def _choose(samples: Tensor, prob: float, generator: Draws) -> tuple[Rows, Tensor]:
    """Return the chosen rows of a batch, each with probability ``prob``, and which clips they are.

    The latter, indices (n_chosen,), are on the device of the clips. Their number is the one below
    or above ``prob * batch``: transforms of each other number would have to be set up on a GPU.
    """
    rows = Rows.of(generator, len(samples))
    n_chosen = math.floor(prob * rows.n + float(torch.rand((), generator=rows.generator)))
    chosen = torch.randperm(rows.n, generator=rows.generator)[:n_chosen]
    among, own = rows.among(chosen)
    return among, on_device(own, samples.device)


def shift(samples: Tensor, n_max: int, generator: Draws) -> Tensor:
    """Return clips (batch, n_samples) shifted by up to ``n_max`` samples either way, zero-padded.

    The shift is uniform over the whole numbers from ``-n_max`` (earlier) to ``n_max`` (later).
    """
    batch, n_samples = samples.shape
    offsets = Rows.of(generator, batch).randint(-n_max, n_max + 1)
    padded = nn.functional.pad(samples, (n_max, n_max))
    starts = padded.shape[1] * torch.arange(batch) + n_max - offsets  # of concatenated clips
    return padded.flatten().unfold(0, n_samples, 1)[on_device(starts, samples.device)]


def add_noise(
    samples: Tensor,
    noise: Tensor,
    prob: float,
    snr_db: tuple[float, float],
    generator: Draws,
) -> Tensor:
    """Return clips (batch, n_samples), each with probability ``prob`` mixed with noise.

    The signal-to-noise ratio, of mean powers, is uniform in dB within ``snr_db``. Digital silence
    stays digital silence.

    Parameters
    ----------
    noise : (n_noise,) float32 amplitude in [-1, 1]
    """
    rows = Rows.of(generator, len(samples))
    cuts = cut_noise(noise, rows.n, samples.shape[1], rows)
    low, high = snr_db
    ratio_db = low + (high - low) * rows.rand(1)
    is_noisy = rows.rand(1) < prob
    ratio = on_device(torch.where(is_noisy, 10 ** (-ratio_db / 20), 0.0), samples.device)
    # One pass over memory each, unlike a mean of squares.
    norm, noise_norm = (torch.linalg.vector_norm(x, dim=1, keepdim=True) for x in (samples, cuts))
    quietest = 1e-6 * math.sqrt(samples.shape[1])
    return torch.addcmul(samples, cuts, norm / noise_norm.clamp(min=quietest) * ratio)


def mask(features: Tensor, dim: int, n_masks: int, width_max: int, generator: Draws) -> Tensor:
    """Return normalised features with ranges of frames or bands set to 0, their mean.

    Parameters
    ----------
    features : (batch, n_frames, n_features)
    dim : 1 masks frames, 2 masks features
    n_masks : masks per clip
    width_max : largest width of a mask; widths are uniform from 0

    Source
    ------
    Park et al. 2019, SpecAugment.
    """
    batch, size = len(features), features.shape[dim]
    rows = Rows.of(generator, batch)
    positions = torch.arange(size)
    is_masked = torch.zeros(batch, size, dtype=torch.bool)
    for _ in range(n_masks):
        lengths = rows.randint(0, min(width_max, size) + 1, 1)
        starts = (rows.rand(1) * (size - lengths + 1)).long()
        is_masked |= (positions >= starts) & (positions < starts + lengths)
    return features.masked_fill(on_device(is_masked, features.device).unsqueeze(3 - dim), 0.0)


def mask_features(
    features: Tensor,
    feature_config: FeatureConfig,
    config: TrainConfig,
    generator: Draws,
) -> Tensor:
    """Return features (batch, n_frames, n_features) with random masks over time and frequency."""
    _, n_frames, n_features = features.shape
    n_clips = max(1, round(n_frames / feature_config.n_frames))
    longest = round(config.time_mask_max * feature_config.n_frames)
    features = mask(features, 1, n_clips * config.time_masks, longest, generator)
    if FEATURE_KINDS[feature_config.kind].has_bands:
        widest = round(config.frequency_mask_max * n_features)
        features = mask(features, 2, config.frequency_masks, widest, generator)
    return features


TRANSFORMS = {
    "speed": Transform(
        lambda config: config.speed_max > 0,
        lambda samples, context, generator: change_speed(
            samples, context.config.speed_max, generator
        ),
    ),
    "shift": Transform(
        lambda config: config.shift_max > 0,
        lambda samples, context, generator: shift(
            samples, round(context.config.shift_max * samples.shape[1]), generator
        ),
    ),
    "equaliser": Transform(
        lambda config: config.equaliser_prob > 0,
        lambda samples, context, generator: equalise(
            samples, context.config.equaliser_prob, context.config.equaliser_db, generator
        ),
    ),
    "reverb": Transform(
        lambda config: config.reverb_prob > 0,
        lambda samples, context, generator: reverberate(
            samples, context.config.reverb_prob, context.sample_rate, generator
        ),
    ),
    "noise": Transform(
        lambda config: config.noise_prob > 0,
        lambda samples, context, generator: add_noise(
            samples,
            context.noise,
            context.config.noise_prob,
            (context.config.snr_low_db, context.config.snr_high_db),
            generator,
        ),
    ),
    "gain": Transform(
        lambda config: config.gain_db > 0,
        lambda samples, context, generator: change_gain(samples, context.config.gain_db, generator),
    ),
}
"""The changes of a training clip, in the order in which they are made."""
