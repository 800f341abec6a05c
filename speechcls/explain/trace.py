"""Trace of one input window: the arrays behind every panel of ``explain``.

Any network has its features, its probabilities over time and occlusion. Of recurrent ones torch
computes features and front end; from there on it is NumPy, the recurrence gate by gate as
``recurrence`` has it. The result is compared with that of ``model.onnx``.
"""

import dataclasses
import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

import numpy as np
import torch

from speechcls.artifact.format import ONNX, WEIGHTS
from speechcls.artifact.store import read_metrics
from speechcls.audio.samples import FloatArray as Array
from speechcls.audio.samples import Samples
from speechcls.config import FeatureConfig
from speechcls.errors import ArtifactError, ConfigError
from speechcls.explain.recurrence import EQUATIONS
from speechcls.explain.unroll import DirectionTrace, run_recurrence
from speechcls.export.modules import excess_difference
from speechcls.networks.load import load_recogniser, load_snapshot_recognisers
from speechcls.networks.network import Network
from speechcls.networks.recogniser import Recogniser
from speechcls.networks.recurrent import Recurrent
from speechcls.runtime.classifier import Classifier
from speechcls.runtime.session import apply_temperature

OCCLUDED_S = 0.1
"""How much of the clip is silenced at a time."""
MIN_DECISIVE_LOSS = 0.05
"""No moment is decisive if silencing it costs less probability than this."""
_STEP_S, _MAX_MOMENTS = 0.02, 100
Answer = Callable[[Array], Array]
"""From windows (n_windows, n_samples) to probabilities (n_windows, n_labels)."""
Layer = dict[str, DirectionTrace]
"""By 'forward' and, if there, 'reverse'; a batch of one clip."""


class Curve(NamedTuple):
    """Values over time."""

    times_s: Array  # (n_times,) from the beginning of the window
    values: Array  # (n_times,) or (n_times, n_labels)


class NetworkTrace(NamedTuple):
    """One pass of a window through a network."""

    logits: Array  # (n_outputs,), of a streaming network (n_steps, n_outputs)
    n_steps: int = 0  # of the recurrence, or of a streaming network
    cell: str = ""  # of ``recurrence.EQUATIONS``; the empty string if the gates are not known
    layers: tuple[Layer, ...] = ()
    attention: Array | None = None  # (n_steps, n_heads)


@dataclass(frozen=True)
class Explanation:
    """Trace of one input window."""

    labels: tuple[str, ...]
    arch: str
    cell: str
    """Name in ``recurrence.EQUATIONS``; empty for a network that is not recurrent."""
    config: FeatureConfig
    samples: Samples
    """(n_samples,) of the model's window."""
    features: Array
    """(n_frames, n_features), standardised: the input of the network."""
    frame_times_s: Array
    """(n_frames,) the middle of each frame, or with a running mean its end."""
    step_times_s: Array
    """(n_steps,) the last frame of each step of the recurrence; the last step may lack some."""
    layers: tuple[Layer, ...]
    """Of the recurrence, the lowest first; none for a network that is not recurrent."""
    attention: Array | None
    """(n_steps, n_heads), each head summing to 1, if the network has attention."""
    probabilities: Array
    """(n_labels,) of the whole window."""
    posterior_over_time: Curve
    """The probability of each label over time."""
    is_per_step: bool
    """Whether ``posterior_over_time`` holds a streaming network's outputs at its steps, rather than
    those for the window up to each moment, followed by silence."""
    occlusion: Curve
    """Loss of the predicted label's probability if ``OCCLUDED_S`` around a moment are silent."""
    recogniser: Recogniser = field(repr=False)
    """The model in torch."""
    temperature: float
    """That probabilities are given at; 1 where the model is not calibrated."""
    epoch: int | None = None
    """At whose end of the training the network was this; None where that is not known."""
    snapshots: tuple["Explanation", ...] = field(default=(), repr=False)
    """The same window through the network at the end of other epochs, the first one first."""

    @property
    def label_index(self) -> int:
        """Index of the predicted label."""
        return int(self.probabilities.argmax())

    @property
    def has_gates(self) -> bool:
        """Whether its cells have gates."""
        return bool(self.layers and self.layers[0]["forward"].gates)

    def layer(self, number: int) -> Layer:
        """Return a layer of the recurrence, 1 is the lowest.

        Raises
        ------
        ConfigError
            When there is no such layer.
        """
        n_layers = len(self.layers)
        if 1 <= number <= n_layers:
            return self.layers[number - 1]
        there = f"this network has 1 to {n_layers}"
        if not n_layers:
            there = f"{self.arch} has no recurrent layers"
        raise ConfigError(f"{number} is not possible; {there}", field="layer")

    @property
    def end_s(self) -> float:
        """Where a time axis ends: with the window, or with the last step if that is later."""
        end_s = len(self.samples) / self.config.sample_rate
        return max(end_s, float(self.step_times_s.max(initial=0.0)))

    @property
    def decisive_s(self) -> float | None:
        """The moment whose silencing costs most, if it costs ``MIN_DECISIVE_LOSS`` at all."""
        times_s, lost = self.occlusion
        return float(times_s[lost.argmax()]) if lost.max() >= MIN_DECISIVE_LOSS else None


