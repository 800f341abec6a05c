"""Whether two models differ: McNemar's exact test, paired bootstrap over speakers, Holm."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from speechcls.evaluation.metrics import N_RESAMPLES, group_clips, widen

Right = npt.NDArray[np.bool_]
SIGNIFICANCE = 0.05


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
