"""How a network learnt, on the page of ``explain``: each epoch's numbers are those of torch."""

import copy
import dataclasses
import itertools

import numpy as np
import pytest
import torch
from common_explain_page import shown_number, torch_answer
from common_explaining import make_lively, make_model, make_network, noise_and_tone
from common_pages import fits, page_in, serious_findings

from speechcls.config import FeatureConfig, NetworkConfig
from speechcls.explain.lookback import answer_gradient, memory_gains
from speechcls.explain.page import write_explanation
from speechcls.explain.trace import explain, occlude, reveal
from speechcls.networks.zoo import feature_kind
from speechcls.render.figures import new_figure

EPOCHS = (1, 5, 40)
KINDS = [
    ("rnn", "last"),
    ("gru", "mean"),
    ("bilstm", "last"),
    ("crnn", "stream"),
    ("att-bigru", "attention"),
]
CLOSE = 1e-4
TRACES = """
current.layers.map(({ ways }) => Object.fromEntries(Object.entries(ways).map(([way, trace]) => [
  way, trace.hidden.map(row => Array.from(row))])))
"""


def other_network(features, network, epoch):
    """A network as of an epoch, all weights and statistics of its own but those of the features."""
    made = make_network(features, network, lambda each: make_lively(each, seed=epoch), seed=epoch)
    model = make_network(features, network, make_lively)
    made.feature_mean.copy_(model.feature_mean)
    made.feature_std.copy_(model.feature_std)
    return made


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    """Return networks by epoch and the model's, all in torch, its explanation, and the page."""
    folder, made = tmp_path_factory.mktemp("learnt"), {}

    def of(arch, readout):
        if (arch, readout) in made:
            return made[arch, readout]
        running_s = 1.0 if readout == "stream" else 0.0
        features = FeatureConfig(kind=feature_kind(arch), duration_s=0.42, running_s=running_s)
        network = NetworkConfig(arch=arch, hidden_size=8, num_layers=2, readout=readout)
        snapshots = {epoch: other_network(features, network, epoch) for epoch in EPOCHS}
        classifier, model = make_model(
            folder / f"{arch}", features, network, make_lively, None, snapshots, {"best_epoch": 40}
        )
        classifier.temperature = 1.7
        samples = noise_and_tone(features.n_samples, np.random.default_rng(0))
        explanation = explain(classifier, samples, with_snapshots=True)
        page = folder / f"{arch}.html"
        write_explanation(explanation, new_figure(1.0, 1.0), arch, 2, page)
        made[arch, readout] = [*snapshots.values(), model], explanation, page
        return made[arch, readout]

    return of


def tempered(probabilities):
    """At the model's temperature, 1.7: by its definition, with logarithms."""
    powers = np.exp(np.log(probabilities.astype(np.float64)) / 1.7)
    return powers / powers.sum(axis=-1, keepdims=True)


def torch_windows(recogniser, windows):
    with torch.no_grad():
        logits = recogniser(torch.from_numpy(np.stack(windows)))
        return tempered(logits.softmax(dim=-1).numpy())


def torch_states(recogniser, features):
    """The outputs (n_steps, size) of the recurrence as torch computes them."""
    network = recogniser.network
    with torch.no_grad():
        steps = network.recurrence_inputs(torch.from_numpy(features)[None])
        return network.recurrence(steps)[0][0].numpy()


