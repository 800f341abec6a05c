"""Small untrained models to look into, shared by the tests of ``explain``."""

import numpy as np
import torch

from speechcls.artifact.format import Artifact
from speechcls.artifact.snapshots import snapshot_bytes
from speechcls.artifact.store import save_artifact
from speechcls.export.onnx import export_onnx
from speechcls.networks.recogniser import build_recogniser
from speechcls.runtime.classifier import Classifier

LABELS = ("no", "yes", "_unknown_")
WORDS = ("no", "yes", "bed", "cat")  # the last two count as _unknown_
LABEL_OF_OUTPUT = (0, 1, 2, 2)


def make_network(features, network, change, seed=1):
    """A recogniser whose network is ``change``d after it is initialised."""
    recogniser = build_recogniser(features, network, LABEL_OF_OUTPUT, seed=seed).eval()
    with torch.no_grad():
        change(recogniser)
    return recogniser


def make_model(
    path, features, network, change=lambda recogniser: None, weights_of=None, snapshots=None,
    metrics=None,
):  # fmt: skip
    """A classifier whose network is ``change``d after it is initialised, and it in torch.

    ``snapshots`` are recognisers by their epoch.
    """
    recogniser = make_network(features, network, change)
    artifact = Artifact(path, features, network, LABELS, WORDS)
    state = (weights_of or recogniser).state_dict()
    weights = {name: tensor.numpy().copy() for name, tensor in state.items()}
    kept = None
    if snapshots:
        kept = snapshot_bytes(
            {
                epoch: {name: tensor.numpy() for name, tensor in each.state_dict().items()}
                for epoch, each in snapshots.items()
            }
        )
    graph = export_onnx(recogniser, list(LABELS))
    save_artifact(artifact, weights, graph, metrics or {}, [], snapshots=kept)
    return Classifier(artifact, jobs=1), recogniser


def make_lively(recogniser, seed=3):
    """Give every weight and statistic a value of its own, and probabilities far from even ones."""
    torch.manual_seed(seed)
    for parameter in recogniser.parameters():
        parameter.add_(0.2 * torch.randn_like(parameter))
    recogniser.network.output.weight.mul_(4.0)
    recogniser.feature_mean.copy_(-20 + 5 * torch.randn_like(recogniser.feature_mean))
    recogniser.feature_std.mul_(15.0)
    for module in recogniser.modules():
        if isinstance(module, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2.0)


def noise_and_tone(n_samples, rng):
    samples = 0.02 * rng.standard_normal(n_samples, dtype=np.float32)
    middle = slice(n_samples // 3, 2 * n_samples // 3)
    samples[middle] += 0.3 * np.sin(0.2 * np.arange(n_samples)[middle]).astype(np.float32)
    return samples
