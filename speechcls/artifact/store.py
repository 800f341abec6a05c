"""A trained model on disk: a folder with configuration, weights, ONNX graph, scores and splits."""

import csv
import dataclasses
import errno
import io
import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from speechcls.artifact.format import (
    CONFIG,
    CURVES,
    FORMAT_VERSION,
    HISTORY,
    METRICS,
    ONNX,
    SPLIT,
    STREAM,
    WEIGHTS,
    Artifact,
    SplitRow,
    Weights,
    check_format_version,
)
from speechcls.artifact.lookup import BUNDLED, locate
from speechcls.config import FeatureConfig, NetworkConfig
from speechcls.errors import ArtifactError, ConfigError, reason_of
from speechcls.files import csv_bytes, json_bytes, write_folder_atomic
from speechcls.text import from_csv_cell


def save_artifact(
    artifact: Artifact,
    weights: Mapping[str, npt.NDArray[np.float32]],
    onnx: bytes,
    metrics: Mapping[str, Any],
    split: Sequence[SplitRow],
    force: bool = False,
    stream: bytes | None = None,
    curves: bytes | None = None,
    settings: Mapping[str, Any] | None = None,
) -> None:
    """Write a model to ``artifact.path``, whole or not at all.

    Parameters
    ----------
    onnx, stream : the ONNX graphs of one window and of a stream
    metrics : scores and training; its ``history``, if it has one, is written as CSV as well
    force : replace a model that is there
    curves : the learning curves as a PNG
    settings : further sections of ``config.json``, by which the training can be repeated

    Raises
    ------
    ArtifactError
        When the place is taken (and, with ``force``, not by a model), or cannot be written.
    """
    from safetensors.numpy import save

    check_can_save(artifact.path, force)
    contents = {
        CONFIG: json_bytes(_config_of(artifact) | dict(settings or {})),
        # safetensors writes arrays that are not contiguous scrambled (its issue 825).
        WEIGHTS: save({name: np.asarray(array, order="C") for name, array in weights.items()}),
        ONNX: onnx,
        **({STREAM: stream} if stream else {}),
        METRICS: json_bytes(metrics),
        SPLIT: csv_bytes(list(SplitRow.__dataclass_fields__), map(dataclasses.astuple, split)),
        **({CURVES: curves} if curves else {}),
    }
    if history := metrics.get("history"):
        contents[HISTORY] = csv_bytes(list(history[0]), (list(row.values()) for row in history))
    try:
        write_folder_atomic(artifact.path, contents)
    except OSError as error:
        advice = "free some space" if error.errno == errno.ENOSPC else "choose another place"
        raise ArtifactError(
            f"{artifact.path}: not written ({reason_of(error)}); {advice}"
        ) from error


def _config_of(artifact: Artifact) -> dict[str, Any]:
    return {
        "format_version": FORMAT_VERSION,
        "labels": list(artifact.labels),
        "words": list(artifact.words),
        "features": artifact.features.to_dict(),
        "network": artifact.network.to_dict(),
    }


def check_can_save(path: Path, force: bool) -> None:
    """Refuse a place where no model can be written; called before training.

    Parameters
    ----------
    force : accept a place where there is a model, to replace it

    Raises
    ------
    ArtifactError
        When the place cannot be written to, or is taken.
    """
    try:
        above = next(parent for parent in path.absolute().parents if os.path.lexists(parent))
        tempfile.TemporaryFile(dir=above).close()
    except OSError as error:
        raise ArtifactError(f"{above}: {reason_of(error)}; choose another place") from error
    if not os.path.lexists(path):
        return
    if not (path / CONFIG).is_file() and not (path.is_dir() and not any(path.iterdir())):
        raise ArtifactError(f"{path}: exists and is not a model; choose another place")
    if not force:
        raise ArtifactError(f"{path}: exists; use force to replace it, or choose another place")


