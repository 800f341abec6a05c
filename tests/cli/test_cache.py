"""What training packs, as ``speechcls cache`` lists and removes it."""

import json
import shutil

import pytest


@pytest.fixture
def packed(tmp_path, monkeypatch, make_tones, train):
    """A folder of data that was trained on, with a cache of its own."""
    monkeypatch.setenv("SPEECHCLS_CACHE", str(tmp_path / "cache"))
    data = tmp_path / "tones"
    make_tones(data)
    assert train(data, tmp_path / "model", "--epochs", "1", "--arch", "gru").code == 0
    return data


def test_what_training_packed_is_listed(packed, call):
    listed = call("cache", "--json")
    [store] = [json.loads(line) for line in listed.stdout.splitlines()]
    n_clips = len(list(packed.rglob("*.wav")))
    assert (store["source"], store["clips"], store["sample_rate"]) == (str(packed), n_clips, 16_000)
    assert store["bytes"] > 2 * 1_000 * n_clips
    heading, line = call("cache", "list").stdout.splitlines()
    assert heading.split() == ["data", "Hz", "clips", "MB", "days", "since", "use"]
    assert line.split()[:3] == [str(packed), "16000", str(n_clips)]
    assert line.split()[-1] == "0.0"


def test_the_next_training_decodes_nothing(packed, train, tmp_path, monkeypatch):
    from speechcls.data import packing

    monkeypatch.setattr(packing, "read_example", None)
    again = train(packed, tmp_path / "again", "--epochs", "1", "--arch", "gru")
    assert again.code == 0, again.stderr
    first, second = ((tmp_path / name / "model.onnx").read_bytes() for name in ("model", "again"))
    assert first == second


def test_clearing_removes_what_is_named(packed, call, tmp_path):
    result = call("cache", "clear", str(tmp_path))
    assert result.code == 0
    assert "nothing in the cache" in result.stderr
    assert len(call("cache", "--json").stdout.splitlines()) == 1
    assert "1 stores removed" in call("cache", "clear", str(packed)).stderr
    assert call("cache", "--json").stdout == ""
    assert "is empty" in call("cache").stderr


def test_clearing_without_a_name_removes_all(packed, call, tmp_path, train):
    other = tmp_path / "other"
    shutil.copytree(packed, other)
    assert train(other, tmp_path / "second", "--epochs", "1", "--arch", "gru").code == 0
    assert len(call("cache", "--json").stdout.splitlines()) == 2
    assert "2 stores removed" in call("cache", "clear").stderr
    assert call("cache", "--json").stdout == ""


def test_a_damaged_store_ends_training_with_advice(packed, train, tmp_path):
    [index] = (tmp_path / "cache").glob("*/index.sqlite")
    index.write_bytes(b"nonsense" * 1_000)
    result = train(packed, tmp_path / "again", "--epochs", "1")
    assert result.code == 1
    [error] = result.errors
    assert str(index.parent) in error
    assert "clear the cache" in error


def test_an_unknown_action_names_those_there_are(call):
    result = call("cache", "empty")
    assert result.code == 2
    assert "list, clear" in result.stderr


def test_clear_removes_what_was_unpacked_from_other_files(call, own_cache, monkeypatch, tmp_path):
    monkeypatch.setenv("SPEECHCLS_CACHE", str(tmp_path))
    (tmp_path / "unpacked/clips-0a").mkdir(parents=True)
    (tmp_path / "unpacked/clips-0a/0-x.wav").write_bytes(bytes(2_000_000))
    result = call("cache", "clear")
    assert result.stderr == f"speechcls: 0 stores removed, 2.0 MB freed in {tmp_path}\n"
    assert not (tmp_path / "unpacked").exists()
