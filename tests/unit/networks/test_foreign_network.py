"""A network that is not recurrent, registered by a class and a line, does what all others do."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from common import refusal
from common_learning import SMALL, read_page, write_pitches
from torch import Tensor, nn
from typer.testing import CliRunner

from speechcls.artifact.store import load_artifact
from speechcls.config import SIZES, FeatureConfig, NetworkConfig
from speechcls.errors import ConfigError
from speechcls.networks.network import Network
from speechcls.networks.size import count_multiply_adds, count_parameters, fit_size
from speechcls.networks.zoo import NETWORKS, build_network, describe, feature_kind
from speechcls.runtime.classifier import Classifier
from speechcls.runtime.session import open_session

REPOSITORY = Path(__file__).parents[3]


class MeanPool(Network):
    """Two linear layers on every frame, and their mean over time.

    It knows nothing of hidden sizes, layers and readouts.
    """

    output_layer = "classify"

    def __init__(self, config: NetworkConfig, n_features: int, n_outputs: int) -> None:
        super().__init__(config, n_features, n_outputs)
        self.embed = nn.Sequential(nn.Linear(n_features, 24), nn.ReLU(), nn.Linear(24, 24))
        self.classify = nn.Linear(24, n_outputs)

    def forward(self, features: Tensor) -> Tensor:
        return self.classify(torch.relu(self.embed(features)).mean(dim=1))


class Delta(Network):
    """A causal network of one frame of memory, which is not recurrent."""

    can_stream = True
    feature_kind = "mfcc"

    def __init__(self, config: NetworkConfig, n_features: int, n_outputs: int) -> None:
        super().__init__(config, n_features, n_outputs)
        self.n_features = n_features
        self.output = nn.Linear(2 * n_features, n_outputs)

    def forward(self, features: Tensor) -> Tensor:
        logits, _ = self.step(features, self.states(features.shape[0], features.device))
        return logits if self.is_streaming else logits.mean(dim=1)

    def states(self, batch, device=None):
        return [torch.zeros(batch, 1, self.n_features, device=device)]

    def step(self, features, states):
        before = torch.cat([states[0], features[:, :-1]], dim=1)
        return self.output(torch.cat([features, before], dim=2)), [features[:, -1:]]


@pytest.fixture(autouse=True)
def _registered(monkeypatch):
    monkeypatch.setitem(NETWORKS, "mean-pool", MeanPool)
    monkeypatch.setitem(NETWORKS, "delta", Delta)


def call(*arguments, code=0):
    """What a command prints, on stdout and on stderr."""
    from speechcls.cli.app import app

    result = CliRunner().invoke(app, [os.fspath(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.stderr
    return result.stdout, result.stderr


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_pitches(tmp_path_factory.mktemp("data"), noise_s=5.0)


@pytest.fixture(scope="module")
def model(data, tmp_path_factory):
    """``mean-pool``, trained by the command."""
    path = tmp_path_factory.mktemp("mean-pool") / "model"
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(NETWORKS, "mean-pool", MeanPool)
        call("train", data, "--arch", "mean-pool", *SMALL, "--epochs", "16", "--out", path)
    return path


def test_it_trains_and_predicts(model, data):
    metrics = json.loads((model / "metrics.json").read_text())
    assert metrics["validation"]["accuracy"] > 0.9
    # 40 bands, 24 units, 24 units and three labels, on 51 frames but for the last layer.
    assert load_artifact(model).labels == ("high", "low", "_silence_")
    assert metrics["n_parameters"] == 41 * 24 + 25 * 24 + 25 * 3
    assert metrics["multiply_adds"] == 51 * (40 * 24 + 24 * 24) + 24 * 3
    stdout, _ = call("predict", *sorted((data / "high").iterdir())[:8], "--model", model)
    assert [line.split("\t")[1] for line in stdout.splitlines()] == ["high"] * 8


def test_its_stream_is_a_sliding_window(model):
    artifact = load_artifact(model)
    session = open_session((model / "stream.onnx").read_bytes())
    hop = session.graph.step
    assert hop == artifact.features.hop_length
    rng = np.random.default_rng(0)
    n_blocks, n_window = 4, artifact.features.n_samples
    sound = rng.normal(0.0, 0.1, n_window + n_blocks * hop).astype(np.float32)
    states = {name: np.zeros(shape, np.float32) for name, shape in session.graph.states.items()}
    ends = [n_window, *(n_window + hop * (1 + block) for block in range(n_blocks))]
    windows = np.stack([sound[end - n_window : end] for end in ends])
    expected = Classifier(artifact, jobs=1).probabilities(windows)
    for start, end, row in zip((0, *ends), ends, expected, strict=False):
        piece = {"samples": sound[None, start:end]}
        probabilities, *after = session.run(None, piece | states)
        states = dict(zip(states, after, strict=True))
        np.testing.assert_allclose(probabilities[0], row, atol=1e-4)


def test_it_is_explained_without_gates(model, data, tmp_path):
    clip, page = data / "low" / "s00_nohash_0.wav", tmp_path / "page.html"
    picture, movie = tmp_path / "clip.svg", tmp_path / "clip.gif"
    options = ("--html", page, "--out", picture, "--animate", movie)
    _, stderr = call("explain", clip, "--model", model, *options)
    assert "mean-pool has no recurrent layers; there are no gates to show" in stderr
    content = read_page(page)
    assert (content["answer"], content["layers"], content["layer"]) == ("low", [], None)
    kinds = [panel["kind"] for panel in content["inputs"]]
    assert kinds == ["wave", "image", "image", "curves", "curves"]  # no attention
    posteriors, occlusion = content["inputs"][3:]
    assert posteriors["names"][0] == "low"
    assert posteriors["series"][0][-1] == pytest.approx(content["probability"], abs=1e-3)
    assert "occlusion" in occlusion["title"]
    assert "occlusion" in picture.read_text() and "gate" not in picture.read_text()
    _, stderr = call("explain", clip, "--model", model, "--layer", "1", code=2)
    assert "--layer: 1 is not possible; mean-pool has no recurrent layers" in stderr


def test_it_is_listed():
    stdout, _ = call("archs", "--json")
    [row] = [row for row in map(json.loads, stdout.splitlines()) if row["arch"] == "mean-pool"]
    assert row["about"] == "Two linear layers on every frame, and their mean over time."
    assert row["parameters"] == 41 * 24 + 25 * 24 + 25 * 10
    assert describe("mean-pool") == row["about"]
    assert feature_kind("mean-pool") == "log-mel" and feature_kind("delta") == "mfcc"


def test_it_is_compared(data, tmp_path):
    options = ("--archs", "mean-pool,gru", "--seeds", "1", "--epochs", "1", "--size", "tiny")
    stdout, stderr = call("compare", data, *options, "--no-speed", "--out", tmp_path, "--json")
    names = [model["name"] for model in json.loads(stdout)["models"]]
    assert sorted(names) == ["gru", "mean-pool"], stderr
    assert load_artifact(tmp_path / "mean-pool-seed0").network.arch == "mean-pool"


def test_another_model_starts_from_it_with_a_new_last_layer(model, data, tmp_path):
    few = tmp_path / "few"
    write_pitches(few, n_takes=1)
    options = (
        "--from",
        model,
        "--epochs",
        "1",
        "--lr",
        "1e-9",
        "--quiet",
        "--ema-decay",
        "0",
        "--closed",
    )
    call("train", few, *options, "--out", tmp_path / "model")
    artifact = load_artifact(tmp_path / "model")
    assert (artifact.labels, artifact.network.arch) == (("high", "low"), "mean-pool")


def test_a_causal_one_streams(data, tmp_path):
    path, page = tmp_path / "model", tmp_path / "page.html"
    call("train", data, "--arch", "delta", "--streaming", *SMALL, "--epochs", "1", "--out", path)
    clip = data / "low" / "s00_nohash_0.wav"
    call("explain", clip, "--model", path, "--html", page, "--quiet")
    posteriors = read_page(page)["inputs"][3]
    assert posteriors["title"] == "probability of each label at each step of the network"
    # A frame ends each 10 ms.
    assert posteriors["times_s"][:3] == [0.01, 0.02, 0.03]
    assert len(posteriors["times_s"]) == 50


def test_one_that_cannot_stream_is_refused_by_name():
    config = NetworkConfig(arch="mean-pool", readout="stream")
    assert refusal(ConfigError, build_network, config, 40, 3) == (
        "arch: mean-pool cannot run on a stream; rnn, lstm, gru, crnn, delta can"
    )


def test_a_size_that_it_exceeds_leaves_it_out_of_the_list(monkeypatch):
    monkeypatch.setitem(SIZES, "tiny", 1_000)
    stdout, stderr = call("archs", "--size", "tiny", "--json")
    rows = [json.loads(line) for line in stdout.splitlines()]
    assert [row["arch"] for row in rows if row["parameters"] < 1_000][-1] == "delta"
    assert "mean-pool" not in [row["arch"] for row in rows]
    assert "warning: mean-pool has 1,834 parameters, whatever the hidden size" in stderr
    _, stderr = call("archs", "--size", "huge", code=2)
    assert "size: no 'huge'; there are tiny, small, base" in stderr


def test_a_network_of_one_size_fits_as_it_is_or_not_at_all(monkeypatch):
    features, config = FeatureConfig(kind="log-mel"), NetworkConfig(arch="mean-pool")
    assert fit_size("tiny", features, config, n_outputs=3) == config
    n_parameters = 41 * 24 + 25 * 24 + 25 * 3
    monkeypatch.setitem(SIZES, "tiny", n_parameters)
    assert refusal(ConfigError, fit_size, "tiny", features, config, n_outputs=3) == (
        "size: mean-pool has 1,659 parameters, whatever the hidden size; tiny is below 1,659;"
        " choose a larger one"
    )


class Draws(MeanPool):
    """An operator that no graph of a model may have."""

    def forward(self, features: Tensor) -> Tensor:
        return super().forward(features + 1e-9 * torch.rand_like(features))


class Inverts(MeanPool):
    """An operator that ONNX does not have."""

    def forward(self, features: Tensor) -> Tensor:
        return self.classify(torch.special.i0e(features).mean(dim=1)[:, :24])


@pytest.mark.parametrize(("network", "reason"), [(Draws, "RandomUniformLike"), (Inverts, "i0e")])
def test_what_cannot_be_exported_is_refused_before_it_is_trained(
    network, reason, data, tmp_path, monkeypatch
):
    monkeypatch.setitem(NETWORKS, "mine", network)
    out = tmp_path / "model"
    _, stderr = call("train", data, "--arch", "mine", *SMALL, "--out", out, code=2)
    [error] = [line for line in stderr.splitlines() if line.startswith("speechcls: error: ")]
    assert error.startswith("speechcls: error: --arch: mine cannot be exported (")
    assert reason in error
    assert error.endswith("); build it of other operators")
    assert "epoch 1/" not in stderr
    assert list(tmp_path.iterdir()) == []


def test_bc_resnet_trains_in_the_benchmarks(data, tmp_path):
    script = REPOSITORY / "benchmarks" / "train_bcresnet.py"
    options = (
        "--arch",
        "bc-resnet-1",
        "--epochs",
        "1",
        "--batch-size",
        "16",
        "--closed",
        "--quiet",
    )
    options += ("--epoch-clips", "1")
    done = subprocess.run(
        [sys.executable, script, "train", data, *options, "--out", tmp_path / "model"],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"},
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, f"{tmp_path / 'model'}\n"), done.stderr
    assert load_artifact(tmp_path / "model").network.arch == "bc-resnet-1"
    assert (tmp_path / "model" / "stream.onnx").is_file()


class SelfAttention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, features):
        return self.attention(features, features, features)[0]


@pytest.mark.parametrize("is_training", [True, False])
def test_attention_is_counted_by_hand(is_training):
    network = SelfAttention().train(is_training)
    # Query, key and value of each step, and the projection of what the heads return.
    assert count_multiply_adds(network, torch.zeros(1, 51, 8)) == 51 * (3 * 8 * 8 + 8 * 8)


def test_a_network_is_counted_where_it_is_used():
    network = build_network(NetworkConfig(arch="delta"), n_features=40, n_outputs=3).eval()
    assert count_parameters(network) == 81 * 3
    assert count_multiply_adds(network, torch.zeros(1, 51, 40)) == 51 * 80 * 3
