"""The models that come with speechcls: their size, their cards, and that the figures hold."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from speechcls.artifact.lookup import bundled_models, find_bundled
from speechcls.artifact.store import load_artifact
from speechcls.config import DEFAULT_MODEL

LIMITS = {"commands": 500_000, "commands-tiny": 100_000, "commands-stream": 500_000}
LABELS = ("yes", "no", "up", "down", "left", "right", "stop", "go", "_unknown_", "_silence_")
every_model = pytest.mark.parametrize("name", LIMITS)


@pytest.fixture
def folder():
    """models/ of the source tree."""
    return find_bundled().parent


def test_these_are_all_of_them(folder):
    assert bundled_models() == {name: folder / name for name in sorted(LIMITS)}


def figures_of(card):
    """Balanced accuracy and recalls, per cent, that a card states."""
    balanced = float(re.search(r"\*\*([\d.]+) %\*\* is the mean recall", card)[1])
    recalls = re.findall(r"^\| `?(\w+)`? \| ([\d.]+) \|$", card, re.MULTILINE)
    return balanced, {label: float(recall) for label, recall in recalls}


@every_model
def test_each_is_small_and_has_a_card_with_its_figures(name, folder):
    artifact = load_artifact(folder / name)
    metrics = json.loads((folder / name / "metrics.json").read_text())
    assert artifact.labels == LABELS
    assert metrics["n_parameters"] < LIMITS[name]
    assert (folder / name / "model.onnx").stat().st_size < 2_000_000
    card = (folder / name / "README.md").read_text()
    balanced, recalls = figures_of(card)
    assert balanced == pytest.approx(sum(recalls.values()) / len(LABELS), abs=0.06)
    for label in LABELS[:8]:  # of the others some were made for the training
        recall = metrics["validation"]["per_label"][label]["recall"]
        assert recalls[label] == pytest.approx(100 * recall, abs=0.06)
    assert "CC BY 4.0" in card and "arXiv:1804.03209" in card
    assert f"--out models/{name}" in card


@every_model
def test_evaluate_gives_the_figures_of_the_card(name, folder, speech_commands, call):
    balanced, recalls = figures_of((folder / name / "README.md").read_text())
    result = call("evaluate", speech_commands, "--model", folder / name, "--json")
    assert result.code == 0
    scores = json.loads(result.stdout)
    assert scores["n_clips"] == 1_624 and "validation" in scores["scored"]
    # Another processor may round a probability otherwise: one clip is 0.06 %.
    assert 100 * scores["balanced_accuracy"] == pytest.approx(balanced, abs=0.13)
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
    result = call("train", home.data, "--from", DEFAULT_MODEL, *options)
    assert result.code == 0, result.stderr
    artifact, source = load_artifact(tmp_path / "model"), load_artifact(find_bundled())
    assert artifact.labels == ("high", "low", "rise")
    assert artifact.network == source.network


def test_listen_takes_the_causal_one_when_there_is_no_other(home, tmp_path, call, monkeypatch):
    monkeypatch.chdir(tmp_path)
    listen = ("listen", "--from", home.clip("low"), "--speed", "0")
    result = call(*listen)
    assert result.code == 0, result.stderr
    expected = f"speechcls: model {find_bundled('commands-stream')} (comes with speechcls)"
    assert expected in result.stderr.splitlines()
    shutil.copytree(home.model, "models/mine")  # one of the user's comes first
    assert "model models/mine (newest in ./models/)" in call(*listen).stderr


def test_an_unknown_name_lists_those_that_there_are(home, tmp_path, call, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = "(commands, commands-stream, commands-tiny)"
    advice = f"name the folder of a trained model, or one that comes with speechcls {names}"
    for command in (
        ("predict", home.clip("low"), "-m", "comands"),
        ("train", home.data, "--from", "comands"),
        ("verify", "comands"),
        ("bench", "comands"),
    ):
        result = call(*command)
        assert result.code in (1, 2)
        [error] = result.errors
        assert error.endswith(f"comands: no such model; {advice}"), command


# In a wheel

ROOT = Path(__file__).parents[2]
SOURCE = ("pyproject.toml", "README.md", "LICENSE", "speechcls", "models")
LOAD = """
import sys
from speechcls import Classifier, StreamingClassifier
for name in sys.argv[1:]:
    print(Classifier.load(name).artifact.path, *StreamingClassifier.load(name).thresholds)
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """Build a wheel from the source and unpack it; return where speechcls is then."""
    source, place = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("installed")
    for name in SOURCE:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, source / name)
        else:
            shutil.copy(ROOT / name, source / name)
    (source / "models" / "mine").mkdir()  # of the user's, and in no wheel
    (source / "models" / "mine" / "config.json").touch()
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet")
    for command in (
        (*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", source, source),
        (*pip, "install", "--no-deps", "--no-index", "--target", place, "--find-links", source),
    ):
        wheel = ["speechcls"] if "install" in command else []
        done = subprocess.run([*command, *wheel], capture_output=True, text=True, cwd=source)
        assert done.returncode == 0, done.stderr
    return place


def test_a_wheel_has_all_of_them_and_nothing_of_the_users(installed, folder):
    bundled = installed / "speechcls" / "bundled"
    assert sorted(path.name for path in bundled.iterdir()) == sorted(LIMITS)
    for name in LIMITS:
        there = {path.name: path.read_bytes() for path in (bundled / name).iterdir()}
        assert there == {path.name: path.read_bytes() for path in (folder / name).iterdir()}


def test_an_installed_wheel_finds_them_by_name_from_anywhere(installed, home, tmp_path):
    environment = os.environ | {"PYTHONPATH": str(installed), "OMP_NUM_THREADS": "1"}
    environment.pop("SPEECHCLS_MODEL", None)

    def run(*command):
        done = subprocess.run(
            [sys.executable, *map(str, command)],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        return done

    bundled = installed / "speechcls" / "bundled"
    loaded = run("-c", LOAD, *LIMITS).stdout.splitlines()
    assert loaded == [f"{bundled / name} {' '.join(LABELS[:8])}" for name in LIMITS]
    for name in LIMITS:
        done = run("-m", "speechcls", "predict", home.clip("low"), "-m", name)
        assert f"speechcls: model {bundled / name} (named)" in done.stderr.splitlines()
        rows = run("-m", "speechcls", "verify", name).stdout.splitlines()
        assert rows and all(row.startswith("ok\t") for row in rows)
    names = [*LIMITS][:2]
    (tmp_path / "words").mkdir()
    shutil.copytree(home.data / "low", tmp_path / "words" / "yes")
    shutil.copytree(home.data / "high", tmp_path / "words" / "no")
    data = ("--data", tmp_path / "words", "--json", "--no-speed")
    compared = json.loads(run("-m", "speechcls", "compare", *names, *data).stdout)
    assert [model["name"] for model in compared["models"]] == [str(bundled / n) for n in names]
