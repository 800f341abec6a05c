"""Clips that are decoded from their shards in each epoch: the same data, read buffer by buffer."""

import os
from collections import Counter

import numpy as np
import pytest
import torch
from common import make_rejects
from common_training import CPU

from speechcls.config import FeatureConfig, ShardSettings, TrainConfig
from speechcls.data import clips as module
from speechcls.data.clips import StreamedWindows, read_example
from speechcls.data.corpus import load_corpus
from speechcls.errors import AudioError
from speechcls.files import CACHE_VARIABLE, cache_folder
from speechcls.layouts.load import load_dataset
from speechcls.shards.write import write_shards
from speechcls.training.batches import Batches

LABELS = ["a", "b", "c"]
SCRAMBLED_TOO = {"scramble_ratio": 0.5, "silence_ratio": 0.3, "batch_size": 8}


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """A cache folder of its own, so that what is kept there can be counted."""
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))


@pytest.fixture(params=["tar", "parquet"])
def shards(request, tmp_path, make_data):
    """A folder of several shards with 60 clips."""
    if request.param == "parquet":
        pytest.importorskip("pyarrow.parquet")
    data = load_dataset(make_data(tmp_path / "data", LABELS, 20, noise_s=2.0))
    settings = ShardSettings(request.param, shard_mb=0.1)
    assert len(write_shards(data, tmp_path / "shards", settings).shards) > 3
    return tmp_path / "shards"


def load(shards, unpacks=False, **settings):
    dataset = load_dataset(shards, unpacks=unpacks)
    return load_corpus(dataset, FeatureConfig(), rejects=make_rejects(), **settings)


def test_the_clips_are_those_of_the_unpacked_shards_and_nothing_is_kept(shards):
    streamed = load(shards)
    assert not (cache_folder() / "unpacked").exists()
    assert [path.stat().st_size for path in cache_folder().glob("*/samples.pcm")] == [0]
    plain = load(shards, unpacks=True)
    assert isinstance(streamed.windows, StreamedWindows)
    everything = np.arange(len(plain.windows))
    assert np.array_equal(streamed.windows[everything], plain.windows)
    for field in ("label_index", "split", "scales", "noise"):
        assert np.array_equal(getattr(streamed, field), getattr(plain, field)), field
    digests, same = ([row.digest for row in each.rows] for each in (streamed, plain))
    assert digests == same
    first = next(row.path for row in streamed.rows if row.split == "train")
    assert first in (
        "train-00000-of-00006.tar/000000-00000000.wav",
        "train-00000-of-00006.parquet/000000-s04_nohash_0.wav",
    )


def test_clips_are_known_until_their_shard_changes(shards, monkeypatch):
    load(shards)
    read = []

    def count(example, sample_rate):
        read.append(example)
        return read_example(example, sample_rate)

    monkeypatch.setattr("speechcls.data.packing.read_example", count)
    load(shards)
    assert not read
    changed = sorted(shards.iterdir())[0]
    os.utime(changed, ns=(0, 1))
    load(shards)
    assert read and {example.path.parent for example in read} == {changed}


def test_chunks_of_neighbours_from_everywhere_make_a_buffer(shards, monkeypatch):
    monkeypatch.setattr(module, "_CHUNK_CLIPS", 3)
    corpus = load(shards, buffer_clips=12)
    windows = corpus.windows
    buffers = windows.shuffle(seed=1)
    trained = np.flatnonzero(corpus.split[: corpus.n_own] == "train")
    number = buffers.number[trained]
    assert buffers.n_buffers == -(-len(trained) // 12)
    assert set(number) == set(range(buffers.n_buffers))
    assert max(Counter(number.tolist()).values()) <= 12 + 3 - 1
    together = np.mean(number[1:] == number[:-1])  # neighbours mostly are in one chunk
    assert together > 0.5
    labels = [{corpus.label_index[i] for i in trained[number == b]} for b in range(2)]
    assert all(len(each) > 1 for each in labels)
    assert np.array_equal(windows.shuffle(seed=1).number, buffers.number)
    assert not np.array_equal(windows.shuffle(seed=2).number[trained], number)


def test_what_is_loaded_needs_its_shard_no_more_and_the_rest_is_named(shards, monkeypatch):
    monkeypatch.setattr(module, "_CHUNK_CLIPS", 3)
    corpus = load(shards, buffer_clips=8)
    windows, trained = corpus.windows, np.flatnonzero(corpus.split[: corpus.n_own] == "train")
    buffers = windows.shuffle(seed=0)
    everything = windows[trained]
    windows.load(buffers, 1, 1)
    for shard in shards.iterdir():
        shard.rename(shard.with_suffix(".gone"))
    is_there = buffers.number[trained] == 1
    assert np.array_equal(windows[trained[is_there]], everything[is_there])
    gone = trained[~is_there & (buffers.number[trained] != 2)][:1]  # 2 was being read ahead
    name = corpus.rows[gone[0]].path
    with pytest.raises(AudioError, match=name):
        windows[gone]


def samples_of(batches, epoch=1):
    return [(samples.clone(), targets) for samples, targets in batches.training_samples(epoch)]


def test_one_buffer_makes_the_batches_of_unpacked_shards(shards):
    config = TrainConfig(seed=3, **SCRAMBLED_TOO)
    streamed = samples_of(Batches(load(shards), config, CPU), epoch=2)
    plain = samples_of(Batches(load(shards, unpacks=True), config, CPU), epoch=2)
    assert len(streamed) == len(plain) > 5
    for (samples, targets), (same_samples, same_targets) in zip(streamed, plain, strict=True):
        assert torch.equal(samples, same_samples) and torch.equal(targets, same_targets)


def test_several_buffers_hold_each_clip_once_in_their_order(shards, monkeypatch):
    monkeypatch.setattr(module, "_CHUNK_CLIPS", 3)
    corpus = load(shards, buffer_clips=12)
    config = TrainConfig(epoch_clips=1, **SCRAMBLED_TOO)
    batches = Batches(corpus, config, CPU)
    loaded = []
    load_buffers = StreamedWindows.load

    def note(self, buffers, first, last):
        loaded.append((first, last))
        load_buffers(self, buffers, first, last)

    monkeypatch.setattr(StreamedWindows, "load", note)
    made = samples_of(batches)
    assert loaded == sorted(loaded) and loaded[0][0] == 0 and loaded[-1][1] > 1
    assert all(last - first <= 1 for first, last in loaded)
    # One pass: each clip that trains is there, and the windows of what is unchanged are its own.
    drawn = [i for step in range(batches.n_steps) for i in batches.clips_of(1, step)]
    trained = np.flatnonzero((corpus.split == "train") & (corpus.repeats > 0)).tolist()
    assert set(trained) <= set(drawn)
    again = samples_of(Batches(corpus, config, CPU))
    assert all(torch.equal(a, b) for (a, _), (b, _) in zip(made, again, strict=True))
    # An epoch that is gone on with after three batches comes to the same.
    rest = Batches(corpus, config, CPU).clips_of(1, 3)
    assert rest == batches.clips_of(1, 3)
