"""Every time-out and limit of reading from elsewhere, each of which the environment can change."""

import os
from dataclasses import dataclass, fields

from speechcls.errors import ConfigError

PREFIX = "SPEECHCLS_REMOTE_"
"""What the variable of each setting begins with: ``attempts`` is ``SPEECHCLS_REMOTE_ATTEMPTS``."""


@dataclass(frozen=True)
class StorageSettings:
    """How stores are read; a variable of the environment changes each setting."""

    connect_timeout_s: float = 10.0
    """Time in which a store has to accept a connection, seconds."""
    read_timeout_s: float = 60.0
    """Time without a byte after which a transfer counts as stalled, seconds."""
    attempts: int = 5
    """How often a file is asked for before it counts as unreachable."""
    first_wait_s: float = 0.5
    """Time before the second attempt, seconds; each further wait is twice as long."""
    longest_wait_s: float = 60.0
    """The longest time between two attempts, also where a store asks for a longer one, seconds."""
    parallel: int = 32
    """Files that are fetched at once."""
    budget_gb: float = 1_000.0
    """Space that fetched files may take in the cache folder, 10^9 bytes."""
    keep_free_gb: float = 1.0
    """Space that fetching leaves free on the disk, 10^9 bytes."""

    def __post_init__(self) -> None:
        for each in fields(self):
            value, least = getattr(self, each.name), 1 if each.type is int else 0
            if not least <= value < float("inf"):
                raise ConfigError(
                    f"${PREFIX}{each.name.upper()}: {value} is out of range; set {least} or more"
                )


def storage_settings() -> StorageSettings:
    """Return the settings, as the environment has them where it does.

    Raises
    ------
    ConfigError
        Naming the variable whose value is no number, or an impossible one.
    """
    given: dict[str, float] = {}
    for each in fields(StorageSettings):
        name = PREFIX + each.name.upper()
        if text := os.environ.get(name, ""):
            try:
                given[each.name] = int(text) if each.type is int else float(text)
            except ValueError as error:
                raise ConfigError(f"${name}: {text!r} is not a number; set one") from error
    return StorageSettings(**given)  # type: ignore[arg-type]
