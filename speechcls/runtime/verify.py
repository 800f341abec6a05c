"""Check every file of a model: against its manifest, against each other, and by running it."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from speechcls.artifact.calibration import load_calibration
from speechcls.artifact.format import (
    CALIBRATION,
    CARD,
    MANIFEST,
    METRICS,
    ONNX,
    SNAPSHOTS,
    SPLIT,
    STREAM,
    WEIGHTS,
    Artifact,
)
from speechcls.artifact.manifest import FILES, read_file
from speechcls.artifact.snapshots import load_snapshots
from speechcls.artifact.store import load_artifact, load_split, load_weights, read_metrics
from speechcls.errors import ArtifactError, reason_of
from speechcls.runtime.classifier import Classifier
from speechcls.runtime.stream import PosteriorStream


class Finding(NamedTuple):
    """What is said of one file of a model."""

    file: str
    problem: ArtifactError | None = None
    """None where nothing is wrong with it."""
    is_foreign: bool = False
    """Whether it is no file of a model, and was not looked at."""


def verify(path: Path) -> Iterator[Finding]:
    """Yield one finding for each file of the model in a folder.

    Every file is compared with the SHA-256 in ``manifest.json`` and read; both graphs are checked
    against ``config.json`` and run on silence and on noise.

    Raises
    ------
    ArtifactError
        When there is no model, or its configuration or manifest is damaged.
    """
    artifact = load_artifact(path)
    if artifact.digests:
        yield Finding(MANIFEST)
    else:
        yield Finding(MANIFEST, ArtifactError(_no_manifest(artifact.path)))
    there = sorted(each.name for each in artifact.path.iterdir())
    for name in FILES:
        if name != MANIFEST and (name in there or name in artifact.digests):
            yield Finding(name, _problem_of(artifact, name))
    for name in there:
        if name not in (*FILES, CARD):
            yield Finding(name, is_foreign=True)


def _no_manifest(path: Path) -> str:
    return (
        f"{path / MANIFEST}: none; files of an earlier speechcls cannot be compared with what was"
        " written; ask who gave you the model, or train it again"
    )


def _problem_of(artifact: Artifact, name: str) -> ArtifactError | None:
    try:
        read_file(artifact, name)
        if name in _CHECKS:
            _CHECKS[name](artifact)
    except ArtifactError as error:
        return error
    except OSError as error:
        return ArtifactError(f"{artifact.path / name}: {reason_of(error)}; copy the model again")
    return None


def _run_clips(artifact: Artifact) -> None:
    generator = np.random.default_rng(0)
    noise = 0.1 * generator.standard_normal(artifact.features.n_samples, dtype=np.float32)
    Classifier(artifact, jobs=1).probabilities(np.stack([np.zeros_like(noise), noise]))


def _run_stream(artifact: Artifact) -> None:
    stream = PosteriorStream(artifact)
    generator = np.random.default_rng(0)
    stream.feed(np.zeros(stream.sample_rate, np.float32))
    stream.feed(0.1 * generator.standard_normal(stream.sample_rate, dtype=np.float32))


_CHECKS: dict[str, Callable[[Artifact], object]] = {
    ONNX: _run_clips,
    STREAM: _run_stream,
    WEIGHTS: load_weights,
    METRICS: lambda artifact: read_metrics(artifact.path, required=True),
    SPLIT: load_split,
    SNAPSHOTS: load_snapshots,
    CALIBRATION: load_calibration,
}
