"""``speechcls evaluate``."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from speechcls.cli.common import FAILED, files_first, reports_errors
from speechcls.cli.messages import Messages, report_bad
from speechcls.cli.options import AsJson, Device, Jobs, Model, Noise, Pattern, Quiet, Verbose
from speechcls.cli.progress import counting
from speechcls.cli.report import make_report
from speechcls.cli.tables import print_table
from speechcls.errors import printable

if TYPE_CHECKING:
    from speechcls.evaluation.score import Evaluation


@reports_errors
def evaluate(
    data: Annotated[
        Path | None,
        typer.Argument(
            help="Folder of recordings, or a manifest; not with --stream.", metavar="[DATA]"
        ),
    ] = None,
    model: Model = None,
    split: Annotated[
        str,
        typer.Option(
            help="What to score: auto (clips that are new to the model or held out as test; where"
            " no test clips are, validation clips too), train, validation, test or all.",
        ),
    ] = "auto",
    pattern: Pattern = None,
    noise: Noise = None,
    min_accuracy: Annotated[
        float | None,
        typer.Option(min=0.0, max=1.0, help="End with exit code 1 below this accuracy."),
    ] = None,
    stream: Annotated[
        Path | None,
        typer.Option(help="Score words found in this recording instead.", metavar="RECORDING"),
    ] = None,
    truth: Annotated[
        Path | None,
        typer.Option(
            help="What is said in it: labels of Audacity, or a CSV with start_s,end_s,label.",
            metavar="LABELS",
        ),
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            max=1.0,
            help="Least probability of a word in --stream. [default: the model's own]",
        ),
    ] = None,
    as_json: AsJson = False,
    report: Annotated[
        Path | None,
        typer.Option(help="Draw a page of what the model gets right and wrong.", metavar="DIR"),
    ] = None,
    device: Device = "cpu",
    jobs: Jobs = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Say how good a model is on recordings that it was not trained on.

    Prints accuracy with a 95 % interval, macro F1, precision, recall and F1 of each label, and the
    pairs that are most confused. With --stream: words found, missed and imagined in a long
    recording, by label, and how misses go with false alarms an hour over one threshold for all.

    Example: speechcls evaluate data/ --report out/ --min-accuracy 0.9
    """
    if (data is None) == (stream is None):
        raise typer.BadParameter("name DATA, or a recording with --stream")
    if (stream is None) != (truth is None):
        raise typer.BadParameter("--stream and --truth belong together")
    if stream is not None and min_accuracy is not None:
        raise typer.BadParameter("--min-accuracy is for DATA, not for --stream")
    if stream is not None and report is not None:
        raise typer.BadParameter("--report is for DATA, not for --stream")
    if stream is not None and truth is not None:
        from speechcls.cli.evaluate_stream import evaluate_stream

        evaluate_stream(stream, truth, model, threshold, as_json, Messages(quiet, verbose))
        return
    from speechcls.artifact.lookup import find_artifact
    from speechcls.data.layouts import find_examples
    from speechcls.evaluation.score import evaluate as evaluate_model
    from speechcls.runtime.classifier import Classifier

    messages = Messages(quiet, verbose)
    if report is not None:
        from speechcls.report.page import check_report_folder

        check_report_folder(report)  # before the work is done
    path, how = find_artifact(model)
    classifier = Classifier.load(path, jobs, device)
    messages.note(f"model {path} ({how})")
    assert data is not None
    dataset = find_examples(data, pattern, noise)
    with counting(messages, "evaluating", len(dataset.examples)) as on_clip:
        with_levels = report is not None
        evaluation = evaluate_model(classifier, dataset, split, on_clip, with_levels)
    report_bad(messages, evaluation.bad)

    def show() -> None:
        if not as_json:
            _print_scores(evaluation)
            return
        scores = evaluation.scores.to_dict()
        head = {"model": str(path), "data": str(data), "scored": evaluation.scored}
        result = head | {"caveat": evaluation.caveat} | scores | {"bad": evaluation.bad}
        typer.echo(json.dumps(result))

    with files_first(show):
        if report is not None:
            make_report(evaluation, classifier, dataset, report, messages)
    accuracy = evaluation.scores.accuracy
    if min_accuracy is not None and not accuracy >= min_accuracy:
        messages.error(f"accuracy {accuracy:.4f} is below --min-accuracy {min_accuracy:g}")
        raise typer.Exit(FAILED)
    if evaluation.bad:
        raise typer.Exit(FAILED)


def _print_scores(evaluation: "Evaluation") -> None:
    """Print the figures for people."""
    scores = evaluation.scores
    speakers = f" by {scores.n_speakers} speakers" if scores.n_speakers else ""
    typer.echo(f"scored    {evaluation.scored}{speakers}")
    if evaluation.caveat:
        typer.echo(f"caveat    {evaluation.caveat}")
    low, high = 100 * scores.accuracy_low, 100 * scores.accuracy_high
    typer.echo(f"accuracy  {100 * scores.accuracy:.1f} % (95 % interval {low:.1f} - {high:.1f})")
    n_there = sum(row.n_clips > 0 for row in scores.per_label)
    of = "" if n_there == len(scores.labels) else f" (of the {n_there} labels that occur)"
    typer.echo(f"macro F1  {100 * scores.macro_f1:.1f} %{of}\n")
    rows = []
    answers = scores.confusion.sum(axis=0)
    for label, row, n_answers in zip(scores.labels, scores.per_label, answers, strict=True):
        shares = (row.precision, n_answers), (row.recall, row.n_clips), (row.f1, row.n_clips)
        cells = (f"{100 * share:.1f}" if n else "-" for share, n in shares)
        rows.append((label, *cells, str(row.n_clips)))
    print_table(("label", "precision", "recall", "F1", "clips"), rows, text=("label",))
    if pairs := scores.most_confused():
        typer.echo("\nmost confused (spoken, heard as, clips)")
        for truth, predicted, n_clips in pairs:
            typer.echo(f"{printable(truth)}\t{printable(predicted)}\t{n_clips}")
