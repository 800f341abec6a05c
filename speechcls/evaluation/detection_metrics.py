"""Hits, misses and false alarms of detected events: plain functions of words and events."""

import heapq
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from speechcls.layouts.annotations import Word
from speechcls.runtime.detection import Event

TOLERANCE_S = 0.25
"""How far outside its word the centre of an event may be."""
NEAR_S = 0.15
"""Largest distance, seconds, of the centres of a hit and its word to count as near."""
CONFIDENCE = 0.95
"""Of the upper bound of false alarms per hour."""
THRESHOLDS = tuple(percent / 100 for percent in (*range(10, 95, 5), *range(95, 100)))
"""At which the curve of misses against false alarms is given."""


@dataclass(frozen=True)
class EventCounts:
    """Hits and errors of one label, or of all of them."""

    n_words: int
    hits: int
    """Words that an event of their label was matched with."""
    confused: int
    """Events at the place of a word of another label."""
    false_alarms: int
    """Other events that match no word."""

    @property
    def misses(self) -> int:
        """Words without an event."""
        return self.n_words - self.hits

    @property
    def miss_rate(self) -> float:
        """Fraction of the words that were missed; 0 where there are none."""
        return self.misses / self.n_words if self.n_words else 0.0


@dataclass(frozen=True)
class StreamScores:
    """The scores of the events in a recording."""

    hours: float
    """Length of the recording."""
    total: EventCounts
    per_label: dict[str, EventCounts]
    offsets_s: npt.NDArray[np.float64]
    """(n_hits,) the centre of each event minus that of its word."""

    @property
    def false_alarms_per_hour(self) -> float:
        """Of all labels together."""
        return self.total.false_alarms / self.hours

    @property
    def near_ratio(self) -> float:
        """Fraction of the hits that are near their word; 0 without hits."""
        return float(np.mean(np.abs(self.offsets_s) <= NEAR_S)) if len(self.offsets_s) else 0.0

    @property
    def median_distance_s(self) -> float:
        """Median distance of a hit's centre from that of its word; 0 without hits."""
        return float(np.median(np.abs(self.offsets_s))) if len(self.offsets_s) else 0.0

    def to_dict(self) -> dict[str, Any]:
        """Return the scores as JSON-ready values."""
        return {
            "hours": self.hours,
            **_as_dict(self.total),
            "false_alarms_an_hour": self.false_alarms_per_hour,
            "upper_false_alarms_an_hour": upper_rate(self.total.false_alarms, self.hours),
            "tolerance_s": TOLERANCE_S,
            "near_s": NEAR_S,
            "near_share": self.near_ratio,
            "median_distance_s": self.median_distance_s,
            "per_label": {label: _as_dict(counts) for label, counts in self.per_label.items()},
        }


def _as_dict(counts: EventCounts) -> dict[str, Any]:
    return {
        "words": counts.n_words,
        "hits": counts.hits,
        "misses": counts.misses,
        "confused": counts.confused,
        "false_alarms": counts.false_alarms,
        "miss_rate": counts.miss_rate,
    }


@dataclass(frozen=True)
class CurvePoint:
    """Misses and false alarms with one threshold for all labels."""

    threshold: float
    miss_rate: float
    false_alarms_per_hour: float

    def to_dict(self) -> dict[str, float]:
        """Return the point as JSON-ready values."""
        return {
            "threshold": self.threshold,
            "miss_rate": self.miss_rate,
            "false_alarms_an_hour": self.false_alarms_per_hour,
        }


