"""The panels of ``explain`` as an HTML page with a moving cursor and the sound; that of habits."""

import base64
import io
import itertools
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import soundfile

from speechcls.audio.samples import FloatArray as Array
from speechcls.audio.samples import Samples, unpad
from speechcls.audio.wav import wav_bytes
from speechcls.explain.habits import (
    STILL,
    HabitClip,
    HabitSettings,
    Indices,
    Ranking,
    Run,
    Similar,
    compare_states,
    find_habits,
    spread,
)
from speechcls.explain.in_page import array_text, network_content
from speechcls.explain.lookback import gain_by_lag, memory_gains
from speechcls.explain.panels import (
    GateImage,
    gradient_panel,
    input_panels,
    layer_panels,
    layer_title,
)
from speechcls.explain.trace import Explanation
from speechcls.files import write_atomic
from speechcls.labels import map_label
from speechcls.render.figures import PALETTE, colour_steps, render_figure
from speechcls.render.html import data_uri, render
from speechcls.render.panels import Curves, Image, Panel, Wave
from speechcls.text import printable, shorten

if TYPE_CHECKING:
    from matplotlib.figure import Figure

N_COLOURS = 64
_N_DECIMALS = 4
_LONGEST = 100
"""Characters of a label before its middle is left out."""


def write_explanation(
    explanation: Explanation, figure: "Figure", title: str, layer: int | None, path: Path
) -> None:
    """Write one page that needs no other file.

    Parameters
    ----------
    figure : of ``figures.draw_explanation``, shown where scripts are off
    layer : shown first, 1 is the lowest; None for a network without recurrent layers
    """
    page = render(
        "explain.html",
        title=title,
        content=to_dict(explanation, layer),
        still=data_uri("image/svg+xml", render_figure(figure, "svg")),
        sound=data_uri("audio/wav", wav_bytes(explanation.samples, explanation.config.sample_rate)),
    )
    write_atomic(path, page)


def to_dict(explanation: Explanation, layer: int | None) -> dict[str, Any]:
    """Return every panel, of all layers, as JSON-ready values."""
    layers = range(1, len(explanation.layers) + 1)
    inputs = input_panels(explanation)
    inside = [layer_panels(explanation, each) for each in layers]
    maps = {
        panel.colours for panel in (*inputs, *itertools.chain(*inside)) if isinstance(panel, Image)
    }
    return {
        "answer": shown_label(explanation.labels[explanation.label_index]),
        "probability": round(float(explanation.probabilities.max()), _N_DECIMALS),
        "labels": [shown_label(label) for label in explanation.labels],
        "end_s": explanation.end_s,
        "decisive_s": explanation.decisive_s,
        "layer": layer,
        "palette": PALETTE,
        "colours": {name: colour_steps(name, N_COLOURS) for name in sorted(maps)},
        "inputs": [panel_content(panel) for panel in inputs],
        "layers": [
            {
                "title": layer_title(explanation, each),
                "panels": [panel_content(panel) for panel in panels],
            }
            for each, panels in zip(layers, inside, strict=True)
        ],
        "network": network_content(explanation),
        "lookback": _lookback(explanation),
    }


def _lookback(explanation: Explanation) -> dict[str, Any]:
    """Return the gradient of the answer, and of each layer by direction what memory is left."""
    memory = []
    for number, layer in enumerate(explanation.layers, start=1):
        gains = {way: memory_gains(explanation, number, way) for way in layer}
        memory.append(
            {
                way: {"gains": array_text(each), "by_lag": as_lists(gain_by_lag(each, way))}
                for way, each in gains.items()
            }
        )
    step_s = 0.0
    if len(explanation.step_times_s) > 1:
        step_s = float(np.diff(explanation.step_times_s[:2])[0])
    return {
        "gradient": panel_content(gradient_panel(explanation)),
        "memory": memory,
        "step_s": step_s,
    }


def panel_content(panel: Panel) -> dict[str, Any]:
    """Return one panel; its kind is wave, curves or image."""
    content: dict[str, Any] = {
        "title": panel.title,
        "unit": panel.unit,
        "height": panel.height,
        "times_s": as_lists(panel.times_s),
    }
    match panel:
        case Wave():
            most = max(float(np.abs(panel.low).max()), float(np.abs(panel.high).max())) or 1.0
            limits = (-most, most)
            content |= {
                "kind": "wave",
                "low": as_lists(panel.low),
                "high": as_lists(panel.high),
                "limits": limits,
            }
        case Curves():
            content |= {
                "kind": "curves",
                "series": as_lists(panel.values.T),
                "names": [shown_label(name) for name in panel.names],
                "limits": panel.limits,
                "n_named": panel.n_named,
                "n_thick": panel.n_thick,
                "is_area": panel.is_area,
            }
        case Image():
            content |= {
                "kind": "image",
                "rows": as_lists(panel.values),
                "colours": panel.colours,
                "limits": panel.limits,
                "edges": panel.edges,
                "name": panel.name if isinstance(panel, GateImage) else "",
                "units": panel.units if isinstance(panel, GateImage) else [],
                "n_forward": panel.n_forward if isinstance(panel, GateImage) else None,
            }
    return content


