"""Graphs that no model of speechcls has are refused before ONNX Runtime sees them."""

import numpy as np
import onnx
import pytest
from common_graphs import SLICE, SOFTMAX, body, int64, make_graph, node
from onnx import TensorProto, helper, numpy_helper

from speechcls.errors import ArtifactError
from speechcls.runtime.cost import CheckedGraph, check_cost, check_operators
from speechcls.runtime.graph import GraphError, read_graph


def with_external_data(model):
    tensor = model.graph.initializer[0]
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "/etc/passwd"


def with_function(model):
    function = model.functions.add()
    function.name, function.domain = "f", "x"


def with_training(model):
    model.training_info.add()


def with_sparse(model):
    model.graph.sparse_initializer.add()


def with_domain(model):
    model.graph.node[0].domain = "com.microsoft"


def with_opset(model):
    model.opset_import[0].version = 22


def with_second_opset(model):
    model.opset_import.add().domain = "com.microsoft"


def with_nan(model):
    model.graph.initializer.append(numpy_helper.from_array(np.array([np.nan], np.float32), "x"))


def with_short_data(model):
    model.graph.initializer[0].dims[0] = 5


def with_negative_shape(model):
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = -1


def with_input_of_its_own_value(model):
    model.graph.initializer.append(numpy_helper.from_array(np.zeros((1, 2), np.float32), "samples"))


def with_two_values_of_an_attribute(model):
    attribute = helper.make_attribute("axis", 1)
    attribute.ints.append(1)
    model.graph.node[1].attribute.append(attribute)


def with_ir_version(model):
    model.ir_version = 99


def with_metadata_twice(model):
    model.metadata_props.append(model.metadata_props[0])


def with_a_tensor_twice(model):
    model.graph.initializer.append(model.graph.initializer[0])


def with_an_attribute_twice(model):
    for value in (0, 1):
        model.graph.node[1].attribute.append(helper.make_attribute("axis", value))


def with_a_tensor_of_strings(model):
    tensor = numpy_helper.from_array(np.array([b"x"], object), "text")
    model.graph.initializer.append(tensor)


def with_nine_dimensions(model):
    tensor = numpy_helper.from_array(np.ones((1,) * 9, np.float32), "deep")
    model.graph.initializer.append(tensor)


def with_an_attribute_of_another_type(model):
    model.graph.node[1].attribute.append(helper.make_attribute("axis", [0.5, 1.5]))


def with_a_huge_output(model):
    """ONNX Runtime takes 2 GB for it, though the output is small; ``fuzz_artifact`` found it."""
    model.graph.output[0].type.tensor_type.shape.dim[0].dim_value = 2**31


def with_a_huge_value_inside(model):
    value = helper.make_tensor_value_info("two", TensorProto.FLOAT, [1, 2**31])
    model.graph.value_info.append(value)


def with_graphs_within_graphs(model):
    inner = body()
    for _ in range(9):
        inner = body(node("Loop", "n go in", "out_in", body=inner))
    model.graph.node.append(node("Loop", "n yes samples", "x", body=inner))


SPOILT = [
    *(with_ir_version, with_metadata_twice, with_a_tensor_twice, with_an_attribute_twice),
    *(with_a_tensor_of_strings, with_nine_dimensions, with_an_attribute_of_another_type),
    *(with_graphs_within_graphs, with_a_huge_output, with_a_huge_value_inside),
    *(with_external_data, with_function, with_training, with_sparse, with_domain, with_opset),
    *(with_second_opset, with_nan, with_short_data, with_negative_shape),
    *(with_input_of_its_own_value, with_two_values_of_an_attribute),
]


@pytest.mark.parametrize("spoil", SPOILT, ids=lambda spoil: spoil.__name__)
def test_what_no_model_of_speechcls_has_is_refused(spoil):
    model = onnx.load_from_string(make_graph(SOFTMAX, SLICE))
    read_graph(model.SerializeToString())
    spoil(model)
    with pytest.raises(GraphError):
        read_graph(model.SerializeToString())


@pytest.mark.parametrize(
    "nodes",
    [
        [node("NonZero", "samples", "x")],
        [node("Scan", "samples", "x", num_scan_inputs=1, body=body())],
        [node("If", "yes", "x", then_branch=body(), else_branch=body(node("Exp", "q", "r")))],
        [node("Softmax", "samples", "x", body=body())],
        [node("Loop", "n yes samples", "x")],
    ],
    ids=["NonZero", "Scan", "If with more", "graph in Softmax", "Loop without"],
)
def test_other_operators_are_refused(nodes):
    graph = read_graph(make_graph([*nodes, *SOFTMAX], SLICE))
    with pytest.raises(GraphError):
        check_operators(graph)


