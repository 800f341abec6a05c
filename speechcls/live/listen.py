"""Detection in live audio, with its level and the currently most probable label."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from speechcls.audio.level import FLOOR_DB, level_db
from speechcls.audio.samples import Samples
from speechcls.labels import is_command
from speechcls.live.recorder import EventRecorder
from speechcls.live.sources import Block, at_rate
from speechcls.runtime.detection import Event
from speechcls.runtime.streaming import StreamingClassifier


@dataclass(frozen=True)
class LiveUpdate:
    """What was detected in one block of sound, and the state after it."""

    time_s: float
    """Seconds from the start to the end of the block, including what was lost."""
    level_db: float
    label: str | None
    """The currently most probable label but ``_silence_`` and ``_unknown_``; None at the start."""
    probability: float
    """Of ``label``."""
    events: tuple[Event, ...]
    warnings: tuple[str, ...]


def detect_live(
    classifier: StreamingClassifier,
    blocks: Iterable[Block],
    recorder: EventRecorder | None = None,
) -> Iterator[LiveUpdate]:
    """Yield an update for each of ``blocks``, and one for the end.

    In place of lost sound the model gets silence, of one window at most, so that it does not join
    the two parts of a word that was cut; times include what was lost.

    Parameters
    ----------
    recorder : keeps the events with their sound; its stream was started
    """
    rate = classifier.sample_rate
    n_window = round(classifier.artifact.features.duration_s * rate)
    time_s = skipped_s = 0.0

    def timed() -> Iterator[Block]:
        nonlocal time_s
        for block in blocks:
            time_s += block.lost_s + len(block.samples) / block.rate
            yield block

    def feed(samples: Samples) -> list[Event]:
        found = classifier.feed(samples)
        if recorder is not None:
            recorder.push(samples, found, skipped_s)
        return shifted(found)

    def shifted(events: list[Event]) -> list[Event]:
        return [
            replace(event, start_s=event.start_s + skipped_s, end_s=event.end_s + skipped_s)
            for event in events
        ]

    for block in at_rate(timed(), rate):
        events: list[Event] = []
        if block.lost_s:
            n_lost = round(block.lost_s * rate)
            n_silent = min(n_lost, n_window)
            events += feed(np.zeros(n_silent, dtype=np.float32))
            skipped_s += (n_lost - n_silent) / rate
        events += feed(block.samples)
        level, likeliest = level_db(block.samples), _likeliest_word(classifier)
        yield LiveUpdate(time_s, level, *likeliest, tuple(events), block.warnings)
    last = classifier.finish()
    if recorder is not None:
        recorder.finish(last, skipped_s)
    yield LiveUpdate(time_s, FLOOR_DB, *_likeliest_word(classifier), tuple(shifted(last)), ())


def _likeliest_word(classifier: StreamingClassifier) -> tuple[str | None, float]:
    """Return the most probable label that is a word, and its latest probability."""
    labels, posterior = classifier.artifact.labels, classifier.posterior
    words = [i for i, label in enumerate(labels) if is_command(label)]
    if posterior is None or not words:
        return None, 0.0
    best = max(words, key=posterior.__getitem__)
    return labels[best], float(posterior[best])
