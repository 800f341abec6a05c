"""``speechcls verify``: models that are whole, damaged, mixed, old, or of strangers."""

import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from speechcls.artifact.calibration import Calibration, save_calibration
from speechcls.artifact.store import load_artifact

ROOT = Path(__file__).parents[2]
TINY = ROOT / "models" / "commands-tiny"
NAMES = ["manifest.json", "config.json", "model.onnx", "stream.onnx", "weights.safetensors"]
NAMES += ["metrics.json", "split.csv", "calibration.json", "history.csv", "curves.png"]


@pytest.fixture
def model(tmp_path):
    return Path(shutil.copytree(TINY, tmp_path / "model"))


@pytest.mark.parametrize("name", ["commands", "commands-tiny", "commands-stream"])
def test_the_models_that_come_with_speechcls_are_whole(name, call):
    result = call("verify", ROOT / "models" / name)
    assert (result.code, result.errors) == (0, [])
    assert result.rows == [["ok", each] for each in NAMES]


def flip(content):
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


@pytest.mark.parametrize("name", NAMES[1:])
def test_one_bit_of_any_file_is_seen(name, model, call):
    (model / name).write_bytes(flip((model / name).read_bytes()))
    result = call("verify", model)
    assert result.code == 1
    [error] = result.errors
    assert error.startswith(f"{model / name}: ")
    if name != "config.json":  # without which nothing else can be said
        assert "not the file that manifest.json names (SHA-256)" in error
        assert result.rows == [["bad" if each == name else "ok", each] for each in NAMES]


def test_files_that_are_missing_or_of_nobody_are_named(model, call):
    (model / "split.csv").unlink()
    (model / "notes.txt").write_text("mine")
    result = call("verify", model)
    assert result.code == 1
    assert result.rows[NAMES.index("split.csv")] == ["bad", "split.csv"]
    assert result.errors == [f"{model}/split.csv: no such file or directory; copy the model again"]
    assert "notes.txt: not a file of a model, not checked" in result.stderr


def test_a_file_that_is_added_is_seen(model, call):
    manifest = json.loads((model / "manifest.json").read_text())
    del manifest["sha256"]["stream.onnx"]
    (model / "manifest.json").write_text(json.dumps(manifest))
    result = call("verify", model)
    assert (result.code, len(result.errors)) == (1, 1)
    assert result.errors[0].startswith(
        f"{model}/stream.onnx: not the file that manifest.json names"
    )


def test_a_model_without_a_manifest_loads_and_is_said_to_have_none(call):
    old = ROOT / "tests" / "compat" / "format-2-stream"
    result = call("verify", old)
    assert result.code == 1
    assert result.errors[0].startswith(f"{old}/manifest.json: none; files of an earlier speechcls")
    assert [row[0] for row in result.rows] == ["bad", *["ok"] * 8]


@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b"{}", b'{"format_version": 1, "sha256": {"../x": "0"}}', b"\xff", b"[" * 10**5],
)
def test_a_damaged_manifest_is_an_error(content, model, call):
    (model / "manifest.json").write_bytes(content)
    result = call("verify", model)
    assert (result.code, result.stdout) == (1, "")
    assert result.errors[0].startswith(f"{model}/manifest.json: damaged (")


def test_a_manifest_of_a_newer_speechcls_is_said_to_be_one(model, call):
    (model / "manifest.json").write_text('{"format_version": 3, "sha256": {}}')
    [error] = call("verify", model).errors
    assert error.endswith(
        "manifest.json: format version 3 is newer than this speechcls understands"
        " (2); upgrade speechcls"
    )


def test_a_calibration_is_added_to_the_manifest(model, call):
    manifest = json.loads((model / "manifest.json").read_text())
    del manifest["sha256"]["calibration.json"]
    (model / "manifest.json").write_text(json.dumps(manifest))
    (model / "calibration.json").unlink()
    assert len(call("verify", model).rows) == len(NAMES) - 1
    values = {"yes": 0.5}, 0.5, 1.0, 0, 3.0, 0.9, 100, 0.1, 0.05
    save_calibration(load_artifact(model), Calibration(*values))
    result = call("verify", model)
    assert (result.code, result.rows) == (0, [["ok", each] for each in NAMES])
    assert (model / "calibration.json").write_bytes(flip((model / "calibration.json").read_bytes()))
    assert call("verify", model).code == 1


def change_graph(path, change):
    graph = onnx.load(path)
    change(graph)
    path.write_bytes(graph.SerializeToString())


def metadata(**values):
    def change(model):
        for entry in model.metadata_props:
            entry.value = values.get(entry.key, entry.value)

    return change


def state_of_other_shape(model):
    model.graph.input[1].type.tensor_type.shape.dim[1].dim_value = 15_999


def nan_out(model):
    """Probabilities that are not finite: of the logarithm of their negative."""
    last = model.graph.output[0].name
    for node in model.graph.node:
        node.output[:] = ["before" if name == last else name for name in node.output]
    model.graph.node.append(helper.make_node("Neg", ["before"], ["negative"]))
    model.graph.node.append(helper.make_node("Log", ["negative"], [last]))


def seven_out(model):
    """Probabilities of 7 times what they were."""
    last = model.graph.output[0].name
    for node in model.graph.node:
        node.output[:] = ["before" if name == last else name for name in node.output]
    model.graph.initializer.append(numpy_helper.from_array(np.array(7, np.float32), "seven"))
    model.graph.node.append(helper.make_node("Mul", ["before", "seven"], [last]))


MIXED = "does not fit config.json"
NO_PROBABILITIES = "its outputs are no probabilities ("


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (metadata(step="-5"), MIXED),
        (metadata(step="320"), MIXED),  # of a model with other hops
        (metadata(step="0"), MIXED),
        (metadata(labels="yes\nno"), MIXED),
        (metadata(sample_rate="8000"), MIXED),
        (state_of_other_shape, MIXED),
        (nan_out, NO_PROBABILITIES),
        (seven_out, NO_PROBABILITIES),
    ],
)
def test_a_stream_is_checked_as_a_graph_of_clips_is(change, said, model, call, write_wav, tmp_path):
    (model / "manifest.json").unlink()
    change_graph(model / "stream.onnx", change)
    result = call("verify", model)
    assert result.code == 1
    assert f"{model}/stream.onnx: {said}" in result.errors[1]
    recording = write_wav(tmp_path / "recording.wav", np.full(32_000, 0.1, np.float32))
    result = call("detect", recording, "--model", model, "-q")
    assert (result.code, result.stdout) == (1, "")
    assert f"{model}/stream.onnx: {said}" in result.errors[0]


def test_a_stream_of_another_model_is_seen(model, call):
    (model / "manifest.json").unlink()
    shutil.copy(ROOT / "models" / "commands-stream" / "stream.onnx", model / "stream.onnx")
    assert f"{model}/stream.onnx: {MIXED}" in call("verify", model).errors[1]


@pytest.mark.parametrize("change", [nan_out, seven_out])
@pytest.mark.parametrize("options", [(), ("--json",), ("--csv",)])
def test_what_is_no_probability_is_never_an_answer(
    change, options, model, call, write_wav, tmp_path
):
    (model / "manifest.json").unlink()
    change_graph(model / "model.onnx", change)
    clip = write_wav(tmp_path / "clip.wav", np.full(16_000, 0.1, np.float32))
    result = call("predict", clip, "--model", model, "-q", *options)
    assert (result.code, result.stdout) in ((1, ""), (1, "path,label,probability\n"))
    [error] = result.errors
    assert error.startswith(f"{model}/model.onnx: {NO_PROBABILITIES}")
