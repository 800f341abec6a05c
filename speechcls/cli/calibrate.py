"""``speechcls calibrate``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from speechcls.cli.common import refuse, reports_errors
from speechcls.cli.inputs import find_model, read_store
from speechcls.cli.messages import Messages
from speechcls.cli.options import (
    DATA,
    AsJson,
    Jobs,
    Model,
    NoiseFolders,
    Pattern,
    Quiet,
    Verbose,
    option,
)
from speechcls.cli.progress import item_bar
from speechcls.cli.resume import Resume, open_resumable
from speechcls.cli.tables import print_json, print_line
from speechcls.config import DEFAULT_FA_PER_HOUR

if TYPE_CHECKING:
    from speechcls.artifact.calibration import Calibration

_DATA = option(
    "--data", help="Data of the model's training: its validation clips.", panel=DATA, metavar="DATA"
)
_FA_PER_HOUR = option(
    "--fa-per-hour", min=0.0, help="False alarms allowed per hour, of all labels together."
)


@reports_errors
def calibrate(
    ctx: typer.Context,
    noise: NoiseFolders,
    data: Annotated[Path | None, _DATA] = None,
    pattern: Pattern = None,
    model: Model = None,
    fa_per_hour: Annotated[float, _FA_PER_HOUR] = DEFAULT_FA_PER_HOUR,
    as_json: AsJson = False,
    resume: Resume = False,
    jobs: Jobs = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Set detection thresholds by the rate of false alarms.

    Thresholds are written into the model's folder as calibration.json, and with --data the
    temperature that calibrates its probabilities; predict, detect and listen use both. The noise
    must not have been part of the training. False alarms are counted on the noise that the
    thresholds are chosen on: several hours are needed; the upper bound tells how far the rate can
    be trusted. Prints label and threshold, separated by a tab. calibration.json.resume keeps the
    recordings that are done until the end.

    Example: speechcls calibrate --noise noise/ --data data/
    """
    from speechcls.artifact.calibration import save_calibration
    from speechcls.artifact.format import CALIBRATION
    from speechcls.artifact.store import load_artifact
    from speechcls.evaluation.calibration import calibrate as calibrate_model
    from speechcls.evaluation.calibration import validation_clips
    from speechcls.layouts.examples import find_noise
    from speechcls.layouts.load import load_dataset
    from speechcls.runtime.detection import choose_thresholds

    if data is None:
        refuse(ctx, ["pattern", "jobs"], "without --data")
    messages = Messages(quiet, verbose)
    artifact = load_artifact(find_model(model, messages))
    recordings = [recording for folder in noise for recording in find_noise(folder)]
    clips = None
    if data is not None:
        dataset, rate = load_dataset(data, pattern), artifact.features.sample_rate
        clips = validation_clips(artifact, read_store(dataset, rate, jobs, messages))
    labels = list(choose_thresholds(artifact))
    place = artifact.path / CALIBRATION
    with open_resumable(place, resume, [artifact.path], messages, {}) as journal:
        with item_bar(messages, "detecting", len(recordings)) as on_recording:
            result = calibrate_model(
                *(artifact, labels, recordings, clips, fa_per_hour),
                *(on_recording, messages.warn, journal),
            )
        save_calibration(artifact, result)
    if as_json:
        print_json({"model": str(artifact.path)} | result.to_dict())
    else:
        for label, threshold in result.thresholds.items():
            print_line(label, f"{threshold:.4f}")
    _explain(result, messages)


def _explain(result: "Calibration", messages: Messages) -> None:
    """Print the false-alarm rate with its upper bound, and the calibration error."""
    from speechcls.evaluation.detection_metrics import hours_needed

    alarms = f"{result.false_alarms} false alarm{'' if result.false_alarms == 1 else 's'}"
    messages.note(
        f"{alarms} in {result.hours:.2f} hours of noise, on which these thresholds were chosen:"
        f" with 95 % confidence at most {result.upper_fa_per_hour:.2g} per hour in noise like it"
    )
    if result.false_alarms > result.fa_per_hour * result.hours:
        messages.warn("no threshold keeps to the false alarms allowed")
    elif result.upper_fa_per_hour > result.fa_per_hour > 0:
        needed = hours_needed(result.fa_per_hour)
        messages.warn(
            f"{result.hours:.2f} hours cannot show {result.fa_per_hour:g} per hour: that takes"
            f" {needed:.1f} hours or more without a false alarm"
        )
    if result.ece_before is not None and result.ece_after is not None:
        messages.note(
            f"temperature {result.temperature:.3f} by {result.n_clips} validation clips: expected"
            f" calibration error {100 * result.ece_before:.2f} % before,"
            f" {100 * result.ece_after:.2f} % after (15 bins)"
        )
