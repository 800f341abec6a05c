"""What the panels show, drawn and in the page: the arrays of the explanation, unchanged."""

import dataclasses
import html
import json
import re

import numpy as np
import pytest
from common_explaining import make_lively, make_model, noise_and_tone
from PIL import Image as Picture

from speechcls.audio.spectrogram import spectrogram
from speechcls.config import FeatureConfig, NetworkConfig
from speechcls.errors import ConfigError
from speechcls.explain.figures import N_FRAMES, animate_figure, draw_explanation
from speechcls.explain.page import to_dict, write_explanation
from speechcls.explain.panels import gate_panels, input_panels, layer_panels, layer_title
from speechcls.explain.trace import Curve, explain
from speechcls.render.figures import colour_steps, save_animation
from speechcls.render.panels import features_panel, wave_panel


@pytest.fixture(scope="module")
def explanation(tmp_path_factory):
    """Two layers of a bidirectional LSTM with attention."""
    features = FeatureConfig(kind="log-mel", duration_s=0.4)
    network = NetworkConfig(arch="bilstm", hidden_size=6, num_layers=2)
    place = tmp_path_factory.mktemp("panels") / "model"
    classifier, _ = make_model(place, features, network, make_lively)
    return explain(classifier, noise_and_tone(features.n_samples, np.random.default_rng(0)))


def test_input_and_output(explanation):
    wave, loud, inputs, posterior_over_time, attention, occlusion = input_panels(explanation)
    assert wave.high.max() == explanation.samples.max()
    assert wave.low.min() == explanation.samples.min()
    # The lowest frequency and the first feature are the last rows: they are drawn lowest.
    np.testing.assert_array_equal(
        loud.values[-1], spectrogram(explanation.samples, explanation.config)[:, 0]
    )
    assert loud.edges == (8.0, 0.0)
    np.testing.assert_array_equal(inputs.values[-1], explanation.features[:, 0])
    np.testing.assert_array_equal(inputs.times_s, explanation.frame_times_s)
    # The predicted label first, the others by the highest probability they ever have.
    order = [explanation.labels.index(name) for name in posterior_over_time.names]
    assert order[0] == explanation.label_index
    np.testing.assert_array_equal(
        posterior_over_time.values, explanation.posterior_over_time.values[:, order]
    )
    highest = posterior_over_time.values.max(axis=0)
    assert highest[1] >= highest[2]
    np.testing.assert_array_equal(attention.values, explanation.attention)
    assert attention.names == ("head 1", "head 2", "head 3", "head 4")[: attention.values.shape[1]]
    np.testing.assert_array_equal(occlusion.values[:, 0], explanation.occlusion.values)
    assert f"probability of {posterior_over_time.names[0]} lost" in occlusion.title


def test_a_waveform_by_hand():
    samples = np.tile(np.array([0.1, -0.2, 0.3], np.float32), 1_000)
    wave = wave_panel(samples, 1_000, height=1.0)
    np.testing.assert_allclose(wave.times_s, np.arange(1_000) * 0.003)
    np.testing.assert_allclose(wave.low, -0.2)
    np.testing.assert_allclose(wave.high, 0.3)
    short = wave_panel(samples[:3], 1_000, height=1.0)
    np.testing.assert_array_equal(short.low, short.high)
    np.testing.assert_allclose(short.low, [0.1, -0.2, 0.3])


def test_the_gates_of_a_layer(explanation):
    panels = layer_panels(explanation, 2)
    assert [panel.name for panel in panels] == [
        "forget", "input", "output", "candidate", "cell", "state",
    ]  # fmt: skip
    for panel, gate in zip(panels, gate_panels(explanation, 2), strict=True):
        np.testing.assert_array_equal(panel.values, gate.rows)
        is_fraction = panel.name in ("forget", "input", "output")
        most = np.abs(gate.rows).max()
        assert panel.limits == ((0.0, 1.0) if is_fraction else (-most, most))
        assert panel.n_forward == 6
        assert panel.unit == "reverse  forward"
    assert layer_title(explanation, 2).startswith("layer 2 of 2, forward and reverse")


def test_the_first_cepstral_coefficient_does_not_drown_the_others():
    values = np.full((50, 40), 2.0)
    values[:, 0] = -500.0
    panel = features_panel(values, "mfcc", FeatureConfig())
    assert panel.limits == (-2.0, 2.0)
    assert panel.values[-1, 0] == -500.0


