"""Panels over time (waveform, image, curves) and how matplotlib draws them."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from speechcls.audio.spectrogram import SPECTROGRAM_DB, Array
from speechcls.config import FeatureConfig
from speechcls.render.figures import GREY, LEVELS, PALETTE, SIGNED, as_text, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


_N_NAMED = 6
_N_COLUMNS = 1_000
_MOST_QUANTILE = 0.99


@dataclass(frozen=True)
class Wave:
    """A waveform as the lowest and the highest sample of each moment."""

    title: str
    unit: str
    height: float
    times_s: Array
    """(n_times,) the beginning of each moment."""
    low: Array
    """(n_times,)"""
    high: Array
    """(n_times,)"""


@dataclass(frozen=True)
class Image:
    """Values of many rows over time, each a colour."""

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
    """Where the upper edge of the first and the lower edge of the last row are, in ``unit``."""
    name: str = ""
    """Of a gate, or of the state."""
    n_forward: int | None = None
    """Of a gate: how many of the rows are of the forward direction, above those of the reverse."""


@dataclass(frozen=True)
class Curves:
    """Values over time, each series a line."""

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
    """Series beyond are there for comparison."""
    n_thick: int = 0
    """The first of the series, which matter most."""
    is_area: bool = False
    """Whether what lies between the one series and 0 is filled."""


Panel = Wave | Image | Curves


def wave_panel(samples: Array, sample_rate: int, height: float) -> Wave:
    """Return (n_samples,) as the lowest and highest of each of a thousand moments."""
    n_each = max(1, len(samples) // _N_COLUMNS)
    whole = len(samples) // n_each * n_each
    pieces = samples[:whole].reshape(-1, n_each)
    times_s = np.arange(len(pieces)) * n_each / sample_rate
    low, high = pieces.min(axis=1), pieces.max(axis=1)
    return Wave("waveform", "amplitude", height, times_s, low, high)


def spectrogram_panel(values: Array, config: FeatureConfig) -> Image:
    """Return (n_frames, n_frequencies) in dB, from ``explaining.spectrogram``."""
    limits, edges = (-SPECTROGRAM_DB, 0.0), (config.sample_rate / 2e3, 0.0)
    title = "spectrogram, dB below its loudest point"
    return _features_over_time(title, "kHz", values, config, LEVELS, limits, edges)


def features_panel(values: Array, kind: str, config: FeatureConfig) -> Image:
    """Return one kind of features of a whole clip.

    Parameters
    ----------
    values : (n_frames, n_features), from ``explaining.clip_features``
    kind : ``spectrogram``, ``log-mel`` or ``mfcc``
    """
    if kind == "spectrogram":
        return spectrogram_panel(values, config)
    edges = (float(values.shape[1]), 0.0)
    if kind == "log-mel":
        limits = (float(values.min()), float(values.max()))
        return _features_over_time(
            "mel energies, dB", "mel band", values, config, LEVELS, limits, edges
        )
    most = float(np.quantile(np.abs(values[:, 1:]), _MOST_QUANTILE)) or 1.0  # the first is huge
    title = "mel-frequency cepstral coefficients"
    return _features_over_time(title, "coefficient", values, config, SIGNED, (-most, most), edges)


def _features_over_time(
    title: str,
    unit: str,
    values: Array,
    config: FeatureConfig,
    colours: str,
    limits: tuple[float, float],
    edges: tuple[float, float],
) -> Image:
    """Return (n_frames, n_features), of which frame ``i`` has its middle at ``i * hop_length``."""
    times_s = np.arange(len(values)) * config.hop_length / config.sample_rate
    return Image(title, unit, 1.5, times_s, values.T[::-1], colours, limits, edges)


_MOST_MARKED = 40
"""Points of a curve; more are not marked."""


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
