"""From a model's answers on running sound to words with a beginning and an end."""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from speechcls.artifact.calibration import load_calibration
from speechcls.artifact.format import Artifact
from speechcls.audio.samples import Samples
from speechcls.config import EventSettings
from speechcls.errors import ConfigError
from speechcls.labels import SILENCE, UNKNOWN
from speechcls.runtime.session import Probabilities
from speechcls.runtime.stream import Posteriors, PosteriorStream

DEFAULT_THRESHOLD = 0.6
"""Least probability of an event where the model is not calibrated."""
_OPEN_AT = 0.1
"""Probability that a word's stretch stays above: so that one word is one stretch, however sure."""
_WORD_S = 0.34
"""Length of a word where it is not known."""
_SHORTEST_S, _LONGEST_S = 0.2, 0.8
"""Of a word."""
_CAUSAL_FIRST_S, _CAUSAL_MIDDLE_S = 0.10, 0.35
"""How long after a word's middle a causal network is first sure of it, and surest."""
_WINDOW_BIAS_S = 0.02
"""How much earlier than a word's middle windows are surest of it."""


@dataclass(frozen=True)
class Event:
    """One word that was heard."""

    start_s: float
    """Seconds from the beginning of the sound."""
    end_s: float
    label: str
    probability: float
    """The highest that the label reached, smoothed."""

    @property
    def centre_s(self) -> float:
        """The middle of the word."""
        return (self.start_s + self.end_s) / 2


class Detector:
    """Turns the answers of one stream into events, in order of time.

    A label's smoothed probability rises above a low level and falls again; the stretch in between
    is one word if it reached the label's threshold. A model of windows is sure of a word for as
    long as the window holds all of it, so that the word's middle is the stretch's, half a window
    before, and its length is what the stretch lacks of the window. A causal one is sure of it when
    it has just ended.

    Parameters
    ----------
    thresholds : least probability by label; labels that are not in it are never events
    eager : report a word as soon as it is sure instead of when its probability has fallen again
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
        self._n_least = max(1, round(settings.min_s / stream.every_s))
        self._open: list[_Stretch | None] = [None] * len(self._labels)
        self._waiting: list[Event] = []
        self._last: Event | None = None

    def push(self, answers: Posteriors) -> list[Event]:
        """Return the events that are sure after these answers."""
        found = []
        for time_s, row in zip(answers.times_s.tolist(), answers.probabilities, strict=True):
            found += self._step(time_s, row[self._columns])
        return found

    def finish(self) -> list[Event]:
        """Return the events that the end of the sound makes sure."""
        for i, segment in enumerate(self._open):
            if segment is not None:
                self._close(i, segment)
        return self._release(np.inf)

    def _step(self, time_s: float, row: Probabilities) -> list[Event]:
        """Take in the probabilities (n_labels,) of one answer."""
        self._recent.append(row)
        smooth = np.mean(self._recent, axis=0)
        heard_s = time_s - self._delay_s
        for i, probability in enumerate(smooth.tolist()):
            segment = self._open[i]
            if probability >= self._levels[i]:
                if segment is None:
                    segment = self._open[i] = _Stretch(heard_s)
                segment.add(heard_s, probability)
                if self._eager and segment.n_answers == self._n_least:
                    self._waiting.append(self._event(i, segment))
            elif segment is not None:
                self._close(i, segment)
        return self._release(heard_s)

    def _close(self, i: int, segment: "_Stretch") -> None:
        self._open[i] = None
        is_sure = segment.highest >= self._thresholds[i]
        if not self._eager and is_sure and segment.n_answers >= self._n_least:
            self._waiting.append(self._event(i, segment))

    def _event(self, i: int, segment: "_Stretch") -> Event:
        """Return the word that a stretch means."""
        half_s = _WORD_S / 2
        if self._is_causal:
            middle_s = (
                segment.first_s - _CAUSAL_FIRST_S
                if self._eager
                else segment.centre_s - _CAUSAL_MIDDLE_S
            )
        elif self._eager:  # the window has just taken in the end of the word
            middle_s = segment.first_s - half_s
        else:
            middle_s = segment.centre_s - self._window_s / 2 + _WINDOW_BIAS_S
            width_s = segment.last_s - segment.first_s + self._every_s
            half_s = min(max(self._window_s - width_s, _SHORTEST_S), _LONGEST_S) / 2
        start_s = max(0.0, middle_s - half_s)
        return Event(start_s, max(start_s, middle_s + half_s), self._labels[i], segment.highest)

    def _release(self, heard_s: float) -> list[Event]:
        """Return the waiting events that nothing to come can outdo."""
        opened = [segment.first_s for segment in self._open if segment is not None]
        if not self._eager and heard_s < np.inf:
            # A stretch that is open now may turn out to be the likelier word.
            limit_s = min([heard_s, *opened]) - self._window_s
        else:
            limit_s = np.inf
        ready = [event for event in self._waiting if event.centre_s < limit_s - self._refractory_s]
        found = []
        for event in sorted(ready, key=lambda event: event.centre_s):
            if event not in self._waiting:
                continue
            rivals = [
                other
                for other in self._waiting
                if abs(other.centre_s - event.centre_s) < self._refractory_s
            ]
            best = max(rivals, key=lambda other: other.probability)
            for rival in rivals:
                self._waiting.remove(rival)
            is_echo = self._last and best.centre_s - self._last.centre_s < self._refractory_s
            if not is_echo:
                self._last = best
                found.append(best)
        return found


class _Stretch:
    """The answers in a row in which one label is likely enough."""

    def __init__(self, first_s: float) -> None:
        self.first_s = self.last_s = first_s
        self.highest = 0.0
        self.n_answers = 0
        self._moment = self._weight = 0.0

    def add(self, time_s: float, probability: float) -> None:
        """Take in one more answer."""
        self.last_s = time_s
        self.highest = max(self.highest, probability)
        self.n_answers += 1
        self._moment += time_s * probability
        self._weight += probability

    @property
    def centre_s(self) -> float:
        """The middle, weighed by probability."""
        return self._moment / self._weight


def find_events(
    stream: PosteriorStream, blocks: Iterable[Samples], finder: Detector
) -> Iterator[Event]:
    """Yield the events in sound that comes in ``blocks`` (n,) at the stream's rate, as it comes."""
    for block in blocks:
        yield from finder.push(stream.feed(block))
    yield from finder.push(stream.finish())
    yield from finder.finish()


def choose_thresholds(
    artifact: Artifact, threshold: float | None = None, labels: Sequence[str] | None = None
) -> dict[str, float]:
    """Return the least probability of an event for each label that may be one.

    Parameters
    ----------
    threshold : for all of them; None: the model's calibrated ones, else ``DEFAULT_THRESHOLD``
    labels : those that are asked for; None: all but ``_unknown_`` and ``_silence_``

    Raises
    ------
    ConfigError
        When the model does not know a label.
    """
    asked = labels or [label for label in artifact.labels if label not in (UNKNOWN, SILENCE)]
    if strangers := [label for label in asked if label not in artifact.labels]:
        raise ConfigError(
            f"labels: the model does not know {', '.join(strangers)};"
            f" it has {', '.join(artifact.labels)}"
        )
    if threshold is not None:
        return dict.fromkeys(asked, threshold)
    calibration = load_calibration(artifact)
    own = calibration.thresholds if calibration else {}
    return {label: own.get(label, DEFAULT_THRESHOLD) for label in asked}
