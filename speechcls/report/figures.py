"""The figures of a report, each drawn from its ``Results``.

A new figure is a function of ``Results`` and a place in ``FIGURES``; the template shows it. Those
that it shows are small multiples: they stand side by side, and under each other on a phone.
"""

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from speechcls.evaluation.metrics import N_BINS
from speechcls.render.figures import GREY, PALETTE, SEQUENTIAL, as_text, new_figure
from speechcls.report.matrix import chosen_labels
from speechcls.report.results import Results, RocCurve
from speechcls.report.tables import (
    MEASURES,
    Ratio,
    by_label,
    by_measure,
    by_speaker,
    confused_pairs,
    reliability,
    roc_det,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAX_NAMED = 30
"""Speakers up to which a figure names each."""
_MAX_NUMBERS = 30
_MAX_CURVES = 6
_WIDTH = 4.6  # inches
_SMALL = 3.4, 2.7  # inches: of the figures of which four stand side by side
_LOWEST_RATE = 1e-3
_N_DRAWN = 1_000
_ON_DARK, _ON_LIGHT = "#fefefe", "#010101"  # not pure, since the page recolours pure ones


@dataclass(frozen=True)
class ReportFigure:
    """One figure of a report."""

    name: str
    """Of its files, and on the page."""
    draw: Callable[[Results], "Figure | None"]
    """Returns None where there is nothing to draw."""
    describe: Callable[[Results], str]
    """Returns the text in place of the figure."""


def draw_confusion(results: Results) -> "Figure":
    """Return the confusion matrix: colours are fractions of the true label, numbers count clips."""
    scores = results.scores
    chosen = chosen_labels(scores.confusion)
    labels = [_short(scores.labels[i]) for i in chosen]
    counts = scores.confusion[np.ix_(chosen, chosen)]
    fractions = counts / np.maximum(scores.confusion[chosen].sum(axis=1, keepdims=True), 1)
    side = max(_WIDTH, (0.27 if len(chosen) <= 40 else 0.16) * len(chosen) + 1.2)
    figure = new_figure(side, side)
    axes = figure.add_subplot()
    # The square root, since mistakes are rare: 1 % differs visibly from 0.
    axes.imshow(np.sqrt(fractions), cmap=SEQUENTIAL, vmin=0, vmax=1)
    if len(chosen) <= _MAX_NUMBERS:
        for row, column in np.argwhere(counts):
            is_light = np.sqrt(fractions[row, column]) > 0.55
            colour, size = _ON_LIGHT if is_light else _ON_DARK, 7 if len(chosen) > 12 else 8
            text = str(counts[row, column])
            axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=size)
    axes.set_xticks(range(len(labels)), labels, rotation=90)
    axes.set_yticks(range(len(labels)), labels)
    if len(chosen) > 40:
        axes.tick_params(labelsize=6)
    axes.set_xlabel("predicted")
    axes.set_ylabel("truth")
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    return figure


def _describe_confusion(results: Results) -> str:
    n_drawn = len(chosen_labels(results.scores.confusion))
    pairs = confused_pairs(results).rows
    worst = "No clip was confused."
    if pairs:
        truth, predicted, n_clips, _ = pairs[0]
        worst = f"Most often {truth} was predicted as {predicted}: {n_clips} clips."
    return f"Confusion matrix of {n_drawn} of {len(results.scores.labels)} labels. {worst}"


def draw_labels(results: Results) -> "Figure":
    """Return recall and precision of each label with their intervals, the lowest F1 on top."""
    table = by_label(results)
    rows: list[Any] = [table.rows[i] for i in chosen_labels(results.scores.confusion)]
    rows.sort(key=lambda row: np.nan_to_num(row[5].value, nan=2.0), reverse=True)
    figure = new_figure(_WIDTH, 0.27 * len(rows) + 0.9)
    axes = figure.add_subplot()
    for column, name, shift, marker in ((4, "recall", 0.14, "o"), (3, "precision", -0.14, "s")):
        ratios = [row[column] for row in rows]
        _error_bars(axes, np.arange(len(rows)) + shift, ratios, marker, name, along="x")
    axes.set_yticks(range(len(rows)), [_short(row[0]) for row in rows])
    axes.set_ylim(-0.6, len(rows) - 0.4)
    axes.set_xlabel("% with 95 % interval")
    axes.set_xlim(right=100.5)
    axes.grid(axis="x", color=GREY, alpha=0.3)
    figure.legend(loc="outside upper left", ncols=2)
    return figure


