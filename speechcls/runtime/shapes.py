"""Shapes of what each operator of a graph makes, by the shapes and the few values it depends on."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from speechcls.runtime.graph import GraphError, Node

Shape = tuple[int, ...]
Values = npt.NDArray[Any]
KNOWN_MAX = 4_096
"""Largest number of values that are computed to know the shapes that depend on them."""


@dataclass(frozen=True)
class Known:
    """What is known of a tensor before it is computed: its shape, and its values if few."""

    shape: Shape
    values: Values | None = None
    n_in_sequence: int | None = None
    """Number of tensors of this shape, if it is a sequence of tensors."""

    @property
    def size(self) -> int:
        """Number of values."""
        each = math.prod(self.shape)
        return each if self.n_in_sequence is None else each * self.n_in_sequence


class Call:
    """An operator with what is known of its inputs."""

    def __init__(self, node: Node, inputs: Sequence[Known | None]) -> None:
        self.node, self.inputs = node, inputs

    def shape(self, i: int) -> Shape:
        """Return the shape of an input."""
        return self._input(i).shape

    def values(self, i: int) -> list[Any]:
        """Return the values of an input on which the shape of an output depends."""
        values = self._input(i).values
        if values is None:
            raise GraphError(f"{self.node.op} of a size that is not known before it runs")
        return [int(value) for value in values.ravel()]

    def axes(self, rank: int, position: int = 1) -> list[int]:
        """Return the axes that an attribute or an input names; all if neither does."""
        if "axes" in self.node.attributes:
            axes = list(self.node.attributes["axes"])
        else:
            axes = self.values(position) if self.has(position) else list(range(rank))
        if any(not -rank <= axis < rank for axis in axes):
            raise GraphError(f"{self.node.op} of axes {axes}")
        axes = [axis % rank for axis in axes]
        if len(set(axes)) != len(axes):
            raise GraphError(f"{self.node.op} of an axis twice")
        return axes

    def attribute(self, name: str, default: Any) -> Any:
        """Return an attribute."""
        return self.node.attributes.get(name, default)

    def has(self, i: int) -> bool:
        """Whether an input is given."""
        return i < len(self.inputs) and self.inputs[i] is not None

    def _input(self, i: int) -> Known:
        known = self.inputs[i] if i < len(self.inputs) else None
        if known is None:
            raise GraphError(f"{self.node.op} without input {i}")
        return known


def _first(call: Call) -> list[Shape]:
    return [call.shape(0)]


def _broadcast(call: Call) -> list[Shape]:
    return [np.broadcast_shapes(*(call.shape(i) for i in range(len(call.inputs))))]


def _matmul(call: Call) -> list[Shape]:
    a, b = call.shape(0), call.shape(1)
    if len(a) < 2 or len(b) < 2:
        raise GraphError("MatMul of vectors")
    return [(*np.broadcast_shapes(a[:-2], b[:-2]), a[-2], b[-1])]


def _gemm(call: Call) -> list[Shape]:
    a, b = call.shape(0), call.shape(1)
    rows = a[1] if call.attribute("transA", 0) else a[0]
    return [(rows, b[0] if call.attribute("transB", 0) else b[1])]


def _conv(call: Call) -> list[Shape]:
    x, w = call.shape(0), call.shape(1)
    return [(x[0], w[0], *_slid(call, x[2:], w[2:]))]


def _pool(call: Call) -> list[Shape]:
    x = call.shape(0)
    return [(*x[:2], *_slid(call, x[2:], call.attribute("kernel_shape", ())))]


def _slid(call: Call, sizes: Shape, kernel: Sequence[int]) -> list[int]:
    """Return the number of places of a kernel along each axis."""
    n = len(sizes)
    if call.attribute("auto_pad", "NOTSET") != "NOTSET" or not n or len(kernel) != n:
        raise GraphError(f"{call.node.op} with automatic padding, or of another rank")
    pads, strides = call.attribute("pads", (0,) * 2 * n), call.attribute("strides", (1,) * n)
    dilations, more = call.attribute("dilations", (1,) * n), call.attribute("ceil_mode", 0)
    lengths = [
        sizes[i] + pads[i] + pads[n + i] - dilations[i] * (kernel[i] - 1) - 1 for i in range(n)
    ]
    places = zip(lengths, strides, strict=True)
    return [max(0, length // stride + 1 + more) for length, stride in places]


def _pool_all(call: Call) -> list[Shape]:
    x = call.shape(0)
    return [(*x[:2], *(1,) * len(x[2:]))]


def _split(call: Call) -> list[Shape]:
    shape, n = call.shape(0), len(call.node.outputs)
    axis = range(len(shape))[call.attribute("axis", 0)]
    sizes = call.values(1) if call.has(1) else [shape[axis] // n] * n
    return [(*shape[:axis], size, *shape[axis + 1 :]) for size in sizes]


def _tile(call: Call) -> list[Shape]:
    return [tuple(n * times for n, times in zip(call.shape(0), call.values(1), strict=True))]


def _recurrent(call: Call) -> list[Shape]:
    (n_steps, batch, _), directions = call.shape(0), call.shape(1)[0]
    hidden = call.shape(2)[2]
    if call.attribute("layout", 0):
        raise GraphError(f"{call.node.op} with layout")
    state = (directions, batch, hidden)
    return [(n_steps, *state[:1], batch, hidden), state, state]


def _reduce(call: Call) -> list[Shape]:
    shape = call.shape(0)
    axes, keeps = call.axes(len(shape)), call.attribute("keepdims", 1)
    return [tuple(1 if i in axes else n for i, n in enumerate(shape) if keeps or i not in axes)]


def _arg_max(call: Call) -> list[Shape]:
    shape, axis = list(call.shape(0)), call.attribute("axis", 0)
    shape[axis] = 1
    if not call.attribute("keepdims", 1):
        del shape[axis]
    return [tuple(shape)]


def _shape(call: Call) -> list[Shape]:
    bounds = slice(call.attribute("start", 0), call.attribute("end", None))
    return [(len(call.shape(0)[bounds]),)]


def _gather(call: Call) -> list[Shape]:
    shape = call.shape(0)
    axis = range(len(shape))[call.attribute("axis", 0)]
    return [(*shape[:axis], *call.shape(1), *shape[axis + 1 :])]


def _concat(call: Call) -> list[Shape]:
    shapes, axis = [list(call.shape(i)) for i in range(len(call.inputs))], call.attribute("axis", 0)
    shapes[0][axis] = sum(shape[axis] for shape in shapes)
    return [tuple(shapes[0])]


def _slice(call: Call) -> list[Shape]:
    shape = list(call.shape(0))
    starts, ends = call.values(1), call.values(2)
    axes = call.values(3) if call.has(3) else range(len(starts))
    steps = call.values(4) if call.has(4) else [1] * len(starts)
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        shape[axis] = len(range(*slice(start, end, step).indices(shape[axis])))
    return [tuple(shape)]


def _reshape(call: Call) -> list[Shape]:
    before, wanted = call.shape(0), call.values(1)
    if call.attribute("allowzero", 0):
        raise GraphError("Reshape that allows zeros")
    shape = [before[i] if n == 0 else n for i, n in enumerate(wanted)]
    if -1 in shape:
        rest = math.prod(n for n in shape if n != -1)
        shape[shape.index(-1)] = math.prod(before) // rest if rest else 0
    return [tuple(shape)]


def _transpose(call: Call) -> list[Shape]:
    shape = call.shape(0)
    return [tuple(shape[i] for i in call.attribute("perm", range(len(shape))[::-1]))]


def _unsqueeze(call: Call) -> list[Shape]:
    rank = len(call.shape(0)) + len(call.values(1))
    axes, rest = call.axes(rank), iter(call.shape(0))
    return [tuple(1 if i in axes else next(rest) for i in range(rank))]


def _squeeze(call: Call) -> list[Shape]:
    shape = call.shape(0)
    axes = call.axes(len(shape)) if call.has(1) else [i for i, n in enumerate(shape) if n == 1]
    return [tuple(n for i, n in enumerate(shape) if i not in axes)]


def _flatten(call: Call) -> list[Shape]:
    shape, axis = call.shape(0), call.attribute("axis", 1)
    return [(math.prod(shape[:axis]), math.prod(shape[axis:]))]


def _pad(call: Call) -> list[Shape]:
    shape, pads = call.shape(0), call.values(1)
    if len(pads) != 2 * len(shape) or call.has(3):
        raise GraphError("Pad of some axes")
    ends = zip(shape, pads[: len(shape)], pads[len(shape) :], strict=True)
    return [tuple(n + before + after for n, before, after in ends)]


def _range(call: Call) -> list[Shape]:
    start, limit, delta = (call.values(i)[0] for i in range(3))
    return [(len(range(start, limit, delta)),)]


_SAME = """Abs BatchNormalization Cast Ceil Clip Cos CumSum Dropout Elu Erf Exp Floor HardSigmoid
HardSwish Identity InstanceNormalization LayerNormalization LeakyRelu Log LogSoftmax Neg Not
Reciprocal Relu Round Selu Sigmoid Sign Sin Softmax Softplus Softsign Sqrt Tanh"""
_ELEMENTWISE = """Add And Div Equal Greater GreaterOrEqual Less LessOrEqual Max Min Mod Mul Or Pow
PRelu Sub Sum Where"""
_REDUCING = """ReduceL1 ReduceL2 ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum
ReduceSumSquare"""
SHAPES: dict[str, Callable[[Call], list[Shape]]] = {
    **dict.fromkeys(_SAME.split(), _first),
    **dict.fromkeys(_ELEMENTWISE.split(), _broadcast),
    **dict.fromkeys(_REDUCING.split(), _reduce),
    **dict.fromkeys(("GRU", "LSTM", "RNN"), _recurrent),
    **dict.fromkeys(("AveragePool", "MaxPool"), _pool),
    **dict.fromkeys(("ArgMax", "ArgMin"), _arg_max),
    **dict.fromkeys(("GlobalAveragePool", "GlobalMaxPool"), _pool_all),
    "Concat": _concat,
    "Constant": lambda call: [call.node.attributes["value"].shape],
    "ConstantOfShape": lambda call: [tuple(call.values(0))],
    "Conv": _conv,
    "Expand": lambda call: [np.broadcast_shapes(call.shape(0), tuple(call.values(1)))],
    "Flatten": _flatten,
    "Gather": _gather,
    "GatherElements": lambda call: [call.shape(1)],
    "Gemm": _gemm,
    "MatMul": _matmul,
    "Pad": _pad,
    "Range": _range,
    "Reshape": _reshape,
    "Shape": _shape,
    "Slice": _slice,
    "Split": _split,
    "Squeeze": _squeeze,
    "Tile": _tile,
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
}
"""Shapes of the outputs of each operator that a model may have, beside those in ``cost``."""


def _slice_values(call: Call, x: Values, *bounds: Values) -> Values:
    starts, ends, *rest = ([int(n) for n in each] for each in bounds)
    axes = rest[0] if rest else range(len(starts))
    steps = rest[1] if len(rest) > 1 else [1] * len(starts)
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        at = [slice(None)] * x.ndim
        at[axis] = slice(start, end, step)
        x = x[tuple(at)]
    return x


def _divide(call: Call, a: Values, b: Values) -> Values:
    if a.dtype.kind == "f":
        return a / b
    if not b.all():
        raise GraphError("Div by zero")
    return np.trunc(a / b).astype(a.dtype)


_CASTS = {1: np.float32, 6: np.int32, 7: np.int64, 9: np.bool_}
VALUES: dict[str, Callable[..., Values]] = {
    "Add": lambda call, a, b: a + b,
    "Cast": lambda call, a: a.astype(_CASTS[call.node.attributes["to"]]),
    "Concat": lambda call, *x: np.concatenate(x, axis=call.attribute("axis", 0)),
    "Constant": lambda call: call.node.attributes["value"],
    "Div": _divide,
    "Equal": lambda call, a, b: np.equal(a, b),
    "Expand": lambda call, a, shape: np.broadcast_to(a, call.values(1)),
    "Gather": lambda call, x, i: np.take(x, i.astype(np.int64), axis=call.attribute("axis", 0)),
    "Identity": lambda call, a: a,
    "Mul": lambda call, a, b: a * b,
    "Neg": lambda call, a: -a,
    "Range": lambda call, *bounds: np.arange(*(int(bound) for bound in bounds)),
    "Slice": _slice_values,
    "Sub": lambda call, a, b: a - b,
    "Where": lambda call, condition, a, b: np.asarray(np.where(condition, a, b)),
}
"""Values of the output of those operators by which graphs compute shapes."""
_REARRANGED = ("Flatten", "Reshape", "Squeeze", "Unsqueeze")


def values_of(call: Call, shape: Shape) -> Values | None:
    """Return the values of an output, where they are few and depend on known values alone."""
    op = call.node.op
    if math.prod(shape) > KNOWN_MAX:
        return None
    if op == "Shape":
        bounds = slice(call.attribute("start", 0), call.attribute("end", None))
        return np.array(call.shape(0)[bounds], dtype=np.int64)
    inputs = [known.values for known in call.inputs if known is not None]
    if any(values is None for values in inputs):
        return None
    if op == "ConstantOfShape":
        return np.full(shape, _fill(call.node.attributes))
    if op in _REARRANGED and inputs[0] is not None:
        return inputs[0].reshape(shape)
    if op == "Transpose" and inputs[0] is not None:
        return inputs[0].transpose(call.attribute("perm", None))
    return VALUES[op](call, *inputs) if op in VALUES else None


def _fill(attributes: Mapping[str, Any]) -> Any:
    value = attributes.get("value", np.zeros(1, np.float32))
    return value.ravel()[0]
