"""Settings: their defaults, JSON and back, and what every impossible value is told."""

import inspect
import json
from dataclasses import FrozenInstanceError, fields
from functools import partial

import pytest
from common import refusal

from speechcls.config import (
    RECIPES,
    SIZES,
    DataConfig,
    FeatureConfig,
    NetworkConfig,
    TrainConfig,
)
from speechcls.errors import ConfigError
from speechcls.fields import describe_fields

message_of = partial(refusal, ConfigError)

CONFIGS = (FeatureConfig, NetworkConfig, TrainConfig, DataConfig)
every_config = pytest.mark.parametrize("config", CONFIGS)


def test_the_defaults_hear_one_second_in_frames_of_30_ms_every_10_ms():
    config = FeatureConfig()
    assert (
        config.to_dict().items()
        >= {
            "kind": "mfcc",
            "sample_rate": 16_000,
            "duration_s": 1.0,
            "n_fft": 512,
            "win_length": 480,
            "hop_length": 160,
            "n_mels": 40,
            "n_mfcc": 40,
            "fmin": 20.0,
            "fmax": 7_600.0,
            "power_floor": 1e-10,
        }.items()
    )
    assert config.n_samples == 16_000
    assert config.n_frames == 101  # 1 + 16000 // 160
    assert config.n_features == 40


def test_the_defaults_of_network_and_training():
    assert NetworkConfig().to_dict() == {
        "arch": "att-bigru",
        "hidden_size": 96,
        "num_layers": 2,
        "dropout": 0.2,
        "readout": "attention",
        "step_frames": 2,
    }


# What tuning may change; nothing else in the tests depends on it.
TUNED = {
    "epochs": 40,
    "batch_size": 64,
    "lr": 0.002,
    "ema_decay": 0.998,
    "patience": 20,
    "unknown_ratio": 3.0,
    "silence_ratio": 1.0,
    "scramble_ratio": 2.0,
    "n_spoken": 900,
    "epoch_clips": 2_000,
    "speed_max": 0.15,
    "shift_max": 0.1,
    "equaliser_prob": 0.2,
    "reverb_prob": 0.1,
    "noise_prob": 0.8,
}


def test_the_defaults_of_training():
    values = TrainConfig().to_dict()
    assert values == values | TUNED
    assert values["seed"] == 0


def test_every_recipe_is_valid_and_carries_its_name():
    assert list(RECIPES) == ["fast", "standard", "stream", "best", "adapt"]
    for name, recipe in RECIPES.items():
        assert recipe.recipe == name
        assert TrainConfig.from_dict(recipe.to_dict()) == recipe
    assert RECIPES["standard"] == TrainConfig()
    epochs = [recipe.epochs for name, recipe in RECIPES.items() if name != "adapt"]
    assert epochs == sorted(epochs)  # from a first look to a night


def test_sizes_grow():
    assert list(SIZES) == ["tiny", "small", "base"]
    assert list(SIZES.values()) == sorted(set(SIZES.values()))


@pytest.mark.parametrize(
    ("values", "n_samples", "n_frames", "n_features"),
    [
        ({"kind": "log-mel"}, 16_000, 101, 40),
        ({"kind": "log-mel", "n_mels": 64}, 16_000, 101, 64),
        ({"n_mfcc": 13}, 16_000, 101, 13),
        ({"duration_s": 0.5}, 8_000, 51, 40),
        ({"duration_s": 0.01}, 160, 2, 40),  # one hop is the shortest
        ({"duration_s": 0.9999}, 15_998, 100, 40),  # 15998.4 samples; 99 whole hops
        ({"sample_rate": 8_000, "fmax": 4_000.0}, 8_000, 51, 40),
        ({"hop_length": 16_000}, 16_000, 2, 40),
    ],
)
def test_sizes_by_hand(values, n_samples, n_frames, n_features):
    config = FeatureConfig(**values)
    assert (config.n_samples, config.n_frames, config.n_features) == (
        n_samples,
        n_frames,
        n_features,
    )


@every_config
def test_through_json_and_back(config):
    values = json.loads(json.dumps(config().to_dict()))
    assert list(values) == [field.name for field in fields(config)]
    assert config.from_dict(values) == config()


