"""A server that all tests of a file share."""

import io

import pytest
import soundfile
from common_serve import RATE, beeps, serving


@pytest.fixture(scope="module")
def server():
    """A server of two models, without a token."""
    with serving() as running:
        yield running
        assert running.logged == []


@pytest.fixture(scope="session")
def encoded():
    """``encoded("FLAC", seed=0, seconds=2.0)``: a recording in a format, as bytes."""

    def encode(format, seed=0, seconds=2.0, rate=RATE):
        file = io.BytesIO()
        soundfile.write(file, beeps(seed, seconds, rate), rate, format=format)
        return file.getvalue()

    return encode
