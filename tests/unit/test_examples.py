"""The examples in the docstrings of what the package offers run as they stand."""

import doctest
import importlib
import shutil

import numpy as np
import pytest

import speechcls

MODULES = sorted({getattr(speechcls, name).__module__ for name in dir(speechcls)})


@pytest.mark.parametrize("module", MODULES)
def test_the_examples_run(module, tmp_path, write_wav, rng):
    """On twelve clips of two words by three speakers, and in check on a copy of one of them."""
    folder = tmp_path / "data"
    for label in ("no", "yes"):
        for n in range(6):
            sound = np.hanning(8_000) * rng.standard_normal(8_000) * 0.2
            write_wav(folder / label / f"s{n % 3:02}_nohash_{n // 3}.wav", sound)
    if module == "speechcls.data_quality.check":
        shutil.copy(folder / "no/s00_nohash_0.wav", folder / "no/s00_nohash_9.wav")
    names = {"folder": folder, "place": tmp_path / "model"}
    result = doctest.testmod(importlib.import_module(module), extraglobs=names)
    assert (result.failed, result.attempted > 0) == (0, True)


@pytest.mark.parametrize("name", dir(speechcls))
def test_what_the_package_offers_has_an_example(name):
    assert ">>> " in getattr(speechcls, name).__doc__
