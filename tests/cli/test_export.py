"""``speechcls export``: what it writes, what it prints, and what it refuses."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from speechcls.runtime.classifier import Classifier

ROOT = Path(__file__).parents[2]
TINY = ROOT / "models" / "commands-tiny"


def test_the_graphs_are_copied_and_described(call, tmp_path):
    out = tmp_path / "out"
    result = call("export", "commands-tiny", "--to", "onnx", "--out", out)
    assert (result.code, result.errors) == (0, [])
    assert result.stdout.splitlines()[0].split()[:3] == ["file", "bytes", "answers"]
    names = ["model.onnx", "stream.onnx", "README.md", "export.json"]
    assert [line.split()[0] for line in result.stdout.splitlines()[1:]] == names
    for name in names[:2]:
        assert (out / name).read_bytes() == (TINY / name).read_bytes()
    about = json.loads((out / "export.json").read_text())
    calibration = json.loads((TINY / "calibration.json").read_text())
    assert about["thresholds"] == calibration["thresholds"]
    assert about["temperature"] == calibration["temperature"]
    assert (about["sample_rate"], about["n_samples"], about["labels"][0]) == (16_000, 16_000, "yes")
    assert about["checks"]["model.onnx"]["equal_ratio"] == 1


def test_the_python_of_the_readme_runs(call, tmp_path, monkeypatch, capsys):
    import soundfile

    out = tmp_path / "out"
    assert call("export", "commands-tiny", "--to", "onnx-int8", "--out", out).code == 0
    samples = 0.1 * np.random.default_rng(0).standard_normal(12_000, np.float32)
    soundfile.write(out / "clip.wav", samples, 16_000, "FLOAT")
    [code] = re.findall(r"```python\n(.*?)```", (out / "README.md").read_text(), re.DOTALL)
    monkeypatch.chdir(out)
    exec(code, {})
    label, probability = capsys.readouterr().out.split()
    prediction = Classifier.load(TINY).predict(samples)
    assert label == prediction.label
    assert float(probability) == pytest.approx(prediction.probability, abs=0.05)


@pytest.mark.parametrize("purpose", ["size", "speed"])
def test_rounded_graphs_are_smaller_and_answer_alike(purpose, call, tmp_path):
    out = tmp_path / "out"
    options = ["--to", "onnx-int8", "--for", purpose, "--out", out, "--json"]
    result = call("export", "commands-tiny", *options)
    assert (result.code, result.errors) == (0, [])
    printed = json.loads(result.stdout)
    assert printed["files"]["model.onnx"] < 0.95 * (TINY / "model.onnx").stat().st_size
    assert printed["checks"]["model.onnx"]["equal_ratio"] >= 0.95
    assert "made sounds alone" in result.stderr
    graph = onnxruntime.InferenceSession(out / "model.onnx")
    assert graph.get_modelmeta().custom_metadata_map["labels"].startswith("yes\nno\n")


def test_with_data_the_accuracy_of_both_is_printed(call, home, tmp_path):
    options = ["--to", "onnx-int8", "--data", home.data, "--out", tmp_path / "out", "--json"]
    result = call("export", home.model, *options)
    assert (result.code, result.errors) == (0, [])
    check = json.loads(result.stdout)["checks"]["model.onnx"]
    evaluated = json.loads(call("evaluate", home.data, "-m", home.model, "--json").stdout)
    assert check["model_accuracy"] == pytest.approx(evaluated["accuracy"], abs=1e-6)
    assert check["accuracy"] >= check["model_accuracy"] - 0.01
    assert "made sounds" not in result.stderr


def test_an_export_that_fails_its_check_leaves_nothing(call, tmp_path, monkeypatch):
    from speechcls.deployment import export

    monkeypatch.setattr(export, "rounded_weights", lambda content: _scrambled(content))
    result = call("export", "commands-tiny", "--to", "onnx-int8", "--out", tmp_path / "out")
    assert result.code == 1
    [error] = result.errors
    assert re.match(r"model.onnx: [0-9.]+ % of its answers are the model's, and 95 %", error)
    assert list(tmp_path.iterdir()) == []


def _scrambled(content):
    import onnx
    from onnx import numpy_helper

    model = onnx.load_from_string(content)
    for tensor in model.graph.initializer:
        array = numpy_helper.to_array(tensor)
        if array.dtype == np.float32 and array.size > 1_000:
            tensor.CopyFrom(numpy_helper.from_array(array[..., ::-1].copy(), tensor.name))
    return model.SerializeToString()


def test_an_export_is_replaced_only_by_force_and_nothing_else_ever(call, tmp_path):
    out = tmp_path / "out"
    options = ("commands-tiny", "--to", "onnx", "--out", out)
    assert call("export", *options).code == 0
    (out / "README.md").write_text("changed")
    again = call("export", *options)
    assert again.code == 1
    assert again.errors == [f"{out}: exists; use force to replace it, or choose another place"]
    assert call("export", *options, "--force").code == 0
    assert (out / "README.md").read_text() != "changed"
    other = tmp_path / "other"
    shutil.copytree(TINY, other)
    refused = call("export", "commands-tiny", "--to", "onnx", "--out", other, "--force")
    assert refused.errors == [f"{other}: exists and is no export; choose another place"]


def test_wrong_usage_is_told_before_any_work(call, tmp_path):
    out = tmp_path / "out"
    result = call("export", "commands-tiny", "--to", "coreml", "--out", out)
    assert (result.code, result.errors[0][:35]) == (2, "--to: no 'coreml'; there are onnx, ")
    result = call("export", "commands-tiny", "--to", "onnx", "--for", "speed", "--out", out)
    assert (result.code, result.errors) == (2, ["--for: has no effect with --to onnx"])
    result = call("export", "absent", "--to", "onnx", "--out", out)
    assert result.code == 1 and "absent: no such model" in result.errors[0]
    assert list(tmp_path.iterdir()) == []