def test_other_values_than_the_defaults_survive_json():
    config = FeatureConfig(
        "log-mel", 8_000, 0.7, 256, 200, 80, 32, 20, fmin=0.0, fmax=4_000.0,
        relative=not FeatureConfig.relative, range_db=55.5, power_floor=1e-6,
    )  # fmt: skip
    assert FeatureConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_json_may_write_a_whole_float_without_a_point():
    values = FeatureConfig().to_dict() | {"fmax": 7_600, "duration_s": 2}
    assert FeatureConfig.from_dict(values) == FeatureConfig(duration_s=2.0)


@every_config
def test_a_configuration_cannot_be_changed(config):
    with pytest.raises(FrozenInstanceError):
        setattr(config(), fields(config)[0].name, "other")


@every_config
def test_every_field_says_what_it_is(config):
    # The line under a field is its documentation; it ends as a sentence does.
    lines = [line.strip() for line in inspect.getsource(config).splitlines()]
    for field in fields(config):
        place = next(i for i, line in enumerate(lines) if line.startswith(f"{field.name}: "))
        assert lines[place + 1].startswith('"""'), field.name
        assert lines[place + 1].endswith('."""'), field.name


def test_an_unknown_key_is_named_with_the_valid_ones():
    values = NetworkConfig().to_dict() | {"hiden_size": 3, "colour": "red"}
    assert message_of(NetworkConfig.from_dict, values) == (
        "NetworkConfig: unknown colour, hiden_size;"
        " valid: arch, hidden_size, num_layers, dropout, readout, step_frames"
    )


def test_a_field_that_older_files_lack_has_the_value_of_then():
    values = FeatureConfig(running_s=1.0, kind="log-mel").to_dict()
    del values["running_s"]
    assert FeatureConfig.from_dict(values) == FeatureConfig(running_s=0.0, kind="log-mel")
    del values["fmin"]
    assert message_of(FeatureConfig.from_dict, values).startswith("FeatureConfig: missing fmin;")


@every_config
def test_what_is_no_field_is_neither_described_nor_a_setting(config):
    assert list(describe_fields(config)) == [field.name for field in fields(config)]
    assert "ADDED: no such setting" in message_of(config().replaced, {"ADDED": {}})


def test_a_missing_key_is_named():
    values = NetworkConfig().to_dict()
    del values["dropout"], values["arch"]
    assert message_of(NetworkConfig.from_dict, values) == (
        "NetworkConfig: missing arch, dropout;"
        " valid: arch, hidden_size, num_layers, dropout, readout, step_frames"
    )


def test_a_renamed_key_is_unknown_and_missing():
    values = NetworkConfig().to_dict()
    values["layers"] = values.pop("num_layers")
    assert message_of(NetworkConfig.from_dict, values).startswith(
        "NetworkConfig: unknown layers; missing num_layers; valid: "
    )


@pytest.mark.parametrize(
    ("config", "name", "value", "what"),
    [
        (NetworkConfig, "hidden_size", "128", "a whole number"),
        (NetworkConfig, "hidden_size", 128.0, "a whole number"),
        (NetworkConfig, "hidden_size", True, "a whole number"),
        (NetworkConfig, "hidden_size", None, "a whole number"),
        (NetworkConfig, "dropout", "0.2", "a number"),
        (NetworkConfig, "dropout", False, "a number"),
        (NetworkConfig, "dropout", [0.2], "a number"),
        (NetworkConfig, "readout", 1, "text"),
        (NetworkConfig, "readout", None, "text"),
        (FeatureConfig, "relative", 1, "true or false"),
        (DataConfig, "commands", "yes,no", "a list of names"),
        (DataConfig, "commands", ["yes", 3], "a list of names"),
        (DataConfig, "pattern", 3, "text"),
    ],
)
def test_a_value_of_the_wrong_type_is_named(config, name, value, what):
    expected = f"{name}: {value!r} has the wrong type; it must be {what}"
    assert message_of(config.from_dict, config().to_dict() | {name: value}) == expected
    assert message_of(config().replaced, {name: value}) == expected


