"""Long takes are counted, taken apart where the pauses are, and do not make a window of 4 s."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from speechcls.audio.samples import Samples
from speechcls.config import FeatureConfig
from speechcls.data import segments
from speechcls.data.clips import read_clips, read_example, window_of
from speechcls.data.corpus import load_corpus
from speechcls.data.segments import choose_window_s, find_long_takes, find_utterances, segment
from speechcls.layouts.examples import Dataset, Example
from speechcls.layouts.load import load_dataset

RATE = 16_000


def window_s(store):
    """The window that suits the clips of a store."""
    return choose_window_s(store.lengths / store.sample_rate, store.read, store.sample_rate)


def speak(starts_s, total_s, duration_s=0.5, seed=0) -> Samples:
    """Bursts of noise in a quiet room, all as loud."""
    rng = np.random.default_rng(seed)
    sound = 1e-4 * rng.standard_normal(round(total_s * RATE))
    for start_s in starts_s:
        first, n = round(start_s * RATE), round(duration_s * RATE)
        sound[first : first + n] += rng.uniform(-0.2, 0.2, n)
    return sound.astype(np.float32)


def parts_of(dataset):
    return [(e.path.name, e.start_s, e.end_s) for e in dataset.examples]


# Utterances


def test_utterances_by_hand():
    """Each with 0.2 s around it, or half of the pause, within the recording."""
    found = find_utterances([speak([0.1, 1.5, 2.3, 5.4], 6.0)], RATE)
    expected = [(0.0, 0.8), (1.3, 2.15), (2.15, 3.0), (5.2, 6.0)]
    assert found == [pytest.approx(part, abs=0.021) for part in expected]
    assert [found[1][1], found[0][0], found[3][1]] == [found[2][0], 0.0, 6.0]


def test_the_size_of_the_blocks_does_not_matter():
    sound = speak([0.5, 2.0, 3.5], 5.0)
    whole = find_utterances([sound], RATE)
    assert len(whole) == 3
    for n_blocks in (2, 7, 50):
        assert find_utterances(np.array_split(sound, n_blocks), RATE) == whole


def test_there_may_be_no_utterance():
    assert find_utterances([], RATE) == []
    assert find_utterances([np.zeros(3 * RATE, np.float32)], RATE) == []


# In place


@pytest.fixture
def root(tmp_path, write_wav):
    """One take of three words, one of one word, a short clip, and one of nothing."""
    write_wav(tmp_path / "data/yes/many.wav", speak([0.5, 2.0, 3.5], 5.0))
    write_wav(tmp_path / "data/yes/one.wav", speak([1.0], 4.0, seed=1))
    write_wav(tmp_path / "data/no/short.wav", speak([0.1, 1.2], 2.4, seed=2))
    write_wav(tmp_path / "data/no/nothing.wav", np.zeros(5 * RATE, np.float32))
    return tmp_path / "data"


def test_a_long_take_becomes_a_clip_for_each_utterance(root):
    dataset, calls = load_dataset(root), []
    found = segment(dataset, on_clip=lambda: calls.append(1))
    assert len(calls) == 4
    (short, *many, one) = found.examples
    assert [e.path.name for e in (short, one)] == ["short.wav", "one.wav"]
    assert [(e.start_s, e.end_s) for e in (short, one)] == [(0.0, None)] * 2
    expected = [(0.3, 1.2), (1.8, 2.7), (3.3, 4.2)]
    assert [(e.start_s, e.end_s) for e in many] == [pytest.approx(p, abs=0.021) for p in expected]
    assert {(e.path.name, e.label) for e in many} == {("many.wav", "yes")}
    assert found.notes == [*dataset.notes, "1 recording taken apart into 3 clips"]
    assert found.problems == [
        f"{root}/no/nothing.wav: no utterance found in it; record it again, nearer and louder"
    ]
    assert parts_of(segment(dataset)) == parts_of(found)
    assert dataset.examples == load_dataset(root).examples  # which is not changed


def test_what_is_taken_apart_stays_so(root):
    once = segment(load_dataset(root))
    again = segment(once)
    assert parts_of(again) == parts_of(once)
    assert again.notes[-1] == "nothing to take apart: no recording over 2.5 s holds two utterances"


def test_a_part_of_a_recording_is_taken_apart_within_its_limits(root):
    example = Example(root / "yes/many.wav", "yes", "ann", "test", start_s=1.5, end_s=4.5)
    found = segment(Dataset(root, [example]))
    assert [(e.speaker, e.split) for e in found.examples] == [("ann", "test")] * 2
    expected = [(1.8, 2.7), (3.3, 4.2)]
    assert [(e.start_s, e.end_s) for e in found.examples] == [
        pytest.approx(part, abs=0.021) for part in expected
    ]


def test_each_channel_has_its_own_utterances(root, write_wav):
    sound = np.stack([speak([1.0, 3.0], 5.0), speak([0.5, 2.0, 4.0], 5.0, seed=3)], axis=1)
    path = write_wav(root / "yes/stereo.wav", sound)
    counts = [
        len(segment(Dataset(root, [Example(path, "yes", channel=channel)])).examples)
        for channel in (1, 2)
    ]
    assert counts == [2, 3]


def test_what_cannot_be_read_and_silence_are_left_alone(root, write_wav):
    (root / "no/broken.wav").write_bytes(b"RIFF")
    write_wav(root / "_silence_/room.wav", speak([0.5, 2.0, 3.5], 5.0))
    found = segment(load_dataset(root))
    kept = {(e.path.name, e.start_s, e.end_s) for e in found.examples}
    assert {("broken.wav", 0.0, None), ("room.wav", 0.0, None)} <= kept


def test_processes_find_the_same(root, monkeypatch):
    monkeypatch.setattr(segments, "_MIN_RECORDINGS_FOR_PROCESSES", 1)
    dataset = load_dataset(root)
    assert parts_of(segment(dataset, jobs=2)) == parts_of(segment(dataset))


def test_the_parts_are_what_is_trained_on(root, tmp_path, monkeypatch):
    monkeypatch.setenv("SPEECHCLS_CACHE", str(tmp_path / "cache"))
    found = segment(load_dataset(root))
    corpus = load_corpus(replace(found, problems=[]), FeatureConfig())
    expected = read_example(found.examples[2], RATE)
    [at] = [i for i, row in enumerate(corpus.rows) if row.start_s == found.examples[2].start_s]
    assert corpus.rows[at].digest == expected.digest


# Counted


def named(n):
    return [Example(Path(f"{i}.wav"), "yes") for i in range(n)]


def test_long_takes_by_hand():
    # A window of 1 s: 3 s and 5 s are more than two of them, and 6 of their 8 s are not in one.
    found = find_long_takes(named(5), np.array([1.0, 3.0, 2.0, 5.0, 0.5]), 1.0)
    assert (found.n_clips, found.longest_s, found.window_s) == (2, 5.0, 1.0)
    assert found.unused_ratio == 0.75
    assert (found.first, found.n_windows) == (Path("1.wav"), 5.0)


def test_clips_far_longer_than_the_median_are_long_in_a_long_window():
    durations_s = np.array([1.0] * 8 + [6.0, 6.0])
    found = find_long_takes(named(10), durations_s, 4.0)
    assert (found.n_clips, found.first, found.n_windows) == (2, Path("8.wav"), 1.5)
    assert found.unused_ratio == pytest.approx(1 / 3)
    assert find_long_takes(named(10), durations_s, 6.0) is None  # they fit


def test_there_may_be_no_long_take():
    assert find_long_takes(named(3), np.array([1.0, 1.9, 2.0]), 1.0) is None
    assert find_long_takes(named(3), np.array([5.0, 5.0, 5.0]), 4.0) is None
    assert find_long_takes([], np.array([]), 1.0) is None
    silence = [Example(Path("room.wav"), "_silence_"), *named(2)]
    assert find_long_takes(silence, np.array([60.0, 1.0, 1.0]), 1.0) is None


def test_a_corpus_tells_of_its_long_takes(root, tmp_path, write_wav, monkeypatch):
    monkeypatch.setenv("SPEECHCLS_CACHE", str(tmp_path / "cache"))
    for i in range(4, 12):
        for label in ("no", "yes"):
            write_wav(root / label / f"{i}.wav", speak([0.1], 0.8, seed=10 * i + len(label)))
    corpus = load_corpus(load_dataset(root), FeatureConfig(), duration_s=1.0)
    takes = corpus.long_takes
    assert (takes.n_clips, takes.longest_s, takes.window_s) == (4, 5.0, 1.0)
    assert takes.unused_ratio == pytest.approx(1 - 4 / (5 + 4 + 5 + 2.4))
    assert takes.first == root / "no/nothing.wav"
    (root / "no/nothing.wav").unlink()
    assert load_corpus(load_dataset(root), FeatureConfig(), duration_s=5.0).long_takes is None


# The window


def test_the_window_of_long_takes_is_that_of_their_utterances(tmp_path, write_wav):
    paths = [
        write_wav(tmp_path / f"{i}.wav", speak(np.arange(0.5, 9.5, 1.5), 10.0, seed=i))
        for i in range(4)
    ]
    store = read_clips([Example(path, "yes") for path in paths], RATE)
    assert window_of(store.lengths / RATE) == 4.0
    assert window_s(store) == 0.9  # 0.5 s and 0.2 s on both sides


def test_the_window_of_one_long_sound_is_as_long_as_it_may_be(tmp_path, write_wav):
    paths = [write_wav(tmp_path / f"{i}.wav", speak([1.0], 10.0, 4.5, i)) for i in range(4)]
    store = read_clips([Example(path, "rain") for path in paths], RATE)
    assert window_s(store) == window_of(store.lengths / RATE) == 4.0


def test_a_few_long_takes_do_not_change_the_window(tmp_path, write_wav):
    takes = [speak(np.arange(0.5, 9.5, 1.5), 10.0)] + [speak([0.2], 0.9, seed=i) for i in range(30)]
    paths = [write_wav(tmp_path / f"{i}.wav", take) for i, take in enumerate(takes)]
    store = read_clips([Example(path, "yes") for path in paths], RATE)
    assert window_s(store) == window_of(store.lengths / RATE) == 0.9
