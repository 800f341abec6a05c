"""Fixtures that several unit tests share; plain functions are in ``common``."""

import pytest


@pytest.fixture
def root(tmp_path):
    """Where the data goes; not there yet."""
    return tmp_path / "data"
