"""What the tests of pages share: one browser for all tests of a process."""

import pytest
from common_pages import launched


@pytest.fixture(scope="session")
def browser():
    """A headless Chromium; skips where none is installed."""
    with launched() as browser:
        yield browser
