"""A data set made ready for training: labels, splits, windows, noise, and what is left out.

The hash of the speakers' names puts s00 and s01 into the test, s02 into validation, the rest (to
s07) into training.
"""

import shutil
from collections import Counter
from functools import partial

import numpy as np
import pytest
import soundfile
from common import labels_of, load, refusal

from speechcls.audio.samples import to_pcm
from speechcls.config import FeatureConfig
from speechcls.data.clips import digest_of
from speechcls.errors import DatasetError

message_of = partial(refusal, DatasetError, load)
SPLIT_OF = {"s00": "test", "s01": "test", "s02": "validation"} | {
    f"s{i:02}": "train" for i in range(3, 8)
}


# Clips


def test_every_clip_gets_label_split_window_and_row(root, make_data, tone):
    make_data(root, ["yes", "no"], n=8)
    corpus = load(root)
    assert corpus.labels == ("no", "yes")
    assert corpus.label_index.tolist() == [0] * 8 + [1] * 8
    assert corpus.words == corpus.labels
    assert corpus.word_index.tolist() == corpus.label_index.tolist()
    assert corpus.split.tolist() == [SPLIT_OF[f"s{i:02}"] for i in range(8)] * 2
    assert corpus.windows.dtype == np.int16
    assert corpus.windows.shape == (16, 8_000)  # clips of 0.3 s in the shortest window, 0.5 s
    assert corpus.features == FeatureConfig(duration_s=0.5)
    assert len(corpus.noise) == 0
    assert corpus.bad == corpus.warnings == []
    # make_data writes "yes" of s03 as a tone of 306 Hz; 4800 samples amid 1600 zeros either side.
    window = corpus.windows[11]
    assert not window[:1_600].any()
    assert not window[6_400:].any()
    assert np.abs(window[1_600:6_400] - to_pcm(tone(306.0, 0.3))).max() <= 1
    row = corpus.rows[11]
    assert (row.path, row.label, row.speaker, row.split) == (
        "yes/s03_nohash_0.wav",
        "yes",
        "s03",
        "train",
    )
    assert (row.start_s, row.end_s, row.gain) == (0.0, None, 1.0)
    assert row.digest == digest_of(window[1_600:6_400])


def test_rows_splits_and_labels_run_side_by_side(root, make_data):
    make_data(root, ["yes", "no", "go"], n=12, noise_s=20.0)
    corpus = load(root, commands=["go", "yes"])
    n_clips = len(corpus.rows)
    assert (len(corpus.windows), len(corpus.label_index), len(corpus.split)) == (n_clips,) * 3
    assert [row.split for row in corpus.rows] == corpus.split.tolist()
    named = [row.label if row.label != "no" else "_unknown_" for row in corpus.rows]
    assert named == labels_of(corpus)


def test_the_window_is_as_long_as_asked_for(root, make_data):
    make_data(root, ["yes", "no"], n=8)
    corpus = load(root, duration_s=0.25)
    assert corpus.features.duration_s == 0.25
    assert corpus.windows.shape == (16, 4_000)
    assert np.abs(corpus.windows).max(axis=1).min() > 16_000  # no window is empty


def test_the_window_is_as_long_as_clips_usually_are(root, make_data, write_wav, tone):
    make_data(root, ["yes", "no"], n=8)
    for i in range(4):  # a fifth of all is longer
        write_wav(root / "yes" / f"s07_nohash_{9 + i}.wav", tone(500.0 + i, 0.72))
    assert load(root).features.duration_s == 0.8


def test_jobs_change_nothing_and_every_clip_is_counted(root, make_data):
    make_data(root, ["yes", "no"], n=8, noise_s=20.0)
    calls = []
    one, four = load(root, jobs=1, on_clip=lambda: calls.append(1)), load(root, jobs=4)
    assert np.array_equal(one.windows, four.windows)
    assert one.rows == four.rows
    assert len(calls) == 16


def test_test_speakers_are_held_out(root, make_data):
    make_data(root, ["yes", "no"], n=8)
    corpus = load(root, test_speakers=["s05"])
    assert {row.speaker for row in corpus.rows if row.split == "test"} == {"s05"}


