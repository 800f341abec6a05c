"""A real browser for the tests of pages: what it loads, its errors, what axe-core finds."""

import re
import shutil
from contextlib import contextmanager

import pytest

WIDTHS = {"phone": 390, "desktop": 1280}
"""Pixels. Pages are looked at in both."""
NAMES = ("chromium", "chromium-browser", "google-chrome")
# Nothing that a page did not ask for, and as root without the sandbox that root cannot have.
QUIET = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def find_chromium():
    """The path of an installed Chromium or Chrome, or None."""
    return next((path for path in map(shutil.which, NAMES) if path), None)


@contextmanager
def launched():
    """Yield a headless Chromium, the first of a process; skips where none is installed."""
    program = find_chromium()
    if program is None:
        pytest.skip(f"no browser to test pages in: none of {', '.join(NAMES)} is on the path")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=[*QUIET])
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def another(browser, *flags):
    """Yield one more browser in the same process, with ``flags`` of its own."""
    program = find_chromium()
    other = browser.browser_type.launch(executable_path=program, args=[*QUIET, *flags])
    try:
        yield other
    finally:
        other.close()


@contextmanager
def page_in(browser, address, size="desktop", scheme="light", **context):
    """Yield the page at ``address``; fails for errors of its scripts and requests outside it.

    ``size`` is one of ``WIDTHS``, ``scheme`` ``light`` or ``dark``; ``context`` is Playwright's.
    A page from a file may load ``file:``, ``data:`` and ``blob:``, one from a server its own too.
    """
    viewport = {"width": WIDTHS[size], "height": 844 if size == "phone" else 800}
    opened = browser.new_context(viewport=viewport, color_scheme=scheme, **context)
    own = ("file:", "data:", "blob:", "/".join(address.split("/")[:3]).replace("http", "ws"))
    own += ("/".join(address.split("/")[:3]),)
    faults = []
    page = opened.new_page()
    page.on("pageerror", lambda error: faults.append(f"error: {error}"))
    page.on("console", lambda said: said.type == "error" and faults.append(f"said: {said.text}"))
    page.on(
        "request",
        lambda sent: sent.url.startswith(own) or faults.append(f"asked outside: {sent.url}"),
    )
    page.goto(address)
    try:
        yield page
    finally:
        opened.close()
    assert not faults, faults


def serious_findings(page):
    """What axe-core finds of serious and critical on ``page``: a line each."""
    from axe_playwright_python.sync_playwright import Axe

    # A page from a file may not read its own style sheets again.
    found = Axe().run(page, options={"preload": False}).response["violations"]
    return [
        f"{finding['id']}: {finding['help']}: {node['html'][:120]}"
        for finding in found
        if finding["impact"] in ("serious", "critical")
        for node in finding["nodes"]
    ]


def fits(page):
    """Whether nothing of ``page`` is wider than its window."""
    return page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def height_of(page):
    """Pixels from the top of ``page`` to its end."""
    return page.evaluate("document.documentElement.scrollHeight")


def count_sheets(page):
    """Sheets of A4 that ``page`` is printed on."""
    return len(re.findall(rb"/Type\s*/Page\b", page.pdf(format="A4", prefer_css_page_size=True)))
