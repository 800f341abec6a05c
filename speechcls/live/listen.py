"""Events out of a source of sound, told as soon as they are sure."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from speechcls.audio.level import FLOOR_DB, level_db
from speechcls.audio.samples import Samples
from speechcls.config import EventSettings
from speechcls.labels import SILENCE, UNKNOWN
from speechcls.live.sources import Block, at_rate
from speechcls.runtime.detection import Detector, Event
from speechcls.runtime.stream import PosteriorStream

CAUSAL_SETTINGS = EventSettings(smoothing_s=0.08, min_s=0.04)
"""Of a causal network, which answers each 40 ms: two answers in a row are enough."""


@dataclass(frozen=True)
class LiveUpdate:
    """What became of one block."""

    time_s: float
    """Seconds from the beginning to the end of the block, what was lost included."""
    level_db: float
    label: str | None
    """The likeliest label now, ``_silence_`` and ``_unknown_`` apart; None where none is known."""
    probability: float
    events: tuple[Event, ...]
    warnings: tuple[str, ...]


def detect_live(
    stream: PosteriorStream, finder: Detector, blocks: Iterable[Block]
) -> Iterator[LiveUpdate]:
    """Yield what is heard in ``blocks``, one for each of them and one for the end.

    Where sound was lost the model hears silence, of one window at most, so that it takes no word
    for a whole one that was cut; times count what was lost.
    """
    rate = stream.sample_rate
    shown = [i for i, label in enumerate(stream.labels) if label not in (SILENCE, UNKNOWN)]
    time_s = skipped_s = 0.0
    label, probability = None, 0.0

    def timed() -> Iterator[Block]:
        nonlocal time_s
        for block in blocks:
            time_s += block.lost_s + len(block.samples) / block.rate
            yield block

    def take_in(samples: Samples, is_end: bool = False) -> tuple[Event, ...]:
        nonlocal label, probability
        answers = stream.finish() if is_end else stream.feed(samples)
        if len(answers.probabilities) and shown:
            best = max(shown, key=lambda i: answers.probabilities[-1, i])
            label, probability = stream.labels[best], float(answers.probabilities[-1, best])
        found = finder.push(answers) + (finder.finish() if is_end else [])
        return tuple(
            replace(event, start_s=event.start_s + skipped_s, end_s=event.end_s + skipped_s)
            for event in found
        )

    for block in at_rate(timed(), rate):
        events: tuple[Event, ...] = ()
        if block.lost_s:
            n_lost = round(block.lost_s * rate)
            n_silent = min(n_lost, stream.artifact.features.n_samples)
            events += take_in(np.zeros(n_silent, dtype=np.float32))
            skipped_s += (n_lost - n_silent) / rate
        events += take_in(block.samples)
        yield LiveUpdate(
            time_s, level_db(block.samples), label, probability, events, block.warnings
        )
    events = take_in(np.empty(0, dtype=np.float32), is_end=True)
    yield LiveUpdate(time_s, FLOOR_DB, label, probability, events, ())
