"""Which model a training starts from."""

import json

import pytest

from speechcls.config import ADAPT, FeatureConfig
from speechcls.training import settings as settings_module
from speechcls.training.settings import (
    AUTO,
    MUCH_DATA,
    NOTHING,
    TrainSettings,
    read_config,
    size_of,
)


def started(n_clips=100, **sections):
    return TrainSettings.from_sections(sections).started(n_clips)


def test_little_data_start_from_the_model_that_comes_along():
    settings, reason = started()
    assert (settings.from_model, reason) == ("commands", "it comes with speechcls")
    assert settings.training.recipe == ADAPT
    assert settings.features.kind == "log-mel"
    assert settings.duration_s is None  # the clips decide


def test_much_data_starts_from_nothing():
    settings, reason = started(MUCH_DATA + 1)
    assert (settings.from_model, reason) == (NOTHING, f"{MUCH_DATA + 1} clips are enough")
    assert settings.training.recipe == "standard"
    assert started(MUCH_DATA)[0].from_model == "commands"


def test_the_words_that_a_model_knows_take_the_place_of_made_ones():
    settings, _ = started()
    assert (settings.training.n_spoken, settings.training.scramble_ratio) == (0, 0.0)
    settings, _ = started(training={"n_spoken": 7})
    assert (settings.training.n_spoken, settings.training.scramble_ratio) == (7, 0.0)
    settings, _ = started(training={"from_model": NOTHING})
    assert (settings.training.n_spoken, settings.training.scramble_ratio) == (900, 2.0)
    settings, _ = started(training={"recipe": "stream"})
    assert (settings.from_model, settings.training.n_spoken) == ("commands-stream", 0)


@pytest.mark.parametrize(
    "sections",
    [
        {"network": {"arch": "gru"}},
        {"network": {"hidden_size": 8}},
        {"features": {"sample_rate": 8_000, "fmax": 4_000.0}},
        {"features": {"kind": "mfcc"}},
    ],
    ids=str,
)
def test_another_network_starts_from_nothing(sections):
    settings, reason = started(**sections)
    assert settings.from_model == NOTHING
    assert reason == "no model that comes with speechcls has these settings"


def test_what_is_named_is_not_chosen():
    settings, reason = started(training={"from_model": NOTHING, "epochs": 3})
    assert (settings.from_model, reason, settings.training.epochs) == (NOTHING, "", 3)
    settings, reason = started(MUCH_DATA + 1, training={"from_model": "commands"})
    assert (settings.from_model, reason) == ("commands", "")


def test_settings_of_the_training_stay_when_the_start_is_chosen():
    settings, _ = started(training={"epochs": 3, "seed": 7}, data={"commands": ["yes"]})
    assert settings.from_model == "commands"
    assert (settings.training.epochs, settings.training.seed) == (3, 7)
    assert settings.data.commands == ("yes",)
    again = settings.from_nothing()
    assert (again.from_model, again.training.epochs) == (NOTHING, 3)
    assert again.training.lr != settings.training.lr


def test_a_window_of_another_length_is_taken_over():
    settings, _ = started(features={"duration_s": 1.7})
    assert settings.from_model == "commands"
    assert settings.duration_s == settings.features.duration_s == 1.7


def test_the_choice_is_part_of_the_settings_that_are_kept():
    settings, _ = started()
    kept = settings.resolved(settings.features, settings.network).to_sections()
    assert kept["training"]["from_model"] == "commands"
    assert TrainSettings.from_sections(kept).started(5) == (TrainSettings.from_sections(kept), "")
    assert TrainSettings.from_sections({}).to_sections()["training"]["from_model"] == AUTO


def test_a_model_of_before_is_repeated_as_it_was_trained(tmp_path):
    features = FeatureConfig().to_dict()
    content = {"format_version": 2, "features": features, "training": {"epochs": 2}, "data": {}}
    (tmp_path / "config.json").write_text(json.dumps(content))
    sections = read_config(tmp_path / "config.json")
    assert sections["training"]["from_model"] == NOTHING
    assert sections["data"]["closed"] is True


def test_size_of_a_model(monkeypatch):
    for n, size in [(29_000, "tiny"), (30_001, "small"), (400_000, "base"), (400_001, None)]:
        monkeypatch.setattr(settings_module, "read_metrics", lambda path, n=n: {"n_parameters": n})
        assert size_of(type("Model", (), {"path": None})) == size
    monkeypatch.setattr(settings_module, "read_metrics", lambda path: {})
    assert size_of(type("Model", (), {"path": None})) is None
