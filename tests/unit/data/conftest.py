"""What the tests of packed clips share."""

import pytest

from speechcls.data import packing
from speechcls.data.clips import read_example


@pytest.fixture
def decoded(monkeypatch):
    """The names of the files that are decoded, as they are."""
    names = []

    def read(example, sample_rate):
        names.append(example.path.name)
        return read_example(example, sample_rate)

    monkeypatch.setattr(packing, "read_example", read)
    return names
