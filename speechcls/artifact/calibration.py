"""Thresholds and temperature of a model: calibration.json."""

import json
import math
from dataclasses import dataclass

from speechcls.artifact.format import CALIBRATION, Artifact
from speechcls.artifact.store import _as_json
from speechcls.config import Config
from speechcls.errors import ArtifactError, ConfigError
from speechcls.files import write_atomic


@dataclass(frozen=True)
class Calibration(Config):
    """How sure a model has to be, as ``speechcls calibrate`` chose it."""

    thresholds: dict[str, float]
    """Least probability of an event, by label."""
    fa_per_hour: float
    """False alarms an hour, of all labels together, that were allowed."""
    hours: float
    """Hours of sound without commands that the thresholds were chosen on."""
    false_alarms: int
    """Events in them at the thresholds."""
    upper_fa_per_hour: float
    """Upper 95 % confidence bound of the false alarms an hour."""
    temperature: float
    """Probabilities are raised to the power of 1 / temperature and made to sum to 1 again."""
    n_clips: int
    """Validation clips that the temperature was fitted to; 0: it was not."""
    ece_before: float | None
    """Expected calibration error of these clips as the network has it; None without clips."""
    ece_after: float | None
    """The same with the temperature."""

    def __post_init__(self) -> None:
        """Refuse impossible values."""
        shares = self.thresholds.values()
        possible = all(type(p) in (int, float) and 0 < p <= 1 for p in shares)
        self._require("thresholds", possible, "above 0 and at most 1 for each label")
        self._require_positive("hours", "temperature")
        for name in ("fa_per_hour", "false_alarms", "upper_fa_per_hour", "n_clips"):
            self._require(name, 0 <= getattr(self, name) < math.inf, "zero or more")
        for name in ("ece_before", "ece_after"):
            share = getattr(self, name)
            self._require(name, share is None or 0 <= share <= 1, "in 0 .. 1")


def load_calibration(artifact: Artifact) -> Calibration | None:
    """Return how sure the model has to be; None where nobody has calibrated it.

    Raises
    ------
    ArtifactError
        When ``calibration.json`` is damaged, or of another model.
    """
    path = artifact.path / CALIBRATION
    if not path.is_file():
        return None
    try:
        calibration = Calibration.from_dict(json.loads(path.read_text(encoding="utf-8")))
        if strangers := sorted(calibration.thresholds.keys() - set(artifact.labels)):
            raise ValueError(f"the model has no label {', '.join(strangers)}")
        return calibration
    except (ValueError, TypeError, AttributeError, ConfigError) as error:
        raise ArtifactError(
            f"{path}: damaged or of another model ({error}); calibrate again or delete it"
        ) from error


def save_calibration(artifact: Artifact, calibration: Calibration) -> None:
    """Write ``calibration.json`` into the model's folder, whole or not at all.

    Raises
    ------
    ArtifactError
        When it cannot be written.
    """
    path = artifact.path / CALIBRATION
    try:
        write_atomic(path, _as_json(calibration.to_dict()))
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ArtifactError(
            f"{path}: not written ({reason}); copy the model to where you may write"
        ) from error
