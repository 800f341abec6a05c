"""Background noise of a data set: held out by time, trained on elsewhere."""

from collections import Counter
from functools import partial

import numpy as np
import pytest
from common import labels_of, load, refusal

from speechcls.errors import DatasetError
from speechcls.labels import mean_command_count

message_of = partial(refusal, DatasetError, load)
RATE = 16_000


# Silence


@pytest.fixture
def stepped_noise(write_wav):
    """``stepped_noise(path, n)``: level 1000 in the first 80 % of n samples, then 2000, 4000."""

    def make(path, n):
        places = np.arange(n) / n
        levels = np.where(places < 0.8, 1_000, np.where(places < 0.9, 2_000, 4_000))
        return write_wav(path, levels.astype(np.int16))

    return make


def test_held_out_silence_is_as_frequent_as_a_command(root, make_data):
    make_data(root, ["yes", "no"], n=24, noise_s=20.0)  # s00 .. s07 three times
    corpus = load(root)
    assert corpus.labels == ("no", "yes", "_silence_")
    counts = Counter(zip(labels_of(corpus), corpus.split.tolist(), strict=True))
    assert counts == {
        ("no", "train"): 15,
        ("yes", "train"): 15,
        ("no", "validation"): 3,
        ("yes", "validation"): 3,
        ("_silence_", "validation"): 3,
        ("no", "test"): 6,
        ("yes", "test"): 6,
        ("_silence_", "test"): 6,
    }


def test_unknown_words_do_not_count_as_a_command(root, make_data):
    make_data(root, ["yes", "no", "a", "b", "c", "d"], n=24, noise_s=20.0)
    corpus = load(root, commands=["yes", "no"])
    counts = Counter(zip(labels_of(corpus), corpus.split.tolist(), strict=True))
    assert counts["_unknown_", "test"] == 24
    assert counts["_silence_", "test"] == counts["yes", "test"] == 6


def test_held_out_silence_is_cut_from_the_held_out_parts_only(root, make_data, stepped_noise):
    make_data(root, ["yes", "no"], n=40)
    stepped_noise(root / "_background_noise_/steps.wav", 20 * RATE)
    corpus = load(root)
    levels = {"validation": 2_000, "test": 4_000}
    cuts = [i for i, label in enumerate(labels_of(corpus)) if label == "_silence_"]
    assert Counter(corpus.split[cuts].tolist()) == {"validation": 5, "test": 10}
    for i in cuts:
        row = corpus.rows[i]
        assert row.path == "_background_noise_/steps.wav"
        expected = round(levels[row.split] * row.gain)
        assert np.abs(corpus.windows[i].astype(int) - expected).max() <= 1
        first_s, last_s = {"validation": (16, 18), "test": (18, 20)}[row.split]
        assert first_s <= row.start_s < row.end_s <= last_s


def test_noise_to_train_on_is_the_first_four_fifths(root, make_data, stepped_noise):
    make_data(root, ["yes", "no"], n=8)
    stepped_noise(root / "_background_noise_/a.wav", 10 * RATE)
    stepped_noise(root / "_background_noise_/b.wav", 5 * RATE)
    corpus = load(root)
    assert corpus.noise.dtype == np.float32
    assert (32_768 * corpus.noise).tolist() == [1_000] * (8 * RATE + 4 * RATE)


@pytest.mark.parametrize("n", [33_599, 32_001, 160_003])
def test_no_sample_of_noise_is_both_trained_on_and_held_out(n, root, make_data, write_wav):
    make_data(root, ["yes", "no"], n=16)
    n_training = round(0.8 * n)
    levels = np.where(np.arange(n) < n_training, 20_000, 4_000)
    write_wav(root / "_background_noise_/a.wav", levels.astype(np.int16))
    corpus = load(root)
    assert np.array_equal(32_768 * corpus.noise, np.full(n_training, 20_000))
    for window, row in zip(corpus.windows, corpus.rows, strict=True):
        if row.label == "_silence_":
            assert np.abs(window.astype(int)).max() <= 4_000 * row.gain + 1


def test_noise_of_a_folder_elsewhere(root, make_data, stepped_noise, tmp_path):
    make_data(root, ["yes", "no"], n=8)
    path = stepped_noise(tmp_path / "noise/steps.wav", 20 * RATE)
    corpus = load(root, noise=tmp_path / "noise")
    assert corpus.labels[-1] == "_silence_"
    assert {r.path for r in corpus.rows if r.label == "_silence_"} == {path.as_posix()}


def test_noise_of_another_rate_is_resampled(root, make_data, write_wav):
    make_data(root, ["yes", "no"], n=8)
    write_wav(root / "_background_noise_/a.wav", np.full(80_000, 0.25), rate=8_000)
    corpus = load(root)
    assert len(corpus.noise) == 8 * RATE
    assert np.median(corpus.noise) == pytest.approx(0.25, abs=1e-4)


def test_bad_noise_is_listed_and_counts_as_no_clip(root, make_data, stepped_noise):
    make_data(root, ["yes", "no"], n=8)
    stepped_noise(root / "_background_noise_/good.wav", 20 * RATE)
    (root / "_background_noise_/empty.wav").touch()
    path = root / "_background_noise_/empty.wav"
    line = f"{path}: is empty (0 bytes); record it again or leave it out"
    corpus = load(root, max_bad=0)
    assert corpus.bad == [line]
    assert corpus.warnings == ["1 of 2 background recordings cannot be used"]
    assert len(corpus.noise) == 16 * RATE


def test_without_readable_noise_there_is_no_silence(root, make_data):
    make_data(root, ["yes", "no"], n=8, noise_s=1.0)
    (root / "_background_noise_/hiss.wav").write_bytes(b"")
    corpus = load(root)
    assert corpus.labels == ("no", "yes")  # nothing could train _silence_
    assert corpus.warnings == [
        "1 of 1 background recordings cannot be used: none is left to cut _silence_ clips from"
    ]


def test_recorded_silence_is_a_label_as_any_other(root, make_data):
    make_data(root, ["yes", "no", "_silence_"], n=8)
    corpus = load(root)
    assert corpus.labels == ("no", "yes", "_silence_")
    assert labels_of(corpus).count("_silence_") == 8
    assert len(corpus.noise) == 0


@pytest.mark.parametrize(
    ("labels", "mean"),
    [
        ([], 0),
        (["_unknown_", "_silence_"], 1),  # without commands those of _unknown_
        (["_silence_"], 0),
        (["yes"] * 3 + ["no"] * 5, 4),
        (["yes"] * 2 + ["no"] * 3, 2),  # 2.5 rounds to even
        (["yes"] * 2 + ["_unknown_"] * 50 + ["_silence_"] * 9, 2),
    ],
)
def test_the_mean_of_the_commands_by_hand(labels, mean):
    assert mean_command_count(labels) == mean
