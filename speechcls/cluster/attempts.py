"""Which recordings end the process that reads them, as a fault in a decoder does."""

from dataclasses import dataclass, field

DEATHS = 2
"""After so many of one recording it is not read again."""


@dataclass
class _Part:
    """A part that is being made."""

    n_attempts: int = 0
    current: int | None = None
    """What of it is being read, where that is told."""
    deaths: dict[int, int] = field(default_factory=dict)


class Attempts:
    """Counts the attempts at each part, in a process that outlives those that read."""

    def __init__(self) -> None:
        self._parts: dict[int, _Part] = {}

    def begin(self, number: int) -> list[int] | None:
        """Return None at the first attempt at a part; later which recordings not to read."""
        part = self._parts.setdefault(number, _Part())
        part.n_attempts += 1
        if part.n_attempts == 1:
            return None
        if part.current is not None:
            part.deaths[part.current] = part.deaths.get(part.current, 0) + 1
            part.current = None
        return [index for index, n_deaths in part.deaths.items() if n_deaths >= DEATHS]

    def reading(self, number: int, index: int) -> None:
        """Note which recording of a part is read now."""
        self._parts[number].current = index

    def end(self, number: int) -> None:
        """Forget a part that is done."""
        self._parts.pop(number, None)
