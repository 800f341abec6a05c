"""The tests of pages notice what they are there to notice."""

import pytest
from common_pages import fits, page_in, serious_findings


def write(folder, body):
    path = folder / "page.html"
    head = '<!doctype html><html lang="en"><title>t</title><main><h1>t</h1>'
    path.write_text(f"{head}{body}</main></html>", encoding="utf-8")
    return path.as_uri()


def test_a_sound_page_passes(browser, tmp_path):
    with page_in(browser, write(tmp_path, "<p>words</p>"), "phone") as page:
        assert serious_findings(page) == []
        assert fits(page)


def test_what_is_wrong_with_a_page_is_found(browser, tmp_path):
    address = write(tmp_path, '<img src="data:,"><p style="width:2000px"><button></button>')
    with page_in(browser, address, "phone") as page:
        assert {finding.split(":")[0] for finding in serious_findings(page)} == {
            "button-name",
            "image-alt",
        }
        assert not fits(page)


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ("<script>throw Error('broken')</script>", "broken"),
        ("<script>console.error('no such clip')</script>", "no such clip"),
        ("<script>fetch('http://127.0.0.1:9/x').catch(() => 0)</script>", "asked outside"),
    ],
)
def test_a_fault_of_a_page_fails(browser, tmp_path, body, fault):
    with (
        pytest.raises(AssertionError, match=fault),
        page_in(browser, write(tmp_path, body)) as page,
    ):
        page.wait_for_timeout(100)
