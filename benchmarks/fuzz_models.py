"""Models for ``fuzz_artifact``, and what is done to them."""

import json
import random
import shutil
import struct
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from speechcls.artifact.format import MANIFEST, ONNX, STREAM, WEIGHTS, Artifact
from speechcls.artifact.store import save_artifact
from speechcls.config import FeatureConfig, NetworkConfig

ROOT = Path(__file__).parents[1]
SEEDS = ("tests/compat/format-2", "tests/compat/format-2-stream", "tests/compat/format-1")
Model = dict[str, bytes]
"""Content of each file by its name."""
HUGE = (0, -1, 1, 2, 3, 255, 65_536, 2**31 - 1, 2**31, 2**62, 2**63 - 1, -(2**63), 10**9)


def make_seeds() -> tuple[Model, ...]:
    """Return the models that are mutated: of both kinds of streams, old ones, one with a loop."""
    from speechcls.export.onnx import export_onnx, export_stream
    from speechcls.networks.recogniser import build_recogniser

    seeds = [read_model(ROOT / name) for name in SEEDS]
    features = FeatureConfig(sample_rate=8_000, duration_s=0.4, fmax=3_800, kind="log-mel")
    network = NetworkConfig(arch="lstmp", hidden_size=8, num_layers=1)
    labels = ["high", "low"]
    with tempfile.TemporaryDirectory() as folder:
        artifact = Artifact(
            Path(folder, "model"), features, network, ("high", "low"), ("high", "low")
        )
        recogniser = build_recogniser(features, network, range(2), seed=0).eval()
        weights = {name: value.numpy() for name, value in recogniser.state_dict().items()}
        graph, stream = export_onnx(recogniser, labels), export_stream(recogniser, labels)
        save_artifact(artifact, weights, graph, {}, [], stream=stream)
        seeds.append(read_model(artifact.path))
    return tuple(seeds)


