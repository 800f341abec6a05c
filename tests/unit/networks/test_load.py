"""Loading all of a trained recogniser but its last layer, and refusals of what does not fit."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from common import refusal

from speechcls.artifact.format import WEIGHTS, Artifact
from speechcls.artifact.store import save_artifact
from speechcls.config import FeatureConfig, NetworkConfig
from speechcls.errors import ArtifactError
from speechcls.networks.load import find_other_words, load_backbone
from speechcls.networks.recogniser import Recogniser, build_recogniser

FEATURES = FeatureConfig(kind="log-mel", n_mels=20)
NETWORK = NetworkConfig("crnn", hidden_size=8, num_layers=2)


def save_model(path: Path, network: NetworkConfig = NETWORK) -> tuple[Artifact, Recogniser]:
    """Write a model of four words; return it and the recogniser in it."""
    recogniser = build_recogniser(FEATURES, network, [0, 1, 2, 2], seed=1)
    recogniser.feature_mean.copy_(torch.linspace(-50.0, -20.0, 20))
    recogniser.feature_std.copy_(torch.linspace(5.0, 9.0, 20))
    labels, words = ("yes", "no", "_unknown_"), ("yes", "no", "cat", "dog")
    artifact = Artifact(path, FEATURES, network, labels, words)
    weights = {name: value.numpy() for name, value in recogniser.state_dict().items()}
    save_artifact(artifact, weights, b"graph", {}, [])
    return artifact, recogniser


def build(n_outputs: int, **changes: object) -> Recogniser:
    network = dataclasses.replace(NETWORK, **changes)  # type: ignore[arg-type]
    return build_recogniser(FEATURES, network, range(n_outputs), seed=2)


@pytest.mark.parametrize("n_outputs", [2, 4, 9])
def test_everything_but_the_last_layer_is_loaded(n_outputs: int, tmp_path: Path) -> None:
    source, trained = save_model(tmp_path / "model")
    recogniser = build(n_outputs)
    own = {name: value.clone() for name, value in recogniser.network.output.state_dict().items()}
    load_backbone(recogniser, source)
    taken = recogniser.state_dict()
    assert taken.keys() == trained.state_dict().keys()
    for name, value in trained.state_dict().items():
        if name not in ("network.output.weight", "network.output.bias"):
            assert torch.equal(taken[name], value), name
    # The last layer stays as drawn, even one of the same size.
    assert torch.equal(recogniser.network.output.weight, own["weight"])
    assert torch.equal(recogniser.network.output.bias, own["bias"])
    assert not torch.equal(own["weight"][:2], trained.network.output.weight[:2])


def test_the_outputs_of_common_words_are_loaded(tmp_path: Path) -> None:
    source, trained = save_model(tmp_path / "model")
    recogniser, words = build(4), ("dog", "bird", "yes", "_silence_")
    own = {name: value.clone() for name, value in recogniser.network.output.state_dict().items()}
    load_backbone(recogniser, source, words)
    taken, there = recogniser.network.output, trained.network.output
    for i, j in ((0, 3), (2, 0)):
        assert torch.equal(taken.weight[i], there.weight[j])
        assert torch.equal(taken.bias[i], there.bias[j])
    assert torch.equal(taken.weight[[1, 3]], own["weight"][[1, 3]])
    assert torch.equal(taken.bias[[1, 3]], own["bias"][[1, 3]])


def test_words_that_an_own_word_sounds_like_are_no_other_words(tmp_path: Path) -> None:
    """Of four words, "no" is an own one, and ten of ten clips are taken for "dog"."""
    source, trained = save_model(tmp_path / "model")
    with torch.no_grad():
        trained.network.output.bias[3] += 50.0
    weights = {name: value.numpy() for name, value in trained.state_dict().items()}
    biased = dataclasses.replace(source, path=tmp_path / "biased")
    save_artifact(biased, weights, b"graph", {}, [])
    clips = 0.1 * np.random.default_rng(0).standard_normal((10, 16_000), dtype=np.float32)
    assert find_other_words(biased, ["no"], [clips]) == ("yes", "cat")
    assert find_other_words(biased, ["no", "cat"], [clips]) == ("yes",)
    assert find_other_words(biased, ["no"], []) == ("yes", "cat", "dog")


def test_the_loaded_backbone_computes_the_same(tmp_path: Path) -> None:
    source, trained = save_model(tmp_path / "model")
    recogniser = build(2)
    load_backbone(recogniser, source)
    samples = 0.1 * torch.randn(2, 16_000, generator=torch.Generator().manual_seed(0))
    vectors = []
    for each in (trained.eval(), recogniser.eval()):
        features = each.network.front_end(each.extract_features(samples))
        vectors.append(each.network.readout(each.network.recurrence(features)[0]))
    torch.testing.assert_close(*vectors)


def test_loaded_weights_are_copies(tmp_path: Path) -> None:
    source, _ = save_model(tmp_path / "model")
    first, second = build(2), build(2)
    load_backbone(first, source)
    load_backbone(second, source)
    with torch.no_grad():
        for parameter in first.parameters():
            parameter.add_(1.0)
    for name, value in second.named_parameters():
        assert not torch.equal(value, dict(first.named_parameters())[name]), name


def test_a_larger_network_does_not_fit(tmp_path: Path) -> None:
    source, _ = save_model(tmp_path / "model")
    recogniser = build(2, hidden_size=12)
    before = {name: value.clone() for name, value in recogniser.state_dict().items()}
    assert refusal(ArtifactError, load_backbone, recogniser, source) == (
        f"{tmp_path / 'model' / WEIGHTS}: does not fit config.json (network.front_end.project.bias,"
        " network.front_end.project.weight, network.readout.project.bias); copy the model again"
    )
    for name, value in recogniser.state_dict().items():
        assert torch.equal(value, before[name]), name  # nothing is taken in part


def test_a_deeper_network_does_not_fit(tmp_path: Path) -> None:
    source, _ = save_model(tmp_path / "model")
    assert refusal(ArtifactError, load_backbone, build(2, num_layers=3), source) == (
        f"{tmp_path / 'model' / WEIGHTS}: does not fit config.json (network.recurrence.bias_hh_l2,"
        " network.recurrence.bias_ih_l2, network.recurrence.weight_hh_l2); copy the model again"
    )


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(b"no weights")])
def test_missing_or_damaged_weights_are_named(damage, tmp_path: Path) -> None:
    source, _ = save_model(tmp_path / "model")
    damage(source.path / WEIGHTS)
    message = refusal(ArtifactError, load_backbone, build(2), source)
    assert message.startswith(f"{source.path / WEIGHTS}: missing or damaged (")
    assert message.endswith("); copy the model again")


def test_the_last_layer_of_the_source_is_not_asked_for(tmp_path: Path) -> None:
    source, trained = save_model(tmp_path / "model")
    weights = {name: value.numpy() for name, value in trained.state_dict().items()}
    del weights["network.output.weight"], weights["network.output.bias"]
    headless = dataclasses.replace(source, path=tmp_path / "headless")
    save_artifact(headless, weights, b"graph", {}, [])
    recogniser = build(2)
    load_backbone(recogniser, headless)
    np.testing.assert_array_equal(recogniser.feature_mean, trained.feature_mean)
