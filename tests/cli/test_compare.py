"""``speechcls compare``: the same clips for all, what differs, trainings that go on, memory."""

import csv
import dataclasses
import json
import shutil
import sys

import pytest
import typer

from speechcls.config import RECIPES

GRID = ("--archs", "gru,rnn", "--epochs", "1", "--size", "tiny", "--no-speed")


@pytest.fixture(scope="module")
def models(home, tmp_path_factory):
    """Two good models that are the same, and a poor one."""
    from typer.testing import CliRunner

    from speechcls.cli.app import app

    folder = tmp_path_factory.mktemp("compared")
    shutil.copytree(home.model, folder / "good")
    shutil.copytree(home.model, folder / "same")
    poor = ["train", home.data, "--out", folder / "poor", "--arch", "rnn", "--hidden-size", "4"]
    small = [
        "--num-layers",
        "1",
        "--epochs",
        "1",
        "--epoch-clips",
        "1",
        "--lr",
        "0.0001",
        "--closed",
        "-q",
    ]
    result = CliRunner().invoke(app, [str(part) for part in poor + small])
    assert result.exit_code == 0, result.stderr
    return folder


def accuracy_of(call, model, data):
    return json.loads(call("evaluate", data, "--model", model, "--json").stdout)["accuracy"]


def test_models_side_by_side_as_json(models, home, call):
    result = call("compare", models, "--data", home.data, "--json", "--no-speed")
    assert (result.code, result.stderr) == (0, "speechcls: labels high, low, rise\n")
    told = json.loads(result.stdout)
    # 6 test speakers say 3 words twice
    assert (told["n_clips"], told["n_speakers"]) == (36, 6)
    assert told["scored"] == "36 clips of the test split"
    assert told["caveat"] == ""
    good, poor, same = told["models"]
    assert [model["name"] for model in (good, poor, same)] == [
        str(models / name) for name in ("good", "poor", "same")
    ]
    for model in (good, poor, same):
        assert model["accuracy"] == accuracy_of(call, model["name"], home.data)
        assert model["accuracy_low"] <= model["accuracy"] <= model["accuracy_high"]
    first, equal, last = told["pairs"]
    assert first["difference"] == pytest.approx(poor["accuracy"] - good["accuracy"])
    assert first["verdict"] == f"{models / 'good'} is better"
    assert first["only_first"] - first["only_second"] == round(-36 * first["difference"])
    assert first["test"] == "mcnemar"
    assert (equal["only_first"], equal["only_second"], equal["p"]) == (0, 0, 1.0)
    assert equal["verdict"] == "may be luck"
    assert last["difference"] == -first["difference"]


def test_differences_and_pictures(models, home, call, tmp_path):
    out, file = tmp_path / "out", tmp_path / "differences.csv"
    options = ("--data", home.data, "--no-speed", "--differences", file, "--out", out)
    result = call("compare", models / "good", models / "poor", *options)
    assert result.code == 0, result.stderr
    with file.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    [good, poor] = (str(models / name) for name in ("good", "poor"))
    assert list(rows[0]) == ["path", "start_s", "end_s", "speaker", "label", good, poor]
    assert all(row[good] != row[poor] for row in rows)
    # What only one of them gets right, as the table has it, are all the differences but those
    # where both are wrong.
    line = result.stdout.splitlines()[-1].split()
    only_good = sum(row[good] == row["label"] for row in rows)
    only_poor = sum(row[poor] == row["label"] for row in rows)
    assert [str(only_good), str(only_poor)] == line[6:8]
    assert {row["path"].split("/")[0] for row in rows} <= {"high", "low", "rise"}
    names = {f"{name}.{kind}" for name in ("accuracy-by-size", "learning-curves")
             for kind in ("png", "svg")}  # fmt: skip
    assert {path.name for path in out.iterdir()} == names


def test_a_page_of_the_comparison(models, home, call, tmp_path):
    options = ("--data", home.data, "--no-speed", "--report", tmp_path / "page")
    result = call("compare", models / "good", models / "poor", *options)
    assert result.code == 0, result.stderr
    assert f"report {tmp_path}/page/compare.html" in result.stderr
    text = (tmp_path / "page" / "compare.html").read_text()
    assert f"{models / 'good'} is better than the other, more than by chance." in text
    assert text.count("<audio") == text.count("data:audio/wav;base64,") >= 5
    assert text.count("<img") == 2  # accuracy by size, learning curves
    assert f"speechcls evaluate {home.data} -m {models / 'good'} --report out" in text
    assert {path.name for path in (tmp_path / "page").iterdir()} == {"compare.html", "tables"}


