"""File names of an artifact, and the contents of config.json and split.csv."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from speechcls.config import FeatureConfig, NetworkConfig
from speechcls.errors import SpeechclsError
from speechcls.labels import map_label

FORMAT_VERSION = 2

CONFIG, WEIGHTS = "config.json", "weights.safetensors"
ONNX, STREAM = "model.onnx", "stream.onnx"
METRICS, SPLIT = "metrics.json", "split.csv"
CALIBRATION = "calibration.json"
HISTORY, CURVES = "history.csv", "curves.png"
SNAPSHOTS = "snapshots.safetensors"
CARD = "README.md"
MANIFEST = "manifest.json"
"""SHA-256 of each of the others but the card, which people edit."""

HELD = (ONNX, STREAM, CALIBRATION)
"""What a loaded model answers by: held in memory, so that all are of the same model for good."""

SPLITS = ("train", "validation", "test", "unused")
"""What ``split.csv`` may say of a clip."""

Weights = dict[str, npt.NDArray[np.float32]]


@dataclass(frozen=True)
class Artifact:
    """Configuration of a trained model, which ``config.json`` holds."""

    path: Path
    features: FeatureConfig
    network: NetworkConfig
    labels: tuple[str, ...]
    """In the order of the probabilities."""
    words: tuple[str, ...]
    """In the order of the network's logits; each word counts as one of the labels."""
    digests: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)
    """SHA-256 of each file by its name, as read; none of a model without a manifest."""
    contents: Mapping[str, bytes] | None = field(default=None, compare=False, repr=False)
    """The files in ``HELD`` that the model has, as it was loaded; None if it was not loaded."""


@dataclass(frozen=True)
class SplitRow:
    """Split of one clip in the model's training: a row of ``split.csv``."""

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


def check_labels(labels: object, words: object) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the labels and words of a model, as ``config.json`` has them.

    Raises
    ------
    TypeError, ValueError
        When they are impossible.
    """
    if not isinstance(labels, list) or not isinstance(words, list):
        raise TypeError("labels and words must be lists")
    for what, names, least in (("labels", labels, 2), ("words", words, len(labels))):
        names_max, letters_max = 100_000, 100_000
        if not all(type(name) is str and len(name) <= letters_max for name in names):
            raise ValueError(f"impossible {what}")
        if len(set(names)) != len(names) or not least <= len(names) <= names_max:
            raise ValueError(f"impossible {what}")
    known = frozenset(labels)  # to search a list for each word would take minutes
    if any(map_label(word, known) is None for word in words):
        raise ValueError("impossible words")
    return tuple(labels), tuple(words)


def check_sizes(features: FeatureConfig) -> None:
    """Refuse a configuration that no machine could run, before anything is made by it.

    Raises
    ------
    ValueError
        Naming what is too large.
    """
    for what, value, largest in (
        ("sample_rate", features.sample_rate, 768_000),
        ("n_fft", features.n_fft, 2**18),
        ("n_mels", features.n_mels, 2**12),
        ("samples of a window", features.n_samples, 2**26),
    ):
        if value > largest:
            raise ValueError(f"impossible {what}")


def check_format_version(
    path: Path, version: object, newest: int, error: type[SpeechclsError]
) -> None:
    """Refuse a file of a format that only a newer speechcls knows.

    Parameters
    ----------
    version : as the file has it
    newest : the latest version that can be read
    error : raised, with ``path`` as its subject

    Raises
    ------
    SpeechclsError
        When ``version`` is newer, of the class ``error``.
    ValueError
        When it is no version at all.
    """
    if type(version) is not int or version < 1:
        raise ValueError("impossible format_version")
    if version > newest:
        raise error(
            f"{path}: format version {version} is newer than this speechcls understands"
            f" ({newest}); upgrade speechcls"
        )
