"""The ONNX graphs of a model with weights, or products too, of 8 bits.

The features stay as they are: their transform has to tell bands apart that are 70 dB weaker than
others, for which 8 bits are too few. Dynamic quantisation of the whole graph, as tools do it by
default, took a model from 95.5 % to 44.8 %.
"""

import logging
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from speechcls.artifact.constants import round_rows
from speechcls.artifact.format import STREAM, Artifact
from speechcls.audio.samples import to_float
from speechcls.deployment.check import made_clips
from speechcls.deployment.graphs import stream_inputs
from speechcls.errors import ExportError

_STANDARDISED = "feature_std"
"""What the name of the tensor ends with that features are divided by: the network follows."""
_WEIGHTS = {
    "Conv": (1,),
    "MatMul": (1,),
    "Gemm": (1,),
    "GRU": (1, 2),
    "LSTM": (1, 2),
    "RNN": (1, 2),
}
"""Which inputs of an operator are weights."""
_CHANNEL_AXIS = {"Conv": 0, "MatMul": -1, "Gemm": 0}
"""Axis of a weight with a scale for each place; in recurrent operators it is 1, the gates' rows."""
_FLOAT = "_float"
"""What the name of a tensor that is float32 again ends with."""
_LEAST = 1_024
"""Values of a tensor that is worth rounding."""
_BATCH = 8
_N_CALIBRATION = 64
"""Made sounds by which the range of each tensor is found; recordings did no better."""


def rounded_weights(content: bytes) -> bytes:
    """Return a graph whose network has int8 weights, with a scale for each row.

    They become float32 again when the graph is run, or an engine multiplies them as they are.

    Raises
    ------
    ExportError
        When the graph has no network that can be told from its features.
    """
    import onnx
    from onnx import numpy_helper

    model = onnx.load_from_string(content)
    graph = model.graph
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    network = {node.output[0] for node in network_nodes(graph)}
    made: list[Any] = []
    for node in graph.node:
        for i in _WEIGHTS.get(node.op_type, ()) if node.output[0] in network else ():
            tensor = tensors.get(node.input[i])
            if tensor is not None:
                array = numpy_helper.to_array(tensor)
                if array.size >= _LEAST and array.dtype == np.float32:
                    axis = _CHANNEL_AXIS.get(node.op_type, 1) % array.ndim
                    made.append(_round_tensor(graph, tensor, array, axis))
                    del tensors[tensor.name]
    users = {node.output[0].removesuffix(_FLOAT): node.output[0] for node in made}
    others = list(graph.node)
    for node in others:
        for i, name in enumerate(node.input):
            node.input[i] = users.get(name, name)
    del graph.node[:]
    graph.node.extend([*made, *others])
    return bytes(model.SerializeToString())


def _round_tensor(graph: Any, tensor: Any, array: npt.NDArray[np.float32], axis: int) -> Any:
    """Replace a tensor of a graph by an int8 one; return the node that makes it float32 again."""
    from onnx import helper, numpy_helper

    rounded, scale = round_rows(array, axis)
    name = tensor.name
    parts: dict[str, npt.NDArray[Any]] = {"_int8": rounded, "_scale": scale}
    parts["_zero"] = np.zeros(len(scale), np.int8)
    graph.initializer.extend(
        numpy_helper.from_array(part, name=name + end) for end, part in parts.items()
    )
    graph.initializer.remove(tensor)
    inputs = [name + end for end in parts]
    return helper.make_node(
        "DequantizeLinear", inputs, [name + _FLOAT], name=f"{name}_dequantize", axis=axis
    )


def network_nodes(graph: Any) -> list[Any]:
    """Return the nodes behind the standardised features, in order.

    Raises
    ------
    ExportError
        When there are none.
    """
    reached, found = set[str](), []
    for node in graph.node:
        if any(name.endswith(_STANDARDISED) for name in node.input):
            reached.update(node.output)
        elif reached.intersection(node.input):
            found.append(node)
            reached.update(node.output)
    if not found:
        raise ExportError(
            "its graph does not show where the network begins, which alone may be rounded;"
            " train the model again with this speechcls"
        )
    return found


def rounded_products(artifact: Artifact, name: str, content: bytes) -> bytes:
    """Return a graph whose network multiplies integers of 8 bits, but for its recurrence.

    Parameters
    ----------
    name : of the graph, ``model.onnx`` or ``stream.onnx``

    Raises
    ------
    ExportError
        As ``rounded_weights``.
    """
    import onnx
    from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static

    model = onnx.load_from_string(content)
    wanted = {node.name for node in network_nodes(model.graph) if node.op_type in _CHANNEL_AXIS}

    class Reader(CalibrationDataReader):  # type: ignore[misc]  # it has no types
        def __init__(self) -> None:
            self._inputs = iter(_calibration(artifact, name, content))

        def get_next(self) -> dict[str, npt.NDArray[np.float32]] | None:
            return next(self._inputs, None)

    logger = logging.getLogger()
    level = logger.level
    logger.setLevel(logging.ERROR)  # it advises on what has been done here
    try:
        with tempfile.TemporaryDirectory() as folder:
            before, after = Path(folder, "before.onnx"), Path(folder, "after.onnx")
            before.write_bytes(content)
            quantize_static(
                before,
                after,
                Reader(),
                nodes_to_quantize=sorted(wanted),
                per_channel=True,
                weight_type=QuantType.QInt8,
                activation_type=QuantType.QUInt8,
            )
            return after.read_bytes()
    finally:
        logger.setLevel(level)


def _calibration(
    artifact: Artifact, name: str, content: bytes
) -> Iterable[dict[str, npt.NDArray[np.float32]]]:
    """Yield inputs of a graph: made sounds, or the runs of a stream of them with their states."""
    chosen = made_clips(artifact, _N_CALIBRATION, seed=1).windows
    if name == STREAM:
        yield from (inputs for inputs, _ in stream_inputs(artifact, content, chosen.reshape(-1)))
        return
    for i in range(0, len(chosen), _BATCH):
        yield {"samples": to_float(chosen[i : i + _BATCH])}
