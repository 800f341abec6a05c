"""What a network does while a clip goes by: the arrays behind every panel of ``explain``.

Torch computes features and front end; from there on it is NumPy, the recurrence gate by gate as
``recurrence`` writes it, and the answer is held against that of ``model.onnx``.
"""

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from speechcls.artifact.format import ONNX, WEIGHTS
from speechcls.artifact.store import load_weights
from speechcls.audio.samples import Samples
from speechcls.audio.spectrogram import Array
from speechcls.config import FeatureConfig
from speechcls.errors import ArtifactError, ConfigError
from speechcls.explain.recurrence import DirectionTrace, run_recurrence
from speechcls.networks.layers import FastRNNLayers, MinGRULayers, ProjectedLSTM
from speechcls.networks.load import load_recogniser
from speechcls.networks.recogniser import Recogniser
from speechcls.runtime.classifier import Classifier
from speechcls.runtime.session import apply_temperature

TOLERANCE = 1e-4
"""Largest difference of a probability from that of ``model.onnx``."""
OCCLUDED_S = 0.1
"""How much of the clip is silenced at a time."""
LEAST_LOSS = 0.05
"""A smaller loss of probability decides nothing."""
SHARES = ("forget", "input", "output", "reset", "update")
"""Gates, sigmoids all: what they let through is between nothing (0) and everything (1)."""
STATE = "state"
"""Name of the panel of h, which every cell has."""

_EVERY_S, _MOST_MOMENTS = 0.02, 100
_CELLS: dict[type[nn.Module], str] = {
    nn.RNN: "rnn",
    nn.LSTM: "lstm",
    nn.GRU: "gru",
    ProjectedLSTM: "lstmp",
    FastRNNLayers: "fastrnn",
    MinGRULayers: "mingru",
}
Layer = dict[str, DirectionTrace]
"""By 'forward' and, if there, 'reverse'; a batch of one clip."""


class Curve(NamedTuple):
    """Values over time."""

    times_s: Array  # (n_times,) from the beginning of the window
    values: Array  # (n_times,) or (n_times, n_labels)


class GatePanel(NamedTuple):
    """One gate, or the state, of all units of a layer."""

    name: str
    rows: Array  # (n_rows, n_steps), a unit a row, by the time of their activity
    n_forward: int  # rows of the forward direction, which are above those of the reverse one


@dataclass(frozen=True)
class Explanation:
    """What happened in a network while it heard one window of sound."""

    labels: tuple[str, ...]
    arch: str
    cell: str
    """As in ``recurrence.run_recurrence``."""
    config: FeatureConfig
    samples: Samples
    """(n_samples,) of the model's window."""
    features: Array
    """(n_frames, n_features) as the network gets them, in deviations from their means."""
    frame_times_s: Array
    """(n_frames,) the middle of each frame, or with a running mean its end."""
    step_times_s: Array
    """(n_steps,) the last frame of each step of the recurrence; the last step may lack some."""
    layers: tuple[Layer, ...]
    attention: Array | None
    """(n_steps, n_heads), each head summing to 1, if the network has attention."""
    probabilities: Array
    """(n_labels,) the answer."""
    posterior_over_time: Curve
    """The probability of each label as the word unfolds."""
    is_per_step: bool
    """Whether ``posterior_over_time`` holds a causal network's outputs at its steps, rather than
    the answers to the window revealed up to each moment and followed by silence."""
    occlusion: Curve
    """What the answer's probability loses when ``OCCLUDED_S`` around a moment are silenced."""

    @property
    def label_index(self) -> int:
        """Which label is the answer."""
        return int(self.probabilities.argmax())

    @property
    def has_gates(self) -> bool:
        """Whether its cells have gates."""
        return bool(self.layers[0]["forward"].gates)

    @property
    def end_s(self) -> float:
        """Where a time axis ends: with the window, or with the last step if that is later."""
        end_s = len(self.samples) / self.config.sample_rate
        return max(end_s, float(self.step_times_s[-1]))

    @property
    def decisive_s(self) -> float | None:
        """The moment whose silencing costs most, if it costs ``LEAST_LOSS`` at all."""
        times_s, lost = self.occlusion
        return float(times_s[lost.argmax()]) if lost.max() >= LEAST_LOSS else None