@pytest.mark.parametrize("kind", KINDS, ids="-".join)
def test_every_epoch_is_its_network(browser, case, kind):
    networks, explanation, path = case(*kind)
    config, samples = explanation.config, explanation.samples
    moments_s = explanation.occlusion.times_s
    labels = list(explanation.labels)
    answers = []
    with page_in(browser, path.as_uri()) as page:
        slider = page.locator("#epoch")
        slider.focus()
        page.keyboard.press("Home")
        for place, recogniser in enumerate(networks):
            if place:
                page.keyboard.press("ArrowRight")
            name = f"epoch {EPOCHS[place]}" if place < len(EPOCHS) else "the model"
            assert slider.get_attribute("aria-valuetext") == name
            expected = tempered(torch_answer(recogniser, explanation.features))
            answers.append(expected)
            np.testing.assert_allclose(page.evaluate("current.probabilities"), expected, atol=CLOSE)
            last = page.evaluate(TRACES)[-1]
            states = np.concatenate([np.array(rows) for rows in last.values()], axis=1)
            np.testing.assert_allclose(
                states, torch_states(recogniser, explanation.features), atol=CLOSE
            )
            # What the panels of the layer show is that, each unit in its row.
            rows, units = page.evaluate("[gatePanels().at(-1).rows, gatePanels().at(-1).units]")
            for row, (way, unit) in zip(rows, units, strict=True):
                np.testing.assert_allclose(row, np.array(last[way])[:, unit], atol=CLOSE)
            # Occlusion, and where the network answers once a clip its answers over time.
            likeliest = int(expected.argmax())
            silenced = [occlude(samples, each, config.sample_rate) for each in moments_s]
            lost = expected[likeliest] - torch_windows(recogniser, silenced)[:, likeliest]
            shown = page.evaluate("data.inputs.at(-1)")
            np.testing.assert_allclose(shown["series"][0], lost, atol=CLOSE)
            assert f"probability of {labels[likeliest]} lost" in shown["title"]
            assert page.evaluate("besideGradient.series[0]") == shown["series"][0]
            series = page.evaluate("answerPanels[0].series")
            order = [labels.index(each) for each in page.evaluate("answerPanels[0].names")]
            if not recogniser.network.is_streaming:
                revealed = [reveal(samples, each, config.sample_rate) for each in moments_s]
                over_time = torch_windows(recogniser, revealed)[:, order].T
                np.testing.assert_allclose(series, over_time, atol=CLOSE)
            else:
                rows = np.array(page.evaluate("current.rows"))
                np.testing.assert_allclose(series, rows[:, order].T, atol=CLOSE)
            gradient = answer_gradient(recogniser, explanation.features)
            np.testing.assert_allclose(page.evaluate("gradient.series[0]"), gradient, atol=CLOSE)
            verdict = page.locator("#verdict").text_content()
            assert f"Prediction: {labels[likeliest]} ({expected[likeliest]:.4f})" in verdict
            start = "Prediction" if name == "the model" else f"At the end of {name}"
            assert verdict.startswith(start)
        table = page.locator("#stages tr")
        best = int(answers[-1].argmax())
        for place, row in enumerate(table.all()):
            _, _, _, of_model = row.locator("th, td").all_text_contents()[:4]
            assert shown_number(of_model) == pytest.approx(answers[place][best], abs=CLOSE)
    assert max(np.abs(answers[-1] - each).max() for each in answers[:-1]) > 0.05


def test_memory_and_what_if_are_those_of_the_epoch(browser, case):
    networks, explanation, path = case("gru", "mean")
    with page_in(browser, path.as_uri()) as page:
        page.get_by_role("button", name="epoch 5").click()
        assert page.locator("#stages tr[aria-current=true]").count() == 1
        assert page.locator("#stages tr[aria-current=true] th").text_content() == "epoch 5"
        assert page.locator("#said").text_content().startswith("epoch 5; ")
        page.evaluate("choose(0, 3)")
        snapshot = explanation.snapshots[1]
        gains = memory_gains(snapshot, 2, "forward")
        [series] = page.evaluate("panels.find(each => each.isMemory).series")
        np.testing.assert_allclose(series, gains[3], atol=1e-6)
        # The update gate of unit 2 held open in torch: no weights, a bias that saturates it.
        place = {"layer": 0, "way": "forward", "unit": 2}
        held = place | {"kind": "hold", "gate": "update", "value": 1, "text": "held"}
        page.evaluate("each => addChange(each)", held)
        for place in (1, 0):  # a change stays from epoch to epoch
            page.evaluate("place => showStage(place)", place)
            changed = copy.deepcopy(networks[place])
            state = changed.network.recurrence
            with torch.no_grad():
                for name in ("weight_ih_l0", "weight_hh_l0", "bias_hh_l0"):
                    getattr(state, name)[8 + 2] = 0.0
                state.bias_ih_l0[8 + 2] = 1e3
            now = tempered(torch_answer(changed, explanation.features))
            before = tempered(torch_answer(networks[place], explanation.features))
            np.testing.assert_allclose(page.evaluate("current.probabilities"), now, atol=CLOSE)
            np.testing.assert_allclose(page.evaluate("original.probabilities"), before, atol=CLOSE)
            assert np.abs(now - before).max() > 1e-3
        page.locator("#undo").click()
        page.locator("#epoch").focus()
        page.keyboard.press("End")
        np.testing.assert_allclose(
            page.evaluate("current.probabilities"), explanation.probabilities, atol=CLOSE
        )


