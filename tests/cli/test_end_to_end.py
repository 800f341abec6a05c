"""Train, evaluate and predict: what a person types, and what comes of it."""

import json
import shlex
import shutil

import numpy as np
import pytest
import torch
from common_cli import read_split
from safetensors.torch import load_file

from speechcls.artifact.store import load_artifact
from speechcls.data.splits import hash_percentage
from speechcls.networks.recogniser import build_recogniser
from speechcls.networks.zoo import NETWORKS
from speechcls.runtime.classifier import Classifier

ARCHS = ("rnn", "fastrnn", "lstm", "lstmp", "gru", "mingru", "birnn", "bilstm", "bigru", "crnn")
ARCHS += ("att-bigru", "att-bilstm")
FILES = {"config.json", "weights.safetensors", "model.onnx", "stream.onnx", "manifest.json"}
FILES |= {"metrics.json", "split.csv", "history.csv", "curves.png", "README.md"}


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_training_prints_the_place_on_stdout_and_the_rest_on_stderr(home):
    assert home.trained.stdout == "models/tones-gru\n"
    lines = home.trained.stderr.splitlines()
    assert [line for line in lines if not line.startswith("speechcls: ")] == []
    assert [line.split()[2] for line in lines if "  loss " in line] == [
        f"{n}/8" for n in range(1, 9)
    ]
    assert "speechcls: saved models/tones-gru: " in home.trained.stderr
    assert "\x1b" not in home.trained.stderr


def test_what_training_says_to_type_next_works(home, run):
    *_, evaluate, predict = home.trained.stderr.splitlines()
    evaluate = shlex.split(evaluate.partition("next: speechcls")[2])
    predict = shlex.split(predict.partition("speechcls predict")[2])

    evaluated = run(*evaluate, "--json", cwd=home.path)
    assert evaluated.code == 0
    assert evaluated.stderr.splitlines() == [
        "speechcls: model models/tones-gru (named)",
        "speechcls: labels high, low, rise",
    ]
    scores = json.loads(evaluated.stdout)
    assert evaluated.stdout.count("\n") == 1
    assert scores["accuracy"] > 0.9

    clip = home.clip("low")
    predicted = run("predict", *[clip if p == "CLIP" else p for p in predict], cwd=home.path)
    assert predicted.code == 0
    assert predicted.stderr == "speechcls: model models/tones-gru (named)\n"
    [[path, label, probability]] = predicted.rows
    assert (path, label) == (str(clip), "low")
    assert 0.5 < float(probability) <= 1


def test_the_artifact_holds_what_the_style_guide_says(home):
    assert {path.name for path in home.model.iterdir()} == FILES
    assert [path.name for path in home.model.parent.iterdir()] == ["tones-gru"]  # no scratch
    config = json.loads((home.model / "config.json").read_text())
    assert config["format_version"] == 2
    assert config["labels"] == ["high", "low", "rise"]
    assert config["features"]["duration_s"] == 0.5
    assert config["network"] == {
        "arch": "gru",
        "hidden_size": 16,
        "num_layers": 1,
        "dropout": 0.2,
        "readout": "attention",
        "step_frames": 2,
    }
    metrics = json.loads((home.model / "metrics.json").read_text())
    assert metrics["validation"]["accuracy"] > 0.9
    assert metrics["training"]["seed"] == 0
    assert len(metrics["history"]) == 8
    assert not metrics["interrupted"]
    assert metrics["data"]["n_clips"] == {"train": 96, "validation": 12, "test": 36}
    assert len(metrics["data"]["sha256"]) == 64
    assert {"speechcls", "torch", "onnxruntime"} <= set(metrics["versions"])


def test_each_speaker_is_in_the_split_that_the_official_rule_says(home):
    rows = read_split(home.model)
    assert {row["path"] for row in rows} == {
        path.relative_to(home.data).as_posix() for path in home.data.rglob("*.wav")
    }
    for row in rows:
        place = hash_percentage(row["speaker"])
        expected = "validation" if place < 10 else "test" if place < 20 else "train"
        assert row["split"] == expected, row


