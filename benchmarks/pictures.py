"""Make the pictures of the documentation: ``make pictures``, or names of some as arguments.

Those of the README's session and of the manual's pages need ``speechcls[pictures]``.

All sounds are synthetic (espeak-ng). Small networks are trained on them first, into
``build/pictures``, where they stay for the next time.
"""

import csv
import io
import itertools
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from lesson_pictures import draw_gradients, draw_sound, draw_threshold
from matplotlib.figure import Figure
from picture_data import (
    ATTENTION,
    ROOT,
    SCRATCH,
    WORD,
    explain_word,
    held_out,
    other_words,
    run,
    train,
    walk,
)
from picture_pages import PAGES, show_recording, show_trying, take_page
from PIL import Image
from screenshots import save_screenshots

from speechcls.experiments.delayed_recall import DelayedRecallRun, mean_curves
from speechcls.experiments.figures import draw_delayed_recall as draw_curves
from speechcls.explain.figures import draw_explanation, stack_panels
from speechcls.explain.panels import layer_panels
from speechcls.explain.recurrence import GateWeights, lstm_step, rnn_step
from speechcls.render.figures import GREY, PALETTE, as_text, new_figure, render_figure
from speechcls.render.panels import Panel, wave_panel

MOST_BYTES, MOST_BYTES_MOVING = 150_000, 1_000_000
N_STEPS = 26
"""Steps of a recurrence in a second, at four frames each."""
PLACE = ROOT / "docs" / "pictures"
SESSION = "session"
"""The README's own session, which moves."""
N_WORDS = 6
"""What ``compare --memory`` lets the voices say, each as often: chance is one in six."""


def draw_word() -> Figure:
    """Return the word that all networks are shown, before they see it."""
    return draw_sound(explain_word(train("gru"))[0].samples, WORD)


def draw_cells(arch: str) -> Figure:
    """Return what goes on in the one layer of a small network."""
    explanation, title = explain_word(train(arch))
    wave = wave_panel(explanation.samples, explanation.config.sample_rate, 0.6)
    panels: list[Panel] = [wave, *layer_panels(explanation, layer=1)]
    figure = new_figure(7.5, 1.5 + 1.2 * len(panels))
    figure.suptitle(as_text(title), x=0.01, ha="left", fontsize=10)
    stack_panels(figure, panels, explanation.end_s, explanation.decisive_s)
    return figure


def draw_whole() -> Figure:
    """Return the whole figure of a network with attention."""
    explanation, title = explain_word(train(ATTENTION))
    return draw_explanation(explanation, title, layer=2)


def draw_delayed_recall() -> Figure:
    """Return what is left of a memory step by step: of one LSTM cell, and of one simple unit."""
    figure = new_figure(8.0, 3.2)
    left, right = figure.subplots(1, 2)
    steps = np.arange(N_STEPS + 1)
    zero, nothing = np.zeros((1, 1)), np.zeros(1)
    closed = GateWeights(zero, nothing - 1e3, zero, nothing)
    for forget, colour in zip((0.5, 0.9, 0.99, 1.0), PALETTE, strict=False):
        bias = nothing + (np.log(forget / (1 - forget)) if forget < 1 else 1e3)
        weights = dict.fromkeys(("input", "output", "candidate"), closed)
        weights["forget"] = GateWeights(zero, bias, zero, nothing)
        state: tuple[np.ndarray, ...] = (zero, zero + 1.0)
        cells = [1.0]
        for _ in steps[1:]:
            state, _ = lstm_step(zero, state, weights)
            cells.append(float(state[1][0, 0]))
        left.plot(steps, cells, color=colour, label=f"f = {forget:g}")
    left.set_title("an LSTM cell of 1, its input gate closed: c = f·c")
    for u, start, colour in itertools.chain(
        ((0.9, start, PALETTE[0]) for start in (1.0, 0.2)),
        ((1.5, start, PALETTE[1]) for start in (1.0, 0.2)),
    ):
        hidden = {"hidden": GateWeights(zero, nothing, zero + u, nothing)}
        states = [start]
        for _ in steps[1:]:
            (h,), _ = rnn_step(zero, (np.array([[states[-1]]]),), hidden)
            states.append(float(h[0, 0]))
        label = f"u = {u:g}" if start == 1.0 else None
        right.plot(steps, states, color=colour, label=label)
    right.set_title("a simple unit left alone: h = tanh(u·h)")
    for axes in (left, right):
        axes.axhline(0, color=GREY, linewidth=0.8)
        axes.set_xlabel("steps (26 are a second)")
        axes.set_ylim(-0.03, 1.05)
        axes.legend(loc="center right")
    return figure


