"""Models side by side on the same clips, and what of their difference may be luck."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from speechcls.data.examples import Dataset, Example
from speechcls.errors import ConfigError, DatasetError, SpeechclsError
from speechcls.evaluation.held_out import (
    NEW,
    check_labels,
    choose_window,
    describe_scored,
    is_tested,
    read_pcm,
    silent_examples,
    split_of_digests,
)
from speechcls.evaluation.metrics import Labels
from speechcls.evaluation.significance import Right
from speechcls.labels import map_label
from speechcls.parallel import map_batches
from speechcls.runtime.classifier import Classifier

_HELD_OUT = (NEW, "test", "validation")
"""What clips were to a model that was not trained on them, the fairest first."""


@dataclass(frozen=True)
class JointPredictions:
    """What several models said of the same clips, none of which trained any of them."""

    labels: tuple[str, ...]
    examples: tuple[Example, ...]
    truth: Labels
    """(n_clips,) indices into ``labels``."""
    predicted: Labels
    """(n_models, n_clips)."""
    scored: str
    """The clips, in words."""
    caveat: str
    """Why the figures may flatter; empty if they do not."""
    bad: tuple[str, ...]
    """One line for each clip that could not be read."""

    @property
    def speakers(self) -> list[str]:
        """The speaker of each clip, empty where not known."""
        return [example.speaker or "" for example in self.examples]

    @property
    def right(self) -> Right:
        """(n_models, n_clips) whether a model's answer is the truth."""
        return np.asarray(self.predicted == self.truth)


def answer(
    classifiers: Sequence[Classifier], dataset: Dataset, on_clip: Callable[[], None] = lambda: None
) -> JointPredictions:
    """Return what models say of the clips that all of them were tested on or never saw.

    Where there are no test clips, those that validated the models count as well. A clip is
    recognised by its samples, whatever its name.

    Parameters
    ----------
    on_clip : called after each clip

    Raises
    ------
    ConfigError
        When the models do not tell the same labels apart.
    DatasetError
        When they do not know a label, or no clip is held out for all of them.
    """
    first = classifiers[0]
    for other in classifiers[1:]:
        if apart := sorted(set(first.labels) ^ set(other.labels)):
            raise ConfigError(
                f"{other.artifact.path}: tells other labels apart than {first.artifact.path}"
                f" ({', '.join(apart[:5])}); compare models of the same labels"
            )
    check_labels(dataset, {example.label for example in dataset.examples}, first.labels)
    known = [split_of_digests(classifier) for classifier in classifiers]
    examples = dataset.examples + _common_silence(classifiers, dataset)
    # Indices of the first model's labels for each label of each model.
    renumber = [np.array([first.labels.index(label) for label in c.labels]) for c in classifiers]
    bad = list(dataset.problems)
    kept: list[tuple[Example, str, list[int]]] = []

    def work(batch: list[Example]) -> list[tuple[str, list[int]] | SpeechclsError | None]:
        return _run(classifiers, known, renumber, batch)

    outcomes = map_batches(examples, work, first.jobs, first.batch_size)
    for example, outcome in zip(examples, itertools.chain.from_iterable(outcomes), strict=True):
        if isinstance(outcome, SpeechclsError):
            bad.append(str(outcome))
        elif outcome is not None:
            kept.append((example, *outcome))
        on_clip()
    if any(is_tested(example, split) for example, split, _ in kept):
        kept = [row for row in kept if row[1] != "validation"]
    if not kept:
        raise DatasetError(
            f"{dataset.source}: no clip is held out for all {len(classifiers)} models; train them"
            " on the same split, or compare them on other data"
        )
    speakers = [example.speaker or "" for example, _, _ in kept]
    truth = [str(map_label(example.label, first.labels)) for example, _, _ in kept]
    return JointPredictions(
        first.labels,
        tuple(example for example, _, _ in kept),
        np.array([first.labels.index(label) for label in truth]),
        np.array([predicted for _, _, predicted in kept]).T,
        *describe_scored([split for _, split, _ in kept], speakers),
        tuple(bad),
    )


def _common_silence(classifiers: Sequence[Classifier], dataset: Dataset) -> list[Example]:
    """Return the cuts of background noise that all models would be tested on."""
    first, *others = (silent_examples(classifier, dataset) for classifier in classifiers)
    common = set(first).intersection(*others)
    return [example for example in first if example in common]


def _run(
    classifiers: Sequence[Classifier],
    known: Sequence[dict[str, str]],
    renumber: Sequence[Labels],
    batch: Sequence[Example],
) -> list[tuple[str, list[int]] | SpeechclsError | None]:
    """Return the split and each model's answer to each clip; None for what one was trained on."""
    outcomes: list[tuple[str, list[int]] | SpeechclsError | None] = []
    windows, wanted = [], set(_HELD_OUT)
    rates = {classifier.sample_rate for classifier in classifiers}
    for example in batch:
        pcm = {rate: read_pcm(example, rate) for rate in rates}
        read = [
            choose_window(pcm[classifier.sample_rate], example, classifier, splits, wanted)
            for classifier, splits in zip(classifiers, known, strict=True)
        ]
        heard = [outcome for outcome in read if isinstance(outcome, tuple)]
        if error := next((r for r in read if isinstance(r, SpeechclsError)), None):
            outcomes.append(error)
        elif len(heard) < len(read):
            outcomes.append(None)
        else:
            windows.append([window.samples for window, _ in heard])
            split = max((split for _, split in heard), key=_HELD_OUT.index)
            outcomes.append((split, []))
    if windows:
        answers = [
            numbers[classifier.probabilities(np.stack(of_model)).argmax(axis=1)]
            for classifier, numbers, of_model in zip(
                classifiers, renumber, zip(*windows, strict=True), strict=True
            )
        ]
        rows = iter(np.array(answers).T.tolist())
        for outcome in outcomes:
            if isinstance(outcome, tuple):
                outcome[1].extend(next(rows))
    return outcomes
