"""The panels of ``explain`` and ``features``, drawn from the arrays that ``explaining`` made."""

import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from speechcls.config import FeatureConfig
from speechcls.explaining import (
    OCCLUDED_S,
    SHARES,
    SPECTROGRAM_DB,
    STATE,
    Array,
    Explanation,
    GatePanel,
    gate_panels,
    spectrogram,
)
from speechcls.figures import GREY, LEVELS, PALETTE, SIGNED, as_text, new_figure
from speechcls.figures import SHARES as SHARES_MAP

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

_GATE_TITLES = {
    "forget": "forget gate f: the share of the old cell that stays",
    "input": "input gate i: the share of the candidate that is added",
    "candidate": "candidate c\u0303: what could be added",
    "cell": "cell c = f·c + i·c\u0303: what is remembered",
    "output": "output gate o: the share of the cell that is shown",
    "reset": "reset gate r: the share of the old state that the candidate sees",
    "update": "update gate z: the share of the old state that stays",
}
_STATE_TITLES = {
    "rnn": "state h = tanh(W_x x + W_h h + b)",
    "fastrnn": "state h = β·h + α·tanh(W_x x + W_h h + b)",
    "lstm": "state h = o·tanh(c)",
    "lstmp": "state h = P (o·tanh(c)), in units of its own",
    "gru": "state h = z·h + (1 - z)·candidate",
    "mingru": "state h = (1 - z)·h + z·candidate",
}
_MOST_CURVES = 6

Draw = Callable[["Axes", Explanation], None]


class _Panel(NamedTuple):
    """One picture in a column of them, under one time axis."""

    height: float
    draw: Draw


def draw_explanation(explanation: Explanation, title: str, layer: int) -> "Figure":
    """Return the whole figure: what is heard and answered on the left, a layer on the right."""
    left = [
        _Panel(0.8, _draw_waveform),
        _Panel(1.5, _draw_spectrogram),
        _Panel(1.5, _draw_features),
        _Panel(1.5, _draw_unfolding),
        *([_Panel(1.0, _draw_attention)] if explanation.attention is not None else []),
        _Panel(1.2, _draw_occlusion),
    ]
    figure = new_figure(14.0, 9.5)
    figure.suptitle(as_text(title), x=0.01, ha="left", fontsize=12)
    heard, inside = figure.subfigures(1, 2, wspace=0.02, squeeze=False)[0]
    _stack(heard, left, explanation)
    inside.suptitle(_layer_title(explanation, layer), x=0.02, ha="left", fontsize=10)
    _stack(inside, _gates(explanation, layer), explanation)
    return figure


