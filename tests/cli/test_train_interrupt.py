"""A training that is interrupted loses nothing, however it ends, and goes on to the same bits."""

import json
import os
import re
import shutil
import signal
import time

import numpy as np
import pytest
import torch
from common_cli import interrupt_after

from speechcls.artifact.store import load_artifact

FILES = {"config.json", "weights.safetensors", "model.onnx", "stream.onnx", "manifest.json"}
FILES |= {"metrics.json", "split.csv", "history.csv", "curves.png", "README.md"}
# An epoch of these takes seconds, so that the first one is still running when Ctrl-C comes.
SLOW = ("--hidden-size", "256", "--num-layers", "2", "--batch-size", "1")
SLOW += ("--arch", "bilstm", "--epoch-clips", "1", "--closed")
ENDLESS = ("--hidden-size", "16", "--num-layers", "1", "--epochs", "9999", "--patience", "9999")
ENDLESS += ("--closed",)


def test_after_an_epoch_the_best_model_is_kept(home, tmp_path, start, call):
    process = start("train", home.data, "--arch", "gru", *ENDLESS, cwd=tmp_path)
    code, stdout, stderr = interrupt_after(process, "epoch 1/9999  loss")
    assert code == 130
    assert stdout == "models/tones-gru\n"
    assert "Traceback" not in stderr
    told = "speechcls: interrupted; the best model so far is kept, and the same command goes on"
    assert told in stderr.splitlines()
    assert "speechcls: saved models/tones-gru: " in stderr

    model = tmp_path / "models" / "tones-gru"
    assert {path.name for path in model.parent.iterdir()} == {"tones-gru", "tones-gru.unfinished"}
    assert {path.name for path in model.iterdir()} == FILES
    metrics = json.loads((model / "metrics.json").read_text())
    assert metrics["interrupted"]
    assert 1 <= len(metrics["history"]) < 9_999
    best = max(
        metrics["history"],
        key=lambda e: (e["validation_balanced_accuracy"], -e["validation_loss"]),
    )
    assert metrics["best_epoch"] == best["epoch"]
    # the weights are those of that epoch
    assert metrics["validation"]["accuracy"] == pytest.approx(best["validation_accuracy"])
    balanced = metrics["validation"]["balanced_accuracy"]
    assert balanced == pytest.approx(best["validation_balanced_accuracy"])

    predicted = call("predict", home.clip("low"), home.clip("high"), "--model", model)
    assert predicted.code == 0
    assert [path for path, _, _ in predicted.rows] == [
        str(home.clip("low")),
        str(home.clip("high")),
    ]


def test_before_the_first_epoch_nothing_is_left(home, tmp_path, start):
    process = start("train", home.data, *SLOW, cwd=tmp_path)
    code, stdout, stderr = interrupt_after(process, "at most 40 epochs")
    assert (code, stdout) == (130, "")
    assert "epoch 1/" not in stderr
    assert stderr.endswith(" at most 40 epochs\nspeechcls: error: interrupted\n")
    assert list(tmp_path.rglob("*")) == []


def test_before_the_first_epoch_the_model_that_was_there_stays(home, tmp_path, start):
    model = tmp_path / "model"
    shutil.copytree(home.model, model)
    before = {path.name: path.read_bytes() for path in model.iterdir()}
    process = start("train", home.data, *SLOW, "--out", model, "--force", cwd=tmp_path)
    code, stdout, stderr = interrupt_after(process, "at most 40 epochs")
    assert (code, stdout) == (130, "")
    assert "Traceback" not in stderr
    assert {path.name: path.read_bytes() for path in model.iterdir()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    assert load_artifact(model).network.arch == "gru"


def test_while_saving_the_model_is_whole_or_not_there(home, tmp_path, train, monkeypatch):
    def interrupt(descriptor):
        raise KeyboardInterrupt

    shutil.copytree(home.model, tmp_path / "old")
    before = {path.name: path.read_bytes() for path in (tmp_path / "old").iterdir()}
    monkeypatch.setattr(os, "fsync", interrupt)
    for name in ("new", "old"):
        options = ("--arch", "rnn", "--epochs", "1", "--force")
        result = train(home.data, tmp_path / name, *options)
        assert (result.code, result.stdout) == (130, "")
        assert result.errors == ["interrupted"]
    assert [path.name for path in tmp_path.iterdir()] == ["old"]
    assert {path.name: path.read_bytes() for path in (tmp_path / "old").iterdir()} == before


# What goes on

SIZE = ("--arch", "gru", "--hidden-size", "16", "--num-layers", "1", "--dropout", "0.2")
EPOCHS = (*SIZE, "--batch-size", "4", "--epochs", "12", "--epoch-clips", "1", "--closed")
WEIGHTS = ("weights.safetensors", "model.onnx")


def bytes_of(model):
    return [(model / name).read_bytes() for name in WEIGHTS]


@pytest.fixture(scope="module")
def uninterrupted(home, tmp_path_factory, call):
    """Return the bytes of the weights and the graph of a training that was never interrupted."""
    model = tmp_path_factory.mktemp("whole") / "m"
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as in the processes that are interrupted
    assert call("train", home.data, *EPOCHS, "--out", model).code == 0
    torch.set_num_threads(n_threads)
    return bytes_of(model)


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGKILL, -9), (signal.SIGTERM, 143), (signal.SIGHUP, 129)],
    ids=["SIGKILL", "SIGTERM", "SIGHUP"],
)
def test_the_same_command_goes_on_to_the_same_bits(
    number, code, home, tmp_path, start, call, uninterrupted
):
    command = ("train", home.data, *EPOCHS, "--out", tmp_path / "m")
    process = start(*command)
    ended, stdout, stderr = interrupt_after(process, "epoch 3/12", number)
    assert (ended, stdout) == (code, "")
    assert "Traceback" not in stderr
    assert [path.name for path in tmp_path.iterdir()] == ["m.unfinished"]

    again = call(*command)
    assert again.code == 0
    lines = again.stderr.splitlines()
    told = "speechcls: goes on with an interrupted training, of which "
    n_done = int(next(line for line in lines if line.startswith(told))[len(told) :].split()[0])
    assert 1 <= n_done < 12
    epochs = [line.split("  ")[0] for line in lines if ": epoch " in line]
    assert epochs == [f"speechcls: epoch {n}/12" for n in range(n_done + 1, 13)]
    assert bytes_of(tmp_path / "m") == uninterrupted
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


