"""A graph in a file of ONNX, read without ONNX Runtime, so that it can be checked before it runs.

Only what speechcls exports is read: whatever else the format allows is refused, such as data in
other files, functions, sparse tensors, and operators of other domains.
"""

import math
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

IR_VERSIONS, OPSETS = range(7, 11), range(13, 18)
"""Versions of format and operators; the rules of ``cost`` are those of these operators."""
_N_MAX = 100_000
"""Largest number of nodes, tensors and values of a graph together."""
_DEPTH_MAX = 3
_STATED_MAX = 2**25
"""Largest number of values of a stated shape: ONNX Runtime may allocate by it, whatever is true."""
_FLOAT, _INT64 = 1, 7
_TYPES: dict[int, np.dtype[Any]] = {
    _FLOAT: np.dtype("<f4"),
    6: np.dtype("<i4"),
    _INT64: np.dtype("<i8"),
    9: np.dtype("?"),
}
"""Types of tensors by their number in ONNX."""
_ATTRIBUTE = {1: "b", 2: "f", 3: "i", 4: "b", 5: "b", 6: "b", 8: "I", 9: "B", 13: "b", 20: "i"}
_FIELD_OF_KIND = {1: 2, 2: 3, 3: 4, 4: 5, 5: 6, 7: 8, 8: 9}
"""Field that holds an attribute's value, by the attribute's type."""
_WIRE = {"i": (0,), "I": (0, 2), "b": (2,), "B": (2,), "f": (5,)}
"""How each kind of field may be encoded."""

Content = bytes | memoryview
Fields = dict[int, list[Any]]


class GraphError(ValueError):
    """A graph is damaged, or holds what no model of speechcls has."""


class Value(NamedTuple):
    """An input or output of a graph."""

    name: str
    is_float: bool
    shape: tuple[int | str, ...]
    """Names stand for dimensions that are not fixed; empty where none is declared."""


@dataclass(frozen=True)
class Node:
    """An operator with its inputs and outputs by name; empty for one that is left out."""

    op: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]


@dataclass(frozen=True)
class Graph:
    """Nodes in the order in which they run."""

    nodes: tuple[Node, ...]
    tensors: Mapping[str, npt.NDArray[Any]]
    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]
    metadata: Mapping[str, str] = field(default_factory=dict)

    @property
    def step(self) -> int:
        """Samples in each step of a stream, by the metadata; 0 where that says none."""
        text = self.metadata.get("step", "")
        return int(text) if re.fullmatch("[0-9]{1,9}", text) else 0


def read_graph(content: bytes) -> Graph:
    """Return the graph of a file of ONNX.

    Raises
    ------
    GraphError
        When it is damaged, or holds what no model of speechcls has.
    """
    try:
        return _model(content)
    except GraphError:
        raise
    except (ValueError, IndexError, KeyError, TypeError, OverflowError, struct.error) as error:
        raise GraphError(f"not ONNX, or cut off ({type(error).__name__})") from error


def _model(content: bytes) -> Graph:
    model = _fields(
        content, {1: "i", 2: "b", 3: "b", 4: "b", 5: "i", 6: "b", 7: "b", 8: "B", 14: "B"}, "model"
    )
    if content[4:8] == b"ORTM":  # ONNX Runtime would read it in its own format
        raise GraphError("not ONNX")
    if _one(model, 1, 0) not in IR_VERSIONS:
        raise GraphError(f"format version {_one(model, 1, 0)}")
    opsets = [_fields(each, {1: "b", 2: "i"}, "opset") for each in model.get(8, [])]
    versions = [(_text(each, 1), _one(each, 2, 0)) for each in opsets]
    if len(versions) != 1 or versions[0][0] or versions[0][1] not in OPSETS:
        raise GraphError(f"operators of {versions}")
    metadata = [_fields(each, {1: "b", 2: "b"}, "metadata") for each in model.get(14, [])]
    graph = _graph(model[7][0], 0)
    by_key = {_text(each, 1): _text(each, 2) for each in metadata}
    if len(by_key) != len(metadata):
        raise GraphError("metadata twice")
    if not graph.tensors.keys().isdisjoint(value.name for value in graph.inputs):
        raise GraphError("an input with a value of its own")
    return Graph(graph.nodes, graph.tensors, graph.inputs, graph.outputs, by_key)


def _graph(content: Content, depth: int) -> Graph:
    if depth > _DEPTH_MAX:
        raise GraphError("graphs within graphs")
    graph = _fields(content, {1: "B", 2: "b", 5: "B", 10: "b", 11: "B", 12: "B", 13: "B"}, "graph")
    if sum(map(len, graph.values())) > _N_MAX:
        raise GraphError(f"more than {_N_MAX} parts")
    for each in graph.get(13, []):  # shapes that are stated within; what they are is computed
        _value(each)
    tensors = [_tensor(each) for each in graph.get(5, [])]
    if len({name for name, _ in tensors}) != len(tensors):
        raise GraphError("a tensor twice")
    return Graph(
        tuple(_node(each, depth) for each in graph.get(1, [])),
        dict(tensors),
        tuple(_value(each) for each in graph.get(11, [])),
        tuple(_value(each) for each in graph.get(12, [])),
    )


