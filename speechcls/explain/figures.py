"""The panels of ``explain`` as pictures, still and moving."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from speechcls.explain.panels import GateImage, input_panels, layer_panels, layer_title
from speechcls.explain.trace import Explanation
from speechcls.render.figures import GREY, LONGEST_TITLE, as_text, new_figure
from speechcls.render.panels import Panel, draw_panel

if TYPE_CHECKING:
    from matplotlib.figure import Figure, SubFigure


N_FRAMES = 51
"""Frames of an animation."""
SLOWDOWN, MAX_DURATION_S = 5.0, 15.0
"""How much slower than the sound an animation is, and how long it lasts at most."""
_MOVING_DPI = 70
_FADED = 0.2
_CURSOR = (194, 24, 91)


def draw_explanation(explanation: Explanation, title: str, layer: int | None) -> "Figure":
    """Return the whole figure: input and output on the left, a layer on the right.

    Parameters
    ----------
    layer : from 1, the lowest; None for a network without recurrent layers, which has no right side
    """
    figure = new_figure(14.0 if layer else 7.5, 9.5)
    figure.suptitle(as_text(title, LONGEST_TITLE), x=0.01, ha="left", fontsize=12)
    left, *right = figure.subfigures(1, 2 if layer else 1, wspace=0.02, squeeze=False)[0]
    moment = explanation.end_s, explanation.decisive_s
    stack_panels(left, input_panels(explanation), *moment)
    if layer:
        right[0].suptitle(layer_title(explanation, layer), x=0.02, ha="left", fontsize=10)
        stack_panels(right[0], layer_panels(explanation, layer), *moment)
    return figure


def animate_figure(figure: "Figure", end_s: float) -> list[npt.NDArray[np.uint8]]:
    """Return the frames of an animation of a figure, in which the future is faded out.

    The resolution of the figure is changed.

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
    faded = (255 - (255 - whole.astype(np.int64)) * _FADED).astype(np.uint8)
    frames = []
    for time_s in np.linspace(0, end_s, N_FRAMES):
        frame = whole.copy()
        for axes in figure.axes:
            box = axes.get_window_extent()
            top, bottom = (round(len(whole) - y) for y in (box.y1, box.y0))
            now, end = round(axes.transData.transform((time_s, 0.0))[0]), round(box.x1)
            frame[top:bottom, now:end] = faded[top:bottom, now:end]
            frame[top:bottom, now : now + 2] = _CURSOR
        frames.append(frame)
    return frames


def stack_panels(
    figure: "Figure | SubFigure", panels: Sequence[Panel], end_s: float, marked_s: float | None
) -> None:
    """Draw panels below each other over one time axis, with one moment marked."""
    heights = [panel.height for panel in panels]
    stacked = figure.subplots(len(panels), 1, sharex=True, height_ratios=heights, squeeze=False)
    for axes, panel in zip(stacked[:, 0], panels, strict=True):
        draw_panel(axes, panel)
        if isinstance(panel, GateImage):
            axes.set_yticks([])
            if panel.n_forward < len(panel.values):
                axes.axhline(panel.n_forward, color="white", linewidth=1.5)
        if marked_s is not None:
            axes.axvline(marked_s, color=GREY, linewidth=0.8, linestyle=":")
    stacked[-1, 0].set_xlabel("seconds")
    stacked[-1, 0].set_xlim(0, end_s)
