"""The page of ``review`` in a browser: hear events, judge them, and take the verdicts home."""

import numpy as np
import pytest
from common_pages import fits, page_in, serious_findings

from speechcls.live.events import RIGHT, WRONG, EventFolder, SavedEvent, Verdict
from speechcls.live.review import read_verdicts
from speechcls.report.review_page import write_review_page

RATE = 16_000
LABELS = ("yes", "<b>no</b> &amp;", "w" * 120)


@pytest.fixture
def folder(tmp_path):
    """Three events of odd labels."""
    kept = EventFolder(tmp_path / "kept <i>events</i>")
    sound = np.random.default_rng(0).normal(0, 3_000, RATE // 2).astype(np.int16)
    for n, label in enumerate(LABELS):
        kept.add(
            SavedEvent("0.wav", "day.wav", None, n, n + 0.5, 0, 0.5, label, 0.5, "m", ""),
            sound,
            RATE,
        )
    return kept


@pytest.mark.parametrize(("size", "scheme"), [("phone", "light"), ("desktop", "dark")])
def test_it_fits_and_is_accessible(browser, folder, size, scheme):
    path, n_events = write_review_page(folder)
    assert n_events == 3
    with page_in(browser, path.as_uri(), size, scheme) as page:
        assert fits(page)
        assert serious_findings(page) == []
        titles = page.locator("h2").all_inner_texts()
        assert titles == [f"{n}. {label}" for n, label in enumerate(LABELS, start=1)]
        playing = "audio => audio.play().then(() => audio.duration)"
        assert page.locator("audio").first.evaluate(playing) == pytest.approx(0.5, abs=0.05)


def test_verdicts_are_given_by_keyboard_and_read_by_the_command(browser, folder, tmp_path):
    path, _ = write_review_page(folder)
    with page_in(browser, path.as_uri()) as page:
        count = page.get_by_role("status")
        assert count.inner_text() == "0 of 3 judged"
        events = page.get_by_role("listitem")
        events.nth(0).get_by_role("radio", name="right").focus()
        page.keyboard.press("Space")
        events.nth(2).get_by_role("combobox", name="said instead").focus()
        page.keyboard.type(" maybe ")  # which says that the label is wrong
        assert events.nth(2).get_by_role("radio", name="wrong").is_checked()
        assert count.inner_text() == "2 of 3 judged"
        with page.expect_download() as download:
            page.get_by_role("button", name="Export verdicts").click()
        assert download.value.suggested_filename == "verdicts.json"
        download.value.save_as(tmp_path / "verdicts.json")
    first, _, third = folder.events
    verdicts = read_verdicts(tmp_path / "verdicts.json", folder)
    assert verdicts == {first: Verdict(RIGHT), third: Verdict(WRONG, "maybe")}


def test_without_scripts_it_says_what_it_cannot_do(browser, folder):
    path, _ = write_review_page(folder)
    with page_in(browser, path.as_uri(), java_script_enabled=False) as page:
        assert "cannot export verdicts" in page.locator("noscript").inner_text()
        assert page.locator("audio").count() == 3
