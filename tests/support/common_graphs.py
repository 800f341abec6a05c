"""Small ONNX graphs, built node by node."""

import numpy as np
from onnx import TensorProto, helper, numpy_helper


def make_graph(nodes, tensors=(), outputs=(("out", [None, 2]),), version=17, **extra):
    """A graph of one second at 8 Hz, as bytes."""
    values = [numpy_helper.from_array(np.asarray(array), name) for name, array in tensors]
    graph = helper.make_graph(
        nodes,
        "made",
        [helper.make_tensor_value_info("samples", TensorProto.FLOAT, ["batch", "n"])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in outputs],
        values,
    )
    opsets = [helper.make_opsetid("", version)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8, **extra)
    helper.set_model_props(model, {"labels": "a\nb", "sample_rate": "8"})
    return model.SerializeToString()


def node(op, inputs, outputs, **attributes):
    return helper.make_node(op, inputs.split(), outputs.split(), **attributes)


def int64(*values):
    return np.array(values, np.int64)


SOFTMAX = [
    node("Slice", "samples start end axes", "two"),
    node("Softmax", "two", "out"),
]
SLICE = [("start", int64(0)), ("end", int64(2)), ("axes", int64(1))]


def body(*nodes, carried=("in", "out_in"), shape=(1,)):
    value = helper.make_tensor_value_info
    return helper.make_graph(
        [node("Identity", "go", "on"), *nodes],
        "body",
        [value("i", 7, []), value("go", 9, []), value(carried[0], 1, shape)],
        [value("on", 9, []), value(carried[1], 1, shape)],
    )
