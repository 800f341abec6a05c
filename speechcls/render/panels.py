"""Panels over time (waveform, image, curves), drawn by matplotlib."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from speechcls.audio.samples import FloatArray as Array
from speechcls.audio.spectrogram import SPECTROGRAM_DB
from speechcls.config import FEATURE_KINDS, FeatureConfig
from speechcls.render.figures import (
    DIVERGING,
    GREY,
    LEVELS,
    LONGEST_TITLE,
    PALETTE,
    as_text,
    new_figure,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


_N_NAMED = 6
_N_COLUMNS = 1_000
COLOUR_QUANTILE = 0.99
"""Quantile of the absolute values at which a symmetric scale of colours ends."""


@dataclass(frozen=True)
class Wave:
    """The envelope of a waveform: the lowest and the highest sample of short parts."""

    title: str
    unit: str
    height: float
    times_s: Array
    """(n_times,) the start of each part."""
    low: Array
    """(n_times,)"""
    high: Array
    """(n_times,)"""


@dataclass(frozen=True)
class Image:
    """Values of many rows over time, as colours."""

    title: str
    unit: str
    height: float
    times_s: Array
    """(n_times,) the middle of each column."""
    values: Array
    """(n_rows, n_times), the first row on top."""
    colours: str
    """Name of a colour map."""
    limits: tuple[float, float]
    """Values of the first and the last colour."""
    edges: tuple[float, float]
    """Upper edge of the first row and lower edge of the last row, in ``unit``."""
    value_unit: str = field(default="", kw_only=True)
    """Of the values, at the bar of colours; empty for none."""


@dataclass(frozen=True)
class Curves:
    """Series of values over time, drawn as lines."""

    title: str
    unit: str
    height: float
    times_s: Array
    """(n_times,)"""
    values: Array
    """(n_times, n_series)"""
    names: tuple[str, ...]
    """Of each series, the most important first."""
    limits: tuple[float, float]
    n_named: int = _N_NAMED
    """Number of series with a name and a colour; the others are grey."""
    n_thick: int = 0
    """Number of series with a thick line."""
    is_area: bool = False
    """Whether the area between the one series and 0 is filled."""


Panel = Wave | Image | Curves


def wave_panel(samples: Array, sample_rate: int, height: float) -> Wave:
    """Return the waveform of samples (n_samples,)."""
    starts, low, high = envelope(samples, _N_COLUMNS)
    return Wave("waveform", "amplitude", height, starts / sample_rate, low, high)


def envelope(samples: Array, n_parts: int) -> tuple[Array, Array, Array]:
    """Return start, lowest and highest sample of equal parts of a waveform (n_samples,).

    There are ``n_parts`` to twice as many, fewer if there are fewer samples; a rest is left out.

    Returns
    -------
    Starts in samples, minima and maxima, (n,) each
    """
    length = max(1, len(samples) // n_parts)
    parts = samples[: len(samples) // length * length].reshape(-1, length)
    starts = np.arange(len(parts), dtype=np.float64) * length
    return starts, parts.min(axis=1), parts.max(axis=1)


def spectrogram_panel(values: Array, config: FeatureConfig) -> Image:
    """Return the panel of a spectrogram (n_frames, n_frequencies), dB, of ``audio.spectrogram``."""
    limits, edges = (-SPECTROGRAM_DB, 0.0), (config.sample_rate / 2e3, 0.0)
    title = "spectrogram, dB below its loudest point"
    return _features_over_time(title, "kHz", values, config, LEVELS, limits, edges, "dB")


def features_panel(values: Array, kind: str, config: FeatureConfig) -> Image:
    """Return the panel of one kind of features of a whole clip.

    Parameters
    ----------
    values : (n_frames, n_features), the earliest frame first
    kind : ``spectrogram``, or one of ``FEATURE_KINDS``
    """
    if kind == "spectrogram":
        return spectrogram_panel(values, config)
    about, edges = FEATURE_KINDS[kind], (float(values.shape[1]), 0.0)
    title = f"{about.title}, {about.unit}" if about.unit else about.title
    colours, limits = LEVELS, (float(values.min()), float(values.max()))
    if about.is_signed:
        # The first coefficient is much larger than the others.
        most = float(np.quantile(np.abs(values[:, 1:]), COLOUR_QUANTILE)) or 1.0
        colours, limits = DIVERGING, (-most, most)
    return _features_over_time(
        title, about.value_name, values, config, colours, limits, edges, about.unit or "value"
    )


def _features_over_time(
    title: str,
    unit: str,
    values: Array,
    config: FeatureConfig,
    colours: str,
    limits: tuple[float, float],
    edges: tuple[float, float],
    value_unit: str,
) -> Image:
    """Return the panel of values (n_frames, n_features); frame ``i`` is at ``i * hop_length``."""
    times_s = np.arange(len(values)) * config.hop_length / config.sample_rate
    rows = values.T[::-1]
    return Image(title, unit, 1.5, times_s, rows, colours, limits, edges, value_unit=value_unit)


_MAX_MARKED = 40
"""Most points of a curve that are marked each."""


def draw_features(
    samples: Array, values: Array, kind: str, config: FeatureConfig, title: str
) -> "Figure":
    """Return a figure of the waveform above one kind of features.

    Parameters
    ----------
    samples : (n_samples,)
    values, kind : as ``features_panel`` takes them
    """
    figure = new_figure(8.0, 4.5)
    figure.suptitle(as_text(title, LONGEST_TITLE), x=0.01, ha="left", fontsize=10)
    top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=[1, 2.5])
    draw_panel(top, wave_panel(samples, config.sample_rate, 1.0))
    draw_panel(bottom, features_panel(values, kind, config))
    bottom.set_xlabel("seconds")
    bottom.set_xlim(0, len(samples) / config.sample_rate)
    return figure


def draw_panel(axes: "Axes", panel: Panel) -> None:
    """Draw a panel on ``axes``."""
    axes.set_title(as_text(panel.title, LONGEST_TITLE))
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
    marker = "." if len(panel.times_s) <= _MAX_MARKED else ""
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
    """Draw values as colours, with a colour bar."""
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
    bar = axes.inset_axes((1.01, 0.0, 0.015, 1.0))
    axes.figure.colorbar(image, cax=bar)
    bar.tick_params(labelsize=7)
    if panel.value_unit:
        bar.set_ylabel(panel.value_unit, fontsize=7)
