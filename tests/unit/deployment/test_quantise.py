"""Weights of 8 bits: their values, which nodes have them, and that the features have none."""

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper, numpy_helper

from speechcls.artifact.constants import round_rows
from speechcls.artifact.store import load_artifact
from speechcls.deployment.graphs import model_graphs
from speechcls.deployment.quantise import network_nodes, rounded_weights
from speechcls.errors import ExportError


def test_each_row_has_a_scale_of_its_own():
    weights = np.array([[0.0, 1.27, -0.635], [0.0, 0.0, 0.0]], np.float32)
    rounded, scale = round_rows(weights, 0)
    np.testing.assert_allclose(scale, [0.01, 1.0], rtol=1e-6)
    assert rounded.tolist() == [[0, 127, -64], [0, 0, 0]]  # 63.5 to the even one


def test_the_axis_says_what_a_row_is():
    weights = np.array([[1.27, 0.0], [0.0, 2.54]], np.float32)[None]
    rounded, scale = round_rows(weights, 2)
    np.testing.assert_allclose(scale, [0.01, 0.02], rtol=1e-6)
    assert rounded.tolist() == [[[127, 0], [0, 127]]]


@pytest.fixture(scope="module")
def tiny():
    return model_graphs(load_artifact("commands-tiny"))["model.onnx"]


def test_only_what_follows_the_features_is_rounded(tiny):
    before, after = onnx.load_from_string(tiny), onnx.load_from_string(rounded_weights(tiny))
    kinds = {t.name: t.data_type for t in after.graph.initializer}
    rounded = {name for name, kind in kinds.items() if kind == onnx.TensorProto.INT8}
    made = {node.output[0] for node in after.graph.node if node.op_type == "DequantizeLinear"}
    assert len(made) == sum(name.endswith("_int8") for name in rounded) == 10
    features = [n for n in before.graph.node if n.output[0] not in _outputs(before)]
    assert {"Conv", "MatMul", "Log"} <= {node.op_type for node in features}
    same = {node.output[0]: list(node.input) for node in after.graph.node}
    assert all(same[node.output[0]] == list(node.input) for node in features)
    assert len(rounded_weights(tiny)) < 0.6 * len(tiny)


def _outputs(model):
    return {node.output[0] for node in network_nodes(model.graph)}


def test_the_rounded_graph_multiplies_by_the_rounded_weights():
    x = helper.make_tensor_value_info("x", 1, [1, 32])
    y = helper.make_tensor_value_info("y", 1, [1, 64])
    rng = np.random.default_rng(0)
    weights = rng.standard_normal((32, 64)).astype(np.float32)
    tensors = {"feature_std": np.full(32, 2.0, np.float32), "w": weights}
    nodes = [
        helper.make_node("Div", ["x", "feature_std"], ["z"], "div"),
        helper.make_node("MatMul", ["z", "w"], ["y"], "matmul"),
    ]
    initial = [numpy_helper.from_array(array, name) for name, array in tensors.items()]
    graph = helper.make_graph(nodes, "g", [x], [y], initial)
    opset = [helper.make_opsetid("", 17)]
    model = helper.make_model(graph, opset_imports=opset, ir_version=8)
    values = rng.standard_normal((1, 32)).astype(np.float32)
    options = onnxruntime.SessionOptions()  # which would otherwise round the products too
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(rounded_weights(model.SerializeToString()), options)
    found = session.run(None, {"x": values})[0]
    rounded, scale = round_rows(weights, 1)
    np.testing.assert_allclose(found, values / 2 @ (rounded * scale), rtol=1e-5, atol=1e-5)


def test_a_graph_whose_network_cannot_be_told_is_refused():
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", [], [])
    model = helper.make_model(graph)
    with pytest.raises(ExportError, match="where the network begins"):
        rounded_weights(model.SerializeToString())