def read_model(folder: Path) -> Model:
    """Return the files of a model."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


_BROKEN = (struct.error, StopIteration)
"""What changes also raise where the one before left too little of a file."""


def mutate(number: int, seeds: tuple[Model, ...], place: Path) -> str:
    """Write input ``number`` to a folder; return what was done."""
    rng = random.Random(number)
    model = dict(rng.choice(seeds))
    if rng.random() < 0.9:  # else nearly all are refused by their hashes
        model.pop(MANIFEST, None)
    history = []
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        change = rng.choice(CHANGES)
        try:
            history.append(f"{change.__name__}: {change(rng, model, seeds)}")
        except (ValueError, LookupError, TypeError, RecursionError, *_BROKEN) as error:
            # What the change before did to it.
            history.append(f"{change.__name__}: not possible ({type(error).__name__})")
        except Exception as error:  # of protobuf
            if "google" not in type(error).__module__:
                raise
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    for name, content in model.items():
        if content == b"FOLDER":
            (place / name).mkdir()
        elif content == b"LINK":
            (place / name).symlink_to(name)
        else:
            (place / name).write_bytes(content)
    return "; ".join(history)


def change_bytes(rng: random.Random, model: Model, seeds: tuple[Model, ...]) -> str:
    """Change, insert, remove or repeat bytes."""
    name = rng.choice([n for n in model if n != "expected.json"])
    content = bytearray(model[name])
    for _ in range(rng.choice((1, 1, 4, 32))):
        at = rng.randrange(len(content) + 1)
        kind, n = rng.randrange(5), rng.choice((1, 1, 2, 8, 100))
        if kind == 0:
            content[at : at + 1] = bytes([rng.randrange(256)])
        elif kind == 1:
            content[at:at] = rng.randbytes(n)
        elif kind == 2:
            del content[at : at + n]
        elif kind == 3:
            content[at:at] = content[at : at + n]
        else:
            content[at : at + n] = bytes([rng.choice((0, 255, 128, 127))]) * n
    model[name] = bytes(content)
    return name


def cut(rng: random.Random, model: Model, seeds: tuple[Model, ...]) -> str:
    """Cut a file, or replace it by nothing, a folder or a link to itself."""
    name = rng.choice(list(model))
    kind = rng.randrange(5)
    if kind == 0:
        del model[name]
    elif kind == 1:
        model[name] = rng.choice((b"", b"FOLDER", b"LINK", bytes(range(256)), b"[" * 100_000))
    else:
        model[name] = model[name][: rng.randrange(len(model[name]) + 1)]
    return name


def swap(rng: random.Random, model: Model, seeds: tuple[Model, ...]) -> str:
    """Put a file of another model, or another file of this one, in its place."""
    name, other = rng.choice(list(model)), rng.choice(seeds)
    source = name if rng.random() < 0.7 and name in other else rng.choice(list(other))
    model[name] = other[source]
    return f"{name} by {source}"


def change_json(rng: random.Random, model: Model, seeds: tuple[Model, ...]) -> str:
    """Change a value of JSON, wherever it is."""
    name = rng.choice([n for n in model if n.endswith(".json") and n != "expected.json"])
    content = json.loads(model[name])
    place: Any = content
    path = []
    while isinstance(place, dict | list) and place:
        key = rng.choice(list(place)) if isinstance(place, dict) else rng.randrange(len(place))
        path.append(key)
        if not isinstance(place[key], dict | list) or rng.random() < 0.2:
            break
        place = place[key]
    kind = rng.randrange(8)
    if kind == 0:
        del place[path[-1]]
    elif kind == 1 and isinstance(place, dict):
        place[rng.choice(("colour", "", "é\ud800"))] = 1
    else:
        place[path[-1]] = hostile_value(rng)
    text = json.dumps(content)
    if rng.random() < 0.05:
        text = text.replace(":", ": " + "[" * 50_000, 1)
    model[name] = text.encode("utf-8", "surrogatepass")
    return f"{name} {path}"


def hostile_value(rng: random.Random) -> Any:
    """Return a value that no setting should have."""
    deep: Any = []
    for _ in range(500):
        deep = [deep]
    values = [
        None,
        True,
        "",
        "x" * 20_000,
        "a\tb\n\x1b",
        "\ud800",
        [],
        {},
        [1],
        deep,
        1e308,
        -1e308,
    ]
    values += [float("nan"), float("inf"), 1e-320, 10**400, 0.5, ["a", "a"], ["\0", "b"], {"a": 1}]
    return rng.choice([*values, *HUGE, *HUGE])


def change_weights(rng: random.Random, model: Model, seeds: tuple[Model, ...]) -> str:
    """Change the header of the safetensors, or their values."""
    content = model[WEIGHTS]
    length = struct.unpack("<Q", content[:8])[0]
    header, rest = json.loads(content[8 : 8 + length]), content[8 + length :]
    name = rng.choice([n for n in header if n != "__metadata__"])
    kind = rng.randrange(6)
    if kind == 0:
        header[name]["shape"] = [rng.choice(HUGE) for _ in range(rng.randrange(4))]
    elif kind == 1:
        header[name]["dtype"] = rng.choice(("F64", "BF16", "I8", "F8_E4M3", "X", 3, "BOOL"))
    elif kind == 2:
        header[name]["data_offsets"] = [rng.choice(HUGE), rng.choice(HUGE)]
    elif kind == 3:
        header[rng.choice(("", "x", "é"))] = header.pop(name)
    elif kind == 4:
        rest = np.full(len(rest) // 4, rng.choice((np.nan, np.inf, 1e38)), "<f4").tobytes()
    text = json.dumps(header).encode()
    n = len(text) if kind != 5 else abs(rng.choice(HUGE))
    model[WEIGHTS] = struct.pack("<Q", n) + text + rest
    return str(name)


def change_graph(rng: random.Random, model: Model, seeds: tuple[Model, ...]) -> str:
    """Change a graph, which stays one that can be read."""
    name = rng.choice([n for n in (ONNX, STREAM) if n in model])
    proto = onnx.load_from_string(model[name])
    change = rng.choice(GRAPH_CHANGES)
    what = change(rng, proto)
    model[name] = proto.SerializeToString()
    return f"{name} {change.__name__} {what}"


def change_operator(rng: random.Random, proto: Any) -> str:
    """Give a node another operator, other inputs, or another domain."""
    node, other = rng.choice(proto.graph.node), rng.choice(proto.graph.node)
    kind = rng.randrange(4)
    if kind == 0:
        node.op_type = rng.choice((other.op_type, "Exp", "Sqrt", "Neg", "Loop", "If", "NonZero"))
    elif kind == 1 and node.input:
        node.input[rng.randrange(len(node.input))] = rng.choice((*other.output, *other.input, ""))
    elif kind == 2:
        node.domain = rng.choice(("com.microsoft", "ai.onnx.ml", "x"))
    else:
        del node.output[1:]
        node.input.extend(other.output)
    return str(node.op_type)


def change_attribute(rng: random.Random, proto: Any) -> str:
    """Change an attribute."""
    node = rng.choice([n for n in proto.graph.node if n.attribute])
    attribute = rng.choice(node.attribute)
    if attribute.ints:
        attribute.ints[rng.randrange(len(attribute.ints))] = min(
            max(rng.choice(HUGE), -(2**63)), 2**63 - 1
        )
    elif attribute.type == 2:
        attribute.i = rng.choice(HUGE)
    elif attribute.type == 1:
        attribute.f = rng.choice((float("nan"), float("inf"), 1e38, 0.0))
    else:
        node.attribute.remove(attribute)
    return f"{node.op_type}.{attribute.name}"


def change_tensor(rng: random.Random, proto: Any) -> str:
    """Change the values or the shape of a tensor."""
    tensor = rng.choice(proto.graph.initializer)
    array = numpy_helper.to_array(tensor).copy()
    kind = rng.randrange(4)
    if kind == 0 and tensor.dims:
        tensor.dims[rng.randrange(len(tensor.dims))] = rng.choice(HUGE)
    elif kind == 1:
        tensor.data_type = rng.randrange(20)
    elif kind == 2:
        tensor.data_location = TensorProto.EXTERNAL
        entry = tensor.external_data.add()
        entry.key, entry.value = "location", rng.choice(("weights.safetensors", "/etc/passwd"))
    elif array.size:
        value = (
            rng.choice(HUGE) if array.dtype.kind == "i" else rng.choice((np.nan, 1e38, -1e30, 0))
        )
        flat = array.ravel()
        flat[:: rng.choice((1, 7, 10_000))] = value
        tensor.CopyFrom(numpy_helper.from_array(flat.reshape(array.shape), tensor.name))
    return str(tensor.name)


def insert_nodes(rng: random.Random, proto: Any) -> str:
    """Insert what takes memory or time, so that it runs or can be computed beforehand."""
    sizes = [rng.choice((1, 1_000, 20_000, 400_000_000, 2**40)) for _ in range(rng.choice((1, 2)))]
    shape = numpy_helper.from_array(np.array(sizes, np.int64), "fuzz_shape")
    proto.graph.initializer.append(shape)
    source = rng.choice(("fuzz_shape", proto.graph.initializer[0].name, "samples"))
    nodes = [
        helper.make_node("ConstantOfShape", ["fuzz_shape"], ["fuzz"]),
        helper.make_node("Expand", [source, "fuzz_shape"], ["fuzz"]),
        helper.make_node("Tile", [source, "fuzz_shape"], ["fuzz"]),
        helper.make_node("ConstantOfShape", [source], ["fuzz"]),
        loop(rng),
    ]
    node = rng.choice(nodes)
    proto.graph.node.insert(0, node)
    if rng.random() < 0.7:  # else it would be left out
        zero = numpy_helper.from_array(np.zeros((), np.float32), "fuzz_zero")
        proto.graph.initializer.append(zero)
        extra = [
            helper.make_node("Cast", ["fuzz"], ["fuzz_f"], to=1),
            helper.make_node("ReduceSum", ["fuzz_f"], ["fuzz_sum"], keepdims=0),
            helper.make_node("Mul", ["fuzz_sum", "fuzz_zero"], ["fuzz_nil"]),
        ]
        first = next(n for n in proto.graph.node if "samples" in n.input and n is not node)
        first.input[list(first.input).index("samples")] = "fuzz_samples"
        extra.append(helper.make_node("Add", ["samples", "fuzz_nil"], ["fuzz_samples"]))
        for i, each in enumerate(extra):
            proto.graph.node.insert(1 + i, each)
    return f"{node.op_type} {sizes}"


def loop(rng: random.Random) -> Any:
    """Return a loop of very many rounds."""
    value = helper.make_tensor_value_info
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["fuzz_go"], ["fuzz_on"]),
            helper.make_node("Add", ["fuzz_in", "fuzz_in"], ["fuzz_out"]),
        ],
        "body",
        [value("fuzz_i", 7, []), value("fuzz_go", 9, []), value("fuzz_in", 7, [2])],
        [value("fuzz_on", 9, []), value("fuzz_out", 7, [2])],
    )
    return helper.make_node("Loop", ["fuzz_shape", "", "fuzz_shape"], ["fuzz"], body=body)


def change_outside(rng: random.Random, proto: Any) -> str:
    """Change versions, metadata, inputs or outputs, or remove nodes."""
    kind = rng.randrange(6)
    if kind == 0:
        proto.opset_import[0].version = rng.choice((1, 7, 12, 13, 18, 22, 2**40))
    elif kind == 1:
        entry = rng.choice(proto.metadata_props)
        entry.value = rng.choice(("", "-5", "0", "1", "99999999999", "x", "a\nb", "160"))
    elif kind == 2:
        value = rng.choice([*proto.graph.input, *proto.graph.output])
        for dim in value.type.tensor_type.shape.dim:
            if rng.random() < 0.5:
                dim.dim_value = rng.choice((-1, 0, 1, 4, 100, 2**31, 2**40))
    elif kind == 3:
        rng.choice([*proto.graph.input, *proto.graph.output]).name = rng.choice(("x", "samples"))
    elif kind == 4:
        del proto.graph.node[rng.randrange(len(proto.graph.node))]
    else:
        last = proto.graph.output[0]
        proto.graph.node.append(
            helper.make_node(rng.choice(("Neg", "Log", "Exp")), [last.name], ["e"])
        )
        last.name = "e"
    return str(kind)


Change = Callable[[random.Random, Model, tuple[Model, ...]], str]
CHANGES: tuple[Change, ...] = (
    *(change_bytes, cut, swap, change_weights, change_json, change_json),
    *(change_graph, change_graph, change_graph),
)
GRAPH_CHANGES: tuple[Callable[[random.Random, Any], str], ...] = (
    *(change_operator, change_attribute, change_tensor, insert_nodes, change_outside),
)
