"""Causal models with weights drawn at random, saved as training saves them."""

import torch

from speechcls.artifact.calibration import Calibration, save_calibration
from speechcls.artifact.format import Artifact
from speechcls.artifact.store import load_artifact, save_artifact
from speechcls.config import FeatureConfig, NetworkConfig
from speechcls.export.onnx import export_onnx, export_stream
from speechcls.labels import label_indices
from speechcls.networks.recogniser import build_recogniser

LABELS = ("yes", "no", "_unknown_", "_silence_")
WORDS = ("yes", "no", "cat", "dog", "_silence_")


def save_causal_model(
    path, arch, words=WORDS, n_layers=2, hidden_size=24, step_frames=4, **features
):
    """A streaming model whose norms and statistics are not those of the start."""
    config = FeatureConfig(**{"kind": "log-mel", "running_s": 1.0} | features)
    network = NetworkConfig(arch, hidden_size, n_layers, readout="stream", step_frames=step_frames)
    recogniser = build_recogniser(config, network, label_indices(words, LABELS), seed=1)
    generator = torch.Generator().manual_seed(0)
    for name, value in recogniser.state_dict().items():
        if name.endswith(("running_mean", "norm.bias", "output.bias", "bias_hh_l0")):
            value.normal_(0, 0.3, generator=generator)
        if name.endswith(("running_var", "norm.weight")):
            value.uniform_(0.5, 2.0, generator=generator)
        if name.endswith("output.weight"):
            value.mul_(8.0)  # so that probabilities depend on the sound
        if name == "feature_mean":
            value.fill_(-30.0)
        if name == "feature_std":
            value.uniform_(10.0, 20.0, generator=generator)
    model = Artifact(path, config, network, LABELS, words)
    weights = {name: value.numpy() for name, value in recogniser.state_dict().items()}
    graphs = (export_onnx(recogniser, list(LABELS)), export_stream(recogniser, list(LABELS)))
    save_artifact(model, weights, graphs[0], {}, [], stream=graphs[1])
    words = [label for label in LABELS if not label.startswith("_")]
    save_calibration(model, Calibration(dict.fromkeys(words, 0.7), 0.5, 1.0, 0, 1.0, 1.4, 9, 0, 0))
    return load_artifact(path)
