"""What each panel of ``explain`` and ``features`` shows: arrays, scales and words, not yet drawn.

``panel_figures`` draws them as pictures, ``explainpage`` puts them into a page.
"""

import numpy as np

from speechcls.audio.spectrogram import spectrogram
from speechcls.config import FEATURE_KINDS
from speechcls.explain.trace import OCCLUDED_S, SHARES, STATE, Explanation, GatePanel, gate_panels
from speechcls.render.figures import SHARES as SHARES_MAP
from speechcls.render.figures import SIGNED
from speechcls.render.panels import (
    COLOUR_QUANTILE,
    Curves,
    Image,
    Panel,
    spectrogram_panel,
    wave_panel,
)

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


def input_panels(explanation: Explanation) -> list[Panel]:
    """Return the sound, its features, the answer as it unfolds, attention and what decides."""
    config = explanation.config
    return [
        wave_panel(explanation.samples, config.sample_rate, 0.8),
        spectrogram_panel(spectrogram(explanation.samples, config), config),
        _features(explanation),
        _posterior_over_time(explanation),
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


def _features(about: Explanation) -> Image:
    kind = FEATURE_KINDS[about.config.kind]
    most = float(np.quantile(np.abs(about.features), COLOUR_QUANTILE)) or 1.0
    return Image(
        title=f"input of the network: {kind.title}, in standard deviations",
        unit=kind.row,
        height=1.5,
        times_s=about.frame_times_s,
        values=about.features.T[::-1],
        colours=SIGNED,
        limits=(-most, most),
        edges=(float(about.features.shape[1]), 0.0),
    )


def _posterior_over_time(about: Explanation) -> Curves:
    """Return the probability of each label, the answer first, then by how high they ever come."""
    times_s, values = about.posterior_over_time
    by_height = values.max(axis=0).argsort(kind="stable")[::-1]
    order = [about.label_index, *(int(i) for i in by_height if i != about.label_index)]
    how = "if all after this moment were silence"
    if about.is_per_step:
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
