"""Random changes to batches of clips, on their device, each from an explicit generator.

Generators are on the processor whatever the device, so that one seed draws the same everywhere.
"""

import functools
import math

import torch
from torch import Tensor, nn

from speechcls.data.background import QUIETEST_DB, SILENT_PROB

_SPEED_GROUP = 8
"""Clips that share a speed, and with it a Fourier transform."""
_FAST_FACTORS = (2, 3, 5, 7, 11, 13)
"""Lengths with no other prime factors have fast transforms, of up to a seventh of the time."""
_EQUALISER_GAINS = 8
_OWN_SHARE = 0.2
"""Scrambled clips that are made of one word."""
_COLOURS = (-1.0, 0.0, 1.0, 2.0)
"""Power of blue, white, pink and brown noise falls with frequency to these powers."""


def cut_noise(noise: Tensor, n_cuts: int, n_samples: int, generator: torch.Generator) -> Tensor:
    """Return random cuts of background noise as recorded.

    Parameters
    ----------
    noise : (n_noise,) float32 amplitude in [-1, 1], repeated if shorter than ``n_samples``

    Returns
    -------
    (n_cuts, n_samples) float32
    """
    if len(noise) < n_samples:
        noise = noise.repeat(1 + math.ceil(n_samples / len(noise)))
    starts = torch.randint(len(noise) - n_samples + 1, (n_cuts,), generator=generator)
    return noise.unfold(0, n_samples, 1)[starts.to(noise.device)]


def random_gain_noise(cuts: Tensor, generator: torch.Generator) -> Tensor:
    """Return cuts of noise (n_cuts, n_samples) at random level, some of them digital silence.

    The gain is uniform in dB from ``QUIETEST_DB`` to 0.
    """
    gain_db = QUIETEST_DB * torch.rand(len(cuts), 1, generator=generator)
    is_silent = torch.rand(len(cuts), 1, generator=generator) < SILENT_PROB
    return cuts * torch.where(is_silent, 0.0, 10 ** (gain_db / 20)).to(cuts.device)


def coloured_noise(n_samples: int, generator: torch.Generator) -> Tensor:
    """Return (4 * n_samples,) of blue, white, pink and brown noise, each with an RMS of 0.05.

    Below a four-hundredth of half the sample rate (20 Hz at 16 kHz) the spectrum is flat.
    """
    n_bins = 1 + n_samples // 2
    frequency = torch.arange(n_bins).clamp(min=max(1.0, n_bins / 400))
    parts = []
    for slope in _COLOURS:
        spectrum = torch.fft.rfft(torch.randn(n_samples, generator=generator))
        part = torch.fft.irfft(spectrum * frequency ** (-slope / 2), n=n_samples)
        parts.append(0.05 * part / part.square().mean().sqrt())
    return torch.cat(parts)


def babble(clips: Tensor, n_voices: int) -> Tensor:
    """Return many voices at once, none of them understood, with an RMS of 0.05.

    Parameters
    ----------
    clips : (n_clips, n_samples) of speech; each voice says its share of them, one after the other,
        all equally loud

    Returns
    -------
    (n_clips // n_voices * n_samples,)
    """
    loudness = torch.linalg.vector_norm(clips, dim=1, keepdim=True).clamp(min=1e-6)
    n_each = len(clips) // n_voices
    voices = (clips / loudness)[: n_voices * n_each].reshape(n_voices, -1)
    # Else all of them would pause at once, between their clips.
    step = clips.shape[1] // n_voices
    mixed = sum((voice.roll(i * step) for i, voice in enumerate(voices)), torch.zeros(1))
    return 0.05 * mixed / mixed.square().mean().sqrt().clamp(min=1e-9)


