"""The prediction for every clip, saved beside a report so that it can be drawn again."""

import json
import math
import time
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import speechcls
from speechcls.artifact.format import CARD, check_format_version
from speechcls.artifact.lookup import is_bundled
from speechcls.artifact.store import read_metrics
from speechcls.audio.samples import fit_length
from speechcls.config import FeatureConfig
from speechcls.data.clips import read_example
from speechcls.errors import ConfigError, DatasetError, SpeechclsError
from speechcls.evaluation.score import Evaluation, ScoredClip
from speechcls.files import write_atomic
from speechcls.layouts.examples import Dataset
from speechcls.runtime.classifier import Classifier
from speechcls.storage.places import name_of
from speechcls.text import json_text

FORMAT_VERSION = 1
PREDICTIONS_FILE = "predictions.json"


@dataclass(frozen=True)
class ClipRecord:
    """One clip of the data, without its sound."""

    path: str
    """As the data names it."""
    word: str
    """As the data names it; where the model does not know it, its label is ``_unknown_``."""
    label: str
    """The truth."""
    speaker: str
    """Empty where not known."""
    split: str
    """``train``, ``validation`` or ``test`` of the model's training, or ``new``."""
    start_s: float
    """Where it starts in its recording."""
    duration_s: float
    level_db: float
    """Of the part in the model's window, dBFS."""
    snr_db: float
    """Of the same part, estimated."""


@dataclass(frozen=True)
class EvaluationInfo:
    """Which model was evaluated on which data."""

    model: str
    data: str
    scored: str
    """The clips that count, in words."""
    caveat: str
    """Why the scores may be optimistically biased; empty if they are not."""
    bad: tuple[str, ...]
    """One line for each clip that could not be read."""
    created: str
    version: str
    """Of speechcls."""
    facts: dict[str, Any]
    """Of the model: its network, size and training."""
    features: dict[str, Any]
    """A ``FeatureConfig``: the input of the model."""
    card: str
    """The model's README.md, Markdown; empty where it has none."""
    model_place: str = ""
    """The model as commands name it; empty where not known, as in files of before."""
    data_place: str = ""
    """The data likewise."""


@dataclass(frozen=True)
class Predictions:
    """Everything that a report is made of, except for the sound."""

    labels: tuple[str, ...]
    clips: tuple[ClipRecord, ...]
    probabilities: npt.NDArray[np.float32]
    """(n_clips, n_labels)"""
    about: EvaluationInfo

    @property
    def truth(self) -> npt.NDArray[np.int64]:
        """(n_clips,) indices into ``labels``."""
        index = {label: i for i, label in enumerate(self.labels)}
        return np.array([index[clip.label] for clip in self.clips], dtype=np.int64)

    @property
    def predicted(self) -> npt.NDArray[np.int64]:
        """(n_clips,) indices of the likeliest labels."""
        likeliest: npt.NDArray[np.int64] = self.probabilities.argmax(axis=1)
        return likeliest

    @property
    def confidence(self) -> npt.NDArray[np.float32]:
        """(n_clips,) the probability of the predicted label."""
        highest: npt.NDArray[np.float32] = self.probabilities.max(axis=1)
        return highest

    def mistakes(self, most: int) -> list[int]:
        """Return the clips that were predicted wrongly, the most confident first.

        Parameters
        ----------
        most : largest number of clips that are returned
        """
        wrong = np.flatnonzero(self.truth != self.predicted)
        order = np.argsort(-self.confidence[wrong], kind="stable")
        return [int(i) for i in wrong[order][:most]]


def collect_predictions(
    evaluation: Evaluation, classifier: Classifier, dataset: Dataset
) -> Predictions:
    """Return the predictions of an evaluation, without the sound.

    Raises
    ------
    ConfigError
        When the evaluation did not measure the levels of the clips.
    """
    artifact = classifier.artifact
    clips = tuple(_as_clip(clip, dataset, classifier.labels) for clip in evaluation.clips)
    metrics = read_metrics(artifact.path)
    facts = artifact.network.to_dict() | {
        name: metrics[name] for name in ("n_parameters", "multiply_adds", "created", "best_epoch")
        if name in metrics
    }  # fmt: skip
    card = artifact.path / CARD
    about = EvaluationInfo(
        model=artifact.path.name or str(artifact.path),
        data=dataset.title,
        scored=evaluation.scored,
        caveat=evaluation.caveat,
        bad=tuple(evaluation.bad),
        created=time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        version=speechcls.__version__,
        facts=facts,
        features=artifact.features.to_dict(),
        card=card.read_text(encoding="utf-8", errors="replace") if card.is_file() else "",
        model_place=artifact.path.name if is_bundled(artifact.path) else name_of(artifact.path),
        data_place=name_of(dataset.source),
    )
    rows = np.stack([clip.probabilities for clip in evaluation.clips])
    return Predictions(classifier.labels, clips, rows, about)


