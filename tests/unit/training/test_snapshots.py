"""The network at the end of some epochs: which values it has, also of a training that was killed.

Expected are the weights that validation saw, and the model where it is of the same epoch.
"""

import dataclasses
import json

import numpy as np
import pytest
import torch
from common import refusal
from common_training import ALL_ON, CPU, FEATURES, build, make_corpus
from safetensors import safe_open
from safetensors.torch import save

from speechcls.artifact.snapshots import load_snapshots
from speechcls.artifact.store import load_artifact, load_weights
from speechcls.config import NetworkConfig, TrainConfig
from speechcls.errors import ArtifactError, ConfigError
from speechcls.labels import SCRAMBLED, SILENCE, SPOKEN, UNKNOWN
from speechcls.networks.load import load_snapshot_recognisers
from speechcls.training import checkpoint as module
from speechcls.training import optimisation
from speechcls.training.checkpoint import Checkpoint, identify
from speechcls.training.loop import fit
from speechcls.training.plan import plan_training, prepare
from speechcls.training.run import train_on_corpus
from speechcls.training.settings import TrainSettings, merge_sections

# Batch norm, whose statistics are averaged as the weights are.
CRNN = NetworkConfig("crnn", hidden_size=8, num_layers=1)
LOG_MEL = dataclasses.replace(FEATURES, kind="log-mel")


class Killed(Exception):
    """Stands for the end of the process."""


@pytest.fixture(scope="module")
def corpus():
    words = ("a", "b", SILENCE, SCRAMBLED, SPOKEN)
    made = make_corpus(words, ("a", "b", UNKNOWN, SILENCE), 20)
    # As a data set of two words: the other sounds are made, and so _unknown_ has a bias.
    return dataclasses.replace(made, features=LOG_MEL, n_own=40)


def config_of(**changes):
    small = {"epochs": 4, "batch_size": 24, "epoch_clips": 1, "ema_decay": 0.9, "lr": 0.02}
    return TrainConfig(**small | ALL_ON | changes)


def fitted(corpus, config, **arguments):
    recogniser = build(corpus, CRNN)
    return recogniser, fit(recogniser, corpus, config, CPU, **arguments)


def assert_same(weights, others):
    assert weights.keys() == others.keys()
    for name, value in weights.items():
        assert torch.equal(torch.as_tensor(value), torch.as_tensor(others[name])), name


@pytest.mark.parametrize("ema_decay", [0.9, 0.0])
def test_it_is_what_validation_saw_at_the_end_of_the_epoch(ema_decay, corpus, monkeypatch):
    seen, validate = [], optimisation.validate

    def spy(recogniser, *arguments):
        seen.append({name: value.clone() for name, value in recogniser.state_dict().items()})
        return validate(recogniser, *arguments)

    monkeypatch.setattr(optimisation, "validate", spy)
    config = config_of(snapshots=(1, 3, 4), ema_decay=ema_decay)
    recogniser, result = fitted(corpus, config)
    assert list(result.snapshots) == [1, 3, 4]
    for epoch, weights in result.snapshots.items():
        assert_same(weights, seen[epoch - 1])
    names = [name for name in seen[0] if name.endswith(("running_mean", "weight"))]
    assert any("running_mean" in name for name in names)
    for name in names:  # or else any epoch would do
        assert not torch.equal(result.snapshots[1][name], result.snapshots[3][name])
    assert torch.equal(result.snapshots[1]["feature_mean"], recogniser.feature_mean)


def test_none_is_kept_unless_it_is_asked_for_and_training_is_the_same(corpus):
    plain, result = fitted(corpus, config_of())
    kept, _ = fitted(corpus, config_of(snapshots=(2,)))
    assert result.snapshots == {}
    assert_same(plain.state_dict(), kept.state_dict())


def test_a_killed_training_has_them_all_the_same(corpus, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "INTERVAL_S", 0.0)  # the state is saved after each step
    config = config_of(epochs=3, snapshots=(1, 2, 3))
    settings = TrainSettings(LOG_MEL, CRNN, config)
    _, expected = fitted(corpus, config)
    n_steps = [0]

    def kill(done):
        n_steps[0] += 1
        if n_steps[0] == 9:  # of four an epoch, in the third one
            raise Killed

    def opened():
        checkpoint = Checkpoint(tmp_path / "m")
        checkpoint.open(identify(settings, corpus, "cpu"))
        return checkpoint

    with pytest.raises(Killed):
        fitted(corpus, config, checkpoint=opened(), on_step=kill)
    _, result = fitted(corpus, config, checkpoint=opened())
    assert n_steps == [9] and list(result.snapshots) == [1, 2, 3]
    for epoch, weights in expected.snapshots.items():
        assert_same(weights, result.snapshots[epoch])
    other = TrainSettings(LOG_MEL, CRNN, config_of(epochs=3, snapshots=(1,)))
    message = refusal(ArtifactError, Checkpoint(tmp_path / "m").open, identify(other, corpus, ""))
    assert "snapshots was [1, 2, 3], is [1]" in message


