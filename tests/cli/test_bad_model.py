"""Damaged, foreign and future models, and a disk on which none can be saved."""

import errno
import json
import os
import resource
import shutil
import tempfile
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

FILES = {"config.json", "weights.safetensors", "model.onnx", "stream.onnx"}
FILES |= {"metrics.json", "split.csv", "history.csv", "curves.png", "manifest.json"}
TINY = ("--arch", "gru", "--hidden-size", "8", "--num-layers", "1", "--epochs", "1", "--closed")
LARGE = ("--hidden-size", "640")  # the model is larger than the clips
TINY += ("--epoch-clips", "1")


def change_config(**changes):
    def change(model):
        config = json.loads((model / "config.json").read_text())
        for name, value in changes.items():
            place = config
            *above, last = name.split("__")
            for part in above:
                place = place[part]
            place[last] = value
        (model / "config.json").write_text(json.dumps(config))

    return change


def cut(name):
    def change(model):
        content = (model / name).read_bytes()
        (model / name).write_bytes(content[: len(content) // 2])

    return change


def write_graph(n_inputs, n_outputs, input_name="samples", output_shape=(None, 3)):
    """Put a valid graph in place of the model's: one that somebody else trained."""

    def change(model):
        wanted = helper.make_tensor_value_info(input_name, TensorProto.FLOAT, [None, n_inputs])
        answer = helper.make_tensor_value_info("answer", TensorProto.FLOAT, output_shape)
        nodes = [
            helper.make_node("Identity", [input_name], ["same"]),
            helper.make_node("Identity", ["same"], ["answer"]),
        ]
        assert n_inputs == n_outputs
        graph = helper.make_graph(nodes, "foreign", [wanted], [answer])
        opset = [helper.make_opsetid("", 17)]
        onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=9), model / "model.onnx")

    return change


def make_list(model):
    (model / "config.json").write_text("[1, 2, 3]")


def make_binary(model):
    (model / "config.json").write_bytes(bytes(range(256)))


def remove(*names):
    def change(model):
        for name in names:
            (model / name).unlink()

    return change


AGAIN = "train again or copy the model again"
# how the model was spoilt, and what is said: MODEL stands for its folder
SPOILT = {
    "config cut": (cut("config.json"), ["MODEL/config.json: damaged or not of speechcls", AGAIN]),
    "config is a list": (make_list, ["MODEL/config.json: damaged or not of speechcls", AGAIN]),
    "config is binary": (make_binary, ["MODEL/config.json: damaged or not of speechcls", AGAIN]),
    "config without labels": (
        lambda model: (model / "config.json").write_text('{"format_version": 1}'),
        ["MODEL/config.json: damaged or not of speechcls", "labels", AGAIN],
    ),
    "unknown key": (
        change_config(features__colour="red"),
        ["MODEL/config.json: ", "unknown colour", AGAIN],
    ),
    "wrong type": (
        change_config(features__hop_length="10 ms"),
        ["MODEL/config.json: ", "hop_length: '10 ms' has the wrong type", AGAIN],
    ),
    "impossible value": (
        change_config(features__fmax=1e6),
        ["MODEL/config.json: ", "fmax: 1000000.0 is not possible", AGAIN],
    ),
    "future version": (
        change_config(format_version=3),
        ["MODEL: format version 3 is newer than this speechcls understands (2); upgrade speechcls"],
    ),
    "version of text": (change_config(format_version="one"), ["MODEL/config.json: damaged", AGAIN]),
    "graph missing": (
        remove("model.onnx"),
        ["MODEL: not a speechcls model (no model.onnx); name the folder of a trained model"],
    ),
    "graph cut": (cut("model.onnx"), ["MODEL/model.onnx: damaged (", "; copy the model again"]),
    "graph empty": (
        lambda model: (model / "model.onnx").write_bytes(b""),
        ["MODEL/model.onnx: damaged (", "; copy the model again"],
    ),
    "graph of other labels": (
        change_config(
            labels=["high", "low", "rise", "fall"], words=["high", "low", "rise", "fall"]
        ),
        ["MODEL/model.onnx: does not fit config.json (8000 samples in, 4 prob", "; copy the model"],
    ),
    "graph of other words": (
        change_config(labels=["high", "low", "fall"], words=["high", "low", "fall"]),
        [
            "MODEL/model.onnx: does not fit config.json",
            "files of different models are mixed; copy the model",
        ],
    ),
    "graph of another program": (
        write_graph(3, 3, input_name="audio"),
        ["MODEL/model.onnx", "; copy the model again"],
    ),
    "graph for another length": (
        write_graph(3, 3),
        ["MODEL/model.onnx", "; copy the model again"],
    ),
    "graph without a shape": (
        write_graph(3, 3, output_shape=None),
        ["MODEL/model.onnx", "; copy the model again"],
    ),
    "foreign folder": (
        remove(*FILES - {"manifest.json"}),
        ["MODEL: not a speechcls model (no config.json and no model.onnx); name the folder"],
    ),
    "a file": (
        lambda model: (shutil.rmtree(model), model.write_text("no folder")),
        ["MODEL: a file, not a model folder; name the folder of a trained model"],
    ),
    "nothing": (
        shutil.rmtree,
        ["MODEL: no such model; name the folder of a trained model"],
    ),
}