def explain(classifier: Classifier, samples: Samples, with_snapshots: bool = False) -> Explanation:
    """Return the trace of one window through a model.

    Parameters
    ----------
    samples : (n_samples,) of the model's window, as ``Classifier.window`` gives them
    with_snapshots : whether to trace it through the model's snapshots too, if it has any

    Raises
    ------
    ArtifactError
        When weights are missing, damaged or not those of ``model.onnx``.
    """
    artifact = classifier.artifact
    traced = _explain(classifier, load_recogniser(artifact), samples, classifier.probabilities)
    _compare(classifier, samples, traced.probabilities)
    if not with_snapshots:
        return traced
    snapshots = []
    for number, recogniser in load_snapshot_recognisers(artifact).items():
        answer = partial(_torch_probabilities, recogniser, classifier.temperature)
        found = _explain(classifier, recogniser, samples, answer)
        snapshots.append(dataclasses.replace(found, epoch=number))
    best = read_metrics(artifact.path).get("best_epoch")
    epoch = best if type(best) is int else None
    return dataclasses.replace(traced, epoch=epoch, snapshots=tuple(snapshots))


def _explain(
    classifier: Classifier, recogniser: Recogniser, samples: Samples, answer: Answer
) -> Explanation:
    """Return the trace of one window through a recogniser of a model."""
    artifact, config = classifier.artifact, classifier.artifact.features
    network = recogniser.network
    with torch.no_grad():
        features = recogniser.extract_features(torch.from_numpy(samples)[None])
        trace = trace_network(network, features)
    rows, best = answers(recogniser, trace.logits, classifier.temperature)
    probabilities = rows[best]
    frame_times_s, step_times_s = frame_and_step_times(config, network, trace.n_steps)
    moments_s = _moments_s(config)
    posterior_over_time = Curve(step_times_s, rows)
    if not network.is_streaming:
        revealed = (reveal(samples, end_s, config.sample_rate) for end_s in moments_s)
        posterior_over_time = Curve(moments_s, _posteriors(answer, revealed, classifier))
    occluded = (occlude(samples, middle_s, config.sample_rate) for middle_s in moments_s)
    label_index = int(probabilities.argmax())
    remaining = _posteriors(answer, occluded, classifier)[:, label_index]
    return Explanation(
        labels=artifact.labels,
        arch=artifact.network.arch,
        cell=trace.cell,
        config=config,
        samples=samples,
        features=features[0].numpy(),
        frame_times_s=frame_times_s,
        step_times_s=step_times_s,
        layers=trace.layers,
        attention=trace.attention,
        probabilities=probabilities,
        posterior_over_time=posterior_over_time,
        is_per_step=network.is_streaming,
        occlusion=Curve(moments_s, probabilities[label_index] - remaining),
        recogniser=recogniser,
        temperature=classifier.temperature,
    )


def answers(recogniser: Recogniser, logits: Array, temperature: float) -> tuple[Array, int]:
    """Return the probability of each label at each step, and the step that counts.

    Parameters
    ----------
    logits : (n_outputs,), of a streaming network (n_steps, n_outputs)

    Returns
    -------
    (1 or n_steps, n_labels), and the step at which a word is most probable
    """
    by_label = np.atleast_2d(softmax(logits, axis=-1) @ recogniser.label_of_word.numpy())
    is_streaming = recogniser.network.is_streaming
    best = int(by_label[:, :-1].max(axis=1).argmax()) if is_streaming else 0
    return apply_temperature(by_label.astype(np.float32), temperature), best


