"""The page of units by habit in a browser: its numbers are torch's, and people can use it."""

from functools import cache, partial

import numpy as np
import pytest
from common_explain_page import shown_number
from common_habits import LABELS, SETTINGS, make_habits, torch_states, write_tones
from common_pages import fits, page_in, serious_findings

from speechcls.explain.habits import compare_states, run_clips
from speechcls.explain.page import write_habits
from speechcls.layouts.load import load_dataset

KINDS = [("rnn", "last"), ("lstmp", "last"), ("bilstm", "last"), ("att-bigru", "attention")]
KINDS += [("crnn", "stream")]


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    return cache(partial(make_habits, tmp_path_factory.mktemp("habits")))


def rows_of(page, name):
    """Label, value and file of each moment of a list."""
    return page.eval_on_selector_all(
        f"#{name} li",
        "rows => rows.map(row => ['label', 'number', 'file'].map("
        "part => row.querySelector('.' + part).textContent))",
    )


def choose(page, layer, unit):
    page.select_option("#layer", str(layer))
    page.click(f"#units tr[data-unit='{unit}'] button")


@pytest.mark.parametrize(("arch", "readout"), KINDS)
def test_the_states_of_each_unit_are_those_of_torch(browser, case, arch, readout):
    recogniser, run, path = case(arch, readout)
    states = torch_states(recogniser, run)
    ways = [way for layer, way in run.states if layer == 2]
    size = states.shape[2] // len(ways)
    names = {clip.name: i for i, clip in enumerate(run.clips)}
    with page_in(browser, path.as_uri()) as page:
        for part in range(len(ways)):
            for unit in range(0, size, 3):
                choose(page, len(ways) + part, unit)
                assert f"Unit {unit} of layer 2, {ways[part]}" == page.inner_text("#unit-title")
                for name, sign in (("highest", 1), ("lowest", -1)):
                    rows = rows_of(page, name)
                    assert len(rows) == SETTINGS.n_top
                    values = [sign * shown_number(value) for _, value, _ in rows]
                    assert values == sorted(values, reverse=True)
                    for (label, _, file), value in zip(rows, values, strict=True):
                        clip = names[file.split(" at ")[0]]
                        assert label == run.clips[clip].example.label
                        own = sign * states[clip, :, part * size + unit]
                        assert np.abs(own - value).min() <= 1e-4
                        at_s = shown_number(file.split(" at ")[1].split(" s")[0])
                        window = run.clips[clip].window
                        n_own = min(round(window.clip_duration_s * 16_000), 6_720)
                        begin_s = window.start_s - (6_720 - n_own) // 2 / 16_000
                        step = np.abs(run.step_times_s + begin_s - at_s).argmin()
                        near = own[max(0, step - 1) : step + 2]
                        assert np.abs(near - value).min() <= 1e-4


def test_similar_moments_are_those_of_the_model(browser, case):
    _, run, path = case("bilstm", "last")
    similar = compare_states(run, 1, SETTINGS)
    with page_in(browser, path.as_uri()) as page:
        page.select_option("#similar-layer", "1")
        page.select_option("#clip", "4")
        page.fill("#moment", "5")
        rows, whole = rows_of(page, "near"), rows_of(page, "whole")
        for j, (label, value, file) in enumerate(rows):
            clip = similar.clips[4, 5, j]
            assert file.startswith(f"{run.clips[clip].name} at ")
            assert label == run.clips[clip].example.label
            assert shown_number(value) == pytest.approx(similar.cosines[4, 5, j], abs=1e-4)
        found = [shown_number(value) for _, value, _ in whole]
        np.testing.assert_allclose(found, similar.whole_cosines[4], atol=1e-4)
        own = run.clips[4].example.label
        same = sum(run.clips[clip].example.label == own for clip in similar.whole[4])
        assert page.inner_text("#whole-said") == f"{same} of 2 are {own}, too."


def test_moments_are_played_in_a_row(browser, case):
    _, _, path = case("rnn", "last")
    with page_in(browser, path.as_uri()) as page:
        files = [row[2].split(" at ")[0] for row in rows_of(page, "highest")]
        page.evaluate(
            "window.said = []; window.marked = [];"
            "new MutationObserver(() => { const said = at('playing').textContent;"
            " if (said) { window.said.push(said);"
            "  window.marked.push([...at('highest').children].findIndex("
            "   row => row.getAttribute('aria-current') === 'true')); } })"
            ".observe(at('playing'), { childList: true })"
        )
        page.click("#highest-play")
        page.wait_for_selector("#stop:disabled", timeout=15_000)
        said, marked = page.evaluate("[window.said, window.marked]")
        assert [each.split(": ")[0] for each in said] == ["1 of 3", "2 of 3", "3 of 3"]
        assert [each.split(", ")[1] for each in said] == files
        assert marked == [0, 1, 2]
        assert page.evaluate("document.querySelectorAll('li[aria-current]').length") == 0
        page.click("#lowest-play")
        page.click("#stop")
        assert page.inner_text("#playing") == ""
        page.wait_for_timeout(700)
        assert page.inner_text("#playing") == ""  # nor does the next one follow


