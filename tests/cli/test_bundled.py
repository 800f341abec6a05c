"""The models that come with speechcls: their size, their cards, and that the figures hold."""

import json
import re

import pytest

from speechcls.artifact.lookup import BUNDLED, find_bundled
from speechcls.artifact.store import load_artifact

LIMITS = {"commands": 500_000, "commands-tiny": 100_000, "commands-stream": 100_000}
LABELS = ("yes", "no", "up", "down", "left", "right", "stop", "go", "_unknown_", "_silence_")
every_model = pytest.mark.parametrize("name", LIMITS)


@pytest.fixture
def folder():
    """models/ of the source tree."""
    return find_bundled().parent


def figures_of(card):
    """Accuracy and recalls, per cent, that a card states."""
    accuracy = float(re.search(r"\*\*([\d.]+) %\*\*", card)[1])
    recalls = re.findall(r"^\| `?(\w+)`? \| ([\d.]+) \|$", card, re.MULTILINE)
    return accuracy, {label: float(recall) for label, recall in recalls}


@every_model
def test_each_is_small_and_has_a_card_with_its_figures(name, folder):
    artifact = load_artifact(folder / name)
    metrics = json.loads((folder / name / "metrics.json").read_text())
    assert artifact.labels == LABELS
    assert metrics["n_parameters"] < LIMITS[name]
    assert (folder / name / "model.onnx").stat().st_size < 2_000_000
    card = (folder / name / "README.md").read_text()
    accuracy, recalls = figures_of(card)
    assert accuracy == pytest.approx(100 * metrics["validation"]["accuracy"], abs=0.006)
    for label in LABELS:
        recall = metrics["validation"]["per_label"][label]["recall"]
        assert recalls[label] == pytest.approx(100 * recall, abs=0.06)
    assert "CC BY 4.0" in card and "arXiv:1804.03209" in card
    assert f"--out models/{name}" in card


@every_model
def test_evaluate_gives_the_figures_of_the_card(name, folder, speech_commands, call):
    accuracy, recalls = figures_of((folder / name / "README.md").read_text())
    result = call("evaluate", speech_commands, "--model", folder / name, "--json")
    assert result.code == 0
    scores = json.loads(result.stdout)
    assert scores["n_clips"] == 1_624 and "validation" in scores["scored"]
    # Another processor may round a probability otherwise: one clip is 0.06 %.
    assert 100 * scores["accuracy"] == pytest.approx(accuracy, abs=0.13)
    for label, row in scores["per_label"].items():
        assert 100 * row["recall"] == pytest.approx(recalls[label], abs=1.0), label


def test_it_is_what_predict_uses_when_there_is_no_other(home, tmp_path, call, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = call("predict", home.clip("low"))
    assert result.code == 0
    assert "(comes with speechcls)" in result.stderr
    [[_, label, _]] = result.rows
    assert label in LABELS


def test_it_can_be_named_to_start_from(home, tmp_path, call, monkeypatch):
    monkeypatch.chdir(tmp_path)
    options = ("--epochs", "1", "--epoch-clips", "1", "--closed", "--out", tmp_path / "model")
    result = call("train", home.data, "--from", BUNDLED, *options)
    assert result.code == 0, result.stderr
    artifact, source = load_artifact(tmp_path / "model"), load_artifact(find_bundled())
    assert artifact.labels == ("high", "low", "rise")
    assert artifact.network == source.network
