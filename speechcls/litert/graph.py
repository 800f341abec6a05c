"""A graph of LiteRT: each call adds an operator and returns its result.

Numbers are float32 or, behind ``Graph.to_integers``, rounded: weights to 8 bits with a scale for
each row, results to 8 or 16 bits with the range that ``Graph.ranges`` has of them.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from speechcls.artifact.constants import Matrix, round_rows
from speechcls.litert.file import Array, File, Rounding, Tensor

Range = tuple[float, float]
INTEGERS = ("int8", "int16")
UNIT = "unit"
"""Key of results within [-1, 1]."""
_HEADROOM = 2.0
"""Times the largest value seen that 16 bits reach; 8 bits have none to spare."""
_EIGHTH_SIGMOID = Rounding("int8", 1 / 256, -128)
_LEAST = 1e-6
_FUSED = "fusedActivationFunction"
"""Option of an operator: 1 for a ReLU behind it, 0 for none."""


class Graph:
    """A graph that is being made.

    Parameters
    ----------
    ranges : least and largest value of results by their keys, for those that are rounded; None:
        nothing is
    integers : type of rounded results: ``int8`` or ``int16``
    """

    def __init__(
        self, ranges: Mapping[str, Range] | None = None, integers: str = INTEGERS[-1]
    ) -> None:
        self._ranges, self._integers = ranges, integers
        self._file = File()
        self.inputs: dict[str, Tensor] = {}
        self.outputs: dict[str, Tensor] = {}
        self.keys: dict[str, list[int]] = {}
        """Indices of the tensors that share a key."""
        self._parameters: dict[tuple[Any, ...], tuple[Array, list[Tensor]]] = {}
        self._part, self._count = "", 0

    @property
    def kinds(self) -> list[str]:
        """Kinds of its operators, as the schema names them, in alphabetical order."""
        return self._file.kinds

    def content(self, about: str) -> bytes:
        """Return the graph as a file, with a line about it."""
        return self._file.content(self.inputs, self.outputs, about)

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Name the results of a part; the same part again has the same keys, and so ranges."""
        before = self._part, self._count
        self._part, self._count = name, 0
        yield
        self._part, self._count = before

    def rounding(self, key: str) -> Rounding | None:
        """Return how results of a key are rounded; None where nothing is."""
        if self._ranges is None:
            return None
        if key == UNIT:
            return Rounding(self._integers, 2.0**-7 if self._integers == "int8" else 2.0**-15)
        low, high = self._ranges[key]
        if self._integers == "int16":
            return Rounding("int16", _HEADROOM * max(-low, high, _LEAST) / 32767)
        low, high = min(low, 0.0), max(high, _LEAST)
        scale = (high - low) / 255
        return Rounding("int8", scale, round(-128 - low / scale))

    def input(self, name: str, shape: Sequence[int], rounding: Rounding | None = None) -> Tensor:
        """Add an input."""
        self.inputs[name] = self._file.tensor(shape, rounding)
        return self.inputs[name]

    def zeros(self, shape: Sequence[int], rounding: Rounding | None = None) -> Tensor:
        """Return zeros, rounded like what they stand for."""
        array = np.zeros(shape, np.float32)
        return self._file.constant(rounding(array) if rounding else array, rounding)

    def floats(self, array: Array) -> Tensor:
        """Return constant floats."""
        return self._file.constant(np.ascontiguousarray(array, np.float32))

    def to_integers(self, x: Tensor) -> Tensor:
        """Return a value rounded, if the graph rounds."""
        key = self._next_key()
        self.keys.setdefault(key, []).append(x.index)
        return self.requantize(x, self.rounding(key))

    def requantize(self, x: Tensor, rounding: Rounding | None) -> Tensor:
        """Return a value rounded in this way, if the graph rounds."""
        if rounding is None or x.rounding == rounding:
            return x
        return self._add("QUANTIZE", [x], x.shape, rounding)

    def to_floats(self, x: Tensor) -> Tensor:
        """Return a value as floats."""
        return x if x.rounding is None else self._add("DEQUANTIZE", [x], x.shape)

    def linear(self, x: Tensor, layer: Matrix, relu: bool = False) -> Tensor:
        """Return (n, n_rows) of ``x`` (n, n_columns)."""
        parameters = self._stored(x, layer.weights, layer.bias)
        shape = (x.shape[0], len(layer.weights))
        return self._result("FULLY_CONNECTED", [x, *parameters], shape, {_FUSED: int(relu)})

    def convolution(
        self, x: Tensor, kernel: Array, bias: Array, stride: tuple[int, int], relu: bool
    ) -> Tensor:
        """Return (1, n_times, n_bands, n_outputs) of ``x`` (1, times, bands, inputs), not padded.

        Parameters
        ----------
        kernel : (n_outputs, times, bands, n_inputs)
        """
        parameters = self._stored(x, kernel, bias)
        size = [(x.shape[i] - kernel.shape[i]) // stride[i - 1] + 1 for i in (1, 2)]
        options = {"padding": 1, "strideH": stride[0], "strideW": stride[1]}  # 1: none
        options |= {"dilationHFactor": 1, "dilationWFactor": 1, _FUSED: int(relu)}
        return self._result("CONV_2D", [x, *parameters], (1, *size, len(kernel)), options)

    def _stored(self, x: Tensor, weights: Array, bias: Array) -> list[Tensor]:
        """Return weights and biases as constants, those of every step of a recurrence once."""
        key = id(weights), x.rounding
        if key not in self._parameters:  # which keeps the weights, and so what they are known by
            self._parameters[key] = weights, self._constants(x, weights, bias)
        return self._parameters[key][1]

    def _constants(self, x: Tensor, weights: Array, bias: Array) -> list[Tensor]:
        """Return weights and biases, rounded where ``x`` is."""
        if x.rounding is None:
            return [self.floats(weights), self.floats(bias)]
        rounded, scales = round_rows(weights, 0)
        units = x.rounding.scale * scales.astype(np.float64)
        limit = np.iinfo(np.int32).max
        kind = np.int32 if self._integers == "int8" else np.int64
        biases = np.rint(bias / units).clip(-limit, limit).astype(kind)
        constants = (rounded, scales), (biases, units)
        return [self._file.constant(array, scales=scales) for array, scales in constants]

    def add(self, x: Tensor, y: Tensor, relu: bool = False, key: str | None = None) -> Tensor:
        """Return a sum."""
        options = {_FUSED: int(relu), "potScaleInt16": False}
        return self._pair("ADD", x, y, options, key)

    def subtract(self, x: Tensor, y: Tensor) -> Tensor:
        """Return a difference."""
        return self._pair("SUB", x, y, {_FUSED: 0, "potScaleInt16": False})

    def multiply(self, x: Tensor, y: Tensor, key: str | None = None) -> Tensor:
        """Return a product."""
        return self._pair("MUL", x, y, {_FUSED: 0}, key)

    def divide(self, x: Tensor, y: Tensor) -> Tensor:
        """Return a quotient of floats."""
        return self._pair("DIV", x, y, {_FUSED: 0})

    def maximum(self, x: Tensor, y: float) -> Tensor:
        """Return the larger ones of floats and of a number."""
        return self._pair("MAXIMUM", x, self.floats(np.array([y])), {})

    def _pair(
        self, kind: str, x: Tensor, y: Tensor, options: Mapping[str, Any], key: str | None = None
    ) -> Tensor:
        return self._result(kind, [x, y], np.broadcast_shapes(x.shape, y.shape), options, key)

    def logarithm(self, x: Tensor) -> Tensor:
        """Return the natural logarithm of floats."""
        return self._add("LOG", [x], x.shape)

    def sigmoid(self, x: Tensor) -> Tensor:
        """Return 1 / (1 + exp(-x)), rounded as the operator has it."""
        is_eight = x.rounding is not None and self._integers == "int8"
        rounding = _EIGHTH_SIGMOID if is_eight else x.rounding and self.rounding(UNIT)
        return self._add("LOGISTIC", [x], x.shape, rounding)

    def tanh(self, x: Tensor) -> Tensor:
        """Return the hyperbolic tangent, rounded as the operator has it."""
        return self._add("TANH", [x], x.shape, x.rounding and self.rounding(UNIT))

    def softmax(self, x: Tensor) -> Tensor:
        """Return floats that sum to 1 along the last axis."""
        return self._add("SOFTMAX", [x], x.shape, None, {"beta": 1.0})

    def mean(self, x: Tensor, *axes: int) -> Tensor:
        """Return the mean of floats along axes, which stay."""
        return self._reduce("MEAN", x, axes)

    def largest(self, x: Tensor, *axes: int) -> Tensor:
        """Return the largest of floats along axes, which stay."""
        return self._reduce("REDUCE_MAX", x, axes)

    def _reduce(self, kind: str, x: Tensor, axes: Sequence[int]) -> Tensor:
        shape = [1 if i in axes else n for i, n in enumerate(x.shape)]
        return self._add(kind, [x, self._numbers(axes)], shape, None, {"keepDims": True})

    def place_of_largest(self, x: Tensor) -> Tensor:
        """Return the place (1,) of the largest of floats (1, n)."""
        place = self._file.tensor((1,), None, "int32")
        self._file.operator("ARG_MAX", [x, self._numbers(1)], [place], {"outputType": 2})  # int32
        return place

    def products(self, x: Tensor, y: Tensor) -> Tensor:
        """Return (batch, n, m) of floats (batch, n, k) and (batch, k, m)."""
        return self._add("BATCH_MATMUL", [x, y], (*x.shape[:-1], y.shape[-1]))

    def gather(self, x: Tensor, places: Array | Tensor) -> Tensor:
        """Return places along the first axis."""
        if not isinstance(places, Tensor):
            places = self._file.constant(places.astype(np.int32))
        shape = (*places.shape, *x.shape[1:])
        return self._add("GATHER", [x, places], shape, x.rounding, {"axis": 0, "batchDims": 0})

    def reshape(self, x: Tensor, *shape: int) -> Tensor:
        """Return the same values in another shape."""
        if x.shape == shape:
            return x
        options = {"newShape": list(shape)}
        return self._add("RESHAPE", [x, self._numbers(shape)], shape, x.rounding, options)

    def transpose(self, x: Tensor, *axes: int) -> Tensor:
        """Return the axes in another order."""
        shape = [x.shape[i] for i in axes]
        return self._add("TRANSPOSE", [x, self._numbers(axes)], shape, x.rounding)

    def concatenate(self, parts: Sequence[Tensor], axis: int) -> Tensor:
        """Return values one after the other, rounded like the first."""
        if len(parts) == 1:
            return parts[0]
        parts = [self.requantize(part, parts[0].rounding) for part in parts]
        shape = list(parts[0].shape)
        shape[axis] = sum(part.shape[axis] for part in parts)
        options = {"axis": axis, _FUSED: 0}
        return self._add("CONCATENATION", parts, shape, parts[0].rounding, options)

    def split(self, x: Tensor, n: int, axis: int) -> list[Tensor]:
        """Return ``n`` equal parts."""
        if n == 1:
            return [x]
        shape = list(x.shape)
        shape[axis] //= n
        results = [self._file.tensor(shape, x.rounding) for _ in range(n)]
        self._file.operator("SPLIT", [self._numbers(axis), x], results, {"numSplits": n})
        return results

    def slice(self, x: Tensor, axis: int, begin: int, end: int) -> Tensor:
        """Return the places from ``begin`` to before ``end`` along an axis."""
        if (begin, end) == (0, x.shape[axis]):
            return x
        shape = list(x.shape)
        shape[axis] = end - begin
        begins = [begin if i == axis else 0 for i in range(len(shape))]
        return self._add("SLICE", [x, *map(self._numbers, (begins, shape))], shape, x.rounding)

    def pad(self, x: Tensor, *before_after: tuple[int, int]) -> Tensor:
        """Return a value with zeros before and after it along each axis."""
        if not any(map(any, before_after)):
            return x
        shape = [n + sum(each) for n, each in zip(x.shape, before_after, strict=True)]
        return self._add("PAD", [x, self._numbers(before_after)], shape, x.rounding)

    def _numbers(self, values: object) -> Tensor:
        return self._file.constant(np.array(values, np.int32))

    def _result(
        self,
        kind: str,
        inputs: Sequence[Tensor],
        shape: Sequence[int],
        options: Mapping[str, Any],
        key: str | None = None,
    ) -> Tensor:
        """Add an operator whose result has a range of its own, by default by its place."""
        key = key or self._next_key()
        rounding = None if inputs[0].rounding is None else self.rounding(key)
        result = self._add(kind, inputs, shape, rounding, options)
        self.keys.setdefault(key, []).append(result.index)
        return result

    def _next_key(self) -> str:
        self._count += 1
        return f"{self._part}.{self._count}"

    def _add(
        self,
        kind: str,
        inputs: Sequence[Tensor],
        shape: Sequence[int],
        rounding: Rounding | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> Tensor:
        result = self._file.tensor(shape, rounding)
        self._file.operator(kind, inputs, [result], options or {})
        return result
