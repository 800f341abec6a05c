"""Memory and time that a run of a graph takes, known before it runs.

Nothing is computed but shapes and the few values they depend on. A graph whose sizes depend on the
samples themselves is refused, as is a loop whose number of rounds does.
"""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from speechcls.errors import ArtifactError
from speechcls.runtime.graph import Graph, GraphError, Node, read_graph
from speechcls.runtime.shapes import KNOWN_MAX, SHAPES, Call, Known, Shape, Values, values_of

OPERATORS = {*SHAPES, "If", "Loop", "SequenceEmpty", "SequenceInsert", "ConcatFromSequence"}
"""Operators that a model may have; ``If`` and ``Loop`` only as ``_choose`` and ``_repeat`` say."""
_IN_BRANCHES = {"Constant", "Identity", "Squeeze"}
_PER_NODE = 1_000
"""What it takes to start an operator, in multiply-adds."""
_PER_VALUE = 4
"""Multiply-adds that writing a value counts as."""
_VALUES_MAX = (2**25, 2**9, 2**30)
"""Values in memory at once: so many, so many more for each sample of a run, and these at most."""
_WORK_MAX = (2**34, 2**18, 2**50)
"""Multiply-adds of a run, in the same way: seconds, not hours. The largest of the models that come
with speechcls takes 2,400 per sample, and 6 million on each block of a stream."""


@dataclass
class Cost:
    """What a run takes."""

    n_values: int = 0
    """Largest number of values in memory at a time, without the weights."""
    work: int = 0
    """Multiply-adds, roughly."""


def check_operators(graph: Graph) -> None:
    """Refuse a graph with operators that no model of speechcls has.

    Raises
    ------
    GraphError
        When it has.
    """
    for node in graph.nodes:
        if node.op not in OPERATORS:
            raise GraphError(f"operator {node.op}, which no model of speechcls has")
        inner = [value for value in node.attributes.values() if isinstance(value, Graph)]
        allowed = {"If": {"then_branch", "else_branch"}, "Loop": {"body"}}.get(node.op, set())
        if {k for k, v in node.attributes.items() if isinstance(v, Graph)} != allowed:
            raise GraphError(f"{node.op} with or without a graph of its own")
        for each in inner:
            check_operators(each)
            if node.op == "If" and {n.op for n in each.nodes} - _IN_BRANCHES:
                raise GraphError("If with operators of its own")


def check_cost(graph: Graph, inputs: Mapping[str, Shape]) -> list[Shape]:
    """Return the shapes of the outputs; refuse a run that would take too much memory or time.

    Raises
    ------
    GraphError
        When it would, or when that cannot be known before it runs.
    """
    n_samples = math.prod(inputs["samples"])
    cost = Cost(sum(map(math.prod, inputs.values())))
    known = {name: Known(shape) for name, shape in inputs.items()}
    limits = [min(a + b * n_samples, top) for a, b, top in (_VALUES_MAX, _WORK_MAX)]
    try:
        outputs = _Run(cost, limits).graph(graph, known)
    except GraphError:
        raise
    except (ValueError, IndexError, KeyError, TypeError, OverflowError, ZeroDivisionError) as error:
        raise GraphError(f"operators that do not fit each other ({error})") from error
    return [output.shape for output in outputs]


class CheckedGraph:
    """The graph of a model, safe to open: read, and checked for a first run.

    Parameters
    ----------
    name : what messages call it
    n_samples : length of the first run (default: a second, or one step of a stream)

    Raises
    ------
    ArtifactError
        When it is damaged, has other operators, or would take too much memory or time.
    """

    def __init__(self, name: str, content: bytes, n_samples: int | None = None) -> None:
        self.name = name
        self._output_shapes: dict[Shape, list[Shape]] = {}
        try:
            graph = read_graph(content)
            check_operators(graph)
            self._states = _states(graph)
            """Inputs beside ``samples``."""
        except GraphError as error:
            raise ArtifactError(f"{name}: damaged ({error}); copy the model again") from error
        self.states = self.state_shapes(1)
        """Shapes of the inputs beside ``samples``, of one stream, by name."""
        self.batch_axes = {
            name: i
            for name, shape in self._states.items()
            for i, n in enumerate(shape)
            if isinstance(n, str)
        }
        """Axis of each of them that several streams share; empty where a run takes only one."""
        self.graph, self.metadata, self.step = graph, graph.metadata, graph.step
        rate = self.metadata.get("sample_rate", "")
        n_default = self.step or (int(rate) if re.fullmatch("[0-9]{1,9}", rate) else 0)
        self.samples_shape = graph.inputs[0].shape
        """Names stand for dimensions that are not fixed."""
        batch, length = self.samples_shape
        self.first_shape = (
            batch if isinstance(batch, int) else 1,
            length if isinstance(length, int) else n_samples or n_default,
        )
        self.output_shapes(self.first_shape)

    def state_shapes(self, batch: int) -> dict[str, Shape]:
        """Return the shapes of the inputs beside ``samples``, of some streams at once."""
        return {
            name: tuple(n if isinstance(n, int) else batch for n in shape)
            for name, shape in self._states.items()
        }

    def output_shapes(self, shape: Shape) -> list[Shape]:
        """Return the shapes of what a run on samples of a shape gives; each is checked once.

        Raises
        ------
        ArtifactError
            When it would take too much memory or time, or the graph does not take such samples.
        """
        if shape not in self._output_shapes:
            try:
                outputs = check_cost(self.graph, {"samples": shape} | self.state_shapes(shape[0]))
            except GraphError as error:
                raise ArtifactError(
                    f"{self.name}: not run ({error}); copy the model again"
                ) from error
            self._output_shapes[shape] = outputs
        return self._output_shapes[shape]