def trace_network(network: Network, features: torch.Tensor) -> NetworkTrace:
    """Return one pass through a network, gate by gate where its equations are known.

    Parameters
    ----------
    features : (1, n_frames, n_features), standardised
    """
    if isinstance(network, Recurrent) and network.cell.name in EQUATIONS:
        return _trace_recurrent(network, features)
    logits = network(features)[0].double().numpy()
    return NetworkTrace(logits, n_steps=len(logits) if network.is_streaming else 0)


def _trace_recurrent(network: Recurrent, features: torch.Tensor) -> NetworkTrace:
    inputs = network.recurrence_inputs(features)[0].double().numpy()  # (n_steps, n_inputs)
    weights = {name: tensor.numpy() for name, tensor in network.state_dict().items()}
    cell, readout = network.cell.name, network.readout.kind
    trace = run_recurrence(cell, with_prefix(weights, "recurrence."), inputs[None])
    vectors, attention = read_out(
        readout, trace.outputs[0], with_prefix(weights, "readout."), network.bidirectional
    )
    output = with_prefix(weights, "output.")
    logits = vectors @ output["weight"].T + output["bias"]
    return NetworkTrace(logits, len(inputs), cell, trace.layers, attention)


def frame_and_step_times(
    config: FeatureConfig, network: Network, n_steps: int
) -> tuple[Array, Array]:
    """Return the time of each frame of a window, and that of each step of the network, seconds."""
    frame_s = config.hop_length / config.sample_rate
    first_s = frame_s if config.running_s else 0.0
    step_s = frame_s * network.frames_per_step
    first_step_s = step_s if network.is_streaming else first_s
    frame_times_s = first_s + frame_s * np.arange(config.n_frames)
    return frame_times_s, first_step_s + step_s * np.arange(n_steps)


def read_out(
    kind: str, outputs: Array, weights: Mapping[str, Array], is_both: bool
) -> tuple[Array, Array | None]:
    """Return the input of the last layer, and the attention paid to each step if there is any.

    Parameters
    ----------
    kind : ``last``, ``mean``, ``attention``, or ``stream``, whose last layer is given every step
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
    probabilities: Array = powers / powers.sum(axis=axis, keepdims=True)
    return probabilities


def with_prefix(weights: Mapping[str, Array], prefix: str) -> dict[str, Array]:
    """Return the weights of one part of the network, by their names in it."""
    return {
        name.removeprefix(prefix): array
        for name, array in weights.items()
        if name.startswith(prefix)
    }


def _compare(classifier: Classifier, samples: Samples, probabilities: Array) -> None:
    """Refuse weights whose probabilities are not those of the exported model."""
    exported = classifier.probabilities(samples[None])[0]
    if difference := excess_difference(probabilities, exported):
        path = classifier.artifact.path
        raise ArtifactError(
            f"{path / WEIGHTS}: its probabilities differ from those of {ONNX} by {difference:.2g}:"
            " files of different models are mixed; copy the model again"
        )


def _moments_s(config: FeatureConfig) -> Array:
    """Return the times at which clips are revealed or silenced, both ends among them."""
    duration_s = config.n_samples / config.sample_rate
    n_steps = min(max(1, round(duration_s / _STEP_S)), _MAX_MOMENTS)
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


def _posteriors(answer: Answer, windows: Iterator[Samples], classifier: Classifier) -> Array:
    """Return the probabilities (n_windows, n_labels), a batch of the classifier's at a time."""
    rows = []
    while batch := list(itertools.islice(windows, classifier.batch_size)):
        rows.append(answer(np.stack(batch)))
    return np.concatenate(rows)


@torch.no_grad()
def _torch_probabilities(recogniser: Recogniser, temperature: float, windows: Array) -> Array:
    """Return the probabilities (n_windows, n_labels) of a recogniser that has no graph."""
    probabilities = recogniser(torch.from_numpy(windows)).softmax(dim=-1).numpy()
    return apply_temperature(probabilities, temperature)
