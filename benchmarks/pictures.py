"""Make the pictures of the documentation: ``make pictures``, or names of some as arguments.

All sounds are synthetic (espeak-ng). Small networks are trained on them first, into
``build/pictures``, where they stay for the next time.
"""

import csv
import io
import itertools
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from lesson_pictures import draw_gradients, draw_sound, draw_threshold
from matplotlib.figure import Figure
from PIL import Image

from speechcls.artifact.store import load_artifact, load_split
from speechcls.experiments.delayed_recall import DelayedRecallRun, mean_curves
from speechcls.experiments.figures import draw_delayed_recall as draw_curves
from speechcls.explain.figures import draw_explanation, stack_panels
from speechcls.explain.panels import layer_panels
from speechcls.explain.recurrence import GateWeights, lstm_step, rnn_step
from speechcls.explain.trace import Explanation, explain
from speechcls.render.figures import GREY, PALETTE, as_text, new_figure, render_figure
from speechcls.render.panels import Panel, wave_panel
from speechcls.runtime.classifier import Classifier

ROOT = Path(__file__).parents[1]
PLACE, SCRATCH = ROOT / "docs" / "pictures", ROOT / "build" / "pictures"
MOST_BYTES = 150_000
WORDS, WORD = ("yes", "no", "stop", "go"), "stop"
ATTENTION = "att-bigru"
OTHERS = ("up", "down", "left", "right")
CLIPS_A_WORD, HIDDEN_SIZE, EPOCHS = 120, 24, 12
N_STEPS = 26
"""Steps of a recurrence in a second, at four frames each."""
WALK = """\
synth yes no go on off up five nine left stop --out data --per-word 60
check data
train data
evaluate data --report out
explain data/{mistake} --out explain.png --html explain.html
"""
"""The commands of the README's walk; the last one looks into the most confident mistake."""
N_WORDS = 6
"""What ``compare --memory`` lets the voices say, each as often: chance is one in six."""


def run(*arguments: str | Path) -> None:
    """Run the command line; end with it if it fails."""
    subprocess.run([sys.executable, "-m", "speechcls", *map(str, arguments)], check=True)


def walk(name: str) -> Path:
    """Return a picture of the README's walk; what its commands print is in ``session.txt``."""
    place = SCRATCH / "walk"
    if not (place / "explain.png").is_file():
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        session = []
        for line in WALK.splitlines():
            if "{mistake}" in line:
                with (place / "out/tables/mistakes.csv").open(newline="") as file:
                    line = line.format(mistake=next(csv.DictReader(file))["path"])
            command = [sys.executable, "-m", "speechcls", *line.split()]
            print(f"$ speechcls {line}", flush=True)
            done = subprocess.run(
                command,
                cwd=place,
                check=True,
                text=True,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
            )
            session.append(f"$ speechcls {line}\n{done.stdout}")
        (place / "session.txt").write_text("".join(session))
    return next(place.glob(name))


def speech() -> Path:
    """Return a data set of synthetic speech."""
    folder = SCRATCH / "speech"
    if not folder.is_dir():
        run("synth", *WORDS, "--out", folder, "--per-word", str(CLIPS_A_WORD), "--seed", "0")
    return folder


def train(arch: str) -> Classifier:
    """Return a small network that takes all for a word.

    It has one layer and answers from its last state; that with attention is as usual, and smaller.
    """
    path = SCRATCH / arch
    if not path.is_dir():
        sizes = f"--hidden-size {HIDDEN_SIZE} --epochs {EPOCHS} --seed 0 --closed --from none"
        form = "" if arch == ATTENTION else "--num-layers 1 --readout last"
        options = f"--arch {arch} {form} {sizes}".split()
        run("train", speech(), "--out", path, *options)
    return Classifier(load_artifact(path), jobs=1)


def explain_word(classifier: Classifier) -> tuple[Explanation, str]:
    """Return what a network does with the first clip of ``WORD`` that it gets right, and a title.

    Clips are those that trained none of the small networks, which all split them alike.
    """
    for path, label in held_out().items():
        if label != WORD:
            continue
        window = classifier.read_window(path)
        explanation = explain(classifier, window.samples)
        if explanation.labels[explanation.label_index] == WORD:
            percent = 100 * explanation.probabilities.max()
            return explanation, f"{explanation.arch} hears “{WORD}”: {percent:.1f} %"
    raise SystemExit(f"no clip of {WORD} is recognised by {classifier.artifact.path}")


def held_out() -> dict[Path, str]:
    """Return the clips that trained none of the small networks, with their labels."""
    rows = load_split(train("gru").artifact)
    return {speech() / row.path: row.label for row in rows if row.split != "train"}


def other_words() -> list[Path]:
    """Return clips of words that no small network knows."""
    folder = SCRATCH / "others"
    if not folder.is_dir():
        run("synth", *OTHERS, "--out", folder, "--per-word", "30", "--seed", "0")
    return sorted(folder.rglob("*.wav"))


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
    stack_panels(figure, panels, explanation)
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
    if path.stat().st_size > MOST_BYTES:
        raise SystemExit(f"{path}: {path.stat().st_size:,} bytes, more than {MOST_BYTES:,}")


def main() -> None:
    """Make the pictures that are named, or all."""
    for name in sys.argv[1:] or PICTURES:
        path = PLACE / f"{name}.png"
        save_small(PICTURES[name](), path)
        print(f"{path.relative_to(ROOT)}  {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
