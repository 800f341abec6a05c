"""A trained model on disk: a folder with configuration, weights, ONNX graph, scores and splits."""

import csv
import dataclasses
import errno
import io
import json
import os
import tempfile
from collections.abc import Iterable, Mapping, Sequence
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
)
from speechcls.artifact.lookup import BUNDLED, locate
from speechcls.config import FeatureConfig, NetworkConfig
from speechcls.errors import ArtifactError, ConfigError


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
    onnx, stream : the graphs that hear clips, and running sound
    metrics : whose ``history``, if it has one, is written as ``history.csv`` too
    curves : the learning curves, a PNG
    settings : further sections of ``config.json``, by which the training can be repeated

    Raises
    ------
    ArtifactError
        When the place is taken (and, with ``force``, not by a model), or cannot be written.
    """
    from safetensors.numpy import save

    check_place(artifact.path, force)
    config = {
        "format_version": FORMAT_VERSION,
        "labels": list(artifact.labels),
        "words": list(artifact.words),
        "features": artifact.features.to_dict(),
        "network": artifact.network.to_dict(),
        **(settings or {}),
    }
    contents = {
        CONFIG: _as_json(config),
        # safetensors writes arrays that are not contiguous scrambled (its issue 825).
        WEIGHTS: save({name: np.asarray(array, order="C") for name, array in weights.items()}),
        ONNX: onnx,
        **({STREAM: stream} if stream else {}),
        METRICS: _as_json(metrics),
        SPLIT: _as_csv(list(SplitRow.__dataclass_fields__), map(dataclasses.astuple, split)),
        **({CURVES: curves} if curves else {}),
    }
    if history := metrics.get("history"):
        contents[HISTORY] = _as_csv(list(history[0]), (epoch.values() for epoch in history))
    place = artifact.path
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=place.parent, prefix=f".{place.name}-") as scratch:
            whole = Path(scratch, "whole")
            whole.mkdir()
            for name, content in contents.items():
                with (whole / name).open("wb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
            replaced = Path(scratch, "replaced")
            try:
                if place.exists():
                    place.rename(replaced)
                whole.rename(place)
            finally:
                if replaced.exists() and not place.exists():
                    replaced.rename(place)
    except OSError as error:
        advice = "free some space" if error.errno == errno.ENOSPC else "choose another --out"
        reason = error.strerror or str(error)
        raise ArtifactError(f"{place}: not written ({reason}); {advice}") from error


def check_place(path: Path, force: bool) -> None:
    """Refuse a place that cannot be written, or is taken: with ``force`` only by what is no model.

    Raises
    ------
    ArtifactError
        Saying which it is.
    """
    try:
        above = next(parent for parent in path.absolute().parents if os.path.lexists(parent))
        tempfile.TemporaryFile(dir=above).close()
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ArtifactError(f"{above}: {reason}; choose another --out") from error
    if not os.path.lexists(path):
        return
    if not (path / CONFIG).is_file() and not (path.is_dir() and not any(path.iterdir())):
        raise ArtifactError(f"{path}: exists and is not a model; choose another --out")
    if not force:
        raise ArtifactError(f"{path}: exists; replace it with --force, or choose another --out")


def load_artifact(path: Path) -> Artifact:
    """Return what ``config.json`` says of a model.

    Parameters
    ----------
    path : its folder; ``commands`` is the one that comes with speechcls, unless such a folder is
        there

    Raises
    ------
    ArtifactError
        When it is missing, damaged, foreign, or written by a newer speechcls.
    """
    path = locate(path)
    if not path.is_dir():
        kind = "a file, not a model folder" if path.exists() else "no such model"
        raise ArtifactError(
            f"{path}: {kind}; name a folder that speechcls train wrote, or {BUNDLED}, which comes"
            " with speechcls"
        )
    if missing := [name for name in (CONFIG, ONNX) if not (path / name).is_file()]:
        raise ArtifactError(
            f"{path}: not a speechcls model (no {' and no '.join(missing)}); name a folder that"
            " speechcls train wrote"
        )
    try:
        config = json.loads((path / CONFIG).read_text(encoding="utf-8"))
        version = config["format_version"]
        if isinstance(version, int) and version > FORMAT_VERSION:
            raise ArtifactError(
                f"{path}: format version {version} is newer than this speechcls understands"
                f" ({FORMAT_VERSION}); upgrade speechcls"
            )
        labels = config["labels"]
        words = config["words"]
        features = config["features"]
        if version == 1:  # which knew no running sound
            features = {"running_s": 0.0} | features
        elif version != FORMAT_VERSION:
            raise ValueError("impossible format_version")
        if len(set(labels)) != len(labels) or len(labels) < 2:
            raise ValueError("impossible labels")
        if len(set(words)) != len(words) or len(words) < len(labels):
            raise ValueError("impossible words")
        return Artifact(
            path,
            FeatureConfig.from_dict(features),
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
        raise ArtifactError(
            f"{path}: missing or damaged ({error}); copy the model again"
        ) from error


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
                row["path"],
                row["label"],
                row["speaker"],
                row["split"],
                float(row["start_s"]),
                float(row["end_s"]) if row["end_s"] else None,
                float(row["gain"]),
                row["digest"],
            )
            for row in csv.DictReader(io.StringIO(text, newline=""))
        ]
    except (OSError, KeyError, ValueError, TypeError, csv.Error) as error:
        raise ArtifactError(
            f"{path}: missing or damaged ({error}); copy the model again"
        ) from error


def _as_json(content: Any) -> bytes:
    # A label made of a name that is no UTF-8 becomes an escape that JSON reads back.
    text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
    return text.encode("utf-8", "backslashreplace")


def _as_csv(names: Sequence[str], rows: Iterable[Iterable[Any]]) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(names)
    writer.writerows(rows)
    return text.getvalue().encode("utf-8", "surrogateescape")


def read_metrics(path: Path) -> dict[str, Any]:
    """Stub until merge."""
    return json.loads((path / METRICS).read_bytes())  # type: ignore[no-any-return]
