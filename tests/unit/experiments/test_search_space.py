"""Which settings a search chooses, and which training a choice makes."""

import dataclasses
from types import SimpleNamespace

import pytest
from common_training import FEATURES, make_corpus

from speechcls.config import RECIPES, SEARCHED, NetworkConfig, Span, TrainConfig
from speechcls.errors import ConfigError
from speechcls.experiments.search_space import SearchSpace, check_archs, choose, space_around
from speechcls.networks.zoo import NETWORKS
from speechcls.training.settings import NOTHING, SECTIONS, TrainSettings, section_of

ARCHS = ("gru", "crnn")


class Trial:
    """Chooses what it is told, else the lowest or first; keeps what it was asked."""

    def __init__(self, **told):
        self.told, self.asked = told, {}

    def _choose(self, name, default, *asked):
        self.asked[name] = asked
        return self.told.get(name, default)

    def suggest_categorical(self, name, choices):
        return self._choose(name, choices[0], choices)

    def suggest_int(self, name, low, high, step):
        return self._choose(name, low, low, high, step)

    def suggest_float(self, name, low, high, step=None, log=False):
        return self._choose(name, low, low, high, step, log)


def space(given=(), starts=("commands", NOTHING), archs=ARCHS, usual_s=0.7):
    return SearchSpace(dict(given), starts, archs, usual_s)


@pytest.mark.parametrize("name", SEARCHED)
def test_what_is_searched_is_a_field_that_every_default_and_recipe_lies_within(name):
    section = section_of(name).removesuffix(".")
    span = SEARCHED[name]
    values = [getattr(SECTIONS[section], name)]
    if section == "training":
        values += [getattr(recipe, name) for recipe in RECIPES.values()]
    if name == "duration_s":
        values = [1.0]  # times the usual length
    for value in values:
        assert span.low <= value <= span.high
        if span.step:
            assert (value - span.low) / span.step == int((value - span.low) / span.step)


def test_a_model_to_start_from_fixes_the_network_and_not_the_window():
    fresh, started = (list(space().open_settings(start)) for start in (NOTHING, "commands"))
    network = ["arch", "hidden_size", "num_layers", "dropout"]
    assert set(fresh) - set(started) == set(network)
    assert "duration_s" in started
    assert "lr" in started


def test_what_is_given_stays_as_it_is():
    given = {"network": {"size": "tiny"}, "training": {"lr": 0.01}, "features": {"duration_s": 1.0}}
    names = space(given).open_settings(NOTHING)
    assert not names.keys() & {"hidden_size", "lr", "duration_s"}
    assert {"arch", "num_layers", "weight_decay"} <= names.keys()
    assert space(given).sections({"arch": "gru", "dropout": 0.1}) == {
        "network": {"size": "tiny", "arch": "gru", "dropout": 0.1},
        "training": {"lr": 0.01},
        "features": {"duration_s": 1.0},
    }


def test_one_architecture_is_not_chosen():
    assert "arch" not in space(archs=("gru",)).open_settings(NOTHING)


def test_the_window_is_chosen_around_the_usual_length_of_the_clips():
    # 0.75, 1, 1.25 and 1.5 times 0.7 s
    assert space().open_settings(NOTHING)["duration_s"] == Span(0.525, 1.05, step=0.175)
    assert space(usual_s=1.1).open_settings(NOTHING)["duration_s"] == Span(0.825, 1.65, step=0.275)


def test_a_trial_is_asked_for_the_settings_of_its_start_alone():
    trial = Trial()
    assert choose(trial, space())["from_model"] == "commands"
    assert trial.asked["from_model"] == (["commands", NOTHING],)
    assert "arch" not in trial.asked
    trial = Trial(from_model=NOTHING, arch="crnn", lr=0.001234567, duration_s=0.525 + 2 * 0.175)
    choice = choose(trial, space())
    assert trial.asked["arch"] == (["gru", "crnn"],)
    assert trial.asked["hidden_size"] == (16, 192, 16)
    assert trial.asked["lr"] == (1e-4, 1e-2, None, True)
    assert (choice["arch"], choice["lr"], choice["duration_s"]) == ("crnn", 0.00123, 0.875)
    assert choice["hidden_size"] == 16


def test_one_start_is_not_asked_for():
    trial = Trial()
    assert choose(trial, space(starts=(NOTHING,)))["from_model"] == NOTHING
    assert "from_model" not in trial.asked


def plan(given=(), **network):
    """A training with default settings, as ``prepare`` returns it."""
    settings = TrainSettings.from_sections({**dict(given)})
    corpus = make_corpus()
    settings = dataclasses.replace(settings, from_model=NOTHING)
    settings = settings.resolved(corpus.features, NetworkConfig(**network))
    return SimpleNamespace(settings=settings, corpus=corpus)


def test_the_default_choice_makes_the_default_settings():
    planned = plan(arch="gru")
    made = space_around(planned, {}, ARCHS)
    choice = made.default(planned.settings)
    assert choice["from_model"] == NOTHING
    assert (choice["arch"], choice["hidden_size"], choice["lr"]) == ("gru", 96, 2e-3)
    assert choice["duration_s"] == FEATURES.duration_s
    settings = TrainSettings.from_sections(made.sections(choice))
    assert settings.training == TrainConfig()
    assert settings.network == NetworkConfig(arch="gru")


def test_without_names_there_is_every_architecture_that_can_do_it():
    assert set(space_around(plan(), {}, []).archs) == set(NETWORKS)
    streaming = plan(arch="crnn", readout="stream")
    assert set(space_around(streaming, {}, []).archs) == {
        name for name, network in NETWORKS.items() if network.can_stream
    }
    assert space_around(plan(), {"network": {"arch": "gru"}}, []).archs == ()


def test_nothing_to_choose_is_refused():
    training = {name: getattr(TrainConfig, name) for name in TrainConfig.__dataclass_fields__}
    network = {name: getattr(NetworkConfig, name) for name in NetworkConfig.__dataclass_fields__}
    given = {"training": training, "network": network, "features": {"duration_s": 1.0}}
    with pytest.raises(ConfigError, match="every setting that a search chooses is given"):
        space_around(plan(), given, [])


def test_architectures_are_checked():
    check_archs(["gru"], {})
    with pytest.raises(ConfigError, match="archs: no 'grue'; there are rnn, "):
        check_archs(["gru", "grue"], {})
    with pytest.raises(ConfigError, match="archs: cannot be combined with arch"):
        check_archs(["gru"], {"network": {"arch": "gru"}})
