"""Shards hold the clips, labels, speakers and splits of a data set, and are read as it is."""

import dataclasses
import json
import tarfile

import numpy as np
import pytest

from speechcls.config import ShardSettings
from speechcls.data.clips import read_clips
from speechcls.errors import ConfigError, DatasetError
from speechcls.layouts.load import load_dataset
from speechcls.shards.write import write_shards


@pytest.fixture(autouse=True)
def needs(request):
    if "parquet" in request.node.name:
        pytest.importorskip("pyarrow.parquet")


@pytest.fixture
def data(tmp_path, rng, write_wav):
    """A manifest with parts, channels, splits, speakers and noise."""
    long = rng.uniform(-0.5, 0.5, (48_000, 2)).astype(np.float32)
    write_wav(tmp_path / "long.wav", long, rate=48_000)
    write_wav(tmp_path / "one.flac", long[:8_000, 0], rate=16_000)
    write_wav(tmp_path / "hum.wav", long[:16_000, 1], rate=16_000)
    rows = [
        "path,label,speaker,split,start_s,end_s,channel",
        "long.wav,no,ann,train,0.1,0.4,1",
        "long.wav,yes,ann,train,0.5,0.75,2",
        "one.flac,yes,bob,test,,,",
        "hum.wav,_background_noise_,,,,,",
    ]
    path = tmp_path / "clips.csv"
    path.write_text("\n".join(rows))
    return load_dataset(path)


def facts(dataset):
    """What is known of each clip, with a hash of its samples at 16 kHz."""
    clips = read_clips(dataset.examples, 16_000)
    assert not clips.bad
    return sorted(
        (e.label, e.speaker, str(e.split), digest)
        for e, digest in zip(clips.examples, clips.digests, strict=True)
    )


@pytest.mark.parametrize("form", ["tar", "parquet"])
def test_what_was_packed_is_read(data, tmp_path, form):
    written = write_shards(data, tmp_path / "out", ShardSettings(form))
    assert (written.n_clips, written.bad) == (4, [])
    again = load_dataset(tmp_path / "out")
    assert facts(again) == facts(data)
    [noise], [own] = again.noise, data.noise
    assert noise.read_bytes() == own.read_bytes()


@pytest.mark.parametrize("form", ["tar", "parquet"])
def test_clips_without_a_split_stay_so_beside_others(data, tmp_path, form):
    data.examples[2] = dataclasses.replace(data.examples[2], split=None)
    write_shards(data, tmp_path / "out", ShardSettings(form))
    again = load_dataset(tmp_path / "out")
    assert facts(again) == facts(data)
    assert sorted(str(e.split) for e in again.examples) == ["None", "train", "train"]


@pytest.mark.parametrize("form", ["tar", "parquet"])
def test_shards_have_the_size_that_is_asked_for(form, tmp_path, make_data):
    data = load_dataset(make_data(tmp_path / "data", ["no", "yes"], 5))
    size = data.examples[0].path.stat().st_size
    written = write_shards(data, tmp_path / "out", ShardSettings(form, 3.5 * size / 1e6))
    assert written.shards == [f"train-0000{i}-of-00003.{form}" for i in range(3)]
    assert written.n_bytes == 10 * size
    assert facts(load_dataset(tmp_path / "out")) == facts(data)
    first = load_dataset(tmp_path / "out" / written.shards[0])
    assert len(first.examples) == 4  # the fourth makes it larger than three and a half
    contents = [e.path.read_bytes() for e in first.examples]
    assert len({*contents} & {e.path.read_bytes() for e in data.examples}) == 4
    assert {e.label for e in first.examples} == {"no", "yes"}  # as neighbours are of all labels
    write_shards(data, tmp_path / "again", ShardSettings(form, 3.5 * size / 1e6))
    for name in written.shards:
        assert facts(load_dataset(tmp_path / "again" / name)) == facts(
            load_dataset(tmp_path / "out" / name)
        )


