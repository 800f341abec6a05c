"""What ``speechcls tune`` refuses before it searches; the search is tested in tests/scale."""

import sys

import pytest


@pytest.fixture
def data(tmp_path, make_tones):
    return make_tones(tmp_path / "data", n_speakers=3)


def test_without_optuna_it_says_what_to_install(data, tmp_path, call, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    result = call("tune", data, "--out", tmp_path / "search")
    assert result.code == 2
    assert result.errors == ["optuna is not installed; run pip install 'speechcls[tune]'"]
    assert not (tmp_path / "search").exists()
