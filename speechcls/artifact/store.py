"""A trained model on disk: a folder with configuration, weights, ONNX graph, scores and splits."""

import contextlib
import csv
import dataclasses
import errno
import io
import math
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from speechcls.artifact.card import write_card
from speechcls.artifact.format import (
    CARD,
    CONFIG,
    CURVES,
    FORMAT_VERSION,
    HELD,
    HISTORY,
    MANIFEST,
    METRICS,
    ONNX,
    SNAPSHOTS,
    SPLIT,
    SPLITS,
    STREAM,
    WEIGHTS,
    Artifact,
    SplitRow,
    Weights,
    check_format_version,
    check_labels,
    check_sizes,
)
from speechcls.artifact.lookup import bundled_models, locate
from speechcls.artifact.manifest import (
    check_digest,
    manifest_of,
    parse_digests,
    parse_json,
    read_file,
    read_json,
    read_limited,
)
from speechcls.config import FeatureConfig, NetworkConfig
from speechcls.errors import ArtifactError, ConfigError, reason_of
from speechcls.files import csv_bytes, json_bytes, write_folder_atomic
from speechcls.scratch import restore
from speechcls.storage.places import local_path
from speechcls.text import from_csv_cell

_TRIES = 1_000
"""Times that a model which is replaced meanwhile is read again."""


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
    snapshots: bytes | None = None,
) -> None:
    """Write a model to ``artifact.path`` with its card, whole or not at all.

    Parameters
    ----------
    onnx, stream : the ONNX graphs of one window and of a stream
    metrics : scores and training; its ``history``, if it has one, is written as CSV as well
    force : replace a model that is there
    curves : the learning curves as a PNG
    settings : further sections of ``config.json``, by which the training can be repeated
    snapshots : the weights at the end of some epochs, as ``snapshot_bytes`` gives them

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
        **({SNAPSHOTS: snapshots} if snapshots else {}),
    }
    if history := metrics.get("history"):
        contents[HISTORY] = csv_bytes(list(history[0]), (list(row.values()) for row in history))
    contents[MANIFEST] = manifest_of(contents)
    if card := write_card(artifact, parse_json(contents[METRICS])):
        contents[CARD] = card
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
    restore(path)
    if not os.path.lexists(path):
        return
    if not (path / CONFIG).is_file() and not (path.is_dir() and not any(path.iterdir())):
        raise ArtifactError(f"{path}: exists and is not a model; choose another place")
    if not force:
        raise ArtifactError(f"{path}: exists; use force to replace it, or choose another place")


def load_artifact(path: str | os.PathLike[str]) -> Artifact:
    """Return a model: its configuration, and in memory what it answers by.

    All is of one model: if it is replaced while it is read, it is read again; one whose replacement
    was interrupted is brought back first.

    Parameters
    ----------
    path : the model's folder, or the name of one that comes with speechcls, as ``commands``,
        unless there is a model of that name here

    Raises
    ------
    ArtifactError
        When it is missing, damaged, not of speechcls, or written by a newer speechcls.
    """
    path = locate(local_path(path))
    for _ in range(_TRIES):
        if not restore(path):
            raise _no_model(path, "no such model")
        if (contents := _read_together(path)) is not None:
            return _parse(path, contents)
    raise ArtifactError(f"{path}: replaced again and again while it is read; try again later")


def _no_model(path: Path, fact: str) -> ArtifactError:
    names = ", ".join(bundled_models())
    also = f", or one that comes with speechcls ({names})" if names else ""
    return ArtifactError(f"{path}: {fact}; name the folder of a trained model{also}")


def _read_together(path: Path) -> dict[str, bytes] | None:
    """Return the files of a model that must be of one; None if it was replaced meanwhile.

    Raises
    ------
    ArtifactError
        When one cannot be read.
    """
    folder, file = None, path
    try:
        if os.open in os.supports_dir_fd:
            folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        before = path.stat() if folder is None else os.fstat(folder)
        contents = {}
        for name in (CONFIG, MANIFEST, *HELD):
            file = path / name
            with contextlib.suppress(FileNotFoundError):
                contents[name] = read_limited(file, folder)
        # Once it is replaced, the open folder is emptied: what it lacks, it may have had.
        is_certain = folder is not None and len(contents) == len(HELD) + 2
        return contents if is_certain or os.path.samestat(before, path.stat()) else None
    except FileNotFoundError:  # it is away, while another process replaces it
        return None
    except NotADirectoryError as error:
        raise _no_model(path, "a file, not a model folder") from error
    except OSError as error:
        raise ArtifactError(f"{file}: {reason_of(error)}; name another model") from error
    finally:
        if folder is not None:
            os.close(folder)


def _parse(path: Path, contents: Mapping[str, bytes]) -> Artifact:
    if missing := [name for name in (CONFIG, ONNX) if name not in contents]:
        raise ArtifactError(
            f"{path}: not a speechcls model (no {' and no '.join(missing)}); name the"
            " folder of a trained model"
        )
    try:
        config = parse_json(contents[CONFIG])
        check_format_version(path, config["format_version"], FORMAT_VERSION, ArtifactError)
        labels, words = check_labels(config["labels"], config["words"])
        features = FeatureConfig.from_dict(config["features"])
        network = NetworkConfig.from_dict(config["network"])
        check_sizes(features)
    except (ArithmeticError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise _foreign(path, error) from error
    except ConfigError as error:
        raise _foreign(path, error) from error
    # Models of an earlier speechcls have no manifest.
    manifest = contents.get(MANIFEST)
    digests = parse_digests(path / MANIFEST, manifest) if manifest is not None else {}
    check_digest(path / CONFIG, contents[CONFIG], digests)
    held = {name: contents[name] for name in HELD if name in contents}
    return Artifact(path, features, network, labels, words, digests, held)


def _foreign(path: Path, error: Exception) -> ArtifactError:
    return ArtifactError(
        f"{path / CONFIG}: damaged or not of speechcls ({type(error).__name__}: {error});"
        " train again or copy the model again"
    )


def load_weights(artifact: Artifact) -> Weights:
    """Return the weights by name.

    Raises
    ------
    ArtifactError
        When ``weights.safetensors`` is missing or damaged.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    path = artifact.path / WEIGHTS
    try:
        weights = load(read_file(artifact, WEIGHTS))
        for name, array in weights.items():
            if array.dtype.kind == "f" and not np.isfinite(array).all():
                raise ValueError(f"{name} is not finite")
        return weights
    except (SafetensorError, OSError, ValueError, LookupError, TypeError, OverflowError) as error:
        raise damaged(path, error) from error


