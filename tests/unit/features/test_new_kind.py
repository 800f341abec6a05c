"""A kind of features that is registered in two modules of the library is used by all of it."""

import dataclasses

import numpy as np
import pytest
import torch
from common import refusal
from common_explaining import make_lively, make_model, noise_and_tone
from common_training import CPU, build, make_corpus

from speechcls.config import FEATURE_KINDS, FeatureConfig, FeatureKind, NetworkConfig, TrainConfig
from speechcls.errors import ConfigError
from speechcls.explain.panels import input_panels
from speechcls.explain.trace import explain
from speechcls.features.mel import FEATURES, LogMel, clip_features
from speechcls.render.figures import LEVELS
from speechcls.render.panels import features_panel
from speechcls.training.loop import fit


class PowerLaw(LogMel):
    """Mel energies to the power of a tenth."""

    def from_energies(self, energy, level=None):
        return energy**0.1


@pytest.fixture(autouse=True)
def _registered(monkeypatch):
    kind = FeatureKind(
        "compressed mel energies",
        value_name="mel band",
        unit="",
        size_field="n_mels",
        has_bands=True,
        is_signed=False,
    )
    monkeypatch.setitem(FEATURE_KINDS, "power-law", kind)
    monkeypatch.setitem(FEATURES, "power-law", PowerLaw)


def test_the_configuration_knows_it():
    assert FeatureConfig(kind="power-law", n_mels=30).n_features == 30
    assert FeatureConfig(kind="mfcc", n_mels=30, n_mfcc=13).n_features == 13
    # More coefficients than bands matter to cepstra alone.
    assert FeatureConfig(kind="power-law", n_mels=30, n_mfcc=31).n_features == 30
    assert refusal(ConfigError, FeatureConfig, n_mels=30, n_mfcc=31).startswith("n_mfcc: 31 ")
    assert refusal(ConfigError, FeatureConfig, kind="chroma") == (
        "kind: 'chroma' is not possible; it must be one of mfcc, log-mel, power-law"
    )


def test_it_is_exported_and_explained(tmp_path, rng):
    features = FeatureConfig(kind="power-law", duration_s=0.2)
    network = NetworkConfig(arch="gru", hidden_size=4, num_layers=1)
    classifier, recogniser = make_model(tmp_path / "model", features, network, make_lively)
    samples = noise_and_tone(features.n_samples, rng)
    with torch.no_grad():
        expected = recogniser(torch.from_numpy(samples)[None]).softmax(dim=1).numpy()
    np.testing.assert_allclose(classifier.probabilities(samples[None]), expected, atol=1e-4)
    panel = input_panels(explain(classifier, samples))[2]
    assert panel.title == "input of the network: compressed mel energies, in standard deviations"
    assert panel.unit == "mel band"


def test_it_is_drawn(rng):
    config = FeatureConfig()
    samples = noise_and_tone(8_000, rng)
    values = clip_features(samples, "power-law", config)
    levels = clip_features(samples, "log-mel", dataclasses.replace(config, relative=False))
    np.testing.assert_allclose(values, 10 ** (levels / 100), rtol=1e-4)
    panel = features_panel(values, "power-law", config)
    assert (panel.title, panel.unit, panel.colours) == (
        "compressed mel energies",
        "mel band",
        LEVELS,
    )
    assert panel.limits == (float(values.min()), float(values.max()))
    assert features_panel(levels, "log-mel", config).title == "log-mel energies, dB"


@pytest.mark.parametrize("kind", ["power-law", "log-mel", "mfcc"])
def test_frequencies_are_masked_where_there_are_bands(kind, monkeypatch):
    corpus = make_corpus(n_each=10)
    corpus = dataclasses.replace(corpus, features=dataclasses.replace(corpus.features, kind=kind))
    losses = []
    for frequency_masks in (0, 5):
        config = TrainConfig(
            epochs=1, batch_size=16, epoch_clips=1, time_masks=0, frequency_masks=frequency_masks
        )
        losses.append(fit(build(corpus), corpus, config, CPU).history[0].loss)
    assert (losses[0] != losses[1]) == FEATURE_KINDS[kind].has_bands
