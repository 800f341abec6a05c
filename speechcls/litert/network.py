"""Features to logits: front end, recurrent layers, readout and the last layer, as operators."""

from dataclasses import dataclass

import numpy as np

from speechcls.artifact.constants import Matrix, fold_norm, linear_layer
from speechcls.artifact.format import Artifact, Weights
from speechcls.errors import ExportError
from speechcls.litert.cells import CELLS, Cell
from speechcls.litert.file import Tensor
from speechcls.litert.graph import Graph

_BLOCK = 4
"""Frames in each step behind a linear layer over blocks."""
_N_HEADS = {"att-bigru": 4, "att-bilstm": 4}
_FRONT, _RECURRENCE = "network.front_end", "network.recurrence"
_READOUT, _OUTPUT = "network.readout", "network.output"


@dataclass(frozen=True)
class Form:
    """What an architecture is made of."""

    cell: str
    front: str
    """``none``, ``block`` or ``convolutions``."""
    both_ways: bool = False


FORMS = {
    "rnn": Form("rnn", "none"),
    "birnn": Form("rnn", "none", True),
    "lstm": Form("lstm", "block"),
    "bilstm": Form("lstm", "block", True),
    "gru": Form("gru", "block"),
    "bigru": Form("gru", "block", True),
    "crnn": Form("gru", "convolutions"),
    "att-bigru": Form("gru", "convolutions", True),
    "att-bilstm": Form("lstm", "convolutions", True),
}
"""Every architecture that has a form here."""


def form_of(artifact: Artifact) -> Form:
    """Return what the network of a model is made of.

    Raises
    ------
    ExportError
        When its architecture has no form here.
    """
    arch = artifact.network.arch
    if arch not in FORMS:
        raise ExportError(
            f"{artifact.path}: {arch} has no form in LiteRT; {', '.join(FORMS)} have one, and onnx"
            " takes any"
        )
    return FORMS[arch]


