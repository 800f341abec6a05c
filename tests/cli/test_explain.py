"""``explain`` and ``features`` as a person runs them."""

import dataclasses
import json
import re
import shutil
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from speechcls.artifact.format import Artifact
from speechcls.artifact.store import save_artifact
from speechcls.config import FeatureConfig, NetworkConfig
from speechcls.render.terminal import SHADES

PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture(scope="module")
def rnn(tmp_path_factory):
    """A model without gates."""
    from speechcls.export.onnx import export_onnx
    from speechcls.networks.recogniser import build_recogniser

    path = tmp_path_factory.mktemp("rnn") / "rnn"
    features = FeatureConfig(duration_s=0.3)
    network = NetworkConfig(arch="birnn", hidden_size=4, num_layers=2)
    artifact = Artifact(path, features, network, ("no", "yes"), ("no", "yes"))
    recogniser = build_recogniser(features, network, range(2), seed=0)
    graph = export_onnx(recogniser, ["no", "yes"])
    weights = {name: tensor.numpy() for name, tensor in recogniser.state_dict().items()}
    save_artifact(artifact, weights, graph, {}, [])
    return path


def texts_of(svg):
    """All text in a picture, as a reader's search would find it."""
    root = ElementTree.parse(svg).getroot()
    return " ".join("".join(node.itertext()) for node in root.iter() if node.tag.endswith("text"))


def test_the_picture_lies_where_it_is_wanted_and_is_named(home, run, tmp_path):
    result = run("explain", home.clip("low"), "--model", home.model, cwd=tmp_path)
    assert (result.code, result.stdout) == (0, "explain.png\n"), result.stderr
    assert (tmp_path / "explain.png").read_bytes().startswith(PNG)
    assert [path.name for path in tmp_path.iterdir()] == ["explain.png"]
    assert "low (0." in result.stderr
    assert "most depends on 0." in result.stderr or "no single 0.1 s is decisive" in result.stderr
    assert "gates" not in result.stderr


def test_an_svg_names_every_panel_as_text(home, call, tmp_path):
    out = tmp_path / "low.svg"
    result = call("explain", home.clip("low"), "-m", home.model, "--out", out, "--quiet")
    assert (result.code, result.stdout, result.stderr) == (0, f"{out}\n", "")
    text = texts_of(out)
    for part in ("waveform", "spectrogram", "log-mel", "reset gate r", "update gate z", "state h"):
        assert part in text
    for part in ("by occlusion", "0.1 s", "if all after this moment were silence", "low, "):
        assert part in text
    assert "forget gate" not in text
    assert "no gates" not in text


def test_a_network_without_gates_is_said_to_have_none(rnn, home, call, tmp_path):
    out = tmp_path / "rnn.svg"
    options = ("--model", rnn, "--layer", "1", "--out", out)
    result = call("explain", home.clip("low"), *options)
    assert result.code == 0, result.stderr
    assert "birnn has no gates; the picture shows its states alone" in result.stderr
    text = texts_of(out)
    assert "birnn has no gates" in text
    assert "layer 1 of 2, forward and reverse" in text
    assert "state h = tanh(W_x x + W_h h + b)" in text
    assert " gate " not in text
    assert "lasts 0.50 s" in result.stderr  # longer than the window of 0.3 s


def test_a_page_and_a_moving_picture(home, call, tmp_path):
    options = ("-m", home.model, "--html", "low.html", "--animate", "low.gif", "-q")
    result = call("explain", home.clip("low"), *options, cwd=tmp_path)
    assert (result.code, result.stdout, result.stderr) == (0, "low.html\nlow.gif\n", "")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["low.gif", "low.html"]
    assert (tmp_path / "low.gif").read_bytes().startswith(b"GIF89a")
    page = (tmp_path / "low.html").read_text()
    content = json.loads(re.search(r'id="content">(.*?)</script>', page, re.S)[1])
    assert content["answer"] == "low"
    titles = [panel["title"] for panel in content["layers"][0]["panels"]]
    assert titles[-1] == "state h = z·h + (1 - z)·candidate"


def test_several_models_have_a_page(home, rnn, call, tmp_path):
    from speechcls.artifact.store import load_artifact

    duration_s = load_artifact(home.model).features.duration_s
    models = ("-m", home.model, "-m", home.model)
    result = call("explain", home.clip("low"), *models, cwd=tmp_path)
    assert (result.code, result.stdout) == (0, "explain.html\n"), result.stderr
    assert "their likeliest labels never differ" in result.stderr
    page = (tmp_path / "explain.html").read_text()
    content = json.loads(re.search(r'id="content">(.*?)</script>', page, re.S)[1])
    name = home.model.name
    assert [model["name"] for model in content["models"]] == [name, f"{name} (2)"]
    assert content["parting"] == "Their likeliest labels are the same all the time."
    for option in (["--animate", "a.gif"], ["--layer", "1"]):
        result = call("explain", home.clip("low"), *models, *option, cwd=tmp_path)
        assert result.code == 2
        assert f"{option[0]}: has no effect with several models" in " ".join(result.errors)
    assert duration_s != 0.3
    result = call("explain", home.clip("low"), "-m", home.model, "-m", rnn, cwd=tmp_path)
    assert result.code == 2
    assert "windows differ" in result.errors[0]
    assert [path.name for path in tmp_path.iterdir()] == ["explain.html"]
    result = call("explain", home.clip("low"), *models, "--out", "both.png", cwd=tmp_path)
    assert (result.code, result.stdout) == (0, "both.png\n"), result.stderr
    assert (tmp_path / "both.png").read_bytes().startswith(b"\x89PNG")