def test_every_architecture_is_tried():
    assert set(ARCHS) == set(NETWORKS)


@pytest.mark.parametrize("arch", ARCHS)
def test_architecture_trains_saves_loads_evaluates_and_predicts(arch, home, tmp_path, train, call):
    model = tmp_path / arch
    trained = train(home.data, model, "--arch", arch, "--epochs", "6")
    assert (trained.code, trained.stdout) == (0, f"{model}\n")
    assert {path.name for path in model.iterdir()} == FILES

    evaluated = call("evaluate", home.data, "--model", model, "--json")
    assert evaluated.code == 0
    assert json.loads(evaluated.stdout)["accuracy"] > 0.9

    clips = sorted(home.data.glob("*/s0[0-4]*.wav"))
    predicted = call("predict", *clips, "--model", model, "--json")
    assert predicted.code == 0
    answers = [json.loads(line) for line in predicted.stdout.splitlines()]

    artifact, classifier = load_artifact(model), Classifier.load(model)
    recogniser = build_recogniser(
        artifact.features, artifact.network, range(len(artifact.labels)), seed=99
    ).eval()
    windows = np.stack([classifier.read_window(clip).samples for clip in clips])
    with torch.no_grad():
        untrained = recogniser(torch.from_numpy(windows)).softmax(dim=1).numpy()
        recogniser.load_state_dict(load_file(model / "weights.safetensors"))
        expected = recogniser(torch.from_numpy(windows)).softmax(dim=1).numpy()
    assert np.abs(untrained - expected).max() > 0.1  # the weights are what was trained
    np.testing.assert_allclose(classifier.probabilities(windows), expected, atol=1e-4, rtol=0)
    told = [[answer["probabilities"][label] for label in artifact.labels] for answer in answers]
    np.testing.assert_allclose(told, expected, atol=1e-4, rtol=0)
    assert [answer["path"] for answer in answers] == list(map(str, clips))


def test_the_same_seed_gives_the_same_weights(home, tmp_path, train):
    weights = []
    for n, seed in enumerate((7, 7, 8)):
        options = ("--arch", "rnn", "--epochs", "2", "--seed", str(seed))
        assert train(home.data, tmp_path / str(n), *options).code == 0
        weights.append((tmp_path / str(n) / "weights.safetensors").read_bytes())
    assert weights[0] == weights[1]
    assert weights[0] != weights[2]


def test_another_seed_starts_from_other_weights(home, tmp_path, train):
    starts = []
    for seed in ("7", "8"):  # at a learning rate that leaves them where they were
        options = ("--arch", "rnn", "--epochs", "1", "--lr", "1e-9", "--seed", seed)
        assert train(home.data, tmp_path / seed, *options).code == 0
        starts.append(load_file(tmp_path / seed / "weights.safetensors"))
    for name in ("network.recurrence.weight_ih_l0", "network.output.weight"):
        assert (starts[0][name] - starts[1][name]).abs().max() > 0.01, name


def test_the_best_epoch_is_kept(tmp_path, make_tones, train):
    for n, label in enumerate(("this", "that")):  # which cannot be told apart
        make_tones(tmp_path / label, ("low",), seed=n)
        shutil.copytree(tmp_path / label / "low", tmp_path / "data" / label)
    for seed in "012345":
        options = ("--arch", "rnn", "--epochs", "8", "--seed", seed, "--force")
        assert train(tmp_path / "data", tmp_path / "model", *options).code == 0
        metrics = json.loads((tmp_path / "model" / "metrics.json").read_text())
        accuracy = [epoch["validation_balanced_accuracy"] for epoch in metrics["history"]]
        assert metrics["validation"]["balanced_accuracy"] == pytest.approx(max(accuracy))
        assert accuracy[metrics["best_epoch"] - 1] == max(accuracy)
        if accuracy[-1] < max(accuracy):
            return
    pytest.fail("the last epoch was the best one every time: this shows nothing")


