"""Recipes, sizes and starting from a trained model, as a person types them."""

import json

import numpy as np
import pytest
from safetensors.numpy import load_file

from speechcls.artifact.store import load_artifact
from speechcls.config import RECIPES

QUICK = ("--epochs", "1", "--epoch-clips", "1", "--batch-size", "16", "--closed")


def metrics_of(model):
    return json.loads((model / "metrics.json").read_text())


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_number_of_a_recipe_is_in_the_artifact_and_can_be_overridden(
    recipe, home, tmp_path, call, rng, write_wav
):
    model = tmp_path / "model"
    write_wav(tmp_path / "noise" / "hiss.wav", 0.01 * rng.standard_normal(32_000))
    options = ("--arch", "gru", "--hidden-size", "8", *QUICK, "--noise-prob", "0.25")
    options += ("--noise", tmp_path / "noise")
    trained = call("train", home.data, "--out", model, "--recipe", recipe, *options)
    assert trained.code == 0, trained.stderr
    given = {"epochs": 1, "epoch_clips": 1, "batch_size": 16, "noise_prob": 0.25}
    assert metrics_of(model)["training"] == RECIPES[recipe].to_dict() | given


def test_streaming_says_what_it_needs_and_what_it_is(home, tmp_path, call, rng, write_wav):
    options = ("--streaming", "--hidden-size", "12", *QUICK)
    refused = call("train", home.data, "--out", tmp_path / "model", *options)
    assert (refused.code, refused.stdout) == (1, "")
    assert refused.errors == [
        "--noise: no background sound, which a streaming model needs; name a folder of it"
    ]
    write_wav(tmp_path / "noise" / "hiss.wav", 0.01 * rng.standard_normal(32_000))
    options += ("--noise", tmp_path / "noise")
    trained = call("train", home.data, "--out", tmp_path / "model", *options)
    assert trained.code == 0, trained.stderr
    artifact = load_artifact(tmp_path / "model")
    assert (artifact.network.arch, artifact.network.readout) == ("crnn", "stream")
    assert artifact.features.running_s == 1.0
    clip = call("predict", home.clip("low"), "--model", tmp_path / "model")
    assert clip.code == 0 and len(clip.rows) == 1
    wrong = call("train", home.data, "--out", tmp_path / "m", "--streaming", "--arch", "bilstm")
    assert wrong.code == 2
    assert wrong.errors == ["--arch: bilstm cannot run on a stream; rnn, lstm, gru, crnn can"]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("--arch", "gru", "--step-frames", "2"), "a step of gru has 4 frames"),
        (("--arch", "rnn", "--step-frames", "4"), "a step of rnn has 1 frame"),
        (("--arch", "crnn", "--step-frames", "4"), None),
        (("--arch", "gru"), None),
    ],
)
def test_step_frames_that_a_network_does_not_have_are_said(home, tmp_path, call, options, expected):
    trained = call(
        "train", home.data, "--out", tmp_path / "m", *options, "--hidden-size", "12", *QUICK
    )
    assert trained.code == 0, trained.stderr
    told = [line for line in trained.stderr.splitlines() if "has no effect" in line]
    assert told == (
        [f"speechcls: warning: --step-frames {options[3]} has no effect: {expected}"]
        if expected
        else []
    )


def test_a_size_chooses_the_hidden_size(home, tmp_path, call):
    model = tmp_path / "model"
    trained = call("train", home.data, "--out", model, "--arch", "rnn", "--size", "tiny", *QUICK)
    assert trained.code == 0, trained.stderr
    assert 25_000 < metrics_of(model)["n_parameters"] < 30_000
    assert load_artifact(model).network.hidden_size > 60


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            ["--recipe", "slow"],
            "--recipe: no 'slow'; there are fast, standard, stream, best, adapt",
        ),
        (["--size", "huge"], "--size: no 'huge'; there are tiny, small, base"),
        (["--size", "tiny", "--hidden-size", "9"], "--size: cannot be combined with hidden_size"),
        (["--from", "MODEL", "--arch", "lstm"], "--arch: is fixed by the model to start from ("),
        (["--from", "MODEL", "--n-mels", "20"], "--n-mels: is fixed by the model to start from ("),
        (["--from", "MODEL", "--size", "base"], "--size: is fixed by the model to start from ("),
        (["--from", "MODEL", "--streaming"], ": is not a streaming model"),
    ],
)
def test_what_does_not_fit_together_is_refused_before_training(options, said, home, tmp_path, call):
    options = [str(home.model) if option == "MODEL" else option for option in options]
    result = call("train", home.data, "--out", tmp_path / "model", *options)
    assert (result.code, result.stdout) == (2, "")
    assert said in result.errors[0]
    assert not (tmp_path / "model").exists()


