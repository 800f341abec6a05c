"""``train --stream-shards``: what is decoded in each epoch trains the same model."""

import pytest


@pytest.fixture(scope="module")
def data(make_data_set, tmp_path_factory):
    return make_data_set(tmp_path_factory.mktemp("data") / "tones", ["low", "high"], 20)


@pytest.fixture(scope="module")
def shards(data, tmp_path_factory, call):
    out = tmp_path_factory.mktemp("shards") / "tones"
    done = call("pack", data, "--shards", "tar", "--shard-size", "0.1", "--out", out)
    assert done.code == 0, done.stderr
    return out


def test_the_weights_are_those_of_unpacked_shards(shards, tmp_path, train):
    for name, option in (("plain", ()), ("streamed", ("--stream-shards",))):
        done = train(shards, tmp_path / name, "--epochs", "2", *option)
        assert done.code == 0, done.stderr
    plain, streamed = ((tmp_path / n / "weights.safetensors") for n in ("plain", "streamed"))
    assert plain.read_bytes() == streamed.read_bytes()
    rows = (tmp_path / "streamed" / "split.csv").read_text().splitlines()[1:]
    assert all(row.startswith("train-000") for row in rows)


def test_a_folder_of_recordings_is_refused(data, tmp_path, train):
    done = train(data, tmp_path / "model", "--stream-shards")
    assert (done.code, done.stdout) == (2, "")
    assert done.stderr == (
        f"speechcls: error: --stream-shards: {data} is not in shards; make them first (see"
        " docs/SCALING.md)\n"
    )


def test_long_takes_are_not_taken_apart_in_shards(shards, tmp_path, train):
    done = train(shards, tmp_path / "model", "--stream-shards", "--segment")
    assert done.code == 2
    assert "--segment: recordings in shards are not taken apart; leave it out" in done.stderr


def test_a_recording_that_cannot_be_read_is_named(shards, tmp_path, train):
    first = sorted(shards.iterdir())[0]
    content = bytearray(first.read_bytes())
    content[512:516] = b"none"  # of the first recording: RIFF
    broken = tmp_path / "tones"
    broken.mkdir()
    for each in shards.iterdir():
        (broken / each.name).write_bytes(content if each == first else each.read_bytes())
    done = train(broken, tmp_path / "model", "--stream-shards", "--epochs", "1")
    assert done.code == 1
    assert f"{broken / first.name}/000000-00000000." in done.stderr
    assert done.stderr.count("Traceback") == 0