def draw_roc(results: Results) -> "Figure | None":
    """Return hits against false alarms; the hardest labels coloured, the others grey."""
    curves = results.curves
    if not curves:
        return None
    figure = new_figure(_WIDTH, 4.2)
    axes = figure.add_subplot()
    for curve, style in _styled(curves):
        rates = np.maximum(curve.false_positive_rate, _LOWEST_RATE)
        axes.plot(100 * rates, 100 * curve.true_positive_rate, **style)
    axes.set_xscale("log")
    axes.set_xticks([0.1, 1, 10, 100], ["≤ 0.1", "1", "10", "100"])
    axes.set_xlabel("false alarms, % of the other clips")
    axes.set_ylabel("hits, % of the label's clips")
    least = min(
        np.interp(_LOWEST_RATE, c.false_positive_rate, c.true_positive_rate) for c in curves
    )
    axes.set_ylim(max(0.0, 100 * least - 5 - 0.5 * (1 - least) * 100), 100.5)  # room for the legend
    axes.grid(color=GREY, alpha=0.3)
    axes.legend(loc="lower right", title="hardest first")
    return figure


def draw_det(results: Results) -> "Figure | None":
    """Return misses against false alarms on normal deviate scales.

    Source
    ------
    Martin et al. 1997, "The DET curve in assessment of detection task performance".
    """
    from statistics import NormalDist

    curves = results.curves
    if not curves:
        return None
    deviate = np.vectorize(NormalDist().inv_cdf)
    ticks = np.array([0.001, 0.01, 0.05, 0.2, 0.5, 0.8])
    figure = new_figure(_WIDTH, 4.2)
    axes = figure.add_subplot()
    worst = max(curve.equal_error_rate for curve in curves)
    low, high = deviate(_LOWEST_RATE), deviate(min(0.9, max(0.2, 4 * worst)))
    axes.plot([low, high], [low, high], color=GREY, linewidth=0.8, linestyle=":")
    for curve, style in _styled(curves):
        alarms, misses = (
            deviate(np.clip(rate, _LOWEST_RATE, 1 - _LOWEST_RATE))
            for rate in (curve.false_positive_rate, 1 - curve.true_positive_rate)
        )
        axes.plot(alarms, misses, **style)
    for axis, name in ((axes.xaxis, "false alarms, %"), (axes.yaxis, "misses, %")):
        axis.set_ticks(deviate(ticks), [f"{100 * tick:g}" for tick in ticks])
        axis.set_label_text(name)
    axes.set_xlim(low, high)
    axes.set_ylim(low, high)
    axes.grid(color=GREY, alpha=0.3)
    axes.legend(loc="upper right", title="hardest first")
    return figure


def _describe_curves(results: Results, kind: str) -> str:
    hardest = roc_det(results).rows[0][0]
    return (
        f"{kind} curve of each label. The hardest label is {hardest}; numbers are in the table"
        " above."
    )


def _styled(curves: Sequence[RocCurve]) -> list[tuple[RocCurve, dict[str, Any]]]:
    """Return each curve and its line, the easiest first, so that the hardest are on top."""
    ranked = sorted(curves, key=lambda curve: curve.area)
    dashes = ["-", "--", "-."]
    styled: list[tuple[RocCurve, dict[str, Any]]] = []
    for k, curve in enumerate(ranked[:_MAX_CURVES]):
        style = {"color": PALETTE[k], "linestyle": dashes[k % 3], "label": _short(curve.label)}
        styled.append((curve, style))
    for k, curve in enumerate(ranked[_MAX_CURVES:]):
        name = "the others" if k == 0 else None
        styled.append((curve, {"color": GREY, "linewidth": 0.8, "label": name}))
    return styled


def draw_reliability(results: Results) -> "Figure":
    """Return the accuracy of predictions against their confidence, above their number."""
    from matplotlib.ticker import LogLocator, NullFormatter

    figure = new_figure(_WIDTH, 4.2)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    upper.plot([0, 100], [0, 100], color=GREY, linestyle=":", label="perfectly calibrated")
    rows: list[Any] = reliability(results).rows
    means = np.array([100 * row[3] for row in rows])
    _error_bars(upper, means, [row[4] for row in rows], "o", "predictions", along="y")
    upper.set_ylabel("right, %")
    upper.set_ylim(0, 102)
    upper.grid(color=GREY, alpha=0.3)
    upper.legend(loc="upper left")
    starts, counts = [100 * row[0] for row in rows], [row[2] for row in rows]
    lower.bar(starts, counts, 92 / N_BINS, align="edge")
    lower.set_yscale("log")
    lower.yaxis.set_major_locator(LogLocator(numticks=4))
    lower.yaxis.set_major_formatter(lambda n, _: f"{n:,.0f}" if n >= 1 else "")
    lower.yaxis.set_minor_formatter(NullFormatter())
    lower.set_ylabel("clips")
    lower.set_xlabel("confidence, %")
    lower.set_xlim(0, 102)
    return figure


def _describe_reliability(results: Results) -> str:
    return (
        "Accuracy of the predictions against their confidence, as in the table below it. Expected"
        f" calibration error {100 * results.calibration_error:.1f} %."
    )