def test_from_a_model_keeps_all_but_the_last_layer(home, tmp_path, make_tones, call):
    data = make_tones(tmp_path / "data", labels=("rise", "low"), n_speakers=12, n_takes=1)
    model = tmp_path / "model"
    # So small a step that nothing moves.
    still = ("--lr", "1e-9", "--ema-decay", "0", *QUICK)
    trained = call("train", data, "--out", model, "--from", home.model, *still)
    assert trained.code == 0, trained.stderr
    before, after = (load_file(m / "weights.safetensors") for m in (home.model, model))
    assert before.keys() == after.keys()
    for name, weight in after.items():
        if name.startswith("network.output."):
            assert len(weight) == 2 != len(before[name])
        elif not name.startswith("network.front_end.norm.") or name.endswith(("weight", "bias")):
            # what batch norm counts of the clips follows the new ones
            np.testing.assert_allclose(weight, before[name], atol=1e-6, err_msg=name)
    artifact, source = load_artifact(model), load_artifact(home.model)
    assert artifact.labels == ("low", "rise")
    assert (artifact.features, artifact.network) == (source.features, source.network)


def test_from_a_model_that_is_none(home, tmp_path, call):
    result = call("train", home.data, "--out", tmp_path / "m", "--from", tmp_path / "none")
    assert (result.code, result.stdout) == (1, "")
    assert "no such model" in result.errors[0]


def test_a_config_file_holds_settings_and_options_win_over_it(home, tmp_path, call):
    config = tmp_path / "train.toml"
    config.write_text(
        "[network]\narch = 'rnn'\nhidden_size = 9\n"
        "[training]\nepochs = 2\nepoch_clips = 1\nbatch_size = 16\n"
        "[data]\ncommands = ['low', 'high']\n"
    )
    options = ("--config", config, "--epochs", "1", "--hidden-size", "8", "--closed")
    trained = call("train", home.data, "--out", tmp_path / "model", *options)
    assert trained.code == 0, trained.stderr
    artifact = load_artifact(tmp_path / "model")
    assert (artifact.network.arch, artifact.network.hidden_size) == ("rnn", 8)
    assert metrics_of(tmp_path / "model")["training"]["epochs"] == 1
    assert artifact.labels[:2] == ("low", "high")


def test_the_config_of_a_model_repeats_its_training(home, tmp_path, call, make_tones):
    options = ("--arch", "gru", "--size", "tiny", "--commands", "low", "--seed", "3", *QUICK)
    first = call("train", home.data, "--out", tmp_path / "first", *options)
    assert first.code == 0, first.stderr
    config = tmp_path / "first" / "config.json"
    again = call("train", home.data, "--out", tmp_path / "again", "--config", config)
    assert again.code == 0, again.stderr
    for name in ("config.json", "weights.safetensors", "model.onnx", "split.csv"):
        first_bytes, bytes_again = (
            (tmp_path / model / name).read_bytes() for model in ("first", "again")
        )
        assert first_bytes == bytes_again, name


def test_show_config_prints_a_config_file_and_trains_nothing(tmp_path, call, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shown = call("train", "--show-config", "--arch", "gru", "--n-mels", "64")
    assert (shown.code, shown.stderr) == (0, "")
    config = tmp_path / "train.toml"
    config.write_text(shown.stdout)
    again = call("train", "--show-config", "--config", config)
    assert again.stdout == shown.stdout
    assert "n_mels = 64" in shown.stdout.splitlines()
    assert [path.name for path in tmp_path.iterdir()] == ["train.toml"]


def test_a_config_file_with_a_mistake_is_named_with_the_key(home, tmp_path, call):
    config = tmp_path / "train.toml"
    config.write_text("[training]\nepoch = 3\n")
    result = call("train", home.data, "--config", config)
    assert (result.code, result.stdout) == (2, "")
    [error] = result.errors
    assert error.startswith(f"{config}: training.epoch: no such setting; there are recipe, epochs")


def test_streaming_keeps_the_training_of_a_config_file(tmp_path, call):
    config = tmp_path / "train.toml"
    config.write_text("[training]\nepochs = 5\n")
    shown = call("train", "--show-config", "--config", config, "--streaming").stdout.splitlines()
    assert {"epochs = 5", 'arch = "crnn"', 'readout = "stream"', "running_s = 1.0"} <= set(shown)
