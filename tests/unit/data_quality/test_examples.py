"""The examples in the docstrings of what the library offers for data sets run as they stand."""

import doctest
import shutil

import numpy as np
import pytest

from speechcls.data import layouts
from speechcls.data_quality import check
from speechcls.evaluation import score


@pytest.mark.parametrize("module", [layouts, check, score])
def test_the_example_runs(module, tmp_path, write_wav, rng):
    """On twelve clips of two words by three speakers, and in check on a copy of one of them."""
    folder = tmp_path / "data"
    for label in ("no", "yes"):
        for n in range(6):
            sound = np.hanning(8_000) * rng.standard_normal(8_000) * 0.2
            write_wav(folder / label / f"s{n % 3:02}_nohash_{n // 3}.wav", sound)
    if module is check:
        shutil.copy(folder / "no/s00_nohash_0.wav", folder / "no/s00_nohash_9.wav")
    result = doctest.testmod(module, extraglobs={"folder": folder})
    assert (result.failed, result.attempted > 0) == (0, True)
