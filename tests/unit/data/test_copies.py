"""Copies that are shifted, coded or louder are in one split; other takes of the word are not moved.

Where the hash puts speakers, per cent: s02 8.19 is validation; s00 11.98 is test; s05, s07, s03,
s06 and s04 are training.
"""

import numpy as np
import pytest
from common_takes import RATE, take, through

from speechcls.data import copies
from speechcls.data.cache import FINGERPRINTS, store_path
from speechcls.data.clips import ClipStore, as_clip
from speechcls.data.copies import SoundGroups, read_fingerprints, split_by_sound
from speechcls.data.fingerprint import fingerprint, similar_pairs
from speechcls.data.splits import assign_splits
from speechcls.layouts.examples import Example


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SPEECHCLS_CACHE", str(tmp_path / "cache"))
    store_path(tmp_path, RATE).mkdir(parents=True)


def store_of(sounds):
    """A store in memory of (label, speaker, samples)."""
    clips = [as_clip(samples) for _, _, samples in sounds]
    lengths = np.array([len(clip.pcm) for clip in clips])
    return ClipStore(
        [Example(f"{i}.wav", label, speaker) for i, (label, speaker, _) in enumerate(sounds)],
        np.concatenate([clip.pcm for clip in clips]),
        np.cumsum(lengths) - lengths,
        lengths,
        np.array([clip.scale for clip in clips], dtype=np.float32),
        [clip.digest for clip in clips],
        [()] * len(clips),
        RATE,
        [],
    )


def takes(speakers, first=0):
    """Each speaker says both words once."""
    pairs = [(label, speaker) for speaker in speakers for label in ("no", "yes")]
    return [(label, speaker, take(first + i)) for i, (label, speaker) in enumerate(pairs)]


def split(tmp_path, sounds):
    store = store_of(sounds)
    return split_by_sound(tmp_path, store, [example.label for example in store.examples])


def copies_of(samples):
    """What a shift, a format, a gain, and the other polarity make of it."""
    half = np.float32(0.5) * samples
    return [
        np.pad(samples, (700, 0)),
        np.pad(samples, (0, 3_000))[1_000:],
        through(half, "OGG", "VORBIS"),
        through(samples, "MP3", "MPEG_LAYER_III"),
        through(samples, "WAV", "ULAW", 8_000),
        np.float32(3.5) * samples,  # above full scale
        -half,
    ]


@pytest.mark.parametrize("how", range(7))
def test_a_copy_of_a_held_out_clip_takes_no_part(tmp_path, how):
    sounds = takes(["s00", "s02", "s03", "s04"])
    held_out = sounds[1][2]  # s00 tests
    sounds.append(("yes", "s05", copies_of(held_out)[how]))
    splits = split(tmp_path, sounds)
    assert splits.names == ["test"] * 2 + ["validation"] * 2 + ["train"] * 4 + ["unused"]
    assert splits.warnings == ["1 clip is left out: the same sound is in a held-out split"]


def test_however_many_copies_there_are(tmp_path):
    """A clip has more copies than are compared at once."""
    sounds = takes(["s00", "s02", "s03", "s04"])
    shifts = [np.pad(sounds[1][2], (100 * i, 0)) for i in range(1, 13)]
    sounds += [("yes", "s05", shifted) for shifted in shifts]
    splits = split(tmp_path, sounds)
    assert splits.names[8:] == ["unused"] * 12


def test_other_takes_stay_as_the_hash_has_them(tmp_path):
    sounds = takes(["s00", "s02", "s03", "s04", "s05", "s06"])
    store = store_of(sounds)
    labels = [example.label for example in store.examples]
    assert split(tmp_path, sounds) == assign_splits(store.examples, labels, store.digests)


def test_copies_within_a_split_all_stay(tmp_path):
    sounds = takes(["s00", "s02", "s03", "s04"])
    sounds += [("no", "s05", copy) for copy in copies_of(sounds[4][2])]  # s03 trains as well
    assert split(tmp_path, sounds).names[8:] == ["train"] * 7


def test_a_copy_under_another_word_is_for_check_to_find(tmp_path):
    sounds = takes(["s00", "s02", "s03", "s04"])
    sounds.append(("no", "s05", np.pad(sounds[1][2], (700, 0))))
    assert split(tmp_path, sounds).names[8:] == ["train"]


def test_without_speakers_copies_go_the_same_way(tmp_path):
    sounds = [
        (label, None, sound)
        for i in range(16)
        for label, seed in (("no", i), ("yes", 100 + i))
        for sound in [take(seed), *copies_of(take(seed))[:3]]
    ]
    names = split(tmp_path, sounds).names
    of_sound = [set(names[i : i + 4]) for i in range(0, len(names), 4)]
    assert all(len(own) == 1 for own in of_sound)
    assert set.union(*of_sound) == {"train", "validation", "test"}  # and none is left out


def test_fingerprints_are_computed_once(tmp_path, monkeypatch):
    store = store_of(takes(["s00", "s02"]))
    prints = read_fingerprints(tmp_path, store, 1).of(range(4))
    expected = [fingerprint(store.read(i), RATE) for i in range(4)]
    assert np.abs(prints.astype(float) - expected).max() < 1e-3
    monkeypatch.setattr(copies, "fingerprint", None)
    assert np.array_equal(
        read_fingerprints(tmp_path, store.choose([2, 0]), 1).of([0, 1]), prints[[2, 0]]
    )


def test_fingerprints_that_were_broken_off_are_computed_again(tmp_path):
    store = store_of(takes(["s00", "s02"]))
    whole = read_fingerprints(tmp_path, store, 1).of(range(4))
    path = store_path(tmp_path, RATE) / FINGERPRINTS
    for length in (0, 10, path.stat().st_size - 1):
        path.write_bytes(path.read_bytes()[:length])
        assert np.array_equal(read_fingerprints(tmp_path, store, 1).of(range(4)), whole)
        assert path.stat().st_size == 4 * 724


def test_processes_compute_the_same_fingerprints(tmp_path, monkeypatch):
    store = store_of(takes(["s00", "s02"]))
    one = read_fingerprints(tmp_path, store, 1).of(range(4))
    monkeypatch.setattr(copies, "_MIN_CLIPS_FOR_PROCESSES", 0)
    monkeypatch.setattr(copies, "_CLIPS_PER_TASK", 3)
    (store_path(tmp_path, RATE) / FINGERPRINTS).unlink()
    assert np.array_equal(read_fingerprints(tmp_path, store, 2).of(range(4)), one)


def test_sounds_are_joined_through_others():
    sounds = SoundGroups(range(6))
    sounds.join(4, 2)
    sounds.join(5, 1)
    sounds.join(2, 5)
    assert sounds.of_several() == [[1, 2, 4, 5]]
    assert [sounds.find(i) for i in range(6)] == [0, 1, 1, 3, 1, 1]


def test_pairs_of_two_sets_by_hand():
    rows = np.eye(4, dtype=np.float16)
    second = rows[[3, 0, 0]]
    found = [(pair.first, pair.second) for pair in similar_pairs(rows, second)]
    assert found == [(0, 1), (0, 2), (3, 0)]
    assert list(similar_pairs(rows, rows[:0])) == []