def test_a_model_is_replaced_with_force_only(home, tmp_path, train, call):
    model = tmp_path / "model"
    shutil.copytree(home.model, model)
    before = contents(model)
    refused = train(home.data, model, "--arch", "rnn", "--epochs", "1")
    assert (refused.code, refused.stdout) == (1, "")
    assert refused.errors == [f"{model}: exists; use force to replace it, or choose another place"]
    assert "epoch" not in refused.stderr
    assert contents(model) == before

    replaced = train(home.data, model, "--arch", "rnn", "--epochs", "1", "--force")
    assert replaced.code == 0
    assert load_artifact(model).network.arch == "rnn"
    assert {path.name for path in model.iterdir()} == FILES
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    assert call("predict", home.clip("low"), "--model", model).code == 0


def test_force_does_not_replace_what_is_no_model(home, tmp_path, train):
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "dear.txt").write_text("Dear Ann")
    refused = train(home.data, tmp_path / "letters", "--force", "--epochs", "1")
    assert refused.code == 1
    assert refused.errors == [
        f"{tmp_path / 'letters'}: exists and is not a model; choose another place"
    ]
    assert (tmp_path / "letters" / "dear.txt").read_text() == "Dear Ann"


@pytest.fixture(scope="module")
def two_labels(home, tmp_path_factory, train):
    model = tmp_path_factory.mktemp("two") / "model"
    data = tmp_path_factory.mktemp("two-data")
    for label in ("high", "low"):
        shutil.copytree(home.data / label, data / label)
    assert train(data, model, "--arch", "gru", "--epochs", "4").code == 0
    return model


@pytest.mark.parametrize("threshold", ["0", "0.5", "1"])
def test_threshold_decides_between_two_labels(threshold, two_labels, home, call):
    clips = [home.clip("high"), home.clip("low")]
    expected = {"0": ["low", "low"], "0.5": ["high", "low"], "1": ["high", "high"]}
    answers = call("predict", *clips, "--model", two_labels, "--threshold", threshold, "--json")
    answers = [json.loads(line) for line in answers.stdout.splitlines()]
    assert [answer["label"] for answer in answers] == expected[threshold]
    for answer in answers:
        assert answer["probability"] == answer["probabilities"][answer["label"]]
        assert sum(answer["probabilities"].values()) == pytest.approx(1, abs=1e-5)


def test_threshold_between_two_probabilities_parts_them(two_labels, home, call):
    clips = sorted(home.data.glob("low/*.wav"))
    lines = call("predict", *clips, "--model", two_labels, "--json").stdout.splitlines()
    positive = sorted(json.loads(line)["probabilities"]["low"] for line in lines)
    middle = (positive[23] + positive[24]) / 2
    answers = call("predict", *clips, "--model", two_labels, "--threshold", f"{middle:.9f}").rows
    assert sorted(label for _, label, _ in answers) == ["high"] * 24 + ["low"] * 24


def test_train_gates_on_recall_when_the_model_is_saved(home, tmp_path, call):
    options = (
        "--arch",
        "rnn",
        "--hidden-size",
        "4",
        "--num-layers",
        "1",
        "--epochs",
        "1",
        "--epoch-clips",
        "1",
        "--closed",
    )
    options += ("--lr", "1e-9", "--min-recall", "0.01", "--out", tmp_path / "m")
    result = call("train", home.data, *options)
    assert (result.code, result.stdout) == (1, f"{tmp_path / 'm'}\n")
    scores = json.loads((tmp_path / "m" / "metrics.json").read_text())["validation"]
    missed = [label for label in scores["labels"] if not scores["per_label"][label]["recall"]]
    assert missed
    assert result.errors == [f"{n}: recall 0.0000 is below --min-recall 0.01" for n in missed]
