"""The page of ``serve`` in a browser with a microphone: from an empty folder to a known word."""

import shutil
import subprocess
import sys

import pytest
from common_pages import another, fits, page_in, serious_findings
from common_studio import studio, write_words
from playwright.sync_api import expect

from speechcls.artifact.store import load_artifact
from speechcls.runtime.detection import choose_thresholds

pytest.importorskip("espeakng_loader")

TOKEN = "a-token-of-the-tests"
N_SAID = 5
"""Clips of each word that the microphone says; the others are imported."""
SLOW_MS = 240_000
expect.set_options(timeout=30_000)  # other programs may have the processors


@pytest.fixture(scope="module")
def spoken(tmp_path_factory):
    """``spoken(word)``: recordings of a word by several voices."""
    folder = tmp_path_factory.mktemp("spoken") / "data"
    command = [sys.executable, "-m", "speechcls", "synth", "yes", "no", "--out", folder]
    subprocess.run([*map(str, command), "--per-word", "12", "-q"], check=True)
    return lambda word: sorted((folder / word).glob("*.wav"))


@pytest.fixture
def quick(monkeypatch):
    """Trainings of one epoch of the smallest model."""
    sections = {"training": {"epochs": 1, "from_model": "commands-tiny"}}
    monkeypatch.setattr("speechcls.studio.routes.settings_of", lambda length: sections)


def microphone(path):
    return (
        "--use-fake-device-for-media-stream",
        "--use-fake-ui-for-media-stream",
        f"--use-file-for-fake-audio-capture={path}",
    )


def ready(page):
    page.wait_for_selector("html[data-ready]")


def record_by_keyboard(page, word):
    """Name a word and record it without a mouse."""
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the step")).to_be_focused()
    page.get_by_label("New word").focus()
    page.keyboard.type(word)
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_have_text(f"Added {word}. Record it.")
    expect(page.get_by_label("New word")).to_be_focused()
    page.get_by_label("Takes in a row").focus()
    page.keyboard.press("Home")
    page.get_by_role("button", name=f"Record {word}").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Stop (Esc)")).to_be_focused()
    expect(page.locator("#recorder")).to_be_hidden(timeout=SLOW_MS)
    expect(page.get_by_role("status")).to_have_text(f"Kept 1 take of {word}.")
    expect(page.get_by_role("button", name=f"Record {word}")).to_be_focused()
    page.get_by_role("button", name=f"Retake {word}, me_nohash_0.wav").focus()
    page.keyboard.press("Enter")
    replaced = f"The new take of {word} replaces the old one. Undo brings it back."
    expect(page.get_by_role("status")).to_have_text(replaced, timeout=SLOW_MS)
    expect(page.get_by_role("button", name=f"Retake {word}, me_nohash_1.wav")).to_be_focused()
    expect(page.get_by_role("button", name=f"Play {word}, me_nohash_0.wav")).to_be_hidden()


def train_by_keyboard(page):
    page.get_by_role("link", name="3 Train").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Train a model")).to_be_focused()
    page.get_by_role("button", name="Train", exact=True).focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Stop, and keep the best so far")).to_be_focused()
    page.reload()  # it goes on without the page
    ready(page)
    expect(page.locator("#training-done")).to_be_visible()
    expect(page.locator("#curve svg")).to_be_visible(timeout=SLOW_MS)
    expect(page.get_by_role("link", name="Next: try it")).to_be_visible(timeout=SLOW_MS)
    expect(page.locator("#training-result")).to_contain_text("words-1 is trained: right in ")


def keep_by_keyboard(page):
    """Keep the thresholds in the model, of two words."""
    costs = page.locator("#thresholds .soft").all_inner_texts()
    page.get_by_role("button", name="Keep these thresholds").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_contain_text("Kept in words-1: ")
    status = page.get_by_role("status").inner_text()
    for cost in costs:  # "50 %: 12 false alarms an hour; finds 3 of 3"
        threshold, alarms = cost.split(";")[0].split(": ")
        assert f"from {threshold}, {alarms}" in status
    expect(page.get_by_role("button", name="Keep these thresholds")).to_be_focused()
    page.get_by_role("button", name="Thresholds as they were").click()
    assert page.locator("#thresholds .soft").all_inner_texts() == costs