def test_an_official_split_is_kept(root, make_data):
    make_data(root, ["yes", "no"], n=8)
    (root / "testing_list.txt").write_text("yes/s04_nohash_0.wav\nno/s04_nohash_0.wav\n")
    (root / "validation_list.txt").write_text("yes/s00_nohash_0.wav\nno/s00_nohash_0.wav\n")
    splits = {row.speaker: row.split for row in load(root).rows}
    assert splits == {f"s{i:02}": "train" for i in range(8)} | {"s04": "test", "s00": "validation"}


# Commands


def test_every_other_word_is_unknown_and_keeps_its_name(root, make_data):
    make_data(root, ["yes", "no", "go", "cat"], n=8)
    corpus = load(root, commands=["yes", "no"])
    assert corpus.labels == ("yes", "no", "_unknown_")
    assert Counter(labels_of(corpus)) == {"yes": 8, "no": 8, "_unknown_": 16}
    assert {row.label for row in corpus.rows} == {"yes", "no", "go", "cat"}
    assert corpus.words == ("yes", "no", "_scrambled_", "cat", "go")
    assert [corpus.words[i] for i in corpus.word_index] == [row.label for row in corpus.rows]


def test_unknown_and_silence_among_the_words(root, make_data):
    make_data(root, ["yes", "no", "_unknown_", "go"], n=16, noise_s=20.0)
    corpus = load(root, commands=["yes", "no"])
    assert corpus.labels == ("yes", "no", "_unknown_", "_silence_")
    assert corpus.words == ("yes", "no", "_silence_", "_scrambled_", "_unknown_", "go")
    assert corpus.word_index.dtype == np.int64
    # In the order of the folders, then 2 cuts of noise that validate and 4 that test.
    assert corpus.word_index.tolist() == [4] * 16 + [5] * 16 + [1] * 16 + [0] * 16 + [2] * 6
    assert corpus.label_index.tolist() == [2] * 32 + [1] * 16 + [0] * 16 + [3] * 6


def test_a_folder_of_unknown_words_is_not_needed(root, make_data):
    make_data(root, ["yes", "no", "_unknown_"], n=8)
    assert load(root).labels == ("no", "yes", "_unknown_")
    assert load(root, commands=["yes", "no"]).labels == ("yes", "no", "_unknown_")


def test_an_empty_folder_makes_no_unknown_label(root, make_data):
    make_data(root, ["yes", "no"], n=8)
    (root / "maybe").mkdir()
    corpus = load(root, commands=["yes", "no"])
    assert corpus.labels == ("yes", "no")  # nothing could train an output for _unknown_
    assert corpus.warnings == [f"{root / 'maybe'}: a label folder without a recording"]


def test_a_command_that_is_not_in_the_data(root, make_data):
    make_data(root, ["yes", "no"], n=8)
    expected = "commands: no label go in the data; it has no, yes"
    assert message_of(root, commands=["yes", "go"]) == expected


# Copies


def test_copies_of_a_held_out_clip_take_no_part(root, make_data):
    make_data(root, ["yes", "no"], n=8)
    held_out, own = root / "yes/s00_nohash_0.wav", root / "yes/s05_nohash_0.wav"
    shutil.copy(held_out, own)
    corpus = load(root)
    split = {row.path: row.split for row in corpus.rows}
    assert split["yes/s00_nohash_0.wav"] == "test"
    assert split["yes/s05_nohash_0.wav"] == "unused"
    assert Counter(corpus.split.tolist()) == {"train": 9, "validation": 2, "test": 4, "unused": 1}
    assert corpus.warnings == ["1 clip is left out: the same sound is in a held-out split"]


def test_a_copy_in_another_format_is_the_same_sound(root, make_data, write_wav):
    make_data(root, ["yes", "no"], n=8)
    stored, _ = soundfile.read(root / "yes/s02_nohash_0.wav", dtype="int16")
    write_wav(root / "yes/s06_nohash_9.flac", stored)
    split = {row.path: row.split for row in load(root).rows}
    assert split["yes/s02_nohash_0.wav"] == "validation"
    assert split["yes/s06_nohash_9.flac"] == "unused"


# Bad clips


