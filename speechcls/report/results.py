"""The predictions of an evaluation with the arrays that tables and figures share."""

import functools
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from speechcls.evaluation.metrics import (
    ReliabilityBin,
    Right,
    Scores,
    expected_calibration_error,
    reliability_bins,
    score,
)
from speechcls.evaluation.predictions import Predictions

Floats = npt.NDArray[np.floating[Any]]


class RocCurve(NamedTuple):
    """True against false positive rate of one label, over all thresholds."""

    label: str
    false_positive_rate: Floats
    """(n,) fraction of the other clips."""
    true_positive_rate: Floats
    """(n,) fraction of the label's clips."""
    area: float
    """Under the ROC curve."""
    equal_error_rate: float
    """Where misses and false alarms are equally frequent."""


@dataclass(frozen=True)
class Results:
    """Predictions, and what tables and figures share, computed once."""

    predictions: Predictions

    @functools.cached_property
    def speakers(self) -> list[str]:
        """The speaker of each clip, empty where not known."""
        return [clip.speaker for clip in self.predictions.clips]

    @functools.cached_property
    def is_right(self) -> Right:
        """(n_clips,) whether the prediction is the truth."""
        return np.asarray(self.predictions.truth == self.predictions.predicted)

    @functools.cached_property
    def scores(self) -> Scores:
        """Accuracy, confusion and scores of each label."""
        predictions = self.predictions
        return score(predictions.truth, predictions.predicted, predictions.labels, self.speakers)

    @functools.cached_property
    def curves(self) -> list[RocCurve]:
        """A curve for each label that some, and not all, of the clips have."""
        labels = enumerate(self.predictions.labels)
        occurs = [(i, label, self.predictions.truth == i) for i, label in labels]
        return [
            _curve_of(label, is_it, self.predictions.probabilities[:, i])
            for i, label, is_it in occurs
            if is_it.any() and not is_it.all()
        ]

    @functools.cached_property
    def bins(self) -> list[ReliabilityBin]:
        """The bins of confidence that hold a clip."""
        return reliability_bins(self.predictions.probabilities, self.predictions.truth)

    @property
    def calibration_error(self) -> float:
        """The expected calibration error."""
        return expected_calibration_error(self.predictions.probabilities, self.predictions.truth)


def _curve_of(label: str, is_it: Right, probabilities: Floats) -> RocCurve:
    """Return the curve of a label.

    Parameters
    ----------
    is_it : (n_clips,) whether a clip has the label
    probabilities : (n_clips,) of the label
    """
    from sklearn.metrics import auc, roc_curve

    fpr, tpr, _ = roc_curve(is_it, probabilities)
    misses = 1 - tpr  # they fall along the curve, while false alarms rise
    k = int(np.argmax(fpr >= misses))
    # Between two points, on the line that joins them.
    before, after = misses[k - 1] - fpr[k - 1], fpr[k] - misses[k]
    part = before / (before + after) if before + after else 0.0
    equal = fpr[k - 1] + part * (fpr[k] - fpr[k - 1])
    return RocCurve(label, fpr, tpr, float(auc(fpr, tpr)), float(equal))
