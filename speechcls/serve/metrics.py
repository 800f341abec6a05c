"""What the server has done, in the text format of Prometheus."""

from collections import Counter
from collections.abc import Iterable, Mapping

BUCKETS_S = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
"""Upper ends of the histogram of seconds."""
_Labels = tuple[tuple[str, str], ...]


class Metrics:
    """Counters of the server; only the event loop changes them.

    Attributes
    ----------
    clips : recordings that were predicted, or searched for words
    events : words that were detected, in recordings and streams
    streams : that were opened
    open_streams : that are open now
    """

    def __init__(self) -> None:
        self.clips = self.events = self.streams = self.open_streams = 0
        self._requests = Counter[_Labels]()
        self._buckets: dict[str, list[int]] = {}
        self._seconds: dict[str, float] = {}

    def add_request(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count a request that was answered, or a stream that was opened or refused."""
        self._requests[("route", route), ("method", method), ("status", str(status))] += 1
        counts = self._buckets.setdefault(route, [0] * (len(BUCKETS_S) + 1))
        counts[next((i for i, end in enumerate(BUCKETS_S) if seconds <= end), -1)] += 1
        self._seconds[route] = self._seconds.get(route, 0.0) + seconds

    def to_text(self) -> str:
        """Return all of them in the text format 0.0.4."""
        lines = _family(
            "requests_total", "counter", "Requests by route, method and status.", self._requests
        )
        lines += ["# HELP speechcls_request_seconds Time from a request to its answer."]
        lines += ["# TYPE speechcls_request_seconds histogram"]
        for route, counts in self._buckets.items():
            total = 0
            for end, count in zip((*BUCKETS_S, "+Inf"), counts, strict=True):
                total += count
                labels = _labels((("route", route), ("le", str(end))))
                lines.append(f"speechcls_request_seconds_bucket{labels} {total}")
            labels = _labels((("route", route),))
            lines.append(f"speechcls_request_seconds_sum{labels} {self._seconds[route]:.6f}")
            lines.append(f"speechcls_request_seconds_count{labels} {total}")
        for name, kind, text, value in (
            ("clips_total", "counter", "Recordings predicted or searched for words.", self.clips),
            ("events_total", "counter", "Words detected.", self.events),
            ("streams_total", "counter", "Streams opened.", self.streams),
            ("open_streams", "gauge", "Streams open now.", self.open_streams),
        ):
            lines += _family(name, kind, text, {(): value})
        return "\n".join(lines) + "\n"


def _family(name: str, kind: str, text: str, values: Mapping[_Labels, int]) -> list[str]:
    """Return the lines of one metric."""
    full = f"speechcls_{name}"
    lines = [f"# HELP {full} {text}", f"# TYPE {full} {kind}"]
    return lines + [f"{full}{_labels(labels)} {value}" for labels, value in values.items()]


def _labels(labels: Iterable[tuple[str, str]]) -> str:
    """Return labels in braces; their values are routes, methods and numbers of ours."""
    text = ",".join(f'{name}="{value}"' for name, value in labels)
    return f"{{{text}}}" if text else ""
