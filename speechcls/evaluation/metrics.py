"""Accuracy, F1, confusion and their intervals: plain functions of truth and prediction."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from speechcls.labels import is_command

Labels = npt.NDArray[np.int64]
Right = npt.NDArray[np.bool_]
Recalls = npt.NDArray[np.float64]
"""(n_labels,) of each label; NaN for one that no clip has."""

N_RESAMPLES = 2_000
"""Bootstrap samples of an interval."""


@dataclass(frozen=True)
class LabelScore:
    """How well one label is recognised; every score is 0 where there is nothing to count."""

    precision: float
    """Of the clips predicted as the label, the ratio that have it."""
    recall: float
    """Of the clips that have the label, the ratio predicted as it."""
    f1: float
    """Harmonic mean of both."""
    n_clips: int


@dataclass(frozen=True)
class Scores:
    """The scores of a set of predictions."""

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

    @property
    def balanced_accuracy(self) -> float:
        """Mean recall of the labels that have clips."""
        return mean_recall(self._recalls())

    @property
    def command_recall(self) -> float | None:
        """Mean recall of the commands that have clips; see ``command_recall``."""
        return command_recall(self.labels, self._recalls())

    def _recalls(self) -> Recalls:
        return np.array([own.recall if own.n_clips else np.nan for own in self.per_label])

    def recalls_below(self, least: float) -> dict[str, float]:
        """Return the recall of each label that has clips and a lower one than ``least``."""
        pairs = zip(self.labels, self.per_label, strict=True)
        return {label: own.recall for label, own in pairs if own.n_clips and own.recall < least}

    def without_clips(self) -> list[str]:
        """Return the labels that no clip has, whose recall is not known."""
        pairs = zip(self.labels, self.per_label, strict=True)
        return [label for label, own in pairs if not own.n_clips]

    def never_predicted(self) -> list[str]:
        """Return the labels that no clip is predicted as."""
        counts = self.confusion.sum(axis=0)
        return [label for label, count in zip(self.labels, counts, strict=True) if not count]

    def most_confused(self, n_pairs: int = 10) -> list[tuple[str, str, int]]:
        """Return truth, prediction and count of the most frequent mistakes."""
        wrong = self.confusion - np.diag(np.diag(self.confusion))
        order = np.argsort(-wrong, axis=None, kind="stable")[:n_pairs]
        pairs = [(int(i) // len(self.labels), int(i) % len(self.labels)) for i in order]
        return [(self.labels[t], self.labels[p], int(wrong[t, p])) for t, p in pairs if wrong[t, p]]

    def never_recognised(self) -> list[str]:
        """Return the labels that have clips, none of which is predicted as such."""
        pairs = zip(self.labels, self.per_label, strict=True)
        return [label for label, own in pairs if own.n_clips and not own.recall]

    def only_answer(self) -> str | None:
        """Return the label that is predicted for every clip of several labels; None if several."""
        predicted = np.flatnonzero(self.confusion.sum(axis=0))
        n_labels = np.count_nonzero(self.confusion.sum(axis=1))
        return self.labels[int(predicted[0])] if len(predicted) == 1 < n_labels else None

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Scores":
        """Return the scores that ``to_dict`` has made ``values`` of."""
        same = ("n_clips", "n_speakers", "accuracy", "accuracy_low", "accuracy_high", "macro_f1")
        return cls(
            labels=tuple(values["labels"]),
            per_label=tuple(LabelScore(**values["per_label"][name]) for name in values["labels"]),
            confusion=np.array(values["confusion"], dtype=np.int64),
            **{name: values[name] for name in same},
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the scores as JSON-ready values."""
        return {
            "n_clips": self.n_clips,
            "n_speakers": self.n_speakers,
            "accuracy": self.accuracy,
            "accuracy_low": self.accuracy_low,
            "accuracy_high": self.accuracy_high,
            "balanced_accuracy": self.balanced_accuracy,
            "command_recall": self.command_recall,
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


def mean_recall(recalls: Recalls) -> float:
    """Return the mean recall of the labels that have clips, which is the balanced accuracy.

    A model that predicts one label for every clip has 1 / n_labels, however frequent that label is.

    Source
    ------
    Brodersen et al. 2010, The Balanced Accuracy and Its Posterior Distribution.
    """
    return float(np.nanmean(recalls))


def command_recall(labels: Sequence[str], recalls: Recalls) -> float | None:
    """Return the mean recall of the labels other than ``_unknown_`` and ``_silence_``.

    None where there is no such reserved label, since it is the balanced accuracy then, or no clip
    of another one.
    """
    of_commands = np.array([is_command(label) for label in labels])
    own = recalls[of_commands]
    return None if of_commands.all() or np.isnan(own).all() else mean_recall(own)


def worst_confusion(labels: Sequence[str], confusion: Labels) -> tuple[str, str, int] | None:
    """Return truth, prediction and count of the mistakes that cost the balanced accuracy most.

    These are not the most frequent ones: of a label with few clips each mistake counts for more.
    None where all clips are right.

    Parameters
    ----------
    confusion : (n_labels, n_labels); rows truth, columns prediction
    """
    wrong = confusion - np.diag(np.diag(confusion))
    lost = wrong / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    truth, prediction = np.unravel_index(int(lost.argmax()), lost.shape)
    n_clips = int(wrong[truth, prediction])
    return (labels[int(truth)], labels[int(prediction)], n_clips) if n_clips else None


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
    is_right: Right, speakers: Sequence[str], seed: int = 0
) -> tuple[float, float]:
    """Return the 95 % interval of the accuracy, for new speakers like these.

    It is never narrower than Wilson's, which takes all clips for independent: where nearly all are
    right, resampling says little. With a single speaker it is for new clips of that one.

    Parameters
    ----------
    is_right : (n_clips,) whether a clip is right
    speakers : (n_clips,) the speaker of each clip, empty where not known
    """
    [accuracies] = resample_accuracies([is_right[None]], speakers, seed).T
    return interval_of(accuracies, float(is_right.mean()), len(is_right))


