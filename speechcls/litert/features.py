"""Samples to standardised features, in floats: 8 bits do not tell weak bands from strong ones."""

import math

import numpy as np
import numpy.typing as npt

from speechcls.artifact.constants import FeatureTables, Matrix, feature_tables
from speechcls.artifact.format import Artifact, Weights
from speechcls.config import FeatureConfig
from speechcls.litert.file import Tensor
from speechcls.litert.graph import Graph

_DECIBELS = 10.0 / math.log(10.0)


def n_frames_of(config: FeatureConfig, n_samples: int) -> int:
    """Return the whole frames in ``n_samples`` samples."""
    return 1 + (n_samples - config.n_fft) // config.hop_length


def clip_features(graph: Graph, artifact: Artifact, weights: Weights, samples: Tensor) -> Tensor:
    """Return the features (n_frames, n_features) of a clip (1, n_samples)."""
    config = artifact.features
    margins = config.n_fft // 2, config.n_fft // 2
    if config.running_s:
        margins = config.n_fft - config.hop_length, 0
    padded = graph.pad(samples, (0, 0), margins)
    energy = _energies(graph, config, padded)
    level = None
    if config.running_s:
        level, _ = _running_level(graph, config, energy, None)
    return _from_energies(graph, config, weights, energy, level)


def stream_features(graph: Graph, artifact: Artifact, weights: Weights, samples: Tensor) -> Tensor:
    """Return the features of a block (1, n_samples) of a stream; adds the states to the graph."""
    config = artifact.features
    tail = graph.input("tail", (1, config.n_fft - config.hop_length))
    extended = graph.concatenate([tail, samples], 1)
    n = extended.shape[1]
    graph.outputs["tail_next"] = graph.slice(extended, 1, n - tail.shape[1], n)
    energy = _energies(graph, config, extended)
    level = None
    if config.relative:
        sums = graph.input("level", (1, 2))
        level, graph.outputs["level_next"] = _running_level(graph, config, energy, sums)
    return _from_energies(graph, config, weights, energy, level)


def _energies(graph: Graph, config: FeatureConfig, samples: Tensor) -> Tensor:
    """Return mel energies (n_frames, n_mels) of every whole frame in ``samples`` (1, n)."""
    tables = feature_tables(config)
    n_frames = n_frames_of(config, samples.shape[1])
    samples = graph.slice(samples, 1, 0, (n_frames - 1) * config.hop_length + config.n_fft)
    power, bins = _power(graph, config, tables, samples, n_frames)
    filters = tables.filters[:, bins]
    _, first = np.unique(bins, return_index=True)
    again = np.setdiff1d(np.arange(len(bins)), first)
    filters[:, again] = 0  # bins that are counted already
    energy = graph.linear(power, _without_bias(filters))
    return graph.maximum(energy, config.power_floor)


