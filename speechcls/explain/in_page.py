"""A network as a page runs it: its weights as text, and the features of the clip.

The scripts in ``templates/explain`` carry these weights over the clip as ``recurrence`` and
``unroll`` do, so that a change is answered without a server.
"""

import base64
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from speechcls.audio.samples import FloatArray as Array
from speechcls.explain.trace import Explanation, with_prefix
from speechcls.explain.unroll import split_layer
from speechcls.networks.frontends import BlockFrontEnd, ConvFrontEnd, FrontEnd
from speechcls.networks.recogniser import Recogniser
from speechcls.networks.recurrent import Recurrent
from speechcls.networks.size import count_parameters

N_WEIGHTS_MAX = 500_000
"""Weights of a network that a page carries: 2.7 MB of text, and one pass in the time that a person
waits for without wondering. Every hidden size that is chosen by a number of parameters fits."""
N_SNAPSHOT_WEIGHTS_MAX = 1_500_000
"""Weights of all snapshots that a page carries: 8 MB of text."""
CELLS = ("rnn", "lstm", "gru", "lstmp", "fastrnn", "mingru")
"""Cells whose arithmetic is in ``templates/explain/cells.js``."""


def network_content(explanation: Explanation) -> dict[str, Any]:
    """Return a network and its input as JSON-ready values, or the ``reason`` why it is left out."""
    recogniser = explanation.recogniser
    network = recogniser.network
    if reason := _reason_against(explanation):
        return {"reason": reason}
    assert isinstance(network, Recurrent)
    return {
        "cell": explanation.cell,
        "n_weights": count_parameters(network),
        "layers": _layers(network, explanation),
        "readout": {
            "kind": network.readout.kind,
            **{
                name.replace(".", "_"): array_text(array)
                for name, array in _part(network, "readout")
            },
        },
        "output": {name: array_text(array) for name, array in _part(network, "output")},
        "front": _front_end(network.front_end),
        "n_labels": len(explanation.labels),
        "label_of_word": recogniser.label_of_word.argmax(dim=1).tolist(),
        "temperature": explanation.temperature,
        "is_streaming": network.is_streaming,
        "frames": array_text(explanation.features),
        "frame_s": explanation.config.hop_length / explanation.config.sample_rate,
        "silence": array_text(silence_of(recogniser)),
    }


def choose_snapshots(explanation: Explanation) -> tuple[list[Explanation], str]:
    """Return the snapshots that a page carries, and why it does not carry the others.

    Where they are too many, the first and the last one are among them and the others between.
    """
    snapshots = list(explanation.snapshots)
    if reason := _reason_against(explanation):
        return [], reason
    most = N_SNAPSHOT_WEIGHTS_MAX // count_parameters(explanation.recogniser.network)
    if len(snapshots) <= most:
        return snapshots, ""
    places = np.linspace(0, len(snapshots) - 1, most).round().astype(int)
    reason = f"a page carries at most {N_SNAPSHOT_WEIGHTS_MAX:,} weights of snapshots"
    return [snapshots[place] for place in places], reason


def _reason_against(explanation: Explanation) -> str:
    """Return why a page does not run a network; the empty string if it does."""
    network = explanation.recogniser.network
    if not explanation.layers:
        return f"{explanation.arch} has no recurrent layers whose equations are known"
    if explanation.cell not in CELLS:
        return f"the page does not know the arithmetic of {explanation.cell}"
    front = getattr(network, "front_end", None)
    if front is not None and not isinstance(front, BlockFrontEnd | ConvFrontEnd):
        return f"the page does not know the front end of {explanation.arch}"
    if (n_weights := count_parameters(network)) > N_WEIGHTS_MAX:
        return (
            f"the network has {n_weights:,} weights, and a page carries at most {N_WEIGHTS_MAX:,},"
            " so that it answers at once; in Python speechcls.explain.unroll does the same"
        )
    return ""


def silence_of(recogniser: Recogniser) -> Array:
    """Return a standardised frame (n_features,) of silence: every band at the lowest level."""
    features = recogniser.features
    floor = torch.full((1, 1, features.config.n_mels), features.config.power_floor)
    with torch.no_grad():
        lowest = features.from_energies(floor, torch.ones(1, 1, 1))
        frame: Array = recogniser.normalise(lowest)[0, 0].numpy()
    return frame


def _layers(network: Recurrent, explanation: Explanation) -> list[dict[str, Any]]:
    """Return the weights of each layer by direction, and in these by gate."""
    weights = with_prefix(_arrays(network), "recurrence.")
    layers = []
    for number, directions in enumerate(explanation.layers):
        layer = {}
        for way in directions:
            parts, arguments = split_layer(network.cell.name, weights, number, way, np.float32)
            layer[way] = {
                "gates": {
                    gate: {name: array_text(array) for name, array in part.items()}
                    for gate, part in parts.items()
                },
                **{name: array_text(array) for name, array in arguments.items()},
            }
        layers.append(layer)
    return layers


def _front_end(front: FrontEnd | None) -> dict[str, Any]:
    """Return the layers before the recurrence, batch norm multiplied into their weights."""
    if front is None:
        return {"kind": "none", "layers": []}
    if isinstance(front, BlockFrontEnd):
        return {"kind": "block", **_convolution(front.project.weight, front.norm)}
    stages = [
        {
            **_convolution(stage.convolution.weight, stage.norm),
            "stride": list(stage.stride),
            "is_residual": stage.is_residual,
        }
        for stage in _stages(front)
    ]
    project = {name: array_text(array) for name, array in _part(front, "project")}
    return {"kind": "conv", "stages": stages, "is_causal": front.is_causal, "project": project}


def _stages(front: FrontEnd) -> list[Any]:
    """Return the convolutions of a front end, the first one first."""
    return list(front.stages)  # type: ignore[arg-type]


def _convolution(weight: torch.Tensor, norm: Any) -> dict[str, Any]:
    """Return weights and biases of a convolution with batch norm."""
    scale = (norm.weight.double() / torch.sqrt(norm.running_var.double() + norm.eps)).detach()
    shape = (-1, *[1] * (weight.dim() - 1))
    folded = weight.detach().double() * scale.reshape(shape)
    bias = norm.bias.detach().double() - norm.running_mean.double() * scale
    return {"weight": array_text(folded.numpy()), "bias": array_text(bias.numpy())}


def _part(network: torch.nn.Module, name: str) -> list[tuple[str, Array]]:
    return list(with_prefix(_arrays(network), f"{name}.").items())


def _arrays(network: torch.nn.Module) -> Mapping[str, Array]:
    return {name: tensor.numpy() for name, tensor in network.state_dict().items()}


def array_text(array: Array) -> dict[str, Any]:
    """Return an array as the page reads it: its shape, and float32 bytes in base64, exact."""
    values = np.ascontiguousarray(array, dtype="<f4")
    return {"shape": list(values.shape), "float32": base64.b64encode(values.tobytes()).decode()}
