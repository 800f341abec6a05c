"""``speechcls export --to tflite``: run by LiteRT and, where it is, by TensorFlow Lite Micro."""

import json
import re
import subprocess
import sys

import numpy as np
import pytest
import soundfile
from common_explaining import make_lively, make_model
from common_streams import LABELS, save_causal_model

from speechcls.artifact.store import load_artifact
from speechcls.audio.samples import to_float
from speechcls.config import FeatureConfig, NetworkConfig
from speechcls.deployment.bundle import Request
from speechcls.deployment.check import made_clips, model_answers, model_stream
from speechcls.deployment.litert import CLIP, STREAM, litert_bundle, run_file
from speechcls.errors import ExportError
from speechcls.litert.network import FORMS
from speechcls.networks.zoo import NETWORKS
from speechcls.runtime.classifier import Classifier

pytest.importorskip("ai_edge_litert", reason="pip install 'speechcls[tflite]'")

CAUSAL = {
    "crnn": {},
    "crnn, two frames a step": {"step_frames": 2},
    "gru, one layer": {"n_layers": 1},
    "lstm": {"words": LABELS},
    "rnn of coefficients": {"kind": "mfcc", "n_mfcc": 13},
    "rnn at 8 kHz, absolute": {
        "sample_rate": 8_000,
        "fmax": 4_000.0,
        "n_fft": 250,  # no power of two
        "win_length": 200,
        "hop_length": 80,
        "n_mels": 24,
        "relative": False,
        "n_layers": 1,
    },
}
WHOLE = {
    ("rnn", "last"): {"kind": "mfcc"},
    ("birnn", "mean"): {"kind": "mfcc"},
    ("lstm", "mean"): {},
    ("bilstm", "last"): {"duration_s": 0.53},  # frames that fill no block
    ("gru", "attention"): {"running_s": 1.0},
    ("bigru", "last"): {"relative": False},
    ("crnn", "mean"): {},
    ("att-bigru", "attention"): {},
    ("att-bilstm", "attention"): {},
}


def bundle_of(artifact, n_clips, purpose=None):
    request = Request(artifact, "tflite", made_clips(artifact, n_clips), purpose or "size")
    return litert_bundle(request, is_int8=purpose is not None), request.clips


@pytest.mark.parametrize("case", CAUSAL)
def test_a_causal_network_is_computed_as_by_the_model(case, tmp_path):
    arch = case.replace(",", " ").split()[0]
    artifact = save_causal_model(tmp_path / "model", arch, **CAUSAL[case])
    bundle, clips = bundle_of(artifact, 6)
    samples = clips.joined(artifact.features.sample_rate)
    expected = model_stream(artifact, samples)
    assert expected.std(axis=0).max() > 0.01
    np.testing.assert_allclose(run_file(bundle.files[STREAM], samples), expected, atol=1e-4)
    answers = model_answers(Classifier(artifact, jobs=1), clips)
    found = run_file(bundle.files[CLIP], clips.windows.reshape(-1))
    np.testing.assert_allclose(found, answers, atol=1e-4)


@pytest.mark.parametrize(("arch", "readout"), WHOLE)
def test_a_network_of_whole_clips_is_computed_as_by_the_model(arch, readout, tmp_path):
    features = FeatureConfig(**({"kind": "log-mel"} | WHOLE[arch, readout]))
    network = NetworkConfig(arch, 24, 2, readout=readout)
    classifier, _ = make_model(tmp_path / "model", features, network, make_lively)
    bundle, clips = bundle_of(classifier.artifact, 24)
    assert set(bundle.checks) == {CLIP}
    expected = model_answers(classifier, clips)
    assert expected.std(axis=0).max() > 0.01
    found = run_file(bundle.files[CLIP], clips.windows.reshape(-1))
    np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize("arch", sorted(set(NETWORKS) - set(FORMS)))
def test_a_network_without_a_form_is_refused_with_what_takes_it(arch, tmp_path):
    network = NetworkConfig(arch, 16, 1, readout="mean")
    classifier, _ = make_model(tmp_path / "model", FeatureConfig(), network)
    with pytest.raises(ExportError, match=f"{arch} has no form in LiteRT; rnn, .*onnx takes any"):
        bundle_of(classifier.artifact, 1)