def _states(graph: Graph) -> dict[str, tuple[int | str, ...]]:
    """Return the shapes of a graph's inputs beside its samples, which may be of several streams.

    Then one axis of each is named as that of the samples.
    """
    samples, *states = graph.inputs or (None,)
    are_floats = all(value.is_float for value in (*graph.inputs, *graph.outputs))
    if samples is None or samples.name != "samples" or len(samples.shape) != 2 or not are_floats:
        raise GraphError("other inputs than a model of speechcls has")
    if len({value.name for value in graph.inputs}) != len(graph.inputs):
        raise GraphError("inputs of the same name")
    names = [[n for n in value.shape if isinstance(n, str)] for value in states]
    expected = [samples.shape[0]] if any(names) else []
    if any(each != expected for each in names) or "" in expected:
        raise GraphError("states without a shape")
    return {value.name: value.shape for value in states}


class _Run:
    """A run of a graph, without computing it."""

    def __init__(self, cost: Cost, limits: Sequence[int]) -> None:
        self.cost, self.limits = cost, limits
        self.n_live = cost.n_values

    def graph(self, graph: Graph, outer: Mapping[str, Known], rounds: int = 1) -> list[Known]:
        """Return the outputs of a graph that is run ``rounds`` times."""
        known = {**outer, **{name: _initial(array) for name, array in graph.tensors.items()}}
        before, last = self.n_live, _last_uses(graph)
        for i, node in enumerate(graph.nodes):
            inputs = [known[name] if name else None for name in node.inputs]
            outputs = self.node(node, inputs, known, rounds)
            for name, output in zip(node.outputs, outputs, strict=False):
                known[name] = output
            self.n_live += sum(output.size for output in outputs)
            self._check()
            for name in last.get(i, ()):
                self.n_live -= known[name].size
        self.n_live = before
        return [known[value.name] for value in graph.outputs]

    def node(
        self, node: Node, inputs: Sequence[Known | None], known: Mapping[str, Known], rounds: int
    ) -> list[Known]:
        """Return the outputs of an operator."""
        self.cost.work += rounds * _PER_NODE
        if node.op == "If":
            return self._choose(node, inputs, known, rounds)
        if node.op == "Loop":
            return self._repeat(node, inputs, known, rounds)
        call = Call(node, inputs)
        if node.op == "SequenceEmpty":
            return [Known((), n_in_sequence=0)]
        if node.op == "SequenceInsert":
            sequence, each = inputs[0], call.shape(1)
            n = sequence.n_in_sequence if sequence else None
            if n is None or (n and sequence and sequence.shape != each):
                raise GraphError("SequenceInsert of another shape")
            return [Known(each, n_in_sequence=n + 1)]
        if node.op == "ConcatFromSequence":
            return [_joined(call)]
        shapes = SHAPES[node.op](call)[: len(node.outputs)]
        if any(n < 0 for shape in shapes for n in shape):
            raise GraphError(f"{node.op} of shape {shapes}")
        self.cost.work += rounds * _work(call, shapes)
        self._check(sum(math.prod(shape) for shape in shapes))
        return [
            Known(shape, values_of(call, shape) if i == 0 else None)
            for i, shape in enumerate(shapes)
        ]

    def _choose(
        self, node: Node, inputs: Sequence[Known | None], known: Mapping[str, Known], rounds: int
    ) -> list[Known]:
        """Return the outputs of the branch that is taken, as torch exports ``squeeze``."""
        [is_true] = Call(node, inputs).values(0)
        branch = node.attributes["then_branch" if is_true else "else_branch"]
        return self.graph(branch, known, rounds)

    def _repeat(
        self, node: Node, inputs: Sequence[Known | None], known: Mapping[str, Known], rounds: int
    ) -> list[Known]:
        """Return what a loop carries to its end, as torch exports a recurrence step by step.

        The number of rounds must be known, and what is carried must keep its shape; a sequence
        grows by a tensor in each round.
        """
        call, body = Call(node, inputs), node.attributes["body"]
        [n_rounds] = call.values(0)
        carried = [known for known in inputs[2:] if known is not None]
        names = [value.name for value in body.inputs]
        if len(names) != 2 + len(carried) or len(body.outputs) != 1 + len(carried):
            raise GraphError("Loop that collects outputs")
        n_rounds = max(0, n_rounds)
        self.cost.work += rounds * n_rounds * _PER_NODE
        self._check()
        start = [
            Known(()),
            Known(()),
            *(Known(each.shape, None, each.n_in_sequence) for each in carried),
        ]
        inner = {**known, **dict(zip(names, start, strict=True))}
        _, *after = self.graph(body, inner, rounds * n_rounds)
        ends = []
        for first, then in zip(carried, after, strict=True):
            if first.n_in_sequence is None or then.n_in_sequence is None:
                if first.shape != then.shape or first.n_in_sequence != then.n_in_sequence:
                    raise GraphError("Loop that carries what changes its shape")
                ends.append(Known(then.shape))
            else:
                grown = n_rounds * (then.n_in_sequence - first.n_in_sequence)
                ends.append(Known(then.shape, None, first.n_in_sequence + grown))
        return ends

    def _check(self, n_more: int = 0) -> None:
        """Refuse what takes more than the limits."""
        self.cost.n_values = max(self.cost.n_values, self.n_live + n_more)
        if self.cost.n_values > self.limits[0]:
            size = self.cost.n_values * 4 / 1e6
            raise GraphError(f"needs {size:,.0f} MB for one run, above the limit")
        if self.cost.work > self.limits[1]:
            raise GraphError(
                f"needs {self.cost.work:.1e} multiply-adds for one run, above the limit"
            )


