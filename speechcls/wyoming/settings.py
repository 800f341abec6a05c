"""Where a Wyoming server listens, and every limit on what its clients may send."""

from dataclasses import dataclass
from urllib.parse import urlsplit

from speechcls.errors import ConfigError, not_installed

PORT = 10_400
"""The one that Wyoming servers of wake words have by custom."""
URI = f"tcp://127.0.0.1:{PORT}"


@dataclass(frozen=True)
class WyomingSettings:
    """Limits of a server: none of its clients can take memory or time from the others."""

    header_bytes_max: int = 64 * 1024
    """Longest line that an event may begin with."""
    data_bytes_max: int = 256 * 1024
    """Longest JSON that may follow it."""
    payload_bytes_max: int = 1024 * 1024
    """Longest sound in one event: 32 s of 16-bit samples at 16 kHz."""
    channels_max: int = 32
    """Most channels of the sound."""
    clients_max: int = 64
    """Clients at a time; a further one is told so."""
    event_timeout_s: float = 30.0
    """Time in which an event that has begun must be there, and in which an answer must be taken."""
    idle_timeout_s: float = 3_600.0
    """Time without an event after which a client is taken for gone."""
    stop_timeout_s: float = 5.0
    """Time that clients have to go when the server stops."""


def parse_uri(uri: str) -> tuple[str, int]:
    """Return host and port of an address as ``tcp://127.0.0.1:10400``.

    Raises
    ------
    ConfigError
        When it is no such address.
    """
    try:
        parts = urlsplit(uri)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise ConfigError(f"{uri}: {error}; give one as {URI}", field="uri") from error
    if parts.scheme != "tcp" or not host or parts.path or parts.query or parts.username:
        raise ConfigError(f"{uri}: no address of a server; give one as {URI}", field="uri")
    return host, PORT if port is None else port


def load_wyoming() -> None:
    """Import the library of the protocol.

    Raises
    ------
    ConfigError
        When it is not installed.
    """
    try:
        import wyoming.wake  # noqa: F401
    except ImportError as error:
        raise ConfigError(not_installed("wyoming", "wyoming")) from error