def resample_accuracies(
    models: Sequence[Right], speakers: Sequence[str], seed: int = 0
) -> npt.NDArray[np.float64]:
    """Return accuracies (n_resamples, n_models) on clips of resampled speakers.

    Speakers are drawn with replacement, all clips of one together, since clips of one person are
    right or wrong together; a clip without a speaker counts as one of its own, and so do those of a
    single speaker. All models get the same draw, so that their differences are paired. Of several
    trainings as many are resampled, since another seed would have given others.

    Parameters
    ----------
    models : (n_trainings, n_clips) each, whether a clip is right
    speakers : (n_clips,) the speaker of each clip, empty where not known

    Source
    ------
    Percentile bootstrap over clusters: Efron & Tibshirani 1993; Bisani & Ney 2004 for speech
    recognisers and their differences.
    """
    group = group_clips(speakers)
    n_clips = np.bincount(group).astype(np.float64)
    n_right = [np.stack([np.bincount(group, weights=run) for run in runs]) for runs in models]
    of_speakers, of_runs = np.random.default_rng(seed), np.random.default_rng(seed + 1)
    accuracies = np.empty((N_RESAMPLES, len(models)))
    for i in range(N_RESAMPLES):
        drawn = of_speakers.integers(len(n_clips), size=len(n_clips))
        total = n_clips[drawn].sum()
        for j, counts in enumerate(n_right):  # (n_trainings, n_speakers)
            runs = of_runs.integers(len(counts), size=len(counts)) if len(counts) > 1 else [0]
            accuracies[i, j] = counts[runs][:, drawn].sum() / (total * len(counts))
    return accuracies


def interval_of(
    resampled: npt.NDArray[np.float64], accuracy: float, n_clips: int
) -> tuple[float, float]:
    """Return the 95 % interval of resampled accuracies (n_resamples,), no narrower than Wilson's.

    Parameters
    ----------
    accuracy : of the ``n_clips`` as they are
    """
    low, high = np.percentile(resampled, [2.5, 97.5])
    least, most = wilson_interval(accuracy * n_clips, n_clips)
    return min(float(low), float(least)), max(float(high), float(most))


def has_single_speaker(speakers: Sequence[str]) -> bool:
    """Return whether one speaker is named, for most clips; silence has no speaker."""
    named = [speaker for speaker in speakers if speaker]
    return len(set(named)) == 1 and 2 * len(named) > len(speakers)


