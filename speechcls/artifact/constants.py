"""The numbers that a model is computed with, for those who write it in another language."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from speechcls.artifact.format import Weights
from speechcls.config import FeatureConfig

Floats = npt.NDArray[np.float32]
_EPSILON = 1e-5
"""What batch norm adds to a variance."""


@dataclass(frozen=True)
class Matrix:
    """A linear layer."""

    weights: Floats
    """(n_rows, n_columns)"""
    bias: Floats
    """(n_rows,)"""


def fold_norm(weights: Weights, norm: str, rows: Floats) -> Matrix:
    """Return a layer without bias and the batch norm behind it as one layer.

    Parameters
    ----------
    norm : name of the batch norm in ``weights``
    rows : (n_rows, n_columns) weights of the layer
    """
    variance = weights[f"{norm}.running_var"].astype(np.float64)
    gain = weights[f"{norm}.weight"] / np.sqrt(variance + _EPSILON)
    bias = weights[f"{norm}.bias"] - weights[f"{norm}.running_mean"] * gain
    return Matrix((rows * gain[:, None]).astype(np.float32), bias.astype(np.float32))


def linear_layer(weights: Weights, name: str) -> Matrix:
    """Return the linear layer of a name."""
    return Matrix(weights[f"{name}.weight"], weights[f"{name}.bias"])


def round_rows(
    array: npt.NDArray[np.float32], axis: int
) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.float32]]:
    """Return weights as int8, and the scale of each place along an axis.

    A weight is its integer, -127 to 127, times the scale of its place.
    """
    others = tuple(i for i in range(array.ndim) if i != axis)
    largest = np.abs(array).max(axis=others)
    scale = np.where(largest > 0, largest / 127, 1.0).astype(np.float32)
    shape = [-1 if i == axis else 1 for i in range(array.ndim)]
    rounded = np.rint(array / scale.reshape(shape)).clip(-127, 127)
    return rounded.astype(np.int8), scale


@dataclass(frozen=True)
class FeatureTables:
    """What features are computed with."""

    window: npt.NDArray[np.float64]
    """(n_fft,) of Hann, in the middle of a frame."""
    filters: Floats
    """(n_mels, 1 + n_fft // 2) mel bands."""
    dct: Floats | None
    """(n_mfcc, n_mels) cosine transform; None of features that have none."""


def feature_tables(config: FeatureConfig) -> FeatureTables:
    """Return the tables of window, bands and cosine transform."""
    import librosa  # late: it takes seconds

    angles = 2 * np.pi * np.arange(config.win_length) / config.win_length
    before = (config.n_fft - config.win_length) // 2
    window = np.zeros(config.n_fft)
    window[before : before + config.win_length] = 0.5 - 0.5 * np.cos(angles)
    filters = librosa.filters.mel(
        sr=config.sample_rate,
        n_fft=config.n_fft,
        n_mels=config.n_mels,
        fmin=config.fmin,
        fmax=config.fmax,
    )
    dct = None
    if config.kind == "mfcc":
        # The coefficients of each unit vector are the columns of the matrix.
        dct = librosa.feature.mfcc(S=np.eye(config.n_mels), n_mfcc=config.n_mfcc)
        dct = dct.astype(np.float32)
    return FeatureTables(window, filters.astype(np.float32), dct)
