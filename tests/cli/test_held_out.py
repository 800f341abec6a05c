"""Which clips and which silence ``evaluate`` and ``compare`` score, and what they say of them."""

import csv
import json
import shutil

import numpy as np
import pytest
import soundfile

RATE = 16_000
LABELS = ("high", "low", "rise")


def write_noise(path, seed, duration_s=8.0):
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = 0.05 * np.random.default_rng(seed).standard_normal(round(RATE * duration_s))
    soundfile.write(path, samples, RATE)


@pytest.fixture(scope="module")
def trained(tmp_path_factory, make_tones, train):
    """A model and its data: three words by 24 speakers, two takes each, and background noise."""
    folder = tmp_path_factory.mktemp("held-out")
    data = make_tones(folder / "data", LABELS)
    write_noise(data / "_background_noise_" / "hiss.wav", 0)
    result = train(data, folder / "model", "--arch", "gru", "--epochs", "6")
    assert result.code == 0, result.stderr
    return folder / "model", data


@pytest.fixture
def validated(trained, tmp_path):
    """The validation clips of the model alone."""
    model, data = trained
    with (model / "split.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == "validation"]
    spoken = [row["path"] for row in rows if row["label"] != "_silence_"]
    assert len(spoken) == 12
    for path in spoken:
        (tmp_path / "val" / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(data / path, tmp_path / "val" / path)
    return tmp_path / "val"


@pytest.fixture
def evaluate(call, trained):
    def run(*arguments):
        result = call("evaluate", *arguments, "--model", trained[0], "--json")
        assert result.code == 0, result.stderr
        return json.loads(result.stdout)

    return run


def n_silent(scores):
    return scores["per_label"]["_silence_"]["n_clips"]


def test_silence_held_out_as_test_does_not_push_out_validated_words(trained, validated, evaluate):
    scores = evaluate(validated, "--noise", trained[1] / "_background_noise_")
    assert "clips of the validation split" in scores["scored"]
    assert scores["n_clips"] - n_silent(scores) == 12


def test_clips_that_validated_are_scored_beside_new_ones(validated, evaluate, make_tones):
    make_tones(validated / "more", ("high",), n_speakers=2, seed=9)
    (validated / "more" / "high").rename(validated / "low" / "more")  # four, of another word
    scores = evaluate(validated)
    assert sorted(scores["scored"].split(", ")) == [
        "12 clips of the validation split",
        "4 clips not used in training",
    ]
    assert "slightly optimistically biased" in scores["caveat"]


def test_compare_chooses_its_clips_alike(trained, validated, call, tmp_path):
    shutil.copytree(trained[0], tmp_path / "other")
    noise = trained[1] / "_background_noise_"
    options = ("--data", validated, "--noise", noise, "--no-speed", "--json")
    result = call("compare", trained[0], tmp_path / "other", *options)
    assert result.code == 0, result.stderr
    told = json.loads(result.stdout)
    assert "clips of the validation split" in told["scored"]
    assert told["n_clips"] > 12
    [first, second] = told["models"]
    assert (first["accuracy_low"], first["accuracy_high"]) == (
        second["accuracy_low"],
        second["accuracy_high"],
    )


def test_noise_of_the_same_name_is_not_that_of_the_training(
    trained, evaluate, make_tones, tmp_path
):
    data = make_tones(tmp_path / "new", LABELS, n_speakers=5, seed=3)
    write_noise(tmp_path / "noise" / "hiss.wav", 1, duration_s=3.0)
    scores = evaluate(data, "--noise", tmp_path / "noise")
    assert scores["bad"] == []
    assert n_silent(scores) == 10  # as many as a word
    assert scores["scored"] == "40 clips not used in training"


def test_noise_that_the_training_had_is_known_beside_another_of_its_name(
    trained, evaluate, tmp_path
):
    alone = evaluate(trained[1])
    write_noise(tmp_path / "noise" / "hiss.wav", 1)
    both = evaluate(trained[1], "--noise", tmp_path / "noise")
    assert both["scored"] == alone["scored"]
    # In another place it is known by its samples.
    moved = shutil.copytree(trained[1], tmp_path / "moved" / "data")
    assert evaluate(moved)["scored"] == alone["scored"]


def test_new_noise_does_not_outweigh_the_words_that_count(trained, evaluate, tmp_path):
    words = tmp_path / "words"
    shutil.copytree(trained[1], words, ignore=shutil.ignore_patterns("_background_noise_"))
    write_noise(tmp_path / "noise" / "hum.wav", 2)
    scores = evaluate(words, "--noise", tmp_path / "noise")
    assert n_silent(scores) == 12  # a word has 12 test clips, and 48 in all


def test_one_speaker_is_a_caveat_and_has_an_interval(trained, call, make_tones, tmp_path):
    data = make_tones(tmp_path / "new", LABELS, n_speakers=1, n_takes=8, seed=3)
    result = call("evaluate", data, "--model", trained[0], "--json")
    scores = json.loads(result.stdout)
    assert scores["caveat"] == "all clips are by one speaker: nothing is known about others"
    assert scores["accuracy_low"] < scores["accuracy"] or scores["accuracy_low"] < 1
    assert scores["accuracy_low"] < scores["accuracy_high"]


def test_a_label_without_clips_has_a_dash(trained, call, make_tones, tmp_path):
    data = make_tones(tmp_path / "new", LABELS[:2], n_speakers=5, seed=3)
    result = call("evaluate", data, "--model", trained[0])
    rows = {line.split()[0]: line.split()[1:] for line in result.stdout.splitlines() if line}
    assert rows["_silence_"][1:] == ["-", "-", "0"]
    assert "(of the 2 labels that occur)" in result.stdout


def test_a_model_on_a_fix_list_is_scored_on_its_folder(trained, call, train, tmp_path):
    """What check left out is new; the rest and the silence are what they were in training."""
    data = shutil.copytree(trained[1], tmp_path / "data")
    faint = 1e-3 * np.random.default_rng(0).standard_normal(8_000)
    soundfile.write(data / "low" / "s05_nohash_7.wav", faint, RATE)
    good = tmp_path / "good.csv"
    call("check", data, "--fix-list", good)  # tones are so much alike that some count as copies
    made = train(good, tmp_path / "model", "--arch", "gru", "--epochs", "1")
    assert made.code == 0, made.stderr

    def scored(source):
        told = call("evaluate", source, "--model", tmp_path / "model", "--json")
        return json.loads(told.stdout)["scored"].split(", ")

    lines = good.read_text().splitlines()
    n_left_out = 3 * 48 + 1 - sum(line.split(",")[1] in LABELS for line in lines)
    assert n_left_out >= 1
    [tested] = scored(good)
    assert sorted(scored(data)) == [f"{n_left_out} clips not used in training", tested]
