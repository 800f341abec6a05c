"""The panels of ``explain``: arrays, scales and titles, not yet drawn.

``figures`` draws them as pictures, ``page`` puts them into a page.
"""

import numpy as np

from speechcls.audio.spectrogram import spectrogram
from speechcls.config import FEATURE_KINDS
from speechcls.explain.recurrence import EQUATIONS, GateText
from speechcls.explain.trace import OCCLUDED_S, STATE, Explanation, GatePanel, gate_panels
from speechcls.render.figures import SHARES, SIGNED
from speechcls.render.panels import (
    COLOUR_QUANTILE,
    Curves,
    Image,
    Panel,
    spectrogram_panel,
    wave_panel,
)


def input_panels(explanation: Explanation) -> list[Panel]:
    """Return waveform, spectrogram, features, posteriors over time, attention if any, occlusion."""
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
    """Return the title above the panels of a layer."""
    ways = " and ".join(explanation.layer(layer))
    text = f"layer {layer} of {len(explanation.layers)}, {ways}: one row per unit, sorted by when"
    text += " its state is active"
    if not explanation.has_gates:
        text += f"\n{explanation.arch} has no gates: these are its states"
    return text


def _features(about: Explanation) -> Image:
    kind = FEATURE_KINDS[about.config.kind]
    most = float(np.quantile(np.abs(about.features), COLOUR_QUANTILE)) or 1.0
    return Image(
        title=f"input of the network: {kind.title}, in standard deviations",
        unit=kind.value_name,
        height=1.5,
        times_s=about.frame_times_s,
        values=about.features.T[::-1],
        colours=SIGNED,
        limits=(-most, most),
        edges=(float(about.features.shape[1]), 0.0),
    )


def _posterior_over_time(about: Explanation) -> Curves:
    """Return the probability of each label, the predicted one first, then by their maximum."""
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
    title = "attention: the weight of each step in the result"
    limits = (0.0, 1.05 * float(about.attention.max()))
    return [Curves(title, "weight", 1.0, about.step_times_s, about.attention, names, limits)]


def _occlusion(about: Explanation) -> Curves:
    times_s, lost = about.occlusion
    label = about.labels[about.label_index]
    return Curves(
        title=f"importance by occlusion: probability of {label} lost if {OCCLUDED_S:g} s is silent",
        unit="lost",
        height=1.2,
        times_s=times_s,
        values=lost[:, None],
        names=("lost",),
        limits=(min(-0.1, 1.1 * float(lost.min())), max(0.2, 1.1 * float(lost.max()))),
        is_area=True,
    )


def _gate(about: Explanation, panel: GatePanel) -> Image:
    equations = EQUATIONS[about.cell]
    gate = GateText(equations.state) if panel.name == STATE else equations.gates[panel.name]
    most = float(np.abs(panel.rows).max()) or 1.0
    is_both = panel.n_forward < len(panel.rows)
    return Image(
        title=gate.title,
        unit="reverse  forward" if is_both else f"{len(panel.rows)} units",
        height=1.0,
        times_s=about.step_times_s,
        values=panel.rows,
        colours=SHARES if gate.is_share else SIGNED,
        limits=(0.0, 1.0) if gate.is_share else (-most, most),
        edges=(0.0, float(len(panel.rows))),
        name=panel.name,
        n_forward=panel.n_forward,
    )
