"""From clips to a recording, to its score, to thresholds, and what these change."""

import csv
import json
import shutil

import numpy as np
import pytest
import soundfile

from speechcls.artifact.calibration import Calibration, save_calibration
from speechcls.artifact.store import load_artifact

RATE = 16_000


@pytest.fixture(scope="module")
def place(tmp_path_factory, make_tones, train):
    """A folder with data/, noise/, model/ and a recording in stream/."""
    folder = tmp_path_factory.mktemp("place")
    make_tones(folder / "data")
    (folder / "noise").mkdir()
    hiss = np.random.default_rng(0).normal(0.0, 0.01, 60 * RATE)
    soundfile.write(folder / "noise" / "hiss.wav", hiss, RATE)
    options = "--arch", "gru", "--noise", folder / "noise", "--epochs", "15"
    trained = train(folder / "data", folder / "model", *options)
    assert trained.code == 0, trained.stderr
    return folder


@pytest.fixture(scope="module")
def mixed(place, call):
    options = "--noise", "noise", "--minutes", "1", "--words-per-minute", "20", "--snr", "20"
    result = call("mix", "data", *options, "--model", "model", cwd=place)
    assert (result.code, result.stdout) == (0, "stream/recording.wav\n"), result.stderr
    return result


@pytest.fixture(scope="module")
def calibrated(place, mixed, call):
    """The score before, the calibration, and a prediction before it."""
    arguments = "--stream", "stream/recording.wav", "--truth", "stream/truth.txt", "-m", "model"
    before = call("evaluate", *arguments, "--json", cwd=place)
    assert before.code == 0, before.stderr
    clip = "data/low/s00_nohash_0.wav"
    predicted = call("predict", clip, "-m", "model", "--json", cwd=place)
    (place / "unheard" / "fan").mkdir(parents=True)
    for seed, name in enumerate(("hiss.wav", "fan/fan.wav"), 1):
        noise = np.random.default_rng(seed).normal(0.0, 0.01, 30 * RATE)
        soundfile.write(place / "unheard" / name, noise, RATE)
    options = "--noise", "unheard", "--data", "data", "--model", "model", "--json"
    result = call("calibrate", *options, cwd=place)
    assert result.code == 0, result.stderr
    return json.loads(before.stdout), result, predicted