def draw_gates(explanation: Explanation, title: str, layer: int) -> "Figure":
    """Return the waveform over the gates of a layer."""
    panels = [_Panel(0.6, _draw_waveform), *_gates(explanation, layer)]
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
    values : (n_frames, n_features), of which frame ``i`` has its middle at ``i * hop_length``
    kind : ``spectrogram``, ``log-mel`` or ``mfcc``
    """
    figure = new_figure(8.0, 4.5)
    figure.suptitle(as_text(title), x=0.01, ha="left", fontsize=10)
    top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=[1, 2.5])
    _plot_waveform(top, samples, config.sample_rate)
    times_s = np.arange(len(values)) * config.hop_length / config.sample_rate
    units = {
        "spectrogram": "spectrogram, dB below its loudest point",
        "log-mel": "mel energies, dB",
        "mfcc": "mel-frequency cepstral coefficients",
    }
    bottom.set_title(units[kind])
    if kind == "spectrogram":
        _plot_image(bottom, values.T, times_s, LEVELS, (0, config.sample_rate / 2e3))
        bottom.set_ylabel("kHz")
    else:
        colours = SIGNED if kind == "mfcc" else LEVELS
        most = float(np.abs(values[:, 1:]).max()) if kind == "mfcc" else None  # the first is huge
        limits = (-most, most) if most else None
        _plot_image(bottom, values.T, times_s, colours, (0, values.shape[1]), limits)
        bottom.set_ylabel("coefficient" if kind == "mfcc" else "mel band")
    bottom.set_xlabel("seconds")
    bottom.set_xlim(0, len(samples) / config.sample_rate)
    return figure


def _layer_title(explanation: Explanation, layer: int) -> str:
    ways = " and ".join(explanation.layers[layer - 1])
    text = f"layer {layer} of {len(explanation.layers)}, {ways}: a row a unit, sorted by when its"
    text += " state is active"
    if not explanation.has_gates:
        text += f"\n{explanation.arch} has no gates: all there is to see are its states"
    return text


def _gates(explanation: Explanation, layer: int) -> list[_Panel]:
    panels = gate_panels(explanation, layer)
    return [_Panel(1.0, functools.partial(_draw_gate, panel=panel)) for panel in panels]


def _stack(figure: "Figure | SubFigure", panels: Sequence[_Panel], about: Explanation) -> None:
    """Draw panels below each other over one time axis, with the decisive moment marked."""
    heights = [panel.height for panel in panels]
    stacked = figure.subplots(len(panels), 1, sharex=True, height_ratios=heights, squeeze=False)
    for axes, panel in zip(stacked[:, 0], panels, strict=True):
        panel.draw(axes, about)
        if about.decisive_s is not None:
            axes.axvline(about.decisive_s, color=GREY, linewidth=0.8, linestyle=":")
    stacked[-1, 0].set_xlabel("seconds")
    end_s = len(about.samples) / about.config.sample_rate
    stacked[-1, 0].set_xlim(0, max(end_s, about.step_times_s[-1]))


def _draw_waveform(axes: "Axes", about: Explanation) -> None:
    _plot_waveform(axes, about.samples, about.config.sample_rate)


def _plot_waveform(axes: "Axes", samples: Array, sample_rate: int) -> None:
    """Draw (n_samples,) as the highest and lowest of each hundredth of the width."""
    times_s = np.arange(len(samples)) / sample_rate
    n_each = max(1, len(samples) // 1_000)
    whole = len(samples) // n_each * n_each
    pieces = samples[:whole].reshape(-1, n_each)
    at = times_s[:whole:n_each]
    axes.fill_between(at, pieces.min(axis=1), pieces.max(axis=1), color=PALETTE[0], linewidth=0.4)
    axes.set_title("waveform")
    axes.set_ylabel("amplitude")


def _draw_spectrogram(axes: "Axes", about: Explanation) -> None:
    config = about.config
    values = spectrogram(about.samples, config)
    times_s = np.arange(len(values)) * config.hop_length / config.sample_rate
    limits = (-SPECTROGRAM_DB, 0.0)
    _plot_image(axes, values.T, times_s, LEVELS, (0, config.sample_rate / 2e3), limits)
    axes.set_title("spectrogram, dB below its loudest point")
    axes.set_ylabel("kHz")


def _draw_features(axes: "Axes", about: Explanation) -> None:
    most = float(np.quantile(np.abs(about.features), 0.99)) or 1.0
    size = (0, about.features.shape[1])
    _plot_image(axes, about.features.T, about.frame_times_s, SIGNED, size, (-most, most))
    is_mfcc = about.config.kind == "mfcc"
    what = "cepstral coefficients (MFCC)" if is_mfcc else "log-mel energies"
    axes.set_title(f"what the network hears: {what}, in standard deviations")
    axes.set_ylabel("coefficient" if is_mfcc else "mel band")


def _draw_unfolding(axes: "Axes", about: Explanation) -> None:
    times_s, values = about.unfolding
    by_height = values.max(axis=0).argsort(kind="stable")[::-1]
    shown = [about.label_index, *(i for i in by_height if i != about.label_index)][:_MOST_CURVES]
    for label_index in set(range(values.shape[1])) - set(shown):
        axes.plot(times_s, values[:, label_index], color=GREY, linewidth=0.5, alpha=0.5)
    for label_index, colour in zip(shown, PALETTE, strict=False):
        width = 2.0 if label_index == about.label_index else 1.0
        name = about.labels[label_index]
        axes.plot(
            times_s, values[:, label_index], color=colour, linewidth=width, label=as_text(name)
        )
    how = "at each step of the network"
    if not about.unfolds_by_steps:
        how = "if all after this moment were silence"
    axes.set_title(f"probability of each label {how}")
    axes.set_ylim(-0.02, 1.02)
    axes.set_ylabel("probability")
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), handlelength=1.0)


def _draw_attention(axes: "Axes", about: Explanation) -> None:
    assert about.attention is not None
    for head, colour in zip(range(about.attention.shape[1]), PALETTE, strict=False):
        weights = about.attention[:, head]
        axes.plot(about.step_times_s, weights, ".-", color=colour, label=f"head {head + 1}")
    axes.set_title("attention: how much of each step goes into the answer")
    axes.set_ylabel("weight")
    axes.set_ylim(bottom=0)
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), handlelength=1.0)


def _draw_occlusion(axes: "Axes", about: Explanation) -> None:
    times_s, lost = about.occlusion
    axes.axhline(0, color=GREY, linewidth=0.8)
    axes.fill_between(times_s, lost, color=PALETTE[1], alpha=0.5, linewidth=0)
    axes.plot(times_s, lost, color=PALETTE[1], linewidth=1.2)
    label = as_text(about.labels[about.label_index])
    axes.set_title(
        f"what decides, by occlusion: probability of {label} lost when {OCCLUDED_S:g} s is silence"
    )
    axes.set_ylabel("lost")
    axes.set_ylim(min(-0.1, 1.1 * lost.min()), max(0.2, 1.1 * lost.max()))


def _draw_gate(axes: "Axes", about: Explanation, panel: GatePanel) -> None:
    is_share = panel.name in SHARES
    if is_share:
        limits = (0.0, 1.0)
    else:
        most = float(np.abs(panel.rows).max()) or 1.0
        limits = (-most, most)
    # Rows count from above.
    size = (len(panel.rows), 0)
    colours = SHARES_MAP if is_share else SIGNED
    _plot_image(axes, panel.rows, about.step_times_s, colours, size, limits)
    axes.set_title(_gate_title(about.cell, panel.name))
    axes.set_yticks([])
    if panel.n_forward == len(panel.rows):
        axes.set_ylabel(f"{len(panel.rows)} units")
    else:
        axes.axhline(panel.n_forward, color="white", linewidth=1.5)
        axes.set_ylabel("reverse  forward")


def _gate_title(cell: str, name: str) -> str:
    if name == STATE:
        return _STATE_TITLES[cell]
    if name == "update" and cell == "mingru":
        return "update gate z: the share of the candidate that is taken"
    if name == "candidate" and "lstm" not in cell:
        return "candidate: what could become the state"
    return _GATE_TITLES[name]


def _plot_image(
    axes: "Axes",
    values: Array,
    times_s: Array,
    colours: str,
    y_limits: tuple[float, float],
    limits: tuple[float, float] | None = None,
) -> None:
    """Draw (n_rows, n_times) with a scale beside it; ``y_limits`` are of the lower, upper edge."""
    half = (times_s[1] - times_s[0]) / 2 if len(times_s) > 1 else 0.01
    place = (times_s[0] - half, times_s[-1] + half, *y_limits)
    low, high = limits or (None, None)
    origin: Any = "lower" if y_limits[1] > y_limits[0] else "upper"
    image = axes.imshow(
        values, cmap=colours, vmin=low, vmax=high, extent=place, aspect="auto", origin=origin
    )
    bar = axes.inset_axes((1.01, 0.0, 0.015, 1.0))
    axes.figure.colorbar(image, cax=bar)
    bar.tick_params(labelsize=7)
