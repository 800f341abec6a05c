"""Files of a model that are damaged or made to do harm end in an ``ArtifactError`` of one line."""

import json
import os
import shutil
import struct
from pathlib import Path

import numpy as np
import onnx
import pytest
from common import refusal
from onnx import helper, numpy_helper
from safetensors.numpy import save

from speechcls.artifact import manifest
from speechcls.artifact.calibration import load_calibration
from speechcls.artifact.store import load_artifact, load_split, load_weights, read_metrics
from speechcls.errors import ArtifactError
from speechcls.networks.load import load_recogniser
from speechcls.runtime.classifier import Classifier

COMPAT = Path(__file__).parents[2] / "compat"
DEEP = b"[" * 100_000
HUGE = b"1" + 400 * b"0"


@pytest.fixture
def model(tmp_path):
    return Path(shutil.copytree(COMPAT / "format-2-stream", tmp_path / "model"))


def with_value(content, place, value):
    config = json.loads(content)
    *above, last = place.split(".")
    inner = config
    for part in above:
        inner = inner[part]
    inner[last] = "VALUE"
    return json.dumps(config).encode().replace(b'"VALUE"', value)


@pytest.mark.parametrize(
    "content", [DEEP, b'{"a":' * 100_000, b"\xff\xfe", b"", b"[", b"null", b"NaN"]
)
@pytest.mark.parametrize("name", ["config.json", "calibration.json", "metrics.json"])
def test_json_that_is_none_or_too_deep(name, content, model):
    (model / name).write_bytes(content)
    with pytest.raises(ArtifactError) as error:
        artifact = load_artifact(model)
        load_calibration(artifact)
        read_metrics(model, required=True)
    assert str(error.value).startswith(f"{model / name}: ")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("features.duration_s", HUGE),  # OverflowError, when it is made a float
        ("features.duration_s", b"NaN"),
        ("features.duration_s", b"1e300"),
        ("features.sample_rate", HUGE),
        ("features.sample_rate", b"8000000"),
        ("features.n_fft", b"4611686018427387904"),
        ("features.n_mels", b"1000000000"),
        ("features.hop_length", b"0"),
        ("features.hop_length", b"true"),
        ("network.dropout", b"-1"),
        ("format_version", b"true"),
        ("format_version", b"1.5"),
        ("labels", b'"ab"'),
        ("labels", b'["high", "low", 3, "_silence_"]'),
        ("labels", b'["high", "high", "_unknown_", "_silence_"]'),
        ("labels", b'["high", {}, "_unknown_", "_silence_"]'),
        ("labels", b'["' + 20_000 * b"x" + b'", "b"]'),
        ("words", b'{"high": 1, "low": 2, "a": 3, "b": 4}'),
        ("words", b'["high", "low", "nonsense", "x", null]'),
    ],
)
def test_impossible_settings(place, value, model):
    content = (model / "config.json").read_bytes()
    (model / "config.json").write_bytes(with_value(content, place, value))
    message = refusal(ArtifactError, load_artifact, model)
    assert message.startswith(f"{model / 'config.json'}: damaged or not of speechcls (")


def test_words_must_count_as_a_label(model):
    content = with_value((model / "config.json").read_bytes(), "labels", b'["high", "low"]')
    (model / "config.json").write_bytes(content)
    assert "impossible words" in refusal(ArtifactError, load_artifact, model)


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("temperature", b"1e-40"),
        ("temperature", b"1e30"),
        ("temperature", HUGE),
        ("hours", HUGE),
        ("thresholds", b'{"high": NaN}'),
        ("thresholds", b'{"nobody": 0.5}'),
        ("thresholds", b"[]"),
    ],
)
def test_impossible_calibrations(place, value, model):
    path = model / "calibration.json"
    path.write_bytes(with_value(path.read_bytes(), place, value))
    message = refusal(ArtifactError, load_calibration, load_artifact(model))
    assert message.startswith(f"{path}: damaged or of another model (")