def group_clips(speakers: Sequence[str]) -> Labels:
    """Return (n_clips,) the group of each clip: a speaker's clips, if there are two speakers."""
    is_one = has_single_speaker(speakers)
    groups = [f"\0{i}" if is_one or not speaker else speaker for i, speaker in enumerate(speakers)]
    _, group = np.unique(groups, return_inverse=True)
    return np.asarray(group, dtype=np.int64)


def wilson_interval(n_right: Any, n: Any) -> tuple[Any, Any]:
    """Return the 95 % interval of the ratio of ``n_right`` to ``n``, numbers or arrays.

    It stays in [0, 1] and makes sense for few clips and ratios of 0 or 1; NaN where ``n`` is 0. It
    takes the clips for independent of each other.

    Source
    ------
    Wilson 1927, "Probable inference, the law of succession, and statistical inference"; without
    continuity correction, checked against ``scipy.stats`` in the tests.
    """
    z = 1.959963984540054  # 95 % of the normal distribution lie within
    n = np.where(np.asarray(n) > 0, n, np.nan)
    ratio = n_right / n
    middle = (ratio + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(ratio * (1 - ratio) / n + z**2 / (4 * n**2))
    return np.clip(middle - half, 0, 1), np.clip(middle + half, 0, 1)


N_BINS = 15
"""Bins of the expected calibration error and of the reliability diagram, equally wide."""


@dataclass(frozen=True)
class ReliabilityBin:
    """The clips whose confidence, the probability of the predicted label, is in one bin."""

    low: float
    high: float
    """Bounds of the bin; the upper one belongs to it."""
    n_clips: int
    n_right: int
    confidence: float
    """Mean over the clips."""

    @property
    def gap(self) -> float:
        """Distance of the mean confidence from the accuracy."""
        return abs(self.confidence - self.n_right / self.n_clips)


def reliability_bins(
    probabilities: npt.NDArray[np.floating[Any]], truth: npt.NDArray[np.int64]
) -> list[ReliabilityBin]:
    """Return the bins of confidence that hold a clip, from the lowest to the highest.

    Parameters
    ----------
    probabilities : (n_clips, n_labels)
    truth : (n_clips,) the right label of each
    """
    confidence = probabilities.max(axis=1).astype(np.float64)
    is_right = probabilities.argmax(axis=1) == truth
    which = np.clip(np.ceil(confidence * N_BINS).astype(np.int64) - 1, 0, N_BINS - 1)
    return [
        ReliabilityBin(
            i / N_BINS,
            (i + 1) / N_BINS,
            int((which == i).sum()),
            int(is_right[which == i].sum()),
            float(confidence[which == i].mean()),
        )
        for i in np.unique(which).tolist()
    ]


def expected_calibration_error(
    probabilities: npt.NDArray[np.floating[Any]], truth: npt.NDArray[np.int64]
) -> float:
    """Return the mean distance of confidence from accuracy, over bins of equal width.

    Parameters
    ----------
    probabilities : (n_clips, n_labels)
    truth : (n_clips,) the right label of each

    Source
    ------
    Naeini et al. 2015; Guo et al. 2017, with ``N_BINS`` bins of equal width.
    """
    return sum(b.n_clips * b.gap for b in reliability_bins(probabilities, truth)) / len(truth)


def fit_temperature(
    probabilities: npt.NDArray[np.floating[Any]], truth: npt.NDArray[np.int64]
) -> float:
    """Return the temperature that maximises the likelihood of the truth; 1 where all is right.

    Parameters
    ----------
    probabilities : (n_clips, n_labels); their logarithms are logits but for a constant
    truth : (n_clips,) the right label of each

    Source
    ------
    Guo et al. 2017, On Calibration of Modern Neural Networks.
    """
    from scipy import optimize, special

    logits = np.log(np.maximum(probabilities.astype(np.float64), 1e-30))
    right = logits[np.arange(len(truth)), truth]
    if np.array_equal(logits.argmax(axis=1), truth):
        return 1.0  # the likelihood would grow without an end as it falls

    def loss(log_temperature: float) -> float:
        scale = np.exp(-log_temperature)
        return float(np.mean(special.logsumexp(scale * logits, axis=1) - scale * right))

    best = optimize.minimize_scalar(loss, bounds=(-3, 3), method="bounded", options={"xatol": 1e-5})
    return float(np.exp(best.x))
