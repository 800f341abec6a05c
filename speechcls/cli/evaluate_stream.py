"""``speechcls evaluate --stream``."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from speechcls.cli.inputs import find_model
from speechcls.cli.messages import Messages
from speechcls.cli.progress import recording_bar
from speechcls.cli.tables import print_json, print_table
from speechcls.storage.places import name_of

if TYPE_CHECKING:
    from speechcls.audio.samples import Samples
    from speechcls.evaluation.detection_metrics import StreamScores
    from speechcls.evaluation.score_stream import StreamEvaluation


def evaluate_stream(
    recording: Path,
    truth: Path,
    model: Path | None,
    threshold: float | None,
    as_json: bool,
    messages: Messages,
) -> None:
    """Print how well the words in a recording are detected."""
    from speechcls.artifact.store import load_artifact
    from speechcls.audio.blocks import open_recording
    from speechcls.evaluation.score_stream import evaluate_stream as evaluate
    from speechcls.layouts.annotations import read_truth
    from speechcls.runtime.detection import choose_thresholds
    from speechcls.runtime.stream import PosteriorStream
    from speechcls.storage.mirror import bring_file

    stream = PosteriorStream(load_artifact(find_model(model, messages)))
    artifact = stream.artifact
    recording, truth = bring_file(recording), bring_file(truth)
    words = read_truth(truth, on_skip=messages.warn)
    thresholds = choose_thresholds(artifact, threshold)
    with (
        open_recording(recording, stream.sample_rate) as reader,
        recording_bar(messages, name_of(recording), reader.duration_s) as advance,
    ):

        def blocks() -> Iterator["Samples"]:
            for block in reader.blocks():
                yield block
                advance(len(block) / stream.sample_rate)

        evaluation = evaluate(stream, blocks(), words, thresholds)
    for warning in (*(f"{recording}: {note}" for note in reader.notes), *evaluation.warnings):
        messages.warn(warning)
    if as_json:
        head = {"model": str(artifact.path), "recording": str(recording), "truth": str(truth)}
        curve = [point.to_dict() for point in evaluation.curve]
        result = head | evaluation.scores.to_dict()
        print_json(result | {"thresholds": evaluation.thresholds, "curve": curve})
    else:
        _print_totals(evaluation.scores)
        _print_tables(evaluation)


def _print_totals(scores: "StreamScores") -> None:
    from speechcls.evaluation.detection_metrics import NEAR_S, TOLERANCE_S, upper_rate

    total = scores.total
    upper = upper_rate(total.false_alarms, scores.hours)
    typer.echo(f"duration      {scores.hours:.3f} hours, {total.n_words} words")
    typer.echo(
        f"hits          {total.hits}, {100 * (1 - total.miss_rate):.1f} % of the words (centre in"
        f" the word or within {TOLERANCE_S:g} s of it)"
    )
    typer.echo(f"confused      {total.confused}, another word was detected")
    typer.echo(
        f"false alarms  {total.false_alarms}, {scores.false_alarms_per_hour:.1f} per hour"
        f" (95 % upper bound {upper:.1f})"
    )
    typer.echo(
        f"centres       {scores.median_distance_s:.2f} s from the word's (median),"
        f" {100 * scores.near_ratio:.1f} % within {NEAR_S:g} s\n"
    )


def _print_tables(evaluation: "StreamEvaluation") -> None:
    print_table(
        ("label", "threshold", "words", "hits", "misses", "confused", "false alarms"),
        (
            (
                label,
                f"{evaluation.thresholds[label]:.4f}",
                *map(str, (counts.n_words, counts.hits, counts.misses)),
                *map(str, (counts.confused, counts.false_alarms)),
            )
            for label, counts in evaluation.scores.per_label.items()
        ),
        text=("label",),
    )
    typer.echo("\none threshold for all labels, applied to detections at the lowest one:")
    print_table(
        ("threshold", "missed %", "false alarms per hour"),
        (
            (
                f"{point.threshold:.2f}",
                f"{100 * point.miss_rate:.1f}",
                f"{point.false_alarms_per_hour:.1f}",
            )
            for point in evaluation.curve
        ),
        text=(),
    )
