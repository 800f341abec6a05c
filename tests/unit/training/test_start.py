"""Which model a training starts from."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from speechcls.config import ADAPT, FeatureConfig
from speechcls.data.corpus import Corpus
from speechcls.training import plan as planning
from speechcls.training import settings as settings_module
from speechcls.training.plan import Callbacks
from speechcls.training.run import train
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


class Planned(Exception):
    """The training is about to start."""


def plan_of(folder: Path, place: Path, **training: object):
    """Return the plan of a training, which does not take place."""

    def stop(plan):
        raise Planned(plan)

    with pytest.raises(Planned) as caught:
        train(folder, {"training": training}, out=place, callbacks=Callbacks(on_start=stop))
    return caught.value.args[0]


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clips")
    generator = np.random.default_rng(0)
    for word in ("one", "two"):
        (folder / word).mkdir()
        for i in range(10):
            noise = 0.1 * generator.standard_normal(16_000)
            soundfile.write(folder / word / f"{i}.wav", noise, 16_000)
    return folder


@pytest.fixture(scope="module")
def corpus(clips: Path, tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """The clips as a training with the settings by default has them."""
    return plan_of(clips, tmp_path_factory.mktemp("plan") / "m").corpus


@pytest.mark.parametrize(("model", "n_few"), [("auto", 20), ("commands", 19)])
def test_a_model_that_was_trained_on_held_out_clips_is_told(
    clips: Path,
    corpus: Corpus,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    model: str,
    n_few: int,
) -> None:
    assert not [line for line in corpus.warnings if "commands" in line]
    digests = {row.digest for row in corpus.rows}
    monkeypatch.setattr(TrainSettings, "trained_digests", lambda self: digests)
    monkeypatch.setattr(planning, "FEW_CLIPS", n_few)
    plan = plan_of(clips, tmp_path / "m", from_model=model)
    n_held_out = sum(row.split in ("validation", "test") for row in plan.corpus.rows)
    assert plan.settings.from_model == "commands"
    assert plan.corpus.warnings[-1] == (
        f"commands was trained on {n_held_out} of the held-out clips: scores on them are"
        " optimistically biased"
    )


def test_with_more_clips_a_training_starts_from_nothing_then(
    clips: Path, corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held_out = {row.digest for row in corpus.rows if row.split == "validation"}
    n_own = sum(row.split == "validation" for row in corpus.rows)
    monkeypatch.setattr(TrainSettings, "trained_digests", lambda self: held_out)
    monkeypatch.setattr(planning, "FEW_CLIPS", 19)
    made, make_rejects = [], planning.make_rejects

    def spied(*arguments):
        *others, n_spoken = arguments
        made.append(n_spoken)
        return make_rejects(*others, min(n_spoken, 3))

    monkeypatch.setattr(planning, "make_rejects", spied)
    plan = plan_of(clips, tmp_path / "m", n_spoken=30)
    assert made == [30, 30]
    made.clear()
    plan = plan_of(clips, tmp_path / "m")
    assert made == [0, plan.settings.training.n_spoken] == [0, 900]  # as the model will say
    assert plan.settings.from_model == NOTHING
    assert plan.reason == f"commands was trained on {n_own} of the held-out clips"
    assert not [
        line
        for line in plan.corpus.warnings
        if "optimistically biased" in line and "commands" in line
    ]
