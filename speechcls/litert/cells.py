"""Recurrent cells, one step at a time, as operators."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

from speechcls.artifact.constants import Matrix
from speechcls.litert.file import Tensor
from speechcls.litert.graph import UNIT, Graph


class Cell(ABC):
    """A layer of one direction.

    Parameters
    ----------
    name : of the layer, for the keys of its results
    from_input, from_state : its two linear layers, a row for each unit of each gate
    """

    n_states: ClassVar[int] = 1

    def __init__(self, graph: Graph, name: str, from_input: Matrix, from_state: Matrix) -> None:
        self.graph, self.name = graph, name
        self.size = from_state.weights.shape[1]
        self._of_input, self._of_state = self._parts(from_input), self._parts(from_state)

    @property
    def state_keys(self) -> list[str]:
        """Keys of the ranges of its states, of which the first one is its output."""
        return [UNIT, f"{self.name}.memory"][: self.n_states]

    def prepare(self, x: Tensor) -> list[list[Tensor]]:
        """Return what the steps of ``x`` (n_steps, n_inputs) take, (1, n) each: a list a step."""
        columns = []
        with self.graph.part(f"{self.name}.inputs"):
            for layer in self._of_input:
                columns.append(self.graph.split(self.graph.linear(x, layer), x.shape[0], 0))
        return [list(step) for step in zip(*columns, strict=True)]

    def _parts(self, layer: Matrix) -> list[Matrix]:
        """Return a linear layer as the parts that are treated alike."""
        return [layer]

    def step(self, inputs: Sequence[Tensor], states: Sequence[Tensor]) -> list[Tensor]:
        """Return the states (1, size) after a step."""
        with self.graph.part(f"{self.name}.step"):
            return self._after(inputs, states)

    @abstractmethod
    def _after(self, inputs: Sequence[Tensor], states: Sequence[Tensor]) -> list[Tensor]: ...


class RNN(Cell):
    """h = tanh(W x + U h + b)."""

    def _after(self, inputs: Sequence[Tensor], states: Sequence[Tensor]) -> list[Tensor]:
        g, [of_state] = self.graph, self._of_state
        return [g.tanh(g.add(inputs[0], g.linear(states[0], of_state)))]


class GRU(Cell):
    """h = n + z (h - n), with the gates r, z, n one after the other."""

    def _parts(self, layer: Matrix) -> list[Matrix]:
        return _rows(layer, (0, 2 * self.size), (2 * self.size, 3 * self.size))

    def _after(self, inputs: Sequence[Tensor], states: Sequence[Tensor]) -> list[Tensor]:
        g, [hidden] = self.graph, states
        of_gates, of_candidate = self._of_state
        gates = g.sigmoid(g.add(inputs[0], g.linear(hidden, of_gates)))
        reset, update = g.split(gates, 2, 1)
        remembered = g.multiply(reset, g.linear(hidden, of_candidate))
        candidate = g.tanh(g.add(inputs[1], remembered))
        change = g.multiply(update, g.subtract(hidden, candidate))
        return [g.add(candidate, change, key=UNIT)]


class LSTM(Cell):
    """c = f c + i g, h = o tanh(c), with the gates i, f, g, o one after the other."""

    n_states = 2

    def _parts(self, layer: Matrix) -> list[Matrix]:
        n = self.size
        order = [*range(2 * n), *range(3 * n, 4 * n), *range(2 * n, 3 * n)]  # i, f, o, g
        ordered = Matrix(layer.weights[order], layer.bias[order])
        return _rows(ordered, (0, 3 * n), (3 * n, 4 * n))

    def _after(self, inputs: Sequence[Tensor], states: Sequence[Tensor]) -> list[Tensor]:
        g, [hidden, memory] = self.graph, states
        of_gates, of_candidate = self._of_state
        gates = g.sigmoid(g.add(inputs[0], g.linear(hidden, of_gates)))
        come, keep, leave = g.split(gates, 3, 1)
        candidate = g.tanh(g.add(inputs[1], g.linear(hidden, of_candidate)))
        kept, new = g.multiply(keep, memory), g.multiply(come, candidate)
        memory = g.add(kept, new, key=self.state_keys[1])
        return [g.multiply(leave, g.tanh(memory), key=UNIT), memory]


def _rows(layer: Matrix, *ranges: tuple[int, int]) -> list[Matrix]:
    return [Matrix(layer.weights[a:b], layer.bias[a:b]) for a, b in ranges]


CELLS: dict[str, type[Cell]] = {"rnn": RNN, "gru": GRU, "lstm": LSTM}
"""Every cell that has a form here, by its name."""
