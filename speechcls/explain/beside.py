"""Several networks beside each other on one clip: a page, and where their answers part."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from speechcls.audio.samples import FloatArray as Array
from speechcls.audio.wav import wav_bytes
from speechcls.errors import ConfigError
from speechcls.explain.figures import stack_panels
from speechcls.explain.lookback import gain_by_lag, memory_gains
from speechcls.explain.page import N_COLOURS, panel_content, shown_label
from speechcls.explain.panels import layer_panels, layer_title, posterior_panel
from speechcls.explain.trace import Explanation
from speechcls.files import write_atomic
from speechcls.render.figures import (
    DIVERGING,
    PALETTE,
    SEQUENTIAL,
    as_text,
    colour_steps,
    new_figure,
    render_figure,
)
from speechcls.render.html import data_uri, render
from speechcls.render.panels import Curves, Panel, wave_panel

if TYPE_CHECKING:
    from matplotlib.figure import Figure

N_MODELS_MAX = len(PALETTE) - 1
"""Models that a page shows, each in a colour of its own."""


class Parting(NamedTuple):
    """Where networks disagree for longest, about the likeliest label up to each moment."""

    start_s: float
    end_s: float
    labels: tuple[str, ...]
    """Of each network at ``start_s``."""


def find_parting(explanations: Sequence[Explanation]) -> Parting | None:
    """Return the longest stretch in which the likeliest labels differ; None if there is none.

    A network that answers at steps keeps its answer until the next one.
    """
    times_s = np.unique(np.concatenate([each.posterior_over_time.times_s for each in explanations]))
    rows = [_likeliest(each, times_s) for each in explanations]
    differs = np.array([len(set(labels)) > 1 for labels in zip(*rows, strict=True)])
    edges = np.flatnonzero(np.diff(np.concatenate([[False], differs, [False]]).astype(int)))
    if not len(edges):
        return None
    ends_s = np.append(times_s, times_s[-1])
    starts, ends = edges[::2], edges[1::2]
    longest = int((ends_s[ends] - times_s[starts]).argmax())
    start = int(starts[longest])
    labels = tuple(labels[start] for labels in rows)
    return Parting(float(times_s[start]), float(ends_s[ends[longest]]), labels)


def _likeliest(explanation: Explanation, times_s: Array) -> list[str]:
    """Return the likeliest label at each moment, by the last probabilities before it."""
    known_s, values = explanation.posterior_over_time
    index = np.searchsorted(known_s, times_s + 1e-9, side="right") - 1
    return [explanation.labels[i] for i in values[index.clip(min=0)].argmax(axis=1)]


def write_beside(
    explanations: Sequence[Explanation],
    names: Sequence[str],
    title: str,
    figure: "Figure",
    path: Path,
) -> None:
    """Write one page of several models that needs no other file.

    Parameters
    ----------
    explanations : of one clip
    names : of the models
    figure : of ``draw_beside``, shown where scripts are off
    """
    first = explanations[0]
    page = render(
        "explain_beside.html",
        title=title,
        content=to_dict(explanations, names),
        still=data_uri("image/svg+xml", render_figure(figure, "svg")),
        sound=data_uri("audio/wav", wav_bytes(first.samples, first.config.sample_rate)),
    )
    write_atomic(path, page)


def draw_beside(explanations: Sequence[Explanation], names: Sequence[str]) -> "Figure":
    """Return a picture of several models: the probabilities and the last layer of each.

    Below them is what is left of a change of their memory. The dotted line is where they part.

    Raises
    ------
    ConfigError
        When there are too many models, or their windows differ.
    """
    check_same_window(explanations)
    figure = new_figure(max(9.0, 5.0 * len(explanations)), 11.0)
    above, below = figure.subfigures(2, 1, height_ratios=(5, 1), squeeze=False)[:, 0]
    parting, end_s = find_parting(explanations), max(each.end_s for each in explanations)
    columns = above.subfigures(1, len(explanations), squeeze=False)[0]
    for column, name, each in zip(columns, names, explanations, strict=True):
        column.suptitle(as_text(name), x=0.02, ha="left", fontsize=10)
        panels: list[Panel] = [wave_panel(each.samples, each.config.sample_rate, 0.8)]
        panels.append(_common_order(each, explanations))
        panels += layer_panels(each, len(each.layers)) if each.layers else []
        stack_panels(column, panels, end_s, parting.start_s if parting else None)
    stack_panels(below, [memory_panel(explanations, names)], end_s, None)
    return figure


def check_same_window(explanations: Sequence[Explanation]) -> None:
    """Refuse models that do not see the same samples, or more than a page shows."""
    if len(explanations) > N_MODELS_MAX:
        raise ConfigError(
            f"{len(explanations)} are too many; at most {N_MODELS_MAX}", field="model"
        )
    windows = {
        f"{each.config.duration_s:g} s at {each.config.sample_rate} Hz" for each in explanations
    }
    if len(windows) > 1:
        there = ", ".join(sorted(windows))
        raise ConfigError(f"windows differ ({there}); choose models of one window", field="model")


def to_dict(explanations: Sequence[Explanation], names: Sequence[str]) -> dict[str, Any]:
    """Return what the page shows of each model, as JSON-ready values."""
    parting, first = find_parting(explanations), explanations[0]
    return {
        "end_s": max(each.end_s for each in explanations),
        "decisive_s": parting.start_s if parting else None,
        "parting": _describe(parting, names),
        "palette": PALETTE,
        "colours": {name: colour_steps(name, N_COLOURS) for name in (SEQUENTIAL, DIVERGING)},
        "wave": panel_content(wave_panel(first.samples, first.config.sample_rate, 0.8)),
        "memory": panel_content(memory_panel(explanations, names)),
        "models": [
            {
                "name": shown_label(name),
                "arch": each.arch,
                "answer": shown_label(each.labels[each.label_index]),
                "probability": round(float(each.probabilities.max()), 4),
                "posterior": panel_content(_common_order(each, explanations)),
                "layers": [
                    {
                        "title": layer_title(each, layer),
                        "panels": [panel_content(panel) for panel in layer_panels(each, layer)],
                    }
                    for layer in range(1, len(each.layers) + 1)
                ],
            }
            for name, each in zip(names, explanations, strict=True)
        ],
    }


def _describe(parting: Parting | None, names: Sequence[str]) -> str:
    if parting is None:
        return "Their likeliest labels are the same all the time."
    said = ", ".join(
        f"{shown_label(name)}: {shown_label(label)}"
        for name, label in zip(names, parting.labels, strict=True)
    )
    return f"They part at {parting.start_s:.2f} s (dotted), until {parting.end_s:.2f} s: {said}."


def _common_order(explanation: Explanation, explanations: Sequence[Explanation]) -> Curves:
    """Return the probabilities over time, labels of all models first, in the same order in each."""
    panel = posterior_panel(explanation)
    common = set(explanation.labels).intersection(*(each.labels for each in explanations))
    highest = {
        label: max(
            float(each.posterior_over_time.values[:, each.labels.index(label)].max())
            for each in explanations
        )
        for label in common
    }
    place = {name: i for i, name in enumerate(panel.names)}
    order = sorted(common, key=lambda label: (-highest[label], label))
    order += [name for name in panel.names if name not in common]
    columns = [place[name] for name in order]
    return dataclasses.replace(
        panel, values=panel.values[:, columns], names=tuple(order), n_thick=0
    )


def memory_panel(explanations: Sequence[Explanation], names: Sequence[str]) -> Curves:
    """Return what is left of a small change of each last layer's memory, by the time since.

    Of two directions it is the mean; in the reverse one the time goes backwards.
    """
    end_s = max(each.end_s for each in explanations)
    times_s = np.linspace(0.0, end_s, 101)
    curves, recurrent = [], []
    for name, each in zip(names, explanations, strict=True):
        if len(each.step_times_s) < 2:
            continue
        n_layers = len(each.layers)
        lefts = [gain_by_lag(memory_gains(each, n_layers, w), w) for w in each.layer(n_layers)]
        left = np.mean(lefts, axis=0)
        lags_s = float(np.diff(each.step_times_s[:2])[0]) * np.arange(len(left))
        curves.append(np.interp(times_s, lags_s, left))
        recurrent.append(name)
    values = np.stack(curves, axis=1) if curves else np.zeros((len(times_s), 1))
    return Curves(
        title="what is left of a small change of the memory, so many seconds later",
        unit="left",
        height=1.6,
        times_s=times_s,
        values=values,
        names=tuple(recurrent or ("none is recurrent",)),
        limits=(0.0, 1.05 * max(1.0, float(values.max()))),
    )
