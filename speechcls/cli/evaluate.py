"""``speechcls evaluate``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from speechcls.cli.common import FAILED, refuse, reports_errors
from speechcls.cli.data_options import DataOptions, with_data_options
from speechcls.cli.inputs import find_model
from speechcls.cli.messages import Messages
from speechcls.cli.options import (
    DATA,
    DETECTION,
    OUTPUT,
    AsJson,
    Device,
    Jobs,
    Model,
    Quiet,
    Threshold,
    Verbose,
    as_path,
    option,
)
from speechcls.cli.outputs import files_first
from speechcls.cli.progress import item_bar
from speechcls.cli.report import make_report
from speechcls.cli.resume import Resume, open_resumable
from speechcls.cli.scores import MinRecall, reach_recall
from speechcls.cli.tables import print_json, print_line, print_table
from speechcls.labels import UNKNOWN, is_command, is_reserved, list_names

if TYPE_CHECKING:
    from speechcls.evaluation.score import Evaluation

_DATA = typer.Argument(
    help="Folder of recordings, or manifests of one data set (see help data); not with --stream.",
    metavar="[DATA]...",
    parser=as_path,
)
_SPLIT = option(
    "--split",
    help="Clips to score: auto (those that are new to the model and those of its test split; where"
    " there are no test clips, the validation split too), train, validation, test or all.",
    panel=DATA,
    metavar="SPLIT",
)
_MIN_ACCURACY = option(
    "--min-accuracy", min=0.0, max=1.0, help="End with exit code 1 below this accuracy."
)
_STREAM = option(
    "--stream",
    help="Score the words detected in this recording instead.",
    panel=DETECTION,
    metavar="RECORDING",
    parser=as_path,
)
_TRUTH = option(
    "--truth",
    help="Its annotations: labels of Audacity, or a CSV with start_s,end_s,label.",
    panel=DETECTION,
    metavar="FILE",
    parser=as_path,
)
_REPORT = option(
    "--report",
    help="Draw a page of scores, confusions and mistakes.",
    panel=OUTPUT,
    metavar="DIR",
)
_ONLY_DATA = (
    *("split", "min_accuracy", "min_recall", "report", "resume", "device", "jobs"),
    *DataOptions._fields,
)
_ONLY_STREAM = ("truth", "threshold")


@reports_errors
@with_data_options
def evaluate(
    ctx: typer.Context,
    reading: DataOptions,
    data: Annotated[list[Path] | None, _DATA] = None,
    split: Annotated[str, _SPLIT] = "auto",
    model: Model = None,
    device: Device = "cpu",
    stream: Annotated[Path | None, _STREAM] = None,
    truth: Annotated[Path | None, _TRUTH] = None,
    threshold: Threshold = None,
    as_json: AsJson = False,
    report: Annotated[Path | None, _REPORT] = None,
    resume: Resume = False,
    min_accuracy: Annotated[float | None, _MIN_ACCURACY] = None,
    min_recall: MinRecall = None,
    jobs: Jobs = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Score a model on recordings that it was not trained on.

    Prints accuracy with a 95 % interval, balanced accuracy (the mean recall of the labels), macro
    F1, precision, recall and F1 of each label, and the pairs that are most confused. With --stream:
    hits, misses, confusions and false alarms in a long recording, by label, and how many words are
    missed at what rate of false alarms, over one threshold for all labels. With --report,
    DIR.resume keeps what is done until the end.

    Example: speechcls evaluate data/ --report out/ --min-accuracy 0.9
    """
    messages = Messages(quiet, verbose)
    if (not data) == (stream is None):
        raise typer.BadParameter("name DATA, or a recording with --stream")
    if stream is not None:
        from speechcls.cli.evaluate_stream import evaluate_stream

        refuse(ctx, _ONLY_DATA, "with --stream")
        if truth is None:
            raise typer.BadParameter("--stream needs --truth, the annotations of the recording")
        evaluate_stream(stream, truth, model, threshold, as_json, messages)
    elif data:
        refuse(ctx, _ONLY_STREAM, "without --stream")
        if report is not None:
            from speechcls.report.page import check_report_folder

            check_report_folder(report)  # before the work is done
        else:
            refuse(ctx, ["resume"], "without --report")
        evaluation = _evaluate(
            reading, data, split, model, device, as_json, report, resume, jobs, messages
        )
        _check_result(evaluation, min_accuracy, min_recall, messages)
        if report is None:
            own = ("--model", model) if model else ()
            words = ("evaluate", *data, *reading.as_arguments(), *own, "--report", "report")
            messages.next_steps(("listen", *own), words, in_scripts=False)
        else:
            own = ("--model", model) if model else ()
            messages.next_steps(("explain", "CLIP", *own), in_scripts=False)


