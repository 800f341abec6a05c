"""Detection: from the posteriors of a stream to events, words with a start and an end."""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np

from speechcls.artifact.calibration import load_calibration
from speechcls.artifact.format import Artifact
from speechcls.config import EventSettings
from speechcls.errors import ConfigError
from speechcls.labels import is_command
from speechcls.runtime.session import Probabilities, check_threshold
from speechcls.runtime.stream import Posteriors, PosteriorStream

DEFAULT_THRESHOLD = 0.6
"""Detection threshold where the model is not calibrated."""
EAGER_CAUSAL_SETTINGS = EventSettings(smoothing_s=0.08, min_s=0.04)
"""For eager detection by a causal network, which steps by 40 ms: two posteriors are enough."""
_OPEN_AT = 0.1
"""Probability that opens a segment, low so that one word is one segment at any threshold."""
_WORD_S = 0.34
"""Length of a word where it is not known."""
_SHORTEST_S, _LONGEST_S = 0.2, 0.8
"""Of a word."""
_CAUSAL_FIRST_S, _CAUSAL_PEAK_S = 0.10, 0.35
"""From a word's centre until a causal network's posterior opens a segment, and is highest."""
_WINDOW_BIAS_S = 0.02
"""How much earlier than at a word's centre the posterior of windows is highest."""


@dataclass(frozen=True)
class Event:
    """One detected word."""

    start_s: float
    """Seconds from the start of the stream."""
    end_s: float
    label: str
    probability: float
    """The highest smoothed posterior of the label."""

    @property
    def centre_s(self) -> float:
        """The centre of the word."""
        return (self.start_s + self.end_s) / 2

    def to_dict(self) -> dict[str, str | float]:
        """Return the fields, rounded to milliseconds and six decimals, as JSON-ready values."""
        return {
            "start_s": round(self.start_s, 3),
            "end_s": round(self.end_s, 3),
            "label": self.label,
            "probability": round(self.probability, 6),
        }


class Detector:
    """Turns the posteriors of one stream into events, in order of time.

    The segment in which a label's smoothed posterior is above a low level is one word if it reaches
    the label's detection threshold. With a model of windows the posterior is high for as long as
    the window holds all of the word, so that the word's centre is that of the segment, half a
    window earlier, and its length is what the segment is shorter than the window. With a causal
    model it is high just after the word's end.

    Parameters
    ----------
    stream : that the posteriors are of
    thresholds : detection threshold by label; other labels are never events
    eager : report a word as soon as it reaches the threshold, not when its posterior has fallen
    """

    def __init__(
        self,
        stream: PosteriorStream,
        thresholds: Mapping[str, float],
        settings: EventSettings | None = None,
        eager: bool = False,
    ) -> None:
        settings = settings or EventSettings()
        self._labels = list(thresholds)
        self._columns = [stream.labels.index(label) for label in thresholds]
        self._thresholds = [thresholds[label] for label in thresholds]
        self._levels = [t if eager else min(t, _OPEN_AT) for t in self._thresholds]
        self._is_causal, self._eager = stream.is_causal, eager
        self._every_s = stream.every_s
        self._window_s = stream.artifact.features.duration_s
        self._refractory_s = settings.refractory_s
        n_smoothed = max(1, round(settings.smoothing_s / stream.every_s))
        self._recent: deque[Probabilities] = deque(maxlen=n_smoothed)
        self._delay_s = stream.every_s * (n_smoothed - 1) / 2
        self._min_steps = max(1, round(settings.min_s / stream.every_s))
        self._open: list[_Segment | None] = [None] * len(self._labels)
        self._waiting: list[Event] = []
        self._last: Event | None = None

    def push(self, posteriors: Posteriors) -> list[Event]:
        """Return the events that these posteriors complete."""
        found = []
        for time_s, row in zip(posteriors.times_s.tolist(), posteriors.probabilities, strict=True):
            found += self._step(time_s, row[self._columns])
        return found

    def finish(self) -> list[Event]:
        """Return the events that are open at the end of the stream."""
        for i, segment in enumerate(self._open):
            if segment is not None:
                self._close(i, segment)
        return self._release(np.inf)

    def _step(self, time_s: float, row: Probabilities) -> list[Event]:
        """Process the posteriors (n_labels,) of one time; return the events that they complete."""
        self._recent.append(row)
        # As np.mean, which takes four times as long for so few.
        smooth: Probabilities = reduce(np.add, self._recent) / np.float32(len(self._recent))
        now_s = time_s - self._delay_s
        for i, probability in enumerate(smooth.tolist()):
            segment = self._open[i]
            if probability >= self._levels[i]:
                if segment is None:
                    segment = self._open[i] = _Segment(now_s)
                segment.add(now_s, probability)
                if self._eager and segment.n_times == self._min_steps:
                    self._waiting.append(self._event(i, segment))
            elif segment is not None:
                self._close(i, segment)
        return self._release(now_s)

    def _close(self, i: int, segment: "_Segment") -> None:
        self._open[i] = None
        is_word = segment.highest >= self._thresholds[i] and segment.n_times >= self._min_steps
        if not self._eager and is_word:
            self._waiting.append(self._event(i, segment))

    def _event(self, i: int, segment: "_Segment") -> Event:
        """Return the word that a segment stands for."""
        half_s = _WORD_S / 2
        if self._is_causal:
            centre_s = (
                segment.first_s - _CAUSAL_FIRST_S
                if self._eager
                else segment.centre_s - _CAUSAL_PEAK_S
            )
        elif self._eager:  # the window has just come to hold the end of the word
            centre_s = segment.first_s - half_s
        else:
            centre_s = segment.centre_s - self._window_s / 2 + _WINDOW_BIAS_S
            width_s = segment.last_s - segment.first_s + self._every_s
            half_s = min(max(self._window_s - width_s, _SHORTEST_S), _LONGEST_S) / 2
        start_s = max(0.0, centre_s - half_s)
        return Event(start_s, max(start_s, centre_s + half_s), self._labels[i], segment.highest)

    def _release(self, now_s: float) -> list[Event]:
        """Return the waiting events that no later one can suppress."""
        opened = [segment.first_s for segment in self._open if segment is not None]
        # A segment that is open now may turn out to be the likelier word.
        limit_s = np.inf if self._eager else min([now_s, *opened]) - self._window_s
        ready = [event for event in self._waiting if event.centre_s < limit_s - self._refractory_s]
        found = []
        for event in sorted(ready, key=lambda event: event.centre_s):
            if event not in self._waiting:
                continue
            overlapping = [
                other
                for other in self._waiting
                if other is event or abs(other.centre_s - event.centre_s) < self._refractory_s
            ]
            best = max(overlapping, key=lambda other: other.probability)
            for other in overlapping:
                self._waiting.remove(other)
            is_repeat = self._last and best.centre_s - self._last.centre_s < self._refractory_s
            if not is_repeat:
                self._last = best
                found.append(best)
        return found


