"""Pages of ``explain`` of small models, for the tests that open them in a browser."""

import re

import numpy as np
import torch
from common_explaining import make_lively, make_model, noise_and_tone

from speechcls.config import FeatureConfig, NetworkConfig
from speechcls.explain.page import write_explanation
from speechcls.explain.trace import explain
from speechcls.networks.zoo import feature_kind
from speechcls.render.figures import new_figure

KINDS = [
    ("rnn", "last"),
    ("lstm", "stream"),
    ("gru", "mean"),
    ("lstmp", "last"),
    ("fastrnn", "attention"),
    ("mingru", "attention"),
    ("bilstm", "last"),
    ("att-bigru", "attention"),
    ("crnn", "stream"),
]
"""Every cell, readout, front end and direction."""


def make_case(folder, arch, readout, hidden_size=8, num_layers=2):
    """A model, its explanation of a clip, and the page of that."""
    running_s = 1.0 if readout == "stream" else 0.0
    features = FeatureConfig(kind=feature_kind(arch), duration_s=0.42, running_s=running_s)
    network = NetworkConfig(
        arch=arch, hidden_size=hidden_size, num_layers=num_layers, readout=readout
    )
    classifier, _ = make_model(folder / f"{arch}-{readout}", features, network, make_lively)
    samples = noise_and_tone(features.n_samples, np.random.default_rng(0))
    explanation = explain(classifier, samples)
    page = folder / f"{arch}-{readout}.html"
    write_explanation(explanation, new_figure(1.0, 1.0), arch, num_layers, page)
    return classifier, explanation, page


def torch_answer(recogniser, features):
    """The probabilities (n_labels,) of a recogniser in torch for standardised features."""
    with torch.no_grad():
        logits = recogniser.logits_of(torch.as_tensor(features)[None].float())
        return logits.softmax(dim=-1)[0].numpy()


def shown_number(text):
    """The number that a page writes, with its minus sign; of an equation the last one."""
    found = re.findall(r"[−-]?\d+(?:\.\d+)?", text.replace(",", ""))
    return float(found[-1].replace("−", "-"))
