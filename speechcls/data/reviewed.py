"""Clips made of the events that somebody has judged, to train on a model's mistakes."""

import dataclasses
from pathlib import Path

from speechcls.errors import DatasetError
from speechcls.labels import SILENCE, UNKNOWN
from speechcls.layouts.examples import Dataset, Example
from speechcls.live.events import RIGHT, EventFolder

MISTAKE_REPEATS = 10
"""How often a mistake is drawn where another clip is drawn once: there are few of them."""
_MARGIN_S = 0.25
"""Sound before and after the word, whose place is known about so well."""


def add_reviewed(dataset: Dataset, folder: Path) -> Dataset:
    """Return a data set with the judged events of a folder as further training clips.

    What was said is a clip of its label, if the data set has it; anything else is one of
    ``_unknown_``. Words that were detected rightly count as other clips do, mistakes more.

    Raises
    ------
    DatasetError
        When no event in the folder is judged, or its files cannot be read.
    """
    kept = EventFolder(folder)
    labels = {example.label for example in dataset.examples} | {*dataset.empty_labels}
    labels |= {SILENCE} if dataset.noise else set()
    clips = []
    for file, verdict in kept.verdicts.items():
        event, said = kept.events[file], kept.said(kept.events[file])
        is_detected = verdict.verdict == RIGHT and event.probability is not None
        clips.append(
            Example(
                kept.wav(event),
                said if said in labels else UNKNOWN,
                split="train",
                start_s=max(0.0, event.clip_start_s - _MARGIN_S),
                end_s=event.clip_end_s + _MARGIN_S,
                is_reviewed=True,
                repeats=1 if is_detected and said in labels else MISTAKE_REPEATS,
            )
        )
    if not clips:
        raise DatasetError(f"{folder}: no judged event in it; review it first", field="mistakes")
    notes = [*dataset.notes]
    if unjudged := kept.unjudged():
        notes.append(f"{folder}: {len(unjudged)} events are not judged, and not used")
    return dataclasses.replace(dataset, examples=dataset.examples + clips, notes=notes)
