"""The ONNX graphs of a model, as they are: run by plain ONNX Runtime, as others will run them."""

from dataclasses import dataclass

import numpy as np
import onnxruntime

from speechcls.artifact.format import ONNX, STREAM, Artifact
from speechcls.artifact.manifest import read_file
from speechcls.audio.samples import PCM, to_float
from speechcls.config import DEFAULT_EVERY_S
from speechcls.deployment.check import (
    Agreement,
    Clips,
    check_agreement,
    compare,
    model_answers,
    model_stream,
)
from speechcls.errors import ArtifactError, reason_of
from speechcls.runtime.classifier import Classifier
from speechcls.runtime.session import Probabilities, apply_temperature, temperature_of

_BATCH = 8
_LONGEST_S = 1.0
"""Longest block of a causal network's stream."""


@dataclass(frozen=True)
class Stream:
    """How ``stream.onnx`` takes a stream."""

    block: int
    """Samples for each of its rows of probabilities."""
    n_blocks: int
    """Blocks in one run."""
    is_causal: bool

    @property
    def shape(self) -> tuple[int, int]:
        """Shape of ``samples`` in one run."""
        n = self.block * self.n_blocks
        return (1, n) if self.is_causal else (self.n_blocks, self.block)


def model_graphs(artifact: Artifact) -> dict[str, bytes]:
    """Return the graphs of a model by file name: that of windows and that of a stream.

    Raises
    ------
    ArtifactError
        When one is missing or damaged.
    """
    graphs = {}
    for name in (ONNX, STREAM):
        try:
            graphs[name] = read_file(artifact, name)
        except OSError as error:
            raise ArtifactError(
                f"{artifact.path / name}: {reason_of(error)}; train the model again"
            ) from error
    return graphs


def check_graphs(
    artifact: Artifact, graphs: dict[str, bytes], clips: Clips, is_rounded: bool = False
) -> dict[str, Agreement]:
    """Return how far each graph agrees with the model, in plain ONNX Runtime.

    Raises
    ------
    ExportError
        When one does not do what the model does.
    """
    temperature = temperature_of(artifact)
    classifier = Classifier(artifact, jobs=1)
    found = apply_temperature(run_clips(graphs[ONNX], clips.windows), temperature)
    checks = {ONNX: compare(found, model_answers(classifier, clips), clips.truth)}
    if STREAM in graphs:
        samples = clips.joined(artifact.features.sample_rate)
        rows = apply_temperature(run_stream(artifact, graphs[STREAM], samples), temperature)
        checks[STREAM] = compare(rows, model_stream(artifact, samples)[: len(rows)])
    for name, agreement in checks.items():
        check_agreement(name, agreement, is_rounded)
    return checks


def open_plain(content: bytes) -> onnxruntime.InferenceSession:
    """Return a session of ONNX Runtime with its defaults, but for one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def run_clips(content: bytes, windows: PCM) -> Probabilities:
    """Return what a graph of windows gives (n, n_labels) of ``windows`` (n, n_samples)."""
    session = open_plain(content)
    batches = range(0, len(windows), _BATCH)
    rows = [session.run(None, {"samples": to_float(windows[i : i + _BATCH])})[0] for i in batches]
    return np.concatenate(rows)


def stream_of(artifact: Artifact, content: bytes) -> Stream:
    """Return how a model's graph of a stream is fed; each tenth of a second if not causal."""
    metadata = open_plain(content).get_modelmeta().custom_metadata_map
    step, rate = int(metadata["step"]), artifact.features.sample_rate
    if artifact.network.is_streaming:
        return Stream(step, max(1, round(_LONGEST_S * rate / step)), True)
    return Stream(max(1, round(DEFAULT_EVERY_S * rate / step)) * step, 8, False)


def state_shapes(session: onnxruntime.InferenceSession) -> dict[str, list[int]]:
    """Return the shape of each state of one stream, by name."""
    return {
        value.name: [n if isinstance(n, int) else 1 for n in value.shape]
        for value in session.get_inputs()
        if value.name != "samples"
    }


def stream_inputs(
    artifact: Artifact, content: bytes, samples: PCM
) -> list[tuple[dict[str, np.ndarray], Probabilities]]:
    """Return inputs and probabilities of each run of a graph on a stream of ``samples`` (n,)."""
    session, stream = open_plain(content), stream_of(artifact, content)
    states = {
        name: np.zeros(shape, dtype=np.float32) for name, shape in state_shapes(session).items()
    }
    runs, n = [], stream.shape[0] * stream.shape[1]
    for start in range(0, len(samples) - n + 1, n):
        block = to_float(samples[start : start + n]).reshape(stream.shape)
        inputs = {"samples": block} | states
        probabilities, *after = session.run(None, inputs)
        runs.append((inputs, probabilities))
        states = dict(zip(states, after, strict=True))
    return runs


def run_stream(artifact: Artifact, content: bytes, samples: PCM) -> Probabilities:
    """Return what a graph of a stream gives (n_times, n_labels) of ``samples`` (n,)."""
    return np.concatenate([rows for _, rows in stream_inputs(artifact, content, samples)])
