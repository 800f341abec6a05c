"""A causal network as the matrices and convolutions that its C code has, batch norms folded in."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from speechcls.artifact.constants import Matrix, fold_norm, linear_layer
from speechcls.artifact.format import WEIGHTS, Artifact, Weights
from speechcls.artifact.store import load_weights
from speechcls.errors import ArtifactError, ExportError

CELL_OF_ARCH = {"rnn": "rnn", "lstm": "lstm", "gru": "gru", "crnn": "gru"}
"""Kind of cell of each architecture that has a form in C."""
_BLOCK = 4
"""Frames in each step of a network whose front end is a linear layer over blocks."""
_N_GATES = {"rnn": 1, "gru": 3, "lstm": 4}


@dataclass(frozen=True)
class Convolution:
    """A convolution over time and bands, and what comes with it."""

    kernel: Matrix
    """A row for each output channel, of its weights (time, band, input channel)."""
    n_inputs: int
    """Channels."""
    n_outputs: int
    width: int
    """Of the kernel, over time and over bands."""
    time_stride: int
    band_stride: int
    n_bands: int
    n_times: int
    """Frames that each step brings."""
    is_residual: bool

    @property
    def n_bands_out(self) -> int:
        """Bands of its output."""
        return -(-self.n_bands // self.band_stride)

    @property
    def n_times_out(self) -> int:
        """Frames of its output in each step."""
        return self.n_times // self.time_stride

    @property
    def n_values(self) -> int:
        """Values of its input, with the frames that came before."""
        return (self.width - 1 + self.n_times) * self.n_bands * self.n_inputs


@dataclass(frozen=True)
class CausalNetwork:
    """A network that takes a stream step by step."""

    cell: str
    """``rnn``, ``gru`` or ``lstm``."""
    frames_per_step: int
    convolutions: Sequence[Convolution]
    block: Matrix | None
    """Linear layer over a block of frames, with ReLU."""
    project: Matrix | None
    """Linear layer behind the convolutions."""
    layers: Sequence[tuple[Matrix, Matrix]]
    """Of each recurrent layer that of its input and that of its state."""
    output: Matrix

    @property
    def hidden_size(self) -> int:
        """Units of a recurrent layer."""
        return int(self.layers[0][1].weights.shape[1])

    @property
    def matrices(self) -> list[Matrix]:
        """Every linear layer, kernels of convolutions among them."""
        layers = [matrix for layer in self.layers for matrix in layer]
        singles = [matrix for matrix in (self.block, self.project) if matrix is not None]
        kernels = [convolution.kernel for convolution in self.convolutions]
        return [*kernels, *singles, *layers, self.output]

    @property
    def n_gates(self) -> int:
        """Rows of a recurrent layer for each of its units."""
        return _N_GATES[self.cell]


def check_has_c(artifact: Artifact) -> None:
    """Refuse a model that has no form in C.

    Raises
    ------
    ExportError
        Naming the architectures that have.
    """
    network, n_fft = artifact.network, artifact.features.n_fft
    if network.arch not in CELL_OF_ARCH or not network.is_streaming:
        needs = "waits for the end of a clip" if network.arch in CELL_OF_ARCH else "has no C form"
        raise ExportError(
            f"{artifact.path}: {network.arch} with the readout {network.readout} {needs};"
            f" {', '.join(CELL_OF_ARCH)} have one, trained for streams"
        )
    if n_fft < 16 or n_fft & (n_fft - 1):
        raise ExportError(
            f"{artifact.path}: n_fft {n_fft} is no power of two from 16 on, which the transform in"
            " C needs; train with another one"
        )


def read_network(artifact: Artifact) -> CausalNetwork:
    """Return the network of a model.

    Raises
    ------
    ExportError
        When it has no form in C.
    ArtifactError
        When its weights are missing, damaged or of another network.
    """
    check_has_c(artifact)
    try:
        return _read(artifact, load_weights(artifact))
    except (KeyError, ValueError, IndexError) as error:
        raise ArtifactError(
            f"{artifact.path / WEIGHTS}: does not fit config.json; copy the model again"
        ) from error


def _read(artifact: Artifact, weights: Weights) -> CausalNetwork:
    arch, n_features = artifact.network.arch, artifact.features.n_features
    cell, front = CELL_OF_ARCH[arch], "network.front_end"
    convolutions: list[Convolution] = []
    block = project = None
    frames_per_step = 1
    if arch == "crnn":
        frames_per_step = artifact.network.step_frames
        convolutions = _convolutions(weights, n_features, frames_per_step)
        last = convolutions[-1]
        project = linear_layer(weights, f"{front}.project")
        # torch has (channel, band), the maps in C (band, channel)
        by_channel = project.weights.reshape(-1, last.n_outputs, last.n_bands_out)
        reordered = by_channel.transpose(0, 2, 1).reshape(len(by_channel), -1)
        project = Matrix(np.ascontiguousarray(reordered), project.bias)
    elif cell != "rnn":
        frames_per_step = _BLOCK
        kernel = weights[f"{front}.project.weight"].transpose(0, 2, 1)  # (size, time, feature)
        block = fold_norm(weights, f"{front}.norm", kernel.reshape(len(kernel), -1))
    layers = [
        (
            _plain(weights, f"network.recurrence.{{}}_ih_l{number}"),
            _plain(weights, f"network.recurrence.{{}}_hh_l{number}"),
        )
        for number in range(artifact.network.num_layers)
    ]
    output = linear_layer(weights, "network.output")
    return CausalNetwork(cell, frames_per_step, convolutions, block, project, layers, output)


def _convolutions(weights: Weights, n_bands: int, n_times: int) -> list[Convolution]:
    found, strides = [], ((2, 2), (1, 1), (n_times // 2, 2), (1, 1))
    for number, (time_stride, band_stride) in enumerate(strides):
        stage = f"network.front_end.stages.{number}"
        kernel = weights[f"{stage}.convolution.weight"]  # (outputs, inputs, time, band)
        n_outputs, n_inputs, width, _ = kernel.shape
        rows = kernel.transpose(0, 2, 3, 1).reshape(n_outputs, -1)
        convolution = Convolution(
            fold_norm(weights, f"{stage}.norm", rows),
            n_inputs,
            n_outputs,
            width,
            time_stride,
            band_stride,
            n_bands,
            n_times,
            is_residual=n_inputs == n_outputs and (time_stride, band_stride) == (1, 1),
        )
        n_bands, n_times = convolution.n_bands_out, convolution.n_times_out
        found.append(convolution)
    return found


def _plain(weights: Weights, name: str) -> Matrix:
    return Matrix(weights[name.format("weight")], weights[name.format("bias")])