class _Segment:
    """Successive posteriors in which one label is above the opening level."""

    def __init__(self, first_s: float) -> None:
        self.first_s = self.last_s = first_s
        self.highest = 0.0
        self.n_times = 0
        self._moment = self._weight = 0.0

    def add(self, time_s: float, probability: float) -> None:
        """Process one more posterior."""
        self.last_s = time_s
        self.highest = max(self.highest, probability)
        self.n_times += 1
        self._moment += time_s * probability
        self._weight += probability

    @property
    def centre_s(self) -> float:
        """The centre, weighted by probability."""
        return self._moment / self._weight


def detect_events(
    posteriors: Iterable[Posteriors], *detectors: Detector
) -> Iterator[tuple[list[Event], ...]]:
    """Yield the events that each detector finds in one stream, as soon as they are complete.

    Parameters
    ----------
    posteriors : of the whole stream in order: kept from before, or as ``PosteriorStream.run``
        yields them

    Yields
    ------
    for each of ``posteriors``, and once more at the end, a list of events for each detector
    """
    for part in posteriors:
        yield tuple(detector.push(part) for detector in detectors)
    yield tuple(detector.finish() for detector in detectors)


def choose_thresholds(
    artifact: Artifact,
    threshold: float | Mapping[str, float] | None = None,
    labels: Sequence[str] | None = None,
) -> dict[str, float]:
    """Return the detection threshold of each label that may be an event.

    Parameters
    ----------
    threshold : for all of them, or for some by label; others have the model's calibrated ones,
        else ``DEFAULT_THRESHOLD``
    labels : those to detect; None: all but ``_unknown_`` and ``_silence_``

    Raises
    ------
    ConfigError
        When the model has no such label, or the threshold is not in 0 .. 1.
    ArtifactError
        When the model's calibration is damaged.
    """
    chosen = labels or [label for label in artifact.labels if is_command(label)]
    given = threshold if isinstance(threshold, Mapping) else {}
    if unknown := [label for label in (*chosen, *given) if label not in artifact.labels]:
        raise ConfigError(
            f"the model has no label {', '.join(unknown)}; it has {', '.join(artifact.labels)}",
            field="labels",
        )
    if threshold is not None and not isinstance(threshold, Mapping):
        check_threshold(threshold)
        return dict.fromkeys(chosen, threshold)
    for own_threshold in given.values():
        check_threshold(own_threshold)
    calibration = load_calibration(artifact)
    own = {**(calibration.thresholds if calibration else {}), **given}
    return {label: own.get(label, DEFAULT_THRESHOLD) for label in chosen}
