"""The page of ``explain`` in a browser: its arithmetic is the model's, and people can use it."""

import copy
import dataclasses

import numpy as np
import pytest
import torch
from common_explain_page import KINDS, make_case, shown_number, torch_answer
from common_pages import fits, page_in, serious_findings

from speechcls.explain.beside import draw_beside, memory_panel, to_dict, write_beside
from speechcls.explain.lookback import answer_gradient, gain_by_lag, memory_gains
from speechcls.explain.page import write_explanation
from speechcls.render.figures import new_figure

CLOSE = 1e-5
"""Torch computes features and front end in float32."""
PASS = """
current.layers.map(({ ways }) => Object.fromEntries(Object.entries(ways).map(([way, trace]) => [
  way, { hidden: plain(trace.hidden), gates: Object.fromEntries(
    Object.entries(trace.gates).map(([name, rows]) => [name, plain(rows)])) }])))
"""
PLAIN = "void (window.plain = rows => rows.map(row => Array.from(row)))"
CELL = "([place, step]) => { const { gates, h, before, equations } = arithmetic(place, step);"
CELL += " return { gates, h, before, values: equations.map(each => each.value) }; }"


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    """Return what ``make_case`` makes of an architecture and a readout, once each."""
    folder, made = tmp_path_factory.mktemp("explain"), {}

    def of(*kind):
        if kind not in made:
            made[kind] = make_case(folder, *kind)
        return made[kind]

    return of


