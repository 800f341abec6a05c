"""The pictures of a report, each drawn from the arrays of ``report_tables``.

None is wider than a phone shows legibly, but for the confusion matrix of many labels.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from speechcls.evaluation.metrics import Scores
from speechcls.render.figures import GREY, LEVELS, PALETTE, SHARES, as_text, new_figure
from speechcls.report.tables import Curve, Share, Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_LABELS = 30
"""More do not fit; those with the most mistakes are drawn."""
_MOST_NUMBERS = 20
_MOST_CURVES = 6
_WIDTH = 4.6  # inches
_LEAST_RATE = 1e-3
_N_DRAWN = 1_000
_ON_DARK, _ON_LIGHT = "#fefefe", "#010101"  # not pure, since the page turns pure ones to its own


def chosen_labels(scores: Scores) -> list[int]:
    """Return which labels are drawn, in their order: all, or those with the most mistakes."""
    n_labels = len(scores.labels)
    if n_labels <= MOST_LABELS:
        return list(range(n_labels))
    wrong = scores.confusion - np.diag(np.diag(scores.confusion))
    order = np.argsort(-(wrong.sum(axis=0) + wrong.sum(axis=1)), kind="stable")
    return sorted(order[:MOST_LABELS].tolist())


def draw_confusion(scores: Scores) -> "Figure":
    """Return the confusion matrix: colour is the share of the label, the number counts clips."""
    chosen = chosen_labels(scores)
    labels = [_short(scores.labels[i]) for i in chosen]
    counts = scores.confusion[np.ix_(chosen, chosen)]
    shares = counts / np.maximum(scores.confusion[chosen].sum(axis=1, keepdims=True), 1)
    side = max(_WIDTH, 0.27 * len(chosen) + 1.2)
    figure = new_figure(side, side)
    axes = figure.add_subplot()
    # The square root, since mistakes are rare: 1 % is told from 0.
    axes.imshow(np.sqrt(shares), cmap=SHARES, vmin=0, vmax=1)
    if len(chosen) <= _MOST_NUMBERS:
        for row, column in np.argwhere(counts):
            is_light = np.sqrt(shares[row, column]) > 0.55
            colour, size = _ON_LIGHT if is_light else _ON_DARK, 7 if len(chosen) > 12 else 8
            text = str(counts[row, column])
            axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=size)
    axes.set_xticks(range(len(labels)), labels, rotation=90)
    axes.set_yticks(range(len(labels)), labels)
    axes.set_xlabel("heard as")
    axes.set_ylabel("spoken")
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    return figure


def draw_labels(table: Table, scores: Scores) -> "Figure":
    """Return recall and precision of each label with their intervals, the lowest F1 on top."""
    chosen = chosen_labels(scores)
    rows: list[Any] = [table.rows[i] for i in chosen]
    rows.sort(key=lambda row: np.nan_to_num(row[5].value, nan=2.0), reverse=True)
    figure = new_figure(_WIDTH, 0.27 * len(rows) + 0.9)
    axes = figure.add_subplot()
    for column, name, shift, marker in ((4, "recall", 0.14, "o"), (3, "precision", -0.14, "s")):
        shares = [row[column] for row in rows]
        _error_bars(axes, np.arange(len(rows)) + shift, shares, marker, name, along="x")
    axes.set_yticks(range(len(rows)), [_short(row[0]) for row in rows])
    axes.set_ylim(-0.6, len(rows) - 0.4)
    axes.set_xlabel("% with 95 % interval")
    axes.set_xlim(right=100.5)
    axes.grid(axis="x", color=GREY, alpha=0.3)
    figure.legend(loc="outside upper left", ncols=2)
    return figure


def draw_roc(curves: Sequence[Curve]) -> "Figure":
    """Return hits against false alarms; the hardest labels coloured, the others grey."""
    figure = new_figure(_WIDTH, 4.2)
    axes = figure.add_subplot()
    for curve, style in _styled(curves):
        rates = np.maximum(curve.false_alarms, _LEAST_RATE)
        axes.plot(100 * rates, 100 * curve.hits, **style)
    axes.set_xscale("log")
    axes.set_xticks([0.1, 1, 10, 100], ["≤ 0.1", "1", "10", "100"])
    axes.set_xlabel("false alarms, % of the other clips")
    axes.set_ylabel("hits, % of the label's clips")
    least = min((np.interp(_LEAST_RATE, c.false_alarms, c.hits) for c in curves), default=0.0)
    axes.set_ylim(max(0.0, 100 * least - 5 - 0.5 * (1 - least) * 100), 100.5)  # room for the legend
    axes.grid(color=GREY, alpha=0.3)
    if curves:
        axes.legend(loc="lower right", title="hardest first")
    return figure


def draw_det(curves: Sequence[Curve]) -> "Figure":
    """Return misses against false alarms on normal deviate scales.

    Source
    ------
    Martin et al. 1997, "The DET curve in assessment of detection task performance".
    """
    from statistics import NormalDist

    deviate = np.vectorize(NormalDist().inv_cdf)
    ticks = np.array([0.001, 0.01, 0.05, 0.2, 0.5, 0.8])
    figure = new_figure(_WIDTH, 4.2)
    axes = figure.add_subplot()
    worst = max((curve.equal_error for curve in curves), default=0.0)
    low, high = deviate(_LEAST_RATE), deviate(min(0.9, max(0.2, 4 * worst)))
    axes.plot([low, high], [low, high], color=GREY, linewidth=0.8, linestyle=":")
    for curve, style in _styled(curves):
        alarms, misses = (
            deviate(np.clip(rate, _LEAST_RATE, 1 - _LEAST_RATE))
            for rate in (curve.false_alarms, 1 - curve.hits)
        )
        axes.plot(alarms, misses, **style)
    for axis, name in ((axes.xaxis, "false alarms, %"), (axes.yaxis, "misses, %")):
        axis.set_ticks(deviate(ticks), [f"{100 * tick:g}" for tick in ticks])
        axis.set_label_text(name)
    axes.set_xlim(low, high)
    axes.set_ylim(low, high)
    axes.grid(color=GREY, alpha=0.3)
    if curves:
        axes.legend(loc="upper right", title="hardest first")
    return figure


def _styled(curves: Sequence[Curve]) -> list[tuple[Curve, dict[str, Any]]]:
    """Return each curve and its line, the easiest first, so that the hardest lie on top."""
    ranked = sorted(curves, key=lambda curve: curve.area)
    dashes = ["-", "--", "-."]
    styled: list[tuple[Curve, dict[str, Any]]] = []
    for k, curve in enumerate(ranked[:_MOST_CURVES]):
        style = {"color": PALETTE[k], "linestyle": dashes[k % 3], "label": _short(curve.label)}
        styled.append((curve, style))
    for k, curve in enumerate(ranked[_MOST_CURVES:]):
        name = "the others" if k == 0 else None
        styled.append((curve, {"color": GREY, "linewidth": 0.8, "label": name}))
    return styled


def draw_reliability(table: Table) -> "Figure":
    """Return how often answers of each confidence are right, over how many there are."""
    from matplotlib.ticker import LogLocator, NullFormatter

    figure = new_figure(_WIDTH, 4.2)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    upper.plot([0, 100], [0, 100], color=GREY, linestyle=":", label="as sure as it should be")
    rows: list[Any] = table.rows
    means = np.array([100 * row[3] for row in rows])
    _error_bars(upper, means, [row[4] for row in rows], "o", "answers", along="y")
    upper.set_ylabel("right, %")
    upper.set_ylim(0, 102)
    upper.grid(color=GREY, alpha=0.3)
    upper.legend(loc="lower right")
    lower.bar([100 * row[0] for row in rows], [row[2] for row in rows], 9.2, align="edge")
    lower.set_yscale("log")
    lower.yaxis.set_major_locator(LogLocator(numticks=4))
    lower.yaxis.set_major_formatter(lambda n, _: f"{n:,.0f}" if n >= 1 else "")
    lower.yaxis.set_minor_formatter(NullFormatter())
    lower.set_ylabel("clips")
    lower.set_xlabel("probability that the model gave its answer, %")
    lower.set_xlim(0, 102)
    return figure


def draw_speakers(table: Table) -> "Figure":
    """Return the accuracy of each speaker, the lowest on the left.

    A few have their intervals; behind many lies what chance alone would make of them.
    """
    figure = new_figure(_WIDTH, 3.0)
    axes = figure.add_subplot()
    rows: list[Any] = table.rows
    places = np.arange(1, len(rows) + 1)
    shares = np.array([row[3] for row in rows])
    if len(rows) <= MOST_LABELS:
        _error_bars(axes, places, [row[3] for row in rows], "o", None, along="y")
        axes.set_xticks(places, [_short(row[0]) for row in rows], rotation=90)
        axes.set_xlim(0.4, len(rows) + 0.6)
    else:
        low, high = expected_spread([row[1] for row in rows], sum(row[2] for row in rows))
        axes.fill_between(
            places, 100 * low, 100 * high, color=GREY, alpha=0.35, lw=0, label="by chance alone"
        )
        axes.plot(places, 100 * shares[:, 0], color=PALETTE[0], label="speakers")
        axes.legend(loc="lower right")
        axes.set_xlabel(f"the {len(rows):,} speakers, the least understood first")
    axes.set_ylabel("right, %")
    axes.set_ylim(-2, 102)
    axes.grid(axis="y", color=GREY, alpha=0.3)
    return figure


def expected_spread(
    n_clips: Sequence[int], n_mistakes: int, seed: int = 0
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return where 95 % of sorted accuracies lie if all speakers are understood equally well.

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


def draw_measure(table: Table) -> "Figure":
    """Return the accuracy of each group of clips with its interval."""
    figure = new_figure(_WIDTH, 2.6)
    axes = figure.add_subplot()
    rows: list[Any] = table.rows
    unit = table.columns[0][1]
    digits = 2 if unit == "s" else 0
    names = [_range_name(row[0], row[1], digits) for row in rows]
    _error_bars(axes, np.arange(len(rows)), [row[3] for row in rows], "o", None, along="y")
    axes.set_xticks(range(len(rows)), names)
    axes.set_xlim(-0.6, len(rows) - 0.4)
    axes.set_xlabel({"loudness": "dB, full scale is 0", "noise": "dB over the noise"}.get(
        table.name.removeprefix("by_"), "seconds"
    ))  # fmt: skip
    axes.set_ylabel("right, %")
    axes.set_ylim(top=100.5)
    axes.grid(axis="y", color=GREY, alpha=0.3)
    return figure


def _range_name(low: float, high: float, digits: int) -> str:
    first, last = f"{low:.{digits}f}", f"{high:.{digits}f}"
    return first if first == last else f"{first}\nto {last}"


def draw_clip(
    samples: npt.NDArray[np.float32], features: npt.NDArray[np.float32], duration_s: float
) -> "Figure":
    """Return what the model hears of a clip: its waveform over its features.

    Parameters
    ----------
    samples : (n_samples,) of the model's window
    features : (n_frames, n_features), earliest first
    duration_s : length of the window
    """
    figure = new_figure(3.4, 1.9)
    figure.set_layout_engine("none")  # which takes longer than to draw
    upper, lower = (
        figure.add_axes((0.04, 0.66, 0.92, 0.32)),
        figure.add_axes((0.04, 0.22, 0.92, 0.42)),
    )
    n_columns = min(240, len(samples))
    columns = np.array_split(samples, n_columns)
    times = (np.arange(n_columns) + 0.5) * duration_s / n_columns
    lows, highs = [c.min() for c in columns], [c.max() for c in columns]
    upper.fill_between(times, lows, highs, color=PALETTE[0], lw=0.4)
    upper.set_xlim(0, duration_s)
    upper.axis("off")
    low, high = np.percentile(features, [2, 99.5])
    lower.imshow(
        features.T,
        origin="lower",
        aspect="auto",
        cmap=LEVELS,
        vmin=low,
        vmax=max(high, low + 1e-6),
        extent=(0, duration_s, 0, features.shape[1]),
    )
    lower.set_yticks([])
    lower.spines[:].set_visible(False)
    lower.set_xlabel("s", labelpad=1)
    return figure


def _error_bars(
    axes: "Axes",
    places: npt.NDArray[Any],
    shares: Sequence[Share],
    marker: str,
    label: str | None,
    along: str,
) -> None:
    """Draw shares in % with their intervals along an axis; nothing for those that are NaN."""
    if not len(shares):
        return
    values, low, high = 100 * np.array(shares).T
    errors = np.maximum([values - low, high - values], 0)
    style: Any = {"fmt": marker, "markersize": 4, "elinewidth": 1.2, "label": label}
    if along == "x":
        axes.errorbar(values, places, xerr=errors, **style)
    else:
        axes.errorbar(places, values, yerr=errors, **style)


def _short(label: str) -> str:
    return as_text(label if len(label) <= 14 else f"{label[:13]}…")