def _initial(array: Values) -> Known:
    return Known(array.shape, array if array.size <= KNOWN_MAX else None)


def _joined(call: Call) -> Known:
    """Return what ConcatFromSequence makes of a sequence of tensors of one shape."""
    sequence = call.inputs[0]
    if sequence is None or sequence.n_in_sequence is None:
        raise GraphError("ConcatFromSequence of no sequence")
    shape, axis, n = list(sequence.shape), call.attribute("axis", 0), sequence.n_in_sequence
    if call.attribute("new_axis", 0):
        axis = axis % (len(shape) + 1)
        return Known((*shape[:axis], n, *shape[axis:]))
    shape[axis] *= n
    return Known(tuple(shape))


def _last_uses(graph: Graph) -> dict[int, list[str]]:
    """Return which values of a graph are used for the last time by each of its nodes."""
    last = {}
    for i, node in enumerate(graph.nodes):
        for name in (*node.outputs, *_uses(node)):
            last[name] = i
    made = {name for node in graph.nodes for name in node.outputs if name}
    kept = {value.name for value in graph.outputs}
    by_node: dict[int, list[str]] = {}
    for name in made - kept:
        by_node.setdefault(last[name], []).append(name)
    return by_node


def _uses(node: Node) -> Iterable[str]:
    """Yield the names that a node reads, those in its own graphs included."""
    yield from node.inputs
    for value in node.attributes.values():
        if isinstance(value, Graph):
            for inner in value.nodes:
                yield from _uses(inner)
            yield from (output.name for output in value.outputs)


def _work(call: Call, shapes: Sequence[Shape]) -> int:
    """Return about how many multiply-adds an operator takes."""
    op, n_out = call.node.op, sum(map(math.prod, shapes))
    n_in = sum(known.size for known in call.inputs if known is not None)
    if op == "MatMul":
        return n_out * call.shape(0)[-1]
    if op == "Gemm":
        return n_out * max(call.shape(0))
    if op in ("AveragePool", "MaxPool"):
        return n_out * int(math.prod(call.attribute("kernel_shape", ())))
    if op == "Conv":
        return n_out * math.prod(call.shape(1)[1:])
    if op in ("GRU", "LSTM", "RNN"):
        n_steps, batch = call.shape(0)[:2]
        return n_steps * batch * (math.prod(call.shape(1)) + math.prod(call.shape(2)))
    return _PER_VALUE * (n_in + n_out)