def test_fields_are_replaced_by_name():
    replaced = DataConfig(max_bad=0.5).replaced({"commands": ["yes", "no"], "pattern": "{label}"})
    assert replaced == DataConfig(("yes", "no"), (), "{label}", max_bad=0.5)
    assert message_of(DataConfig().replaced, {"colour": 1}) == (
        "colour: no such setting; there are commands, test_speakers, pattern, noise, columns,"
        " root, channel, segment, stream_shards, buffer_clips, mistakes, max_bad, closed"
    )


def test_fields_are_described_by_the_docstrings_below_them():
    described = describe_fields(FeatureConfig)
    assert list(described) == [field.name for field in fields(FeatureConfig)]
    assert described["n_mfcc"] == "Number of cepstral coefficients; not used by log-mel."


def test_impossible_values_are_refused_from_json_too():
    values = NetworkConfig().to_dict() | {"hidden_size": 0}
    assert message_of(NetworkConfig.from_dict, values).startswith("hidden_size: 0 is not possible")


POSITIVE, SHARE = "a positive number", "at least 0 and below 1"


@pytest.mark.parametrize(
    ("config", "name", "value", "what"),
    [
        (FeatureConfig, "kind", "mel", "one of mfcc, log-mel"),
        (FeatureConfig, "kind", "", "one of mfcc, log-mel"),
        (FeatureConfig, "sample_rate", 0, POSITIVE),
        (FeatureConfig, "sample_rate", -16_000, POSITIVE),
        (FeatureConfig, "duration_s", 0.0, POSITIVE),
        (FeatureConfig, "duration_s", -1.0, POSITIVE),
        (FeatureConfig, "duration_s", float("nan"), POSITIVE),
        (FeatureConfig, "duration_s", float("inf"), POSITIVE),
        (FeatureConfig, "n_fft", 0, POSITIVE),
        (FeatureConfig, "win_length", 0, POSITIVE),
        (FeatureConfig, "win_length", 513, "at most n_fft (512)"),
        (FeatureConfig, "hop_length", 0, POSITIVE),
        (FeatureConfig, "n_mels", 0, POSITIVE),
        (FeatureConfig, "n_mfcc", 0, POSITIVE),
        (FeatureConfig, "n_mfcc", 41, "at most n_mels (40)"),
        (FeatureConfig, "range_db", 0.0, POSITIVE),
        (FeatureConfig, "power_floor", 0.0, POSITIVE),
        (FeatureConfig, "power_floor", float("nan"), POSITIVE),
        (FeatureConfig, "fmax", 8_000.1, "at most half the sample rate (8000 Hz)"),
        (FeatureConfig, "fmax", float("nan"), "at most half the sample rate (8000 Hz)"),
        (FeatureConfig, "fmax", float("inf"), "at most half the sample rate (8000 Hz)"),
        (FeatureConfig, "fmin", -0.1, "in 0 .. fmax (7600 Hz)"),
        (FeatureConfig, "fmin", 7_600.0, "in 0 .. fmax (7600 Hz)"),
        (FeatureConfig, "fmin", float("nan"), "in 0 .. fmax (7600 Hz)"),
        (FeatureConfig, "duration_s", 0.00996, "longer than one hop"),  # 159 samples
        (NetworkConfig, "hidden_size", 0, POSITIVE),
        (NetworkConfig, "num_layers", -1, POSITIVE),
        (NetworkConfig, "dropout", -0.1, SHARE),
        (NetworkConfig, "dropout", 1.0, SHARE),
        (NetworkConfig, "dropout", float("nan"), SHARE),
        (NetworkConfig, "readout", "max", "one of last, mean, attention, stream"),
        (TrainConfig, "epochs", 0, POSITIVE),
        (TrainConfig, "batch_size", 0, POSITIVE),
        (TrainConfig, "lr", 0.0, POSITIVE),
        (TrainConfig, "lr", float("inf"), POSITIVE),
        (TrainConfig, "max_grad_norm", 0.0, POSITIVE),
        (TrainConfig, "patience", 0, POSITIVE),
        (TrainConfig, "unknown_ratio", 0.0, POSITIVE),
        (TrainConfig, "silence_ratio", -1.0, POSITIVE),
        (TrainConfig, "warmup_ratio", 1.0, SHARE),
        (TrainConfig, "label_smoothing", -0.01, SHARE),
        (TrainConfig, "weight_decay", -1e-9, "zero or more"),
        (TrainConfig, "weight_decay", float("nan"), "zero or more"),
        (TrainConfig, "noise_prob", -0.1, "in 0 .. 1"),
        (TrainConfig, "noise_prob", 1.1, "in 0 .. 1"),
        (TrainConfig, "shift_max", -0.1, "at least 0 and below 1"),
        (TrainConfig, "time_masks", -1, "zero or more"),
        (TrainConfig, "time_mask_max", float("nan"), "at least 0 and below 1"),
        (TrainConfig, "ema_decay", 1.0, SHARE),
        (TrainConfig, "ema_decay", -0.1, SHARE),
        (TrainConfig, "speed_max", 1.0, SHARE),
        (TrainConfig, "speed_max", float("nan"), SHARE),
        (TrainConfig, "frequency_mask_max", 1.0, SHARE),
        (TrainConfig, "frequency_masks", -1, "zero or more"),
        (TrainConfig, "equaliser_prob", 1.1, "in 0 .. 1"),
        (TrainConfig, "reverb_prob", -0.1, "in 0 .. 1"),
        (TrainConfig, "equaliser_db", -0.1, "zero or more"),
        (TrainConfig, "gain_db", float("nan"), "zero or more"),
        (TrainConfig, "scramble_ratio", -0.1, "zero or more"),
        (TrainConfig, "n_spoken", -1, "zero or more"),
        (TrainConfig, "snr_low_db", 30.5, "at most snr_high_db (30)"),
        (TrainConfig, "seed", -1, "a whole number from 0"),
        (TrainConfig, "seed", 2**63, "a whole number from 0"),
        (TrainConfig, "recipe", "slow", "one of fast, standard, stream, best, adapt"),
        (DataConfig, "max_bad", 1.1, "in 0 .. 1"),
        (DataConfig, "max_bad", float("nan"), "in 0 .. 1"),
    ],
)
def test_an_impossible_value_is_refused_with_what_is_possible(config, name, value, what):
    expected = f"{name}: {value!r} is not possible; it must be {what}"
    assert message_of(config, **{name: value}) == expected


