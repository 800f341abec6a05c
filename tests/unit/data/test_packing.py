"""The clip store on disk: same samples as reading, every change noticed, no kill does harm."""

import contextlib
import errno
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys

import numpy as np
import pytest

from speechcls.audio.samples import to_pcm
from speechcls.data import packing
from speechcls.data.cache import INDEX, SAMPLES, find_stores, remove_store, store_path
from speechcls.data.clips import ClipStore, cut_windows, read_example
from speechcls.data.packing import open_store
from speechcls.errors import DatasetError
from speechcls.layouts.examples import Example
from speechcls.layouts.load import load_dataset

RATE = 16_000

PACK = """
import sys, time
from pathlib import Path
from speechcls.data import packing
from speechcls.layouts.load import load_dataset
packing._PART, packing._N_PARTS = 3, 1  # so that there are many moments to break off at
read = packing.read_example
packing.read_example = lambda *example: (time.sleep(0.01), read(*example))[1]
examples = load_dataset(Path(sys.argv[1])).examples
print("ready", flush=True)
store = packing.open_store(Path(sys.argv[1]), examples, 16_000, jobs=1)
print(len(store.digests))
"""


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """A cache folder for each test."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("SPEECHCLS_CACHE", str(folder))
    return folder


@pytest.fixture
def root(tmp_path, write_wav, rng):
    """Twelve clips of noise of different length, some at 8 kHz, in stereo or as FLAC."""
    for i in range(12):
        samples = rng.uniform(-1.1, 1.1, (900 + 40 * i, 1 + i % 2))
        name = tmp_path / "data" / ("yes" if i % 3 else "no") / f"{i}.{'flac' if i % 4 else 'wav'}"
        write_wav(name, samples.clip(-1, 1), rate=8_000 if i % 5 else RATE)
    return tmp_path / "data"


def pack(root, jobs=1, **options):
    return open_store(root, load_dataset(root).examples, RATE, jobs, **options)


def assert_is_what_reading_gives(store):
    for example, clip, digest in zip(store.examples, store.clips(), store.digests, strict=True):
        expected = read_example(example, RATE)
        assert clip.dtype == np.int16
        assert np.array_equal(clip, expected.pcm), example.path
        assert digest == expected.digest


def test_the_store_holds_what_reading_gives(root, decoded):
    store = pack(root)
    assert store.examples == load_dataset(root).examples
    assert (store.sample_rate, store.bad) == (RATE, [])
    assert len(decoded) == 12
    assert_is_what_reading_gives(store)
    again = pack(root)
    assert len(decoded) == 12  # nothing is decoded twice
    assert_is_what_reading_gives(again)
    assert again.examples == store.examples


def test_several_processes_pack_the_same(root, monkeypatch):
    one = pack(root)
    monkeypatch.setattr(packing, "_MIN_CLIPS_FOR_PROCESSES", 0)
    monkeypatch.setattr(packing, "_CLIPS_PER_TASK", 2)
    shutil.rmtree(store_path(root, RATE))
    two = pack(root, jobs=2)
    assert np.array_equal(one.samples, two.samples)
    assert (one.examples, one.digests) == (two.examples, two.digests)


def test_each_rate_and_each_folder_has_its_own_store(root, tmp_path):
    other = tmp_path / "elsewhere" / "data"
    shutil.copytree(root, other)
    places = {store_path(root, RATE), store_path(root, 8_000), store_path(other, RATE)}
    assert len(places) == 3
    assert {place.name.split("-")[0] for place in places} == {"data"}
    assert len(open_store(root, load_dataset(root).examples, 8_000, 1).samples) < len(
        pack(root).samples
    )


def test_only_what_has_changed_is_decoded_again(root, write_wav, decoded, rng):
    pack(root)
    decoded.clear()
    changed, added = root / "no" / "0.wav", root / "yes" / "new.wav"
    write_wav(changed, rng.uniform(-1, 1, 500))
    write_wav(added, rng.uniform(-1, 1, 600))
    (root / "yes" / "1.flac").unlink()
    store = pack(root)
    assert sorted(decoded) == ["0.wav", "new.wav"]
    assert len(store.examples) == 12
    assert_is_what_reading_gives(store)


def test_a_file_written_again_with_the_same_size_is_noticed(root, write_wav, decoded, rng):
    path = write_wav(root / "no" / "0.wav", rng.uniform(-1, 1, 500))
    pack(root)
    decoded.clear()
    size = path.stat().st_size
    write_wav(path, rng.uniform(-1, 1, 500))
    os.utime(path, ns=(0, 1_000))
    assert path.stat().st_size == size
    assert_is_what_reading_gives(pack(root))
    assert decoded == ["0.wav"]


def test_a_file_that_was_only_touched_takes_no_more_room(root, decoded):
    before = len(pack(root).samples)
    decoded.clear()
    os.utime(root / "no" / "0.wav", ns=(0, 1_000))
    assert len(pack(root).samples) == before
    assert decoded == ["0.wav"]
    pack(root)
    assert decoded == ["0.wav"]


def test_verify_notices_what_size_and_time_do_not_tell(root, write_wav, rng):
    path = write_wav(root / "no" / "0.wav", rng.uniform(-1, 1, 500))
    old = pack(root)
    stat = path.stat()
    write_wav(path, rng.uniform(-1, 1, 500))
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    at = [example.path for example in old.examples].index(path)
    assert pack(root).digests[at] == old.digests[at]
    checked = pack(root, verify=True)
    assert checked.digests[at] != old.digests[at]
    assert_is_what_reading_gives(checked)
    assert len(checked.samples) - len(old.samples) == 500  # and nothing else is stored again


def test_verify_mends_samples_that_the_disk_has_changed(root):
    pack(root)
    file = store_path(root, RATE) / SAMPLES
    content = bytearray(file.read_bytes())
    content[100] ^= 255
    file.write_bytes(content)
    assert_is_what_reading_gives(pack(root, verify=True))
    assert_is_what_reading_gives(pack(root))


def test_a_store_of_mostly_old_samples_is_made_afresh(root, write_wav, rng):
    size = len(pack(root).samples)
    for _ in range(4):
        for path in (root / "yes").iterdir():
            write_wav(path, rng.uniform(-1, 1, 2_000))
        store = pack(root)
        assert_is_what_reading_gives(store)
    live = int(store.lengths.sum())
    assert len(store.samples) <= 2 * max(live, size)


def test_clips_of_other_manifests_of_the_same_folder_stay(root, decoded):
    every = load_dataset(root).examples
    open_store(root, every[:6], RATE, 1)
    open_store(root, every[6:], RATE, 1)
    open_store(root, every[:6], RATE, 1)
    assert len(decoded) == 12


def test_parts_of_one_recording_are_clips_of_their_own(root):
    path = root / "no" / "0.wav"
    parts = [Example(path, "a", None, None, i / 100, (i + 1) / 100) for i in range(4)]
    store = open_store(root, [*parts, parts[0]], RATE, 1)
    assert store.lengths.tolist() == [160] * 5
    assert_is_what_reading_gives(store)


def test_what_exceeds_full_scale_is_stored_relative_to_its_peak(root, write_wav, rng, decoded):
    loud = rng.uniform(-2, 2, 700)
    path = write_wav(root / "no" / "0.wav", loud, subtype="FLOAT")
    for _ in range(2):
        store = pack(root)
        at = [example.path for example in store.examples].index(path)
        assert np.abs(store.read(at) - loud.astype(np.float32)).max() <= 1.01 / 32_768
        assert store.scales[at] == pytest.approx(np.abs(loud).max() * 32_768 / 32_767)
        assert store.scales.min() == 1
        # A file in which it is clipped has the same digest, so that each is a copy of the other.
        clipped = write_wav(root.parent / "clipped.wav", to_pcm(loud))
        assert store.digests[at] == read_example(Example(clipped, "no"), RATE).digest
        assert_is_what_reading_gives(store)
    assert decoded.count("0.wav") == 1


def test_a_change_above_full_scale_alone_is_stored(root, write_wav, rng):
    loud = rng.uniform(-2, 2, 700)
    loud[[0, 1]] = 3.0, 2.5
    path = write_wav(root / "no" / "0.wav", loud, subtype="FLOAT")
    pack(root)
    loud[1] = 1.5
    write_wav(path, loud, subtype="FLOAT")
    os.utime(path, ns=(0, 1_000))
    assert_is_what_reading_gives(pack(root))


def test_each_channel_is_a_clip_of_its_own(root, write_wav, rng):
    sound = rng.uniform(-1, 1, (900, 2))
    path = write_wav(root / "no" / "0.wav", sound)
    every = [Example(path, "no", channel=channel) for channel in (None, 1, 2)]
    for examples in (every, every[::-1], every[:1]):
        store = open_store(root, examples, RATE, 1)
        for i, example in enumerate(examples):
            channel = example.channel
            expected = sound[:, channel - 1] if channel else sound.mean(axis=1)
            assert np.abs(store.read(i) - expected).max() <= 2 / 32_768
    missing = open_store(root, [Example(path, "no", channel=3)], RATE, 1)
    assert missing.bad == [f"{path}: has no channel 3; name one of 1 to 2"]


def test_notes_are_kept_with_the_clips(root, monkeypatch):
    def read(example, sample_rate):
        clip = read_example(example, sample_rate)
        return clip._replace(notes=("too loud",)) if example.path.name == "0.wav" else clip

    monkeypatch.setattr(packing, "read_example", read)
    for _ in range(2):
        store = pack(root)
        notes = {e.path.name: own for e, own in zip(store.examples, store.notes, strict=True)}
        assert notes.pop("0.wav") == ("too loud",)
        assert set(notes.values()) == {()}


def test_bad_clips_are_listed_each_time_and_stored_never(root):
    (root / "no" / "0.wav").write_bytes(b"RIFF")
    calls = []
    for _ in range(2):
        store = pack(root, on_clip=lambda: calls.append(1))
        assert [line.split(":")[0] for line in store.bad] == [str(root / "no" / "0.wav")]
        assert len(store.examples) == len(store.digests) == 11
        assert_is_what_reading_gives(store)
    assert len(calls) == 24


def test_a_clip_that_has_become_bad_is_not_taken_from_the_store(root):
    pack(root)
    (root / "no" / "0.wav").write_bytes(b"RIFF")
    store = pack(root)
    assert len(store.bad) == 1
    assert root / "no" / "0.wav" not in [example.path for example in store.examples]


@pytest.mark.parametrize("damage", ["nonsense", "cut off", "no table", "lost", "short"])
def test_a_damaged_store_is_named_and_not_used(root, damage):
    pack(root)
    folder = store_path(root, RATE)
    index = folder / INDEX
    if damage == "short":
        os.truncate(folder / SAMPLES, 10)
    elif damage == "nonsense":
        index.write_bytes(b"nonsense" * 1_000)
    elif damage == "cut off":
        os.truncate(index, index.stat().st_size - 1)
    else:
        with contextlib.closing(sqlite3.connect(index)) as database, database:
            database.execute("drop table clips" if damage == "no table" else "delete from store")
    with pytest.raises(DatasetError, match=r"damaged .*clear the cache") as caught:
        pack(root)
    assert str(folder) in str(caught.value)
    shutil.rmtree(folder)
    assert_is_what_reading_gives(pack(root))


@pytest.mark.parametrize("version", [0, 2, 4])
def test_a_store_of_another_release_is_made_anew(root, version, decoded):
    pack(root)
    decoded.clear()
    with contextlib.closing(sqlite3.connect(store_path(root, RATE) / INDEX)) as database, database:
        database.execute("update clips set start = 0")
        database.execute(f"pragma user_version = {version}")
    assert_is_what_reading_gives(pack(root))
    assert len(decoded) == 12


def test_the_index_survives_a_kill_within_its_transaction(root, tmp_path):
    """SQLite puts back the pages that it kept in its journal."""
    pack(root)
    folder = store_path(root, RATE)
    with contextlib.closing(sqlite3.connect(folder / INDEX, isolation_level=None)) as database:
        database.execute("pragma cache_spill = 1")
        database.execute("pragma cache_size = 1")
        database.execute("begin immediate")
        blank = "printf('%.4000c', 'x')"
        for i in range(50):
            database.execute(
                f"insert into clips values (?, 0, 1, 0, 1, 1, 0, 1, 1, {blank}, '')", (f"{i}",)
            )
        crashed = tmp_path / "crashed"
        shutil.copytree(folder, crashed)
        database.execute("rollback")
    assert (crashed / f"{INDEX}-journal").stat().st_size > 0
    shutil.rmtree(folder)
    crashed.rename(folder)
    assert_is_what_reading_gives(pack(root))
    assert find_stores()[0].n_clips == 12


def test_a_clip_named_many_times_is_read_once(root, decoded, monkeypatch):
    monkeypatch.setattr(packing, "_CLIPS_PER_TASK", 2)
    monkeypatch.setattr(packing, "_TASKS_PER_COMMIT", 2)
    bad = root / "no" / "0.wav"
    bad.write_bytes(b"RIFF")
    examples = load_dataset(root).examples * 20
    calls = []
    store = open_store(root, examples, RATE, 1, on_clip=lambda: calls.append(1))
    assert len(decoded) == 12
    assert len(calls) == 240
    assert len(store.bad) == 20
    assert len(store.examples) == 220
    assert int(store.lengths.sum()) == 20 * len(store.samples)
    assert_is_what_reading_gives(store)


def test_a_full_disk_says_what_to_do_and_leaves_a_good_store(root, monkeypatch):
    def fail(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(packing.os, "fsync", fail)
        with pytest.raises(DatasetError, match=r"no space left on device.*free disk space, or set"):
            pack(root)
    assert_is_what_reading_gives(pack(root))


def test_a_disk_that_is_too_full_for_the_index_is_not_called_damaged(root, monkeypatch):
    pack(root)
    connect = sqlite3.connect

    def connect_to_full_disk(*arguments, **options):
        database = connect(*arguments, **options)
        database.execute("pragma max_page_count = 1")  # not below what there is
        return database

    for i in range(100):
        shutil.copy(root / "no" / "0.wav", root / "no" / f"{'long' * 40}{i}.wav")
    with monkeypatch.context() as patch:
        patch.setattr(sqlite3, "connect", connect_to_full_disk)
        with pytest.raises(DatasetError, match=r"disk is full; free disk space, or set"):
            pack(root)
    assert_is_what_reading_gives(pack(root))


def test_a_cache_folder_that_cannot_be_made(root, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("SPEECHCLS_CACHE", str(tmp_path / "file"))
    with pytest.raises(DatasetError, match=r"\$SPEECHCLS_CACHE"):
        pack(root)


def test_a_kill_at_any_moment_leaves_a_store_that_goes_on(tmp_path, write_wav, rng):
    root = tmp_path / "data"
    for i in range(150):
        write_wav(root / "yes" / f"{i}.wav", rng.uniform(-1, 1, 300))
    chance = random.Random(0)
    n_killed = 0
    for i in range(8):
        program = subprocess.Popen(
            [sys.executable, "-c", PACK, str(root)], stdout=subprocess.PIPE, text=True
        )
        assert program.stdout.readline() == "ready\n"
        try:
            program.wait(chance.uniform(0.0, 0.5))
        except subprocess.TimeoutExpired:
            program.send_signal(signal.SIGKILL)
        program.communicate()
        n_killed += program.returncode == -signal.SIGKILL
        some = load_dataset(root).examples[: 5 * i]
        assert_is_what_reading_gives(open_store(root, some, RATE, 1))
    assert n_killed >= 2
    store = pack(root)
    assert len(store.examples) == 150
    assert_is_what_reading_gives(store)


def test_two_packers_at_once_do_each_clip_once(tmp_path, write_wav, rng):
    root = tmp_path / "data"
    for i in range(150):
        write_wav(root / "yes" / f"{i}.wav", rng.uniform(-1, 1, 300))
    command = [sys.executable, "-c", PACK, str(root)]
    programs = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    assert [program.communicate()[0] for program in programs] == ["ready\n150\n"] * 3
    store = pack(root)
    assert len(store.samples) == 150 * 300
    assert_is_what_reading_gives(store)


def test_stores_are_listed_with_what_they_hold_and_removed(root, cache):
    assert find_stores() == []
    store = pack(root)
    (info,) = find_stores()
    assert (info.source, info.sample_rate, info.n_clips) == (str(root.resolve()), RATE, 12)
    assert info.n_bytes >= store.samples.nbytes
    remove_store(info)
    assert list(cache.iterdir()) == []
    assert_is_what_reading_gives(store)  # who has it open keeps it


def test_windows_by_hand():
    samples = np.array([7, 1, 2, 3, 0, 0, 9, 9, 0, 5], dtype=np.int16)
    starts, lengths = np.array([1, 3, 4, 9]), np.array([2, 1, 5, 1])
    first = ClipStore([], samples, starts, lengths, np.ones(4), [""] * 4, [()] * 4, RATE, [])
    second = ClipStore([], samples, np.array([0]), np.array([1]), np.ones(1), [""], [()], RATE, [])
    windows = cut_windows([first, second], 3)
    assert windows.dtype == np.int16
    assert windows.tolist() == [
        [1, 2, 0],
        [0, 3, 0],
        [0, 9, 9],  # the first of the two windows that hold both nines
        [0, 5, 0],
        [0, 7, 0],
    ]
    assert cut_windows([], 3).shape == (0, 3)
