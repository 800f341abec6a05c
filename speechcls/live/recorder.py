"""Keeps the sound of detected words: a ring of the last seconds, from which each is cut."""

from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from speechcls.artifact.format import Artifact
from speechcls.audio.samples import PCM, Samples, to_pcm
from speechcls.config import EventSettings
from speechcls.errors import reason_of
from speechcls.journal import key_of_file
from speechcls.live.events import EventFolder, SavedEvent
from speechcls.runtime.detection import Event
from speechcls.storage.places import is_address, name_of

CONTEXT_S = 1.0
"""Sound before and after a word that is kept with it."""
_UNDECIDED_S = 30.0
"""How long an event may stay undecided, beside the settings, so that its sound is still there."""


class _Pending(NamedTuple):
    """An event whose sound may not be there to its end."""

    event: Event
    skipped_s: float
    """What its times in the source are later than those in the stream."""


class EventRecorder:
    """Keeps each event of successive streams in a folder, with the sound around it.

    What cannot be written is reported, and detection goes on: the next event is tried again.

    Parameters
    ----------
    folder : where events are kept
    artifact : the model that detects, at whose sample rate the sound comes
    settings : how its posteriors become events
    on_error : called with a message about the first of successive events that were not kept

    Raises
    ------
    DatasetError
        When the folder holds other events than speechcls writes.

    Attributes
    ----------
    n_kept, n_known, n_failed : events that were kept, were in the folder before, or are not kept
    """

    def __init__(
        self,
        folder: Path,
        artifact: Artifact,
        settings: EventSettings,
        on_error: Callable[[str], None],
    ) -> None:
        self._folder, self._model, self._on_error = EventFolder(folder), artifact.path, on_error
        self._rate = artifact.features.sample_rate
        delay_s = settings.smoothing_s + settings.refractory_s + artifact.features.duration_s
        self._n_ring = round((_UNDECIDED_S + delay_s + 2 * CONTEXT_S) * self._rate)
        self.n_kept = self.n_known = self.n_failed = 0
        self._is_failing = False
        self.start("")

    def start(self, source: str, is_file: bool = False) -> None:
        """Begin with another stream.

        Parameters
        ----------
        source : path or address of the recording, or what is listened to
        is_file : whether it is a recording, of which each word is kept once
        """
        is_file = is_file and not is_address(source)
        self._source = str(Path(source).absolute()) if is_file else source
        self._source_time_ns = key_of_file(source)[2] if is_file else None
        self._pieces: deque[PCM] = deque()
        self._first = self._end = 0  # samples of the stream that the ring holds
        self._pending: list[_Pending] = []

    def push(self, samples: Samples, events: Sequence[Event], skipped_s: float = 0.0) -> None:
        """Take the next samples (n,) of the stream, and the events that they completed.

        Parameters
        ----------
        skipped_s : duration of lost sound that times in the source include and the stream lacks
        """
        self._pieces.append(to_pcm(samples))
        self._end += len(samples)
        self._pending += [_Pending(event, skipped_s) for event in events]
        self._save(self._end)
        while self._pieces and self._first + len(self._pieces[0]) <= self._end - self._n_ring:
            self._first += len(self._pieces.popleft())

    def finish(self, events: Sequence[Event], skipped_s: float = 0.0) -> None:
        """Keep what is pending, and the last events, with the sound that there is."""
        self._pending += [_Pending(event, skipped_s) for event in events]
        self._save(None)
        self.start("")

    def _save(self, end: int | None) -> None:
        """Keep the pending events whose sound ends before ``end``; None: all of them."""
        waiting, self._pending = self._pending, []
        for pending in waiting:
            last = self._at(pending.event.end_s + CONTEXT_S)
            if end is not None and last > end:
                self._pending.append(pending)
            else:
                self._keep(pending, last)

    def _at(self, time_s: float) -> int:
        return max(0, round(time_s * self._rate))

    def _keep(self, pending: _Pending, last: int) -> None:
        """Write an event, or report why not."""
        event, word_first = pending.event, self._at(pending.event.start_s)
        first = max(self._at(event.start_s - CONTEXT_S), self._first)
        saved = SavedEvent(
            file="0.wav",
            source=self._source,
            source_time_ns=self._source_time_ns,
            start_s=round(event.start_s + pending.skipped_s, 3),
            end_s=round(event.end_s + pending.skipped_s, 3),
            clip_start_s=round(max(0, word_first - first) / self._rate, 3),
            clip_end_s=round(max(0, self._at(event.end_s) - first) / self._rate, 3),
            label=event.label,
            probability=round(event.probability, 6),
            model=name_of(self._model),
            time="",
        )
        if self._folder.find(saved):
            self.n_known += 1
            return
        samples = self._cut(first, last)
        if word_first < self._first or not len(samples):
            self._fail(saved, "it was decided too late, when its sound was no longer there")
            return
        try:
            self._folder.add(saved, samples, self._rate)
        except OSError as error:
            self._fail(saved, reason_of(error))
        else:
            self.n_kept += 1
            self._is_failing = False

    def _cut(self, first: int, last: int) -> PCM:
        """Return the samples (n,) of the ring from ``first`` to before ``last`` of the stream."""
        parts, at = [np.empty(0, dtype=np.int16)], self._first
        for piece in self._pieces:
            parts.append(piece[max(0, first - at) : max(0, last - at)])
            at += len(piece)
        return np.concatenate(parts)

    def _fail(self, event: SavedEvent, reason: str) -> None:
        self.n_failed += 1
        if not self._is_failing:
            self._on_error(
                f"{self._folder.path}: {event.label} at {event.start_s:.2f} s of {event.source} is"
                f" not kept ({reason}); detection goes on"
            )
        self._is_failing = True