def test_what_is_played_is_the_sound_around_the_moment(browser, case):
    _, run, path = case("rnn", "last")
    with page_in(browser, path.as_uri()) as page:
        page.click("#highest button >> nth=0")  # makes the context of sounds
        for i, clip in enumerate(run.clips):
            n_own = min(round(clip.window.clip_duration_s * 16_000), 6_720)
            start = (6_720 - n_own) // 2
            own = clip.window.samples[start : start + n_own]
            sound = page.evaluate(f"Array.from(soundOf(data.clips[{i}]).getChannelData(0))")
            assert len(sound) == n_own
            # Eight bits of G.711: what they lose is about 38 dB below the sound.
            assert np.square(np.array(sound) - own).sum() < 1e-3 * np.square(own).sum()
            middle = len(run.step_times_s) // 2
            begin_s, end_s = page.evaluate(f"stretch({{ clip: {i}, step: {middle} }})")
            at_s = run.step_times_s[middle] - start / 16_000
            assert begin_s >= 0 and end_s <= n_own / 16_000 + 1e-9
            assert begin_s <= at_s <= end_s
            assert end_s - begin_s == pytest.approx(min(0.3, n_own / 16_000), abs=0.051)
            whole = page.evaluate(f"stretch({{ clip: {i}, step: {middle} }}, true)")
            assert whole == pytest.approx([0, n_own / 16_000])


@pytest.mark.parametrize("size", ["phone", "desktop"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_people_can_use_it(browser, case, size, scheme):
    _, _, path = case("bilstm", "last")
    with page_in(browser, path.as_uri(), size, scheme) as page:
        assert fits(page)
        assert serious_findings(page) == []
        page.click("#highest button:has-text('like it') >> nth=0")
        assert fits(page)


def test_units_are_reached_by_the_keyboard(browser, case):
    _, _, path = case("rnn", "last")
    with page_in(browser, path.as_uri()) as page:
        page.select_option("#order", "unit")
        page.focus("#units tr >> nth=0 >> button")
        page.keyboard.press("ArrowDown")
        assert page.inner_text("#unit-title") == "Unit 1 of layer 2, forward"
        pressed = page.eval_on_selector_all(
            "#units button", "all => all.map(each => each.getAttribute('aria-pressed'))"
        )
        assert pressed.index("true") == 1 and pressed.count("true") == 1
        page.keyboard.press("ArrowUp")
        assert page.inner_text("#unit-title") == "Unit 0 of layer 2, forward"
        assert page.locator("#means svg").count() == len(LABELS)


def test_a_unit_that_never_moves_is_said_to_respond_to_nothing(browser, tmp_path):
    def numb(recogniser):
        for name, weights in recogniser.network.recurrence.named_parameters():
            if name.endswith("l1"):
                weights[3] = 0.0

    _, _, path = make_habits(tmp_path, "rnn", "last", numb)
    with page_in(browser, path.as_uri()) as page:
        choose(page, 1, 3)
        assert page.inner_text("#unit-title").endswith("its state never changes")
        assert page.inner_text("#highest-said") == "Any clip is as good as another."
        cells = page.locator("#units tr[data-unit='3'] td").all_inner_texts()
        assert cells == ["never changes", "never changes"]


def test_a_clip_of_ones_own_comes_first(browser, tmp_path, case):
    _, run, _ = case("rnn", "last")
    dataset = load_dataset(write_tones(tmp_path / "data"))
    window = run.classifier.read_window(str(tmp_path / "data" / "yes" / "s00_nohash_0.wav"))
    asked = run_clips(run.classifier, dataset, SETTINGS, ("<b>mine</b>.wav", window))
    path = tmp_path / "asked.html"
    write_habits(asked, SETTINGS, "mine", path)
    with page_in(browser, path.as_uri()) as page:
        assert page.inner_text("h2 >> nth=0") == "Where else the state is like this"
        assert "your clip: <b>mine</b>.wav" in page.inner_text("#clip option:checked")
        assert "the model says" in page.inner_text("#near-said")
        assert page.locator("#near li").count() == SETTINGS.n_similar
