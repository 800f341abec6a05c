"""Models side by side on the same clips, and what of their difference may be luck."""

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from speechcls.artifact import load_split
from speechcls.classifier import Classifier
from speechcls.dataset import Dataset, Example
from speechcls.errors import ConfigError, DatasetError, SpeechclsError
from speechcls.evaluation import (
    NEW,
    check_labels,
    choose_window,
    describe_scored,
    is_tested,
    read_pcm,
    silent_examples,
)
from speechcls.metrics import N_RESAMPLES, Labels, group_clips, widen
from speechcls.readahead import work_ahead
from speechcls.splits import UNUSED, map_label

Right = npt.NDArray[np.bool_]
SIGNIFICANCE = 0.05
_HELD_OUT = (NEW, "test", "validation")
"""What clips were to a model that was not trained on them, the fairest first."""


@dataclass(frozen=True)
class Answers:
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


@dataclass(frozen=True)
class Contender:
    """A model, or several trainings of one architecture, among those that are compared."""

    name: str
    right: Right
    """(n_runs, n_clips), a row a training."""

    @property
    def accuracy(self) -> float:
        """Mean over trainings."""
        return float(self.right.mean())


@dataclass(frozen=True)
class Pair:
    """Two contenders on the same clips."""

    first: str
    second: str
    difference: float
    """Accuracy of the second less that of the first."""
    low: float
    high: float
    """Bounds of its 95 % interval, for new speakers (and trainings) like these."""
    only_first: int | None
    """Clips that only the first gets right; None where either was trained several times."""
    only_second: int | None
    test: str
    """``mcnemar``, or ``bootstrap`` where either was trained several times."""
    p: float
    """How often chance alone would make such a difference, or a larger one, either way."""
    p_adjusted: float
    """The same, made larger for the number of pairs that were looked at (Holm)."""

    @property
    def is_significant(self) -> bool:
        """Whether it is hardly luck, by the test and by the interval."""
        return self.p_adjusted < SIGNIFICANCE and not self.low <= 0 <= self.high

    @property
    def verdict(self) -> str:
        """The same in words."""
        if not self.is_significant:
            return "may be luck"
        return f"{self.second if self.difference > 0 else self.first} is better"


@dataclass(frozen=True)
class Comparison:
    """All contenders and pairs."""

    contenders: tuple[Contender, ...]
    intervals: tuple[tuple[float, float], ...]
    """Bounds of the 95 % interval of each contender's accuracy."""
    pairs: tuple[Pair, ...]


def mcnemar(only_first: int, only_second: int) -> float:
    """Return the two-sided p of McNemar's exact test.

    Of the clips that just one of two models gets right, either has half if they are equally good.

    Source
    ------
    McNemar 1947; Gillick & Cox 1989 for speech recognisers.
    """
    n = only_first + only_second
    # Whole numbers, so that no tail is rounded away.
    tail = sum(math.comb(n, k) for k in range(min(only_first, only_second) + 1))
    return float(min(1.0, 2 * tail / 2**n))


def adjust(p: Sequence[float]) -> list[float]:
    """Return p-values made larger for how many there are.

    Source
    ------
    Holm 1979, step-down.
    """
    adjusted, largest = [1.0] * len(p), 0.0
    for rank, i in enumerate(sorted(range(len(p)), key=lambda i: p[i])):
        largest = max(largest, min(1.0, (len(p) - rank) * p[i]))
        adjusted[i] = largest
    return adjusted


def bootstrap(
    contenders: Sequence[Contender], speakers: Sequence[str], seed: int = 0
) -> npt.NDArray[np.float64]:
    """Return accuracies (n_resamples, n_contenders) on clips of speakers drawn again.

    All contenders hear the same draw, so that their differences are paired. Clips of one speaker
    are drawn together (``metrics.group_clips``). Of several trainings as many
    are drawn again, for another seed would have given others.

    Source
    ------
    Efron & Tibshirani 1993; Bisani & Ney 2004 for differences between speech recognisers.
    """
    group = group_clips(speakers)
    n_clips = np.bincount(group).astype(np.float64)
    n_right = [
        np.stack([np.bincount(group, weights=run) for run in contender.right])
        for contender in contenders
    ]  # each (n_runs, n_speakers)
    of_speakers, of_runs = np.random.default_rng(seed), np.random.default_rng(seed + 1)
    accuracies = np.empty((N_RESAMPLES, len(contenders)))
    for i in range(N_RESAMPLES):
        drawn = of_speakers.integers(len(n_clips), size=len(n_clips))
        total = n_clips[drawn].sum()
        for j, counts in enumerate(n_right):
            runs = of_runs.integers(len(counts), size=len(counts)) if len(counts) > 1 else [0]
            accuracies[i, j] = counts[runs][:, drawn].sum() / (total * len(counts))
    return accuracies