def draw_word_memory() -> Figure:
    """Return how well networks answer seconds after a word; a quarter of an hour of one core."""
    place = SCRATCH / "remembering"
    if not (place / "memory.csv").is_file():
        run("compare", "--memory", "--seeds", "2", "--out", place, "-q")
    runs: dict[tuple[str, int, int], DelayedRecallRun] = {}
    with (place / "memory.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            key = row["arch"], int(row["step_ms"]), int(row["seed"])
            one = runs.setdefault(key, DelayedRecallRun(*key, int(row["parameters"])))
            one.accuracy[float(row["gap_s"])] = float(row["accuracy"])
    return draw_curves(mean_curves(list(runs.values())), 1 / N_WORDS)


PICTURES: dict[str, Callable[[], Figure | Path]] = {
    "walk-curves": lambda: walk("models/*/curves.png"),
    "walk-confusion": lambda: walk("out/figures/confusion.png"),
    "walk-mistake": lambda: walk("out/figures/mistake_01.png"),
    "walk-explain": lambda: walk("explain.png"),
    "memory": draw_delayed_recall,
    "rnn": lambda: draw_cells("rnn"),
    "lstm": lambda: draw_cells("lstm"),
    "gru": lambda: draw_cells("gru"),
    "bilstm": lambda: draw_cells("bilstm"),
    "explain": draw_whole,
    "sound": draw_word,
    "gradients": lambda: draw_gradients(
        {arch: train(arch) for arch in ("rnn", "lstm", "gru")}, list(held_out())
    ),
    "threshold": lambda: draw_threshold(train("bilstm"), held_out(), other_words()),
    "remembering": draw_word_memory,
    "page": lambda: take_page("page", show_recording),
    "page-try": lambda: take_page("page-try", show_trying),
}
"""What draws each picture, by its name in ``docs/pictures``."""


def save_small(drawn: Figure | Path, path: Path) -> None:
    """Write a PNG of 256 colours, a third of the size of one with all of them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = drawn.read_bytes() if isinstance(drawn, Path) else render_figure(drawn, "png")
    picture = (
        Image.open(io.BytesIO(content))
        .convert("RGB")
        .quantize(256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    )
    picture.save(path, optimize=True)
    check_size(path, MOST_BYTES)


def check_size(path: Path, most: int) -> None:
    """End if a picture is too large to be kept with the source."""
    if path.stat().st_size > most:
        raise SystemExit(f"{path}: {path.stat().st_size:,} bytes, more than {most:,}")


def record_session() -> Path:
    """Write the moving picture of the README's commands; return its path."""
    from terminal import record_readme, save_gif

    path = PLACE / f"{SESSION}.gif"
    save_gif(record_readme(ROOT / "README.md", SCRATCH / SESSION), path)
    check_size(path, MOST_BYTES_MOVING)
    return path


def main() -> None:
    """Make the pictures that are named, or all, screenshots of pages and the session likewise."""
    every = [*PICTURES, *PAGES, SESSION]
    names = sys.argv[1:] or every
    if unknown := set(names) - {*every}:
        raise SystemExit(f"no {min(unknown)}; there are {', '.join(every)}")
    written = []
    for name in names:
        if name in PICTURES:
            path = PLACE / f"{name}.png"
            save_small(PICTURES[name](), path)
            written.append(path)
        elif name == SESSION:
            written.append(record_session())
    written += save_screenshots({name: PAGES[name]() for name in names if name in PAGES}, PLACE)
    for path in written:
        print(f"{path.relative_to(ROOT)}  {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
