"""Runs graphs by LiteRT, and finds the ranges of their results."""

import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt

from speechcls.errors import ExportError
from speechcls.litert.graph import Graph, Range

Floats = npt.NDArray[np.float32]
_STDERR = 2
"""Its file descriptor."""


class Engine:
    """A graph that is run, on one thread.

    Raises
    ------
    ExportError
        When LiteRT is not installed, or does not take the graph.
    """

    def __init__(self, content: bytes, keeps_all: bool = False) -> None:
        interpreter = import_interpreter()
        resolver = interpreter.OpResolverType
        kind = resolver.BUILTIN_WITHOUT_DEFAULT_DELEGATES if keeps_all else resolver.AUTO
        try:
            with _without_stderr():
                self._engine = interpreter.Interpreter(
                    model_content=content,
                    num_threads=1,
                    experimental_preserve_all_tensors=keeps_all,
                    experimental_op_resolver_type=kind,
                )
                self._engine.allocate_tensors()
        except (RuntimeError, ValueError) as error:
            said = " ".join(str(error).split())
            raise ExportError(f"LiteRT takes no such graph ({said}); please report this") from error
        self._inputs = {each["name"]: each for each in self._engine.get_input_details()}
        self._outputs = {each["name"]: each for each in self._engine.get_output_details()}
        self.states: dict[str, npt.NDArray[Any]] = {}
        self.reset()

    @property
    def n_samples(self) -> int:
        """Samples in a run."""
        return int(self._inputs["samples"]["shape"][1])

    def reset(self) -> None:
        """Begin a stream anew."""
        self.states = {
            name: np.full(each["shape"], each["quantization"][1], each["dtype"])
            for name, each in self._inputs.items()
            if name != "samples"
        }

    def run(self, samples: Floats) -> Floats:
        """Return probabilities (1, n_labels) of samples (n,), and carry the states on."""
        for name, value in ({"samples": samples[None]} | self.states).items():
            self._engine.set_tensor(self._inputs[name]["index"], value)
        self._engine.invoke()
        for name in self.states:
            self.states[name] = self._output(f"{name}_next")
        return self._output("probabilities")

    def _output(self, name: str) -> npt.NDArray[Any]:
        return np.asarray(self._engine.get_tensor(self._outputs[name]["index"]))

    def value(self, index: int) -> npt.NDArray[Any]:
        """Return a tensor of an engine that keeps all."""
        return np.asarray(self._engine.get_tensor(index))


@contextmanager
def _without_stderr() -> Iterator[None]:
    """Send what is written on stderr nowhere: LiteRT says there by what it computes."""
    sys.stderr.flush()
    kept = os.dup(_STDERR)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, _STDERR)
    try:
        yield
    finally:
        os.dup2(kept, _STDERR)
        os.close(kept)
        os.close(nowhere)


def import_interpreter() -> Any:
    """Return the module of LiteRT's interpreter.

    Raises
    ------
    ExportError
        When it is not installed.
    """
    try:
        from ai_edge_litert import interpreter
    except ImportError as error:
        raise ExportError(
            "ai-edge-litert is not installed; run pip install 'speechcls[tflite]'"
        ) from error
    return interpreter


def find_ranges(graph: Graph, runs: Iterable[Floats]) -> Mapping[str, Range]:
    """Return the least and largest value of a graph's results, by their keys.

    Parameters
    ----------
    graph : of floats
    runs : samples (n,) of each run, one after the other
    """
    engine = Engine(graph.content(""), keeps_all=True)
    ranges = dict.fromkeys(graph.keys, (0.0, 0.0))
    for samples in runs:
        engine.run(samples)
        for key, indices in graph.keys.items():
            low, high = ranges[key]
            values = [engine.value(index) for index in indices]
            low = min(low, *(float(value.min()) for value in values))
            ranges[key] = low, max(high, *(float(value.max()) for value in values))
    return ranges
