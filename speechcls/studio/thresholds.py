"""Thresholds that were moved on the page, kept in the model that they belong to."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from speechcls.artifact.calibration import Calibration, load_calibration, save_calibration
from speechcls.artifact.format import Artifact
from speechcls.artifact.lookup import is_bundled
from speechcls.artifact.store import load_artifact
from speechcls.errors import ConfigError
from speechcls.runtime.detection import choose_thresholds
from speechcls.serve.guard import Refusal


def why_not_kept(artifact: Artifact, models: Path) -> str | None:
    """Return why thresholds cannot be kept in a model; None where they can.

    Parameters
    ----------
    models : folder that the page writes models to; it changes no others
    """
    if is_bundled(artifact.path):
        return "it comes with speechcls; train one of your own"
    if artifact.path.resolve().parent != models.resolve():
        return f"the page changes models in {models.name}/ alone, and it lies elsewhere"
    calibration = load_calibration(artifact)
    if calibration is None or not all(
        label in calibration.alarms for label in choose_thresholds(artifact)
    ):
        return "what they cost is not known; train it again, or calibrate it in a terminal"
    return None


def thresholds_in(wanted: Mapping[str, Any], artifact: Artifact) -> dict[str, float]:
    """Return a threshold for each word of a model.

    Raises
    ------
    Refusal
        When one is missing, unknown or impossible.
    """
    labels = [*choose_thresholds(artifact)]
    possible = all(type(each) in (int, float) and 0 < each <= 1 for each in wanted.values())
    if wanted.keys() != {*labels} or not possible:
        raise Refusal(
            400, f"thresholds: must be above 0 and at most 1 for each of {', '.join(labels)}"
        )
    return {label: float(wanted[label]) for label in labels}


def keep_thresholds(place: Path, thresholds: Mapping[str, float]) -> None:
    """Write thresholds into a calibrated model, for all that use it from then on.

    Parameters
    ----------
    place : folder of the model

    Raises
    ------
    ArtifactError
        When it cannot be read or written.
    ConfigError
        When it is not calibrated any more.
    """
    artifact = load_artifact(place)
    calibration = load_calibration(artifact)
    if calibration is None:
        raise ConfigError("is not calibrated; train it again", field="model")
    save_calibration(artifact, with_thresholds(calibration, thresholds))


def with_thresholds(calibration: Calibration, thresholds: Mapping[str, float]) -> Calibration:
    """Return a calibration with other thresholds and the false alarms that they cost.

    Each word is counted by itself, so that what two of them share counts twice.
    """
    from speechcls.evaluation.detection_metrics import upper_rate  # needs scipy

    n_alarms = sum(
        probability >= threshold
        for label, threshold in thresholds.items()
        for probability in calibration.alarms[label]
    )
    return replace(
        calibration,
        thresholds=dict(thresholds),
        fa_per_hour=n_alarms / calibration.hours,  # is what is allowed now
        false_alarms=n_alarms,
        upper_fa_per_hour=upper_rate(n_alarms, calibration.hours),
    )
