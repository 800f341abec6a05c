"""The manual in a browser: its pages work from a folder, without the network, on any screen."""

import subprocess
import sys
from pathlib import Path

import pytest
from common_pages import fits, page_in, serious_findings

ROOT = Path(__file__).parents[2]
PAGES = ("index", "paths/maker", "commands/train", "GLOSSARY", "REFERENCE")


@pytest.fixture(scope="session")
def manual(tmp_path_factory):
    """The folder of the manual, built as ``make docs`` does it: a broken link is an error."""
    pytest.importorskip("mkdocs", reason="pip install 'speechcls[docs]'")
    folder = tmp_path_factory.mktemp("manual")
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--quiet", "--site-dir", folder],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert built.returncode == 0, built.stderr
    return folder


@pytest.mark.parametrize(("size", "scheme"), [("desktop", "light"), ("phone", "dark")])
@pytest.mark.parametrize("name", PAGES)
def test_anybody_can_read_it_on_any_screen(browser, manual, name, size, scheme):
    with page_in(browser, (manual / f"{name}.html").as_uri(), size, scheme) as page:
        assert serious_findings(page) == []
        assert fits(page)


def test_the_search_finds_a_word_without_a_server(browser, manual):
    with page_in(browser, (manual / "index.html").as_uri()) as page:
        page.get_by_placeholder("Search").fill("refractory")
        page.locator(".md-search-result__item").first.wait_for()
        assert "refractory" in page.locator(".md-search-result").inner_text().lower()


def test_every_command_has_a_page_with_all_its_options(manual):
    help_all = [sys.executable, "-m", "speechcls", "train", "--help-all"]
    told = subprocess.run(help_all, capture_output=True, text=True, check=True).stdout
    options = {word for word in told.replace(",", " ").split() if word.startswith("--")}
    html = (manual / "commands" / "train.html").read_text(encoding="utf-8")
    assert len(options) > 40
    assert [option for option in sorted(options) if option.rstrip(".;:)") not in html] == []


def test_man_pages_are_ones_that_groff_takes(tmp_path):
    script = ROOT / "benchmarks" / "manpages.py"
    subprocess.run([sys.executable, script, tmp_path], check=True)
    pages = sorted((tmp_path / "man1").iterdir())
    assert {"speechcls.1", "speechcls-train.1"} <= {page.name for page in pages}
    for page in pages:
        text = page.read_text(encoding="utf-8")
        assert text.startswith('.TH "') and ".SH NAME" in text
