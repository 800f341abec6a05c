"""The page of a comparison in a browser."""

import numpy as np
import pytest
from common_compare import make_comparison
from common_pages import count_sheets, fits, page_in, serious_findings

from speechcls.experiments.figures import draw_sizes
from speechcls.report.compare_page import write_compare_page

LONG = "models/of-a-long-name-without-any-blank-in-it-that-goes-on-and-on-and-on"
CASES = {
    "two models": (10, ["a", "b"]),
    "labels that are markup": (4, ["<b>&", LONG]),
    "eight models, a hundred labels": (100, [f"models/{i}" for i in range(8)]),
}


@pytest.fixture(scope="module")
def compare_of(tmp_path_factory):
    """A function that makes the page of a case once; returns its address."""
    made = {}

    def make(case):
        if case not in made:
            n_labels, names = CASES[case]
            folder = tmp_path_factory.mktemp("compare")
            rng = np.random.default_rng(0)
            truth = rng.integers(n_labels, size=100)
            rows = [np.where(rng.random(100) < 0.6 + 0.05 * k, truth, 0) for k in range(len(names))]
            labels = ["<i>&", *(f"word {i}" for i in range(1, n_labels))]
            made_up = make_comparison(folder, labels, truth.tolist(), rows, names)
            figures = {"Accuracy by size": draw_sizes(made_up[0], dict.fromkeys(names, 1_234))}
            made[case] = write_compare_page(*made_up, figures, folder / "out").as_uri()
        return made[case]

    return make


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(("size", "scheme"), [("phone", "dark"), ("desktop", "light")])
def test_it_fits_and_is_accessible(case, size, scheme, browser, compare_of):
    with page_in(browser, compare_of(case), size, scheme) as page:
        assert fits(page)
        assert serious_findings(page) == []
        page.evaluate("for (const each of document.querySelectorAll('details')) each.open = true")
        assert fits(page)


def test_a_clip_that_one_gets_wrong_can_be_heard(browser, compare_of):
    with page_in(browser, compare_of("two models")) as page:
        groups = page.locator(".differ h3").all_inner_texts()
        assert {group.split(" – ")[0] for group in groups} == {
            "Right: b; wrong: a",
            "Right: a; wrong: b",
        }
        duration_s = page.locator("audio").first.evaluate(
            "async each => { if (!(each.duration > 0)) await new Promise("
            "found => each.addEventListener('loadedmetadata', found)); return each.duration; }"
        )
        assert duration_s == pytest.approx(0.25)
        assert count_sheets(page) <= 6


def test_the_verdict_is_seen_without_scrolling(browser, compare_of):
    with page_in(browser, compare_of("two models")) as page:
        box = page.locator(".verdict").bounding_box()
        assert box["y"] + box["height"] < 300
