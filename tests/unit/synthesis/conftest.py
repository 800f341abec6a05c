"""The synthesiser, for the tests of voices and of clips."""

import pytest

from speechcls.synthesis.espeak import EspeakSynthesiser


@pytest.fixture(scope="module")
def speaker():
    return EspeakSynthesiser()
