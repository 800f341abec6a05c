"""Background noise for training: excerpts of recordings, coloured noise, babble."""

import math

import torch
from torch import Tensor

from speechcls.augmentation.draws import Draws, Rows, on_device
from speechcls.data.background import QUIETEST_DB, SILENT_PROB

_COLOURS = (-1.0, 0.0, 1.0, 2.0)
"""Power of blue, white, pink and brown noise falls with frequency to these powers."""


def cut_noise(noise: Tensor, n_cuts: int, n_samples: int, generator: Draws) -> Tensor:
    """Return random excerpts of background noise, at their own level.

    Parameters
    ----------
    noise : (n_noise,) float32 amplitude in [-1, 1], repeated if shorter than ``n_samples``
    n_cuts : of the whole batch, where ``generator`` says which rows of it are made

    Returns
    -------
    (n_cuts, n_samples) float32
    """
    if len(noise) < n_samples:
        noise = noise.repeat(1 + math.ceil(n_samples / len(noise)))
    starts = Rows.of(generator, n_cuts).randint(0, len(noise) - n_samples + 1)
    return noise.unfold(0, n_samples, 1)[on_device(starts, noise.device)]


def random_gain_noise(cuts: Tensor, generator: Draws) -> Tensor:
    """Return noise (n_cuts, n_samples) with a random gain, some of it digital silence.

    The gain is uniform in dB from ``QUIETEST_DB`` to 0, and 0 with probability ``SILENT_PROB``.
    """
    rows = Rows.of(generator, len(cuts))
    gain_db = QUIETEST_DB * rows.rand(1)
    is_silent = rows.rand(1) < SILENT_PROB
    return cuts * on_device(torch.where(is_silent, 0.0, 10 ** (gain_db / 20)), cuts.device)


def coloured_noise(n_samples: int, generator: torch.Generator) -> Tensor:
    """Return blue, white, pink and brown noise (4 * n_samples,), each with an RMS of 0.05.

    Below 1/400 of half the sample rate (20 Hz at 16 kHz) the spectrum is flat.
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
    """Return babble, the sum of ``n_voices`` voices, with an RMS of 0.05.

    Parameters
    ----------
    clips : (n_clips, n_samples) of speech, divided among the voices, concatenated and scaled to the
        same power

    Returns
    -------
    (n_clips // n_voices * n_samples,)
    """
    loudness = torch.linalg.vector_norm(clips, dim=1, keepdim=True).clamp(min=1e-6)
    n_each = len(clips) // n_voices
    voices = (clips / loudness)[: n_voices * n_each].reshape(n_voices, -1)
    # Staggered, so that the pauses between clips do not coincide.
    step = clips.shape[1] // n_voices
    mixed = sum((voice.roll(i * step) for i, voice in enumerate(voices)), torch.zeros(1))
    return 0.05 * mixed / mixed.square().mean().sqrt().clamp(min=1e-9)
