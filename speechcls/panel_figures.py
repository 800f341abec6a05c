"""The panels of ``explain`` and ``features`` as pictures."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from speechcls.config import FeatureConfig
from speechcls.explaining import Array, Explanation
from speechcls.figures import GREY, PALETTE, as_text, new_figure
from speechcls.panels import (
    Curves,
    Image,
    Panel,
    Wave,
    features_panel,
    heard_panels,
    layer_panels,
    layer_title,
    wave_panel,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

N_FRAMES = 51
"""Of a moving picture."""
SLOWER, LONGEST_S = 5.0, 15.0
"""How much slower than the sound a moving picture is, and how long it lasts at most."""
_MOVING_DPI = 70
_PALE = 0.2
_CURSOR = (194, 24, 91)
_MOST_MARKED = 40
"""Points of a curve; more are not marked."""


def draw_explanation(explanation: Explanation, title: str, layer: int) -> "Figure":
    """Return the whole figure: what is heard and answered on the left, a layer on the right."""
    figure = new_figure(14.0, 9.5)
    figure.suptitle(as_text(title), x=0.01, ha="left", fontsize=12)
    heard, inside = figure.subfigures(1, 2, wspace=0.02, squeeze=False)[0]
    _stack(heard, heard_panels(explanation), explanation)
    inside.suptitle(layer_title(explanation, layer), x=0.02, ha="left", fontsize=10)
    _stack(inside, layer_panels(explanation, layer), explanation)
    return figure


def animate_figure(figure: "Figure", end_s: float) -> list[npt.NDArray[np.uint8]]:
    """Return a figure of panels moment by moment, with what is still to come paled.

    Its resolution is changed.

    Parameters
    ----------
    end_s : where the time axes of its panels end

    Returns
    -------
    ``N_FRAMES`` of (height, width, 3), red, green and blue
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    figure.set_dpi(_MOVING_DPI)
    canvas: Any = FigureCanvasAgg(figure)
    canvas.draw()
    whole = np.asarray(canvas.buffer_rgba())[:, :, :3]
    pale = (255 - (255 - whole.astype(np.int64)) * _PALE).astype(np.uint8)
    frames = []
    for time_s in np.linspace(0, end_s, N_FRAMES):
        frame = whole.copy()
        for axes in figure.axes:
            box = axes.get_window_extent()
            top, bottom = (round(len(whole) - y) for y in (box.y1, box.y0))
            now, end = round(axes.transData.transform((time_s, 0.0))[0]), round(box.x1)
            frame[top:bottom, now:end] = pale[top:bottom, now:end]
            frame[top:bottom, now : now + 2] = _CURSOR
        frames.append(frame)
    return frames


def draw_gates(explanation: Explanation, title: str, layer: int) -> "Figure":
    """Return the waveform over the gates of a layer."""
    wave = wave_panel(explanation.samples, explanation.config.sample_rate, 0.6)
    panels: list[Panel] = [wave, *layer_panels(explanation, layer)]
    figure = new_figure(7.5, 1.5 + 1.2 * len(panels))
    figure.suptitle(as_text(title), x=0.01, ha="left", fontsize=10)
    _stack(figure, panels, explanation)
    return figure


def draw_features(
    samples: Array, values: Array, kind: str, config: FeatureConfig, title: str
) -> "Figure":
    """Return the waveform over one kind of features.

    Parameters
    ----------
    samples : (n_samples,)
    values, kind : as ``panels.features_panel`` takes them
    """
    figure = new_figure(8.0, 4.5)
    figure.suptitle(as_text(title), x=0.01, ha="left", fontsize=10)
    top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=[1, 2.5])
    _draw(top, wave_panel(samples, config.sample_rate, 1.0))
    _draw(bottom, features_panel(values, kind, config))
    bottom.set_xlabel("seconds")
    bottom.set_xlim(0, len(samples) / config.sample_rate)
    return figure


def _stack(figure: "Figure | SubFigure", panels: Sequence[Panel], about: Explanation) -> None:
    """Draw panels below each other over one time axis, with the decisive moment marked."""
    heights = [panel.height for panel in panels]
    stacked = figure.subplots(len(panels), 1, sharex=True, height_ratios=heights, squeeze=False)
    for axes, panel in zip(stacked[:, 0], panels, strict=True):
        _draw(axes, panel)
        if about.decisive_s is not None:
            axes.axvline(about.decisive_s, color=GREY, linewidth=0.8, linestyle=":")
    stacked[-1, 0].set_xlabel("seconds")
    stacked[-1, 0].set_xlim(0, about.end_s)


def _draw(axes: "Axes", panel: Panel) -> None:
    axes.set_title(as_text(panel.title))
    axes.set_ylabel(panel.unit)
    match panel:
        case Wave():
            axes.fill_between(panel.times_s, panel.low, panel.high, color=PALETTE[0], linewidth=0.4)
        case Curves():
            _draw_curves(axes, panel)
        case Image():
            _draw_image(axes, panel)


def _draw_curves(axes: "Axes", panel: Curves) -> None:
    axes.set_ylim(*panel.limits)
    if panel.is_area:
        axes.axhline(0, color=GREY, linewidth=0.8)
        axes.fill_between(
            panel.times_s, panel.values[:, 0], color=PALETTE[1], alpha=0.5, linewidth=0
        )
        axes.plot(panel.times_s, panel.values[:, 0], color=PALETTE[1], linewidth=1.2)
        return
    for values in panel.values.T[panel.n_named :]:
        axes.plot(panel.times_s, values, color=GREY, linewidth=0.5, alpha=0.5)
    marker = "." if len(panel.times_s) <= _MOST_MARKED else ""
    named = zip(panel.names, panel.values.T, PALETTE, strict=False)
    for place, (name, values, colour) in enumerate(list(named)[: panel.n_named]):
        axes.plot(
            panel.times_s,
            values,
            marker=marker,
            markersize=3,
            color=colour,
            linewidth=2.0 if place < panel.n_thick else 1.0,
            label=as_text(name),
        )
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), handlelength=1.0)


def _draw_image(axes: "Axes", panel: Image) -> None:
    """Draw values with their scale beside them."""
    times_s = panel.times_s
    half_s = (times_s[1] - times_s[0]) / 2 if len(times_s) > 1 else 0.01
    top, bottom = panel.edges
    image = axes.imshow(
        np.asarray(panel.values),
        cmap=panel.colours,
        vmin=panel.limits[0],
        vmax=panel.limits[1],
        extent=(times_s[0] - half_s, times_s[-1] + half_s, bottom, top),
        aspect="auto",
        origin="upper",
    )
    if panel.n_forward is not None:
        axes.set_yticks([])
        if panel.n_forward < len(panel.values):
            axes.axhline(panel.n_forward, color="white", linewidth=1.5)
    bar = axes.inset_axes((1.01, 0.0, 0.015, 1.0))
    axes.figure.colorbar(image, cax=bar)
    bar.tick_params(labelsize=7)
