"""The tables of a report.

A new table is a function of ``Results`` and a place in ``TABLES``; the template shows it.
"""

import functools
import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from speechcls.evaluation.metrics import wilson_interval
from speechcls.files import csv_text
from speechcls.report.results import Results

N_GROUPS = 6
"""Groups of equally many clips by each of ``MEASURES``."""
N_MISTAKES = 20
WORST_RATIO = 0.1
"""Fraction of the speakers that are listed as those with the lowest accuracy."""


class Ratio(NamedTuple):
    """A ratio of counts with its 95 % interval; all NaN where there is nothing to count."""

    value: float
    low: float
    high: float


Cell = str | int | float | Ratio
Rows = list[tuple[Cell, ...]]


@dataclass(frozen=True)
class Table:
    """One table, on the page and as CSV."""

    name: str
    """Of the CSV file, and on the page."""
    caption: str
    columns: tuple[tuple[str, str], ...]
    """Heading and unit of each: empty for text and counts, ``%`` for ratios in [0, 1] ..."""
    rows: Rows
    names_labels: bool = False
    """Whether headings hold labels, which a CSV file must name as they are."""

    def csv(self) -> bytes:
        """Return it under a header; a ratio has two more columns, of its interval."""
        header = []
        for i, (name, _) in enumerate(self.columns):
            plain = name if self.names_labels else name.replace(" ", "_")
            is_ratio = any(isinstance(row[i], Ratio) for row in self.rows)
            header += [plain, f"{plain}_low", f"{plain}_high"] if is_ratio else [plain]
        rows = []
        for row in self.rows:
            cells = [c for cell in row for c in (cell if isinstance(cell, Ratio) else (cell,))]
            rows.append([_plain(cell) if isinstance(cell, float) else cell for cell in cells])
        return csv_text(header, rows).encode("utf-8", "surrogateescape")


def _plain(number: float) -> str:
    """Return a number for CSV without the last digits, which are rounding; nothing for NaN."""
    return "" if math.isnan(number) else f"{number:.9g}"


def format_cell(cell: Cell, unit: str) -> str:
    """Return a cell as display text."""
    if isinstance(cell, Ratio):
        if math.isnan(cell.value):
            return "–"
        if unit == "points":
            return f"{100 * cell.value:+.1f} ({100 * cell.low:+.1f} – {100 * cell.high:+.1f})"
        return f"{_percent(cell.value)} ({_percent(cell.low)} – {_percent(cell.high)})"
    if isinstance(cell, float):
        if math.isnan(cell):
            return "–"
        if unit == "p":
            return f"{cell:.3g}"
        return _percent(cell) if unit == "%" else f"{cell:.{_DIGITS.get(unit, 1)}f}"
    return f"{cell:,}" if isinstance(cell, int) else cell


_DIGITS = {"s": 2, "of 1": 4}


def format_row(table: Table, row: Sequence[Cell]) -> list[str]:
    """Return the cells of a row as display text."""
    return [format_cell(cell, unit) for cell, (_, unit) in zip(row, table.columns, strict=True)]


def _percent(ratio: float) -> str:
    return f"{100 * ratio:.1f}"


def ratio_of(n_right: int, n: int) -> Ratio:
    """Return ``n_right`` in ``n`` with Wilson's interval."""
    if n == 0:
        return Ratio(math.nan, math.nan, math.nan)
    low, high = wilson_interval(n_right, n)
    return Ratio(n_right / n, float(low), float(high))


def f1_of(n_hit: int, n_union: int) -> Ratio:
    """Return F1 of a label: ``n_hit`` clips have it and are predicted as it, ``n_union`` either.

    F1 = 2 J / (1 + J) of the ratio J = hit / union, whose interval is Wilson's.

    Source
    ------
    Hand, Christen & Kirielle 2021, "F*: an interpretable transformation of the F-measure".
    """
    return Ratio(*(2 * j / (1 + j) for j in ratio_of(n_hit, n_union)))


def by_label(results: Results) -> Table:
    """Return precision, recall and F1 of each label, in the order of the labels."""
    scores = results.scores
    true, predicted = scores.confusion.sum(axis=1), scores.confusion.sum(axis=0)
    rows: Rows = []
    for i, label in enumerate(scores.labels):
        hit, n_true, n_predicted = int(scores.confusion[i, i]), int(true[i]), int(predicted[i])
        precision, recall = ratio_of(hit, n_predicted), ratio_of(hit, n_true)
        f1 = f1_of(hit, n_true + n_predicted - hit)
        rows.append((label, n_true, n_predicted, precision, recall, f1))
    counts = ("label", ""), ("clips", ""), ("predictions", "")
    ratios = ("precision", "%"), ("recall", "%"), ("F1", "%")
    return Table("by_label", "Precision, recall and F1 by label", (*counts, *ratios), rows)