@pytest.fixture(scope="module", params=["size", "speed"])
def rounded(request, tmp_path_factory):
    """The causal model as the command exports it, rounded, and what the command prints."""
    out = tmp_path_factory.mktemp("rounded") / "out"
    options = ["--to", "tflite-int8", "--for", request.param, "--out", out, "--json"]
    command = [sys.executable, "-m", "speechcls", "export", "commands-stream", *options]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "INFO" not in done.stderr
    return out, json.loads(done.stdout), request.param


def test_rounded_graphs_are_a_third_and_answer_alike(rounded):
    out, printed, purpose = rounded
    model = load_artifact("commands-stream")
    assert printed["files"][STREAM] < 0.35 * (model.path / "stream.onnx").stat().st_size
    for check in printed["checks"].values():
        assert check["equal_ratio"] > 0.97
    least = {"size": 0.998, "speed": 0.98}[purpose]
    assert printed["checks"][STREAM]["equal_ratio"] > least
    about = json.loads((out / "export.json").read_text())
    inputs = about["graphs"][STREAM]["inputs"]
    assert [each["name"] for each in inputs[:3]] == ["samples", "tail", "level"]
    kinds = {each["dtype"] for each in inputs[3:]}
    assert kinds == {{"size": "int16", "speed": "int8"}[purpose]}


def test_the_python_of_the_readme_runs(rounded, monkeypatch, capsys):
    out, _, _ = rounded
    artifact = load_artifact("commands-stream")
    clips = made_clips(artifact, 12)
    samples = clips.windows[7:9].reshape(-1)
    soundfile.write(out / "clip.wav", samples, 16_000)
    codes = re.findall(r"```python\n(.*?)```", (out / "README.md").read_text(), re.DOTALL)
    monkeypatch.chdir(out)
    exec("".join(codes), {})
    first, *steps = capsys.readouterr().out.splitlines()
    label, probability = first.split()
    expected = Classifier(artifact, jobs=1).predict(to_float(clips.windows[7]))
    assert label == expected.label
    assert float(probability) == pytest.approx(expected.probability, abs=0.1)
    rows = model_stream(artifact, samples)
    assert len(steps) == len(rows)
    found = [float(line.split()[1]) for line in steps]
    assert np.abs(np.array(found) - rows.max(axis=1)).mean() < 0.02


def run_micro(content, ends, samples):
    """Probabilities of a stream by TensorFlow Lite Micro, as the README says for it."""
    micro = pytest.importorskip(
        "tflite_micro.python.tflite_micro.runtime", reason="pip install tflite-micro"
    )
    engine = micro.Interpreter.from_bytes(content, arena_size=200_000)
    states = [np.full(each["shape"], each["zero"], each["dtype"]) for each in ends["inputs"][1:]]
    n, rows = ends["inputs"][0]["shape"][1], []
    for start in range(0, len(samples) - n + 1, n):
        for i, value in enumerate([to_float(samples[start : start + n])[None], *states]):
            engine.set_input(value, i)
        engine.invoke()
        rows.append(engine.get_output(0))
        states = [engine.get_output(1 + i) for i in range(len(states))]
    return np.concatenate(rows)


def test_micro_runs_the_rounded_step(rounded):
    out, _, purpose = rounded
    ends = json.loads((out / "export.json").read_text())["graphs"][STREAM]
    artifact = load_artifact("commands-stream")
    samples = made_clips(artifact, 8, seed=3).windows.reshape(-1)
    rows = run_micro((out / STREAM).read_bytes(), ends, samples)
    expected = model_stream(artifact, samples)
    assert rows.shape == expected.shape
    difference = np.abs(rows - expected)
    assert difference.max() < {"size": 0.05, "speed": 0.5}[purpose]
    assert (rows.argmax(axis=1) == expected.argmax(axis=1)).mean() > 0.97


@pytest.mark.parametrize("arch", ["rnn", "gru", "lstm", "crnn"])
def test_micro_runs_the_step_of_floats(arch, tmp_path):
    artifact = save_causal_model(tmp_path / "model", arch)
    bundle, clips = bundle_of(artifact, 2)
    samples = clips.joined(16_000)
    rows = run_micro(bundle.files[STREAM], bundle.facts["graphs"][STREAM], samples)
    np.testing.assert_allclose(rows, model_stream(artifact, samples), atol=1e-4)
