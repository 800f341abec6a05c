"""Playing clips faster or slower: by Fourier transforms, on CUDA by cubics."""

import functools
import math
from collections.abc import Sequence

import torch
from torch import Tensor

from speechcls.augmentation.draws import Draws, Rows, on_device

_SPEED_GROUP = 8
"""Clips that share a speed, and with it a Fourier transform."""
_OVERSAMPLING = 4
"""Between whose samples cubics are within -60 dB of the sound."""
_FAST_FACTORS = (2, 3, 5, 7, 11, 13)
"""Lengths with no other prime factors have fast transforms, of up to a seventh of the time."""


def change_speed(samples: Tensor, speed_max: float, generator: Draws) -> Tensor:
    """Return clips (batch, n_samples) played faster or slower by a factor of 1 +- ``speed_max``.

    Pitch changes with the speed, since clips are resampled. Clips stay centred: longer ones are
    cropped at both ends, shorter ones zero-padded. The factor is uniform; groups of eight
    consecutive clips share one.

    On CUDA, where each length of a transform takes long to set up, all clips are interpolated at
    once, to the same within 0.2 % of their level.
    """
    batch, n_samples = samples.shape
    rows = Rows.of(generator, batch)
    n_groups = math.ceil(rows.n / _SPEED_GROUP)
    speeds = 1 + speed_max * (2 * torch.rand(n_groups, generator=rows.generator) - 1)
    fast = _fast_lengths(n_samples, speed_max)
    lengths = [
        min(fast, key=lambda length: abs(length - n_samples / speed)) for speed in speeds.tolist()
    ]
    play = play_by_cubics if samples.device.type == "cuda" else play_by_transforms
    if rows.index is None:
        return play(samples, lengths)
    groups, sizes = torch.unique_consecutive(rows.index // _SPEED_GROUP, return_counts=True)
    return play(samples, [lengths[group] for group in groups.tolist()], sizes.tolist())


def play_by_transforms(
    samples: Tensor, lengths: Sequence[int], sizes: list[int] | None = None
) -> Tensor:
    """Return clips (batch, n_samples) played in so many samples, a length for each group.

    Parameters
    ----------
    sizes : clips of each group; None: eight of each, the last one may have fewer
    """
    n_samples = samples.shape[1]
    # Scaled by 1 / n_samples here and not at all there, the transforms keep the amplitude.
    spectrum = torch.fft.rfft(samples, norm="forward")  # (batch, 1 + n_samples // 2)
    changed = torch.zeros_like(samples)
    groups = zip(
        torch.split(spectrum, sizes or _SPEED_GROUP),
        torch.split(changed, sizes or _SPEED_GROUP),
        lengths,
        strict=True,
    )
    for group, target, length in groups:
        # A spectrum cut short, or filled up with zeros, is resampling without aliases.
        played = torch.fft.irfft(group[:, : length // 2 + 1], n=length, norm="forward")
        before = (n_samples - length) // 2
        if before >= 0:
            target[:, before : before + length] = played
        else:
            target.copy_(played[:, -before : n_samples - before])
    return changed


def play_by_cubics(
    samples: Tensor, lengths: Sequence[int], sizes: list[int] | None = None
) -> Tensor:
    """Return what ``play_by_transforms`` does, by interpolation of oversampled clips.

    Source
    ------
    Keys 1981, "Cubic convolution interpolation for digital image processing".
    """
    batch, n_samples = samples.shape
    n_bins, n_fine = 1 + n_samples // 2, _OVERSAMPLING * n_samples
    repeats = torch.tensor(sizes or [_SPEED_GROUP] * len(lengths))
    of_clip = torch.tensor(lengths).repeat_interleave(repeats)[:batch, None]
    length = on_device(of_clip, samples.device)  # (batch, 1)
    spectrum = torch.fft.rfft(samples, norm="forward")
    is_kept = torch.arange(n_bins, device=samples.device) <= length // 2
    fine = torch.fft.irfft(spectrum * is_kept, n=n_fine, norm="forward")
    place = torch.arange(n_samples, device=samples.device) - (n_samples - length) // 2
    position = place * (n_fine / length.double())  # (batch, n_samples) in ``fine``
    first = position.floor()
    part = (position - first).float()
    index = first.long() - 1
    cubics = (
        ((2 - part) * part - 1) * part,
        (3 * part - 5) * part * part + 2,
        ((4 - 3 * part) * part + 1) * part,
        (part - 1) * part * part,
    )
    changed = torch.zeros_like(samples)
    for shift, weight in enumerate(cubics):
        changed.addcmul_(fine.gather(1, (index + shift) % n_fine), weight, value=0.5)
    return changed * ((place >= 0) & (place < length))


@functools.cache
def _fast_lengths(n_samples: int, speed_max: float) -> list[int]:
    """Return ``n_samples`` and the lengths with fast transforms within the range of speeds."""
    shortest = math.ceil(n_samples / (1 + speed_max))
    longest = math.floor(n_samples / (1 - speed_max))
    lengths = [n_samples]
    for length in range(shortest + shortest % 2, longest + 1, 2):
        rest = length
        for factor in _FAST_FACTORS:
            while rest % factor == 0:
                rest //= factor
        if rest == 1:
            lengths.append(length)
    return lengths