def test_a_clip_from_stdin(home, run, call, tmp_path):
    out = tmp_path / "a.svg"
    content = home.clip("rise").read_bytes()
    result = run("explain", "-", "-m", home.model, "--out", out, stdin=content)
    assert (result.code, result.stdout) == (0, f"{out}\n"), result.stderr
    drawn = out.read_bytes()
    assert call("explain", home.clip("rise"), "-m", home.model, "--out", out).code == 0
    # But for the name the same picture, each time.
    assert len(drawn.splitlines()) == len(out.read_bytes().splitlines())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--out", "a.jpeg"], ["a.jpeg", ".png", ".svg"]),
        (["--animate", "a.mp4"], ["a.mp4", ".gif"]),
        (["--layer", "2"], ["layer: 2", "1 to 1"]),
    ],
)
def test_impossible_options_are_wrong_usage(options, words, home, call, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = call("explain", home.clip("low"), "--model", home.model, *options)
    assert (result.code, result.stdout) == (2, "")
    [error] = result.errors
    assert [word for word in words if word not in error] == []
    assert not list(tmp_path.iterdir())


def test_a_bad_clip_and_a_mixed_model_fail_and_leave_nothing(
    home, rnn, call, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "clip.wav").write_text("no sound")
    result = call("explain", "clip.wav", "--model", home.model)
    assert (result.code, result.stdout) == (1, "")
    assert "clip.wav" in result.errors[0]

    from speechcls.artifact.store import load_artifact, load_weights
    from speechcls.networks.recogniser import build_recogniser

    mixed = tmp_path / "mixed"
    shutil.copytree(rnn, mixed)
    artifact = load_artifact(mixed)
    other = build_recogniser(artifact.features, artifact.network, range(2), seed=1)
    weights = {name: tensor.numpy() for name, tensor in other.state_dict().items()}
    assert weights.keys() == load_weights(artifact).keys()
    graph = (rnn / "model.onnx").read_bytes()
    save_artifact(dataclasses.replace(artifact, path=mixed), weights, graph, {}, [], force=True)
    result = call("explain", home.clip("low"), "--model", mixed)
    assert (result.code, result.stdout) == (1, "")
    assert "files of different models are mixed; copy the model again" in result.errors[0]
    assert not (tmp_path / "explain.png").exists()


def test_features_in_a_pipe_are_plain_shades(home, run, call):
    result = run("features", home.clip("low"))
    assert result.code == 0, result.stderr
    *lines, marks, numbers, words = result.stdout.splitlines()
    assert [len(line) for line in lines] == [4 + 51] * 20  # frames of 10 ms in half a second
    assert [line[:4] for line in lines[::-5]] == [f"{n:2d} |" for n in (0, 10, 20, 30)]
    shades = [line[4:] for line in lines]
    assert set("".join(shades)) <= set(SHADES)
    assert result.stdout.isascii()
    # A tone of 400 Hz: the row of its mel bands, low in the picture, is the darkest.
    darkness = [np.mean([SHADES.index(c) for c in line]) for line in shades]
    assert int(np.argmax(darkness)) in range(14, 18)
    # Marks at 0.1 s, of which there are ten frames.
    assert [i - 4 for i, c in enumerate(marks) if c == "+"] == [0, 10, 20, 30, 40, 50]
    assert [numbers.index(text) - 4 for text in ("0.1", "0.4")] == [10, 40]
    assert words.startswith("up: mel band; right: seconds; ' ' is ") and words.endswith(" dB")
    *high, _, _, words = call(
        "features", home.clip("high"), "--kind", "spectrogram"
    ).stdout.splitlines()
    darkness = [np.mean([SHADES.index(c) for c in line[3:]]) for line in high]
    assert int(np.argmax(darkness)) in (15, 16)  # 1600 of 8000 Hz
    assert high[19 - 15][:3] == "6 |"  # kHz
    assert "up: kHz" in words


@pytest.mark.parametrize("n_columns", [30, 44, 80])
def test_features_obey_the_width_of_the_terminal(n_columns, home, call, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(n_columns))
    for kind in ("mfcc", "log-mel", "spectrogram"):
        lines = call("features", home.clip("low"), "--kind", kind).stdout.splitlines()
        assert max(map(len, lines)) <= n_columns
        assert max(map(len, lines[:20])) == min(n_columns, 51 + len(lines[0].split("|")[0]) + 1)


def test_features_are_coloured_where_colour_is_wanted(home, call, monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    coloured = call("features", home.clip("low"))
    assert "\x1b[" in coloured.stdout
    assert coloured.stdout.count("▀") == 51 * 20
    monkeypatch.setenv("NO_COLOR", "1")
    plain = call("features", home.clip("low"))
    assert "\x1b" not in plain.stdout


def test_features_in_a_picture(home, call, tmp_path):
    for kind, part in (("mfcc", "cepstral coefficients"), ("spectrogram", "kHz")):
        out = tmp_path / f"{kind}.svg"
        result = call("features", home.clip("low"), "--kind", kind, "--out", out)
        assert (result.code, result.stdout) == (0, f"{out}\n"), result.stderr
        assert part in texts_of(out)


def test_an_unknown_kind_of_features_lists_the_known_ones(home, call):
    result = call("features", home.clip("low"), "--kind", "cqt")
    assert (result.code, result.stdout) == (2, "")
    [error] = result.errors
    assert "'cqt'; there are spectrogram, mfcc, log-mel" in error