def load_artifact(path: Path) -> Artifact:
    """Return a model's configuration, read from its ``config.json``.

    Parameters
    ----------
    path : the model's folder; ``commands`` is the model that comes with speechcls, unless there
        is a folder of that name

    Raises
    ------
    ArtifactError
        When it is missing, damaged, not of speechcls, or written by a newer speechcls.
    """
    path = locate(path)
    if not path.is_dir():
        kind = "a file, not a model folder" if path.exists() else "no such model"
        raise ArtifactError(
            f"{path}: {kind}; name the folder of a trained model, or {BUNDLED}, which"
            " comes with speechcls"
        )
    if missing := [name for name in (CONFIG, ONNX) if not (path / name).is_file()]:
        raise ArtifactError(
            f"{path}: not a speechcls model (no {' and no '.join(missing)}); name the"
            " folder of a trained model"
        )
    try:
        config = json.loads((path / CONFIG).read_text(encoding="utf-8"))
        check_format_version(path, config["format_version"], FORMAT_VERSION, ArtifactError)
        labels = config["labels"]
        words = config["words"]
        if len(set(labels)) != len(labels) or len(labels) < 2:
            raise ValueError("impossible labels")
        if len(set(words)) != len(words) or len(words) < len(labels):
            raise ValueError("impossible words")
        return Artifact(
            path,
            FeatureConfig.from_dict(config["features"]),
            NetworkConfig.from_dict(config["network"]),
            tuple(str(label) for label in labels),
            tuple(str(word) for word in words),
        )
    except (ValueError, KeyError, TypeError, AttributeError, ConfigError) as error:
        raise ArtifactError(
            f"{path / CONFIG}: damaged or not of speechcls ({type(error).__name__}: {error});"
            " train again or copy the model again"
        ) from error


def load_weights(artifact: Artifact) -> Weights:
    """Return the weights by name.

    Raises
    ------
    ArtifactError
        When ``weights.safetensors`` is missing or damaged.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    path = artifact.path / WEIGHTS
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> ArtifactError:
    return ArtifactError(f"{path}: missing or damaged ({reason_of(error)}); copy the model again")


def load_split(artifact: Artifact) -> list[SplitRow]:
    """Return which clips trained, validated and tested the model.

    Raises
    ------
    ArtifactError
        When ``split.csv`` is missing or damaged.
    """
    path = artifact.path / SPLIT
    try:
        text = path.read_bytes().decode("utf-8", "surrogateescape")
        return [
            SplitRow(
                from_csv_cell(row["path"]),
                from_csv_cell(row["label"]),
                from_csv_cell(row["speaker"]),
                row["split"],
                float(row["start_s"]),
                float(row["end_s"]) if row["end_s"] else None,
                float(row["gain"]),
                row["digest"],
            )
            for row in csv.DictReader(io.StringIO(text, newline=""))
        ]
    except (OSError, KeyError, ValueError, TypeError, csv.Error) as error:
        raise _damaged(path, error) from error


_RENAMED = {
    "unknown_share": "unknown_ratio",
    "silence_share": "silence_ratio",
    "scramble_share": "scramble_ratio",
    "speed_share": "speed_max",
    "shift_share": "shift_max",
    "equaliser_share": "equaliser_prob",
    "reverb_share": "reverb_prob",
    "noise_share": "noise_prob",
    "time_mask_share": "time_mask_max",
    "frequency_mask_share": "frequency_mask_max",
    "warmup_share": "warmup_ratio",
    "average_decay": "ema_decay",
}
"""Settings of training by the names that they had in older models, in the metrics of these."""


def read_metrics(path: Path, required: bool = False) -> dict[str, Any]:
    """Return a model's scores and training, read from its ``metrics.json``.

    Settings of training are under their names of today, however old the model is.

    Parameters
    ----------
    path : the model's folder
    required : raise if metrics are missing; otherwise return ``{}``

    Raises
    ------
    ArtifactError
        When they are required, and missing or damaged.
    """
    try:
        metrics = json.loads((path / METRICS).read_bytes())
        if not isinstance(metrics, dict):
            raise ValueError("not a JSON object")
    except (OSError, ValueError) as error:
        if required:
            raise _damaged(path / METRICS, error) from error
        return {}
    training = metrics.get("training")
    if isinstance(training, dict):
        renamed = {_RENAMED.get(name, name): value for name, value in training.items()}
        metrics["training"] = renamed
    return metrics