def try_it(page, word):
    page.get_by_role("link", name="Next: try it").click()
    expect(page.get_by_label("Model", exact=True)).to_have_value("words-1")
    for slider in page.get_by_role("slider").all():
        assert "false alarms an hour" in slider.get_attribute("aria-valuetext")
    page.get_by_role("slider", name=word).fill("0.5")
    keep_by_keyboard(page)
    page.get_by_role("button", name="Listen").click()
    expect(page.locator("#log li").nth(1)).to_be_visible(timeout=SLOW_MS)
    said = page.locator("#log b").all_inner_texts()
    assert said.count(word) > len(said) / 2, said
    expect(page.locator("#bars .value").first).to_contain_text("%")
    with page.context.expect_page() as opened:
        page.get_by_role("button", name=f"Explain {word}").first.click()
    opened.value.wait_for_url("**/studio/page?key=*", timeout=SLOW_MS)
    assert "The last word" in opened.value.title()
    page.get_by_role("button", name="Stop listening").click()


def test_from_an_empty_folder_to_a_known_word(browser, spoken, quick, tmp_path):
    with studio(tmp_path / "words", names=("commands-tiny",)) as server:
        for word in ("yes", "no"):
            write_words(tmp_path / f"{word}.wav", spoken(word)[:N_SAID])
            allowed = {"permissions": ["microphone"]}
            with (
                another(browser, *microphone(tmp_path / f"{word}.wav")) as listening,
                page_in(listening, f"{server.url}/", **allowed) as page,
            ):
                ready(page)
                record_by_keyboard(page, word)
                files = [str(path) for path in spoken(word)[N_SAID:]]
                page.get_by_label(f"Import recordings of {word}").set_input_files(files)
                expect(page.get_by_role("status")).to_have_text(f"Imported 7 takes of {word}.")
                if word == "no":
                    train_by_keyboard(page)
                    try_it(page, word)
    assert len(list((tmp_path / "words" / "yes").glob("*.wav"))) == 8
    assert choose_thresholds(load_artifact(tmp_path / "models" / "words-1"))["no"] == 0.5
    assert server.logged == []


@pytest.fixture(scope="module")
def filled(spoken, tmp_path_factory):
    """A server with the page of a folder that has recordings, one of them silent."""
    import numpy as np
    import soundfile

    folder = tmp_path_factory.mktemp("filled") / "words"
    for word in ("yes", "no"):
        (folder / word).mkdir(parents=True)
        for path in spoken(word)[:6]:
            shutil.copy(path, folder / word)
    soundfile.write(folder / "no" / "me_nohash_0.wav", np.zeros(16_000), 16_000)
    with studio(folder) as server:
        yield server


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", ["phone", "desktop"])
def test_every_step_is_accessible_and_fits(browser, filled, size, scheme):
    with page_in(browser, f"{filled.url}/", size, scheme) as page:
        ready(page)
        for step in ("record", "check", "train", "try"):
            page.locator(f"nav a[href='#{step}']").click()
            expect(page.locator(f"#{step}")).to_be_visible()
            if step == "check":
                expect(page.locator("#checked table").last).to_be_visible(timeout=SLOW_MS)
            if step == "try":
                expect(page.locator("#bars li").first).to_be_visible()
            assert fits(page), step
            assert serious_findings(page) == [], step


def test_what_the_check_finds_is_deleted_and_brought_back(browser, filled):
    with page_in(browser, f"{filled.url}/#check") as page:
        ready(page)
        finding = page.locator("#checked tr", has_text="no audible sound")
        expect(finding).to_have_count(1, timeout=SLOW_MS)
        finding.get_by_role("button", name="Delete").click()
        expect(finding).to_have_count(0, timeout=SLOW_MS)
        expect(page.get_by_role("status")).to_contain_text("Checked 12 recordings")
        page.get_by_role("link", name="1 Record").click()
        page.get_by_role("button", name="Undo").click()
        expect(page.get_by_role("status")).to_have_text("Brought back no.")
        expect(page.get_by_role("button", name="Delete no, me_nohash_0.wav")).to_be_visible()


def test_thresholds_of_a_model_that_came_with_the_program_are_not_kept(browser, filled):
    with page_in(browser, f"{filled.url}/#try") as page:
        ready(page)
        expect(page.get_by_role("button", name="Keep these thresholds")).to_be_disabled()
        expect(page.locator("#keep-about")).to_have_text(
            "Moved thresholds hold in this page alone. They cannot be kept in commands-tiny: it"
            " comes with speechcls; train one of your own."
        )


