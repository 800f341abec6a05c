"""``speechcls report``, and the report of ``evaluate --report``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from speechcls.cli.common import reports_errors
from speechcls.cli.messages import Messages
from speechcls.cli.options import Quiet, Verbose
from speechcls.cli.progress import item_bar
from speechcls.cli.tables import print_line
from speechcls.errors import ConfigError

if TYPE_CHECKING:
    from speechcls.evaluation.score import Evaluation
    from speechcls.layouts.examples import Dataset
    from speechcls.runtime.classifier import Classifier

_FOLDER = typer.Argument(help="Folder that evaluate --report wrote.", metavar="DIR")


@reports_errors
def report(
    folder: Annotated[Path, _FOLDER], quiet: Quiet = False, verbose: Verbose = False
) -> None:
    """Draw the report of an evaluation again from its saved predictions.

    Needs neither the model nor the recordings: DIR holds predictions.json and the misclassified
    clips. Prints the path of the page, which needs no other file; beside it are its pictures as PNG
    and SVG and its tables as CSV.

    Example: speechcls report out/
    """
    from speechcls.evaluation.predictions import PREDICTIONS_FILE, load_predictions
    from speechcls.report.page import count_pictures, draw_report

    messages = Messages(quiet, verbose)
    if folder.is_file():
        raise ConfigError(f"{folder}: a file; name the folder that it is in, {folder.parent}")
    predictions = load_predictions(folder / PREDICTIONS_FILE)
    with item_bar(messages, "drawing", count_pictures(predictions)) as on_picture:
        page = draw_report(predictions, folder, on_picture)
    print_line(page)
    model = predictions.about.model_place
    own = ("--model", model) if model else ()
    messages.next_steps(("explain", "CLIP", *own), in_scripts=False)


def make_report(
    evaluation: "Evaluation",
    classifier: "Classifier",
    dataset: "Dataset",
    folder: Path,
    messages: Messages,
) -> None:
    """Write the report of an evaluation and print where it is."""
    from speechcls.evaluation.predictions import collect_predictions, read_windows
    from speechcls.report.mistakes import played_clips
    from speechcls.report.page import count_pictures, save_report

    predictions = collect_predictions(evaluation, classifier, dataset)
    windows = read_windows(evaluation, classifier, played_clips(predictions))
    with item_bar(messages, "drawing", count_pictures(predictions)) as on_picture:
        page = save_report(predictions, windows, folder, on_picture)
    messages.note(f"report {page}")
