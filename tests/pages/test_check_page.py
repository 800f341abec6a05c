"""The page of ``check`` in a browser."""

import numpy as np
import pytest
import soundfile
from common_pages import count_sheets, fits, page_in, serious_findings

from speechcls.data_quality.check import check
from speechcls.data_quality.report import write_html
from speechcls.layouts.load import load_dataset


def write_data(folder, n_silent, labels=("high", "low")):
    """Clips of noise, some of them silent, one unreadable."""
    rng = np.random.default_rng(0)
    for label in labels:
        (folder / label).mkdir(parents=True)
        for n in range(12):
            clip = folder / label / f"s{n:02}_nohash_0.wav"
            soundfile.write(clip, 0.1 * rng.standard_normal(8_000), 16_000)
    for n in range(n_silent):
        clip = folder / labels[0] / f"s{n % 12:02}_nohash_{1 + n // 12}.wav"
        soundfile.write(clip, np.zeros(8_000), 16_000)
    (folder / labels[1] / "s03_nohash_<b>.wav").write_text("no")


CASES = {
    "unfit": (14, ("high", "low")),
    "odd labels": (1, ("<b>&amp;", "l" * 200)),
    "many findings": (80, ("high", "low")),
    "long names": (2, ("a" * 60, "b")),
}


@pytest.fixture(scope="module")
def check_of(tmp_path_factory):
    """A function that makes the page of a case once; returns its address."""
    made = {}

    def make(case):
        if case not in made:
            folder = tmp_path_factory.mktemp("check")
            write_data(folder / "data", *CASES[case])
            result = check(load_dataset(folder / "data"), None, 1, lambda: None)
            write_html(result, folder / "check.html", "data", 0.05)
            made[case] = (folder / "check.html").as_uri()
        return made[case]

    return make


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(("size", "scheme"), [("phone", "light"), ("desktop", "dark")])
def test_it_fits_and_is_accessible(case, size, scheme, browser, check_of):
    with page_in(browser, check_of(case), size, scheme) as page:
        assert fits(page)
        assert serious_findings(page) == []


def test_it_says_what_to_do_and_leads_to_each_finding(browser, check_of):
    with page_in(browser, check_of("unfit")) as page:
        assert page.locator(".headline").inner_text() == "Not suitable for training"
        commands = page.locator(".command").all_inner_texts()
        assert commands == ["speechcls check data --fix-list good.csv", "speechcls train good.csv"]
        for link in page.locator(".kinds a").all():
            assert page.locator(link.get_attribute("href")).count() == 1
        rows = page.locator(".kinds tbody tr").all_inner_texts()
        assert rows[0].split("\t")[:3] == ["unreadable", "1", "bad"]
        assert rows[1].split("\t")[:3] == ["silent", "14", "bad"]


def test_eighty_findings_are_printed_on_few_sheets(browser, check_of):
    with page_in(browser, check_of("many findings")) as page:
        assert count_sheets(page) <= 6
