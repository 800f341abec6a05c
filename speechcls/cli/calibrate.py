"""``speechcls calibrate``."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from speechcls.cli.common import reports_errors
from speechcls.cli.messages import Messages, report_bad
from speechcls.cli.options import AsJson, Model, Pattern, Quiet, Verbose
from speechcls.cli.progress import counting

if TYPE_CHECKING:
    from speechcls.artifact.calibration import Calibration


@reports_errors
def calibrate(
    noise: Annotated[
        list[Path],
        typer.Option(help="Folder of sound without commands; may be repeated.", metavar="DIR"),
    ],
    model: Model = None,
    data: Annotated[
        Path | None,
        typer.Option(help="What the model was trained on, for its validation clips."),
    ] = None,
    fa_per_hour: Annotated[
        float, typer.Option(min=0.0, help="False alarms an hour, of all labels together.")
    ] = 0.5,
    pattern: Pattern = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Choose how sure a model has to be by the false alarms it makes.

    The thresholds go into the model's folder as calibration.json, and with --data a temperature
    that makes its probabilities mean what they say; predict, detect and listen obey both. Name
    sound that did not train the model. False alarms are counted on the sound that the thresholds
    are chosen on: hours of it are needed, and the upper bound says for how little a few minutes
    stand. Prints label and threshold.

    Example: speechcls calibrate --noise noise/ --data data/
    """
    from speechcls.artifact.calibration import save_calibration
    from speechcls.artifact.lookup import find_artifact
    from speechcls.artifact.store import load_artifact
    from speechcls.data.examples import find_recordings
    from speechcls.data.layouts import find_examples
    from speechcls.data.packing import open_store
    from speechcls.errors import DatasetError
    from speechcls.evaluation.calibration import calibrate as calibrate_model
    from speechcls.evaluation.calibration import validation_clips
    from speechcls.parallel import default_jobs
    from speechcls.runtime.detection import choose_thresholds

    messages = Messages(quiet, verbose)
    path, how = find_artifact(model)
    artifact = load_artifact(path)
    messages.note(f"model {path} ({how})")
    recordings = []
    for folder in noise:
        found = list(find_recordings(folder)) if folder.is_dir() else []
        if not found:
            raise DatasetError(f"{folder}: no folder with recordings; name one")
        recordings += found
    clips = None
    if data is not None:
        dataset = find_examples(data, pattern)
        rate = artifact.features.sample_rate
        with counting(messages, "reading", len(dataset.examples)) as on_clip:
            store = open_store(dataset.root, dataset.examples, rate, default_jobs(), on_clip)
        report_bad(messages, dataset.problems + store.bad)
        clips = validation_clips(artifact, store)
    labels = list(choose_thresholds(artifact, 0.5))
    with counting(messages, "listening", len(recordings)) as on_recording:
        result = calibrate_model(artifact, labels, recordings, clips, fa_per_hour, on_recording)
    save_calibration(artifact, result)
    if as_json:
        typer.echo(json.dumps({"model": str(path)} | result.to_dict()))
    else:
        for label, threshold in result.thresholds.items():
            typer.echo(f"{label}\t{threshold:.4f}")
    _explain(result, messages)


def _explain(result: "Calibration", messages: Messages) -> None:
    """Say what the figures are worth."""
    from speechcls.evaluation.detection_metrics import hours_for

    alarms = f"{result.false_alarms} false alarm{'' if result.false_alarms == 1 else 's'}"
    messages.note(
        f"{alarms} in {result.hours:.2f} hours of sound, which these thresholds were chosen on:"
        f" with 95 % confidence at most {result.upper_fa_per_hour:.2g} an hour in sound like it"
    )
    if result.false_alarms > result.fa_per_hour * result.hours:
        messages.warn("no threshold keeps to the false alarms allowed")
    elif result.upper_fa_per_hour > result.fa_per_hour > 0:
        needed = hours_for(result.fa_per_hour)
        messages.warn(
            f"{result.hours:.2f} hours cannot show {result.fa_per_hour:g} an hour: that takes"
            f" {needed:.1f} hours or more without a false alarm"
        )
    if result.ece_before is not None and result.ece_after is not None:
        messages.note(
            f"temperature {result.temperature:.3f} by {result.n_clips} validation clips: expected"
            f" calibration error {100 * result.ece_before:.2f} % before,"
            f" {100 * result.ece_after:.2f} % after (15 bins)"
        )
