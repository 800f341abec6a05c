"""The numbers of a report: every table, and the arrays behind every picture."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from speechcls.evaluation.metrics import Scores, wilson_interval
from speechcls.evaluation.predictions import Predictions
from speechcls.files import csv_text

N_BINS = 6
"""Groups of equally many clips by loudness, noise or length."""
N_RELIABILITY = 10
N_MISTAKES = 20
WORST_SHARE = 0.1
"""Share of the speakers who are named as those the model fails most."""

Floats = npt.NDArray[np.float64]


class Share(NamedTuple):
    """A share with its 95 % interval; all NaN where nothing can be counted."""

    value: float
    low: float
    high: float


Cell = str | int | float | Share


@dataclass(frozen=True)
class Table:
    """One table, on the page and as CSV."""

    name: str
    """Of the CSV file."""
    caption: str
    columns: tuple[tuple[str, str], ...]
    """Heading and unit of each: empty for text and counts, ``%`` for shares in [0, 1] ..."""
    rows: list[tuple[Cell, ...]]
    names_labels: bool = False
    """Whether headings hold labels, which a CSV file must name as they are."""

    def csv(self) -> bytes:
        """Return it under a header; a share has two more columns, of its interval."""
        shares = [any(isinstance(row[i], Share) for row in self.rows) for i in self._places]
        header = []
        for (name, _), is_share in zip(self.columns, shares, strict=True):
            plain = name if self.names_labels else name.replace(" ", "_")
            header += [plain, f"{plain}_low", f"{plain}_high"] if is_share else [plain]
        rows = []
        for row in self.rows:
            cells = [c for cell in row for c in (cell if isinstance(cell, Share) else (cell,))]
            rows.append([_plain(cell) if isinstance(cell, float) else cell for cell in cells])
        return csv_text(header, rows).encode("utf-8", "surrogateescape")

    @property
    def _places(self) -> range:
        return range(len(self.columns))


def _plain(number: float) -> str:
    """Return a number for CSV without the last digits, which are of rounding; nothing for NaN."""
    return "" if math.isnan(number) else f"{number:.9g}"


def format_cell(cell: Cell, unit: str) -> str:
    """Return a cell for people."""
    if isinstance(cell, Share):
        if math.isnan(cell.value):
            return "–"
        return f"{_percent(cell.value)} ({_percent(cell.low)} – {_percent(cell.high)})"
    if isinstance(cell, float):
        if math.isnan(cell):
            return "–"
        return _percent(cell) if unit == "%" else f"{cell:.{_DIGITS.get(unit, 1)}f}"
    return f"{cell:,}" if isinstance(cell, int) else cell


_DIGITS = {"s": 2, "of 1": 4}


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"


def share_of(n_right: int, n: int) -> Share:
    """Return ``n_right`` in ``n`` with Wilson's interval."""
    if n == 0:
        return Share(math.nan, math.nan, math.nan)
    low, high = wilson_interval(n_right, n)
    return Share(n_right / n, float(low), float(high))


def f1_of(n_hit: int, n_union: int) -> Share:
    """Return F1 of a label that ``n_hit`` clips are and are answered with, ``n_union`` either.

    F1 = 2 J / (1 + J) of the share J = hit / union, whose interval is Wilson's.

    Source
    ------
    Hand, Christen & Kirielle 2021, "F*: an interpretable transformation of the F-measure".
    """
    return Share(*(2 * j / (1 + j) for j in share_of(n_hit, n_union)))


def by_label(scores: Scores) -> Table:
    """Return precision, recall and F1 of each label, in the order of the labels."""
    spoken, heard = scores.confusion.sum(axis=1), scores.confusion.sum(axis=0)
    rows: list[tuple[Cell, ...]] = []
    for i, label in enumerate(scores.labels):
        hit, n_spoken, n_heard = int(scores.confusion[i, i]), int(spoken[i]), int(heard[i])
        precision, recall = share_of(hit, n_heard), share_of(hit, n_spoken)
        f1 = f1_of(hit, n_spoken + n_heard - hit)
        rows.append((label, n_spoken, n_heard, precision, recall, f1))
    columns = ("label", ""), ("clips", ""), ("answers", "")
    shares = ("precision", "%"), ("recall", "%"), ("F1", "%")
    return Table("by_label", "Precision, recall and F1 by label", (*columns, *shares), rows)


def confused_pairs(scores: Scores) -> Table:
    """Return every mistake that was made, the most frequent first."""
    spoken = scores.confusion.sum(axis=1)
    index = {label: i for i, label in enumerate(scores.labels)}
    rows: list[tuple[Cell, ...]] = [
        (truth, answer, n, share_of(n, int(spoken[index[truth]])))
        for truth, answer, n in scores.most_confused(len(scores.labels) ** 2)
    ]
    columns = ("spoken", ""), ("heard as", ""), ("clips", ""), ("share of the label", "%")
    return Table("confused_pairs", "Most confused pairs", columns, rows)