@pytest.fixture
def model(home, tmp_path):
    return shutil.copytree(home.model, tmp_path / "model")


@pytest.mark.parametrize("command", ["predict", "evaluate"])
@pytest.mark.parametrize(("spoil", "said"), SPOILT.values(), ids=SPOILT)
def test_a_spoilt_model_is_named(command, spoil, said, model, home, call):
    (model / "manifest.json").unlink()  # as of an earlier speechcls: what else is seen counts
    spoil(model)
    target = home.clip("low") if command == "predict" else home.data
    result = call(command, target, "--model", model, "-q")
    assert (result.code, result.stdout) == (1, "")
    [error] = result.errors
    start, *parts = [part.replace("MODEL", str(model)) for part in said]
    assert error.startswith(start)
    assert [part for part in parts if part not in error] == []


@pytest.mark.parametrize("name", ["config.json", "model.onnx"])
def test_a_file_that_is_not_the_one_of_the_manifest_is_named(name, model, home, call):
    """Of another training with the same labels: nothing but its hash is different."""
    content = (model / name).read_bytes()
    changed = content.replace(b"}", b" }", 1) if name == "config.json" else content + b"\x1a\0"
    (model / name).write_bytes(changed)
    result = call("predict", home.clip("low"), "--model", model, "-q")
    assert (result.code, result.stdout) == (1, "")
    [error] = result.errors
    assert error.startswith(f"{model / name}: not the file that manifest.json names (SHA-256)")


@pytest.mark.parametrize("spoil", [cut("split.csv"), remove("split.csv")], ids=["cut", "missing"])
def test_evaluate_needs_to_know_what_trained(spoil, model, home, call):
    (model / "manifest.json").unlink()
    content = (model / "split.csv").read_bytes()
    spoil(model)
    if (model / "split.csv").exists():  # within a line, whatever its length
        (model / "split.csv").write_bytes(content[: content.index(b"\n", 3_000) - 25])
    result = call("evaluate", home.data, "--model", model, "-q")
    assert (result.code, result.stdout) == (1, "")
    [error] = result.errors
    assert error.startswith(f"{model / 'split.csv'}: missing or damaged (")
    assert error.endswith("; copy the model again")
    assert call("predict", home.clip("low"), "--model", model).code == 0


