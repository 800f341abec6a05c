"""What each panel of ``explain`` and ``features`` shows: arrays, scales and words, not yet drawn.

``panel_figures`` draws them as pictures, ``explainpage`` puts them into a page.
"""

from dataclasses import dataclass

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
from speechcls.figures import LEVELS, SIGNED
from speechcls.figures import SHARES as SHARES_MAP

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


def heard_panels(explanation: Explanation) -> list[Panel]:
    """Return the sound, its features, the answer as it unfolds, attention and what decides."""
    config = explanation.config
    return [
        wave_panel(explanation.samples, config.sample_rate, 0.8),
        spectrogram_panel(spectrogram(explanation.samples, config), config),
        _features(explanation),
        _unfolding(explanation),
        *_attention(explanation),
        _occlusion(explanation),
    ]


def layer_panels(explanation: Explanation, layer: int) -> list[Image]:
    """Return each gate of a layer (1 is the lowest), and its state last."""
    return [_gate(explanation, panel) for panel in gate_panels(explanation, layer)]


def layer_title(explanation: Explanation, layer: int) -> str:
    """Return what the panels of a layer show, and that there are no gates if there are none."""
    ways = " and ".join(explanation.layers[layer - 1])
    text = f"layer {layer} of {len(explanation.layers)}, {ways}: a row a unit, sorted by when its"
    text += " state is active"
    if not explanation.has_gates:
        text += f"\n{explanation.arch} has no gates: all there is to see are its states"
    return text


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


def _features(about: Explanation) -> Image:
    is_mfcc = about.config.kind == "mfcc"
    what = "cepstral coefficients (MFCC)" if is_mfcc else "log-mel energies"
    most = float(np.quantile(np.abs(about.features), _MOST_QUANTILE)) or 1.0
    return Image(
        title=f"what the network hears: {what}, in standard deviations",
        unit="coefficient" if is_mfcc else "mel band",
        height=1.5,
        times_s=about.frame_times_s,
        values=about.features.T[::-1],
        colours=SIGNED,
        limits=(-most, most),
        edges=(float(about.features.shape[1]), 0.0),
    )


def _unfolding(about: Explanation) -> Curves:
    """Return the probability of each label, the answer first, then by how high they ever come."""
    times_s, values = about.unfolding
    by_height = values.max(axis=0).argsort(kind="stable")[::-1]
    order = [about.label_index, *(int(i) for i in by_height if i != about.label_index)]
    how = "if all after this moment were silence"
    if about.unfolds_by_steps:
        how = "at each step of the network"
    names = tuple(about.labels[i] for i in order)
    title = f"probability of each label {how}"
    limits = (-0.02, 1.02)
    return Curves(title, "probability", 1.5, times_s, values[:, order], names, limits, n_thick=1)


def _attention(about: Explanation) -> list[Panel]:
    if about.attention is None:
        return []
    names = tuple(f"head {head + 1}" for head in range(about.attention.shape[1]))
    title = "attention: how much of each step goes into the answer"
    limits = (0.0, 1.05 * float(about.attention.max()))
    return [Curves(title, "weight", 1.0, about.step_times_s, about.attention, names, limits)]


def _occlusion(about: Explanation) -> Curves:
    times_s, lost = about.occlusion
    label = about.labels[about.label_index]
    return Curves(
        title=f"what decides, by occlusion: probability of {label} lost when {OCCLUDED_S:g} s is"
        " silence",
        unit="lost",
        height=1.2,
        times_s=times_s,
        values=lost[:, None],
        names=("lost",),
        limits=(min(-0.1, 1.1 * float(lost.min())), max(0.2, 1.1 * float(lost.max()))),
        is_area=True,
    )


def _gate(about: Explanation, panel: GatePanel) -> Image:
    is_share = panel.name in SHARES
    most = float(np.abs(panel.rows).max()) or 1.0
    is_both = panel.n_forward < len(panel.rows)
    return Image(
        title=_gate_title(about.cell, panel.name),
        unit="reverse  forward" if is_both else f"{len(panel.rows)} units",
        height=1.0,
        times_s=about.step_times_s,
        values=panel.rows,
        colours=SHARES_MAP if is_share else SIGNED,
        limits=(0.0, 1.0) if is_share else (-most, most),
        edges=(0.0, float(len(panel.rows))),
        name=panel.name,
        n_forward=panel.n_forward,
    )


def _gate_title(cell: str, name: str) -> str:
    if name == STATE:
        return _STATE_TITLES[cell]
    if name == "update" and cell == "mingru":
        return "update gate z: the share of the candidate that is taken"
    if name == "candidate" and "lstm" not in cell:
        return "candidate: what could become the state"
    return _GATE_TITLES[name]