def confusion_tables(scores: Scores) -> tuple[Table, Table]:
    """Return counts and shares; a row for each label spoken, a column for each answer."""
    counts = scores.confusion
    spoken = counts.sum(axis=1, keepdims=True)
    with np.errstate(invalid="ignore"):
        shares = counts / spoken
    heading = ("spoken", "")
    return (
        Table(
            "confusion_counts",
            "Confusion matrix in clips: a row for each label spoken, a column for each answer",
            (heading, *((label, "") for label in scores.labels)),
            [(n, *row) for n, row in zip(scores.labels, counts.tolist(), strict=True)],
            names_labels=True,
        ),
        Table(
            "confusion_shares",
            "Confusion matrix in shares of the label spoken",
            (heading, *((label, "%") for label in scores.labels)),
            [(n, *row) for n, row in zip(scores.labels, shares.tolist(), strict=True)],
            names_labels=True,
        ),
    )


class Curve(NamedTuple):
    """How the misses of one label go with its false alarms, over all thresholds."""

    label: str
    false_alarms: Floats
    """(n,) share of the other clips."""
    hits: Floats
    """(n,) share of the label's clips."""
    area: float
    """Under the ROC curve."""
    equal_error: float
    """Where misses and false alarms are equally frequent."""


def curves(predictions: Predictions) -> list[Curve]:
    """Return a curve for each label that some, and not all, of the clips have."""
    from sklearn.metrics import auc, roc_curve

    found = []
    truth = predictions.truth
    for i, label in enumerate(predictions.labels):
        is_it = truth == i
        if is_it.all() or not is_it.any():
            continue
        false_alarms, hits, _ = roc_curve(is_it, predictions.probabilities[:, i])
        misses = 1 - hits  # which falls along the curve, while false alarms rise
        k = int(np.argmax(false_alarms >= misses))
        # Between two points, on the line that joins them.
        before, after = misses[k - 1] - false_alarms[k - 1], false_alarms[k] - misses[k]
        part = before / (before + after) if before + after else 0.0
        equal = false_alarms[k - 1] + part * (false_alarms[k] - false_alarms[k - 1])
        area = float(auc(false_alarms, hits))
        found.append(Curve(label, false_alarms, hits, area, float(equal)))
    return found


def curve_table(found: Sequence[Curve]) -> Table:
    """Return area and equal error rate by label, the worst first."""
    rows: list[tuple[Cell, ...]] = [
        (curve.label, curve.area, curve.equal_error)
        for curve in sorted(found, key=lambda curve: curve.area)
    ]
    columns = ("label", ""), ("area under ROC", "of 1"), ("equal error rate", "%")
    return Table("roc_det", "Each label against all others, the hardest first", columns, rows)


def reliability(predictions: Predictions) -> tuple[Table, float]:
    """Return how often answers of each confidence are right, and the expected calibration error.

    Source
    ------
    Guo, Pleiss, Sun & Weinberger 2017; ten bins of equal width, those without a clip left out.
    """
    from sklearn.calibration import calibration_curve

    is_right = predictions.truth == predictions.predicted
    confidence = np.clip(predictions.confidence.astype(np.float64), 0.0, 1.0)
    # scikit-learn's bins are open on the left, as these: 0.1 is in the first.
    edges = np.linspace(0, 1, N_RELIABILITY + 1)
    place = np.searchsorted(edges[1:-1], confidence)
    counts = np.bincount(place, minlength=N_RELIABILITY)
    shares, means = calibration_curve(
        is_right, confidence, n_bins=N_RELIABILITY, strategy="uniform"
    )
    rows: list[tuple[Cell, ...]] = []
    error = 0.0
    filled = np.flatnonzero(counts)
    for k, right, mean in zip(filled.tolist(), shares.tolist(), means.tolist(), strict=True):
        n = int(counts[k])
        rows.append((float(edges[k]), float(edges[k + 1]), n, mean, share_of(round(right * n), n)))
        error += n / len(is_right) * abs(right - mean)
    columns = (("from", "%"), ("to", "%"), ("clips", ""), ("mean confidence", "%"), ("right", "%"))
    return Table("reliability", "How sure, and how often right", columns, rows), error


def by_speaker(predictions: Predictions) -> Table:
    """Return the accuracy of each speaker, the lowest first; no row where none is known."""
    is_right = (predictions.truth == predictions.predicted).tolist()
    n_clips: Counter[str] = Counter()
    n_right: Counter[str] = Counter()
    for clip, right in zip(predictions.clips, is_right, strict=True):
        if clip.speaker:
            n_clips[clip.speaker] += 1
            n_right[clip.speaker] += right
    rows: list[tuple[Cell, ...]] = [
        (speaker, n, n - n_right[speaker], share_of(n_right[speaker], n))
        for speaker, n in n_clips.items()
    ]
    rows.sort(key=lambda row: (row[3].value, -row[2], row[0]))  # type: ignore[union-attr, operator]
    columns = ("speaker", ""), ("clips", ""), ("mistakes", ""), ("right", "%")
    return Table("by_speaker", "Accuracy by speaker, the lowest first", columns, rows)