def draw_speakers(results: Results) -> "Figure | None":
    """Return the accuracy of each speaker, the lowest on the left; None for fewer than two.

    A few have their intervals; many have a band of what chance alone would make of them.
    """
    rows: list[Any] = by_speaker(results).rows
    if len(rows) < 2:
        return None
    figure = new_figure(*_SMALL)
    axes = figure.add_subplot()
    places = np.arange(1, len(rows) + 1)
    ratios = np.array([row[3] for row in rows])
    if len(rows) <= MAX_NAMED:
        _error_bars(axes, places, [row[3] for row in rows], "o", None, along="y")
        axes.set_xticks(places, [_short(row[0]) for row in rows], rotation=90, fontsize=7)
        axes.set_xlim(0.4, len(rows) + 0.6)
    else:
        low, high = expected_spread([row[1] for row in rows], sum(row[2] for row in rows))
        axes.fill_between(
            places, 100 * low, 100 * high, color=GREY, alpha=0.35, lw=0, label="by chance alone"
        )
        axes.plot(places, 100 * ratios[:, 0], color=PALETTE[0], label="speakers")
        axes.legend(loc="lower right")
        axes.set_xlabel(f"the {len(rows):,} speakers, the lowest accuracy first")
    axes.set_ylabel("right, %")
    axes.set_ylim(-2, 102)
    axes.grid(axis="y", color=GREY, alpha=0.3)
    return figure


def _describe_speakers(results: Results) -> str:
    n_speakers = len(by_speaker(results).rows)
    return f"Accuracy of {n_speakers} speakers with intervals, the lowest first."


def expected_spread(
    n_clips: Sequence[int], n_mistakes: int, seed: int = 0
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return the range of 95 % of sorted accuracies if all speakers have the same error rate.

    Parameters
    ----------
    n_clips : (n_speakers,) clips of each
    n_mistakes : in all of them

    Returns
    -------
    Lower and upper bound, (n_speakers,) each, the lowest accuracy first
    """
    n = np.array(n_clips)
    drawn = np.random.default_rng(seed).binomial(n, 1 - n_mistakes / n.sum(), (_N_DRAWN, len(n)))
    low, high = np.percentile(np.sort(drawn / n, axis=1), [2.5, 97.5], axis=0)
    return low, high


def draw_measure(results: Results, measure: str) -> "Figure":
    """Return the accuracy of each group of clips with its interval."""
    table = by_measure(results, measure)
    figure = new_figure(*_SMALL)
    axes = figure.add_subplot()
    rows: list[Any] = table.rows
    digits = 2 if table.columns[0][1] == "s" else 0
    names = [_range_name(row[0], row[1], digits) for row in rows]
    _error_bars(axes, np.arange(len(rows)), [row[3] for row in rows], "o", None, along="y")
    axes.set_xticks(range(len(rows)), names, fontsize=7)
    axes.set_xlim(-0.6, len(rows) - 0.4)
    axes.set_xlabel(MEASURES[measure].axis)
    axes.set_ylabel("right, %")
    axes.set_ylim(_lowest_percent(results), 102)
    axes.grid(axis="y", color=GREY, alpha=0.3)
    return figure


def _lowest_percent(results: Results) -> float:
    """Return where the axis of accuracy starts in all of the small figures."""
    lows = [
        ratio.low
        for measure in MEASURES
        for *_, ratio in by_measure(results, measure).rows
        if isinstance(ratio, Ratio)
    ]
    return 10 * math.floor(10 * min(lows)) - 2


def _describe_measure(results: Results, measure: str) -> str:
    return f"{by_measure(results, measure).caption}: as in the table below it."


def _range_name(low: float, high: float, digits: int) -> str:
    first, last = f"{low:.{digits}f}", f"{high:.{digits}f}"
    return first if first == last else f"{first}\nto {last}"


def _describe_labels(_: Results) -> str:
    return "Recall and precision of each label with intervals, as in the table below it."


FIGURES = (
    ReportFigure("confusion", draw_confusion, _describe_confusion),
    ReportFigure("by_label", draw_labels, _describe_labels),
    ReportFigure("roc", draw_roc, functools.partial(_describe_curves, kind="ROC")),
    ReportFigure("det", draw_det, functools.partial(_describe_curves, kind="DET")),
    ReportFigure("reliability", draw_reliability, _describe_reliability),
    ReportFigure("by_speaker", draw_speakers, _describe_speakers),
    *(
        ReportFigure(
            f"by_{measure}",
            functools.partial(draw_measure, measure=measure),
            functools.partial(_describe_measure, measure=measure),
        )
        for measure in MEASURES
    ),
)
"""Every figure of a report, besides those of the mistakes."""


def _error_bars(
    axes: "Axes",
    places: npt.NDArray[Any],
    ratios: Sequence[Ratio],
    marker: str,
    label: str | None,
    along: str,
) -> None:
    """Draw ratios in % with their intervals along an axis; nothing for those that are NaN."""
    if not len(ratios):
        return
    values, low, high = 100 * np.array(ratios).T
    errors = np.maximum([values - low, high - values], 0)
    style: Any = {"fmt": marker, "markersize": 4, "elinewidth": 1.2, "label": label}
    if along == "x":
        axes.errorbar(values, places, xerr=errors, **style)
    else:
        axes.errorbar(places, values, yerr=errors, **style)


def _short(label: str) -> str:
    return as_text(label if len(label) <= 14 else f"{label[:13]}…")
