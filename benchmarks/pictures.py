"""Make the pictures of the documentation: ``make pictures``, or names of some as arguments.

Those of the README's session and of the manual's pages need ``speechcls[pictures]``.

All sounds are synthetic (espeak-ng). Small networks are trained on them first, into
``build/pictures``, where they stay for the next time.
"""

import csv
import io
import itertools
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from lesson_pictures import draw_gradients, draw_sound, draw_threshold
from matplotlib.figure import Figure
from PIL import Image
from screenshots import save_screenshots

from speechcls.artifact.store import load_artifact, load_split
from speechcls.audio.decode import read_clip
from speechcls.audio.samples import to_pcm
from speechcls.audio.wav import wav_bytes
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
MOST_BYTES, MOST_BYTES_MOVING = 150_000, 1_000_000
WORDS, WORD = ("yes", "no", "stop", "go"), "stop"
ATTENTION = "att-bigru"
OTHERS = ("up", "down", "left", "right")
CLIPS_A_WORD, HIDDEN_SIZE, EPOCHS = 120, 24, 12
N_STEPS = 26
"""Steps of a recurrence in a second, at four frames each."""
SESSION = "session"
"""The README's own session, which moves."""
WALK = """\
synth yes no go on off up five nine left stop --out data --per-word 60
check data
train data
evaluate data --report out
explain data/{mistake} --out explain.png --html explain.html
"""
"""The commands of docs/WALK.md; the last one looks into the most confident mistake."""
N_TAKES = {"yes": 12, "no": 10, "stop": 4}
"""Recordings that the folder of the page has."""
N_WORDS = 6
"""What ``compare --memory`` lets the voices say, each as often: chance is one in six."""


def run(*arguments: str | Path) -> None:
    """Run the command line; end with it if it fails."""
    subprocess.run([sys.executable, "-m", "speechcls", *map(str, arguments)], check=True)


def walk(name: str) -> Path:
    """Return a picture of docs/WALK.md; what its commands print is in ``session.txt``."""
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


@contextmanager
def opened_page() -> Iterator[Any]:
    """Yield the page of ``serve`` in a browser whose microphone says ``WORD``, with a model."""
    from playwright.sync_api import sync_playwright

    from speechcls.serve.models import ModelSet
    from speechcls.serve.server import Server
    from speechcls.serve.settings import ServeConfig
    from speechcls.studio.routes import Studio

    model, place = SCRATCH / "words-1", SCRATCH / "page"
    if not model.is_dir():
        run("train", speech(), "--from", "commands-tiny", "--epochs", "4", "--out", model)
    shutil.rmtree(place, ignore_errors=True)
    for word in WORDS[:3]:
        (place / "words" / word).mkdir(parents=True)
        for n, clip in enumerate(clips_of(word)[: N_TAKES[word]]):
            shutil.copy(
                clip, place / "words" / word / f"{'ann' if n % 2 else 'ben'}_nohash_{n}.wav"
            )
    sounds = [np.zeros(8_000, np.float32)]
    for clip in clips_of(WORD)[:5]:
        sounds += [read_clip(clip, 16_000), np.zeros(8_000, np.float32)]
    said = place / "said.wav"
    said.write_bytes(wav_bytes(to_pcm(np.concatenate(sounds)), 16_000))
    fake = ("use-fake-device-for-media-stream", "use-fake-ui-for-media-stream")
    flags = [
        "--no-sandbox",
        *(f"--{name}" for name in fake),
        f"--use-file-for-fake-audio-capture={said}",
    ]
    server = Server(
        ModelSet([(model, "trained on the page")]),
        ServeConfig(port=0),
        make_extra=lambda service: Studio(service, place / "words", place / "models"),
    )
    server.start()
    try:
        with sync_playwright() as playwright:
            chromium = shutil.which("chromium") or shutil.which("google-chrome")
            browser = playwright.chromium.launch(executable_path=chromium, args=flags)
            page = browser.new_page(viewport={"width": 1_000, "height": 780})
            page.goto(server.url)
            page.wait_for_selector("html[data-ready]")
            yield page
            browser.close()
    finally:
        server.stop()
        server.wait()


def clips_of(word: str) -> list[Path]:
    """Return the clips of a word in the synthetic speech."""
    return sorted((speech() / word).glob("*.wav"))


def take_page(name: str, show: Callable[[Any], None]) -> Path:
    """Return a picture of the page of ``serve`` after something was done in it."""
    with opened_page() as page:
        show(page)
        page.screenshot(path=SCRATCH / f"{name}.png")
    return SCRATCH / f"{name}.png"


def show_recording(page: Any) -> None:
    """Record, until a take is asked for."""
    page.get_by_role("button", name=f"Record {WORD}").click()
    page.locator("#takes-left", has_text="2 of 5").wait_for()
    quiet = "".join(f":not([aria-valuenow^='-{tens}'])" for tens in (4, 5, 6))  # dB
    page.locator(f"#prompt.now ~ #level{quiet}").wait_for()


def show_trying(page: Any) -> None:
    """Talk to the model, until it has recognised some words."""
    page.get_by_role("link", name="4 Try").click()
    page.get_by_role("button", name="Listen").click()
    page.locator("#log li").nth(3).wait_for()
    page.locator("#bars .over").wait_for()


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


def walk_check() -> Path:
    """Return the page of ``check`` on the data of the walk, with a few faults planted."""
    place = walk("out/report.html").parents[1]
    page, faulty = place / "check.html", place / "faulty"
    if not page.is_file():
        shutil.rmtree(faulty, ignore_errors=True)
        shutil.copytree(place / "data", faulty)
        clips = sorted((faulty / "go").iterdir())
        shutil.copy(clips[0], faulty / "no" / clips[0].name)  # the same sound under two labels
        for clip in clips[1:4]:
            samples, rate = soundfile.read(clip)
            soundfile.write(clip, 0 * samples, rate)
        samples, rate = soundfile.read(clips[4])
        soundfile.write(clips[4], np.clip(30 * samples, -1, 1), rate)
        clips[5].write_bytes(b"no recording")
        _run_in(place, "check faulty --html check.html --max-bad 1", check=False)  # faulty: exit 1
    return page


def _run_in(place: Path, line: str, check: bool = True) -> None:
    subprocess.run([sys.executable, "-m", "speechcls", *line.split()], cwd=place, check=check)


def walk_compare() -> Path:
    """Return the page that compares the model of the walk with a small one."""
    place = walk("out/report.html").parents[1]
    page = place / "compared" / "compare.html"
    if not page.is_file():
        if not (place / "models" / "gru").is_dir():
            _run_in(place, "train data --arch gru --size tiny --epochs 4 -q --out models/gru")
        _run_in(place, "compare models/data-att-bigru models/gru --data data --report compared")
    return page


def manual(page: str) -> Path:
    """Return a page of the manual, which is built first."""
    folder = SCRATCH / "manual"
    if not folder.is_dir():
        command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--site-dir", str(folder)]
        subprocess.run(command, cwd=ROOT, check=True)
    return folder / f"{page}.html"


PAGES: dict[str, Callable[[], Path]] = {
    "explain-page": lambda: walk("explain.html"),
    "manual-home": lambda: manual("index"),
    "manual-train": lambda: manual("commands/train"),
    "manual-glossary": lambda: manual("GLOSSARY"),
    "report": lambda: walk("out/report.html"),
    "check": walk_check,
    "compare": walk_compare,
}
"""What makes each page that screenshots are taken of, by their name."""


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