def compare(contenders: Sequence[Contender], speakers: Sequence[str]) -> Comparison:
    """Return how the contenders do against each other.

    Parameters
    ----------
    contenders : two or more, on the same clips
    speakers : (n_clips,) the speaker of each clip, empty where not known
    """
    drawn = bootstrap(contenders, speakers)
    numbers = list(itertools.combinations(range(len(contenders)), 2))
    p = [_p(contenders[i], contenders[j], drawn[:, j] - drawn[:, i]) for i, j in numbers]
    pairs = []
    for (i, j), own, adjusted in zip(numbers, p, adjust(p), strict=True):
        first, second = contenders[i], contenders[j]
        low, high = np.percentile(drawn[:, j] - drawn[:, i], [2.5, 97.5])
        counts = _discordant(first, second)
        pairs.append(
            Pair(
                first.name,
                second.name,
                second.accuracy - first.accuracy,
                float(low),
                float(high),
                counts[0] if counts else None,
                counts[1] if counts else None,
                "mcnemar" if counts else "bootstrap",
                own,
                adjusted,
            )
        )
    bounds = np.percentile(drawn, [2.5, 97.5], axis=0).T
    intervals = tuple(
        widen(float(low), float(high), contender.accuracy, len(speakers))
        for (low, high), contender in zip(bounds, contenders, strict=True)
    )
    return Comparison(tuple(contenders), intervals, tuple(pairs))


def _discordant(first: Contender, second: Contender) -> tuple[int, int] | None:
    """Return how many clips only one of two models gets right; None for several trainings."""
    if len(first.right) > 1 or len(second.right) > 1:
        return None
    a, b = first.right[0], second.right[0]
    return int((a & ~b).sum()), int((b & ~a).sum())


def _p(first: Contender, second: Contender, differences: npt.NDArray[np.float64]) -> float:
    if counts := _discordant(first, second):
        return mcnemar(*counts)
    # One is added, since no number of draws proves that something never happens.
    below, above = 1 + int((differences <= 0).sum()), 1 + int((differences >= 0).sum())
    return min(1.0, 2 * min(below, above) / (1 + len(differences)))


def answer(
    classifiers: Sequence[Classifier], dataset: Dataset, on_clip: Callable[[], None] = lambda: None
) -> Answers:
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
    known = [_splits_by_digest(classifier) for classifier in classifiers]
    examples = dataset.examples + _common_silence(classifiers, dataset)
    # Indices of the first model's labels for each label of each model.
    renumber = [np.array([first.labels.index(label) for label in c.labels]) for c in classifiers]
    bad = list(dataset.problems)
    kept: list[tuple[Example, str, list[int]]] = []

    def work(batch: list[Example]) -> list[tuple[str, list[int]] | SpeechclsError | None]:
        return _run(classifiers, known, renumber, batch)

    outcomes = work_ahead(examples, work, first.jobs, first.batch_size)
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
    return Answers(
        first.labels,
        tuple(example for example, _, _ in kept),
        np.array([first.labels.index(label) for label in truth]),
        np.array([predicted for _, _, predicted in kept]).T,
        *describe_scored([split for _, split, _ in kept], speakers),
        tuple(bad),
    )


def _splits_by_digest(classifier: Classifier) -> dict[str, str]:
    # An unused clip is a copy of a held-out one, whose split counts.
    rows = sorted(load_split(classifier.artifact), key=lambda row: row.split != UNUSED)
    return {row.digest: row.split for row in rows}


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