def test_no_model_at_all(home, tmp_path, call, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("speechcls.artifact.lookup.__file__", str(tmp_path / "a/b/lookup.py"))
    result = call("predict", home.clip("low"))
    assert (result.code, result.stdout) == (1, "")
    [error] = result.errors
    assert error.startswith("--model: no model is named, here or by $SPEECHCLS_MODEL")
    assert error.endswith("; train one")


FOUR_MIB = 2**22


def no_file_above_4_mib():
    resource.setrlimit(resource.RLIMIT_FSIZE, (FOUR_MIB, FOUR_MIB))


def test_a_full_disk_leaves_no_half_model(home, tmp_path, run):
    (tmp_path / "tmp").mkdir()
    (tmp_path / "work").mkdir()
    result = run(
        *("train", home.data, *TINY, *LARGE),
        cwd=tmp_path / "work",
        env={"TMPDIR": str(tmp_path / "tmp")},
        preexec_fn=no_file_above_4_mib,
    )
    assert (result.code, result.stdout) == (1, "")
    assert "Traceback" not in result.stderr
    assert "epoch 1/1" in result.stderr
    assert result.errors[0].startswith("models/tones-gru: not written (file too large)")
    assert list((tmp_path / "work").rglob("*")) in ([], [tmp_path / "work" / "models"])
    assert list((tmp_path / "tmp").glob("speechcls*")) == []


def test_a_full_disk_leaves_the_model_that_was_there(home, model, tmp_path, call, monkeypatch):
    before = {path.name: path.read_bytes() for path in model.iterdir()}
    monkeypatch.setattr(tempfile, "tempdir", "/nowhere")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (FOUR_MIB, hard))
    try:
        result = call("train", home.data, *TINY, *LARGE, "--out", model, "--force")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (result.code, result.stdout) == (1, "")
    assert "epoch 1/1" in result.stderr
    assert result.errors[0].startswith(f"{model}: not written (file too large)")
    assert {path.name: path.read_bytes() for path in model.iterdir()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    assert call("predict", home.clip("low"), "--model", model, "-q").code == 0


def test_a_failure_to_save_says_what_to_do(home, tmp_path, train, monkeypatch):
    def refuse(descriptor):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fsync", refuse)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    result = train(home.data, tmp_path / "model", "--arch", "rnn", "--epochs", "1")
    assert result.code == 1
    for error in result.errors:
        assert "not written (input/output error); " in error


@pytest.fixture
def full_once(monkeypatch, tmp_path):
    """A disk that is full where the model should go, and not where temporary files go."""
    calls = []

    def fsync(descriptor):
        # Of a file of the model, not of the training's state beside it.
        if ".model-" in str(Path(f"/proc/self/fd/{descriptor}").readlink()):
            calls.append(descriptor)
            if len(calls) == 3:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))


def test_from_a_full_disk_the_training_is_rescued(home, tmp_path, train, call, full_once):
    place = tmp_path / "models" / "model"
    result = train(home.data, place, "--arch", "gru", "--epochs", "4")
    assert result.errors[0] == (f"{place}: not written (no space left on device); free some space")
    # with some space, the same command saves it there without training again
    assert [path.name for path in place.parent.iterdir()] == ["model.unfinished"]
    [rescued] = (tmp_path / "tmp").glob("*/model")
    assert result.stdout == f"{rescued}\n"
    assert {path.name for path in rescued.iterdir()} == FILES | {"README.md"}
    [[_, label, _]] = call("predict", home.clip("low"), "--model", rescued).rows
    assert label == "low"


def test_a_model_that_is_not_where_it_should_be_is_a_failure(home, tmp_path, train, full_once):
    """A script that goes on with --model the place it named must stop here."""
    result = train(home.data, tmp_path / "model", "--arch", "rnn", "--epochs", "1")
    assert result.code == 1


def test_a_place_that_cannot_be_is_refused_before_training(home, tmp_path, train, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    (tmp_path / "file").write_text("no folder")
    result = train(home.data, tmp_path / "file" / "model", "--arch", "rnn", "--epochs", "1")
    assert (result.code, result.stdout) == (1, "")
    assert str(tmp_path / "file") in result.errors[0]
    assert "epoch" not in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
