"""``speechcls report``, and what ``evaluate --report`` calls."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from speechcls.cli.common import reports_errors
from speechcls.cli.messages import Messages
from speechcls.cli.options import Quiet, Verbose
from speechcls.cli.progress import counting
from speechcls.errors import ConfigError

if TYPE_CHECKING:
    from speechcls.data.examples import Dataset
    from speechcls.evaluation.score import Evaluation
    from speechcls.runtime.classifier import Classifier


@reports_errors
def report(
    folder: Annotated[
        Path, typer.Argument(help="Folder that evaluate --report made.", metavar="DIR")
    ],
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Draw a report of an evaluation again from its saved predictions.

    Needs neither the model nor the recordings: DIR holds predictions.json and the clips that were
    misheard. Prints where the page is, which needs no other file; beside it are the pictures as PNG
    and SVG and the tables as CSV.

    Example: speechcls report out/
    """
    from speechcls.evaluation.predictions import FILE, load_predictions
    from speechcls.report.page import count_pictures, draw_report

    messages = Messages(quiet, verbose)
    if folder.is_file():
        raise ConfigError(f"{folder}: a file; name the folder that it is in, {folder.parent}")
    predictions = load_predictions(folder / FILE)
    with counting(messages, "drawing", count_pictures(predictions)) as on_picture:
        page = draw_report(predictions, folder, on_picture)
    typer.echo(page)


def make_report(
    evaluation: "Evaluation",
    classifier: "Classifier",
    dataset: "Dataset",
    folder: Path,
    messages: Messages,
) -> None:
    """Write the report of an evaluation and say where it is."""
    from speechcls.evaluation.predictions import collect_predictions, read_windows
    from speechcls.report.page import count_pictures, save_report
    from speechcls.report.tables import N_MISTAKES

    predictions = collect_predictions(evaluation, classifier, dataset)
    heard = read_windows(evaluation, classifier, predictions.mistakes(N_MISTAKES))
    with counting(messages, "drawing", count_pictures(predictions)) as on_picture:
        page = save_report(predictions, heard, folder, on_picture)
    messages.note(f"report {page}")