def test_after_ctrl_c_the_model_is_replaced_by_the_whole_training(
    home, tmp_path, start, call, uninterrupted
):
    command = ("train", home.data, *EPOCHS, "--out", tmp_path / "m")
    code, stdout, _ = interrupt_after(start(*command), "epoch 2/12")
    assert (code, stdout) == (130, f"{tmp_path / 'm'}\n")
    assert json.loads((tmp_path / "m" / "metrics.json").read_text())["interrupted"]
    assert call(*command, "--resume").code == 0
    assert bytes_of(tmp_path / "m") == uninterrupted
    assert not json.loads((tmp_path / "m" / "metrics.json").read_text())["interrupted"]


def test_a_second_ctrl_c_stops_at_once(home, tmp_path, start, call, uninterrupted):
    command = ("train", home.data, *EPOCHS, "--out", tmp_path / "m")
    process = start(*command)
    while "epoch 2/12" not in process.stderr.readline().decode():
        pass
    process.send_signal(signal.SIGINT)
    time.sleep(0.02)  # two that come together are one
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130
    assert "Traceback" not in process.stderr.read().decode()
    left = {path.name for path in tmp_path.iterdir()}
    assert "m.unfinished" in left and left <= {"m", "m.unfinished"}
    assert call(*command).code == 0
    assert bytes_of(tmp_path / "m") == uninterrupted


def test_resume_refuses_what_is_not_there_and_what_has_changed(home, tmp_path, start, call):
    command = ("train", home.data, *EPOCHS, "--out", tmp_path / "m")
    result = call(*command, "--resume")
    assert result.code == 2
    assert result.errors == [
        f"--resume: no training of {tmp_path / 'm'} is unfinished; leave it out"
    ]
    interrupt_after(start(*command), "epoch 2/12", signal.SIGKILL)
    changed = (*command, "--lr", "0.01")
    told = "with other settings or data (lr was 0.002, is 0.01); repeat these to go on, "
    for options in ((), ("--resume",), ("--resume", "--force")):
        result = call(*changed, *options)
        assert result.code == 1
        assert told in result.errors[0], result.errors
    result = call(*changed, "--force")
    assert result.code == 0
    assert "is replaced, which had other settings (lr was 0.002, is 0.01)" in result.stderr
    assert json.loads((tmp_path / "m" / "metrics.json").read_text())["training"]["lr"] == 0.01


def test_a_second_training_of_the_model_is_refused_at_its_start(home, tmp_path, start, call):
    process = start("train", home.data, *ENDLESS, "--out", tmp_path / "m")
    while "epoch 1/" not in process.stderr.readline().decode():
        pass
    result = call("train", home.data, *ENDLESS, "--out", tmp_path / "m")
    assert result.code == 1
    assert result.errors == [
        f"{tmp_path / 'm'}: process {process.pid} is training this model; wait for its end, or"
        " choose another place"
    ]
    assert "epoch" not in result.stderr


# What is said of a model that came to nothing


def test_a_loss_that_is_not_finite_is_told_with_its_clips(home, tmp_path, call):
    result = call("train", home.data, *EPOCHS, "--lr", "1e30", "--out", tmp_path / "m")
    assert (result.code, result.stdout) == (1, "")
    assert re.fullmatch(
        r"epoch 1, batch \d+: the loss is \S+, its gradient \S+ at a learning rate of \S+;"
        r" clips \S+\.wav, \S+\.wav, \S+\.wav and 1 more; choose a lower one",
        result.errors[0],
    ), result.errors
    assert list(tmp_path.iterdir()) == []


def test_a_label_that_is_never_recognised_is_named_at_the_end(home, tmp_path, call):
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
    result = call("train", home.data, *options, "--lr", "1e-9", "--out", tmp_path / "m")
    assert result.code == 0
    scores = json.loads((tmp_path / "m" / "metrics.json").read_text())["validation"]
    missed = sorted(n for n, score in scores["per_label"].items() if not score["recall"])
    assert missed
    warnings = [line for line in result.stderr.splitlines() if "warning" in line]
    if len(missed) == 2:
        (only,) = set(scores["labels"]) - set(missed)
        expected = f"the model answers {only} to every validation clip: it has learnt nothing"
    else:
        counts = dict(zip(scores["labels"], np.sum(scores["confusion"], axis=0), strict=True))
        expected = (
            f"no validation clip of {missed[0]} is recognised"
            if counts[missed[0]]
            else f"{missed[0]}: no validation clip is predicted as it"
        )
    assert any(expected in line for line in warnings)