@pytest.mark.parametrize("size", ["phone", "desktop"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_people_can_use_the_slider(browser, case, size, scheme):
    path = case("bilstm", "last")[-1]
    with page_in(browser, path.as_uri(), size, scheme) as page:
        # It opens as the model, and says which epoch that is.
        assert page.evaluate("stage.is_model") is True
        assert "network at the end of epoch 40" in page.locator("#which").text_content()
        assert page.locator("#left-out").text_content() == ""
        ticks = page.locator("#ticks span")
        assert ticks.all_text_contents() == ["1", "5", "40", "model"]
        boxes = [tick.evaluate("each => { const range = document.createRange(); "
                               "range.selectNodeContents(each); const { left, right } = "
                               "range.getBoundingClientRect(); return [left, right]; }")
                 for tick in ticks.all()]  # fmt: skip
        assert all(right < left for (_, right), (left, _) in itertools.pairwise(boxes))
        page.evaluate("showStage(0)")
        assert page.locator("#ticks .chosen").text_content() == "1"
        assert serious_findings(page) == []
        assert fits(page)


def test_of_many_the_page_carries_some_and_says_which(browser, case, tmp_path, monkeypatch):
    _, explanation, _ = case("gru", "mean")
    n_weights = sum(each.numel() for each in explanation.recogniser.network.parameters())
    monkeypatch.setattr("speechcls.explain.in_page.N_SNAPSHOT_WEIGHTS_MAX", 2 * n_weights + 1)
    path = tmp_path / "page.html"
    write_explanation(explanation, new_figure(1.0, 1.0), "many", 2, path)
    with page_in(browser, path.as_uri(), "phone") as page:
        assert page.locator("#ticks span").all_text_contents() == ["1", "40", "model"]
        assert page.locator("#stages button").all_text_contents() == [
            "epoch 1", "epoch 40", "the model",
        ]  # fmt: skip
        assert page.locator("#stages tr").count() == 4
        said = page.locator("#left-out").text_content()
        assert said == (
            "Only in this table: epoch 5; a page carries at most"
            f" {2 * n_weights + 1:,} weights of snapshots."
        )
        page.get_by_role("button", name="epoch 40").click()
        assert page.evaluate("stage.epoch") == 40


def test_a_page_without_the_arithmetic_has_the_table_alone(browser, case, tmp_path, monkeypatch):
    _, explanation, _ = case("gru", "mean")
    monkeypatch.setattr("speechcls.explain.in_page.N_WEIGHTS_MAX", 1_000)
    path = tmp_path / "page.html"
    write_explanation(explanation, new_figure(1.0, 1.0), "large", 2, path)
    with page_in(browser, path.as_uri(), "phone") as page:
        assert not page.locator("#epoch").is_visible()
        assert page.locator("#stages tr").count() == 4
        assert page.locator("#stages button").count() == 0
        said = page.locator("#left-out").text_content()
        assert said.startswith("Only in this table: epoch 1, epoch 5, epoch 40; the network has")
        assert serious_findings(page) == []


def test_more_epochs_than_fit_are_not_named_below_the_slider(browser, case, tmp_path):
    _, explanation, _ = case("rnn", "last")
    many = [dataclasses.replace(explanation.snapshots[i % 3], epoch=2 * i + 1) for i in range(30)]
    path = tmp_path / "page.html"
    whole = dataclasses.replace(explanation, snapshots=tuple(many))
    write_explanation(whole, new_figure(1.0, 1.0), "many", 2, path)
    with page_in(browser, path.as_uri(), "phone") as page:
        page.evaluate("showStage(14)")
        visible = page.evaluate(
            "Array.from(at('ticks').children, each => getComputedStyle(each).visibility)"
        )
        assert visible.count("visible") == 1 and visible[14] == "visible"
        assert fits(page)
