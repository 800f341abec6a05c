"""File names of an artifact, and the contents of config.json and split.csv."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from speechcls.config import FeatureConfig, NetworkConfig

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
