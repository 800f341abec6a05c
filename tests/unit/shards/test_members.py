"""Recordings are read where they lie in a shard, and what is not there is named."""

from pathlib import Path

import numpy as np
import pytest

from speechcls.config import ShardSettings
from speechcls.errors import AudioError
from speechcls.layouts.load import load_dataset
from speechcls.shards import write as module
from speechcls.shards.members import read_member, read_members
from speechcls.shards.write import write_shards
from speechcls.storage.unpacked import is_member


@pytest.fixture(params=["tar", "parquet"])
def shard(request, tmp_path, rng, write_wav, monkeypatch):
    """A shard of nine recordings beside their folder; row groups of four."""
    if request.param == "parquet":
        pytest.importorskip("pyarrow.parquet")
    monkeypatch.setattr(module, "_ROW_GROUP", 4)
    for i in range(9):
        samples = rng.uniform(-0.5, 0.5, 800 + i).astype(np.float32)
        write_wav(tmp_path / "data" / "yes" / f"{i}.wav", samples)
    write_shards(load_dataset(tmp_path / "data"), tmp_path / "out", ShardSettings(request.param))
    [shard] = (tmp_path / "out").iterdir()
    return shard


def paths_in(shard):
    return [example.path for example in load_dataset(shard, unpacks=False).examples]


def test_each_has_the_bytes_that_were_packed(shard):
    paths = paths_in(shard)
    packed = {(shard.parents[1] / "data/yes" / f"{i}.wav").read_bytes() for i in range(9)}
    assert all(map(is_member, paths))
    expected = [read_member(path) for path in paths]
    assert {*expected} == packed and len(packed) == 9
    mixed = [paths[i] for i in (8, 0, 5, 5)]
    found = dict(read_members(mixed))
    assert [found[i] for i in range(4)] == [expected[i] for i in (8, 0, 5, 5)]


def test_a_row_that_is_not_there_is_named_and_the_others_are_read(shard):
    paths = paths_in(shard)
    absent = Path(shard, "000009-x.wav")
    found = dict(read_members([absent, paths[2]]))
    assert isinstance(found[1], bytes)
    assert str(found[0]) == f"{absent}: the shard has no recording there; make it anew"
    with pytest.raises(AudioError, match="the shard has no recording there"):
        read_member(absent)


def test_a_shard_that_is_cut_off_is_named(shard):
    paths, content = paths_in(shard), shard.read_bytes()
    shard.write_bytes(content[: len(content) // 2])
    found = dict(read_members(paths))
    if shard.suffix == ".tar":  # the first ones are there
        assert isinstance(found[0], bytes)
        assert "no recording there" in str(found[8])
    else:
        assert "not readable Parquet" in str(found[0])
        assert str(found[8]).startswith(f"{paths[8]}: ")
    shard.unlink()
    assert str(dict(read_members(paths))[3]) == (
        f"{paths[3]}: no such file or directory; copy the shard again"
    )