def shown_label(label: str) -> str:
    """Return a label as the page shows it."""
    return shorten(printable(label), _LONGEST)


def as_lists(values: Array) -> Any:
    """Return an array as lists, rounded to what a reader can see."""
    return np.round(values.astype(np.float64), _N_DECIMALS).tolist()


def write_habits(run: Run, settings: HabitSettings, title: str, path: Path) -> None:
    """Write the page of what each unit responds to, with the sound of all clips."""
    page = render("explain_units.html", title=title, content=habits_content(run, settings))
    write_atomic(path, page)


def habits_content(run: Run, settings: HabitSettings) -> dict[str, Any]:
    """Return what the page of habits shows, as JSON-ready values."""
    habits = find_habits(run, settings)
    labels = run.labels
    counts = [sum(clip.example.label == label for clip in run.own) for label in labels]
    n_curves = min(len(labels), settings.n_curves)
    n_lists = 2 * sum(len(habit.moves) for habit in habits.values())
    drawn = spread(len(run.step_times_s), settings.n_moments)
    of_layer = {
        layer: compare_states(run, layer, settings) for layer in dict.fromkeys(n for n, _ in habits)
    }
    return {
        "said": str(run),
        "labels": [shown_label(label) for label in labels],
        "counts": counts,
        "n_curves": n_curves,
        "n_lists": n_lists,
        "false_ratio": settings.false_ratio,
        "still": STILL,
        "played_s": settings.played_s,
        "step_times_s": as_lists(run.step_times_s),
        "drawn": drawn.tolist(),
        "rate": run.classifier.sample_rate,
        "bad": [printable(line) for line in run.bad],
        "query": run.query,
        "clips": [_clip_content(clip, run, labels) for clip in run.clips],
        "layers": [
            {
                "layer": layer,
                "way": way,
                "highest": _ranking_content(habit.highest),
                "lowest": _ranking_content(habit.lowest),
                "means": _fractions(habit.means[:, :n_curves, drawn]),
                "moves": as_lists(habit.moves),
            }
            for (layer, way), habit in habits.items()
        ],
        "similar": {layer: _similar_content(each) for layer, each in of_layer.items()},
    }


def _clip_content(clip: HabitClip, run: Run, labels: list[str]) -> dict[str, Any]:
    """Return a clip with its sound, the silence around it left out."""
    rate, window, known = run.classifier.sample_rate, clip.window, run.classifier.labels
    sound, start = window.samples, 0
    n_own = round(window.clip_duration_s * rate)
    if n_own < len(sound):
        sound, start = unpad(sound, n_own), (len(sound) - n_own) // 2
    begin_s = clip.example.start_s + window.start_s - start / rate
    return {
        "label": labels.index(clip.example.label) if clip.split else None,
        "is_wrong": clip.split != "" and clip.predicted != map_label(clip.example.label, known),
        "name": shown_label(clip.name),
        "split": clip.split,
        "predicted": shown_label(clip.predicted),
        "probability": round(clip.probability, _N_DECIMALS),
        "begin_s": round(begin_s, 3),  # of the window, in the file
        "start": start,  # of the sound, in the window
        "sound": _mu_law(sound),
    }


def _mu_law(samples: Samples) -> str:
    """Return samples (n,) as 8 bits each, as in G.711, in base64."""
    raw = io.BytesIO()
    soundfile.write(raw, samples, 8_000, format="RAW", subtype="ULAW")
    return base64.b64encode(raw.getvalue()).decode()


def _ranking_content(ranking: Ranking) -> dict[str, Any]:
    return {
        "clips": _integers(ranking.clips),
        "steps": _integers(ranking.steps),
        "values": array_text(ranking.values),
        "label": ranking.label.tolist(),
        "count": ranking.n_agree.tolist(),
        "chance": ranking.chance.tolist(),
        "n_level": ranking.n_level.tolist(),
        "agrees": ranking.agrees.tolist(),
    }


def _similar_content(similar: Similar) -> dict[str, Any]:
    return {
        "at": similar.at.tolist(),
        "clips": _integers(similar.clips),
        "steps": _integers(similar.steps),
        "cosines": _fractions(similar.cosines),
        "whole": _integers(similar.whole),
        "wholeCosines": _fractions(similar.whole_cosines),
    }


def _integers(values: Indices) -> dict[str, Any]:
    """Return indices as the page reads them: int16 bytes in base64."""
    bytes_of = np.ascontiguousarray(values, dtype="<i2").tobytes()
    return {"shape": list(values.shape), "int16": base64.b64encode(bytes_of).decode(), "scale": 1}


def _fractions(values: Array) -> dict[str, Any]:
    """Return values as int16 fractions of the largest one, which is exact enough to be read."""
    scale = (float(np.abs(values).max()) or 1.0) / 32_767
    return _integers(np.round(values / scale).astype(np.intp)) | {"scale": scale}
