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


def test_data_that_cannot_be_loaded_leave_nothing_behind(tmp_path, call):
    result = call("tune", tmp_path / "none", "--out", tmp_path / "search")
    assert result.code == 1
    [error] = result.errors
    assert error.startswith(f"{tmp_path / 'none'}: ")
    assert not (tmp_path / "search").exists()
