"""Ctrl-C during training keeps the best model so far, or leaves nothing behind."""

import json
import os
import shutil
import signal

import pytest

from speechcls.artifact.store import load_artifact

FILES = {"config.json", "weights.safetensors", "model.onnx", "stream.onnx"}
FILES |= {"metrics.json", "split.csv", "history.csv", "curves.png"}
# An epoch of these takes seconds, so that the first one is still running when Ctrl-C comes.
SLOW = ("--hidden-size", "256", "--num-layers", "2", "--batch-size", "1")
SLOW += ("--arch", "bilstm", "--epoch-clips", "1")
ENDLESS = ("--hidden-size", "16", "--num-layers", "1", "--epochs", "9999", "--patience", "9999")


def interrupt_after(process, words):
    """Send Ctrl-C once a line of stderr holds ``words``; return code, stdout and stderr."""
    seen = line = ""
    while words not in line:
        line = process.stderr.readline().decode()
        assert line, f"ended before it said {words!r}: {seen}"
        seen += line
    process.send_signal(signal.SIGINT)
    code = process.wait(60)
    return code, process.stdout.read().decode(), seen + process.stderr.read().decode()


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
    best = max(metrics["history"], key=lambda e: (e["validation_accuracy"], -e["validation_loss"]))
    assert metrics["best_epoch"] == best["epoch"]
    # the weights are those of that epoch
    assert metrics["validation"]["accuracy"] == pytest.approx(best["validation_accuracy"])

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
