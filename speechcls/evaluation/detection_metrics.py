"""Hits, misses and false alarms of detected events, and thresholds by them: plain functions."""

import heapq
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from speechcls.layouts.annotations import Word
from speechcls.runtime.detection import DEFAULT_THRESHOLD, Event

TOLERANCE_S = 0.25
"""How far outside its word the centre of an event may be."""
NEAR_S = 0.15
"""Largest distance, seconds, of the centres of a hit and its word to count as near."""
LOWEST_THRESHOLD = 0.1
"""Threshold at which words are detected in the validation clips."""
_STEP = 1e-4
"""Thresholds are multiples of it."""
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


@dataclass(frozen=True)
class ValidationDetections:
    """Probabilities of the events of one label in the validation clips, ascending."""

    right: tuple[float, ...]
    """One for each clip of the label in which it was detected."""
    wrong: tuple[float, ...]
    """One for each event in a clip of another word."""
    n_clips: int
    """Clips of the label."""


def best_threshold(found: ValidationDetections | None) -> float:
    """Return the threshold of the highest F1, halfway between the events above and below it.

    It is the default one where no other has a higher F1, or there are no clips. A clip of the label
    in which it was not detected is missed at any threshold.
    """
    if found is None:
        return DEFAULT_THRESHOLD
    events = sorted([(p, True) for p in found.right] + [(p, False) for p in found.wrong])
    n_right, n_wrong = (
        sum(p >= DEFAULT_THRESHOLD for p in own) for own in (found.right, found.wrong)
    )
    best = 2 * n_right / max(1, found.n_clips + n_right + n_wrong)
    threshold = DEFAULT_THRESHOLD
    n_right = n_wrong = 0
    for i in range(len(events) - 1, -1, -1):
        probability, is_right = events[i]
        n_right, n_wrong = n_right + is_right, n_wrong + (not is_right)
        below = events[i - 1][0] if i else LOWEST_THRESHOLD
        if below == probability:
            continue  # no threshold separates the two
        f1 = 2 * n_right / (found.n_clips + n_right + n_wrong)
        if f1 > best:
            best, threshold = f1, (probability + below) / 2
    return max(_STEP, round(threshold, 4))


def highest_threshold(found: ValidationDetections, threshold: float, loss_max: float) -> float:
    """Return the highest threshold that loses at most a ratio of the words above ``threshold``."""
    kept, n_lost = [p for p in found.right if p >= threshold], math.floor(loss_max * found.n_clips)
    return max(threshold, kept[n_lost]) if n_lost < len(kept) else 1.0


def raise_thresholds(
    thresholds: Mapping[str, float],
    alarms: Sequence[Event],
    found: Mapping[str, ValidationDetections],
    n_allowed: int,
    limits: Mapping[str, float] | None = None,
) -> dict[str, float]:
    """Return thresholds that leave at most ``n_allowed`` of the false alarms, where possible.

    Step by step a label's threshold is raised past its least likely false alarm: that of the label
    that loses the smallest fraction of its words in validation clips by it, among equals the one
    with the least likely alarm, so that without clips all labels get one threshold. None is raised
    above its limit in ``limits``.
    """
    raised, limits = dict(thresholds), limits or {}
    left = {
        label: sorted(alarm.probability for alarm in alarms if alarm.label == label)
        for label in thresholds
    }

    def recall_loss(label: str) -> tuple[float, float]:
        own, raised_to = found.get(label), _just_above(left[label][0])
        loss = 0.0
        if own is not None and own.n_clips:
            loss = sum(raised[label] <= p < raised_to for p in own.right) / own.n_clips
        return loss, left[label][0]

    def may_raise(label: str) -> bool:
        limit = limits.get(label, 1.0)
        return bool(left[label]) and left[label][0] < 1 and _just_above(left[label][0]) <= limit

    while sum(map(len, left.values())) > n_allowed:
        open_labels = [label for label in left if may_raise(label)]
        if not open_labels:
            break
        label = min(open_labels, key=recall_loss)
        raised[label] = max(raised[label], _just_above(left[label][0]))
        left[label] = [p for p in left[label] if p >= raised[label]]
    return raised


def _just_above(probability: float) -> float:
    threshold = round(probability, 4)
    return min(1.0, threshold if threshold > probability else round(threshold + _STEP, 4))