def test_a_report_of_a_model_is_one_click_away(browser, filled):
    with page_in(browser, f"{filled.url}/#try") as page:
        ready(page)
        with page.context.expect_page() as opened:
            page.get_by_role("button", name="Report of this model").click()
        opened.value.wait_for_url("**/studio/page?key=*", timeout=SLOW_MS)
        expect(opened.value.get_by_role("heading", level=1)).to_be_visible()


@pytest.mark.parametrize(
    ("script", "text"),
    [
        ("navigator.mediaDevices.getUserMedia = undefined", "of https:// or of the machine itself"),
        (
            "navigator.mediaDevices.getUserMedia = async () => {"
            " throw new DOMException('no', 'NotAllowedError') }",
            "The microphone is not allowed. Allow it for this page",
        ),
        (
            "navigator.mediaDevices.getUserMedia = async () => {"
            " throw new DOMException('no', 'NotFoundError') }",
            "There is no microphone. Connect one",
        ),
    ],
)
def test_without_a_microphone_the_page_says_what_to_do(browser, filled, script, text):
    with page_in(browser, f"{filled.url}/") as page:
        page.add_init_script(script)
        page.reload()
        ready(page)
        page.get_by_role("button", name="Record yes").click()
        expect(page.get_by_role("alert")).to_contain_text(text)
        expect(page.get_by_role("button", name="Record yes")).to_be_focused()


def test_a_word_without_recordings_is_named_before_a_training(browser, filled):
    with page_in(browser, f"{filled.url}/") as page:
        ready(page)
        page.get_by_role("button", name="Add other words").click()
        expect(page.get_by_role("heading", name="other words")).to_be_visible()
        page.get_by_role("link", name="3 Train").click()
        page.get_by_role("button", name="Train", exact=True).click()
        expect(page.get_by_role("alert")).to_contain_text("There is no recording of other words")
        page.get_by_role("link", name="1 Record").click()
        page.get_by_role("button", name="Remove the word other words").click()
        expect(page.get_by_role("heading", name="other words")).to_have_count(0)


def test_too_few_words_are_said_before_a_training(browser, tmp_path):
    with (
        studio(tmp_path / "words") as server,
        page_in(browser, f"{server.url}/#train") as page,
    ):
        ready(page)
        page.get_by_role("button", name="Train", exact=True).click()
        expect(page.get_by_role("alert")).to_contain_text("there are recordings of 0")


def test_names_are_text_and_no_markup(browser, tmp_path):
    word = "<img src=x onerror=alert(1)>".replace("<", "").replace(">", "")
    (tmp_path / "words" / "yes").mkdir(parents=True)
    with (
        studio(tmp_path / "words") as server,
        page_in(browser, f"{server.url}/") as page,
    ):
        ready(page)
        page.on("dialog", lambda dialog: pytest.fail(dialog.message))
        page.get_by_label("New word").fill("'&amp; {{7+7}} " + word)
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", name="'&amp; {{7+7}} " + word)).to_be_visible()


def test_a_token_is_asked_for(browser, tmp_path):
    with studio(tmp_path / "words", token=TOKEN) as server:
        context = browser.new_context()
        page = context.new_page()  # whose console says that it was refused
        page.goto(f"{server.url}/")
        page.get_by_label("Token").fill("not-the-token-at-all")
        page.keyboard.press("Enter")
        expect(page.get_by_role("alert")).to_contain_text("That was not the token")
        page.get_by_label("Token").fill(TOKEN)
        page.keyboard.press("Enter")
        ready(page)
        page.get_by_label("New word").fill("yes")
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", name="yes")).to_be_visible()
        assert TOKEN not in page.url
        context.close()


def test_a_server_that_is_gone_is_waited_for(browser, tmp_path):
    with studio(tmp_path / "words") as server:
        context = browser.new_context()
        page = context.new_page()
        page.goto(f"{server.url}/")
        ready(page)
        port = server.port
    page.get_by_role("link", name="3 Train").click()
    expect(page.get_by_role("alert")).to_contain_text("Start speechcls serve again")
    with studio(tmp_path / "words", port=port):
        expect(page.get_by_role("status")).to_have_text("The server answers again.")
        expect(page.get_by_role("alert")).to_be_empty()
    context.close()