def _as_clip(clip: ScoredClip, dataset: Dataset, labels: tuple[str, ...]) -> ClipRecord:
    if clip.levels is None:
        raise ConfigError("a report needs the levels of the clips", field="measure_levels")
    return ClipRecord(
        dataset.relative_name(clip.example.path),
        clip.example.label,
        labels[clip.truth],
        clip.example.speaker or "",
        clip.split,
        clip.example.start_s,
        round(clip.duration_s, 6),
        *(round(level, 3) for level in clip.levels),
    )


def read_windows(
    evaluation: Evaluation, classifier: Classifier, chosen: list[int]
) -> dict[int, npt.NDArray[np.int16]]:
    """Return the model's window of the chosen clips, (n,) by index; short clips are not padded.

    They are of full scale, so that what exceeds it is not distorted.
    """
    windows, n_samples = {}, classifier.artifact.features.n_samples
    for i in chosen:
        try:
            pcm = read_example(evaluation.clips[i].example, classifier.sample_rate).pcm
        except SpeechclsError:  # gone since it was evaluated
            continue
        windows[i] = fit_length(pcm, n_samples) if len(pcm) > n_samples else pcm
    return windows


def _check_clips(
    clips: tuple[ClipRecord, ...], rows: npt.NDArray[np.float32], labels: tuple[str, ...]
) -> None:
    """Raise a ValueError for a value of the wrong type."""
    numbers = [field.name for field in fields(ClipRecord) if field.type is float]
    for clip in clips:
        for field in fields(ClipRecord):
            value = getattr(clip, field.name)
            is_number = isinstance(value, int | float) and math.isfinite(value)
            if not (is_number if field.name in numbers else isinstance(value, str)):
                raise ValueError(f"{field.name} {value!r} of {clip.path}")
    if not ((rows >= 0) & (rows <= 1)).all():
        raise ValueError("probabilities outside 0 .. 1")
    if len(set(labels)) < len(labels):
        raise ValueError("a label twice")


def save_predictions(predictions: Predictions, path: Path) -> None:
    """Write predictions as JSON, whole or not at all."""
    rows = [[float(f"{p:.9g}") for p in row] for row in predictions.probabilities.tolist()]
    content = {
        "format_version": FORMAT_VERSION,
        "about": asdict(predictions.about),
        "labels": predictions.labels,
        "clips": [
            asdict(clip) | {"probabilities": row}
            for clip, row in zip(predictions.clips, rows, strict=True)
        ],
    }
    write_atomic(path, json_text(content, indent=0).encode())


def load_predictions(path: Path) -> Predictions:
    """Return saved predictions.

    Raises
    ------
    DatasetError
        When they are missing, damaged, or written by a newer speechcls.
    """
    try:
        content = json.loads(path.read_bytes())
        check_format_version(path, content["format_version"], FORMAT_VERSION, DatasetError)
        names = [field.name for field in fields(ClipRecord)]
        labels = tuple(str(label) for label in content["labels"])
        clips = tuple(ClipRecord(**{name: row[name] for name in names}) for row in content["clips"])
        about = EvaluationInfo(**(content["about"] | {"bad": tuple(content["about"]["bad"])}))
        rows = np.array([row["probabilities"] for row in content["clips"]], dtype=np.float32)
        _check_clips(clips, rows, labels)
        if not isinstance(about.facts, dict):
            raise ValueError("facts are no object")
        FeatureConfig.from_dict(about.features)
        if rows.shape != (len(clips), len(labels)) or not clips:
            raise ValueError(f"{rows.shape} probabilities of {len(labels)} labels")
        if unknown := {clip.label for clip in clips} - set(labels):
            raise ValueError(f"unknown label {min(unknown)}")
        return Predictions(labels, clips, rows, about)
    except FileNotFoundError as error:
        raise DatasetError(
            f"{path}: no such file; evaluate a model with a report in {path.parent} first"
        ) from error
    except (ValueError, KeyError, TypeError, AttributeError, ConfigError) as error:
        raise DatasetError(
            f"{path}: damaged or not of speechcls ({type(error).__name__}: {error}); evaluate again"
        ) from error
