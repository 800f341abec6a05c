"""How graphs are exported, opened and run: what is in them, on what device, by how many threads."""

import numpy as np
import onnx
import pytest
import torch
from common import refusal
from common_training import NETWORK, build, make_corpus

from speechcls.artifact.format import Artifact
from speechcls.artifact.store import load_artifact, save_artifact
from speechcls.errors import ArtifactError, ConfigError
from speechcls.export import onnx as export
from speechcls.export.onnx import export_onnx
from speechcls.networks.load import load_recogniser
from speechcls.runtime.classifier import Classifier
from speechcls.runtime.session import BATCH_SIZE, Session, open_session, run_windows

LABELS = ["low", "high"]


@pytest.fixture(scope="module")
def recogniser():
    made = build(make_corpus())
    made.feature_mean.copy_(torch.linspace(-9.0, 9.0, len(made.feature_mean)))
    return made.eval()


@pytest.fixture(scope="module")
def graph(recogniser):
    return export_onnx(recogniser, LABELS)


@pytest.fixture
def windows(rng):
    """Of three batches, the last one not full."""
    return rng.integers(-9_000, 9_000, (2 * BATCH_SIZE["cpu"] + 3, 2_000)).astype(np.int16)


def test_a_graph_has_standard_operators_only_and_nothing_left_to_compute(graph):
    model = onnx.load_from_string(graph)
    onnx.checker.check_model(model)
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", export.OPSET)]
    assert {node.domain for node in model.graph.node} == {""}
    assert not {"Constant", "Identity", "Dropout"} & {node.op_type for node in model.graph.node}


def test_a_full_disk_leaves_the_graph_as_it_was_traced(recogniser, graph, monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "absent"))
    traced = export_onnx(recogniser, LABELS)
    assert len(onnx.load_from_string(traced).graph.node) > len(
        onnx.load_from_string(graph).graph.node
    )
    samples = 0.1 * np.random.default_rng(0).standard_normal((2, 2_000)).astype(np.float32)
    answers = [open_session(g).run(None, {"samples": samples})[0] for g in (traced, graph)]
    np.testing.assert_allclose(*answers, atol=1e-6)


@pytest.mark.parametrize("jobs", [1, 3])
def test_many_windows_are_each_run_as_if_alone(jobs, recogniser, graph, windows):
    samples = torch.from_numpy(windows).float() / 32_768
    with torch.no_grad():
        expected = recogniser(samples).softmax(dim=1).numpy()
    session = open_session(graph)
    by_floats = run_windows(session, samples.numpy(), jobs)
    np.testing.assert_allclose(by_floats, expected, atol=1e-4)
    np.testing.assert_array_equal(run_windows(session, windows, jobs), by_floats)


class Stub:
    """In place of ONNX Runtime's session."""

    def __init__(self, answer):
        self.answer = answer

    def run(self, names, inputs):
        if isinstance(self.answer, Exception):
            raise self.answer
        return [self.answer]


def test_memory_that_runs_out_is_no_fault_of_the_model(graph):
    samples = np.zeros((2, 2_000), np.float32)
    checked = open_session(graph).graph
    with pytest.raises(MemoryError):
        Session(checked, Stub(RuntimeError("[GRU] std::bad_alloc"))).run(None, {"samples": samples})
    with pytest.raises(ArtifactError, match=r"model.onnx: cannot be run \(odd\)"):
        Session(checked, Stub(RuntimeError("odd"))).run(None, {"samples": samples})


def test_an_array_without_rows_may_come_as_none(graph):
    """As from ONNX Runtime 1.20."""
    samples = np.zeros((2, 2_000), np.float32)
    [rows] = Session(open_session(graph).graph, Stub(None)).run(None, {"samples": samples})
    assert rows.shape == (0, len(LABELS))


def test_unknown_devices_are_refused(graph):
    message = refusal(ConfigError, open_session, graph, device="tpu")
    assert message == "device: no 'tpu'; there are cpu, cuda"


def test_cuda_that_is_not_installed_is_said_to_be_so(graph, monkeypatch):
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: ["CPUExecutionProvider"])
    message = refusal(ConfigError, open_session, graph, device="cuda")
    assert message.startswith("device: this ONNX Runtime has no CUDA; pip install")


def test_cuda_that_does_not_start_is_no_reason_to_go_on_without_it(graph, monkeypatch):
    there = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: there)
    start = export.onnxruntime.InferenceSession
    # As ONNX Runtime does when a library of CUDA is missing: it warns and takes what is left.
    monkeypatch.setattr(
        "onnxruntime.InferenceSession",
        lambda content, options, providers, **rest: start(
            content, options, providers=providers[1:], **rest
        ),
    )
    message = refusal(ConfigError, open_session, graph, device="cuda")
    assert message.startswith("device: ONNX Runtime could not start CUDA; install")


def test_a_loaded_recogniser_is_the_one_that_was_saved(recogniser, graph, tmp_path, windows):
    features, network = recogniser.features.config, NETWORK
    artifact = Artifact(tmp_path / "model", features, network, tuple(LABELS), tuple(LABELS))
    weights = {name: value.numpy() for name, value in recogniser.state_dict().items()}
    save_artifact(artifact, weights, graph, {}, [])
    loaded = load_recogniser(load_artifact(artifact.path))
    samples = torch.from_numpy(windows).float() / 32_768
    with torch.no_grad():
        assert torch.equal(loaded(samples), recogniser(samples))
    answers = Classifier.load(artifact.path, jobs=2).probabilities(samples.numpy())
    np.testing.assert_allclose(answers, loaded(samples).softmax(dim=1).detach(), atol=1e-4)
    del weights["feature_mean"]
    save_artifact(artifact, weights, graph, {}, [], force=True)
    message = refusal(ArtifactError, load_recogniser, load_artifact(artifact.path))
    assert message.endswith("weights.safetensors: does not fit config.json; copy the model again")