def test_the_table_has_speed_and_size(models, home, call):
    result = call("compare", models / "good", models / "poor", "--data", home.data)
    assert (result.code, result.stderr) == (0, "speechcls: labels high, low, rise\n")
    lines = result.stdout.splitlines()
    assert lines[0] == "scored  36 clips of the test split by 6 speakers"
    assert lines[2].endswith("parameters    MB  ms per clip  clips/s  peak MB")
    n_parameters = json.loads((home.model / "metrics.json").read_text())["n_parameters"]
    assert f"{n_parameters:,}" in lines[3]
    assert "-" not in lines[3].split()[-4:]
    assert all(line == line.rstrip() for line in lines)


def test_what_one_was_trained_on_is_left_out(models, home, call, tmp_path):
    other = shutil.copytree(models / "same", tmp_path / "other")
    (other / "manifest.json").unlink()  # which would tell that a file is another one
    text = (other / "split.csv").read_text()
    (other / "split.csv").write_text(text.replace(",test,", ",train,"))
    told = call("compare", models / "good", other, "--data", home.data, "--no-speed")
    # Of the test clips of the one nothing is left, so that both are validated.
    assert "12 clips of the validation split" in told.stdout
    assert "slightly optimistically biased" in told.stdout
    text = (other / "split.csv").read_text()
    (other / "split.csv").write_text(text.replace(",validation,", ",train,"))
    refused = call("compare", models / "good", other, "--data", home.data)
    assert (refused.code, refused.stdout) == (1, "")
    assert "no clip is held out for all 2 models" in refused.errors[0]


def test_other_labels_are_refused(models, home, call, tmp_path, make_tones, train):
    data = make_tones(tmp_path / "two", ("high", "low"), n_speakers=12, n_takes=1)
    assert train(data, tmp_path / "two-words", "--arch", "gru", "--epochs", "1").code == 0
    result = call("compare", models / "good", tmp_path / "two-words", "--data", home.data)
    assert (result.code, result.stdout) == (2, "")
    assert "has other labels than" in result.errors[0] and "(rise)" in result.errors[0]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["models/good"], "--data: not given"),
        (["models/good", "--data", "data"], "1 model named; name two or more"),
        (["--archs", "gru,rnn"], "--archs: 0 data sets"),
        (["data", "--archs", "gru,elman"], "no elman; there are rnn"),
        (["a", "b", "--memory"], "--memory: 2 data sets"),
        (["data/x.csv", "models/good"], "data/x.csv: a file, not a model; name recordings with"),
        (["models/good", "--data", "data", "--seeds", "3"], "--seeds: has no effect here; it is"),
        (["data", "--memory", "--epochs", "3"], "--epochs: has no effect here; it is for --archs"),
        (["data", "--archs", "gru", "--out", "data/x.csv"], "data/x.csv: is a file, not a folder"),
        (["models", "--data", "data", "--differences", "data"], "data: is a folder; name a file"),
        (["models", "--data", "data", "--report", "data/x.csv"], "data/x.csv: is a file, not a"),
        (["data", "--memory", "--report", "out"], "--report: has no effect here; it is for"),
        (["data", "--memory", "--archs", "crnn"], "--archs: crnn is not one of rnn"),
    ],
)
def test_wrong_usage(arguments, reason, models, home, call, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models").symlink_to(models)
    shutil.copytree(home.data, tmp_path / "data")
    (tmp_path / "data" / "x.csv").touch()
    result = call("compare", *arguments)
    assert (result.code, result.stdout) == (2, "")
    assert reason in result.errors[0]


def test_architectures_are_trained_once_and_with_one_budget(home, call, tmp_path, monkeypatch):
    once = dataclasses.replace(RECIPES["fast"], epoch_clips=1)
    monkeypatch.setattr("speechcls.cli.compare.RECIPES", {"fast": once})
    out = tmp_path / "out"
    first = call("compare", home.data, *GRID, "--seeds", "2", "--out", out, "--json")
    assert first.code == 0, first.stderr
    told = json.loads(first.stdout)
    names = ["gru-seed0", "gru-seed1", "rnn-seed0", "rnn-seed1"]
    assert sorted(path.name for path in out.iterdir() if path.is_dir()) == names
    assert {path.name for path in out.glob("*.png")} == {
        "accuracy-by-size.png",
        "learning-curves.png",
    }
    assert [model["name"] for model in told["models"]] == ["gru", "rnn"]
    trainings = told["models"][0]["trainings"]
    assert [t["model"] for t in trainings] == [str(out / name) for name in names[:2]]
    assert told["models"][0]["accuracy"] == pytest.approx(sum(t["accuracy"] for t in trainings) / 2)
    assert told["pairs"][0]["test"] == "bootstrap"
    assert "(4 of 4)" in first.stderr and "left)" in first.stderr
    budgets = [
        json.loads((out / name / "metrics.json").read_text())["training"] | {"seed": 0}
        for name in names
    ]
    assert all(budget == budgets[0] for budget in budgets)

    shutil.rmtree(out / "rnn-seed1")
    dates = {name: (out / name / "config.json").stat().st_mtime_ns for name in names[:3]}
    again = call("compare", home.data, *GRID, "--seeds", "2", "--out", out, "--json")
    assert again.code == 0, again.stderr
    assert "3 of 4 models are in" in again.stderr and "(1 of 1)" in again.stderr
    assert json.loads(again.stdout)["models"] == told["models"]
    assert dates == {name: (out / name / "config.json").stat().st_mtime_ns for name in dates}

    speakers = ("--test-speakers", "s00,s01")
    split = call("compare", home.data, *GRID, *speakers, "--seeds", "2", "--out", out)
    assert split.code == 2
    assert "was made with other split; choose another folder" in split.errors[0]
    longer = call("compare", home.data, *GRID, "--epochs", "2", "--out", out)
    assert (longer.code, longer.stdout) == (2, "")
    assert "gru-seed0: was made with other training; choose another folder" in longer.errors[0]


def test_memory(home, call, tmp_path):
    options = ("--archs", "gru", "--steps", "3", "--max-gap", "0.5", "--out", tmp_path / "out")
    result = call("compare", home.data, "--memory", *options, "--commands", "high,low")
    assert result.code == 0, result.stderr
    assert "2 words, " in result.stderr
    lines = result.stdout.splitlines()
    assert lines[0].endswith("; chance 50.0 %")
    assert [line.split()[:2] for line in lines[-2:]] == [["gru", "10"], ["gru", "40"]]
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "memory.png",
        "memory.svg",
        "memory.csv",
    }
    as_json = json.loads(call("compare", home.data, "--memory", *options[:-2], "--json").stdout)
    assert as_json["labels"] == ["high", "low", "rise"]
    assert [run["step_ms"] for run in as_json["runs"]] == [10, 40]
    assert as_json["runs"][0]["gap_s"][-1] == 0.5
    assert as_json["budget"]["steps"] == 3
    unknown = call("compare", home.data, "--memory", "--commands", "high,deep")
    assert "--commands: deep not in" in unknown.errors[0]


