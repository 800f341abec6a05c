"""``speechcls export``: what it writes, what it prints, and what it refuses."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import soundfile

from speechcls.artifact.store import load_artifact
from speechcls.deployment.check import made_clips
from speechcls.runtime.classifier import Classifier

ROOT = Path(__file__).parents[2]
TINY = ROOT / "models" / "commands-tiny"


def test_the_graphs_are_copied_and_replaced_only_by_force(call, tmp_path):
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

    (out / "README.md").write_text("changed")
    again = call("export", "commands-tiny", "--to", "onnx", "--out", out)
    assert again.code == 1
    assert again.errors == [f"{out}: exists; use force to replace it, or choose another place"]
    assert (out / "README.md").read_text() == "changed"
    assert call("export", "commands-tiny", "--to", "onnx", "--out", out, "--force").code == 0
    assert (out / "README.md").read_text() != "changed"
    other = Path(shutil.copytree(TINY, tmp_path / "other"))
    refused = call("export", "commands-tiny", "--to", "onnx", "--out", other, "--force")
    assert refused.errors == [f"{other}: exists and is no export; choose another place"]
    assert sorted(other.iterdir()) == sorted(other / path.name for path in TINY.iterdir())


def test_the_python_of_the_readme_runs(call, tmp_path, monkeypatch, capsys):
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


@pytest.fixture
def data(tmp_path):
    """Eight made sounds as if they were words, of which the model knows nothing."""
    clips = made_clips(load_artifact(TINY), 9)
    for i, window in enumerate(clips.windows[1:]):
        path = tmp_path / "data" / ("yes", "no")[i % 2] / f"s{i}_nohash_0.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, window, 16_000)
    return tmp_path / "data"


def test_with_data_the_accuracy_of_both_is_printed(data, call, tmp_path):
    options = ["--to", "onnx-int8", "--data", data, "--out", tmp_path / "out", "--json"]
    result = call("export", TINY, *options)
    assert (result.code, result.errors) == (0, [])
    check = json.loads(result.stdout)["checks"]["model.onnx"]
    evaluated = json.loads(call("evaluate", data, "-m", TINY, "--json").stdout)
    assert check["n_answers"] == 8
    assert check["model_accuracy"] == pytest.approx(evaluated["accuracy"], abs=1e-6)
    assert check["accuracy"] >= check["model_accuracy"] - 0.01
    assert "made sounds" not in result.stderr


def test_a_clip_that_cannot_be_read_is_told(data, call, tmp_path):
    (data / "yes" / "torn.wav").write_bytes(b"RIFF")
    result = call("export", TINY, "--to", "onnx", "--data", data, "--out", tmp_path / "out")
    assert result.code == 1
    [error] = result.errors
    assert "torn.wav" in error
    assert (tmp_path / "out" / "model.onnx").is_file()


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


def test_wrong_usage_is_told_before_any_work(call, tmp_path):
    out = tmp_path / "out"
    result = call("export", "commands-tiny", "--to", "coreml", "--out", out)
    assert (result.code, result.errors[0][:35]) == (2, "--to: no 'coreml'; there are onnx, ")
    result = call("export", "commands-tiny", "--to", "onnx", "--for", "speed", "--out", out)
    assert (result.code, result.errors) == (2, ["--for: has no effect with --to onnx"])
    result = call("export", "absent", "--to", "onnx", "--out", out)
    assert result.code == 1 and "absent: no such model" in result.errors[0]
    assert list(tmp_path.iterdir()) == []
