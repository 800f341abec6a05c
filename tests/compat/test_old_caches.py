"""Caches that an earlier speechcls packed: read as they are or packed anew, never misread."""

import contextlib
import importlib.util
import json
import os
import shutil
import sqlite3
from pathlib import Path

import numpy as np
import pytest
import soundfile

from speechcls.data.cache import find_stores, store_path
from speechcls.data.copies import read_fingerprints
from speechcls.data.packing import open_store
from speechcls.layouts.examples import Example

HERE = Path(__file__).parent
WRITTEN_NS = 1_600_000_000_000_000_000
INDEX = [json.loads(line) for line in (HERE / "cache-2/index.jsonl").read_text().splitlines()]

_spec = importlib.util.spec_from_file_location("signals", HERE / "signals.py")
signals = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(signals)
HIGH = signals.CLIPS["high"]
EXPECTED = signals.CLIPS | {"loud": HIGH / np.abs(HIGH).max() * 2.5}


@pytest.fixture
def data(tmp_path, monkeypatch):
    """The recordings of the caches, of their sizes and times, but none of them readable."""
    monkeypatch.setenv("SPEECHCLS_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "tones"
    (folder / "tone").mkdir(parents=True)
    for path, _, _, _, size, *_ in INDEX[1:]:
        recording = folder / "tone" / Path(path).name
        recording.write_bytes(bytes(size))
        os.utime(recording, ns=(WRITTEN_NS, WRITTEN_NS))
    return folder


def put_cache(name, data):
    """Put a cache where that of ``data`` is looked for; return its folder."""
    place = store_path(data, signals.RATE)
    shutil.copytree(HERE / name, place)
    if (index := place / "index.jsonl").exists():
        lines = index.read_text().replace('"/data/tones', json.dumps(str(data))[:-1])
        index.write_text(lines)
    else:
        with contextlib.closing(sqlite3.connect(place / "index.sqlite")) as database, database:
            replaced = "cast(replace(cast({} as text), '/data/tones', ?) as blob)"
            for column, table in (("path", "clips"), ("source", "store")):
                statement = f"update {table} set {column} = {replaced.format(column)}"
                database.execute(statement, (str(data),))
    return place


def open_all(data):
    examples = [Example(path, "tone") for path in sorted(data.glob("*/*.wav"))]
    return open_store(data, examples, signals.RATE, jobs=1)


def check_sound(store):
    assert [example.path.stem for example in store.examples] == sorted(EXPECTED)
    for i, name in enumerate(sorted(EXPECTED)):
        if name == "loud":
            assert store.scales[i] == pytest.approx(2.5, abs=1e-3)
            assert store.read(i) == pytest.approx(EXPECTED[name], abs=1e-4)
        else:
            assert np.array_equal(store.clip(i), EXPECTED[name])


def test_a_cache_of_this_format_is_read_without_the_recordings(data):
    place = put_cache("cache-3", data)
    before = {path.name: path.read_bytes() for path in place.iterdir()}
    store = open_all(data)
    assert store.bad == []
    check_sound(store)
    every = range(len(EXPECTED))
    prints = read_fingerprints(data, store, jobs=1).of(every)
    after = {path.name: path.read_bytes() for path in place.iterdir()}
    assert {name: after[name] for name in before} == before
    # What is kept is what is computed today; else clips would be compared by two measures.
    (place / "fingerprints.bin").unlink()
    assert np.abs(read_fingerprints(data, store, jobs=1).of(every) - prints).max() <= 1


@pytest.mark.parametrize("name", ["cache-1", "cache-2"])
def test_a_cache_of_an_older_format_is_packed_anew(data, name):
    place = put_cache(name, data)
    assert [store.source for store in find_stores()] == ["packed by an earlier release"]
    old = open_all(data)
    assert len(old.bad) == len(EXPECTED)  # nothing of it is taken, and these are not readable
    assert not (place / "index.jsonl").exists()
    for stem, samples in EXPECTED.items():
        kind = "FLOAT" if stem == "loud" else "PCM_16"
        soundfile.write(data / "tone" / f"{stem}.wav", samples, signals.RATE, kind)
    check_sound(open_all(data))
    assert [store.n_clips for store in find_stores()] == [len(EXPECTED)]
