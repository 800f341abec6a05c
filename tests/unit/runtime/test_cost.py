"""Graphs are read, and their cost is known, before ONNX Runtime sees them."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from common import refusal
from common_graphs import SLICE, SOFTMAX, body, int64, make_graph, node
from onnx import helper, numpy_helper

from speechcls.errors import ArtifactError
from speechcls.runtime import cost
from speechcls.runtime.cost import check_cost
from speechcls.runtime.graph import GraphError, read_graph
from speechcls.runtime.session import open_session

ROOT = Path(__file__).parents[3]
GRAPHS = sorted([*ROOT.glob("models/*/*.onnx"), *ROOT.glob("tests/compat/*/*.onnx")])
NAMES = [f"{path.parent.name}-{path.stem}" for path in GRAPHS]


@pytest.mark.parametrize("path", GRAPHS, ids=NAMES)
def test_a_graph_is_read_as_onnx_reads_it(path):
    content = path.read_bytes()
    graph, proto = read_graph(content), onnx.load_from_string(content)
    assert [each.op for each in graph.nodes] == [each.op_type for each in proto.graph.node]
    for mine, theirs in zip(graph.nodes, proto.graph.node, strict=True):
        assert (mine.inputs, mine.outputs) == (tuple(theirs.input), tuple(theirs.output))
        for attribute in theirs.attribute:
            value = helper.get_attribute_value(attribute)
            if attribute.type in (1, 2, 7):
                found = mine.attributes[attribute.name]
                assert found == (tuple(value) if attribute.type == 7 else value)
    assert {*graph.tensors} == {tensor.name for tensor in proto.graph.initializer}
    for tensor in proto.graph.initializer:
        np.testing.assert_array_equal(graph.tensors[tensor.name], numpy_helper.to_array(tensor))
    assert dict(graph.metadata) == {each.key: each.value for each in proto.metadata_props}


@pytest.mark.parametrize("path", GRAPHS, ids=NAMES)
def test_shapes_are_those_of_a_run(path):
    """Of one step or clip and of three; graphs of all networks are in tests/unit/networks.

    Where a graph takes several streams at once, of as many as steps.
    """
    graph = read_graph(path.read_bytes())
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(
        str(path), options, providers=["CPUExecutionProvider"], enable_fallback=0
    )
    rate = int(graph.metadata["sample_rate"])
    for n in (1, 3):
        states = {value.name: value.shape for value in graph.inputs[1:]}
        takes_many = any(isinstance(size, str) for size in sum(states.values(), ()))
        shape = (n if takes_many else 1, n * graph.step) if graph.step else (n, rate)
        shapes = {"samples": shape} | {
            name: tuple(n if isinstance(size, str) else size for size in each)
            for name, each in states.items()
        }
        outputs = session.run(None, {k: np.zeros(v, np.float32) for k, v in shapes.items()})
        assert check_cost(graph, shapes) == [output.shape for output in outputs]


def test_memory_and_work_are_those_computed_by_hand(monkeypatch):
    """(2, 8) samples times (8, 4), twice: 16 + 8 values; the first product is freed at the end."""
    nodes = [
        node("MatMul", "samples w", "a"),  # 2 * 4 * 8 = 64 multiply-adds
        node("MatMul", "a v", "b"),  # 2 * 2 * 4 = 16
        node("Softmax", "b", "out"),  # reads and writes 4 values: 4 * 8 = 32
    ]
    tensors = [("w", np.ones((8, 4), np.float32)), ("v", np.ones((4, 2), np.float32))]
    graph = read_graph(make_graph(nodes, tensors))
    made = []

    class Kept(cost.Cost):
        def __init__(self, n_values):
            super().__init__(n_values)
            made.append(self)

    monkeypatch.setattr(cost, "Cost", Kept)
    assert check_cost(graph, {"samples": (2, 8)}) == [(2, 2)]
    # In all 16 go in, 8 are made, then 4 while the 8 are there: 28; with those of Softmax it is 24.
    assert (made[0].n_values, made[0].work) == (28, 3_000 + 64 + 16 + 32)


BOMBS = {
    "1.6 GB at once": (
        [node("ConstantOfShape", "size", "big"), node("ReduceSum", "big", "sum", keepdims=0)],
        [("size", int64(400_000_000))],
    ),
    "a product of sizes in the graph": (
        [
            node("Shape", "samples", "n"),
            node("Mul", "n much", "size"),
            node("ConstantOfShape", "size", "big"),
            node("ReduceSum", "big", "sum", keepdims=0),
        ],
        [("much", int64(100_000, 100_000))],
    ),
    "tiles": (
        [node("Tile", "samples size", "big"), node("ReduceSum", "big", "sum", keepdims=0)],
        [("size", int64(50_000, 50_000))],
    ),
    "a loop of 2^62": (
        [
            node("ReduceSum", "samples", "start", keepdims=1),
            node(
                "Loop",
                "rounds yes start",
                "sum",
                body=body(node("Add", "in in", "out_in"), shape=(1, 1)),
            ),
        ],
        [("rounds", np.array(2**62)), ("yes", np.array(True))],
    ),
    "a loop of as many rounds as the samples say": (
        [
            node("ReduceMax", "samples", "most", keepdims=0),
            node("Cast", "most", "rounds", to=7),
            node("ReduceSum", "samples", "start", keepdims=1),
            node(
                "Loop",
                "rounds yes start",
                "sum",
                body=body(node("Add", "in in", "out_in"), shape=(1, 1)),
            ),
        ],
        [("yes", np.array(True))],
    ),
    "a loop without end": (
        [
            node("ReduceSum", "samples", "start", keepdims=1),
            helper.make_node(
                "Loop",
                ["", "yes", "start"],
                ["sum"],
                body=body(node("Add", "in in", "out_in"), shape=(1, 1)),
            ),
        ],
        [("yes", np.array(True))],
    ),
    "a loop whose value grows": (
        [
            node("ReduceSum", "samples", "start", keepdims=1),
            node(
                "Loop",
                "rounds yes start",
                "grown",
                body=body(node("Concat", "in in", "out_in", axis=0), shape=(None, 1)),
            ),
            node("ReduceSum", "grown", "sum", keepdims=0),
        ],
        [("rounds", np.array(40)), ("yes", np.array(True))],
    ),
    "a size that depends on the samples": (
        [
            node("ReduceMax", "samples", "most", keepdims=0),
            node("Cast", "most", "n", to=7),
            node("Reshape", "n one", "size"),
            node("ConstantOfShape", "size", "big"),
            node("ReduceSum", "big", "sum", keepdims=0),
        ],
        [("one", int64(1))],
    ),
}


@pytest.mark.parametrize(("nodes", "tensors"), BOMBS.values(), ids=BOMBS)
def test_what_would_take_too_much_is_refused_before_it_is_opened(nodes, tensors, monkeypatch):
    """ONNX Runtime computes constants while it opens a graph: it must not see this one."""
    monkeypatch.setattr("onnxruntime.InferenceSession", lambda *args, **rest: 1 / 0)
    tail = [node("Add", "samples sum", "more"), node("Slice", "more start_ end axes", "two")]
    tail.append(node("Softmax", "two", "out"))
    slices = [("start_", int64(0)), *SLICE[1:]]
    content = make_graph([*nodes, *tail], [*tensors, *slices])
    message = refusal(ArtifactError, open_session, content)
    assert message.startswith("model.onnx: not run (")
    assert message.endswith("; copy the model again")


def test_what_fits_runs_and_is_checked_again_for_each_size():
    tensors = [*SLICE, ("much", int64(1))]
    session = open_session(make_graph(SOFTMAX, tensors))
    [rows] = session.run(None, {"samples": np.zeros((3, 8), np.float32)})
    np.testing.assert_array_equal(rows, np.full((3, 2), 0.5))
    nodes = [  # of the square of the batch, which no check of a single clip tells
        node("Shape", "samples", "shape"),
        node("Slice", "shape start end_ zero", "batch"),
        node("Mul", "batch batch", "squared"),
        node("Mul", "squared million", "size"),
        node("ConstantOfShape", "size", "big"),
        node("ReduceSum", "big", "sum", keepdims=0),
        node("Add", "samples sum", "more"),
        node("Slice", "more start end axes", "two"),
        node("Softmax", "two", "out"),
    ]
    tensors += [("end_", int64(1)), ("zero", int64(0)), ("million", int64(10**6))]
    session = open_session(make_graph(nodes, tensors))
    assert session.run(None, {"samples": np.zeros((2, 8), np.float32)})[0].shape == (2, 2)
    message = refusal(ArtifactError, session.run, None, {"samples": np.zeros((8, 8), np.float32)})
    assert message.startswith("model.onnx: not run (needs 256 MB for one run, above the limit)")


def test_a_message_is_not_taken_for_another_one():
    """What our reader and that of ONNX Runtime could read differently is refused."""
    content = make_graph(SOFTMAX, SLICE)
    for spoilt in (
        content + content,  # protobuf would merge the two graphs
        content + b"\x08\x08",  # the version twice
        content[:4] + b"ORTM" + content[8:],  # ONNX Runtime's own format
        content + b"\x3a",  # cut off
        content + b"\xff" * 11,
        b"",
    ):
        with pytest.raises(GraphError):
            read_graph(spoilt)
    assert read_graph(content).step == 0


@pytest.mark.parametrize(
    ("op", "said"),
    [("Identity", "below 0"), ("Log", "not finite"), ("Relu", "a sum other than 1")],
)
def test_outputs_that_are_no_probabilities_are_never_an_answer(op, said):
    nodes = [node("Slice", "samples start end axes", "two"), node(op, "two", "out")]
    session = open_session(make_graph(nodes, SLICE))
    rows = {"Identity": (-1.0, 2.0), "Log": (1.0, -1.0), "Relu": (0.7, 0.7)}[op]
    samples = np.zeros((1, 8), np.float32)
    samples[0, :2] = rows
    message = refusal(ArtifactError, session.run, None, {"samples": samples})
    assert message.startswith("model.onnx: its outputs are no probabilities (")
    assert said in message
    if op == "Relu":
        samples[0, :2] = 0.5
        assert session.run(None, {"samples": samples})[0].tolist() == [[0.5, 0.5]]


def test_nothing_is_printed_into_the_data(capfd):
    """ONNX Runtime printed "EP Error" on stdout for a graph that it cannot open."""
    nodes = [node("Slice", "samples start end axes", "two"), node("Softmax", "two", "out", axis=9)]
    refusal(ArtifactError, open_session, make_graph(nodes, SLICE))
    content = make_graph([node("Cast", "samples", "x", to=7), *SOFTMAX], SLICE)
    broken = content.replace(b"Softmax", b"Sigmoi\0")
    refusal(ArtifactError, open_session, broken)
    assert capfd.readouterr() == ("", "")
