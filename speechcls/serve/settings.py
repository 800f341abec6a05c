"""Every default and limit of the server."""

from dataclasses import dataclass

from speechcls.fields import Config


@dataclass(frozen=True)
class ServeConfig(Config):
    """Where the server listens, and how much it takes on."""

    host: str = "127.0.0.1"
    """Address to listen at; any but the loopback takes a token."""
    port: int = 8765
    """TCP port; 0: one that is free."""
    body_mb: float = 32.0
    """Largest body of a request, 10^6 bytes."""
    held_mb: float = 256.0
    """Bodies of all requests together, 10^6 bytes."""
    clips: int = 100
    """Largest number of recordings in one request."""
    clip_s: float = 60.0
    """Longest recording to predict, seconds."""
    recording_s: float = 3_600.0
    """Longest recording to detect words in, seconds."""
    request_s: float = 30.0
    """Time for a request to arrive, and for a connection to begin one, seconds."""
    requests_per_minute: int = 6_000
    """Requests of one client, by its address; 0: as many as it likes."""
    waiting: int = 64
    """Requests that are worked on or wait for it; more are refused."""
    connections: int = 512
    """Connections at once."""
    streams: int = 256
    """Streams at once."""
    frame_kb: float = 512.0
    """Largest message of a stream, 10^3 bytes."""
    stream_idle_s: float = 60.0
    """Time without a message after which a stream is closed, seconds."""
    stop_s: float = 10.0
    """Time that running requests have when the server is stopped, seconds."""

    def __post_init__(self) -> None:
        """Refuse impossible values."""
        self._require("port", 0 <= self.port <= 65_535, "0 to 65535")
        self._require_positive("body_mb", "held_mb", "clips", "clip_s", "recording_s", "request_s")
        self._require_positive("waiting", "connections", "streams", "frame_kb", "stream_idle_s")
        self._require_positive("stop_s")
        self._require_not_negative("requests_per_minute")
        self._require(
            "held_mb", self.held_mb >= self.body_mb, f"body_mb ({self.body_mb:g}) or more"
        )

    @property
    def body_bytes(self) -> int:
        """Largest body of a request."""
        return round(1e6 * self.body_mb)

    @property
    def held_bytes(self) -> int:
        """Largest sum of all bodies."""
        return round(1e6 * self.held_mb)
