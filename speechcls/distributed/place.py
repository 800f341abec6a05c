"""Which of several processes this one is, as torchrun says in the environment."""

import os
import platform
from dataclasses import dataclass

from speechcls.errors import ConfigError

_NUMBERS = {
    "rank": "RANK",
    "size": "WORLD_SIZE",
    "local_rank": "LOCAL_RANK",
    "local_size": "LOCAL_WORLD_SIZE",
}
_RESTARTS = "TORCHELASTIC_RESTART_COUNT"


@dataclass(frozen=True)
class Place:
    """Which of several processes this one is; alone, unless told otherwise."""

    rank: int = 0
    """Among all processes, from 0."""
    size: int = 1
    """Number of all processes."""
    local_rank: int = 0
    """Among those of this machine, from 0."""
    local_size: int = 1
    """Number of those of this machine."""
    address: str = ""
    """Host and port at which they find each other."""
    restarts: int = 0
    """How often torchrun has started them again."""

    @property
    def is_main(self) -> bool:
        """Whether this process decides, writes and prints for all."""
        return self.rank == 0

    @property
    def name(self) -> str:
        """What messages call it."""
        return f"rank {self.rank} of {self.size} on {platform.node()}"


def find_place() -> Place:
    """Return the place that the environment gives; alone where it tells of no other process.

    Raises
    ------
    ConfigError
        When the environment is incomplete or contradicts itself.
    """
    if os.environ.get("WORLD_SIZE", "1") == "1" or "RANK" not in os.environ:
        return Place(restarts=_read_number(_RESTARTS, 0))
    numbers = {field: _read_number(name) for field, name in _NUMBERS.items()}
    rank, size, local_rank, local_size = numbers.values()
    if not (rank < size and local_rank < local_size <= size):
        told = ", ".join(f"${name} {os.environ[name]}" for name in _NUMBERS.values())
        raise ConfigError(f"{told}: impossible; start the processes with torchrun")
    host, port = (_read(name) for name in ("MASTER_ADDR", "MASTER_PORT"))
    return Place(**numbers, address=f"{host}:{port}", restarts=_read_number(_RESTARTS, 0))


def _read(name: str) -> str:
    if not (value := os.environ.get(name)):
        raise ConfigError(
            f"${name} is not set, though $WORLD_SIZE tells of other processes; start them with"
            " torchrun"
        )
    return value


def _read_number(name: str, default: int | None = None) -> int:
    if default is not None and name not in os.environ:
        return default
    value = _read(name)
    if not (value.isascii() and value.isdigit()):
        raise ConfigError(f"${name} is {value!r}, no number; start the processes with torchrun")
    return int(value)