def confused_pairs(results: Results) -> Table:
    """Return every pair of labels that was confused, the most frequent first."""
    scores = results.scores
    totals = dict(zip(scores.labels, scores.confusion.sum(axis=1).tolist(), strict=True))
    rows: Rows = [
        (truth, predicted, n, ratio_of(n, totals[truth]))
        for truth, predicted, n in scores.most_confused(len(scores.labels) ** 2)
    ]
    columns = ("truth", ""), ("predicted", ""), ("clips", ""), ("of the label", "%")
    return Table("confused_pairs", "Most confused pairs", columns, rows)


def confusion_counts(results: Results) -> Table:
    """Return the confusion matrix in clips."""
    scores = results.scores
    return Table(
        "confusion_counts",
        "Confusion matrix in clips: a row per true label, a column per predicted label",
        (("truth", ""), *((label, "") for label in scores.labels)),
        [(n, *row) for n, row in zip(scores.labels, scores.confusion.tolist(), strict=True)],
        names_labels=True,
    )


def confusion_normalised(results: Results) -> Table:
    """Return the confusion matrix as fractions of each true label."""
    scores = results.scores
    with np.errstate(invalid="ignore"):
        fractions = scores.confusion / scores.confusion.sum(axis=1, keepdims=True)
    return Table(
        "confusion_shares",
        "Confusion matrix in percent of the clips of the true label",
        (("truth", ""), *((label, "%") for label in scores.labels)),
        [(n, *row) for n, row in zip(scores.labels, fractions.tolist(), strict=True)],
        names_labels=True,
    )


def roc_det(results: Results) -> Table:
    """Return area and equal error rate by label, the worst first."""
    ranked = sorted(results.curves, key=lambda curve: curve.area)
    rows: Rows = [(curve.label, curve.area, curve.equal_error_rate) for curve in ranked]
    columns = ("label", ""), ("area under ROC", "of 1"), ("equal error rate", "%")
    return Table("roc_det", "Each label against all others, the hardest first", columns, rows)


def label_table(results: Results) -> Table:
    """Return ``by_label`` and ``roc_det`` in one, the lowest F1 first, for the page alone."""
    first, second = by_label(results), roc_det(results)
    curves = {row[0]: row[1:] for row in second.rows}
    none = (math.nan, math.nan)
    rows: Rows = [(*row, *curves.get(row[0], none)) for row in first.rows]

    def f1(row: tuple[Cell, ...]) -> float:
        value = row[5].value if isinstance(row[5], Ratio) else math.nan
        return 2.0 if math.isnan(value) else value  # a label without clips and predictions is last

    caption = "Scores by label, the hardest first"
    columns = (*first.columns, *second.columns[1:])
    return Table("labels", caption, columns, sorted(rows, key=f1))


def reliability(results: Results) -> Table:
    """Return the accuracy of predictions by their confidence; empty bins are left out.

    Source
    ------
    Guo, Pleiss, Sun & Weinberger 2017.
    """
    rows: Rows = [
        (each.low, each.high, each.n_clips, each.confidence, ratio_of(each.n_right, each.n_clips))
        for each in results.bins
    ]
    columns = ("from", "%"), ("to", "%"), ("clips", ""), ("mean confidence", "%"), ("right", "%")
    return Table("reliability", "Accuracy by confidence", columns, rows)


def by_speaker(results: Results) -> Table:
    """Return the accuracy of each speaker, the lowest first; no row where none is known."""
    n_clips: Counter[str] = Counter()
    n_right: Counter[str] = Counter()
    for speaker, right in zip(results.speakers, results.is_right.tolist(), strict=True):
        if speaker:
            n_clips[speaker] += 1
            n_right[speaker] += right
    found = [(speaker, n, ratio_of(n_right[speaker], n)) for speaker, n in n_clips.items()]
    found.sort(key=lambda row: (row[2].value, n_right[row[0]] - row[1], row[0]))
    rows: Rows = [(speaker, n, n - n_right[speaker], ratio) for speaker, n, ratio in found]
    columns = ("speaker", ""), ("clips", ""), ("mistakes", ""), ("right", "%")
    return Table("by_speaker", "Accuracy by speaker, the lowest first", columns, rows)


def worst_speakers(results: Results) -> Table:
    """Return the tenth of the speakers with the lowest accuracy, if they have mistakes."""
    table = by_speaker(results)
    n_worst = math.ceil(WORST_RATIO * len(table.rows)) if len(table.rows) > 1 else 0
    worst = [row for row in table.rows[:n_worst] if row[2]]
    caption = "The tenth of the speakers with the lowest accuracy"
    return Table("worst_speakers", caption, table.columns, worst)