def worst_speakers(table: Table) -> Table:
    """Return the worst tenth of the speakers: those of them who were misheard at all."""
    n_worst = math.ceil(WORST_SHARE * len(table.rows)) if len(table.rows) > 1 else 0
    worst = [row for row in table.rows[:n_worst] if row[2]]
    return Table("worst_speakers", "The worst tenth of the speakers", table.columns, worst)


MEASURES = {
    "loudness": ("level_db", "dB", "dB, full scale is 0 (root mean square of what is heard)"),
    "noise": ("snr_db", "dB", "dB of signal over noise (an estimate from loud and faint moments)"),
    "length": ("duration_s", "s", "seconds of the whole clip"),
}
"""Field of a clip, unit and meaning of what accuracy is split by."""


def by_measure(predictions: Predictions, measure: str) -> Table:
    """Return the accuracy in groups of about equally many clips; fewer where values are alike."""
    field, unit, meaning = MEASURES[measure]
    values = np.array([getattr(clip, field) for clip in predictions.clips], dtype=np.float64)
    is_right = predictions.truth == predictions.predicted
    n_groups = max(1, min(N_BINS, len(values) // 10))
    inner = np.unique(np.quantile(values, np.linspace(0, 1, n_groups + 1)[1:-1]))
    place = np.searchsorted(inner, values, side="right")
    rows: list[tuple[Cell, ...]] = []
    for k in np.unique(place):
        inside = place == k
        low, high = float(values[inside].min()), float(values[inside].max())
        n = int(inside.sum())
        rows.append((low, high, n, share_of(int(is_right[inside].sum()), n)))
    columns = ("from", unit), ("to", unit), ("clips", ""), ("right", "%")
    return Table(f"by_{measure}", f"Accuracy by {measure}, in {meaning}", columns, rows)


def data_summary(predictions: Predictions) -> Table:
    """Return clips, speakers, words and minutes by label."""
    rows: list[tuple[Cell, ...]] = []
    for label in predictions.labels:
        clips = [clip for clip in predictions.clips if clip.label == label]
        speakers = {clip.speaker for clip in clips} - {""}
        levels = [clip.level_db for clip in clips]
        level = float(np.median(levels)) if levels else math.nan
        words = len({clip.word for clip in clips})
        minutes = sum(clip.duration_s for clip in clips) / 60
        rows.append((label, len(clips), words, len(speakers), minutes, level))
    columns = ("label", ""), ("clips", ""), ("words", ""), ("speakers", ""), ("minutes", "min")
    caption = "The clips that were scored"
    return Table("data", caption, (*columns, ("median level", "dB")), rows)


def prediction_table(predictions: Predictions) -> Table:
    """Return every clip with its answer and all probabilities."""
    columns = ["path", "word", "label", "speaker", "split", "start_s", "duration_s"]
    columns += ["level_db", "snr_db", "answer", "is_right"]
    rows: list[tuple[Cell, ...]] = []
    answers = predictions.predicted.tolist()
    for clip, answer, row in zip(
        predictions.clips, answers, predictions.probabilities.tolist(), strict=True
    ):
        label = predictions.labels[answer]
        known = clip.path, clip.word, clip.label, clip.speaker, clip.split, clip.start_s
        measures = clip.duration_s, clip.level_db, clip.snr_db
        is_right = int(label == clip.label)
        rows.append((*known, *measures, label, is_right, *(round(p, 6) for p in row)))
    names = [*columns, *(f"probability_of_{label}" for label in predictions.labels)]
    return Table("predictions", "Every clip", tuple((name, "") for name in names), rows, True)


def mistake_table(predictions: Predictions) -> Table:
    """Return the wrong answers that the model was most sure of."""
    rows: list[tuple[Cell, ...]] = []
    for i in predictions.mistakes(N_MISTAKES):
        clip, answer = predictions.clips[i], predictions.labels[predictions.predicted[i]]
        spoken = clip.label if clip.word == clip.label else f"{clip.label} ({clip.word})"
        own = float(predictions.probabilities[i, predictions.labels.index(clip.label)])
        confidence = float(predictions.confidence[i])
        rows.append((clip.path, clip.speaker, spoken, answer, confidence, own))
    columns = ("path", ""), ("speaker", ""), ("spoken", ""), ("heard as", "")
    shares = ("probability", "%"), ("of what was spoken", "%")
    return Table("mistakes", "The most confident mistakes", (*columns, *shares), rows)