@pytest.mark.parametrize(
    ("config", "name", "value"),
    [
        (FeatureConfig, "duration_s", 1e305),  # more samples than a float can count
        (TrainConfig, "weight_decay", float("inf")),
        (TrainConfig, "shift_max", float("inf")),
        (TrainConfig, "gain_db", float("inf")),
        (TrainConfig, "equaliser_db", float("inf")),
        (TrainConfig, "time_mask_max", float("inf")),
        (TrainConfig, "snr_low_db", float("-inf")),
        (TrainConfig, "snr_high_db", float("inf")),
    ],
)
def test_values_without_end_are_refused(config, name, value):
    assert message_of(config, **{name: value}).startswith(f"{name}: {value!r} is")


@pytest.mark.parametrize(
    ("config", "values"),
    [
        (FeatureConfig, {"fmax": 8_000.0, "fmin": 0.0}),
        (FeatureConfig, {"win_length": 512}),
        (FeatureConfig, {"n_mfcc": 80, "n_mels": 80}),
        (NetworkConfig, {"dropout": 0.0, "num_layers": 1, "hidden_size": 1}),
        (TrainConfig, {"weight_decay": 0.0, "label_smoothing": 0.0, "warmup_ratio": 0.0}),
        (TrainConfig, {"seed": 2**63 - 1}),
        (TrainConfig, {"equaliser_prob": 1.0, "reverb_prob": 1.0, "noise_prob": 1.0}),
        (TrainConfig, {"ema_decay": 0.0, "speed_max": 0.0, "shift_max": 0.0}),
        (TrainConfig, {"equaliser_db": 0.0, "gain_db": 0.0, "frequency_masks": 0}),
        (TrainConfig, {"snr_low_db": 3.0, "snr_high_db": 3.0}),
    ],
)
def test_the_outermost_possible_values_are_taken(config, values):
    taken = config(**values).to_dict()
    assert taken == taken | values


def test_log_mel_takes_few_bands_whatever_the_number_of_coefficients():
    # n_mfcc is documented as not used by log-mel, so its default must not stand in the way.
    assert FeatureConfig(kind="log-mel", n_mels=32).n_features == 32
