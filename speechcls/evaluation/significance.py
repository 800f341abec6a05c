"""Whether two models differ: McNemar's exact test, paired bootstrap over speakers, Holm."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from speechcls.evaluation.metrics import Right, interval_of, resample_accuracies

SIGNIFICANCE = 0.05


@dataclass(frozen=True)
class Contender:
    """A model, or several trainings of one architecture, among those that are compared."""

    name: str
    right: Right
    """(n_trainings, n_clips) whether a clip is right."""

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
    """Accuracy of the second minus that of the first."""
    low: float
    high: float
    """Bounds of its 95 % interval, for new speakers (and trainings) like these."""
    only_first: int | None
    """Clips that only the first gets right; None where either was trained several times."""
    only_second: int | None
    test: str
    """``mcnemar``, or ``bootstrap`` where either was trained several times."""
    p: float
    """The p-value: probability of such a difference or a larger one, either way, by chance."""
    p_adjusted: float
    """The p-value corrected for the number of pairs (Holm)."""

    @property
    def is_significant(self) -> bool:
        """Whether the difference is significant, by the test and by the interval."""
        return self.p_adjusted < SIGNIFICANCE and not self.low <= 0 <= self.high

    @property
    def verdict(self) -> str:
        """Whether one of the two is better, in words."""
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

    Of the clips that only one of two models gets right, under the null hypothesis each model wins
    half.

    Source
    ------
    McNemar 1947; Gillick & Cox 1989 for speech recognisers.
    """
    n = only_first + only_second
    # Integers, so that no tail is rounded to 0.
    tail = sum(math.comb(n, k) for k in range(min(only_first, only_second) + 1))
    return float(min(1.0, 2 * tail / 2**n))


def holm_adjust(p: Sequence[float]) -> list[float]:
    """Return p-values corrected for how many there are.

    Source
    ------
    Holm 1979, step-down.
    """
    adjusted, largest = [1.0] * len(p), 0.0
    for rank, i in enumerate(sorted(range(len(p)), key=lambda i: p[i])):
        largest = max(largest, min(1.0, (len(p) - rank) * p[i]))
        adjusted[i] = largest
    return adjusted


def compare(contenders: Sequence[Contender], speakers: Sequence[str]) -> Comparison:
    """Return the accuracies, their intervals, and whether each pair differs.

    Parameters
    ----------
    contenders : two or more, on the same clips
    speakers : (n_clips,) the speaker of each clip, empty where not known
    """
    drawn = resample_accuracies([contender.right for contender in contenders], speakers)
    numbers = list(itertools.combinations(range(len(contenders)), 2))
    p = [_p_value(contenders[i], contenders[j], drawn[:, j] - drawn[:, i]) for i, j in numbers]
    pairs = []
    for (i, j), own, adjusted in zip(numbers, p, holm_adjust(p), strict=True):
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
    intervals = tuple(
        interval_of(accuracies, contender.accuracy, len(speakers))
        for accuracies, contender in zip(drawn.T, contenders, strict=True)
    )
    return Comparison(tuple(contenders), intervals, tuple(pairs))


def _discordant(first: Contender, second: Contender) -> tuple[int, int] | None:
    """Return how many clips only one of two models gets right; None for several trainings."""
    if len(first.right) > 1 or len(second.right) > 1:
        return None
    a, b = first.right[0], second.right[0]
    return int((a & ~b).sum()), int((b & ~a).sum())


def _p_value(first: Contender, second: Contender, differences: npt.NDArray[np.float64]) -> float:
    if counts := _discordant(first, second):
        return mcnemar(*counts)
    # One is added, since no number of draws proves a probability of 0.
    below, above = 1 + int((differences <= 0).sum()), 1 + int((differences >= 0).sum())
    return min(1.0, 2 * min(below, above) / (1 + len(differences)))


def agreement_chance(counts: Sequence[int], n_drawn: int, n_agree: int) -> float:
    """Return how likely random clips agree on a label so much: any label ``n_agree`` times or more.

    Parameters
    ----------
    counts : clips of each label, of which ``n_drawn`` are drawn without replacement

    Notes
    -----
    Exact: the draws without such a label are the coefficient of x ** ``n_drawn`` in the product
    over labels of the sum of C(count, i) x ** i over i < ``n_agree``.
    """
    ways = [1] + [0] * n_drawn
    for count in counts:
        own = [math.comb(count, i) for i in range(min(n_agree, n_drawn + 1))]
        ways = [
            sum(ways[n - i] * each for i, each in enumerate(own) if i <= n)
            for n in range(n_drawn + 1)
        ]
    total = math.comb(sum(counts), n_drawn)
    return (total - ways[n_drawn]) / total
