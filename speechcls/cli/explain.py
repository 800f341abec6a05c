"""``speechcls explain``."""

from io import BytesIO
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from speechcls.cli.common import refuse, reports_errors
from speechcls.cli.data_options import DataOptions, with_data_options
from speechcls.cli.inputs import find_model, open_clip
from speechcls.cli.messages import Messages
from speechcls.cli.options import (
    DATA,
    OUTPUT,
    Models,
    Quiet,
    Verbose,
    as_path,
    option,
    out_option,
)
from speechcls.cli.outputs import check_file_place
from speechcls.cli.tables import print_line
from speechcls.cli.training_report import describe_epochs
from speechcls.text import without_credentials

if TYPE_CHECKING:
    from speechcls.explain.trace import Explanation

_CLIP = typer.Argument(
    help="Recording, or - for one on stdin; may be left out with --data.", metavar="[CLIP]"
)
_DATA = option(
    "--data",
    help="Show which clips of this folder or manifest (see help data; may be repeated) excite each"
    " unit most, and those whose states are like CLIP's.",
    panel=DATA,
    metavar="DATA",
    parser=as_path,
)
_N_CLIPS = option(
    "--clips",
    min=2,
    help="Clips of --data to run and to put into the page, of each label as many. [default: 160]",
    panel=DATA,
    show_default=False,
)
_OUT = out_option(
    "Picture to write, PNG or SVG by its ending. [default: explain.png, unless --html or"
    " --animate]",
    show_default=False,
)
_HTML = option(
    "--html",
    help="Page to write, with the sound and every layer. [default with --data: units.html]",
    panel=OUTPUT,
    metavar="FILE",
    show_default=False,
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
@with_data_options
def explain(
    ctx: typer.Context,
    reading: DataOptions,
    clip: Annotated[str | None, _CLIP] = None,
    models: Models = None,
    data: Annotated[list[Path] | None, _DATA] = None,
    n_clips: Annotated[int | None, _N_CLIPS] = None,
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
    The page of a model that was trained with --snapshots has a slider over its epochs.
    With several models (-m A -m B) it is a page that shows them beside each other, and where their
    answers part. With --data it is a page of what each unit responds to: the clips and moments of a
    data set at which its state is highest and lowest, to be played in a row, and the clips in which
    the states are alike. It needs torch, for features and convolutions.

    Example: speechcls explain clip.wav --html explain.html
    """
    messages = Messages(quiet, verbose)
    if data:
        refuse(ctx, ("out", "animate", "layer"), "with --data")
        if models and len(models) > 1:
            raise typer.BadParameter("--model: one alone with --data")
        from speechcls.cli.explain_units import explain_units

        page = html or Path("units.html")
        explain_units(data, reading, clip, models[0] if models else None, n_clips, page, messages)
        return
    refuse(ctx, ("n_clips", *DataOptions._fields), "without --data")
    if clip is None:
        raise typer.BadParameter("name CLIP, or a data set with --data")
    files = _OutputFiles(out, html, animate)
    if models and len(models) > 1:
        refuse(ctx, ("animate", "layer"), "with several models")
        _compare(clip, models, files, messages)
    else:
        _show(clip, models[0] if models else None, layer, files, messages)


def _show(
    clip: str, model: Path | None, layer: int | None, files: _OutputFiles, messages: Messages
) -> None:
    """Write what one model does with a clip."""
    if not any(files):
        files = files._replace(picture=Path("explain.png"))
    _check_places(files)
    path = find_model(model, messages)
    content, clip = open_clip(clip), without_credentials(clip)
    explanation = _explain(path, content, clip, messages, with_snapshots=bool(files.html))
    if not explanation.layers:
        messages.note(f"{explanation.arch} has no recurrent layers; there are no gates to show")
    elif not explanation.has_gates:
        messages.note(f"{explanation.arch} has no gates; the picture shows its states alone")
    messages.note(f"{clip}: {_summary(explanation)}")
    _write(explanation, f"{Path(clip).name}: {_prediction(explanation)} ({path.name})",
           layer or len(explanation.layers) or None, files)  # fmt: skip
    if explanation.snapshots and files.html:
        _say_snapshots(explanation, files.html, messages)
    elif _has_snapshots(path):
        messages.note("how the network learnt is on a page: explain --html FILE")
    if clip != "-":
        own = ("--model", model) if model else ()
        onward = ("explain", clip, *own, "--html", "explain.html")
        messages.next_steps(("features", clip) if files.html else onward, in_scripts=False)


def _has_snapshots(model: Path) -> bool:
    from speechcls.artifact.format import SNAPSHOTS

    return (model / SNAPSHOTS).is_file()


def _say_snapshots(explanation: "Explanation", page: Path, messages: Messages) -> None:
    """Print which epochs a page shows, and how large it is for that."""
    from speechcls.explain.in_page import choose_snapshots

    chosen, reason = choose_snapshots(explanation)
    carried = [each.epoch for each in chosen]
    left = [each.epoch for each in explanation.snapshots if each.epoch not in carried]
    if carried:
        size = f"{page.stat().st_size / 1e6:.1f} MB"
        messages.note(f"{page}: the network at the end of {describe_epochs(carried)} too; {size}")
    if left:
        messages.note(f"{page}: {describe_epochs(left)} in a table only; {reason}")


def _explain(
    path: Path,
    content: str | BytesIO,
    clip: str,
    messages: Messages,
    with_snapshots: bool = False,
) -> "Explanation":
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
    return explain_window(classifier, window.samples, with_snapshots)


def _compare(clip: str, models: list[Path], files: _OutputFiles, messages: Messages) -> None:
    """Write picture and page of several models, those that are asked for, and print their paths."""
    from speechcls.explain.beside import draw_beside, find_parting, write_beside
    from speechcls.render.figures import save_figure

    if not any(files):
        files = files._replace(html=Path("explain.html"))
    _check_places(files)
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
        if _has_snapshots(path):
            messages.note(f"{names[-1]}: how it learnt is on the page of one model")
    parting = find_parting(explanations)
    said = "their likeliest labels never differ"
    if parting:
        said = f"their likeliest labels part at {parting.start_s:.2f} s"
    messages.note(f"{clip}: {said}")
    figure = draw_beside(explanations, names)
    if files.picture:
        save_figure(figure, files.picture)
        print_line(files.picture)
    if files.html:
        title = f"{Path(clip).name}: {', '.join(names)}"
        write_beside(explanations, names, title, figure, files.html)
        print_line(files.html)
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
