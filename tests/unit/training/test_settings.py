"""Settings of a training: sections, config files, what wins, and what is refused."""

import dataclasses
import json
import tomllib
from functools import partial
from pathlib import Path

import pytest
from common import refusal

from speechcls.config import RECIPES, FeatureConfig, NetworkConfig
from speechcls.errors import ArtifactError, ConfigError
from speechcls.training.settings import TrainSettings, merge_sections, naming_file, read_config

message_of = partial(refusal, ConfigError)
settle = TrainSettings.from_sections
OLD = Path(__file__).parents[2] / "compat" / "format-2"


def test_without_sections_everything_is_as_by_default():
    assert settle({}) == TrainSettings()
    assert settle({}).network == NetworkConfig()
    assert settle({}).training == RECIPES["standard"]
    assert settle({}).duration_s is None


def test_a_model_to_start_from_is_read_and_not_only_named():
    assert settle({"training": {"from_model": "commands-tiny"}}).source.labels[0] == "yes"
    assert "use from_sections" in message_of(partial(TrainSettings, from_model="commands-tiny"))


def test_what_is_given_replaces_a_recipe():
    settings = settle({"training": {"recipe": "fast", "lr": 1}, "features": {"duration_s": 2}})
    assert settings.training == dataclasses.replace(RECIPES["fast"], lr=1)
    assert settings.duration_s == 2


@pytest.mark.parametrize(
    ("n_clips", "size"), [(100, 64), (6_399, 64), (6_400, 128), (12_800, 256), (10**6, 512)]
)
def test_batches_for_a_gpu_leave_enough_steps(n_clips, size):
    grown = settle({}).with_large_batches(n_clips).training
    assert grown.batch_size == size and grown.lr == pytest.approx(2e-3 * (size / 64) ** 0.25)
    assert size == 64 or 40 * n_clips / size >= 2_000


def test_batches_and_learning_rates_that_are_given_stay():
    for given in ({"batch_size": 64}, {"batch_size": 32, "lr": 0.01}):
        settings = settle({"training": given})
        assert settings.with_large_batches(10**6) == settings
    kept = settle({"training": {"lr": 0.01}}).with_large_batches(10**6).training
    assert (kept.batch_size, kept.lr) == (512, 0.01)


def test_the_recipe_for_streams_brings_features_and_network_that_can_be_overridden():
    settings = settle({"training": {"recipe": "stream"}})
    assert (settings.network.arch, settings.network.readout) == ("crnn", "stream")
    assert settings.features.running_s == 1.0
    own = settle({"training": {"recipe": "stream"}, "network": {"arch": "gru"}})
    assert (own.network.arch, own.network.readout) == ("gru", "stream")


@pytest.mark.parametrize(
    ("sections", "said"),
    [
        ({"colours": {}}, "colours: no such section; there are features, network, training, data"),
        ({"training": {"recipe": "slow"}}, "recipe: no 'slow'; there are fast, standard, stream"),
        ({"network": {"size": "huge"}}, "size: no 'huge'; there are tiny, small, base"),
        (
            {"network": {"size": "tiny", "hidden_size": 9}},
            "size: cannot be combined with hidden_size",
        ),
        ({"network": {"layers": 2}}, "layers: no such setting; there are arch, hidden_size"),
        ({"features": {"n_mels": "64"}}, "n_mels: '64' has the wrong type; it must be a whole"),
        ({"data": {"max_bad": 2}}, "max_bad: 2 is not possible; it must be in 0 .. 1"),
    ],
)
def test_what_is_impossible_is_refused_by_name(sections, said):
    assert message_of(settle, sections).startswith(said)


@pytest.mark.parametrize(
    "sections",
    [
        {},
        {"network": {"arch": "gru", "size": "tiny"}, "data": {"commands": ["yes", 'no ö"']}},
        {"features": {"kind": "mfcc", "duration_s": 0.5, "power_floor": 1e-7}},
        {"training": {"recipe": "stream", "seed": 3}, "data": {"noise": "a\\b", "pattern": "{_}"}},
    ],
)
def test_settings_through_toml_and_back(sections, tmp_path):
    settings = settle(sections)
    path = tmp_path / "train.toml"
    path.write_text(settings.to_toml(), encoding="utf-8")
    assert tomllib.loads(settings.to_toml()) == settings.to_sections()
    again = settle(read_config(path))
    assert again.to_sections() == settings.to_sections()
    assert again.features == settings.features
    assert ("kind" in again.given, again.duration_s) == (
        "kind" in settings.given,
        settings.duration_s,
    )


def test_toml_says_what_each_setting_is_and_which_are_chosen_later():
    lines = settle({}).to_toml().splitlines()
    assert lines[lines.index("n_mels = 40") - 1] == "# Number of mel bands."
    assert "# duration_s: chosen by the usual length of the clips" in lines
    given = settle({"features": {"duration_s": 1.0}}).to_toml().splitlines()
    assert "duration_s = 1.0" in given
    assert not any(line.startswith("# duration_s:") for line in given)


def test_settings_that_are_resolved_leave_nothing_open():
    features, network = FeatureConfig(kind="mfcc", duration_s=0.7), NetworkConfig(hidden_size=20)
    resolved = settle({"network": {"size": "tiny"}}).resolved(features, network)
    sections = resolved.to_sections()
    assert sections["features"] == features.to_dict()
    assert sections["network"] == network.to_dict()
    assert settle(sections).features == features


