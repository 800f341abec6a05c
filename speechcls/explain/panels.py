"""The panels of ``explain``: arrays, scales and titles, not yet drawn.

``figures`` draws them as pictures, ``page`` puts them into a page.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from speechcls.audio.samples import FloatArray as Array
from speechcls.audio.spectrogram import spectrogram
from speechcls.config import FEATURE_KINDS
from speechcls.explain.lookback import answer_gradient
from speechcls.explain.recurrence import EQUATIONS, GateInfo
from speechcls.explain.trace import OCCLUDED_S, Explanation, Layer
from speechcls.explain.unroll import DirectionTrace
from speechcls.render.figures import DIVERGING, SEQUENTIAL
from speechcls.render.panels import (
    COLOUR_QUANTILE,
    Curves,
    Image,
    Panel,
    spectrogram_panel,
    wave_panel,
)

Indices = npt.NDArray[np.intp]

STATE = "state"
"""Name of the panel of h, which every cell has."""


class GatePanel(NamedTuple):
    """One gate, or the state, of all units of a layer."""

    name: str
    rows: Array  # (n_rows, n_steps), a unit a row, by the time of their activity
    units: dict[str, Indices]  # indices of the units by direction, in the order of the rows

    @property
    def n_forward(self) -> int:
        """Rows of the forward direction, which are above those of the reverse one."""
        return len(self.units["forward"])


@dataclass(frozen=True)
class GateImage(Image):
    """A gate, or the state, of all units of a layer over time."""

    name: str
    """Of the gate, or ``STATE``."""
    units: tuple[tuple[str, int], ...]
    """Direction and index of the unit of each row."""
    n_forward: int
    """Number of rows of the forward direction, above those of the reverse one."""


def input_panels(explanation: Explanation) -> list[Panel]:
    """Return waveform, spectrogram, features, posteriors over time, attention if any, occlusion."""
    config = explanation.config
    return [
        wave_panel(explanation.samples, config.sample_rate, 0.8),
        spectrogram_panel(spectrogram(explanation.samples, config), config),
        _features(explanation),
        *answer_panels(explanation),
    ]


def answer_panels(explanation: Explanation) -> list[Panel]:
    """Return posteriors over time, attention if any, and occlusion."""
    return [posterior_panel(explanation), *_attention(explanation), _occlusion(explanation)]


def layer_panels(explanation: Explanation, layer: int) -> list[GateImage]:
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


def _features(explanation: Explanation) -> Image:
    kind = FEATURE_KINDS[explanation.config.kind]
    most = float(np.quantile(np.abs(explanation.features), COLOUR_QUANTILE)) or 1.0
    return Image(
        title=f"input of the network: {kind.title}, in standard deviations",
        unit=kind.value_name,
        height=1.5,
        times_s=explanation.frame_times_s,
        values=explanation.features.T[::-1],
        colours=DIVERGING,
        limits=(-most, most),
        edges=(float(explanation.features.shape[1]), 0.0),
    )


def posterior_panel(explanation: Explanation) -> Curves:
    """Return the probability of each label, the predicted one first, then by their maximum."""
    times_s, values = explanation.posterior_over_time
    by_height = values.max(axis=0).argsort(kind="stable")[::-1]
    order = [explanation.label_index, *(int(i) for i in by_height if i != explanation.label_index)]
    how = "if all after this moment were silence"
    if explanation.is_per_step:
        how = "at each step of the network"
    names = tuple(explanation.labels[i] for i in order)
    title = f"probability of each label {how}"
    limits = (-0.02, 1.02)
    return Curves(title, "probability", 1.5, times_s, values[:, order], names, limits, n_thick=1)


def _attention(explanation: Explanation) -> list[Panel]:
    if explanation.attention is None:
        return []
    names = tuple(f"head {head + 1}" for head in range(explanation.attention.shape[1]))
    title = "attention: the weight of each step in the result"
    limits = (0.0, 1.05 * float(explanation.attention.max()))
    return [
        Curves(title, "weight", 1.0, explanation.step_times_s, explanation.attention, names, limits)
    ]


def _occlusion(explanation: Explanation) -> Curves:
    times_s, lost = explanation.occlusion
    label = explanation.labels[explanation.label_index]
    lost_when = f"probability of {label} lost when {OCCLUDED_S:g} s is silenced"
    return Curves(
        title=f"importance by occlusion: {lost_when}",
        unit="lost",
        height=1.2,
        times_s=times_s,
        values=lost[:, None],
        names=("lost",),
        limits=(min(-0.1, 1.1 * float(lost.min())), max(0.2, 1.1 * float(lost.max()))),
        is_area=True,
    )


def gradient_panel(explanation: Explanation) -> Curves:
    """Return how much each frame of features moves the answer."""
    norms = answer_gradient(explanation.recogniser, explanation.features)
    label = explanation.labels[explanation.label_index]
    return Curves(
        title=f"gradient of the logit of {label} by each frame",
        unit="norm",
        height=1.2,
        times_s=explanation.frame_times_s,
        values=norms[:, None],
        names=("gradient",),
        limits=(0.0, 1.1 * float(norms.max()) or 1.0),
        is_area=True,
    )


def _gate(explanation: Explanation, panel: GatePanel) -> GateImage:
    equations = EQUATIONS[explanation.cell]
    gate = GateInfo(equations.state) if panel.name == STATE else equations.gates[panel.name]
    most = float(np.abs(panel.rows).max()) or 1.0
    is_both = panel.n_forward < len(panel.rows)
    return GateImage(
        title=gate.title,
        unit="reverse  forward" if is_both else f"{len(panel.rows)} units",
        height=1.0,
        times_s=explanation.step_times_s,
        values=panel.rows,
        colours=SEQUENTIAL if gate.is_fraction else DIVERGING,
        limits=(0.0, 1.0) if gate.is_fraction else (-most, most),
        edges=(0.0, float(len(panel.rows))),
        name=panel.name,
        units=tuple((way, int(unit)) for way, units in panel.units.items() for unit in units),
        n_forward=panel.n_forward,
    )


def gate_panels(explanation: Explanation, layer: int) -> list[GatePanel]:
    """Return each gate of a layer, and last its state h, with the units in one order.

    Units are sorted by ``middle_of_activity`` of their state. Of two directions the forward one is
    above, with the earliest unit lowest, and the reverse one below it, mirrored; of one direction
    the earliest unit is highest.

    Parameters
    ----------
    layer : from 1, the lowest

    Raises
    ------
    ConfigError
        When there is no such layer.
    """
    directions = explanation.layer(layer)
    panels = []
    for name in (*directions["forward"].gates, STATE):
        units = sorted_units(directions, name)
        panels.append(GatePanel(name, gate_rows(directions, name, units), units))
    return panels


def sorted_units(directions: Layer, name: str) -> dict[str, Indices]:
    """Return the units of each direction, as they are stacked for a gate or the state."""
    units = {way: _by_activity(trace, name) for way, trace in directions.items()}
    if len(units) == 2:
        units["forward"] = units["forward"][::-1]
    return units


def gate_rows(directions: Layer, name: str, units: Mapping[str, Indices]) -> Array:
    """Return (n_rows, n_steps) of a gate or the state, the units of each direction in order."""
    rows = [_values(trace, name)[:, units[way]].T for way, trace in directions.items()]
    return np.concatenate(rows)


def _by_activity(trace: DirectionTrace, name: str) -> Indices:
    """Return the units of a gate or the state, earliest unit first."""
    state = trace.hidden[0]
    if state.shape != _values(trace, name).shape:  # a projected state has other units
        state = trace.gates["cell"][0]
    order: Indices = middle_of_activity(state).argsort(kind="stable")
    return order


def _values(trace: DirectionTrace, name: str) -> Array:
    """Return (n_steps, n_units) of a gate or the state."""
    values: Array = trace.hidden[0] if name == STATE else trace.gates[name][0]
    return values


def middle_of_activity(state: Array) -> Array:
    """Return the step around which each unit is active, the mean step weighted by activity.

    Parameters
    ----------
    state : (n_steps, n_units); activity is how far |state| is above its lowest in the clip

    Returns
    -------
    (n_units,) from 0 to ``n_steps`` - 1; the middle of all steps where nothing changes
    """
    activity = np.abs(state) - np.abs(state).min(axis=0) + 1e-12
    steps = np.arange(len(state))
    middle: Array = steps @ activity / activity.sum(axis=0)
    return middle
