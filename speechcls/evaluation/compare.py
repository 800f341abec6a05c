"""The predictions of several models on clips that no model was trained on."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from speechcls.artifact.store import load_split
from speechcls.audio.samples import Samples
from speechcls.data.clips import describe_notes
from speechcls.data.packing import make_reader
from speechcls.data.splits import split_of_digests
from speechcls.errors import ConfigError, DatasetError
from speechcls.evaluation.held_out import (
    NEW,
    SilentExamples,
    check_labels,
    classify_dataset,
    describe_scored,
    prefer_test,
    silent_examples,
    split_in_training,
)
from speechcls.evaluation.metrics import Labels, Right
from speechcls.journal import Journal
from speechcls.labels import map_label
from speechcls.layouts.examples import Dataset, Example
from speechcls.runtime.classifier import Classifier

_HELD_OUT = (NEW, "test", "validation")
"""Splits of clips that a model was not trained on, the least biased first."""


_Known = tuple[str, tuple[str, ...]]
"""Split of a clip in the trainings, and what was mended in reading it."""


@dataclass(frozen=True)
class JointPredictions:
    """The predictions of several models on the same clips."""

    labels: tuple[str, ...]
    examples: tuple[Example, ...]
    truth: Labels
    """(n_clips,) indices into ``labels``."""
    predicted: Labels
    """(n_models, n_clips)."""
    scored: str
    """The clips, in words."""
    caveat: str
    """Why the scores may be optimistically biased; empty if they are not."""
    bad: tuple[str, ...]
    """One line for each clip that could not be read."""
    notes: tuple[str, ...] = ()
    """One line for each thing that was mended in reading clips."""

    @property
    def speakers(self) -> list[str]:
        """The speaker of each clip, empty where not known."""
        return [example.speaker or "" for example in self.examples]

    @property
    def right(self) -> Right:
        """(n_models, n_clips) whether a model's prediction is the truth."""
        return np.asarray(self.predicted == self.truth)


def predict_held_out(
    classifiers: Sequence[Classifier],
    dataset: Dataset,
    on_clip: Callable[[], None] = lambda: None,
    journal: Journal | None = None,
) -> JointPredictions:
    """Return the predictions of models on the clips that are held out for all of them.

    Where there are no test clips, those that validated the models count as well. A clip is
    recognised by its samples, whatever its name.

    Parameters
    ----------
    on_clip : called after each clip
    journal : of the clips that are done, to go on with

    Raises
    ------
    ConfigError
        When the models do not have the same labels.
    DatasetError
        When they have no label for a word and no ``_unknown_``, or no clip is held out for all.
    ArtifactError
        When the split of a model cannot be read.
    """
    first = classifiers[0]
    _check_same_labels(classifiers)
    check_labels(dataset, first.labels)
    silent = _common_silence(classifiers, dataset)
    choose = _make_choose(classifiers, dataset)
    found, bad = classify_dataset(classifiers, dataset, silent, choose, _restore, on_clip, journal)
    # Indices of the first model's labels for each label of each model.
    renumber = [np.array([first.labels.index(label) for label in c.labels]) for c in classifiers]
    kept: list[tuple[Example, str, tuple[str, ...], list[int]]] = []
    for example, outcome in found:
        rows = zip(renumber, outcome.probabilities, strict=True)
        kept.append((example, *outcome.kept, [int(n[row.argmax()]) for n, row in rows]))
    kept = prefer_test(kept, lambda row: row[:2])
    if not kept:
        raise DatasetError(
            f"{dataset.source}: no clip is held out for all {len(classifiers)} models; train them"
            " on the same split, or compare them on other data"
        )
    examples, splits, notes, predicted = zip(*kept, strict=True)
    truth = [str(map_label(example.label, first.labels)) for example in examples]
    return JointPredictions(
        first.labels,
        examples,
        np.array([first.labels.index(label) for label in truth]),
        np.array(predicted).T,
        *describe_scored(splits, [example.speaker or "" for example in examples]),
        tuple(bad),
        tuple(describe_notes(examples, notes)),
    )


def _restore(kept: list[Any]) -> _Known:
    split, notes = kept
    return split, tuple(notes)


def _check_same_labels(classifiers: Sequence[Classifier]) -> None:
    first, *others = classifiers
    for other in others:
        if differing := sorted(set(first.labels) ^ set(other.labels)):
            raise ConfigError(
                f"{other.artifact.path}: has other labels than {first.artifact.path}"
                f" ({', '.join(differing[:5])}); compare models of the same labels"
            )


def _common_silence(classifiers: Sequence[Classifier], dataset: Dataset) -> SilentExamples:
    """Return the cuts of background noise that all models would be tested on."""
    of_models = [silent_examples(classifier, dataset) for classifier in classifiers]
    common = set(of_models[0].examples).intersection(*(each.examples for each in of_models))
    return SilentExamples(
        [example for example in of_models[0].examples if example in common],
        list(dict.fromkeys(line for each in of_models for line in each.bad)),
    )


def _make_choose(
    classifiers: Sequence[Classifier], dataset: Dataset
) -> Callable[[Example], tuple[_Known, list[Samples]] | None]:
    """Return a function that reads a clip: its split, what was mended in reading, and its windows.

    It returns None for a clip that a model trained on.
    """
    known = [split_of_digests(load_split(classifier.artifact)) for classifier in classifiers]
    rates = {classifier.sample_rate for classifier in classifiers}
    readers = {rate: make_reader(dataset.root, rate) for rate in rates}

    def choose(example: Example) -> tuple[_Known, list[Samples]] | None:
        clips = {rate: read(example) for rate, read in readers.items()}
        splits = [
            split_in_training(clips[classifier.sample_rate].digest, example, each)
            for classifier, each in zip(classifiers, known, strict=True)
        ]
        if not set(splits) <= set(_HELD_OUT):
            return None
        windows = [c.window(clips[c.sample_rate].samples).samples for c in classifiers]
        notes = clips[classifiers[0].sample_rate].notes
        return (max(splits, key=_HELD_OUT.index), notes), windows

    return choose