def explain(classifier: Classifier, samples: Samples) -> Explanation:
    """Return what the model does with a window of sound.

    Parameters
    ----------
    samples : (n_samples,) of the model's window, as ``Classifier.window`` gives them

    Raises
    ------
    ArtifactError
        When weights are missing, damaged or not those of ``model.onnx``.
    """
    artifact = classifier.artifact
    recogniser, weights = load_recogniser(artifact), load_weights(artifact)
    config, network = artifact.features, recogniser.network
    with torch.no_grad():
        features = recogniser.extract_features(torch.from_numpy(samples)[None])
        inputs = _front_end(recogniser, features)[0].double().numpy()  # (n_steps, n_inputs)
    cell = _CELLS[type(network.recurrence)]
    trace = run_recurrence(cell, _under(weights, "network.recurrence."), inputs[None])
    vectors, attention = read_out(
        network.readout.kind,
        trace.outputs[0],
        _under(weights, "network.readout."),
        network.bidirectional,
    )
    output = _under(weights, "network.output.")
    by_word = softmax(vectors @ output["weight"].T + output["bias"], axis=-1)
    answers = by_word @ recogniser.members.numpy()  # (n_labels,) or (n_steps, n_labels)
    is_stream = network.readout.kind == "stream"
    best = answers[:, :-1].max(axis=1).argmax() if is_stream else 0
    answers = apply_temperature(np.atleast_2d(answers).astype(np.float32), classifier.temperature)
    probabilities = answers[best]
    _compare(classifier, samples, probabilities)

    frame_s = config.hop_length / config.sample_rate
    first_s = frame_s if config.running_s else 0.0
    frame_times_s = first_s + frame_s * np.arange(config.n_frames)
    step_s = frame_s * network.frames_per_step
    first_step_s = step_s if is_stream else first_s
    step_times_s = first_step_s + step_s * np.arange(len(inputs))
    label_index = int(probabilities.argmax())
    moments_s = _moments_s(config)
    posterior_over_time = Curve(step_times_s, answers)
    if not is_stream:
        revealed = (reveal(samples, end_s, config.sample_rate) for end_s in moments_s)
        posterior_over_time = Curve(moments_s, _answers(classifier, revealed))
    silenced = (occlude(samples, middle_s, config.sample_rate) for middle_s in moments_s)
    left = _answers(classifier, silenced)[:, label_index]
    return Explanation(
        labels=artifact.labels,
        arch=artifact.network.arch,
        cell=cell,
        config=config,
        samples=samples,
        features=features[0].numpy(),
        frame_times_s=frame_times_s,
        step_times_s=step_times_s,
        layers=trace.layers,
        attention=attention,
        probabilities=probabilities,
        posterior_over_time=posterior_over_time,
        is_per_step=is_stream,
        occlusion=Curve(moments_s, probabilities[label_index] - left),
    )


def _front_end(recogniser: Recogniser, features: torch.Tensor) -> torch.Tensor:
    """Return what the recurrence hears (batch, n_steps, n_inputs)."""
    network = recogniser.network
    if not network.front:
        return features
    if network.readout.kind != "stream":
        inputs: torch.Tensor = network.front_end(features)
        return inputs
    n_whole = features.shape[1] // network.frames_per_step * network.frames_per_step
    inputs, _ = network.front_end.step(features[:, :n_whole], network.front_end.states(1))
    return inputs


def read_out(
    kind: str, outputs: Array, weights: Mapping[str, Array], is_both: bool
) -> tuple[Array, Array | None]:
    """Return what the last layer hears, and the attention paid to each step if there is any.

    Parameters
    ----------
    kind : ``last``, ``mean``, ``attention``, or ``stream``, whose last layer hears every step
    outputs : (n_steps, size) of the recurrence
    weights : of the attention: project.weight, project.bias and score.weight
    is_both : whether the second half of ``size`` is a reverse direction

    Returns
    -------
    (size,), with ``stream`` (n_steps, size), and (n_steps, n_heads) or None
    """
    if kind == "stream":
        return outputs, None
    if kind == "mean":
        return outputs.mean(axis=0), None
    if kind == "attention":
        hidden = np.tanh(outputs @ weights["project.weight"].T + weights["project.bias"])
        attention = softmax(hidden @ weights["score.weight"].T, axis=0)  # (n_steps, n_heads)
        by_head = outputs.reshape(len(outputs), attention.shape[1], -1)
        return (attention[:, :, None] * by_head).sum(axis=0).ravel(), attention
    if not is_both:
        return outputs[-1], None
    half = outputs.shape[1] // 2
    return np.concatenate([outputs[-1, :half], outputs[0, half:]]), None


