"""How good predictions are: plain functions of truth and prediction."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Labels = npt.NDArray[np.int64]

N_RESAMPLES = 2_000
"""Bootstrap samples of an interval."""


@dataclass(frozen=True)
class LabelScore:
    """How well one label is recognised; all figures are 0 where nothing can be counted."""

    precision: float
    """Share of the clips answered with the label that are it."""
    recall: float
    """Share of the label's clips that are answered with it."""
    f1: float
    """Harmonic mean of both."""
    n_clips: int


@dataclass(frozen=True)
class Scores:
    """Everything ``evaluate`` says of a set of predictions."""

    labels: tuple[str, ...]
    n_clips: int
    n_speakers: int
    """0 where speakers are not known."""
    accuracy: float
    accuracy_low: float
    accuracy_high: float
    """Bounds of the 95 % interval."""
    macro_f1: float
    """Mean F1 of the labels that occur in the truth."""
    per_label: tuple[LabelScore, ...]
    confusion: Labels
    """(n_labels, n_labels); rows truth, columns prediction."""

    def most_confused(self, n_pairs: int = 10) -> list[tuple[str, str, int]]:
        """Return truth, prediction and count of the mistakes made most often."""
        wrong = self.confusion - np.diag(np.diag(self.confusion))
        order = np.argsort(-wrong, axis=None, kind="stable")[:n_pairs]
        pairs = [(int(i) // len(self.labels), int(i) % len(self.labels)) for i in order]
        return [(self.labels[t], self.labels[p], int(wrong[t, p])) for t, p in pairs if wrong[t, p]]

    def to_dict(self) -> dict[str, Any]:
        """Return the scores as JSON-ready values."""
        return {
            "n_clips": self.n_clips,
            "n_speakers": self.n_speakers,
            "accuracy": self.accuracy,
            "accuracy_low": self.accuracy_low,
            "accuracy_high": self.accuracy_high,
            "macro_f1": self.macro_f1,
            "labels": list(self.labels),
            "per_label": {
                label: {
                    "precision": score.precision,
                    "recall": score.recall,
                    "f1": score.f1,
                    "n_clips": score.n_clips,
                }
                for label, score in zip(self.labels, self.per_label, strict=True)
            },
            "confusion": self.confusion.tolist(),
            "most_confused": [
                {"truth": truth, "predicted": predicted, "n_clips": n}
                for truth, predicted, n in self.most_confused()
            ],
        }


def score(
    truth: Labels, predicted: Labels, labels: Sequence[str], speakers: Sequence[str]
) -> Scores:
    """Return the scores of predictions.

    Parameters
    ----------
    truth, predicted : (n_clips,) indices into ``labels``; at least one clip
    speakers : (n_clips,) the speaker of each clip, empty where not known
    """
    from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

    every = np.arange(len(labels))
    confusion = confusion_matrix(truth, predicted, labels=every).astype(np.int64)
    columns = precision_recall_fscore_support(truth, predicted, labels=every, zero_division=0.0)
    per_label = tuple(
        LabelScore(float(p), float(r), float(f), int(n))
        for p, r, f, n in zip(*columns, strict=True)
    )
    is_right = truth == predicted
    low, high = bootstrap_interval(is_right, speakers)
    return Scores(
        labels=tuple(labels),
        n_clips=len(truth),
        n_speakers=len(set(speakers) - {""}),
        accuracy=float(is_right.mean()),
        accuracy_low=low,
        accuracy_high=high,
        macro_f1=float(np.mean([s.f1 for s in per_label if s.n_clips])),
        per_label=per_label,
        confusion=confusion,
    )


def bootstrap_interval(
    is_right: npt.NDArray[np.bool_], speakers: Sequence[str], seed: int = 0
) -> tuple[float, float]:
    """Return the 95 % interval of the accuracy, for new speakers like these.

    Speakers are drawn with replacement, all clips of one together, since clips of one person are
    right or wrong together; a clip without a speaker counts as one of its own, and so do those of a
    single speaker, where the interval is for new clips of that one. It is never narrower than
    Wilson's, which takes all clips for independent: where nearly all are right, drawing them again
    tells little.

    Source
    ------
    Percentile bootstrap over clusters: Efron & Tibshirani 1993; Bisani & Ney 2004 for speech.
    """
    group = group_clips(speakers)
    n_clips = np.bincount(group).astype(np.float64)
    n_right = np.bincount(group, weights=is_right)
    generator = np.random.default_rng(seed)
    shares = []
    for _ in range(N_RESAMPLES):
        drawn = generator.integers(len(n_clips), size=len(n_clips))
        shares.append(n_right[drawn].sum() / n_clips[drawn].sum())
    low, high = np.percentile(shares, [2.5, 97.5])
    return widen(float(low), float(high), float(is_right.mean()), len(is_right))


def widen(low: float, high: float, share: float, n: int) -> tuple[float, float]:
    """Return the interval of a share of ``n`` clips, widened to Wilson's."""
    least, most = wilson_interval(share * n, n)
    return min(low, float(least)), max(high, float(most))


def is_of_one_speaker(speakers: Sequence[str]) -> bool:
    """Whether one speaker is named, for most clips; silence, which nobody speaks, has none."""
    named = [speaker for speaker in speakers if speaker]
    return len(set(named)) == 1 and 2 * len(named) > len(speakers)


def group_clips(speakers: Sequence[str]) -> Labels:
    """Return (n_clips,) which clips are drawn together: those of one speaker, if there are two."""
    is_one = is_of_one_speaker(speakers)
    groups = [f"\0{i}" if is_one or not speaker else speaker for i, speaker in enumerate(speakers)]
    _, group = np.unique(groups, return_inverse=True)
    return np.asarray(group, dtype=np.int64)


def wilson_interval(n_right: Any, n: Any) -> tuple[Any, Any]:
    """Return the 95 % interval of the share of ``n_right`` in ``n``, numbers or arrays alike.

    It stays in [0, 1] and makes sense for few clips and shares of 0 or 1; NaN where ``n`` is 0. It
    takes the clips for independent of each other.

    Source
    ------
    Wilson 1927, "Probable inference, the law of succession, and statistical inference"; without
    continuity correction, checked against ``scipy.stats`` in the tests.
    """
    z = 1.959963984540054  # of the normal distribution, 95 % lie within
    n = np.where(np.asarray(n) > 0, n, np.nan)
    share = n_right / n
    middle = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return np.clip(middle - half, 0, 1), np.clip(middle + half, 0, 1)