class NetworkOperators:
    """Adds the operators of a model's network to a graph."""

    def __init__(self, graph: Graph, artifact: Artifact, weights: Weights) -> None:
        self._graph, self._weights = graph, weights
        self._network, self._form = artifact.network, form_of(artifact)
        steps = {"none": 1, "block": _BLOCK, "convolutions": artifact.network.step_frames}
        self.frames_per_step = steps[self._form.front]

    def clip_logits(self, features: Tensor) -> Tensor:
        """Return logits of the standardised features (n_frames, n_features) of a clip.

        Returns
        -------
        (1, n_words), or of a causal network (n_steps, n_words)
        """
        if self._network.is_streaming:
            n_frames = features.shape[0] // self.frames_per_step * self.frames_per_step
            features = self._graph.slice(features, 0, 0, n_frames)
        x = self._front_end(self._graph.to_integers(features), is_stream=False)
        for number in range(self._network.num_layers):
            ways = [self._sequence(x, number, way) for way in range(1 + self._form.both_ways)]
            x = self._graph.concatenate(ways, 1)
        pooled = x if self._network.is_streaming else self._pooled(x)
        return self._logits(pooled)

    def stream_logits(self, features: Tensor) -> Tensor:
        """Return logits (1, n_words) of the features of a step; adds the states to the graph."""
        graph = self._graph
        x = self._front_end(graph.to_integers(features), is_stream=True)
        for number in range(self._network.num_layers):
            cell = self._cell(number, 0)
            names = [f"{name}{number}" for name in ("hidden", "memory")[: cell.n_states]]
            states = [
                graph.input(name, (1, cell.size), graph.rounding(key))
                for name, key in zip(names, cell.state_keys, strict=True)
            ]
            [inputs] = cell.prepare(x)
            after = cell.step(inputs, states)
            graph.outputs |= {f"{name}_next": s for name, s in zip(names, after, strict=True)}
            x = after[0]
        return self._logits(x)

    def _logits(self, x: Tensor) -> Tensor:
        with self._graph.part("output"):
            logits = self._graph.linear(x, linear_layer(self._weights, _OUTPUT))
        return self._graph.to_floats(logits)

    def _front_end(self, x: Tensor, is_stream: bool) -> Tensor:
        """Return (n_steps, size) of features (n_frames, n_features)."""
        with self._graph.part("front"):
            if self._form.front == "block":
                return self._blocks(x, is_stream)
            return self._convolutions(x, is_stream) if self._form.front != "none" else x

    def _blocks(self, x: Tensor, is_stream: bool) -> Tensor:
        graph, n_before = self._graph, _BLOCK - 1
        if is_stream:
            x = self._continued("front0", x, n_before, 0)
        else:
            # Block i ends with frame 4 i; of a clip the last one may lack frames.
            n_frames = x.shape[0]
            n_steps = n_frames // _BLOCK
            if not self._network.is_streaming:
                n_steps = (n_frames + 2 * n_before) // _BLOCK
            missing = n_steps * _BLOCK - n_before - n_frames
            x = graph.pad(x, (n_before, max(0, missing)), (0, 0))
        n_steps = x.shape[0] // _BLOCK
        x = graph.slice(x, 0, 0, n_steps * _BLOCK)
        x = graph.reshape(x, n_steps, _BLOCK * x.shape[1])
        kernel = self._weights[f"{_FRONT}.project.weight"].transpose(0, 2, 1)
        layer = fold_norm(self._weights, f"{_FRONT}.norm", kernel.reshape(len(kernel), -1))
        return graph.linear(x, layer, relu=True)

    def _continued(self, name: str, x: Tensor, n_before: int, axis: int) -> Tensor:
        """Return ``x`` behind the frames of the block before, which become a state."""
        graph, shape = self._graph, list(x.shape)
        shape[axis] = n_before
        x = graph.concatenate([graph.input(name, shape, x.rounding), x], axis)
        n = x.shape[axis]
        graph.outputs[f"{name}_next"] = graph.slice(x, axis, n - n_before, n)
        return x

    def _convolutions(self, x: Tensor, is_stream: bool) -> Tensor:
        graph, is_causal = self._graph, not self._form.both_ways
        maps = graph.reshape(x, 1, *x.shape, 1)  # (1, time, band, channel)
        strides = ((2, 2), (1, 1), (self.frames_per_step // 2, 2), (1, 1))
        for number, stride in enumerate(strides):
            name = f"{_FRONT}.stages.{number}"
            kernel = self._weights[f"{name}.convolution.weight"].transpose(0, 2, 3, 1)
            rows = kernel.reshape(len(kernel), -1)
            layer = fold_norm(self._weights, f"{name}.norm", rows)
            width, before = kernel.shape[1], maps
            times = (width - 1, 0) if is_causal else (width // 2, width // 2)
            if is_stream:
                maps, times = self._continued(f"front{number}", maps, width - 1, 1), (0, 0)
            padded = graph.pad(maps, (0, 0), times, (width // 2, width // 2), (0, 0))
            is_residual = stride == (1, 1) and kernel.shape[0] == kernel.shape[3]
            kernel = np.ascontiguousarray(layer.weights.reshape(kernel.shape))
            maps = graph.convolution(padded, kernel, layer.bias, stride, relu=not is_residual)
            maps = graph.add(maps, before, relu=True) if is_residual else maps
        _, n_steps, n_bands, n_channels = maps.shape
        project = linear_layer(self._weights, f"{_FRONT}.project")
        # torch has (channel, band), the maps here (band, channel)
        weights = project.weights.reshape(-1, n_channels, n_bands).transpose(0, 2, 1)
        rows = weights.reshape(len(weights), -1)
        x = graph.reshape(maps, n_steps, n_bands * n_channels)
        return graph.linear(x, Matrix(rows, project.bias))

    def _cell(self, number: int, way: int) -> Cell:
        """Return a layer of one direction: 0 forward, 1 backward."""
        end = f"l{number}{'_reverse' * way}"
        matrices = [
            Matrix(
                self._weights[f"{_RECURRENCE}.weight_{of}_{end}"],
                self._weights[f"{_RECURRENCE}.bias_{of}_{end}"],
            )
            for of in ("ih", "hh")
        ]
        return CELLS[self._form.cell](self._graph, end, *matrices)

    def _sequence(self, x: Tensor, number: int, way: int) -> Tensor:
        """Return the outputs (n_steps, size) of one direction of a layer."""
        graph, cell = self._graph, self._cell(number, way)
        states = [graph.zeros((1, cell.size), graph.rounding(key)) for key in cell.state_keys]
        outputs = []
        for inputs in cell.prepare(x)[:: -1 if way else 1]:
            states = cell.step(inputs, states)
            outputs.append(states[0])
        return graph.concatenate(outputs[:: -1 if way else 1], 0)

    def _pooled(self, x: Tensor) -> Tensor:
        """Return one vector (1, size) of outputs (n_steps, size)."""
        graph, kind = self._graph, self._network.readout
        n = x.shape[0]
        with graph.part("readout"):
            if kind == "attention":
                return graph.to_integers(self._attention(x))
            if kind == "mean":
                return graph.to_integers(graph.mean(graph.to_floats(x), 0))
            if not self._form.both_ways:
                return graph.slice(x, 0, n - 1, n)
            forward, backward = graph.split(x, 2, 1)
            ends = [graph.slice(forward, 0, n - 1, n), graph.slice(backward, 0, 0, 1)]
            return graph.concatenate(ends, 1)

    def _attention(self, x: Tensor) -> Tensor:
        """Return the mean (1, size) of ``x`` (n_steps, size) by learnt weights, as floats."""
        graph, (n, size) = self._graph, x.shape
        n_heads = _N_HEADS.get(self._network.arch, 1)
        energy = graph.tanh(graph.linear(x, linear_layer(self._weights, f"{_READOUT}.project")))
        score = self._weights[f"{_READOUT}.score.weight"]
        scores = graph.linear(energy, Matrix(score, np.zeros(len(score), np.float32)))
        by_head = graph.transpose(graph.to_floats(scores), 1, 0)  # (heads, steps)
        shares = graph.reshape(graph.softmax(by_head), n_heads, 1, n)
        values = graph.reshape(graph.to_floats(x), n, n_heads, size // n_heads)
        pooled = graph.products(shares, graph.transpose(values, 1, 0, 2))
        return graph.reshape(pooled, 1, size)
