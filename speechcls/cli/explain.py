"""``speechcls explain``."""

import io
from pathlib import Path
from typing import Annotated

import typer

from speechcls.cli.common import check_file_place, open_stdin, reports_errors
from speechcls.cli.messages import Messages
from speechcls.cli.options import Model, Quiet, Verbose


@reports_errors
def explain(
    clip: Annotated[str, typer.Argument(help="Recording, or - for one on stdin.", metavar="CLIP")],
    model: Model = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Picture to write, PNG or SVG by its ending. [default: explain.png, unless --html"
            " or --animate]",
            metavar="FILE",
            show_default=False,
        ),
    ] = None,
    html: Annotated[
        Path | None,
        typer.Option(help="Page to write: move over it, hear it, follow a unit.", metavar="FILE"),
    ] = None,
    animate: Annotated[
        Path | None,
        typer.Option(help="Moving picture to write, GIF: the word goes by.", metavar="FILE"),
    ] = None,
    layer: Annotated[
        int | None,
        typer.Option(min=1, help="Recurrent layer to look into, 1 is the lowest. [default: last]"),
    ] = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Draw what a network does while a clip goes by.

    One picture: waveform, spectrogram and features; the probability of each label as the word
    unfolds; attention, if the network has it; what decides (the probability lost when 0.1 s is
    silenced); and every gate of a layer over time, in both directions. All is computed from the
    weights, gate by gate, and held against what the model answers. Prints the name of each
    file that it writes. It needs torch, for features and convolutions.

    Example: speechcls explain clip.wav --html explain.html
    """
    from speechcls.artifact.lookup import find_artifact
    from speechcls.errors import ConfigError
    from speechcls.explain.figures import LONGEST_S, SLOWER, animate_figure, draw_explanation
    from speechcls.explain.page import write_explanation
    from speechcls.explain.trace import explain as explain_window
    from speechcls.render.figures import MOVING, check_figure_path, save_animation, save_figure
    from speechcls.runtime.classifier import Classifier

    messages = Messages(quiet, verbose)
    if not (out or html or animate):
        out = Path("explain.png")
    if out:
        check_figure_path(out)
    if animate:
        check_figure_path(animate, MOVING)
    for place in (out, html, animate):
        if place:
            check_file_place(place)
    path, how = find_artifact(model)
    classifier = Classifier.load(path)
    n_layers = classifier.artifact.network.num_layers
    if layer is not None and layer > n_layers:
        raise ConfigError(f"layer: {layer} is not possible; this network has 1 to {n_layers}")
    messages.note(f"model {path} ({how})")
    if clip == "-":
        with open_stdin() as stdin:
            window = classifier.read_window(io.BytesIO(stdin.read()), name="-")
    else:
        window = classifier.read_window(clip)
    if window.is_part:
        messages.note(
            f"{clip}: lasts {window.clip_duration_s:.2f} s; shown is its loudest part, from"
            f" {window.start_s:.2f} s"
        )
    explanation = explain_window(classifier, window.samples)
    answer = explanation.labels[explanation.label_index]
    probability = explanation.probabilities.max()
    if not explanation.has_gates:
        messages.note(f"{explanation.arch} has no gates; the picture shows its states alone")
    title = f"{Path(clip).name}: {answer}, {100 * probability:.1f} % ({path.name})"
    what = "no tenth of a second decides alone"
    if explanation.decisive_s is not None:
        lost = explanation.occlusion.values.max()
        what = f"most depends on {explanation.decisive_s:.2f} s, without which it loses {lost:.2f}"
    messages.note(f"{clip}: {answer} ({probability:.4f}); {what}")
    layer = layer or n_layers
    figure = draw_explanation(explanation, title, layer)
    if out:
        save_figure(figure, out)
        typer.echo(out)
    if html:
        write_explanation(explanation, figure, title, layer, html)
        typer.echo(html)
    if animate:
        frames = animate_figure(figure, explanation.end_s)
        save_animation(frames, min(LONGEST_S, SLOWER * explanation.end_s), animate)
        typer.echo(animate)
