"""Calibration of a model: detection thresholds and temperature, in calibration.json."""

import math
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from speechcls.artifact.card import write_card
from speechcls.artifact.format import CALIBRATION, CARD, MANIFEST, Artifact
from speechcls.artifact.manifest import extended_manifest, held_file, parse_json, read_limited
from speechcls.artifact.store import read_metrics
from speechcls.errors import ArtifactError, ConfigError, reason_of
from speechcls.fields import Config
from speechcls.files import json_bytes, write_atomic


@dataclass(frozen=True)
class Calibration(Config):
    """Detection thresholds and temperature of a model, as ``calibrate`` chose them."""

    ADDED = MappingProxyType({"alarms": {}, "hits": {}})

    thresholds: dict[str, float]
    """Detection threshold of each label."""
    fa_per_hour: float
    """False alarms per hour, of all labels together, that were allowed."""
    hours: float
    """Hours of recordings without commands that the thresholds were chosen on."""
    false_alarms: int
    """Detections in them at the thresholds."""
    upper_fa_per_hour: float
    """Upper 95 % confidence bound of the false alarms per hour."""
    temperature: float
    """Probabilities are raised to the power of 1 / temperature and normalised to sum to 1."""
    n_clips: int
    """Validation clips that the temperature was fitted to; 0: it was not fitted."""
    ece_before: float | None
    """Expected calibration error of the network on these clips; None without clips."""
    ece_after: float | None
    """The same with the temperature."""
    alarms: dict[str, list[float]] = field(default_factory=dict)
    """Probability of each false alarm in the recordings by label, also of those below the
    threshold, likeliest first, a thousand at most."""
    hits: dict[str, list[float]] = field(default_factory=dict)
    """Probability that each validation clip of a label was detected with, 0 where it was not."""

    def __post_init__(self) -> None:
        """Refuse impossible values."""
        values = self.thresholds.values()
        possible = all(type(p) in (int, float) and 0 < p <= 1 for p in values)
        self._require("thresholds", possible, "above 0 and at most 1 for each label")
        self._require_positive("hours", "temperature")
        self._require("temperature", 1e-3 <= self.temperature <= 1e3, "in 0.001 .. 1000")
        for name in ("fa_per_hour", "false_alarms", "upper_fa_per_hour", "n_clips"):
            self._require(name, 0 <= getattr(self, name) < math.inf, "zero or more")
        for name in ("alarms", "hits"):
            lists = getattr(self, name).values()
            possible = all(type(each) is list and all(map(_is_probability, each)) for each in lists)
            self._require(name, possible, "a list of probabilities for each label")
        for name in ("ece_before", "ece_after"):
            error = getattr(self, name)
            self._require(name, error is None or 0 <= error <= 1, "in 0 .. 1")


def _is_probability(value: object) -> bool:
    return type(value) in (int, float) and 0 <= value <= 1  # type: ignore[operator]


def load_calibration(artifact: Artifact) -> Calibration | None:
    """Return the model's calibration; None where it has not been calibrated.

    Raises
    ------
    ArtifactError
        When ``calibration.json`` is damaged, or of another model.
    """
    path = artifact.path / CALIBRATION
    try:
        calibration = Calibration.from_dict(parse_json(held_file(artifact, CALIBRATION)))
        if unknown := sorted(calibration.thresholds.keys() - set(artifact.labels)):
            raise ValueError(f"the model has no label {', '.join(unknown)}")
        return calibration
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, AttributeError, OverflowError, ConfigError) as error:
        raise ArtifactError(
            f"{path}: damaged or of another model ({error}); calibrate again"
        ) from error


def save_calibration(artifact: Artifact, calibration: Calibration) -> None:
    """Write ``calibration.json`` into the model's folder, whole or not at all.

    The model's card gets the new thresholds, unless somebody has edited it.

    Raises
    ------
    ArtifactError
        When it cannot be written.
    """
    path = artifact.path / CALIBRATION
    try:
        card = _renewed_card(artifact, calibration)
        content = json_bytes(calibration.to_dict())
        manifest = extended_manifest(artifact.path, CALIBRATION, content)
        write_atomic(path, content)
        if manifest:
            write_atomic(artifact.path / MANIFEST, manifest)
        if card:
            write_atomic(artifact.path / CARD, card)
    except OSError as error:
        raise ArtifactError(
            f"{path}: not written ({reason_of(error)}); copy the model to where you may write"
        ) from error


def _renewed_card(artifact: Artifact, calibration: Calibration) -> bytes | None:
    """Return the card with another calibration; None where somebody wrote the one that is there."""
    place, metrics = artifact.path / CARD, read_metrics(artifact.path)
    if not place.is_file():
        return None
    try:
        before = load_calibration(replace(artifact, contents=None))
    except ArtifactError:
        return None  # of a damaged calibration, which is replaced
    was = write_card(artifact, metrics, before.thresholds if before else {})
    if read_limited(place) != was:
        return None
    return write_card(artifact, metrics, calibration.thresholds)