@pytest.mark.parametrize("kind", KINDS, ids="-".join)
def test_every_number_of_the_page_is_the_models(browser, case, kind):
    classifier, explanation, path = case(*kind)
    with page_in(browser, path.as_uri()) as page:
        expected = classifier.probabilities(explanation.samples[None])[0]
        np.testing.assert_allclose(page.evaluate("current.probabilities"), expected, atol=1e-4)
        if explanation.attention is not None:
            attention = page.evaluate("current.attention")
            np.testing.assert_allclose(attention, explanation.attention, atol=CLOSE)
        page.evaluate(PLAIN)
        found = page.evaluate(PASS)
        for ours, theirs in zip(found, explanation.layers, strict=True):
            assert list(ours) == list(theirs)
            for way, trace in theirs.items():
                np.testing.assert_allclose(ours[way]["hidden"], trace.hidden[0], atol=CLOSE)
                assert ours[way]["gates"].keys() == trace.gates.keys()
                for name, values in trace.gates.items():
                    np.testing.assert_allclose(ours[way]["gates"][name], values[0], atol=CLOSE)
        # One unit at a time, as the page explains it.
        for layer, ways in enumerate(explanation.layers):
            for way, trace in ways.items():
                n_steps, n_units = next(iter(trace.gates.values()), trace.hidden)[0].shape
                for step, unit in ((0, 0), (n_steps // 2, n_units - 1), (n_steps - 1, 1)):
                    place = {"layer": layer, "way": way, "unit": unit}
                    one = page.evaluate(CELL, [place, step])
                    for name, values in trace.gates.items():
                        assert one["gates"][name] == pytest.approx(values[0, step, unit], abs=CLOSE)
                    if explanation.cell != "lstmp":  # whose h is a sum over all units
                        assert one["h"] == pytest.approx(trace.hidden[0, step, unit], abs=CLOSE)
                        assert one["values"][-1] == pytest.approx(one["h"])
                        before = step + 1 if way == "reverse" else step - 1
                        is_first = before in (-1, n_steps)
                        then = 0.0 if is_first else trace.hidden[0, before, unit]
                        assert one["before"]["h"] == pytest.approx(then, abs=CLOSE)


def gate_rows(explanation, gate):
    """Weights (n_units, ...) of a gate of the lowest layer, by the names of torch's GRU."""
    state = explanation.recogniser.network.recurrence.state_dict()
    place = {"reset": 0, "update": 1, "candidate": 2}[gate]
    return {
        name: np.split(state[f"{name}_l0"].double().numpy(), 3)[place]
        for name in ("weight_ih", "bias_ih", "weight_hh", "bias_hh")
    }


@pytest.mark.parametrize("gate", ["reset", "update", "candidate"])
def test_weights_times_values_of_a_gate(browser, case, gate):
    _, explanation, path = case("gru", "mean")
    trace, rows = explanation.layers[0]["forward"], gate_rows(explanation, gate)
    steps = explanation.recogniser.network.recurrence_inputs
    with torch.no_grad():
        inputs = steps(torch.from_numpy(explanation.features)[None])[0].numpy()
    unit, step = 3, 7
    scale = trace.gates["reset"][0, step, unit] if gate == "candidate" else 1.0
    expected = [
        *(rows["weight_ih"][unit] * inputs[step]),
        rows["bias_ih"][unit],
        *(rows["weight_hh"][unit] * trace.hidden[0, step - 1] * scale),
        rows["bias_hh"][unit] * scale,
    ]
    with page_in(browser, path.as_uri()) as page:
        place = {"layer": 0, "way": "forward", "unit": unit}
        terms = page.evaluate("args => products(...args)", [place, step, gate])
        found = [term["product"] for term in terms]
        order = np.argsort(-np.abs(expected), kind="stable")
        np.testing.assert_allclose(found, np.array(expected)[order], atol=CLOSE)
        squash = np.tanh if gate == "candidate" else lambda a: 1 / (1 + np.exp(-a))
        assert squash(sum(found)) == pytest.approx(trace.gates[gate][0, step, unit], abs=CLOSE)


def test_a_projected_state_is_the_sum_of_what_units_show(browser, case):
    _, explanation, path = case("lstmp", "last")
    with page_in(browser, path.as_uri()) as page:
        place = {"layer": 1, "way": "forward", "unit": 2}
        terms = page.evaluate("args => projection(...args)", [place, 5])
        total = sum(term["product"] for term in terms)
        assert total == pytest.approx(explanation.layers[1]["forward"].hidden[0, 5, 2], abs=CLOSE)
        # A row of the last panel, the state, is a projected one: chosen, it shows its own sum.
        page.locator("#inside canvas").nth(5).focus()
        page.keyboard.press("ArrowRight")
        assert "projected state" in page.locator("#where").text_content()
        row, step = page.evaluate("[chosen.row, chosen.step]")
        way, unit = page.evaluate(f"gatePanels().at(-1).units[{row}]")
        shown = shown_number(page.locator("#equations b").text_content())
        value = explanation.layers[1][way].hidden[0, step, unit]
        assert shown == pytest.approx(value, abs=1e-4)


def test_what_the_page_writes_is_what_the_cell_has(browser, case):
    _, explanation, path = case("bilstm", "last")
    with page_in(browser, path.as_uri(), "phone") as page:
        page.locator("#inside canvas").first.click(position={"x": 120, "y": 100})
        assert page.evaluate("at('sound').paused")  # a cell is chosen, not played
        for key in ("ArrowDown", "ArrowDown", "ArrowRight"):
            page.keyboard.press(key)
        row, step = page.evaluate("[chosen.row, chosen.step]")
        way, unit = page.evaluate(f"gatePanels()[0].units[{row}]")
        trace = explanation.layers[1][way]
        shown = [shown_number(text) for text in page.locator("#equations b").all_text_contents()]
        names = ("forget", "input", "candidate", "cell", "output")
        expected = [*(trace.gates[name][0, step, unit] for name in names)]
        expected.append(trace.hidden[0, step, unit])
        np.testing.assert_allclose(shown, expected, atol=1e-4)
        said = page.locator("#said").text_content()
        assert f"layer 2, {way}, unit {unit}: forget {expected[0]:.2f}" in said
        page.locator("#of-gate input[value=output]").check()
        total = shown_number(page.locator("#terms tr.sum").text_content())
        sigmoid = 1 / (1 + np.exp(-total))
        assert sigmoid == pytest.approx(expected[4], abs=1e-4)
        page.locator("#layer").select_option("1")
        assert page.locator("#where").text_content().startswith("Layer 1 of 2")


def test_every_matrix_is_listed_with_its_size(browser, case):
    _, explanation, path = case("bilstm", "last")
    network = explanation.recogniser.network
    with page_in(browser, path.as_uri()) as page:
        rows = page.evaluate("sizes()")
        shapes = {name: shape for name, shape, _ in rows}
        assert shapes["layer 1, forward: W_x, one a gate"] == "4 × (8 × 8)"
        assert shapes["layer 2, reverse: W_h, one a gate"] == "4 × (8 × 8)"
        assert shapes["layer 2, reverse: W_x, one a gate"] == "4 × (8 × 16)"
        assert shapes["output: weights"] == "4 × 16"
        # Batch norm's scale and shift have become part of the weights before it.
        folded = network.front_end.norm.weight.numel()
        n_weights = sum(p.numel() for p in network.parameters()) - folded
        assert sum(n for *_, n in rows) == n_weights


@pytest.mark.parametrize("size", ["phone", "desktop"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_people_can_use_the_page(browser, case, size, scheme):
    with page_in(browser, case("bilstm", "last")[2].as_uri(), size, scheme) as page:
        page.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true; })")
        assert serious_findings(page) == []
        assert fits(page)


def hold(recogniser, layer, way, gate, unit, is_open):
    """Hold a gate of a unit in torch: no weights, and a bias that saturates it."""
    state = recogniser.network.recurrence
    if gate == "update" and hasattr(state, "layers"):  # mingru
        linear = state.layers[layer].update
        linear.weight[unit], linear.bias[unit] = 0.0, 1e3 if is_open else -1e3
        return
    order = {"reset": 0, "update": 1} if isinstance(state, torch.nn.GRU) else {
        "input": 0, "forget": 1, "output": 3,
    }  # fmt: skip
    n_units = state.hidden_size
    suffix = f"_l{layer}" + ("_reverse" if way == "reverse" else "")
    row = order[gate] * n_units + unit
    for name in ("weight_ih", "weight_hh", "bias_hh"):
        getattr(state, name + suffix)[row] = 0.0
    getattr(state, "bias_ih" + suffix)[row] = 1e3 if is_open else -1e3


def silence(recogniser, layer, way, unit):
    """Make the state of a unit 0 in torch."""
    state = recogniser.network.recurrence
    suffix = f"_l{layer}" + ("_reverse" if way == "reverse" else "")
    if isinstance(state, torch.nn.LSTM):
        hold(recogniser, layer, way, "output", unit, is_open=False)
    elif isinstance(state, torch.nn.GRU):
        hold(recogniser, layer, way, "update", unit, is_open=False)
        for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
            getattr(state, name + suffix)[2 * state.hidden_size + unit] = 0.0
    elif isinstance(state, torch.nn.RNN):
        for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
            getattr(state, name + suffix)[unit] = 0.0
    elif hasattr(state.layers[layer], "candidate"):
        linear = state.layers[layer].candidate
        linear.weight[unit], linear.bias[unit] = 0.0, 0.0
    else:
        linear = state.layers[layer].from_input
        linear.weight[unit], linear.bias[unit] = 0.0, 0.0
        state.layers[layer].weight_hh[unit] = 0.0


HELD = {
    "lstm": ("forget", "input", "output"),
    "lstmp": ("forget", "input", "output"),
    "gru": ("reset", "update"),
    "mingru": ("update",),
}


@pytest.mark.parametrize("kind", KINDS, ids="-".join)
def test_a_changed_network_answers_as_it_does_in_torch(browser, case, kind):
    _, explanation, path = case(*kind)
    way = list(explanation.layers[1])[-1]  # the reverse direction where there is one
    features = explanation.features
    changes = [("silence", None, 0.0)]
    changes += [
        ("hold", gate, value) for gate in HELD.get(explanation.cell, ()) for value in (0, 1)
    ]
    with page_in(browser, path.as_uri()) as page:
        n_differ = 0
        for what, gate, value in changes:
            each = {"kind": what, "layer": 0, "way": way, "unit": 2, "gate": gate, "value": value}
            found = page.evaluate("each => { changes.length = 0; addChange({ ...each, text: '' });"
                                  " return current.probabilities; }", each)  # fmt: skip
            changed = copy.deepcopy(explanation.recogniser)
            with torch.no_grad():
                if what == "hold":
                    hold(changed, 0, way, gate, 2, is_open=bool(value))
                else:
                    silence(changed, 0, way, 2)
            np.testing.assert_allclose(found, torch_answer(changed, features), atol=1e-4)
            n_differ += np.abs(np.array(found) - explanation.probabilities).max() > 1e-3
        assert n_differ  # or else any network would do


@pytest.mark.parametrize(
    "kind", [("fastrnn", "attention"), ("crnn", "stream"), ("att-bigru", "attention")]
)
def test_cut_and_moved_sound(browser, case, kind):
    _, explanation, path = case(*kind)
    lowest = torch.full((1, 1, explanation.config.n_mels), explanation.config.power_floor)
    recogniser = explanation.recogniser
    silent = recogniser.features.from_energies(lowest, torch.ones(1, 1, 1))
    silent = recogniser.normalise(silent)[0, 0].numpy()
    with page_in(browser, path.as_uri()) as page:
        page.locator("#from").fill("0.1")
        page.locator("#to").fill("0.25")
        page.locator("#cut").click()
        cut = explanation.features.copy()
        cut[10:25] = silent
        found = page.evaluate("current.probabilities")
        np.testing.assert_allclose(found, torch_answer(recogniser, cut), atol=1e-4)
        assert np.abs(np.array(found) - explanation.probabilities).max() > 1e-3
        page.locator("#undo").click()
        page.locator("#by").fill("-0.05")
        page.locator("#shift").click()
        moved = explanation.features.copy()
        moved[10:25] = silent
        moved[5:20] = explanation.features[10:25]
        found = page.evaluate("current.probabilities")
        np.testing.assert_allclose(found, torch_answer(recogniser, moved), atol=1e-4)
        for row in page.locator("#answers tr").all():
            label, now = row.locator("th").text_content(), row.locator("td").nth(1).text_content()
            assert shown_number(now) == pytest.approx(
                found[explanation.labels.index(label)], abs=1e-4
            )
        page.locator("#changes button").click()  # undone, all is as it was
        found = page.evaluate("current.probabilities")
        np.testing.assert_allclose(found, explanation.probabilities, atol=1e-4)


def test_how_far_it_looks_back(browser, case):
    _, explanation, path = case("bilstm", "last")
    with page_in(browser, path.as_uri()) as page:
        page.evaluate("choose(0, 3)")
        way, _ = page.evaluate("gatePanels()[0].units[0]")
        gains = memory_gains(explanation, 2, way)
        [series] = page.evaluate("panels.find(each => each.isMemory).series")
        np.testing.assert_allclose(series, gains[3], atol=1e-6)
        gradient = page.evaluate("data.lookback.gradient.series[0]")
        expected = answer_gradient(explanation.recogniser, explanation.features)
        np.testing.assert_allclose(gradient, expected, atol=1e-4)
        half = int(np.argmax(gain_by_lag(gains, way) < 0.5))
        assert f"gone after {half} step" in page.locator("#memory-text").text_content()


@pytest.mark.parametrize(("size", "scheme"), [("phone", "light"), ("desktop", "dark")])
def test_several_networks_beside_each_other(browser, case, tmp_path, size, scheme):
    explanations = [case("bilstm", "last")[1], case("att-bigru", "attention")[1]]
    path = tmp_path / "beside.html"
    names = ["one", "other"]
    write_beside(explanations, names, "both", draw_beside(explanations, names), path)
    with page_in(browser, path.as_uri(), size, scheme) as page:
        assert serious_findings(page) == []
        assert fits(page)
        page.locator("#inside select").first.select_option("0")
        assert page.locator("#inside .layer-title").first.text_content().startswith("layer 1 of 2")
        n_moments = len(explanations[0].posterior_over_time.times_s)
        page.evaluate("move(data.end_s)")
        said = page.locator("#shown").text_content()
        for name, each in zip(["one", "other"], explanations, strict=True):
            values = each.posterior_over_time.values
            assert len(values) == n_moments
            best = values[-1].argmax()
            assert f"{name}: {each.labels[best]} {values[-1, best]:.2f}" in said
    with page_in(browser, path.as_uri(), size, scheme, java_script_enabled=False) as page:
        parting = to_dict(explanations, ["one", "other"])["parting"]
        assert f"a picture only. {parting}" in page.locator("noscript").inner_text()
        width = page.locator("img.still").evaluate("image => image.naturalWidth")
        assert width > 600


def test_the_memory_of_two_directions_is_their_mean(case):
    explanation = case("bilstm", "last")[1]
    panel = memory_panel([explanation], ["one"])
    lefts = [gain_by_lag(memory_gains(explanation, 2, way), way) for way in ("forward", "reverse")]
    step_s = float(np.diff(explanation.step_times_s[:2])[0])
    at_step_3 = np.interp(3 * step_s, panel.times_s, panel.values[:, 0])
    assert lefts[0][3] != pytest.approx(lefts[1][3], rel=0.01)
    assert at_step_3 == pytest.approx((lefts[0][3] + lefts[1][3]) / 2, abs=0.01)


def test_a_page_that_cannot_run_its_network_says_why(browser, case, tmp_path, monkeypatch):
    _, explanation, _ = case("bilstm", "last")
    path = tmp_path / "page.html"
    monkeypatch.setattr("speechcls.explain.in_page.N_WEIGHTS_MAX", 1_000)
    write_explanation(explanation, new_figure(1.0, 1.0), "large", 2, path)
    with page_in(browser, path.as_uri(), "phone") as page:
        said = page.locator("#arithmetic-inside").text_content()
        assert "Not on this page: the network has" in said
        assert "a page carries at most 1,000" in said
        assert page.locator("#what-if").count() == 0
        page.locator("#inside canvas").first.focus()
        page.keyboard.press("ArrowRight")  # gates are there all the same
        assert "layer 2, " in page.locator("#said").text_content()
        assert serious_findings(page) == []


def test_a_page_of_a_network_without_recurrent_layers(browser, case, tmp_path):
    _, explanation, _ = case("bilstm", "last")
    path = tmp_path / "page.html"
    bare = dataclasses.replace(explanation, layers=(), attention=None)
    write_explanation(bare, new_figure(1.0, 1.0), "bare", None, path)
    with page_in(browser, path.as_uri()) as page:
        assert page.locator("h2").all_text_contents() == [
            "Input and prediction",
            "How far it looks back",
        ]
        assert serious_findings(page) == []
