"""A whole model as a graph: samples in, probabilities out, as its thresholds are for."""

import numpy as np

from speechcls.artifact.constants import Matrix
from speechcls.artifact.format import Artifact, Weights
from speechcls.labels import label_indices
from speechcls.litert.features import clip_features, stream_features
from speechcls.litert.file import Tensor
from speechcls.litert.graph import Graph
from speechcls.litert.network import NetworkOperators

_LEAST = 1e-30
"""Smallest probability, so that it has a logarithm."""


def clip_graph(artifact: Artifact, weights: Weights, graph: Graph, temperature: float) -> Graph:
    """Return a graph with the model of one clip added.

    Its input ``samples`` is (1, n_samples) in [-1, 1], its output ``probabilities`` (1, n_labels).

    Raises
    ------
    ExportError
        When the model's network has no form in LiteRT.
    """
    network = NetworkOperators(graph, artifact, weights)
    samples = graph.input("samples", (1, artifact.features.n_samples))
    logits = network.clip_logits(clip_features(graph, artifact, weights, samples))
    probabilities = _by_label(graph, artifact, logits)
    if artifact.network.is_streaming:
        probabilities = _peak_step(graph, probabilities)
    graph.outputs["probabilities"] = _tempered(graph, probabilities, temperature)
    return graph


def stream_graph(artifact: Artifact, weights: Weights, graph: Graph, temperature: float) -> Graph:
    """Return a graph with one step of a causal model added.

    Inputs are ``samples`` (1, step) in [-1, 1] and states, all zeros at the start; outputs are
    ``probabilities`` (1, n_labels) and each state under its name with ``_next``.

    Raises
    ------
    ExportError
        When the model's network has no form in LiteRT.
    """
    network = NetworkOperators(graph, artifact, weights)
    n_samples = artifact.features.hop_length * network.frames_per_step
    samples = graph.input("samples", (1, n_samples))
    logits = network.stream_logits(stream_features(graph, artifact, weights, samples))
    states_after, graph.outputs = graph.outputs, {}
    probabilities = _by_label(graph, artifact, logits)
    graph.outputs["probabilities"] = _tempered(graph, probabilities, temperature)
    names = (f"{name}_next" for name in graph.inputs if name != "samples")
    graph.outputs |= {name: states_after[name] for name in names}
    return graph


def _by_label(graph: Graph, artifact: Artifact, logits: Tensor) -> Tensor:
    """Return probabilities (n, n_labels) of logits (n, n_words)."""
    probabilities = graph.softmax(logits)
    labels = label_indices(artifact.words, artifact.labels)
    if list(labels) == list(range(len(artifact.labels))):
        return probabilities
    sums = np.zeros((len(artifact.labels), len(labels)), np.float32)
    sums[labels, np.arange(len(labels))] = 1
    return graph.linear(probabilities, Matrix(sums, np.zeros(len(sums), np.float32)))


def _peak_step(graph: Graph, probabilities: Tensor) -> Tensor:
    """Return the probabilities (1, n_labels) of the step at which a word is most probable."""
    n_steps, n_labels = probabilities.shape
    of_words = graph.slice(probabilities, 1, 0, n_labels - 1)  # the last label is no word
    likeliest = graph.reshape(graph.largest(of_words, 1), 1, n_steps)
    return graph.gather(probabilities, graph.place_of_largest(likeliest))


def _tempered(graph: Graph, probabilities: Tensor, temperature: float) -> Tensor:
    if temperature == 1:
        return probabilities
    logits = graph.logarithm(graph.maximum(probabilities, _LEAST))
    return graph.softmax(graph.multiply(logits, graph.floats(np.array([1 / temperature]))))


MAKERS = {"clip": clip_graph, "step": stream_graph}
"""What adds a model to a graph, by what it takes in one run."""