class Measure(NamedTuple):
    """What accuracy is grouped by."""

    title: str
    field: str
    """Of a ``ClipRecord``."""
    unit: str
    axis: str
    """Label of the axis of its figure."""
    meaning: str
    """Unit and what is measured, as the table's caption names them."""


MEASURES = {
    "loudness": Measure("level", "level_db", "dB", "dBFS", "dBFS (root mean square of the window)"),
    "noise": Measure(
        "signal-to-noise ratio",
        "snr_db",
        "dB",
        "dB over the noise",
        "dB (estimated from loud and faint frames)",
    ),
    "length": Measure("length", "duration_s", "s", "seconds", "seconds of the whole clip"),
}
"""Measures by the name of their files; a new one is an entry here, shown as table and figure."""


def by_measure(results: Results, measure: str) -> Table:
    """Return the accuracy in groups of about equally many clips; fewer where values are equal."""
    title, field, unit, _, meaning = MEASURES[measure]
    clips = results.predictions.clips
    values = np.array([getattr(clip, field) for clip in clips], dtype=np.float64)
    n_groups = max(1, min(N_GROUPS, len(values) // 10))
    inner = np.unique(np.quantile(values, np.linspace(0, 1, n_groups + 1)[1:-1]))
    place = np.searchsorted(inner, values, side="right")
    rows: Rows = []
    for k in np.unique(place):
        inside = place == k
        low, high = float(values[inside].min()), float(values[inside].max())
        n = int(inside.sum())
        rows.append((low, high, n, ratio_of(int(results.is_right[inside].sum()), n)))
    columns = ("from", unit), ("to", unit), ("clips", ""), ("right", "%")
    return Table(f"by_{measure}", f"Accuracy by {title}, in {meaning}", columns, rows)


def data_summary(results: Results) -> Table:
    """Return clips, speakers, words and minutes by label."""
    rows: Rows = []
    for label in results.predictions.labels:
        clips = [clip for clip in results.predictions.clips if clip.label == label]
        speakers = {clip.speaker for clip in clips} - {""}
        levels = [clip.level_db for clip in clips]
        level = float(np.median(levels)) if levels else math.nan
        words = len({clip.word for clip in clips})
        minutes = sum(clip.duration_s for clip in clips) / 60
        rows.append((label, len(clips), words, len(speakers), minutes, level))
    columns = ("label", ""), ("clips", ""), ("words", ""), ("speakers", ""), ("minutes", "min")
    caption = "The clips that were scored"
    return Table("data", caption, (*columns, ("median level", "dB")), rows)


def prediction_table(results: Results) -> Table:
    """Return every clip with its prediction and all probabilities."""
    predictions = results.predictions
    columns = ["path", "word", "label", "speaker", "split", "start_s", "duration_s"]
    columns += ["level_db", "snr_db", "predicted", "is_right"]
    rows: Rows = []
    predicted, probabilities = predictions.predicted.tolist(), predictions.probabilities.tolist()
    for clip, index, row in zip(predictions.clips, predicted, probabilities, strict=True):
        label = predictions.labels[index]
        known = clip.path, clip.word, clip.label, clip.speaker, clip.split, clip.start_s
        measures = clip.duration_s, clip.level_db, clip.snr_db
        is_right = int(label == clip.label)
        rows.append((*known, *measures, label, is_right, *(round(p, 6) for p in row)))
    names = [*columns, *(f"probability_of_{label}" for label in predictions.labels)]
    return Table("predictions", "Every clip", tuple((name, "") for name in names), rows, True)


def mistake_table(results: Results) -> Table:
    """Return the wrong predictions with the highest confidence."""
    predictions = results.predictions
    rows: Rows = []
    for i in predictions.mistakes(N_MISTAKES):
        clip, predicted = predictions.clips[i], predictions.labels[predictions.predicted[i]]
        truth = clip.label if clip.word == clip.label else f"{clip.label} ({clip.word})"
        own = float(predictions.probabilities[i, predictions.labels.index(clip.label)])
        confidence = float(predictions.confidence[i])
        rows.append((clip.path, clip.speaker, truth, predicted, confidence, own))
    columns = ("path", ""), ("speaker", ""), ("truth", ""), ("predicted", "")
    probabilities = ("confidence", "%"), ("probability of the truth", "%")
    return Table("mistakes", "The most confident mistakes", (*columns, *probabilities), rows)


TABLES: tuple[Callable[[Results], Table], ...] = (
    by_label,
    confused_pairs,
    confusion_counts,
    confusion_normalised,
    roc_det,
    reliability,
    by_speaker,
    worst_speakers,
    *(functools.partial(by_measure, measure=measure) for measure in MEASURES),
    mistake_table,
    data_summary,
    prediction_table,
)
"""Every table of a report, in the order of their files."""


def make_tables(results: Results) -> dict[str, Table]:
    """Return every table by its name."""
    return {table.name: table for table in (make(results) for make in TABLES)}
