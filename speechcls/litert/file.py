"""Tensors and operators as a file of LiteRT."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from speechcls.errors import ExportError

Array = npt.NDArray[Any]
_FORMAT_VERSION = 3
_FORMAT = b"TFL3"
_OPTIONS = {
    "ADD": "AddOptions",
    "ARG_MAX": "ArgMaxOptions",
    "BATCH_MATMUL": "BatchMatMulOptions",
    "CONCATENATION": "ConcatenationOptions",
    "CONV_2D": "Conv2DOptions",
    "DIV": "DivOptions",
    "FULLY_CONNECTED": "FullyConnectedOptions",
    "GATHER": "GatherOptions",
    "MAXIMUM": "MaximumMinimumOptions",
    "MEAN": "ReducerOptions",
    "MUL": "MulOptions",
    "REDUCE_MAX": "ReducerOptions",
    "RESHAPE": "ReshapeOptions",
    "SOFTMAX": "SoftmaxOptions",
    "SPLIT": "SplitOptions",
    "SUB": "SubOptions",
}
"""What the schema calls the options of an operator that has any."""


@dataclass(frozen=True)
class Rounding:
    """How integers stand for numbers: scale * (integer - zero)."""

    dtype: str
    scale: float
    zero: int = 0

    def __call__(self, values: Array) -> Array:
        """Return numbers as integers."""
        limits = np.iinfo(self.dtype)
        integers = np.rint(values / self.scale) + self.zero
        return integers.clip(limits.min, limits.max).astype(self.dtype)


@dataclass(frozen=True)
class Tensor:
    """One value of a graph."""

    index: int
    shape: tuple[int, ...]
    rounding: Rounding | None = None
    """None of floats, of indices, and of weights."""


def import_schema() -> ModuleType:
    """Return the schema of the format.

    Raises
    ------
    ExportError
        When the package that has it is not installed.
    """
    try:
        from ai_edge_litert import schema_py_generated
    except ImportError as error:
        raise ExportError(
            "ai-edge-litert is not installed; run pip install 'speechcls[tflite]'"
        ) from error
    return schema_py_generated  # type: ignore[no-any-return]


class File:
    """The tensors, constants and operators of a graph, in the order in which they are added."""

    def __init__(self) -> None:
        self._schema = import_schema()
        self._tensors: list[Any] = []
        self._buffers: list[bytes] = [b""]  # the first one is that of what is no constant
        self._operators: list[Any] = []
        self._codes: dict[str, int] = {}
        self._constants: dict[tuple[Any, ...], Tensor] = {}

    @property
    def kinds(self) -> list[str]:
        """Kinds of operators, as the schema names them, in alphabetical order."""
        return sorted(self._codes)

    def tensor(
        self, shape: Sequence[int], rounding: Rounding | None, dtype: str = "float32"
    ) -> Tensor:
        """Add a value that is computed; ``dtype`` is that of one that is not rounded."""
        made = self._schema.TensorT(shape=[int(n) for n in shape], hasRank=True)
        self._tensors.append(made)
        made.type = getattr(
            self._schema.TensorType, (rounding.dtype if rounding else dtype).upper()
        )
        if rounding is not None:
            made.quantization = self._quantization([rounding.scale], [rounding.zero])
        return Tensor(len(self._tensors) - 1, tuple(made.shape), rounding)

    def _quantization(self, scales: list[float], zeros: list[int]) -> Any:
        return self._schema.QuantizationParametersT(
            scale=scales, zeroPoint=zeros, quantizedDimension=0
        )

    def constant(
        self, array: Array, rounding: Rounding | None = None, scales: Array | None = None
    ) -> Tensor:
        """Add a constant; the same one is stored once.

        Parameters
        ----------
        array : floats or integers as they are stored
        scales : (n_rows,) of a layer's weights or biases
        """
        content = array.tobytes()
        key = (content, array.dtype, array.shape, rounding, scales is None or scales.tobytes())
        if key not in self._constants:
            value = self.tensor(array.shape, rounding, array.dtype.name)
            made = self._tensors[value.index]
            if scales is not None:
                made.quantization = self._quantization(scales.tolist(), [0] * len(scales))
            self._buffers.append(content)
            made.buffer = len(self._buffers) - 1
            self._constants[key] = value
        return self._constants[key]

    def operator(
        self,
        kind: str,
        inputs: Sequence[Tensor],
        results: Sequence[Tensor],
        options: Mapping[str, Any],
    ) -> None:
        """Add an operator; its options are fields of the schema."""
        made = self._schema.OperatorT(
            opcodeIndex=self._codes.setdefault(kind, len(self._codes)),
            inputs=[x.index for x in inputs],
            outputs=[x.index for x in results],
        )
        if name := _OPTIONS.get(kind):
            made.builtinOptionsType = getattr(self._schema.BuiltinOptions, name)
            made.builtinOptions = getattr(self._schema, f"{name}T")(**options)
        self._operators.append(made)

    def content(
        self, inputs: Mapping[str, Tensor], outputs: Mapping[str, Tensor], about: str
    ) -> bytes:
        """Return the file of a graph with these inputs and outputs, and a line about it."""
        import flatbuffers

        schema = self._schema
        for name, value in [*inputs.items(), *outputs.items()]:
            self._tensors[value.index].name = name
        graph = schema.SubGraphT(
            name="main",
            tensors=self._tensors,
            operators=self._operators,
            inputs=[value.index for value in inputs.values()],
            outputs=[value.index for value in outputs.values()],
        )
        maps = [
            [schema.TensorMapT(name=name, tensorIndex=value.index) for name, value in ends.items()]
            for ends in (inputs, outputs)
        ]
        signature = schema.SignatureDefT(*maps, signatureKey="serving_default", subgraphIndex=0)
        model = schema.ModelT(
            version=_FORMAT_VERSION,
            description=about,
            operatorCodes=[self._code(kind) for kind in self._codes],
            subgraphs=[graph],
            buffers=[self._buffer(content) for content in self._buffers],
            signatureDefs=[signature],
        )
        builder = flatbuffers.Builder(1 << 20)
        builder.Finish(model.Pack(builder), _FORMAT)
        return bytes(builder.Output())

    def _code(self, kind: str) -> Any:
        number = getattr(self._schema.BuiltinOperator, kind)
        # An older field has room for 127 operators.
        largest = self._schema.BuiltinOperator.PLACEHOLDER_FOR_GREATER_OP_CODES
        return self._schema.OperatorCodeT(
            deprecatedBuiltinCode=min(number, largest), builtinCode=number, version=1
        )

    def _buffer(self, content: bytes) -> Any:
        data = np.frombuffer(content, np.uint8) if content else None
        return self._schema.BufferT(data=data)
