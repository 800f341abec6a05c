"""Training by default: sounds to reject, thresholds by them, and the model to start from."""

import csv
import json

import pytest

pytest.importorskip("espeakng_loader", reason="the extra synth")

NETWORK = ("--arch", "gru", "--hidden-size", "16", "--num-layers", "1", "--batch-size", "32")
OPTIONS = (*NETWORK, "--epochs", "3", "--epoch-clips", "1", "--lr", "0.01", "--ema-decay", "0")
OPTIONS += ("--n-spoken", "100")


@pytest.fixture(scope="module")
def trained(tmp_path_factory, make_tones):
    """A folder with tones of two labels, a model of them, and what its training said."""
    from typer.testing import CliRunner

    from speechcls.cli.app import app

    place = tmp_path_factory.mktemp("rejects")
    make_tones(place / "tones", labels=("low", "high"))
    arguments = ["train", str(place / "tones"), "--out", str(place / "model"), *OPTIONS]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.stderr
    return place, result.stderr.splitlines()


def test_every_model_has_other_words_and_silence(trained):
    place, lines = trained
    config = json.loads((place / "model/config.json").read_text())
    assert config["labels"] == ["high", "low", "_unknown_", "_silence_"]
    assert config["words"] == ["high", "low", "_silence_", "_scrambled_", "_spoken_"]
    assert config["data"]["closed"] is False
    assert config["training"]["from_model"] == "none"
    assert (
        "speechcls: starts from nothing: no model that comes with speechcls has these settings"
        in lines
    )


def test_what_was_made_stands_in_the_split_and_validates(trained):
    with (trained[0] / "model/split.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["path"].startswith("made by speechcls/")]
    splits = {(row["label"], row["split"]) for row in rows}
    assert splits == {
        ("_spoken_", "train"),
        ("_spoken_", "validation"),
        ("_silence_", "validation"),
    }
    metrics = json.loads((trained[0] / "model/metrics.json").read_text())
    per_label = metrics["validation"]["per_label"]
    assert per_label["_unknown_"]["n_clips"] == 150
    assert per_label["_silence_"]["n_clips"] == 75


def test_thresholds_are_chosen_and_what_they_let_pass_is_said(trained, call):
    place, lines = trained
    calibration = json.loads((place / "model/calibration.json").read_text())
    assert set(calibration["thresholds"]) == {"high", "low"}
    assert 4.5 / 60 < calibration["hours"] < 6 / 60
    n_alarms = calibration["false_alarms"]
    words = "1 was taken for a word" if n_alarms == 1 else f"{n_alarms} were taken for a word"
    [said] = [line for line in lines if "without its words" in line]
    assert said.startswith(f"speechcls: of the sounds in 5 minutes without its words, {words} (")
    clip = next((place / "tones/low").iterdir())
    again = call("detect", clip, "--model", place / "model")
    assert (again.code, said in again.stderr.splitlines()) == (0, True)
    unknown = call("detect", clip, "--model", place / "model", "--threshold", "0.5")
    assert "how often it takes other sounds for a word is not known" in unknown.stderr
    assert call("verify", place / "model").code == 0


def test_closed_makes_nothing(home):
    """The model of the other tests is trained with --closed."""
    config = json.loads((home.model / "config.json").read_text())
    assert config["labels"] == ["high", "low", "rise"]
    assert not (home.model / "calibration.json").exists()
    assert "made by speechcls" not in (home.model / "split.csv").read_text()


def test_other_words_are_no_label_that_evaluate_lacks(trained, call):
    place, _ = trained
    result = call("evaluate", place / "tones", "--model", place / "model", "--json")
    assert result.code == 0, result.stderr
    assert json.loads(result.stdout)["n_clips"] == 24  # six test speakers say two words twice


def test_a_model_to_start_from_lends_its_other_words(tmp_path, make_tones, call):
    tones = tmp_path / "tones"
    make_tones(tones, labels=("low", "high"))
    short = ("--epochs", "1", "--epoch-clips", "1")
    result = call("train", tones, "--out", tmp_path / "model", *short)
    assert result.code == 0, result.stderr
    [said] = [line for line in result.stderr.splitlines() if "that commands knows" in line]
    config = json.loads((tmp_path / "model/config.json").read_text())
    assert config["words"][:2] == ["high", "low"]
    known = [word for word in config["words"][2:] if not word.startswith("_")]
    assert said == f"speechcls: rejects {len(known)} words that commands knows"
    assert 20 < len(known) < 38
    assert len({"cat", "dog", "happy", "yes"} & set(known)) >= 3  # a tone may sound like one
    with (tmp_path / "model/split.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["path"].startswith("made by")]
    made = {(row["label"], row["split"]) for row in rows}
    assert made == {("_spoken_", "validation"), ("_silence_", "validation")}
    said = f"speechcls: {len(rows)} clips to reject, words and background, made by itself"
    assert said in result.stderr.splitlines()
