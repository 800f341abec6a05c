"""Figures of comparisons: learning curves, accuracy against size, delayed recall."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from speechcls.evaluation.significance import Comparison
from speechcls.render.curves import History, label_epochs, name_measure
from speechcls.render.figures import GREY, PALETTE, as_text, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


_MARKERS = "osD^vPX"  # for readers who cannot distinguish the colours
_STYLES = ("-", "--", ":")


def draw_learning_curves(histories: Mapping[str, Sequence[History]]) -> "Figure":
    """Return balanced accuracy by epoch: a colour per architecture, a thin line per seed.

    It is plain accuracy where one of the models is so old that its history has no other.
    The thick line is the mean of the seeds over the epochs that all of them have.
    """
    figure = new_figure(7.0, 4.0)
    axes = figure.subplots()
    measure, measured = name_measure(seed for seeds in histories.values() for seed in seeds)
    for number, (name, seeds) in enumerate(histories.items()):
        color, style = _colour_and_line(number)
        percent = [[100 * epoch[measure] for epoch in history] for history in seeds]
        for values in percent if len(percent) > 1 else ():
            axes.plot(range(1, len(values) + 1), values, style, color=color, alpha=0.35, lw=0.7)
        n_epochs = min(map(len, percent))
        means = np.mean([values[:n_epochs] for values in percent], axis=0)
        marker = "o" if n_epochs < 3 else ""
        axes.plot(range(1, n_epochs + 1), means, style, color=color, lw=1.8, marker=marker)
        axes.lines[-1].set_label(as_text(f"{name}, {means[-1]:.1f} % at the end"))
    axes.set_ylabel(f"{measured}, %")
    axes.legend(loc="lower right")
    label_epochs(axes)
    return figure


def draw_sizes(comparison: Comparison, parameters: Mapping[str, int | None]) -> "Figure":
    """Return accuracy, with its 95 % interval, against the number of parameters.

    A contender with an unknown number of parameters is left out.
    """
    from matplotlib.ticker import LogLocator, NullFormatter

    figure = new_figure(7.0, 4.0)
    axes = figure.subplots()
    rows = zip(comparison.contenders, comparison.intervals, strict=True)
    for number, (contender, (low, high)) in enumerate(rows):
        n_parameters = parameters[contender.name]
        if n_parameters is None:
            continue
        accuracy = 100 * contender.accuracy
        axes.errorbar(
            n_parameters,
            accuracy,
            # The interval of a bootstrap may just miss the mean where accuracy is near 1.
            yerr=[[max(0.0, accuracy - 100 * low)], [max(0.0, 100 * high - accuracy)]],
            fmt=_MARKERS[number % len(_MARKERS)],
            color=PALETTE[number % len(PALETTE)],
            capsize=3,
            label=as_text(f"{contender.name}, {accuracy:.1f} %"),
        )
    axes.set_xscale("log")
    counts = [n for n in parameters.values() if n is not None]
    if counts:
        axes.set_xlim(min(counts) / 1.5, max(counts) * 1.5)
    # At 1, 2 and 5 times a power of ten; there is no room for more.
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter(lambda n, _: f"{n:,.0f}")
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_ylim(top=min(axes.get_ylim()[1], 101.0))
    axes.set_xlabel("parameters")
    axes.set_ylabel("accuracy, % (bars: 95 % interval)")
    if counts:  # beside the axes, where it covers no point
        axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def draw_delayed_recall(
    curves: Mapping[tuple[int, str], Mapping[float, tuple[float, float]]], chance: float
) -> "Figure":
    """Return accuracy against the delay after a word: a panel per step length, a line per network.

    Parameters
    ----------
    curves : mean and standard deviation of accuracy by (ms per step, architecture) and delay in
        seconds
    chance : majority-class accuracy
    """
    steps = sorted({step_ms for step_ms, _ in curves})
    archs = list(dict.fromkeys(arch for _, arch in curves))
    figure = new_figure(3.8 * len(steps) + 0.4, 3.6)
    panels = figure.subplots(1, len(steps), sharey=True, squeeze=False)[0]
    for axes, step_ms in zip(panels, steps, strict=True):
        for (step, arch), curve in curves.items():
            if step == step_ms:
                _draw_recall(axes, archs.index(arch), arch, curve)
        axes.axhline(100 * chance, color=GREY, ls="--", lw=1)
        axes.annotate(
            "chance", (1, 100 * chance), (0, 3), xycoords=("axes fraction", "data"),
            textcoords="offset points", color="#595959", ha="right", fontsize=8,
        )  # fmt: skip
        axes.set_title(f"{step_ms} ms per step")
        axes.set_xlabel("seconds from the end of the word to the prediction")
        axes.set_ylim(0, 102)
    panels[0].set_ylabel("held-out words right, %")
    lines = {line.get_label(): line for axes in panels for line in axes.lines}
    figure.legend([lines[arch] for arch in archs], archs, loc="outside upper left", ncols=4)
    return figure


def _draw_recall(
    axes: "Axes", number: int, arch: str, curve: Mapping[float, tuple[float, float]]
) -> None:
    """Draw the mean of one network and a band of one standard deviation."""
    color, style = _colour_and_line(number)
    delays_s = list(curve)
    means = np.array([100 * mean for mean, _ in curve.values()])
    deviation = np.array([0.0 if math.isnan(s) else 100 * s for _, s in curve.values()])
    marker = _MARKERS[number % len(_MARKERS)]
    axes.plot(delays_s, means, style, color=color, marker=marker, ms=4, label=arch)
    low, high = means - deviation, means + deviation
    axes.fill_between(delays_s, low, high, color=color, alpha=0.15, lw=0)


def _colour_and_line(number: int) -> tuple[str, str]:
    """Return colour and style of the line ``number``; from the eighth on it is dashed."""
    return PALETTE[number % len(PALETTE)], _STYLES[number // len(PALETTE) % len(_STYLES)]
