"""``speechcls evaluate --stream``."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from speechcls.cli.messages import Messages
from speechcls.cli.progress import listening
from speechcls.cli.tables import print_table

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
    """Print how well the words in a recording are found."""
    from speechcls.artifact.lookup import find_artifact
    from speechcls.artifact.store import load_artifact
    from speechcls.audio.blocks import open_recording
    from speechcls.data.annotations import read_truth
    from speechcls.evaluation.score_stream import evaluate_stream as evaluate
    from speechcls.runtime.detection import choose_thresholds
    from speechcls.runtime.stream import PosteriorStream

    path, how = find_artifact(model)
    artifact = load_artifact(path)
    messages.note(f"model {path} ({how})")
    words = read_truth(truth)
    running = PosteriorStream(artifact)
    thresholds = choose_thresholds(artifact, threshold)
    with (
        open_recording(recording, running.sample_rate) as sound,
        listening(messages, str(recording), sound.duration_s) as advance,
    ):

        def blocks() -> Iterator["Samples"]:
            for block in sound.blocks():
                yield block
                advance(len(block) / running.sample_rate)

        evaluation = evaluate(running, blocks(), words, thresholds)
    for warning in evaluation.warnings:
        messages.warn(warning)
    if as_json:
        head = {"model": str(path), "recording": str(recording), "truth": str(truth)}
        curve = [point.to_dict() for point in evaluation.curve]
        result = head | evaluation.scores.to_dict()
        typer.echo(json.dumps(result | {"thresholds": evaluation.thresholds, "curve": curve}))
    else:
        _print_totals(evaluation.scores)
        _print_tables(evaluation)


def _print_totals(scores: "StreamScores") -> None:
    from speechcls.evaluation.detection_metrics import NEAR_S, TOLERANCE_S, upper_rate

    total = scores.total
    upper = upper_rate(total.false_alarms, scores.hours)
    typer.echo(f"heard         {scores.hours:.3f} hours, {total.n_words} words")
    typer.echo(
        f"hits          {total.hits}, {100 * (1 - total.miss_rate):.1f} % of the words (middle in"
        f" the word or up to {TOLERANCE_S:g} s beside it)"
    )
    typer.echo(f"confused      {total.confused}, heard as another word where one was said")
    typer.echo(
        f"false alarms  {total.false_alarms}, {scores.false_alarms_per_hour:.1f} an hour"
        f" (95 % upper bound {upper:.1f})"
    )
    typer.echo(
        f"middles       {scores.median_distance_s:.2f} s apart (median),"
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
    typer.echo("\nfrom the events found once at the lowest threshold:")
    print_table(
        ("threshold for all", "missed %", "false alarms an hour"),
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