def test_the_format_of_onnx_runtime_is_refused():
    model = onnx.load_from_string(make_graph(SOFTMAX, SLICE))
    model.producer_name = "ORTM"  # so that bytes 4 to 8 are the mark of that format
    content = model.SerializeToString()
    assert content[4:8] == b"ORTM"
    with pytest.raises(GraphError, match="not ONNX"):
        read_graph(content)


@pytest.mark.parametrize("n_bytes", [0, 1, 40, 200])
def test_a_graph_that_is_cut_off_is_refused(n_bytes):
    with pytest.raises(GraphError):
        read_graph(make_graph(SOFTMAX, SLICE)[:n_bytes])


def with_inputs(*inputs):
    """A graph with further inputs, of a name and a shape."""
    model = onnx.load_from_string(make_graph(SOFTMAX, SLICE))
    for name, shape, kind in inputs:
        model.graph.input.append(helper.make_tensor_value_info(name, kind, shape))
    return CheckedGraph("model.onnx", model.SerializeToString())


def test_states_are_inputs_of_a_stated_shape():
    assert with_inputs(("h", (1, 2), 1)).states == {"h": (1, 2)}
    for inputs, said in (
        ([("h", (1, "n"), 1)], "states without a shape"),
        ([("h", (1, 2), 7)], "other inputs"),
        ([("h", (1, 2), 1), ("h", (1, 2), 1)], "inputs of the same name"),
    ):
        with pytest.raises(ArtifactError, match=said):
            with_inputs(*inputs)


def test_states_may_be_of_several_streams():
    model = onnx.load_from_string(make_graph(SOFTMAX, SLICE))
    batch = model.graph.input[0].type.tensor_type.shape.dim[0].dim_param
    graph = with_inputs(("h", (1, batch, 3), 1), ("tail", (batch, 2), 1))
    assert graph.states == {"h": (1, 1, 3), "tail": (1, 2)}
    assert graph.batch_axes == {"h": 1, "tail": 0}
    assert graph.state_shapes(5) == {"h": (1, 5, 3), "tail": (5, 2)}
    assert with_inputs(("h", (1, 2), 1)).batch_axes == {}
    for other in ((batch, batch), (batch, "n"), (1, 2)):
        with pytest.raises(ArtifactError, match="states without a shape"):
            with_inputs(("h", (batch, 3), 1), ("g", other, 1))


UNFIT = {
    "an axis twice": ([node("Unsqueeze", "samples twice", "x")], [("twice", int64(0, -4))]),
    "an axis beyond": ([node("ReduceSum", "samples beyond", "x")], [("beyond", int64(2))]),
    "fewer pads": ([node("Pad", "samples twice", "x")], [("twice", int64(1, 1))]),
    "a step of zero": (
        [node("Slice", "samples start end axes zero", "x")],
        [*SLICE, ("zero", int64(0))],
    ),
    "a range without a step": (
        [node("Range", "a b a", "x")],
        [("a", np.array(0)), ("b", np.array(9))],
    ),
    "a division by zero": ([node("Div", "a a", "x")], [("a", int64(0))]),
    "nothing of that name": ([node("Relu", "nothing", "x")], []),
    "no axis at all": ([node("Gather", "samples twice", "x", axis=7)], [("twice", int64(0))]),
    "a product of vectors": (
        [node("MatMul", "samples w", "x")],
        [("w", np.ones(8, np.float32))],
    ),
    "automatic padding": (
        [node("Unsqueeze", "samples one", "a"), node("Conv", "a w", "x", auto_pad="SAME_UPPER")],
        [("one", int64(1)), ("w", np.ones((1, 1, 3), np.float32))],
    ),
    "a kernel of another rank": (
        [node("Unsqueeze", "samples one", "a"), node("MaxPool", "a", "x", kernel_shape=[2, 2])],
        [("one", int64(1))],
    ),
    "a reshape that allows zeros": (
        [node("Reshape", "samples shape", "x", allowzero=1)],
        [("shape", int64(0, 8))],
    ),
    "a recurrence with batches first": (
        [node("GRU", "a w r", "x", layout=1), node("Unsqueeze", "samples one", "a")][::-1],
        [
            ("one", int64(0)),
            ("w", np.ones((1, 6, 8), np.float32)),
            ("r", np.ones((1, 6, 2), np.float32)),
        ],
    ),
    "other shapes": ([node("Add", "samples w", "x")], [("w", np.ones((3, 3), np.float32))]),
}


@pytest.mark.parametrize(("nodes", "tensors"), UNFIT.values(), ids=UNFIT)
def test_operators_that_do_not_fit_each_other_are_refused(nodes, tensors):
    graph = read_graph(make_graph([*nodes, node("Softmax", "x", "out")], tensors))
    check_operators(graph)
    with pytest.raises(GraphError):
        check_cost(graph, {"samples": (1, 8)})
