"""Random draws: all are made on the host, so that one seed draws the same on every device."""

from collections.abc import Mapping
from dataclasses import dataclass

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


@dataclass(frozen=True)
class Rows:
    """The rows of a batch that this process makes, and the generator of the whole batch.

    All processes draw for all rows, a few numbers each, and take those of their own: a row is the
    same however many processes share its batch.
    """

    generator: torch.Generator
    n: int
    """Rows of the whole batch."""
    index: Tensor | None = None
    """(n_own,) which rows are own, on the host; None: all."""

    @classmethod
    def of(cls, draws: "Draws", n: int) -> "Rows":
        """Return the rows of a batch: what ``draws`` says, or all ``n`` of a generator."""
        return draws if isinstance(draws, Rows) else cls(draws, n)

    @classmethod
    def between(cls, generator: torch.Generator, n: int, first: int, last: int) -> "Rows":
        """Return the rows from ``first`` to the one before ``last``, of ``n``."""
        return cls(generator, n, None if last - first == n else torch.arange(first, last))

    def own(self, values: Tensor, dim: int = 0) -> Tensor:
        """Return the own rows of ``values``, whose dimension ``dim`` has a row for each."""
        return values if self.index is None else values.index_select(dim, self.index)

    def rand(self, *shape: int) -> Tensor:
        """Return (n_own, *shape) uniform in [0, 1)."""
        return self.own(torch.rand(self.n, *shape, generator=self.generator))

    def randint(self, low: int, high: int, *shape: int) -> Tensor:
        """Return (n_own, *shape) whole numbers, uniform from ``low`` to ``high - 1``."""
        return self.own(torch.randint(low, high, (self.n, *shape), generator=self.generator))

    def among(self, chosen: Tensor) -> tuple["Rows", Tensor]:
        """Return some rows of the batch, and where the own ones of them are among the own rows.

        Parameters
        ----------
        chosen : (n_chosen,) which, on the host, each once
        """
        if self.index is None:
            return Rows(self.generator, len(chosen)), chosen
        place = torch.full((self.n,), -1)
        place[self.index] = torch.arange(len(self.index))
        places = place[chosen]
        index = (places >= 0).nonzero().squeeze(1)
        return Rows(self.generator, len(chosen), index), places[index]


Draws = torch.Generator | Rows
"""What a random change of a batch draws with: a generator, or rows of a larger batch."""