def test_options_win_over_a_file():
    merge = merge_sections
    file = {"training": {"epochs": 3, "lr": 1.0, "seed": 5}, "network": {"hidden_size": 8}}
    assert merge(file, {"training": {"lr": 2.0}})["training"] == {"epochs": 3, "lr": 2.0, "seed": 5}
    # A recipe is all settings of training at once.
    recipe = merge(file, {"training": {"recipe": "fast"}})
    assert recipe["training"] == {"recipe": "fast", "seed": 5}
    assert merge(file, {"network": {"size": "tiny"}})["network"] == {"size": "tiny"}
    sized = {"network": {"size": "tiny"}, "features": {"n_mels": 20}}
    assert merge(sized, {"network": {"hidden_size": 9}})["network"] == {"hidden_size": 9}
    started = merge(sized, {"training": {"from_model": "commands"}})
    assert started == {"training": {"from_model": "commands"}}


def test_a_model_to_start_from_keeps_its_features_and_network():
    start = {"training": {"from_model": "commands"}}
    settings = settle(start)
    assert settings.network.arch == "att-bigru"
    assert settings.duration_s is None  # the clips decide
    # What is the same anyway may be given, as the config file of such a model does.
    assert settle(settings.to_sections()) == settings
    for section, name, value in (("network", "arch", "gru"), ("features", "n_mels", 20)):
        assert message_of(settle, start | {section: {name: value}}) == (
            f"{name}: is fixed by the model to start from (commands); leave it out"
        )
    wrong = {"training": {"from_model": "commands", "recipe": "stream"}}
    assert message_of(settle, wrong) == "from_model: commands: is not a streaming model"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[training]\nepoch = 3\n", "training.epoch: no such setting; there are recipe, epochs,"),
        ("[training]\nepochs = '3'\n", "training.epochs: '3' has the wrong type; it must be a"),
        ("[training]\nepochs = 0\n", "training.epochs: 0 is not possible; it must be a positive"),
        ("[features]\nn_mfcc = 80\nkind = 'mfcc'\n", "features.n_mfcc: 80 is not possible"),
        ("[train]\n", "train: no such section; there are features, network, training, data"),
        ("epochs = 3\n", "epochs: no such section; there are features, network, training, data"),
        ("training = 3\n", "training: must be a section with settings"),
        ("[network]\nsize = 'big'\n", "network.size: no 'big'; there are tiny, small, base"),
        ("[training\n", "neither TOML nor JSON ("),
    ],
)
def test_a_config_file_is_refused_with_its_name_the_key_and_what_is_allowed(text, said, tmp_path):
    path = tmp_path / "train.toml"
    path.write_text(text)
    assert message_of(read_config, path).startswith(f"{path}: {said}")


def test_files_that_are_no_config_files(tmp_path):
    path = tmp_path / "absent.toml"
    assert message_of(read_config, path) == (
        f"{path}: no such file or directory; name a config file"
    )
    binary = tmp_path / "binary.toml"
    binary.write_bytes(b"\xff\xfe")
    assert message_of(read_config, binary).startswith(f"{binary}: neither TOML nor JSON (")
    listed = tmp_path / "list.json"
    listed.write_text("[1]")
    assert message_of(read_config, listed).startswith(f"{listed}: no sections; there are features")


def test_the_config_of_a_model_without_its_training_takes_that_from_its_metrics(tmp_path):
    content = json.loads((OLD / "config.json").read_text())
    assert "training" not in content
    sections = read_config(OLD / "config.json")
    metrics = json.loads((OLD / "metrics.json").read_text())
    assert sections["data"] == {"closed": True, "commands": metrics["commands"]}
    settings = settle(sections)
    assert settings.features.to_dict() == content["features"]
    assert settings.training.speed_max == metrics["training"]["speed_share"]  # its older name


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[network]\nsize = ['tiny']\n", "network.size: ['tiny'] has the wrong type; it must be"),
        ("[network]\nsize = 3\n", "network.size: 3 has the wrong type; it must be text"),
        ("[training]\nfrom_model = 3\n", "training.from_model: 3 has the wrong type; it must be"),
        ("[training]\nfrom_model = 'nix'\n", "training.from_model: nix: no such model"),
    ],
)
def test_keys_that_no_configuration_has_are_checked_as_well(text, said, tmp_path):
    path = tmp_path / "train.toml"
    path.write_text(text)
    assert message_of(read_config, path).startswith(f"{path}: {said}")


def test_errors_of_later_name_the_file_that_the_setting_came_from(tmp_path):
    path, in_file = tmp_path / "train.toml", {"network": {"arch": "nix"}}
    error = ConfigError("no 'nix'", field="arch")

    def fail(path, in_file, winning):
        with naming_file(path, in_file, winning):
            raise error

    assert message_of(fail, path, in_file, {}) == f"{path}: network.arch: no 'nix'"
    assert message_of(fail, path, in_file, {"network": {"arch": "nix"}}) == "arch: no 'nix'"
    assert message_of(fail, None, {}, {}) == "arch: no 'nix'"


def test_a_recipe_of_the_options_keeps_the_model_to_start_from():
    file = {"training": {"from_model": "commands", "epochs": 3}}
    merged = merge_sections(file, {"training": {"recipe": "fast"}})
    assert merged["training"] == {"from_model": "commands", "recipe": "fast"}


def test_the_config_of_an_old_model_needs_its_metrics(tmp_path):
    path = tmp_path / "config.json"
    path.write_bytes((OLD / "config.json").read_bytes())
    assert "metrics.json: missing or damaged" in refusal(ArtifactError, read_config, path)