def _power(
    graph: Graph, config: FeatureConfig, tables: FeatureTables, samples: Tensor, n_frames: int
) -> tuple[Tensor, npt.NDArray[np.int64]]:
    """Return power spectra (n_frames, n_values) of ``samples``, and the bin of each value.

    A transform of n_rows * n_columns samples is one of n_rows for each column, a turn of each
    result, and one of n_columns for each row.

    Source
    ------
    Cooley & Tukey 1965, the general factorisation.
    """
    n_columns = _n_columns(config.n_fft, config.hop_length)
    n_rows = config.n_fft // n_columns
    n_half = 1 + n_rows // 2  # of a real transform; the others are mirrored
    # (rows of all samples, n_columns), of which a frame has n_rows, a hop of rows after the last
    rows = graph.reshape(samples, samples.shape[1] // n_columns, n_columns)
    hops = np.arange(n_frames)[:, None] * (config.hop_length // n_columns)
    frames = graph.gather(rows, hops + np.arange(n_rows))  # (n_frames, n_rows, n_columns)
    frames = graph.multiply(frames, graph.floats(tables.window.reshape(n_rows, n_columns)))
    columns = graph.reshape(graph.transpose(frames, 0, 2, 1), n_frames * n_columns, n_rows)
    halves, column = np.arange(n_half), np.arange(n_columns)
    angle = 2 * np.pi * np.outer(halves, np.arange(n_rows)) / n_rows
    spectra = graph.linear(columns, _without_bias(np.concatenate([np.cos(angle), -np.sin(angle)])))
    parts = graph.split(spectra, 2, 1)
    real, imaginary = (graph.reshape(part, n_frames, n_columns, n_half) for part in parts)
    turn = 2 * np.pi * np.outer(column, halves) / config.n_fft
    cosine, sine = graph.floats(np.cos(turn)), graph.floats(np.sin(turn))
    turned = [
        graph.add(graph.multiply(real, cosine), graph.multiply(imaginary, sine)),
        graph.subtract(graph.multiply(imaginary, cosine), graph.multiply(real, sine)),
    ]
    across = graph.transpose(graph.concatenate(turned, 1), 0, 2, 1)
    across = graph.reshape(across, n_frames * n_half, 2 * n_columns)
    angle = 2 * np.pi * np.outer(column, column) / n_columns
    matrix = np.block([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    whole = graph.linear(across, _without_bias(matrix))
    of_real, of_imaginary = graph.split(graph.multiply(whole, whole), 2, 1)
    bins = (halves[:, None] + n_rows * column).reshape(-1)
    power = graph.reshape(graph.add(of_real, of_imaginary), n_frames, len(bins))
    return power, np.minimum(bins, config.n_fft - bins)


def _n_columns(n_fft: int, hop_length: int) -> int:
    """Return into how many columns a transform is divided with the fewest products."""
    common = math.gcd(n_fft, hop_length)  # a frame begins with a row

    def n_products(n_columns: int) -> int:
        n_rows = n_fft // n_columns
        n_half = 1 + n_rows // 2
        return 2 * n_half * n_fft + n_half * (2 * n_columns) ** 2

    return min((n for n in range(1, common + 1) if common % n == 0), key=n_products)


def _running_level(
    graph: Graph, config: FeatureConfig, energy: Tensor, sums: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Return the mean energy up to each frame (n_frames, 1), and sums (1, 2) to continue from.

    Parameters
    ----------
    sums : (1, 2) of energies and of their weights before the first frame; None: there are none
    """
    n = energy.shape[0]
    keep = math.exp(-config.hop_length / (config.sample_rate * config.running_s))
    frames = np.arange(n)
    lags = frames[:, None] - frames
    fade = (lags >= 0) * keep ** np.maximum(lags, 0).astype(np.float64)  # (later, earlier)
    means = graph.reshape(graph.mean(energy, 1), 1, n)
    if sums is None:
        sums = graph.zeros((1, 2))
    old = keep ** (1.0 + frames)
    nothing = np.zeros((n, n))
    rows = np.block(
        [[fade, old[:, None], 0 * old[:, None]], [nothing, 0 * old[:, None], old[:, None]]]
    )
    bias = np.concatenate([np.zeros(n), fade.sum(axis=1)])
    values = graph.concatenate([means, sums], 1)
    of_energies, of_weights = graph.split(graph.linear(values, _layer(rows, bias)), 2, 1)
    level = graph.reshape(graph.divide(of_energies, of_weights), n, 1)
    last = [graph.slice(part, 1, n - 1, n) for part in (of_energies, of_weights)]
    return level, graph.concatenate(last, 1)


def _from_energies(
    graph: Graph, config: FeatureConfig, weights: Weights, energy: Tensor, level: Tensor | None
) -> Tensor:
    """Return standardised features of mel energies (n_frames, n_mels)."""
    if config.relative:
        energy = graph.divide(energy, graph.mean(energy, 0, 1) if level is None else level)
    features = graph.multiply(graph.logarithm(energy), graph.floats(np.array([_DECIBELS])))
    if config.relative:
        features = graph.maximum(features, -config.range_db)
    dct = feature_tables(config).dct
    if dct is not None:
        features = graph.linear(features, _without_bias(dct))
    centred = graph.subtract(features, graph.floats(weights["feature_mean"]))
    return graph.multiply(centred, graph.floats(1 / weights["feature_std"]))


def _layer(rows: npt.NDArray[np.float64], bias: npt.NDArray[np.float64]) -> Matrix:
    return Matrix(rows.astype(np.float32), bias.astype(np.float32))


def _without_bias(rows: npt.NDArray[np.floating]) -> Matrix:
    return Matrix(rows.astype(np.float32), np.zeros(len(rows), np.float32))