def test_nobody_in_the_recording_trained_the_model(place, mixed):
    with (place / "model" / "split.csv").open() as file:
        trained = {row["speaker"] for row in csv.DictReader(file) if row["split"] == "train"}
    with (place / "stream" / "truth.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 20
    assert {row["speaker"] for row in rows} <= {"s00", "s01", "s08", "s14", "s19", "s23"}
    assert trained.isdisjoint(row["speaker"] for row in rows)
    assert "20 words by" in mixed.stderr and "of the test split" in mixed.stderr


def test_labels_of_another_locale_count_the_same(place, mixed, call):
    truth = (place / "stream" / "truth.txt").read_text()
    (place / "commas.txt").write_text(truth.replace(".", ",") + "7,1\t7,2\t\n")
    arguments = "evaluate", "--stream", "stream/recording.wav", "-m", "model", "--truth"
    results = [call(*arguments, name, cwd=place) for name in ("stream/truth.txt", "commas.txt")]
    assert [result.code for result in results] == [0, 0]
    assert results[0].stdout == results[1].stdout
    warning = "speechcls: warning: commas.txt:21: '7,1\\t7,2\\t' has no label, which is left out"
    assert warning in results[1].stderr and "commas" not in results[0].stderr


def test_the_words_are_found(calibrated):
    scores, _, _ = calibrated
    assert scores["words"] == 20
    assert scores["hits"] + scores["misses"] == 20
    assert scores["hits"] >= 14
    assert scores["hours"] == pytest.approx(1 / 60)
    assert set(scores["per_label"]) == {"high", "low", "rise"}
    curve = scores["curve"]
    alarms = [point["false_alarms_an_hour"] for point in curve]
    misses = [point["miss_rate"] for point in curve]
    assert misses == sorted(misses)
    assert alarms == sorted(alarms, reverse=True)


def test_calibration_says_what_it_is_worth(place, calibrated):
    _, result, _ = calibrated
    answer = json.loads(result.stdout)
    assert answer["hours"] == pytest.approx(1 / 60)
    assert answer["false_alarms"] == 0
    assert answer["upper_fa_per_hour"] == pytest.approx(179.7, abs=0.1)  # 3.0 in a minute
    assert "0 false alarms in 0.02 hours" in result.stderr
    assert "takes 6.0 hours or more" in result.stderr
    assert answer["n_clips"] == 12  # two speakers, three words, two takes
    assert "calibration error" in result.stderr
    stored = json.loads((place / "model" / "calibration.json").read_text())
    assert stored == {k: v for k, v in answer.items() if k not in ("model", "by_kind")}
    # A minute shows nothing of half an alarm per hour.
    assert min(answer["thresholds"].values()) >= 0.6
    half = {
        "hours": pytest.approx(1 / 120),
        "false_alarms": 0,
        "fa_per_hour": 0.0,
        "upper_fa_per_hour": pytest.approx(359.5, abs=0.1),
    }
    assert answer["by_kind"] == {"": half, "fan": half}
    lines = result.stderr.splitlines()
    assert "speechcls: fan: 0 false alarms in 0.01 hours, 0 per hour (at most 3.6e+02)" in lines
    wrote = "speechcls: wrote model/calibration.json, which predict, detect and listen use from now"
    assert any(line.startswith(wrote) for line in lines)
    assert "trained on" not in result.stderr


def test_noise_that_the_model_was_trained_on_is_named(place, calibrated, call, tmp_path):
    shutil.copytree(place / "model", tmp_path / "model")
    (tmp_path / "mine").mkdir()
    shutil.copy(place / "noise" / "hiss.wav", tmp_path / "mine" / "renamed.wav")
    shutil.copy(place / "unheard" / "hiss.wav", tmp_path / "mine" / "hiss.wav")
    result = call("calibrate", "--noise", "mine", "--model", "model", cwd=tmp_path)
    assert result.code == 0
    assert (
        "speechcls: warning: the model was trained on mine/renamed.wav: other sound will have more"
        " false alarms than this; name sound that is new to it"
    ) in result.stderr.splitlines()
    assert json.loads((tmp_path / "model" / "calibration.json").read_text())["n_clips"] == 0
    assert {row[1] for row in result.rows} == {"0.6000"}
    (tmp_path / "model" / "split.csv").unlink()
    result = call("calibrate", "--noise", "mine", "--model", "model", cwd=tmp_path)
    assert result.code == 0
    assert "whether the model was trained on this sound is not known" in result.stderr


def test_thresholds_and_temperature_are_used_from_then_on(place, calibrated, call):
    before, result, predicted = calibrated
    artifact, answer = load_artifact(place / "model"), json.loads(result.stdout)
    answer["thresholds"]["low"], answer["temperature"] = 0.7125, 1.5
    of_file = {k: v for k, v in answer.items() if k not in ("model", "by_kind")}
    save_calibration(artifact, Calibration.from_dict(of_file))
    arguments = "--stream", "stream/recording.wav", "--truth", "stream/truth.csv", "-m", "model"
    after = json.loads(call("evaluate", *arguments, "--json", cwd=place).stdout)
    assert after["thresholds"] == answer["thresholds"] != before["thresholds"]
    again = call("predict", "data/low/s00_nohash_0.wav", "-m", "model", "--json", cwd=place)
    was, now = (json.loads(r.stdout)["probabilities"] for r in (predicted, again))
    powers = {label: p ** (1 / answer["temperature"]) for label, p in was.items()}
    expected = {label: p / sum(powers.values()) for label, p in powers.items()}
    assert now == pytest.approx(expected, abs=1e-3)
    assert now != was
    table = call("evaluate", *arguments, cwd=place)
    assert table.code == 0, table.stderr
    assert table.stdout.startswith("duration      0.017 hours, 20 words\nhits ")
    low = next(line.split() for line in table.stdout.splitlines() if line.startswith("low "))
    assert low[1] == f"{answer['thresholds']['low']:.4f}"


def test_words_by_speakers_who_trained_are_told(place, calibrated, call, tmp_path):
    truth = tmp_path / "truth.csv"
    truth.write_text("start_s,end_s,label,path,speaker\n1,2,low,a.wav,s05\n3,4,go,b.wav,x\n")
    arguments = "--stream", place / "stream" / "recording.wav", "--truth", truth
    result = call("evaluate", *arguments, "-m", place / "model")
    assert result.code == 0
    assert "biased: 1 words are by speakers who trained the model" in result.stderr
    assert "do not count: go" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["mix", "data", "--noise", "nowhere"],
            "--noise: nowhere: no such folder of background noise",
        ),
        (["mix", "data", "--noise", "noise", "--out", "stream"], "recording.wav: exists"),
        (["calibrate", "-m", "model", "--noise", "nowhere"], "nowhere: no such folder"),
        (["calibrate", "-m", "model", "--noise", "noise", "--data", "noise"], "noise"),
    ],
)
def test_what_is_missing_is_named(place, mixed, call, monkeypatch, arguments, message):
    monkeypatch.chdir(place)
    result = call(*arguments)
    assert (result.code, result.stdout) == (1, "")
    assert message in result.stderr
