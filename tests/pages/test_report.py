"""The report in a browser: whole at every size, readable, and on few sheets of paper."""

import re

import numpy as np
import pytest
from common_pages import count_sheets, fits, height_of, page_in, serious_findings
from common_report import random_predictions

from speechcls.report.page import save_report

WORDS = [f"word {i}" for i in range(100)]
CASES = {
    "ten labels": (WORDS[:10], 80, 8),
    "two labels": (WORDS[:2], 60, 5),
    "a hundred labels": (WORDS, 800, 40),
    "labels that are markup": (["<b>&", "$x$_{", "日本", "l" * 300], 60, 3),
}


@pytest.fixture(scope="module")
def report_of(tmp_path_factory):
    """A function that makes the report of a case, with sound, once; returns its address."""
    made = {}

    def make(case):
        if case not in made:
            labels, n_clips, n_speakers = CASES[case]
            predictions = random_predictions(labels, n_clips, n_speakers, seed=1)
            pcm = np.zeros(8_000, np.int16)
            sounds = dict.fromkeys(range(n_clips), pcm)
            folder = tmp_path_factory.mktemp("report") / "out"
            made[case] = save_report(predictions, sounds, folder).as_uri()
        return made[case]

    return make


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(("size", "scheme"), [("phone", "dark"), ("desktop", "light")])
def test_it_fits_and_is_accessible(case, size, scheme, browser, report_of):
    with page_in(browser, report_of(case), size, scheme) as page:
        assert fits(page)
        assert serious_findings(page) == []
        page.evaluate("for (const each of document.querySelectorAll('details')) each.open = true")
        assert fits(page)
        for box in page.locator(".choices input").all():
            box.check()
        assert fits(page)


def test_ten_labels_are_not_long_and_their_summary_is_one_screen(browser, report_of):
    with page_in(browser, report_of("ten labels")) as page:
        assert height_of(page) < 4_500
        top = page.locator("nav").bounding_box()
        assert top["y"] + top["height"] <= 800
        assert count_sheets(page) <= 6


def test_on_a_desktop_two_columns_fill_the_width(browser, report_of):
    with page_in(browser, report_of("ten labels")) as page:
        left, right = (card.bounding_box() for card in page.locator("header .card").all()[:2])
        assert left["y"] == right["y"]
        assert left["width"] == pytest.approx(right["width"])
        assert right["x"] + right["width"] > 1_240
    with page_in(browser, report_of("ten labels"), "phone") as page:
        left, right = (card.bounding_box() for card in page.locator("header .card").all()[:2])
        assert left["x"] == right["x"]
        assert right["width"] > 350


SIZE_OF_CELLS = """() => [...document.querySelectorAll('.matrix td[title]')].map(
  cell => [cell.offsetWidth, parseFloat(getComputedStyle(cell).fontSize), cell.scrollWidth])"""


@pytest.mark.parametrize("size", ["phone", "desktop"])
@pytest.mark.parametrize("case", ["two labels", "ten labels", "a hundred labels"])
def test_numbers_stand_in_the_matrix_where_they_fit(case, size, browser, report_of):
    with page_in(browser, report_of(case), size) as page:
        labels = page.locator(".matrix tbody th").first
        assert labels.evaluate("each => parseFloat(getComputedStyle(each).fontSize)") >= 8
        for width, font, inside in page.evaluate(SIZE_OF_CELLS):
            assert width >= 11
            assert (font >= 7) == (width > 16)  # legible, or none at all
            assert inside <= width
        page.get_by_label("larger cells").check()
        assert all(font >= 11 for _, font, _ in page.evaluate(SIZE_OF_CELLS))


def test_the_matrix_shows_percent_if_wanted(browser, report_of):
    with page_in(browser, report_of("ten labels")) as page:
        cell = page.locator(".matrix td[title]").first
        n_clips, n_all, percent = re.search(
            r"(\d+) of (\d+) clips, ([\d.]+) %", cell.get_attribute("title")
        ).groups()
        assert cell.inner_text() == n_clips
        assert float(percent) == pytest.approx(100 * int(n_clips) / int(n_all), abs=0.05)
        after = "each => getComputedStyle(each, '::after').content"
        assert cell.evaluate(after) == "none"
        page.get_by_label("percent").check()
        assert cell.evaluate(after) == f'"{float(percent):.0f}"'
        assert cell.evaluate("each => getComputedStyle(each).fontSize") == "0px"


def test_a_table_is_downloaded_from_beside_the_page(browser, report_of):
    with page_in(browser, report_of("ten labels"), accept_downloads=True) as page:
        with page.expect_download() as download:
            page.locator("a[download]").first.click()
        assert download.value.suggested_filename == "confused_pairs.csv"


def test_without_scripts_it_is_the_same(browser, report_of):
    with page_in(browser, report_of("ten labels"), java_script_enabled=False) as page:
        assert page.locator("script").count() == 0
        page.get_by_label("larger cells").check()
        page.locator("summary").first.click()