def test_bad_clips_are_listed_and_left_out(root, make_data):
    make_data(root, ["yes", "no"], n=8)
    (root / "no/s03_nohash_0.wav").write_bytes(b"")
    (root / "loose.wav").touch()
    corpus = load(root, max_bad=0.5)
    assert len(corpus.rows) == 15
    assert "no/s03_nohash_0.wav" not in {row.path for row in corpus.rows}
    assert [line.split(": ")[:2] for line in corpus.bad] == [
        [
            str(root / "loose.wav"),
            "not in a label folder; put the clips into one sub-folder per word (data/yes/1.wav), or"
            " say what flat file names mean with a pattern as {label}_{speaker}_{take}, or name a"
            " manifest with columns path,label",
        ],
        [str(root / "no/s03_nohash_0.wav"), "is empty (0 bytes); record it again or leave it out"],
    ]


def spoil(root, n):
    """Empty ``n`` recordings of training speakers, both labels in turn; return them in order."""
    paths = sorted(root.glob("*/s0[34567]_*.wav"), key=lambda path: path.name)[:n]
    for path in paths:
        path.write_bytes(b"")
    return sorted(paths)


@pytest.mark.parametrize(("n_bad", "max_bad"), [(0, 0.0), (1, 0.0625), (4, 0.25), (2, 1.0)])
def test_as_many_bad_clips_as_allowed(n_bad, max_bad, root, make_data):
    make_data(root, ["yes", "no"], n=8)  # 16 clips
    spoil(root, n_bad)
    assert len(load(root, max_bad=max_bad).bad) == n_bad


@pytest.mark.parametrize(("n_bad", "max_bad"), [(1, 0.0), (1, 0.0624), (4, 0.249)])
def test_more_bad_clips_than_allowed(n_bad, max_bad, root, make_data):
    make_data(root, ["yes", "no"], n=8)
    paths = spoil(root, n_bad)
    listed = "".join(
        f"\n  {path}: is empty (0 bytes); record it again or leave it out" for path in paths
    )
    message = message_of(root, max_bad=max_bad)
    assert message.startswith(
        f"max_bad: {n_bad} of 16 clips are bad, more than the {max_bad:g} allowed; fix them or"
        " leave them out, or allow 0."
    )
    assert message.endswith(listed)


def test_nobody_is_advised_to_allow_that_all_are_bad(root, make_data):
    make_data(root, ["yes", "no"], n=2)
    for path in root.rglob("*.wav"):
        path.write_bytes(b"")
    assert "fix them, or name other recordings\n" in message_of(root)


@pytest.mark.parametrize("n_bad", [1, 3, 5])
def test_the_share_that_an_error_advises_is_enough(n_bad, root, make_data):
    make_data(root, ["yes", "no"], n=8)
    spoil(root, n_bad)
    advised = float(message_of(root).split("or allow ")[1].split("\n")[0])
    assert len(load(root, max_bad=advised).bad) == n_bad
    assert advised < n_bad / 16 + 0.02


def test_a_share_that_is_met_exactly_is_enough(root, make_data):
    make_data(root, ["yes", "no"], n=25, speakers=25)
    speakers = sorted({path.name for path in root.glob("yes/*.wav")})
    for label, n in (("yes", 15), ("no", 14)):
        for name in [name for name in speakers if name[:3] not in ("s02", "s09")][-n:]:
            (root / label / name).write_bytes(b"")
    assert len(load(root, max_bad=0.58).bad) == 29  # 29 / 50 is 0.58, 0.58 * 50 is below 29


def test_no_more_than_twenty_bad_clips_are_named(root, make_data):
    make_data(root, ["yes", "no"], n=25)
    for path in root.glob("*/*.wav"):
        path.write_bytes(b"")
    message = message_of(root)
    assert message.startswith("max_bad: 50 of 50 clips are bad, more than the 0.01 allowed; ")
    assert message.count("is empty") == 20
    assert message.endswith("\n  and 30 more")


def test_a_label_with_no_readable_clip(root, make_data):
    make_data(root, ["yes", "no"], n=8)
    paths = sorted((root / "no").iterdir())
    for path in paths:
        path.write_bytes(b"")
    advice = "no readable clip of this label; add recordings or leave the label out"
    listed = "".join(
        f"\n  {path}: is empty (0 bytes); record it again or leave it out" for path in paths
    )
    assert message_of(root, max_bad=0.5) == f"{root / 'no'}: {advice}{listed}"


def test_a_label_folder_without_a_recording(root, make_data):
    make_data(root, ["yes", "no"], n=8)
    (root / "maybe").mkdir()
    advice = "no readable clip of this label; add recordings or leave the label out"
    assert message_of(root) == f"{root / 'maybe'}: {advice}"