def _node(content: Content, depth: int) -> Node:
    node = _fields(content, {1: "B", 2: "B", 3: "b", 4: "b", 5: "B", 6: "b", 7: "b"}, "node")
    if _text(node, 7):
        raise GraphError(f"operator {_text(node, 4)} of {_text(node, 7)}")
    attributes = [_attribute(each, depth) for each in node.get(5, [])]
    if len({name for name, _ in attributes}) != len(attributes):
        raise GraphError("an attribute twice")
    inputs, outputs = (tuple(str(name, "utf-8") for name in node.get(i, [])) for i in (1, 2))
    return Node(_text(node, 4), inputs, outputs, dict(attributes))


def _attribute(content: Content, depth: int) -> tuple[str, Any]:
    """Return name and value of an attribute."""
    attribute = _fields(content, _ATTRIBUTE, "attribute")
    name, kind = _text(attribute, 1), _one(attribute, 20, 0)
    if attribute.keys() - {1, 13, 20, _FIELD_OF_KIND.get(kind)}:
        raise GraphError(f"attribute {name} of several types")
    if kind == 1:
        return name, struct.unpack("<f", _one(attribute, 2, b"\0" * 4))[0]
    if kind == 2:
        return name, _one(attribute, 3, 0)
    if kind == 3:
        return name, _text(attribute, 4)
    if kind == 4:
        return name, _tensor(attribute[5][0])[1]
    if kind == 5:
        return name, _graph(attribute[6][0], depth + 1)
    if kind == 7:
        return name, tuple(_integers(attribute.get(8, [])))
    if kind == 8:
        return name, tuple(str(each, "utf-8") for each in attribute.get(9, []))
    raise GraphError(f"attribute {name} of type {kind}")


def _tensor(content: Content) -> tuple[str, npt.NDArray[Any]]:
    """Return name and value of a tensor; the value is not copied."""
    tensor = _fields(content, {1: "I", 2: "i", 8: "b", 9: "b", 12: "b"}, "tensor")
    shape, kind = _integers(tensor.get(1, [])), _one(tensor, 2, 0)
    if kind not in _TYPES:
        raise GraphError(f"tensor of type {kind}")
    if any(n < 0 for n in shape) or len(shape) > 8:
        raise GraphError(f"tensor of shape {shape}")
    array = np.frombuffer(_one(tensor, 9, b""), dtype=_TYPES[kind])
    n = 1
    for size in shape:
        n *= size
    if len(array) != n:
        raise GraphError(f"tensor of shape {shape} with {len(array)} values")
    if kind == _FLOAT and not np.isfinite(array).all():
        raise GraphError("weights that are not finite")
    return _text(tensor, 8), array.reshape(shape)


def _value(content: Content) -> Value:
    value = _fields(content, {1: "b", 2: "b", 3: "b"}, "value")
    kind = _fields(_one(value, 2, b""), {1: "b", 4: "b", 6: "b"}, "type")
    if 4 in kind:  # a sequence, of which only its element is stated
        return Value(_text(value, 1), False, ())
    tensor = _fields(_one(kind, 1, b""), {1: "i", 2: "b"}, "type")
    dims = _fields(_one(tensor, 2, b""), {1: "B"}, "shape").get(1, [])
    shape = [_fields(dim, {1: "i", 2: "b", 3: "b"}, "dimension") for dim in dims]
    sizes = tuple(dim[1][0] if 1 in dim else _text(dim, 2) for dim in shape)
    known = [size for size in sizes if isinstance(size, int)]
    if min(known, default=0) < 0 or math.prod(known) > _STATED_MAX:
        raise GraphError(f"{_text(value, 1)} of shape {sizes}")
    return Value(_text(value, 1), _one(tensor, 1, 0) == _FLOAT, sizes)


def _one(fields: Fields, number: int, default: Any) -> Any:
    return fields[number][0] if number in fields else default


def _text(fields: Fields, number: int) -> str:
    return str(_one(fields, number, b""), "utf-8")


def _integers(values: list[Any]) -> list[int]:
    """Return repeated integers, each by itself or several in one field."""
    found: list[int] = []
    for value in values:
        if isinstance(value, int):
            found.append(value)
            continue
        at = 0
        while at < len(value):
            number, at = _varint(value, at)
            found.append(number)
    return found


def _fields(content: Content, allowed: Mapping[int, str], what: str) -> Fields:
    """Return the values of a message by field number.

    Parameters
    ----------
    allowed : kind of each field: ``i`` an integer, ``b`` bytes, ``f`` a float; in upper case, it
        may occur several times
    """
    view, at, found = memoryview(content), 0, Fields()
    while at < len(view):
        key, at = (view[at], at + 1) if view[at] < 128 else _varint(view, at)
        number, kind = key >> 3, key & 7
        about = allowed.get(number, "")
        is_again = number in found and about.islower()
        if is_again or kind not in _WIRE.get(about, ()):
            raise GraphError(f"{what} with field {number}")
        value: Any
        if kind == 0:
            value, at = _varint(view, at)
        elif kind == 2:
            length, at = (view[at], at + 1) if view[at] < 128 else _varint(view, at)
            if not 0 <= length <= len(view) - at:
                raise GraphError(f"{what} that is cut off")
            value, at = view[at : at + length], at + length
        else:
            value, at = view[at : at + 4], at + 4
        found.setdefault(number, []).append(value)
    return found


def _varint(view: Content, at: int) -> tuple[int, int]:
    """Return a signed integer of 64 bits, and where the next field begins."""
    value = shift = 0
    while True:
        byte = view[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            break
        shift += 7
        if shift > 63:
            raise GraphError("number of more than 64 bits")
    value &= 2**64 - 1
    return (value - 2**64 if value >= 2**63 else value), at