def test_the_page_holds_every_number_of_every_layer(explanation):
    content = to_dict(explanation, layer=2)
    assert content["layer"] == 2
    assert [len(layer["panels"]) for layer in content["layers"]] == [6, 6]
    for layer, shown in enumerate(content["layers"], start=1):
        for panel, gate in zip(shown["panels"], gate_panels(explanation, layer), strict=True):
            assert panel["kind"] == "image"
            np.testing.assert_allclose(panel["rows"], gate.rows, rtol=0, atol=5.1e-4)
            assert panel["n_forward"] == 6
    kinds = [panel["kind"] for panel in content["inputs"]]
    assert kinds == ["wave", "image", "image", "curves", "curves", "curves"]
    posterior_over_time = content["inputs"][3]
    np.testing.assert_allclose(np.sum(posterior_over_time["series"], axis=0), 1.0, atol=2e-3)
    used = {p["colours"] for p in content["inputs"] if p["kind"] == "image"} | {
        panel["colours"] for layer in content["layers"] for panel in layer["panels"]
    }
    assert set(content["colours"]) == used
    assert content["answer"] == posterior_over_time["names"][0]
    json.dumps(content, allow_nan=False)


def test_the_page_needs_nothing_else_and_cannot_be_broken_out_of(explanation, tmp_path):
    evil = "</script><script>alert(1)</script>"
    named = dataclasses.replace(explanation, labels=(evil, "a", "b"))
    title = f"{evil} \udcff"
    figure = draw_explanation(named, title, layer=1)
    write_explanation(named, figure, title, 1, tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert evil not in page
    assert page.count("<script") == 2
    addresses = re.findall(r"(?:src|href)=\"([^\"]*)\"", page)
    assert [address[:5] for address in addresses] == ["data:"] * 3
    assert not re.search(r"https?://|url\(|@import|<iframe", re.sub(r'src="data:[^"]*"', "", page))
    assert "default-src 'none'" in html.unescape(page)
    content = json.loads(re.search(r'id="content">(.*?)</script>', page, re.S)[1])
    assert content["answer"] == named.labels[named.label_index]
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]


def test_colours_run_from_the_lowest_value_to_the_highest():
    assert colour_steps("gray", 3) == ["#000000", "#808080", "#ffffff"]
    assert len(colour_steps("cividis", 64)) == 64


def test_an_animation_fades_the_future(explanation):
    frames = animate_figure(draw_explanation(explanation, "title", layer=1), explanation.end_s)
    assert len(frames) == N_FRAMES
    first, middle, last = frames[0], frames[N_FRAMES // 2], frames[-1]
    # Left of the cursor it is as at the end, right of it as at the beginning.
    left_of_axes = np.s_[:, :20]
    np.testing.assert_array_equal(first[left_of_axes], last[left_of_axes])
    differs = (middle != last).any(axis=(0, 2)).nonzero()[0]
    cursor = ((middle == (194, 24, 91)).all(axis=2)).any(axis=0).nonzero()[0]
    assert len(cursor) == 4  # two columns of panels, two pixels wide in each
    assert differs.min() == cursor.min()
    assert int(middle.sum()) > int(last.sum())  # paler
    assert int(first.sum()) > int(middle.sum())


def test_an_animation_on_disk(tmp_path):
    frames = [np.full((4, 6, 3), value, np.uint8) for value in (0, 120, 255)]
    path = tmp_path / "a.gif"
    save_animation(frames, 0.3, path)
    with Picture.open(path) as gif:
        assert (gif.size, gif.n_frames, gif.info["loop"]) == ((6, 4), 3, 0)
        assert gif.info["duration"] == 100
        gif.seek(2)
        assert gif.info["duration"] == 1_600
        assert np.asarray(gif.convert("RGB")).min() == 255
    with pytest.raises(ConfigError, match=r"ending in \.gif"):
        save_animation(frames, 0.3, tmp_path / "a.mp4")
    assert [path.name for path in tmp_path.iterdir()] == ["a.gif"]


def test_many_labels_are_drawn_and_six_named(explanation):
    labels = tuple(f"word {i}" for i in range(30))
    times_s = explanation.posterior_over_time.times_s
    values = np.random.default_rng(0).dirichlet(np.ones(30), size=len(times_s))
    many = dataclasses.replace(
        explanation,
        labels=labels,
        probabilities=values[-1],
        posterior_over_time=Curve(times_s, values),
    )
    axes = draw_explanation(many, "many", layer=1).axes[3]
    n_marks = many.decisive_s is not None
    assert len(axes.lines) == 30 + n_marks
    assert len(axes.get_legend().get_texts()) == 6
