"""Random draws: all are made on the host, so that one seed draws the same on every device."""

from collections.abc import Mapping

import torch
from torch import Tensor


def on_device(values: Tensor, device: torch.device) -> Tensor:
    """Return what was drawn on the device, which the host does not wait for."""
    if device.type != "cuda" or values.device.type == "cuda":
        return values.to(device)
    return values.pin_memory().to(device, non_blocking=True)


def seed_of(seed: int, epoch: int) -> int:
    """Return the seed of an epoch's random draws."""
    return (seed * 1_000_003 + epoch) % 2**63


class Generators:
    """The random generators of one epoch by name, which go on where their saved states were."""

    def __init__(self, seed: int, epoch: int, states: Mapping[str, Tensor] | None = None) -> None:
        self._seed, self._states = seed_of(seed, epoch), dict(states or {})
        self._made: dict[str, torch.Generator] = {}

    def start(self, name: str) -> torch.Generator:
        """Return a generator as it is at the begin of the epoch."""
        self._made[name] = torch.Generator().manual_seed(self._seed)
        return self._made[name]

    def resume(self, name: str) -> torch.Generator:
        """Return the generator, in its saved state if it has one."""
        if name in self._states:
            self._made[name].set_state(self._states.pop(name))
        return self._made[name]

    def states(self) -> dict[str, Tensor]:
        """Return the state of each."""
        return {name: generator.get_state() for name, generator in self._made.items()}
