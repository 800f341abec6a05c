"""A trained model on disk: a folder with configuration, weights, ONNX graph, scores and splits."""

import csv
import dataclasses
import errno
import io
import json
import os
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from speechcls.config import MODELS, Calibration, FeatureConfig, NetworkConfig
from speechcls.errors import ArtifactError, ConfigError
from speechcls.wholefile import write_whole

FORMAT_VERSION = 2
ENVIRONMENT = "SPEECHCLS_MODEL"
BUNDLED = "commands"
"""Name of the model that comes with speechcls."""

CONFIG, WEIGHTS = "config.json", "weights.safetensors"
ONNX, STREAM = "model.onnx", "stream.onnx"
METRICS, SPLIT = "metrics.json", "split.csv"
CALIBRATION = "calibration.json"
HISTORY, CURVES = "history.csv", "curves.png"
CARD = "README.md"

Weights = dict[str, npt.NDArray[np.float32]]


@dataclass(frozen=True)
class Artifact:
    """What has to be known to use a model; ``config.json`` holds it."""

    path: Path
    features: FeatureConfig
    network: NetworkConfig
    labels: tuple[str, ...]
    """In the order of the probabilities."""
    words: tuple[str, ...]
    """In the order of the network's logits; each counts as one of the labels."""


@dataclass(frozen=True)
class SplitRow:
    """What one clip did in training; ``split.csv`` holds a line of it."""

    path: str
    """Relative to the data folder, with forward slashes."""
    label: str
    speaker: str
    split: str
    start_s: float
    end_s: float | None
    gain: float
    digest: str
    """Hash of the clip's samples at the model's rate."""


def save_artifact(
    artifact: Artifact,
    weights: Mapping[str, npt.NDArray[np.float32]],
    onnx: bytes,
    metrics: Mapping[str, Any],
    split: Sequence[SplitRow],
    force: bool = False,
    stream: bytes | None = None,
    curves: bytes | None = None,
) -> None:
    """Write a model to ``artifact.path``, whole or not at all.

    Parameters
    ----------
    onnx, stream : the graphs that hear clips, and running sound
    metrics : whose ``history``, if it has one, is written as ``history.csv`` too
    curves : the learning curves, a PNG

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
        write_whole(path, _as_json(calibration.to_dict()))
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ArtifactError(
            f"{path}: not written ({reason}); copy the model to where you may write"
        ) from error


def find_artifact(named: Path | None) -> tuple[Path, str]:
    """Return the model to use, and how it was found.

    The one ``named``; else ``$SPEECHCLS_MODEL``; else the newest under ``./models/``; else the one
    that comes with speechcls.

    Raises
    ------
    ArtifactError
        When there is none.
    """
    if named is not None:
        return locate(named), "--model"
    if from_environment := os.environ.get(ENVIRONMENT):
        return Path(from_environment), f"${ENVIRONMENT}"
    found = [path.parent for path in MODELS.glob(f"*/{CONFIG}") if (path.parent / ONNX).is_file()]
    # In a source tree those with a card are not the user's: they came with speechcls.
    found = [path for path in found if not (path / CARD).is_file()]
    if not found and (bundled := find_bundled()):
        return bundled, "comes with speechcls"
    if not found:
        raise ArtifactError(
            f"no model: none is named by --model or ${ENVIRONMENT}, and there is none in"
            f" ./{MODELS}/; make one with: speechcls train DATA"
        )
    newest = max(found, key=lambda path: (path / CONFIG).stat().st_mtime_ns)
    return newest, f"newest in ./{MODELS}/"


def find_artifacts(folder: Path) -> list[Path]:
    """Return ``folder`` if it is a model, else the models in it, by name; damaged ones as well.

    Raises
    ------
    ArtifactError
        When there is none.
    """

    def is_meant(path: Path) -> bool:
        return (path / CONFIG).is_file() or (path / ONNX).is_file()

    folder = locate(folder)
    try:
        if is_meant(folder) or not folder.is_dir():
            return [folder]
        found = sorted(path for path in folder.iterdir() if path.is_dir() and is_meant(path))
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ArtifactError(f"{folder}: {reason}; mend that or name another folder") from error
    if not found:
        raise ArtifactError(
            f"{folder}: neither a model nor a folder of models; name one that speechcls train wrote"
        )
    return found


def locate(path: Path) -> Path:
    """Return ``path``, or where the model that comes with speechcls lies if that is meant.

    It is meant by ``commands``, unless a model of the user's has this name.
    """
    if str(path) == BUNDLED and not (path / CONFIG).is_file():
        return find_bundled() or path
    return path


def find_bundled() -> Path | None:
    """Return the model that comes with speechcls, if this installation holds it."""
    package = Path(__file__).parent
    # In a wheel it lies in the package, in a source tree beside it.
    places = package / "bundled" / BUNDLED, package.parent / MODELS / BUNDLED
    return next((place for place in places if (place / ONNX).is_file()), None)


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