def match_events(words: Sequence[Word], events: Sequence[Event]) -> list[tuple[int, int]]:
    """Return word and event, as indices, of each hit, by time of the event.

    An event may hit a word of its label if its centre is between the start of the word minus
    ``TOLERANCE_S`` and its end plus ``TOLERANCE_S``. Each event hits one word at most, each word is
    hit once at most; no other choice has more hits: of the words that an event may hit, the one
    that ends first is taken.

    Source
    ------
    One-to-one matching of most pairs within a tolerance as in mir_eval (Raffel et al. 2014), by
    label as in event-based scores (Mesaros, Heittola & Virtanen 2016, sed_eval). They compare
    onsets; keyword spotting needs the place only.
    """
    pairs = []
    for label in {event.label for event in events}:
        starting = sorted(
            ((w.start_s - TOLERANCE_S, i) for i, w in enumerate(words) if w.label == label),
            reverse=True,
        )
        own = [j for j, event in enumerate(events) if event.label == label]
        opened: list[tuple[float, int]] = []  # a heap: latest centre, word
        for j in sorted(own, key=lambda j: events[j].centre_s):
            centre_s = events[j].centre_s
            while starting and starting[-1][0] <= centre_s:
                _, i = starting.pop()
                heapq.heappush(opened, (words[i].end_s + TOLERANCE_S, i))
            while opened and opened[0][0] < centre_s:
                heapq.heappop(opened)
            if opened:
                pairs.append((heapq.heappop(opened)[1], j))
    return sorted(pairs, key=lambda pair: events[pair[1]].centre_s)


def count_confused(
    words: Sequence[Word], events: Sequence[Event], pairs: Sequence[tuple[int, int]]
) -> dict[str, int]:
    """Return, by label, how many events without a hit are at the place of another label's word.

    That is where an event of the word's own label would have hit it.
    """
    starts, ends = (np.array([getattr(w, name) for w in words]) for name in ("start_s", "end_s"))
    said = np.array([word.label for word in words])
    hits = {j for _, j in pairs}
    counts: Counter[str] = Counter()
    for j, event in enumerate(events):
        if j in hits or not len(words):
            continue
        is_there = (starts - TOLERANCE_S <= event.centre_s) & (event.centre_s <= ends + TOLERANCE_S)
        counts[event.label] += bool((is_there & (said != event.label)).any())
    return counts


def score_events(
    words: Sequence[Word], events: Sequence[Event], labels: Sequence[str], hours: float
) -> StreamScores:
    """Return the scores of the events in a recording of ``hours``.

    Parameters
    ----------
    words, events : of ``labels`` alone
    """
    pairs = match_events(words, events)
    hit = Counter(words[i].label for i, _ in pairs)
    said = Counter(word.label for word in words)
    detected = Counter(event.label for event in events)
    confused = count_confused(words, events, pairs)

    def counts(of: Callable[[Mapping[str, int]], int]) -> EventCounts:
        n_hits, n_confused = of(hit), of(confused)
        return EventCounts(of(said), n_hits, n_confused, of(detected) - n_hits - n_confused)

    return StreamScores(
        hours,
        counts(lambda by_label: sum(by_label.values())),
        {label: counts(lambda by_label: by_label.get(label, 0)) for label in labels},  # noqa: B023
        np.array([events[j].centre_s - words[i].centre_s for i, j in pairs], dtype=np.float64),
    )


def det_curve(words: Sequence[Word], events: Sequence[Event], hours: float) -> list[CurvePoint]:
    """Return misses against false alarms per hour over ``THRESHOLDS``, each for all labels.

    The events are detected once with a low threshold; a higher one keeps those that are at least as
    probable.

    Source
    ------
    Martin et al. 1997, The DET curve in assessment of detection task performance; false alarms are
    counted per hour, as usual where there are no trials to count.
    """
    points = []
    for threshold in THRESHOLDS:
        kept = [event for event in events if event.probability >= threshold]
        total = score_events(words, kept, (), hours).total
        points.append(CurvePoint(threshold, total.miss_rate, total.false_alarms / hours))
    return points


def upper_rate(n_events: int, hours: float) -> float:
    """Return the upper ``CONFIDENCE`` bound of the hourly rate where ``n_events`` were counted.

    Source
    ------
    Exact one-sided bound of a Poisson mean: Garwood 1936.
    """
    from scipy.stats import chi2

    return float(chi2.ppf(CONFIDENCE, 2 * (n_events + 1))) / 2 / hours


def hours_needed(rate: float) -> float:
    """Return the hours without an event after which the upper bound is ``rate`` per hour."""
    return upper_rate(0, 1.0) / rate