def test_several_shards_by_braces(tmp_path, make_data):
    data = load_dataset(make_data(tmp_path / "data", ["no", "yes"], 5))
    size = data.examples[0].path.stat().st_size
    write_shards(data, tmp_path / "out", ShardSettings("tar", 1.5 * size / 1e6))
    named = load_dataset(tmp_path / "out/train-{00000..00002}-of-00005.tar")
    assert len(named.examples) == 6


def test_a_shard_of_the_hub_says_what_its_columns_are(data, tmp_path):
    pq = pytest.importorskip("pyarrow.parquet")
    write_shards(data, tmp_path / "out", ShardSettings("parquet"))
    schema = pq.read_schema(tmp_path / "out/train-00000-of-00001.parquet")
    features = json.loads(schema.metadata[b"huggingface"])["info"]["features"]
    assert features["audio"] == {"_type": "Audio"}
    names = ["_background_noise_", "no", "yes"]
    assert features["label"] == {"names": names, "_type": "ClassLabel"}
    assert str(schema.field("audio").type) == "struct<bytes: binary, path: string>"


def test_of_a_tar_that_is_cut_off_the_clips_before_the_cut_are_used(tmp_path, make_data):
    data = load_dataset(make_data(tmp_path / "data", ["no", "yes"], 5))
    write_shards(data, tmp_path / "out", ShardSettings("tar"))
    [path] = (tmp_path / "out").iterdir()
    with tarfile.open(path) as tar:
        place = tar.getmember("00000007.wav").offset_data
    path.write_bytes(path.read_bytes()[: place + 100])
    cut = load_dataset(path)
    assert len(cut.examples) == 7
    fact = f"{path}: cut off, and only the 14 files before the cut are used; copy it again"
    assert cut.problems == [fact]
    assert load_dataset(path).problems == [fact]  # unpacked before


def test_of_a_tar_that_ends_between_two_files_too(tmp_path, make_data):
    data = load_dataset(make_data(tmp_path / "data", ["no", "yes"], 5))
    write_shards(data, tmp_path / "out", ShardSettings("tar"))
    [path] = (tmp_path / "out").iterdir()
    with tarfile.open(path) as tar:
        place = tar.getmember("00000007.wav").offset
    path.write_bytes(path.read_bytes()[:place])
    cut = load_dataset(path)
    assert len(cut.examples) == 7 and "cut off" in cut.problems[0]


def test_labels_of_others_may_be_in_texts(tmp_path, make_data):
    [first, second] = load_dataset(make_data(tmp_path / "data", ["no", "yes"], 1)).examples
    path = tmp_path / "clips.tar"
    with tarfile.open(path, "w") as tar:
        for key, example in (("a.b/x.1", first), ("a.b/y.2", second)):
            (tmp_path / "label").write_text(example.label + "\n")
            tar.add(example.path, f"{key}.wav")
            tar.add(tmp_path / "label", f"{key}.cls")
    assert [e.label for e in load_dataset(path).examples] == ["no", "yes"]


def test_a_tar_without_labels_is_refused(tmp_path, make_data):
    [example] = load_dataset(make_data(tmp_path / "data", ["no"], 1)).examples
    with tarfile.open(tmp_path / "clips.tar", "w") as tar:
        tar.add(example.path, "no/x.wav")
    with pytest.raises(DatasetError, match="no recording in it has a label beside it"):
        load_dataset(tmp_path / "clips.tar")


def test_what_cannot_be_read_is_named_and_left_out(tmp_path, make_data):
    data = load_dataset(make_data(tmp_path / "data", ["no", "yes"], 2))
    gone = data.examples[0].path
    gone.unlink()
    written = write_shards(data, tmp_path / "out", ShardSettings("tar"))
    assert written.n_clips == 3
    assert written.bad == [f"{gone}: no such file or directory; check the path"]


def test_a_folder_that_holds_something_is_left_alone(data, tmp_path):
    with pytest.raises(ConfigError, match="is there already; name a new folder"):
        write_shards(data, tmp_path, ShardSettings("tar"))


@pytest.mark.parametrize("settings", [{"form": "zip"}, {"shard_mb": 0.0}])
def test_impossible_settings_are_refused(settings):
    with pytest.raises(ConfigError):
        ShardSettings(**settings)
