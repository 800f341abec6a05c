"""What ``train`` prints: before the first epoch, and after the last one."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from speechcls.cli.common import FAILED, INTERRUPTED, own_place
from speechcls.cli.data_options import data_arguments, describe_long_takes
from speechcls.cli.inputs import describe_rejection
from speechcls.cli.messages import Messages
from speechcls.cli.scores import describe_failures, describe_headline, describe_trust, reach_recall
from speechcls.cli.tables import print_line
from speechcls.text import counted

if TYPE_CHECKING:
    from speechcls.training.plan import TrainPlan
    from speechcls.training.run import TrainResult
    from speechcls.training.settings import TrainSettings


def announce_plan(plan: "TrainPlan", messages: Messages) -> None:
    """Print the data, the network and the device of a training."""
    messages.errors(plan.corpus.bad)
    if plan.corpus.bad:
        n_bad = len(plan.corpus.bad)
        recordings = "1 recording is" if n_bad == 1 else f"{n_bad} recordings are"
        messages.note(f"{recordings} left out; speechcls check tells more about the data")
    for warning in plan.corpus.warnings:
        messages.warn(warning)
    if plan.corpus.long_takes:
        messages.warn(describe_long_takes(plan.corpus.long_takes))
    messages.note(plan.corpus.summary())
    if plan.reason:
        start = plan.settings.from_model if plan.settings.source else "nothing"
        messages.note(f"starts from {start}: {plan.reason}")
    if plan.n_known:
        known = counted(plan.n_known, "word")
        messages.note(f"rejects {known} that {plan.settings.from_model} knows")
    from speechcls.synthesis.rejects import count_rejects

    if n_made := count_rejects(plan.corpus.rows):
        messages.note(f"{counted(n_made, 'clip')} to reject, words and background, made by itself")
    arch, frames = plan.settings.network.arch, plan.recogniser.network.frames_per_step
    asked = plan.settings.sections.get("network", {}).get("step_frames", frames)
    if asked != frames:
        has = "1 frame" if frames == 1 else f"{frames} frames"
        messages.warn(f"--step-frames {asked} has no effect: a step of {arch} has {has}")
    training = plan.settings.training
    size, given = training.batch_size, plan.settings.sections.get("training", {})
    is_chosen = "batch_size" not in given and size != type(training).batch_size
    messages.note(
        f"{arch} with {plan.n_parameters:,} parameters on {plan.device},"
        f" at most {training.epochs} epochs"
        + (f", batches of {size} clips, learning rate {training.lr:.3g}" if is_chosen else "")
    )


def _report_snapshots(result: "TrainResult", wanted: Sequence[int], messages: Messages) -> None:
    """Print of which epochs there are snapshots, and which epochs there never were."""
    kept, n_done = sorted(result.fit.snapshots), len(result.fit.history)
    if kept:
        messages.note(f"keeps the network at the end of {describe_epochs(kept)}")
    if missing := sorted(set(wanted) - set(kept)):
        messages.warn(
            f"no snapshot of {describe_epochs(missing)}: the training ended with epoch {n_done}"
        )


def describe_epochs(epochs: Sequence[int | None]) -> str:
    """Return epochs in words, as ``epochs 1, 5 and 40``."""
    *first, last = map(str, epochs)
    return f"epochs {', '.join(first)} and {last}" if first else f"epoch {last}"


def report_result(
    result: "TrainResult",
    data: list[Path],
    settings: "TrainSettings",
    min_recall: float | None,
    messages: Messages,
) -> None:
    """Print the model's folder and the next commands; exit with a code other than 0 on failure.

    Of several processes the main one does so for all.
    """
    if not own_place().is_main:
        return
    if result.save_error:
        messages.error(str(result.save_error))
    place, best = result.artifact.path, result.fit.best
    if result.fit.diverged:
        messages.error(f"{result.fit.diverged}; the best model so far is kept")
    if result.fit.interrupted:
        messages.note("interrupted; the best model so far is kept, and the same command goes on")
    assert best is not None
    scores = result.validation
    balanced, beside = describe_headline(
        scores.balanced_accuracy, scores.command_recall, scores.accuracy
    )
    messages.note(
        f"saved {place}: balanced accuracy {balanced} on the validation clips ({beside}; best"
        f" epoch {best.epoch} of {len(result.fit.history)})"
    )
    if result.calibration:
        from speechcls.artifact.store import load_artifact

        messages.note(describe_rejection(load_artifact(place)))
    options = data_arguments(settings.data)
    for warning in describe_failures(scores) or describe_trust(scores):
        messages.warn(warning)
    _report_snapshots(result, settings.training.snapshots, messages)
    steps = [("evaluate", *data, *options, "--model", place), ("predict", "CLIP", "--model", place)]
    if result.fit.snapshots:
        steps.append(("explain", "CLIP", "--html", "learnt.html", "--model", place))
    messages.next_steps(*steps)
    print_line(place)
    is_good = reach_recall(scores, min_recall, messages)
    if result.save_error or result.fit.diverged:
        raise typer.Exit(FAILED)
    if result.fit.interrupted:
        raise typer.Exit(INTERRUPTED)
    if not is_good:
        raise typer.Exit(FAILED)
