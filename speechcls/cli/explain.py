"""``speechcls explain``."""

from io import BytesIO
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from speechcls.cli.common import reports_errors
from speechcls.cli.inputs import find_model, open_clip
from speechcls.cli.messages import Messages
from speechcls.cli.options import (
    OUTPUT,
    ClipArgument,
    Models,
    Quiet,
    Verbose,
    option,
    out_option,
)
from speechcls.cli.outputs import check_file_place
from speechcls.cli.tables import print_line
from speechcls.text import without_credentials

if TYPE_CHECKING:
    from speechcls.explain.trace import Explanation

_OUT = out_option(
    "Picture to write, PNG or SVG by its ending. [default: explain.png, unless --html or"
    " --animate]",
    show_default=False,
)
_HTML = option(
    "--html", help="Page to write, with the sound and every layer.", panel=OUTPUT, metavar="FILE"
)
_ANIMATE = option(
    "--animate", help="Animation to write, GIF, with a moving cursor.", panel=OUTPUT, metavar="FILE"
)
_LAYER = option("--layer", min=1, help="Recurrent layer to show, 1 is the lowest. [default: last]")


class _OutputFiles(NamedTuple):
    """Files to write; None: not this one."""

    picture: Path | None
    html: Path | None
    animation: Path | None


@reports_errors
def explain(
    clip: ClipArgument,
    models: Models = None,
    out: Annotated[Path | None, _OUT] = None,
    html: Annotated[Path | None, _HTML] = None,
    animate: Annotated[Path | None, _ANIMATE] = None,
    layer: Annotated[int | None, _LAYER] = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Visualise a model's internals on one clip: gates, attention, occlusion.

    One figure: waveform, spectrogram and features; the posterior of each label over time;
    attention, if the network has it; occlusion (the probability lost when 0.1 s is silenced); and
    every gate of a layer over time, in both directions. All is computed from the weights, gate by
    gate, and checked against the model's output. Prints the path of each file that it writes.
    With several models (-m A -m B) it is a page that shows them beside each other, and where their
    answers part. It needs torch, for features and convolutions.

    Example: speechcls explain clip.wav --html explain.html
    """
    messages = Messages(quiet, verbose)
    if models and len(models) > 1:
        for name, value in {"--out": out, "--animate": animate, "--layer": layer}.items():
            if value is not None:
                raise typer.BadParameter(f"{name}: not of several models; they have a page, --html")
        _compare(clip, models, html or Path("explain.html"), messages)
        return
    if not (out or html or animate):
        out = Path("explain.png")
    files = _OutputFiles(out, html, animate)
    _check_places(files)
    path = find_model(models[0] if models else None, messages)
    content, clip = open_clip(clip), without_credentials(clip)
    explanation = _explain(path, content, clip, messages)
    if not explanation.layers:
        messages.note(f"{explanation.arch} has no recurrent layers; there are no gates to show")
    elif not explanation.has_gates:
        messages.note(f"{explanation.arch} has no gates; the picture shows its states alone")
    messages.note(f"{clip}: {_summary(explanation)}")
    _write(explanation, f"{Path(clip).name}: {_prediction(explanation)} ({path.name})",
           layer or len(explanation.layers) or None, files)  # fmt: skip
    if clip != "-":
        own = ("--model", models[0]) if models else ()
        page = ("explain", clip, *own, "--html", "explain.html")
        messages.next_steps(("features", clip) if html else page, in_scripts=False)


def _explain(path: Path, content: str | BytesIO, clip: str, messages: Messages) -> "Explanation":
    """Return what a model does with a clip."""
    from speechcls.explain.trace import explain as explain_window
    from speechcls.runtime.classifier import Classifier

    classifier = Classifier.load(path)
    window = classifier.read_window(content, name=clip)
    if window.is_part:
        messages.note(
            f"{clip}: lasts {window.clip_duration_s:.2f} s; shown is its loudest part, from"
            f" {window.start_s:.2f} s"
        )
    return explain_window(classifier, window.samples)


def _compare(clip: str, models: list[Path], page: Path, messages: Messages) -> None:
    """Write the page of several models and print its path."""
    from speechcls.explain.beside import find_parting, write_beside

    check_file_place(page)
    content, clip = open_clip(clip), without_credentials(clip)
    names: list[str] = []
    explanations = []
    for model in models:
        path = find_model(model, messages)
        if isinstance(content, BytesIO):
            content.seek(0)
        explanations.append(_explain(path, content, clip, messages))
        names.append(path.name if path.name not in names else f"{path.name} ({len(names) + 1})")
        messages.note(f"{names[-1]}: {_summary(explanations[-1])}")
    parting = find_parting(explanations)
    said = "their likeliest labels never differ"
    if parting:
        said = f"their likeliest labels part at {parting.start_s:.2f} s"
    messages.note(f"{clip}: {said}")
    write_beside(explanations, names, f"{Path(clip).name}: {', '.join(names)}", page)
    print_line(page)
    messages.next_steps(("explain", "OTHER_CLIP", *chain(*(("--model", m) for m in models))),
                        in_scripts=False)  # fmt: skip


def _check_places(files: _OutputFiles) -> None:
    """Refuse files that cannot be written, before the work is done."""
    from speechcls.render.figures import ANIMATION_FORMATS, check_figure_path

    if files.picture:
        check_figure_path(files.picture)
    if files.animation:
        check_figure_path(files.animation, ANIMATION_FORMATS)
    for path in files:
        if path:
            check_file_place(path)


def _prediction(explanation: "Explanation") -> str:
    label = explanation.labels[explanation.label_index]
    return f"{label}, {100 * explanation.probabilities.max():.1f} %"


def _summary(explanation: "Explanation") -> str:
    """Return the prediction, and the time that it depends on most."""
    what = "no single 0.1 s is decisive"
    if explanation.decisive_s is not None:
        lost = explanation.occlusion.values.max()
        what = f"most depends on {explanation.decisive_s:.2f} s, without which it loses {lost:.2f}"
    label = explanation.labels[explanation.label_index]
    return f"{label} ({explanation.probabilities.max():.4f}); {what}"


def _write(explanation: "Explanation", title: str, layer: int | None, files: _OutputFiles) -> None:
    """Write picture, page and animation, those that are asked for, and print their paths."""
    from speechcls.explain.figures import MAX_DURATION_S, SLOWDOWN, animate_figure, draw_explanation
    from speechcls.explain.page import write_explanation
    from speechcls.render.figures import save_animation, save_figure

    figure = draw_explanation(explanation, title, layer)
    if files.picture:
        save_figure(figure, files.picture)
        print_line(files.picture)
    if files.html:
        write_explanation(explanation, figure, title, layer, files.html)
        print_line(files.html)
    if files.animation:
        frames = animate_figure(figure, explanation.end_s)
        save_animation(frames, min(MAX_DURATION_S, SLOWDOWN * explanation.end_s), files.animation)
        print_line(files.animation)
