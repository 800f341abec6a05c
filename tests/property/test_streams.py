"""A stream in any pieces has the posteriors of the whole, and of a window those of ``predict``."""

import functools
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from speechcls.artifact.format import Artifact
from speechcls.artifact.store import load_artifact, save_artifact
from speechcls.config import FeatureConfig, NetworkConfig
from speechcls.errors import ArtifactError, ConfigError
from speechcls.export.onnx import export_onnx, export_stream
from speechcls.networks.recogniser import Recogniser, build_recogniser
from speechcls.runtime.classifier import Classifier
from speechcls.runtime.stream import PosteriorStream, advance

RATE, N_SAMPLES = 16_000, 40_000
LABELS = ("yes", "no", "_silence_")
CAUSAL = {
    "rnn": FeatureConfig(running_s=1.0),  # MFCC
    "lstm": FeatureConfig(kind="log-mel", running_s=0.5),
    "gru": FeatureConfig(kind="log-mel", relative=False, running_s=1.0),
    "crnn": FeatureConfig(kind="log-mel", running_s=2.0),
}
WINDOWED = {
    "bigru": FeatureConfig(kind="log-mel"),
    "att-bigru": FeatureConfig(duration_s=0.73, n_fft=400, win_length=400, hop_length=150),
    "fastrnn": FeatureConfig(kind="log-mel", relative=False),
}


@functools.cache
def sound() -> np.ndarray:
    """Noise of changing level, so that levels and states matter."""
    rng = np.random.default_rng(0)
    swell = 0.2 * np.abs(np.sin(np.arange(N_SAMPLES) / 5_000)) ** 3
    return (swell * rng.standard_normal(N_SAMPLES)).astype(np.float32)


@functools.cache
def make(arch: str) -> tuple[Artifact, Recogniser]:
    """An untrained model on disk, whose posteriors depend on all of the sound, and it in torch."""
    is_causal = arch in CAUSAL
    features = (CAUSAL if is_causal else WINDOWED)[arch]
    network = NetworkConfig(
        arch=arch, hidden_size=12, readout="stream" if is_causal else "attention"
    )
    recogniser = build_recogniser(features, network, range(len(LABELS)), seed=0).eval()
    recogniser.feature_std.fill_(10.0)
    for parameter in recogniser.network.output.parameters():
        parameter.data *= 5
    place = Path(tempfile.mkdtemp(), arch)
    artifact = Artifact(place, features, network, LABELS, LABELS)
    graphs = (make_graph(recogniser, list(LABELS)) for make_graph in (export_onnx, export_stream))
    graph, stream = graphs
    save_artifact(artifact, {}, graph, {}, [], stream=stream)
    return load_artifact(place), recogniser


