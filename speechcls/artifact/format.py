"""File names of an artifact, and the contents of config.json and split.csv."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from speechcls.config import FeatureConfig, NetworkConfig
from speechcls.errors import SpeechclsError

FORMAT_VERSION = 2

CONFIG, WEIGHTS = "config.json", "weights.safetensors"
ONNX, STREAM = "model.onnx", "stream.onnx"
METRICS, SPLIT = "metrics.json", "split.csv"
CALIBRATION = "calibration.json"
HISTORY, CURVES = "history.csv", "curves.png"
CARD = "README.md"

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
    if not isinstance(version, int) or version < 1:
        raise ValueError("impossible format_version")
    if version > newest:
        raise error(
            f"{path}: format version {version} is newer than this speechcls understands"
            f" ({newest}); upgrade speechcls"
        )
