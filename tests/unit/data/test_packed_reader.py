"""Clips that are packed are read from the store, to the same samples as from their files."""

import dataclasses
import os

import filelock
import numpy as np
import pytest

from speechcls.data.cache import INDEX, LOCK, SAMPLES, store_path
from speechcls.data.clips import read_example
from speechcls.data.packing import make_reader, open_store
from speechcls.layouts.load import load_dataset

RATE = 16_000


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    folder = tmp_path / "cache"
    monkeypatch.setenv("SPEECHCLS_CACHE", str(folder))
    return folder


@pytest.fixture
def examples(tmp_path, write_wav, rng):
    """Six clips of two words, some louder than full scale."""
    for i in range(6):
        name = tmp_path / "data" / f"word{i % 2}" / f"{i}.wav"
        write_wav(name, rng.uniform(-1.5, 1.5, 900 + 40 * i), rate=8_000, subtype="FLOAT")
    return load_dataset(tmp_path / "data").examples


def assert_read(root, examples):
    read = make_reader(root, RATE)
    for example in examples:
        clip, expected = read(example), read_example(example, RATE)
        np.testing.assert_array_equal(clip.pcm, expected.pcm)
        assert clip[1:] == expected[1:]


def test_without_a_store_files_are_read_and_none_is_made(tmp_path, cache, examples, decoded):
    assert_read(tmp_path / "data", examples)
    assert len(decoded) == 6 and not cache.exists()


def test_what_is_packed_is_not_decoded(tmp_path, examples, decoded, write_wav):
    root = tmp_path / "data"
    open_store(root, examples[:5], RATE, 1)
    decoded.clear()
    assert_read(root, examples)
    assert decoded == [examples[5].path.name]  # it is not packed

    decoded.clear()
    write_wav(examples[0].path, np.zeros(800), rate=8_000)
    channel = dataclasses.replace(examples[1], channel=1)
    louder = dataclasses.replace(examples[2], gain=0.5)
    assert_read(root, [examples[0], channel, louder, examples[3]])
    assert decoded == [e.path.name for e in (examples[0], channel, louder)]


def test_a_store_that_is_being_packed_or_damaged_is_left_alone(tmp_path, examples, decoded):
    root = tmp_path / "data"
    open_store(root, examples, RATE, 1)
    folder = store_path(root, RATE)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    decoded.clear()
    with filelock.FileLock(folder / LOCK):
        assert_read(root, examples)
    assert len(decoded) == 6

    other = bytearray(before[INDEX])
    other[63] = 2  # the last byte of user_version
    damaged = (
        (SAMPLES, before[SAMPLES][:-2]),
        (INDEX, bytes(other)),
        (INDEX, before[INDEX][:-1]),
        (INDEX, b"nonsense" * 100),
    )
    for name, content in damaged:
        decoded.clear()
        (folder / name).write_bytes(content)
        assert_read(root, examples)
        assert len(decoded) == 6 and (folder / name).read_bytes() == content
        (folder / name).write_bytes(before[name])
    os.utime(folder / INDEX)
    decoded.clear()
    assert_read(root, examples)
    assert decoded == []


def test_what_is_packed_after_the_reader_began_is_read_from_its_file(tmp_path, examples, decoded):
    root = tmp_path / "data"
    open_store(root, examples[:3], RATE, 1)
    read = make_reader(root, RATE)
    open_store(root, examples, RATE, 1)
    decoded.clear()
    for example in examples:
        np.testing.assert_array_equal(read(example).pcm, read_example(example, RATE).pcm)
    assert decoded == [example.path.name for example in examples[3:]]