def feed(stream: PosteriorStream, cuts: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """All posteriors of the sound cut into pieces at ``cuts``, without the end."""
    parts = [stream.feed(piece) for piece in np.split(sound(), sorted(cuts))]
    times, rows = zip(*parts, strict=True)
    return np.concatenate(times), np.concatenate(rows)


cuts = st.lists(st.integers(0, N_SAMPLES), max_size=12)


@pytest.mark.parametrize("arch", CAUSAL)
@settings(max_examples=15, deadline=None)
@given(cuts=cuts)
def test_a_causal_stream_in_pieces_is_the_whole_recording(arch: str, cuts: list[int]) -> None:
    artifact, recogniser = make(arch)
    with torch.no_grad():
        features = recogniser.extract_features(torch.from_numpy(sound())[None])
        whole = recogniser.network(features).softmax(dim=2)[0].numpy()
    times, rows = feed(PosteriorStream(artifact), cuts)
    assert rows.std(axis=0).max() > 0.01  # the sound matters
    np.testing.assert_allclose(rows, whole[: len(rows)], atol=1e-4)
    step = artifact.features.hop_length * recogniser.network.frames_per_step
    assert len(rows) == N_SAMPLES // step
    np.testing.assert_allclose(times, step * np.arange(1, len(rows) + 1) / RATE)


@pytest.mark.parametrize("piece", [160, 592, 16_000])  # 10 ms, 37 ms, 1 s
@pytest.mark.parametrize("arch", CAUSAL)
def test_pieces_of_one_length_make_no_difference(arch: str, piece: int) -> None:
    artifact, _ = make(arch)
    _, whole = feed(PosteriorStream(artifact), [])
    _, rows = feed(PosteriorStream(artifact), list(range(piece, N_SAMPLES, piece)))
    np.testing.assert_allclose(rows, whole, atol=1e-4)


@pytest.mark.parametrize("arch", CAUSAL)
@settings(max_examples=8, deadline=None)
@given(cuts=st.lists(cuts, min_size=2, max_size=5))
def test_streams_that_share_runs_are_the_whole_recording(arch: str, cuts: list[list[int]]) -> None:
    artifact, _ = make(arch)
    _, whole = feed(PosteriorStream(artifact), [])
    first = PosteriorStream(artifact)
    streams = [first, *(PosteriorStream(artifact, session=first.session) for _ in cuts[1:])]
    assert first.session.graph.batch_axes  # else each would have runs of its own
    pieces = [np.split(sound(), sorted(each)) for each in cuts]
    rows: list[list[np.ndarray]] = [[] for _ in streams]
    for turn in range(max(map(len, pieces))):
        for stream, own in zip(streams, pieces, strict=True):
            stream.put(own[turn] if turn < len(own) else np.empty(0, np.float32))
        advance(streams)
        for stream, found in zip(streams, rows, strict=True):
            found.append(stream.take().probabilities)
    for found in rows:
        np.testing.assert_allclose(np.concatenate(found), whole, atol=1e-4)


@pytest.mark.parametrize("arch", WINDOWED)
@settings(max_examples=8, deadline=None)
@given(cuts=cuts, every_s=st.sampled_from([0.05, 0.1, 0.25, 1.5]))
def test_other_networks_have_the_probabilities_of_each_window(
    arch: str, cuts: list[int], every_s: float
) -> None:
    artifact, _ = make(arch)
    stream = PosteriorStream(artifact, every_s)
    times, rows = feed(stream, cuts)
    n_window = artifact.features.n_samples
    before = np.concatenate([np.zeros(n_window, np.float32), sound()])
    ends = np.rint(times * RATE).astype(int)
    windows = np.stack([before[end : end + n_window] for end in ends])
    expected = Classifier(artifact, jobs=1).probabilities(windows)
    np.testing.assert_allclose(rows, expected, atol=1e-4)
    assert len(rows) == int(N_SAMPLES / RATE / stream.every_s + 1e-9)
    assert every_s > 1 or rows.std(axis=0).max() > 1e-3  # the sound matters


@pytest.mark.parametrize("arch", CAUSAL)
def test_a_clip_has_the_probabilities_of_the_step_at_which_a_word_peaks(arch: str) -> None:
    artifact, recogniser = make(arch)
    clips = sound().reshape(5, -1)
    with torch.no_grad():
        features = recogniser.extract_features(torch.from_numpy(clips))
        steps = recogniser.network(features).softmax(dim=2).numpy()
    best = steps[:, :, :2].max(axis=2).argmax(axis=1)  # the third label is silence
    expected = steps[np.arange(5), best]
    assert not np.allclose(expected, steps[:, -1], atol=1e-3)
    probabilities = Classifier(artifact, jobs=1).probabilities(clips)
    np.testing.assert_allclose(probabilities, expected, atol=1e-4)


def test_a_stream_ends_with_what_was_left_over() -> None:
    artifact, _ = make("crnn")
    stream = PosteriorStream(artifact)
    assert len(stream.feed(sound()[:1_000]).times_s) == 3  # steps of 320
    times, rows = stream.finish()
    assert times.tolist() == [4 * 320 / RATE] and rows.shape == (1, 3)
    windowed = PosteriorStream(make("bigru")[0])
    assert len(windowed.feed(sound()[:500]).times_s) == 0
    times, _ = windowed.finish()  # until the last samples are in the window's middle
    assert times[-1] == pytest.approx(0.6)


def test_artifacts_of_clips_alone_and_impossible_steps_are_refused() -> None:
    artifact, _ = make("fastrnn")
    with pytest.raises(ConfigError, match="a stream has no mean of the whole clip"):
        build_recogniser(FeatureConfig(), NetworkConfig("gru", readout="stream"), [0, 1], seed=0)
    with pytest.raises(ConfigError, match="every_s: 0 s is not possible"):
        PosteriorStream(artifact, 0.0)
    (artifact.path / "stream.onnx").rename(artifact.path / "away")
    older = load_artifact(artifact.path)
    (artifact.path / "away").rename(artifact.path / "stream.onnx")
    with pytest.raises(ArtifactError, match=r"stream.onnx: no such file; .* train it again"):
        PosteriorStream(older)


def test_format_1_has_no_running_mean(tmp_path: Path) -> None:
    artifact, _ = make("bigru")
    config = (artifact.path / "config.json").read_text()
    old = config.replace('"format_version": 2', '"format_version": 1')
    old = old.replace('    "running_s": 0.0,\n', "")
    assert old.count("running_s") == 0
    (tmp_path / "config.json").write_text(old)
    (tmp_path / "model.onnx").write_bytes(b"")
    assert load_artifact(tmp_path).features == artifact.features