def softmax(logits: Array, axis: int) -> Array:
    """Return exp(logits) scaled to sum to 1 along ``axis``."""
    powers: Array = np.exp(logits - logits.max(axis=axis, keepdims=True))
    shares: Array = powers / powers.sum(axis=axis, keepdims=True)
    return shares


def _under(weights: Mapping[str, Any], prefix: str) -> dict[str, Array]:
    """Return the weights of one part of the network, by their names in it."""
    return {
        name.removeprefix(prefix): array
        for name, array in weights.items()
        if name.startswith(prefix)
    }


def _compare(classifier: Classifier, samples: Samples, probabilities: Array) -> None:
    """Refuse weights that do not give what the model answers."""
    difference = float(np.abs(classifier.probabilities(samples[None])[0] - probabilities).max())
    if not difference <= TOLERANCE:
        path = classifier.artifact.path
        raise ArtifactError(
            f"{path / WEIGHTS}: its probabilities differ from those of {ONNX} by {difference:.2g}:"
            " parts of two models; copy the model again"
        )


def _moments_s(config: FeatureConfig) -> Array:
    """Return the times at which clips are revealed or silenced, both ends among them."""
    duration_s = config.n_samples / config.sample_rate
    n_steps = min(max(1, round(duration_s / _EVERY_S)), _MOST_MOMENTS)
    return np.linspace(0.0, duration_s, n_steps + 1)


def reveal(samples: Samples, end_s: float, sample_rate: int) -> Samples:
    """Return ``samples`` (n,) up to a time, and silence after it."""
    revealed = np.zeros_like(samples)
    end = round(end_s * sample_rate)
    revealed[:end] = samples[:end]
    return revealed


def occlude(samples: Samples, middle_s: float, sample_rate: int) -> Samples:
    """Return ``samples`` (n,) with ``OCCLUDED_S`` around a time silenced."""
    occluded = samples.copy()
    start, end = (round((middle_s + way * OCCLUDED_S / 2) * sample_rate) for way in (-1, 1))
    occluded[max(0, start) : end] = 0.0
    return occluded


def _answers(classifier: Classifier, windows: Iterator[Samples]) -> Array:
    """Return the model's (n_windows, n_labels), a batch at a time."""
    answers = []
    while batch := list(itertools.islice(windows, classifier.batch_size)):
        answers.append(classifier.probabilities(np.stack(batch)))
    return np.concatenate(answers)


def gate_panels(explanation: Explanation, layer: int) -> list[GatePanel]:
    """Return each gate of a layer, and last its state h, with the units in one order.

    Units are sorted by ``middle_of_activity`` of their state. Of two directions the forward one is
    above, with the earliest unit lowest, and the reverse one below it, mirrored; of one direction
    the earliest unit is highest.

    Parameters
    ----------
    layer : from 1, the lowest

    Raises
    ------
    ConfigError
        When there is no such layer.
    """
    n_layers = len(explanation.layers)
    if not 1 <= layer <= n_layers:
        raise ConfigError(f"layer: {layer} is not possible; this network has 1 to {n_layers}")
    directions = explanation.layers[layer - 1]
    panels = []
    for name in (*directions["forward"].gates, STATE):
        sorted_units = [_sorted_units(trace, name) for trace in directions.values()]
        n_forward = len(sorted_units[0])
        if len(sorted_units) == 2:
            sorted_units[0] = sorted_units[0][::-1]
        panels.append(GatePanel(name, np.concatenate(sorted_units), n_forward))
    return panels


def _sorted_units(trace: DirectionTrace, name: str) -> Array:
    """Return (n_units, n_steps) of a gate or the state, earliest unit first."""
    values = (trace.gates | {STATE: trace.hidden})[name][0]  # (n_steps, n_units)
    state = trace.hidden[0]
    if state.shape != values.shape:  # a projected state has units of its own
        state = trace.gates["cell"][0]
    order = middle_of_activity(state).argsort(kind="stable")
    sorted_values: Array = values[:, order].T
    return sorted_values


def middle_of_activity(state: Array) -> Array:
    """Return the step around which each unit is active, the mean step weighted by activity.

    Parameters
    ----------
    state : (n_steps, n_units); activity is how far |state| is above its lowest in the clip

    Returns
    -------
    (n_units,) from 0 to ``n_steps`` - 1; the middle of all steps where nothing changes
    """
    activity = np.abs(state) - np.abs(state).min(axis=0) + 1e-12
    steps = np.arange(len(state))
    middle: Array = steps @ activity / activity.sum(axis=0)
    return middle
