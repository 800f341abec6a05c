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
    as_path,
    option,
)
from speechcls.cli.progress import item_bar
from speechcls.cli.resume import Resume, open_resumable
from speechcls.cli.tables import print_json, print_line
from speechcls.config import DEFAULT_FA_PER_HOUR
from speechcls.errors import ConfigError
from speechcls.labels import list_names
from speechcls.storage.places import is_mirrored

if TYPE_CHECKING:
    from collections.abc import Mapping

    from speechcls.artifact.calibration import Calibration
    from speechcls.artifact.format import Artifact
    from speechcls.data.clips import ClipStore
    from speechcls.evaluation.calibration import NoiseAlarms

_DATA = option(
    "--data",
    help="Data of the model's training: its validation clips.",
    panel=DATA,
    metavar="DATA",
    parser=as_path,
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
    be trusted, and no threshold is below the default unless the noise shows that it keeps to the
    rate. Sub-folders of the noise, as speech/ and music/, are counted each on its own too. Prints
    label and threshold, separated by a tab. calibration.json.resume keeps the recordings that are
    done until the end.

    Example: speechcls calibrate --noise noise/ --data data/
    """
    from speechcls.artifact.calibration import save_calibration
    from speechcls.artifact.format import CALIBRATION
    from speechcls.artifact.store import load_artifact
    from speechcls.evaluation.calibration import calibrate as calibrate_model
    from speechcls.evaluation.calibration import sum_by_kind
    from speechcls.runtime.detection import choose_thresholds

    if data is None:
        refuse(ctx, ["pattern", "jobs"], "without --data")
    messages = Messages(quiet, verbose)
    artifact = load_artifact(find_model(model, messages))
    _require_local(artifact.path)
    kind_of = _find_kinds(noise)
    recordings = list(kind_of)
    _warn_of_trained(artifact, recordings, messages)
    clips = _read_clips(artifact, data, pattern, jobs, messages) if data else None
    labels = list(choose_thresholds(artifact))
    place = artifact.path / CALIBRATION
    with open_resumable(place, resume, [artifact.path], messages, {}) as journal:
        with item_bar(messages, "detecting", len(recordings)) as on_recording:
            result, alarms = calibrate_model(
                *(artifact, labels, recordings, clips, fa_per_hour),
                *(on_recording, messages.warn, journal),
            )
        save_calibration(artifact, result)
    by_kind = sum_by_kind(kind_of.values(), alarms) if any(kind_of.values()) else {}
    _print(result, by_kind, artifact.path, as_json)
    _explain(result, by_kind, messages)
    messages.note(f"wrote {place}, which predict, detect and listen use from now on")
    messages.next_steps(("listen", "--model", artifact.path))


def _require_local(model: Path) -> None:
    """Refuse a model at an address."""
    if is_mirrored(model):
        raise ConfigError(
            f"{model}: thresholds are written into the model's folder, which has to be on this"
            " machine; copy the model here",
            field="model",
        )


def _read_clips(
    artifact: "Artifact", data: Path, pattern: str | None, jobs: int | None, messages: Messages
) -> "ClipStore":
    """Return the validation clips of the model in a data set."""
    from speechcls.evaluation.held_out import validation_clips
    from speechcls.layouts.load import load_dataset

    store = read_store(load_dataset(data, pattern), artifact.features.sample_rate, jobs, messages)
    return validation_clips(artifact, store)


def _find_kinds(folders: list[Path]) -> dict[Path, str]:
    """Return the recordings in folders of noise, each with its kind: the sub-folder it is in.

    Those in no sub-folder are of the kind ``""``.
    """
    from speechcls.layouts.examples import find_noise

    kinds = {}
    for folder in folders:
        for path in find_noise(folder):
            parts = path.relative_to(folder).parts
            kinds[path] = parts[0] if len(parts) > 1 else ""
    return kinds


def _warn_of_trained(artifact: "Artifact", recordings: list[Path], messages: Messages) -> None:
    """Name the recordings that the model knows from its training."""
    from speechcls.artifact.store import load_split
    from speechcls.data.background import find_trained
    from speechcls.errors import ArtifactError

    try:
        rows = load_split(artifact)
    except ArtifactError as error:
        messages.warn(f"whether the model was trained on this sound is not known: {error}")
        return
    if trained := list(find_trained(recordings, rows, artifact.features.sample_rate)):
        messages.warn(
            f"the model was trained on {list_names([str(path) for path in trained])}: other sound"
            " will have more false alarms than this; name sound that is new to it"
        )


def _explain(
    result: "Calibration", by_kind: "Mapping[str, NoiseAlarms]", messages: Messages
) -> None:
    """Print the false-alarm rate with its upper bound, by kind too, and the calibration error."""
    from speechcls.evaluation.detection_metrics import hours_needed, upper_rate

    messages.note(
        f"{_count(result.false_alarms)} in {result.hours:.2f} hours of noise, on which these"
        " thresholds were chosen:"
        f" with 95 % confidence at most {result.upper_fa_per_hour:.2g} per hour in noise like it"
    )
    for kind, own in by_kind.items():
        rate, upper = own.false_alarms / own.hours, upper_rate(own.false_alarms, own.hours)
        messages.note(
            f"{kind or 'in no sub-folder'}: {_count(own.false_alarms)} in {own.hours:.2f} hours,"
            f" {rate:.2g} per hour (at most {upper:.2g})"
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


def _print(
    result: "Calibration", by_kind: "Mapping[str, NoiseAlarms]", model: Path, as_json: bool
) -> None:
    """Print the thresholds on stdout."""
    if as_json:
        kinds = {kind: own.to_dict() for kind, own in by_kind.items()}
        print_json({"model": str(model)} | result.to_dict() | {"by_kind": kinds})
        return
    for label, threshold in result.thresholds.items():
        print_line(label, f"{threshold:.4f}")


def _count(n_alarms: int) -> str:
    return f"{n_alarms} false alarm{'' if n_alarms == 1 else 's'}"