def _evaluate(
    reading: DataOptions,
    data: list[Path],
    split: str,
    model: Path | None,
    device: str,
    as_json: bool,
    report: Path | None,
    resume: bool,
    jobs: int | None,
    messages: Messages,
) -> "Evaluation":
    """Score, write the report if one is wanted, and print."""
    from speechcls.evaluation.score import evaluate
    from speechcls.runtime.classifier import Classifier

    path = find_model(model, messages)
    classifier = Classifier.load(path, jobs, device)
    dataset = reading.load(data, messages, jobs)
    labels = {example.label for example in dataset.examples} - set(classifier.labels)
    if labels and UNKNOWN in classifier.labels:
        messages.note(f"{list_names(labels)}: no labels of the model, and count as {UNKNOWN}")
        if all(map(is_reserved, {example.label for example in dataset.examples} - labels)):
            words = [label for label in classifier.labels if is_command(label)]
            messages.warn(
                f"none of these words is one of the model ({list_names(words)}): this scores how"
                " well it rejects them; name another model with --model"
            )
    decisive = {"split": split, "device": device}
    with open_resumable(report, resume, [path], messages, decisive) as journal:
        with item_bar(messages, "evaluating", len(dataset.examples)) as on_clip:
            evaluation = evaluate(classifier, dataset, split, on_clip, report is not None, journal)
        messages.errors(evaluation.bad)
        if UNKNOWN in evaluation.scores.without_clips():
            messages.note(f"no clip of {UNKNOWN}: how well it rejects other words is not scored")
        for note in evaluation.notes:
            messages.warn(note)

        def show() -> None:
            if as_json:
                head = {"model": str(path), "data": " ".join(map(str, data))}
                print_json(head | _as_object(evaluation))
            else:
                _print_scores(evaluation)

        with files_first(show):
            if report is not None:
                make_report(evaluation, classifier, dataset, report, messages)
    return evaluation


def _check_result(
    evaluation: "Evaluation",
    min_accuracy: float | None,
    min_recall: float | None,
    messages: Messages,
) -> None:
    """Exit with code 1 if a score is below its minimum, or a clip could not be read."""
    accuracy = evaluation.scores.accuracy
    is_good = reach_recall(evaluation.scores, min_recall, messages)
    if min_accuracy is not None and not accuracy >= min_accuracy:
        messages.error(f"accuracy {accuracy:.4f} is below --min-accuracy {min_accuracy:g}")
        is_good = False
    if evaluation.bad or not is_good:
        raise typer.Exit(FAILED)


def _as_object(evaluation: "Evaluation") -> dict[str, object]:
    head = {"scored": evaluation.scored, "caveat": evaluation.caveat}
    return head | evaluation.scores.to_dict() | {"bad": evaluation.bad}


def _print_scores(evaluation: "Evaluation") -> None:
    """Print the scores as text."""
    typer.echo(f"{evaluation}\n")
    scores, rows = evaluation.scores, []
    counts = scores.confusion.sum(axis=0)
    for label, row, n_predicted in zip(scores.labels, scores.per_label, counts, strict=True):
        ratios = (row.precision, n_predicted), (row.recall, row.n_clips), (row.f1, row.n_clips)
        cells = (f"{100 * ratio:.1f}" if n else "-" for ratio, n in ratios)
        rows.append((label, *cells, str(row.n_clips)))
    print_table(("label", "precision", "recall", "F1", "clips"), rows, text=("label",))
    if pairs := scores.most_confused():
        typer.echo("\nmost confused (label, prediction, clips)")
        for truth, predicted, n_clips in pairs:
            print_line(truth, predicted, n_clips)
