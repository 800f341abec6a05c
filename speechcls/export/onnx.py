"""A trained recogniser as ``model.onnx``: samples in, probabilities out, no torch needed."""

import io
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import torch
from torch import Tensor, nn

from speechcls.artifact.format import ONNX, STREAM
from speechcls.errors import ArtifactError
from speechcls.export.modules import ProbabilityModule, excess_difference, exportable
from speechcls.export.streaming import CausalStreamingModule, SlidingWindowModule
from speechcls.networks.recogniser import Recogniser
from speechcls.runtime.session import describe_graph, open_session

OPSET = 17


def export_onnx(recogniser: Recogniser, labels: list[str]) -> bytes:
    """Return the ONNX graph of a recogniser, after comparing it with torch.

    Its input ``samples`` is (batch, n_samples) float32 in [-1, 1], batch and length dynamic; its
    output ``probabilities`` is (batch, n_labels) float32. Labels and sample rate stand in its
    metadata.

    Raises
    ------
    ArtifactError
        When ONNX Runtime's probabilities differ from torch's by more than ``modules.TOLERANCE``.
    """
    config = recogniser.features.config
    generator = torch.Generator().manual_seed(0)
    samples = 0.1 * torch.randn(3, config.n_samples, generator=generator)
    samples[2] = 0.0  # digital silence, the extreme that every set of recordings holds
    with torch.no_grad():
        expected = ProbabilityModule(recogniser.to("cpu").eval())(samples).numpy()
    model = ProbabilityModule(exportable(recogniser)).eval()
    dynamic = {"samples": {0: "batch", 1: "n_samples"}, "probabilities": {0: "batch"}}
    content = _trace(model, (samples[:2],), ["samples"], ["probabilities"], dynamic)
    content = _finish(content, describe_graph(labels, config.sample_rate))
    probabilities = open_session(content).run(None, {"samples": samples.numpy()})[0]
    _compare(ONNX, probabilities, expected)
    return content


def export_stream(recogniser: Recogniser, labels: list[str]) -> bytes:
    """Return the ONNX graph that takes a stream block by block, compared with torch.

    Inputs are ``samples``, and states, all zeros at the start of the stream; outputs are
    ``probabilities`` and, with ``_next`` appended to their names, the states to pass with the next
    samples. A streaming network takes a block of each of any number of streams (batch, n_samples),
    whose length is a multiple of ``step`` in the metadata; it gives probabilities of each step,
    stream after stream (batch * n_steps, n_labels), and the axis ``batch`` of each state is that of
    the streams. Any other one takes successive blocks of one stream (n_blocks, n_samples), and
    gives those of the window that ends with each (n_blocks, n_labels).

    Raises
    ------
    ArtifactError
        When ONNX Runtime's probabilities differ from torch's by more than ``modules.TOLERANCE``.
    """
    is_streaming = recogniser.network.is_streaming
    kind = CausalStreamingModule if is_streaming else SlidingWindowModule
    model, own = kind(exportable(recogniser)).eval(), kind(recogniser.to("cpu").eval())
    generator = torch.Generator().manual_seed(0)
    blocks = 0.1 * torch.randn(4, 3, 3 * model.n_samples, generator=generator)
    blocks[2] = 0.0
    states = model.states(2)
    axes = {"samples": {0: "batch" if is_streaming else "n_blocks", 1: "n"}}
    axes |= {name: {axis: "batch"} for name, axis in _batch_axes(model).items()}
    names = ["probabilities", *(f"{name}_next" for name in states)]
    with torch.no_grad():
        content = _trace(
            model, (blocks[0, :2], *states.values()), ["samples", *states], names, axes
        )
    about = describe_graph(labels, recogniser.features.config.sample_rate)
    content = _finish(content, about | {"step": str(model.n_samples)})
    session = open_session(content)
    for some in (blocks, blocks[:, :1]):  # other numbers than the one that was traced
        with torch.no_grad():
            expected = run_blocks(own, some)
        arrays = {name: state.numpy() for name, state in model.states(some.shape[1]).items()}
        rows = []
        for block in some:
            probabilities, *after = session.run(None, {"samples": block.numpy()} | arrays)
            rows.append(probabilities)
            arrays = dict(zip(arrays, after, strict=True))
        _compare(STREAM, np.concatenate(rows), expected.numpy())
    return content


def _batch_axes(model: CausalStreamingModule | SlidingWindowModule) -> dict[str, int]:
    """Return which axis of each state is of the streams; empty where a run takes only one."""
    one, two = model.states(1), model.states(2)
    return {
        name: axis
        for name, state in one.items()
        for axis, (n, m) in enumerate(zip(state.shape, two[name].shape, strict=True))
        if n != m
    }


def run_blocks(model: CausalStreamingModule | SlidingWindowModule, blocks: Tensor) -> Tensor:
    """Return the probabilities (n_rows, n_labels) of what a model takes one after the other.

    Parameters
    ----------
    blocks : (n_runs, n_blocks, n_samples)
    """
    states: Sequence[Tensor] = list(model.states(blocks.shape[1]).values())
    rows = []
    for block in blocks:
        probabilities, *states = model(block, *states)
        rows.append(probabilities)
    return torch.cat(rows)


def _trace(
    model: nn.Module,
    inputs: tuple[Tensor, ...],
    input_names: list[str],
    output_names: list[str],
    dynamic: dict[str, dict[int, str]],
) -> bytes:
    """Return the graph of a module, with axes ``dynamic`` by name of input or output and number."""
    buffer = io.BytesIO()
    with warnings.catch_warnings(), torch.no_grad():
        # The exporter by tracing is the one that keeps batch and length dynamic for recurrent
        # layers; it calls itself deprecated and warns of the batch size, which is tested.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            model,
            inputs,
            buffer,  # type: ignore[arg-type]  # the exporter by tracing takes a stream
            dynamo=False,
            opset_version=OPSET,
            input_names=input_names,
            output_names=output_names,
            dynamic_axes=dynamic,
        )
    return buffer.getvalue()


def _finish(content: bytes, about: dict[str, str]) -> bytes:
    """Return a simplified graph, with ``about`` as its metadata."""
    graph = _simplify(content)
    for key, value in about.items():
        entry = graph.metadata_props.add()
        entry.key, entry.value = key, value
    finished: bytes = graph.SerializeToString()
    return finished


def _compare(
    name: str, probabilities: npt.NDArray[np.float32], expected: npt.NDArray[np.float32]
) -> None:
    if difference := excess_difference(probabilities, expected):
        raise ArtifactError(f"{name} differs from torch by {difference:.2g}; please report this")


def _simplify(content: bytes) -> onnx.ModelProto:
    """Return a graph without what can be computed once, in operators that every engine has.

    Half of the time that a graph takes to load goes into this; here it is done for all.
    """
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    try:
        with tempfile.TemporaryDirectory() as folder:
            options.optimized_model_filepath = str(Path(folder, "simple.onnx"))
            onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
            graph = onnx.load(options.optimized_model_filepath)
    except Exception as error:  # a full disk, of which ONNX Runtime says something of its own
        if not isinstance(error, OSError) and not type(error).__module__.startswith("onnxruntime"):
            raise
        return onnx.load_from_string(content)
    # ONNX Runtime names every set of operators that it knows, not only those in the graph.
    used = [entry for entry in graph.opset_import if not entry.domain]
    del graph.opset_import[:]
    graph.opset_import.extend(used)
    return graph