def change_speed(samples: Tensor, most: float, generator: torch.Generator) -> Tensor:
    """Return clips (batch, n_samples) played up to the share ``most`` faster or slower.

    Pitch changes with the speed, as on a tape. The middle stays where it is: what gets longer
    loses both ends, what gets shorter has zeros there. The speed is uniform; each eight clips that
    follow each other share one.
    """
    batch, n_samples = samples.shape
    n_groups = math.ceil(batch / _SPEED_GROUP)
    speeds = 1 + most * (2 * torch.rand(n_groups, generator=generator) - 1)
    lengths = _fast_lengths(n_samples, most)
    # Not scaled there and by 1 / n_samples here, the transforms leave the amplitude as it is.
    spectrum = torch.fft.rfft(samples, norm="forward")  # (batch, 1 + n_samples // 2)
    changed = torch.zeros_like(samples)
    groups = zip(
        torch.split(spectrum, _SPEED_GROUP),
        torch.split(changed, _SPEED_GROUP),
        speeds.tolist(),
        strict=True,
    )
    for group, target, speed in groups:
        length = min(lengths, key=lambda length: abs(length - n_samples / speed))
        # A spectrum cut short, or filled up with zeros, is resampling without aliases.
        played = torch.fft.irfft(group[:, : length // 2 + 1], n=length, norm="forward")
        before = (n_samples - length) // 2
        if before >= 0:
            target[:, before : before + length] = played
        else:
            target.copy_(played[:, -before : n_samples - before])
    return changed


@functools.cache
def _fast_lengths(n_samples: int, most: float) -> list[int]:
    """Return ``n_samples`` and the lengths with fast transforms at speeds within ``most`` of 1."""
    shortest, longest = math.ceil(n_samples / (1 + most)), math.floor(n_samples / (1 - most))
    lengths = [n_samples]
    for length in range(shortest + shortest % 2, longest + 1, 2):
        rest = length
        for factor in _FAST_FACTORS:
            while rest % factor == 0:
                rest //= factor
        if rest == 1:
            lengths.append(length)
    return lengths


def change_gain(samples: Tensor, most_db: float, generator: torch.Generator) -> Tensor:
    """Return clips (batch, n_samples) louder or fainter by up to ``most_db``, cut off at 1.

    The gain is uniform in dB.
    """
    gain_db = most_db * (2 * torch.rand(len(samples), 1, generator=generator) - 1)
    return (samples * (10 ** (gain_db / 20)).to(samples.device)).clamp_(-1.0, 1.0)


def equalise(samples: Tensor, share: float, most_db: float, generator: torch.Generator) -> Tensor:
    """Return clips (batch, n_samples), about ``share`` of them through a random equaliser.

    Its gains, uniform in dB up to ``most_db`` either way, stand at eight frequencies, those of
    (i / 7)**2 of half the sample rate, and are joined by lines over the square root of frequency.
    """
    n_samples = samples.shape[1]
    chosen = _choose(samples, share, generator)
    if not len(chosen):
        return samples  # no transform takes an empty batch
    gains_db = most_db * (2 * torch.rand(len(chosen), _EQUALISER_GAINS, generator=generator) - 1)
    n_bins = 1 + n_samples // 2
    place = torch.linspace(0, 1, n_bins).sqrt() * (_EQUALISER_GAINS - 1)
    below = place.long().clamp(max=_EQUALISER_GAINS - 2)
    gain_db = torch.lerp(gains_db[:, below], gains_db[:, below + 1], place - below)
    gain = (10 ** (gain_db / 20)).to(samples.device)  # (n_chosen, n_bins)
    changed = torch.fft.irfft(torch.fft.rfft(samples[chosen]) * gain, n=n_samples)
    return samples.index_copy(0, chosen, changed)


def reverberate(
    samples: Tensor, share: float, sample_rate: int, generator: torch.Generator
) -> Tensor:
    """Return clips (batch, n_samples), about ``share`` of them as they sound in a room.

    What the room adds to the direct sound is noise that falls by 60 dB in 0.1 to 0.5 s, and whose
    energy is 0 to 20 dB below that of the direct sound.

    Source
    ------
    Polack 1988: late reverberation is noise that decays exponentially.
    """
    chosen = _choose(samples, share, generator)
    if not len(chosen):
        return samples  # no transform takes an empty batch
    n_response = sample_rate // 2
    decay_s = 0.1 + 0.4 * torch.rand(len(chosen), 1, generator=generator)
    ratio_db = 20 * torch.rand(len(chosen), 1, generator=generator)
    time_s = torch.arange(n_response) / sample_rate
    noise = torch.randn(len(chosen), n_response, generator=generator)
    response = noise * 10 ** (-3 * time_s / decay_s)
    response *= 10 ** (-ratio_db / 20) / response.square().sum(dim=1, keepdim=True).sqrt()
    response[:, 0] += 1.0  # the direct sound
    n_fft = samples.shape[1] + n_response
    spectrum = torch.fft.rfft(samples[chosen], n=n_fft)
    spectrum = spectrum * torch.fft.rfft(response.to(samples.device), n=n_fft)
    heard = torch.fft.irfft(spectrum, n=n_fft)[:, : samples.shape[1]]
    return samples.index_copy(0, chosen, heard)


def make_non_words(
    samples: Tensor,
    words: Tensor,
    others: Tensor,
    other_words: Tensor,
    generator: torch.Generator,
) -> Tensor:
    """Return clips (batch, n_samples) of words made into sounds that are none.

    Most are the first part of one word with the second part of another, of which the clip is one
    and its companion in ``others`` the other, made as loud. About ``_OWN_SHARE`` of the clips, and
    those whose companion says the same word, are instead played backwards or have their own two
    parts exchanged. Words are parted where, of their energy, a share uniform in 0.35 to 0.65 has
    passed.

    Parameters
    ----------
    words : (batch,) integers, which word each clip is
    others : (batch, n_samples) float32 amplitude, any clips
    other_words : (batch,) integers, which words these are
    """
    draws = torch.rand(4, len(samples), 1, generator=generator).to(samples.device)
    share = 0.35 + 0.3 * draws[0]
    is_own = (draws[1] < _OWN_SHARE) | (words == other_words).unsqueeze(1)
    own = torch.where(draws[2] < 0.5, samples.flip(1), _exchange(samples, share))
    power, other_power = (x.square().mean(dim=1, keepdim=True) for x in (samples, others))
    others = others * (power / other_power.clamp(min=1e-10)).sqrt().clamp(max=10.0)
    is_first = draws[3] < 0.5
    first, second = torch.where(is_first, samples, others), torch.where(is_first, others, samples)
    return torch.where(is_own, own, _splice(first, second, share))


def _exchange(samples: Tensor, share: Tensor) -> Tensor:
    """Return clips (batch, n_samples) whose words have their two parts in the other order."""
    start, middle, end = _energy_quantile_index(samples, 0.02, share, 0.98)
    places = torch.arange(samples.shape[1], device=samples.device).expand(len(samples), -1)
    exchanged = torch.where(
        places < start + end - middle, places - start + middle, places - end + middle
    )
    is_outside = (places < start) | (places >= end)
    return samples.gather(1, torch.where(is_outside, places, exchanged))


def _splice(first: Tensor, second: Tensor, share: Tensor) -> Tensor:
    """Return clips (batch, n_samples) that begin as ``first`` and go on as ``second``."""
    n_samples = first.shape[1]
    (middle,), (begin,) = (
        _energy_quantile_index(first, share),
        _energy_quantile_index(second, share),
    )
    places = torch.arange(n_samples, device=first.device)
    behind = places - middle + begin  # where the second word goes on
    rest = second.gather(1, behind.clamp(0, n_samples - 1)) * (behind < n_samples)
    return torch.where(places < middle, first, rest)


def _energy_quantile_index(samples: Tensor, *shares: Tensor | float) -> list[Tensor]:
    """Return the samples (batch, 1) that each share of a clip's energy takes to pass."""
    passed = samples.square().cumsum(dim=1)
    passed = passed / passed[:, -1:].clamp(min=1e-12)
    return [(passed < share).sum(dim=1, keepdim=True) for share in shares]


def _choose(samples: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Return the indices of about ``share`` of the clips, on their device."""
    is_chosen = torch.rand(len(samples), generator=generator) < share
    return is_chosen.nonzero().squeeze(1).to(samples.device)


def shift(samples: Tensor, most: int, generator: torch.Generator) -> Tensor:
    """Return clips (batch, n_samples), each moved by up to ``most`` samples either way, zeros in.

    Every whole number of samples from ``-most`` (earlier) to ``most`` (later) is as likely.
    """
    batch, n_samples = samples.shape
    offsets = torch.randint(-most, most + 1, (batch,), generator=generator)
    padded = nn.functional.pad(samples, (most, most))
    starts = padded.shape[1] * torch.arange(batch) + most - offsets  # of clips end to end
    return padded.flatten().unfold(0, n_samples, 1)[starts.to(samples.device)]


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
    # Of one pass each, unlike a mean of squares.
    norm, noise_norm = (torch.linalg.vector_norm(x, dim=1, keepdim=True) for x in (samples, cuts))
    quietest = 1e-6 * math.sqrt(samples.shape[1])
    gain = norm / noise_norm.clamp(min=quietest) / (10 ** (ratio_db / 20)).to(norm.device)
    return torch.addcmul(samples, cuts, torch.where(is_noisy.to(norm.device), gain, 0.0))


def mask(features: Tensor, dim: int, n_masks: int, most: int, generator: torch.Generator) -> Tensor:
    """Return standardised features with stretches of frames or bands set to 0, their mean.

    Parameters
    ----------
    features : (batch, n_frames, n_features)
    dim : 1 masks frames, 2 masks features
    n_masks : stretches in each clip
    most : longest stretch; each length from 0 is as likely

    Source
    ------
    Park et al. 2019, SpecAugment.
    """
    batch, size = len(features), features.shape[dim]
    places = torch.arange(size)
    is_masked = torch.zeros(batch, size, dtype=torch.bool)
    for _ in range(n_masks):
        lengths = torch.randint(min(most, size) + 1, (batch, 1), generator=generator)
        starts = (torch.rand(batch, 1, generator=generator) * (size - lengths + 1)).long()
        is_masked |= (places >= starts) & (places < starts + lengths)
    return features.masked_fill(is_masked.unsqueeze(3 - dim).to(features.device), 0.0)