def safetensors(header, data=b"\0" * 16):
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def tensor(dtype="F32", shape=(4,), offsets=(0, 16)):
    return {"w": {"dtype": dtype, "shape": shape, "data_offsets": offsets}}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        struct.pack("<Q", 2**62),
        safetensors(tensor(dtype="BF16", shape=(8,))),
        safetensors(tensor(dtype="X")),
        safetensors(tensor(shape=(2**40, 2**40))),
        safetensors(tensor(offsets=(0, 2**40))),
        safetensors(tensor(shape=(-4,))),
        struct.pack("<Q", len(DEEP)) + DEEP,
        save({"w": np.array([1.0, np.nan], np.float32)}),
        save({"w": np.array([np.inf], np.float32)}),
    ],
)
def test_impossible_weights(content, model):
    (model / "weights.safetensors").write_bytes(content)
    message = refusal(ArtifactError, load_weights, load_artifact(model))
    assert message.startswith(f"{model / 'weights.safetensors'}: missing or damaged (")
    assert "\n" not in message


ROW = "a.wav,a,ann,train,0.0,,1.0,00ff"
HEADER = "path,label,speaker,split,start_s,end_s,gain,digest"


@pytest.mark.parametrize(
    "row",
    [
        ROW.replace("train", "nonsense"),
        ROW.replace("0.0,,", "nan,,"),
        ROW.replace("0.0,,", "-1,,"),
        ROW.replace("0.0,,", "2,-1,"),
        ROW.replace(",1.0,", ",inf,"),
        "a.wav",
        "x" * 200_000,
    ],
)
def test_impossible_splits(row, model):
    artifact = load_artifact(model)
    (model / "split.csv").write_text(f"{HEADER}\n{ROW}\n")
    assert [each.path for each in load_split(artifact)] == ["a.wav"]
    (model / "split.csv").write_text(f"{HEADER}\n{row}\n")
    message = refusal(ArtifactError, load_split, artifact)
    assert message.startswith(f"{model / 'split.csv'}: missing or damaged (")


@pytest.mark.parametrize("name", ["config.json", "model.onnx", "calibration.json", "metrics.json"])
def test_a_pipe_a_folder_or_too_much_is_not_read(name, model, monkeypatch):
    def load():
        read_metrics(Classifier.load(model, jobs=1).artifact.path, required=True)

    content = (model / name).read_bytes()
    monkeypatch.setitem(manifest.FILES, name, len(content) - 1)
    assert refusal(ArtifactError, load).startswith(f"{model / name}: larger than ")
    monkeypatch.setitem(manifest.FILES, name, len(content))
    load()
    (model / name).unlink()
    os.mkfifo(model / name)
    assert refusal(ArtifactError, load).startswith(f"{model}")
    (model / name).unlink()
    (model / name).mkdir()
    assert refusal(ArtifactError, load).startswith(f"{model}")


def test_a_graph_that_answers_for_no_clip(model):
    """As one whose batch is broadcast to none, which ``fuzz_artifact`` found."""
    graph = onnx.load(model / "model.onnx")
    last = graph.graph.output[0].name
    for node in graph.graph.node:
        node.output[:] = ["before" if name == last else name for name in node.output]
    graph.graph.initializer.append(numpy_helper.from_array(np.zeros(1, np.int64), "none"))
    graph.graph.node.append(helper.make_node("Slice", ["before", "none", "none", "none"], [last]))
    (model / "model.onnx").write_bytes(graph.SerializeToString())
    message = refusal(ArtifactError, Classifier.load(model, jobs=1).predict, np.zeros(3_200))
    assert message.startswith(f"{model / 'model.onnx'}: does not fit config.json")


@pytest.mark.parametrize(
    ("place", "value"), [("hidden_size", b"1000000"), ("num_layers", b"9999999")]
)
def test_a_network_much_larger_than_its_weights_is_not_built(place, value, model, monkeypatch):
    monkeypatch.setattr("speechcls.networks.load.build_recogniser", lambda *args, **rest: 1 / 0)
    content = with_value((model / "config.json").read_bytes(), f"network.{place}", value)
    (model / "config.json").write_bytes(content)
    message = refusal(ArtifactError, load_recogniser, load_artifact(model))
    assert message.startswith(f"{model / 'weights.safetensors'}: does not fit config.json")
