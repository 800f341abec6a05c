"""``speechcls evaluate``: which clips it scores, what it says of them, other words and noise."""

import json
from collections import Counter

import numpy as np
import pytest
import soundfile
from common_cli import read_split

from speechcls.artifact.store import load_artifact


def evaluate(call, *arguments):
    result = call("evaluate", *arguments, "--json")
    assert result.code == 0, result.stderr
    return json.loads(result.stdout)


def test_evaluate_prints_every_figure_as_json(at_home, call):
    scores = evaluate(call, "tones")
    assert set(scores) >= {
        *("model", "data", "scored", "caveat", "bad", "n_clips", "n_speakers", "labels"),
        *("accuracy", "accuracy_low", "accuracy_high", "macro_f1", "per_label"),
        *("confusion", "most_confused"),
    }
    assert scores["labels"] == ["high", "low", "rise"]
    assert 0 <= scores["accuracy_low"] <= scores["accuracy"] <= scores["accuracy_high"] <= 1
    assert set(scores["per_label"]["low"]) == {"precision", "recall", "f1", "n_clips"}
    assert np.sum(scores["confusion"]) == scores["n_clips"]
    assert scores["bad"] == []


def test_evaluate_prints_a_table_for_people(at_home, call):
    result = call("evaluate", "tones")
    assert result.code == 0
    lines = result.stdout.splitlines()
    assert lines[0] == "scored    36 clips of the test split by 6 speakers"
    assert lines[1].startswith("accuracy  ")
    assert "95 % interval" in lines[1]
    words = [line.split() for line in lines]
    assert ["label", "precision", "recall", "F1", "clips"] in words
    [row] = [line for line in words if line[:1] == ["rise"]]
    assert row[-1] == "12"
    assert "\x1b" not in result.stdout


def test_evaluate_scores_the_held_out_test_speakers(at_home, call):
    scores = evaluate(call, "tones")
    assert (scores["n_clips"], scores["n_speakers"]) == (36, 6)
    assert scores["scored"] == "36 clips of the test split"
    assert scores["caveat"] == ""


@pytest.mark.parametrize(("split", "n_clips"), [("train", 96), ("all", 144)])
def test_evaluate_says_that_scores_of_training_clips_are_biased(split, n_clips, at_home, call):
    scores = evaluate(call, "tones", "--split", split)
    assert scores["n_clips"] == n_clips
    assert "96 clips of the train split" in scores["scored"]
    assert "trained on some of these clips" in scores["caveat"]
    assert "optimistically biased" in scores["caveat"]
    assert "optimistically biased" in call("evaluate", "tones", "--split", split).stdout


def test_evaluate_knows_the_training_clips_under_other_names(at_home, tmp_path, call):
    for label in ("high", "low", "rise"):
        (tmp_path / label).mkdir()
        for n, clip in enumerate(sorted((at_home.data / label).iterdir())):
            samples, rate = soundfile.read(clip, dtype="int16")
            soundfile.write(tmp_path / label / f"{n}.flac", samples, rate)
    assert evaluate(call, tmp_path)["scored"] == "36 clips of the test split"


def test_evaluate_scores_everything_in_other_data(at_home, tmp_path, make_tones, call):
    make_tones(tmp_path / "others", n_speakers=5, seed=1)
    scores = evaluate(call, tmp_path / "others")
    assert scores["n_clips"] == 30
    assert scores["scored"] == "30 clips not used in training"
    assert scores["accuracy"] > 0.9


def test_evaluate_scores_the_validation_clips_where_the_lists_leave_no_test(
    tmp_path, make_tones, train, call
):
    data = make_tones(tmp_path / "data", n_speakers=8)
    listed = [f"{label}/s03_nohash_{n}.wav" for label in ("high", "low", "rise") for n in (0, 1)]
    (data / "validation_list.txt").write_text("\n".join(listed) + "\n")
    model = tmp_path / "model"
    assert train(data, model, "--arch", "gru", "--epochs", "2").code == 0
    told = {row["path"] for row in read_split(model) if row["split"] == "validation"}
    assert told == set(listed)
    assert not [row for row in read_split(model) if row["split"] == "test"]
    scores = evaluate(call, data, "--model", model)
    assert scores["n_clips"] == 6
    assert scores["scored"] == "6 clips of the validation split"
    assert "best epoch was chosen on the validation clips" in scores["caveat"]


def test_evaluate_gates_on_accuracy(at_home, tmp_path, make_tones, call):
    data = make_tones(tmp_path / "data", ("high", "low"), n_speakers=3, seed=2)
    (data / "high" / "s00_nohash_0.wav").rename(data / "low" / "wrong.wav")
    scores = evaluate(call, data)
    assert scores["accuracy"] == pytest.approx(11 / 12)
    assert scores["confusion"] == [[5, 0, 0], [1, 6, 0], [0, 0, 0]]  # rows are the truth
    assert scores["most_confused"] == [{"truth": "low", "predicted": "high", "n_clips": 1}]
    assert scores["per_label"]["high"]["precision"] == pytest.approx(5 / 6)
    assert scores["per_label"]["low"]["recall"] == pytest.approx(6 / 7)

    failed = call("evaluate", data, "--min-accuracy", "0.95", "--json", "-q")
    assert failed.code == 1
    assert failed.stderr == "speechcls: error: accuracy 0.9167 is below --min-accuracy 0.95\n"
    assert json.loads(failed.stdout) == scores
    assert call("evaluate", data, "--min-accuracy", "0.9", "-q").code == 0

    failed = call("evaluate", data, "--min-recall", "0.9", "--min-accuracy", "0.95", "--json", "-q")
    assert failed.code == 1
    assert failed.errors == [
        "low: recall 0.8571 is below --min-recall 0.9",
        "accuracy 0.9167 is below --min-accuracy 0.95",
    ]
    assert json.loads(failed.stdout) == scores
    passed = call("evaluate", data, "--min-recall", "0.85")
    assert passed.code == 0
    # (1 + 6 / 7) / 2; no clip is "rise"
    line = "balanced  92.9 %, the mean recall (of the 2 labels that occur)"
    assert line in passed.stdout.splitlines()
    warning = "speechcls: warning: no clip of rise: --min-recall does not judge it"
    assert warning in passed.stderr.splitlines()


