"""Random changes to batches of clips, on their device, each from an explicit generator."""

import torch
from torch import Tensor

from speechcls.silence import QUIETEST_DB, SILENT_SHARE


def cut_noise(noise: Tensor, n_cuts: int, n_samples: int, generator: torch.Generator) -> Tensor:
    """Return random cuts of background noise at random level, some of them digital silence.

    Parameters
    ----------
    noise : (n_noise,) float32 amplitude in [-1, 1], repeated if shorter than ``n_samples``
    generator : on the processor, whatever the device of ``noise``

    Returns
    -------
    (n_cuts, n_samples) float32; the gain is uniform in dB from ``QUIETEST_DB`` to 0
    """
    starts = torch.randint(len(noise), (n_cuts, 1), generator=generator)
    gain_db = QUIETEST_DB * torch.rand(n_cuts, 1, generator=generator)
    gains = torch.where(
        torch.rand(n_cuts, 1, generator=generator) < SILENT_SHARE, 0.0, 10 ** (gain_db / 20)
    )
    places = (starts + torch.arange(n_samples)) % len(noise)  # (n_cuts, n_samples)
    return noise[places.to(noise.device)] * gains.to(noise.device)