def damaged(path: Path, error: Exception) -> ArtifactError:
    """Return the error of a file of a model that cannot be read."""
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
        text = read_file(artifact, SPLIT).decode("utf-8", "surrogateescape")
        return [_split_row(row) for row in csv.DictReader(io.StringIO(text, newline=""))]
    except (OSError, LookupError, ValueError, TypeError, OverflowError, csv.Error) as error:
        raise damaged(path, error) from error


def _split_row(row: Mapping[str, str]) -> SplitRow:
    start_s, gain = float(row["start_s"]), float(row["gain"])
    end_s = float(row["end_s"]) if row["end_s"] else None
    is_possible = 0 <= start_s < math.inf and 0 <= gain < math.inf and row["split"] in SPLITS
    if not is_possible or not (end_s is None or 0 <= end_s < math.inf):
        raise ValueError(f"impossible row {row['path']!r:.100}")
    path, label, speaker = (from_csv_cell(row[name]) for name in ("path", "label", "speaker"))
    return SplitRow(path, label, speaker, row["split"], start_s, end_s, gain, row["digest"])


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
        metrics = read_json(path / METRICS)
        if not isinstance(metrics, dict):
            raise ValueError("not a JSON object")
    except (OSError, ValueError, OverflowError) as error:
        if required:
            raise damaged(path / METRICS, error) from error
        return {}
    training = metrics.get("training")
    if isinstance(training, dict):
        renamed = {_RENAMED.get(name, name): value for name, value in training.items()}
        metrics["training"] = renamed
    return metrics