def test_the_example_of_help_runs(models, home, call, monkeypatch, tmp_path):
    help_ = " ".join(call("compare", "--help").stdout.split())
    example = help_.split("Example: speechcls ")[1].split(" Arguments:")[0]
    (tmp_path / "models").mkdir()
    shutil.copytree(models / "good", tmp_path / "models" / "a")
    shutil.copytree(models / "poor", tmp_path / "models" / "b")
    (tmp_path / "data").symlink_to(home.data)
    monkeypatch.chdir(tmp_path)
    result = call(*example.split(), "--no-speed")
    assert result.code == 0, result.stderr
    assert "models/a is better" in result.stdout


def test_training_leaves_its_history_and_logs_it(home, train, tmp_path, monkeypatch):
    with (home.model / "history.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    history = json.loads((home.model / "metrics.json").read_text())["history"]
    # These labels are all commands, whose recall is the balanced accuracy.
    assert all(epoch["validation_command_recall"] is None for epoch in history)
    as_text = [
        {name: "" if value is None else str(value) for name, value in epoch.items()}
        for epoch in history
    ]
    assert as_text == rows
    assert (home.model / "curves.png").read_bytes().startswith(b"\x89PNG")

    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    options = ("--arch", "gru", "--epochs", "1", "--tensorboard", tmp_path / "log")
    refused = train(home.data, tmp_path / "model", *options)
    assert refused.code == 2
    assert "pip install 'speechcls[tensorboard]'" in refused.errors[0]
    assert list(tmp_path.iterdir()) == []


def test_every_option_is_of_some_way_of_comparing():
    from speechcls.cli.app import app
    from speechcls.cli.compare import OPTIONS_OF

    group = typer.main.get_command(app)
    names = {option.name for option in group.get_command(None, "compare").params}
    names -= {"paths", "quiet", "verbose", "help"}
    assert names == set().union(*OPTIONS_OF.values())