@pytest.fixture(scope="module")
def with_unknown(tmp_path_factory, make_tones, train):
    """A model of two commands, all other words and silence, and its data."""
    folder = tmp_path_factory.mktemp("unknown")
    data = make_tones(folder / "data", ("high", "low", "rise", "fall"))
    (data / "_background_noise_").mkdir()
    noise = 0.05 * np.random.default_rng(0).standard_normal(16_000 * 8)
    soundfile.write(data / "_background_noise_" / "hiss.wav", noise, 16_000)
    options = ("--commands", "low,high", "--arch", "gru", "--epochs", "20")
    trained = train(data, folder / "model", *options)
    assert trained.code == 0, trained.stderr
    return folder / "model", data


def test_commands_lump_other_words_and_noise_makes_silence(with_unknown, call):
    model, data = with_unknown
    assert load_artifact(model).labels == ("low", "high", "_unknown_", "_silence_")
    scores = evaluate(call, data, "--model", model)
    n_clips = {label: row["n_clips"] for label, row in scores["per_label"].items()}
    assert n_clips.pop("_silence_") >= 12  # as much as a command; the exact number is below
    assert n_clips == {"low": 12, "high": 12, "_unknown_": 24}  # six test speakers, two takes
    assert scores["accuracy"] > 0.9
    recall = {label: row["recall"] for label, row in scores["per_label"].items()}
    assert min(recall.values()) > 0.6, recall


@pytest.mark.parametrize("split", ["validation", "test"])
def test_evaluate_scores_the_clips_that_split_csv_names(split, with_unknown, call):
    model, data = with_unknown
    named = Counter(row["label"] for row in read_split(model) if row["split"] == split)
    named["_unknown_"] = named.pop("rise") + named.pop("fall")
    scores = evaluate(call, data, "--model", model, "--split", split)
    assert {label: row["n_clips"] for label, row in scores["per_label"].items()} == named


def test_noise_is_held_out_of_training(with_unknown):
    rows = [row for row in read_split(with_unknown[0]) if row["label"] == "_silence_"]
    # the first 80 % of a recording trains, the next 10 % validates, the last tests
    assert {row["split"] for row in rows} == {"validation", "test"}
    for row in rows:
        first, last = (6.4, 7.2) if row["split"] == "validation" else (7.2, 8.0)
        assert first <= float(row["start_s"]) < float(row["end_s"]) <= last


def test_predict_answers_unknown_and_silence(with_unknown, tmp_path, make_tone, call):
    clips = {"_unknown_": make_tone("fall", 77), "low": make_tone("low", 77)}
    clips["_silence_"] = np.zeros(8_000, np.float32)
    for label, samples in clips.items():
        soundfile.write(tmp_path / f"{label}.wav", samples, 16_000)
    paths = [tmp_path / f"{label}.wav" for label in clips]
    rows = call("predict", *paths, "--model", with_unknown[0]).rows
    assert [label for _, label, _ in rows] == list(clips)


def test_evaluate_says_when_the_model_knows_none_of_the_words(
    with_unknown, tmp_path, make_tone, call
):
    for folder in ("zebra", "low"):
        (tmp_path / folder).mkdir()
        for n in range(3):
            soundfile.write(tmp_path / folder / f"{n}.wav", make_tone("fall", 600 + n), 16_000)
        said = call("evaluate", tmp_path, "--model", with_unknown[0]).stderr
        warned = (
            "speechcls: warning: none of these words is one of the model (high, low): this scores"
            " how well it rejects them; name another model with --model\n"
        )
        assert (warned in said) == (folder == "zebra")
        assert ("no clip of _unknown_" in said) is False


def test_evaluate_says_when_other_words_are_not_scored(with_unknown, tmp_path, make_tone, call):
    for folder in ("low", "high"):
        (tmp_path / folder).mkdir()
        for n in range(3):
            soundfile.write(tmp_path / folder / f"{n}.wav", make_tone(folder, 700 + n), 16_000)
    said = call("evaluate", tmp_path, "--model", with_unknown[0]).stderr
    assert (
        "speechcls: no clip of _unknown_: how well it rejects other words is not scored\n" in said
    )


def test_evaluate_counts_words_as_training_did(with_unknown, tmp_path, make_tone, call):
    for folder, label in (("low", "low"), ("zebra", "fall"), ("_unknown_", "rise")):
        (tmp_path / folder).mkdir()
        for n in range(3):
            soundfile.write(tmp_path / folder / f"{n}.wav", make_tone(label, 500 + n), 16_000)
    (tmp_path / "_silence_").mkdir()
    soundfile.write(tmp_path / "_silence_" / "0.wav", np.zeros(8_000), 16_000)
    scores = evaluate(call, tmp_path, "--model", with_unknown[0])
    n_clips = {label: row["n_clips"] for label, row in scores["per_label"].items()}
    assert n_clips == {"low": 3, "high": 0, "_unknown_": 6, "_silence_": 1}