def test_a_state_from_before_there_were_snapshots_is_gone_on_from(corpus, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "INTERVAL_S", 0.0)
    config = config_of(epochs=1)
    identity = identify(TrainSettings(LOG_MEL, CRNN, config), corpus, "cpu")
    checkpoint = Checkpoint(tmp_path / "m")
    checkpoint.open(identity)
    fitted(corpus, config, checkpoint=checkpoint)
    path = checkpoint.folder / "state.safetensors"
    with safe_open(path, "pt") as file:
        about = json.loads(file.metadata()["training"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    assert about["identity"]["settings"]["training"].pop("snapshots") == []
    path.write_bytes(save(tensors, {"training": json.dumps(about)}))
    again = Checkpoint(tmp_path / "m")
    assert again.open(identity) == [] and again.state is not None


def test_that_of_the_best_epoch_is_the_model(corpus, tmp_path):
    sections = {"network": CRNN.to_dict(), "features": LOG_MEL.to_dict()}
    sections["training"] = config_of(snapshots=(1, 2, 3, 4)).to_dict() | {"from_model": "none"}
    plan = plan_training(corpus, TrainSettings.from_sections(sections), CPU)
    checkpoint = Checkpoint(tmp_path / "m")
    with checkpoint.locked():
        result = train_on_corpus(plan, checkpoint)
    artifact = load_artifact(tmp_path / "m")
    snapshots, weights = load_snapshots(artifact), load_weights(artifact)
    assert list(snapshots) == [1, 2, 3, 4] == [epoch.epoch for epoch in result.fit.history]
    assert_same(weights, snapshots[result.fit.best.epoch])
    # Each has the bias against _unknown_ that it would have as the model.
    raw = result.fit.snapshots
    assert all((snapshots[n]["network.output.bias"] <= raw[n]["network.output.bias"].numpy()).all()
               for n in raw)  # fmt: skip
    assert any((snapshots[n]["network.output.bias"] < raw[n]["network.output.bias"].numpy()).any()
               for n in raw)  # fmt: skip
    samples = torch.from_numpy(corpus.samples(np.arange(3)))
    first = load_snapshot_recognisers(artifact)[1]
    with torch.no_grad():
        found = first(samples)
    twin = build(corpus, CRNN)
    twin.load_state_dict({name: torch.from_numpy(array) for name, array in snapshots[1].items()})
    with torch.no_grad():
        assert torch.equal(found, twin.eval()(samples))


@pytest.mark.parametrize(
    ("snapshots", "said"),
    [
        ((0, 5), "0: no such epoch; the first one is 1"),
        ((1, 5, 9), "5, 9: no such epoch, the last one of this training is 4; choose from 1 to 4,"
         " or more epochs"),
        ([1.5], "[1.5] has the wrong type; it must be a list of whole numbers"),
        ([True], "[True] has the wrong type; it must be a list of whole numbers"),
        (3, "3 has the wrong type; it must be a list of whole numbers"),
    ],
)  # fmt: skip
def test_epochs_that_never_come_are_refused_before_the_first_one(snapshots, said, corpus):
    def plan():
        training = {"recipe": "fast", "snapshots": snapshots}
        return plan_training(corpus, TrainSettings.from_sections({"training": training}), CPU)

    with pytest.raises(ConfigError) as raised:
        plan()
    assert (raised.value.field, raised.value.message) == ("snapshots", said)


def test_they_are_refused_before_a_clip_is_read(corpus, make_data_set, tmp_path):
    from speechcls.layouts.load import load_dataset

    found = load_dataset(make_data_set(tmp_path / "data", ("a", "b"), 10))
    # A training that starts from a model has twelve epochs.
    settings = TrainSettings.from_sections({"training": {"snapshots": [1, 40]}})

    def read(*_):
        raise AssertionError

    with pytest.raises(ConfigError, match="40: no such epoch, the last one of this training is 12"):
        prepare(found, settings, CPU, read=read)


def test_more_than_a_model_may_hold_are_refused(corpus, monkeypatch):
    training = config_of(snapshots=(1, 2, 3)).to_dict() | {"from_model": "none"}
    sections = {"training": training, "network": CRNN.to_dict(), "features": LOG_MEL.to_dict()}
    settings = TrainSettings.from_sections(sections)
    n_parameters = plan_training(corpus, settings, CPU).n_parameters
    monkeypatch.setitem(module_files(), "snapshots.safetensors", 2 * 4 * n_parameters)
    message = refusal(ConfigError, plan_training, corpus, settings, CPU)
    assert f"3 are too many of {n_parameters:,} parameters; at most 2 fit" in message


def module_files():
    from speechcls.artifact import manifest

    return manifest.FILES


def test_a_recipe_leaves_them_as_they_are():
    merged = merge_sections(
        {"training": {"snapshots": [1, 2], "lr": 0.1}}, {"training": {"recipe": "fast"}}
    )
    assert merged["training"] == {"snapshots": [1, 2], "recipe": "fast"}
    settings = TrainSettings.from_sections(merged)
    assert settings.training.snapshots == (1, 2)
    assert settings.to_sections()["training"]["snapshots"] == [1, 2]
    assert "snapshots = [1, 2]\n" in settings.to_toml()
