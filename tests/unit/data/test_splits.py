"""The official rule against its own source, and who ends up where with few or unknown speakers.

Where the hash puts the speakers of these tests, per cent: s02 8.19 is validation; s00 11.98 and
s01 18.70 are test; s05 23.73, s07 66.63, s03 84.12, s06 88.64 and s04 94.80 are training.
"""

import dataclasses
import hashlib
import itertools
import re
from collections import Counter
from pathlib import Path

import pytest
from common import assign, clips, refusal

from speechcls.artifact.format import SplitRow
from speechcls.data.splits import (
    hash_percentage,
    sample_evenly,
    split_of_digests,
    trained_speakers,
)
from speechcls.errors import DatasetError
from speechcls.layouts.examples import Example
from speechcls.layouts.load import load_dataset

ALL_SPLITS = {"train", "validation", "test"}


def which_set(filename, validation_percentage=10, testing_percentage=10):
    """Warden's own function, as printed in the README of Speech Commands."""
    most = 2**27 - 1
    hash_name = re.sub(r"_nohash_.*$", "", Path(filename).name)
    hashed = hashlib.sha1(hash_name.encode()).hexdigest()
    percentage_hash = (int(hashed, 16) % (most + 1)) * (100.0 / most)
    if percentage_hash < validation_percentage:
        return "validation"
    if percentage_hash < (testing_percentage + validation_percentage):
        return "testing"
    return "training"


def by_speaker(examples, names):
    """The set of splits of each speaker."""
    splits = {}
    for example, name in zip(examples, names, strict=True):
        splits.setdefault(example.speaker, set()).add(name)
    return splits


# The rule


@pytest.mark.parametrize(
    ("key", "place"),
    [
        # From sha1sum and bc: the hash modulo 2**27, times 100, divided by 2**27 - 1.
        ("abc", 60.19756615309094),
        ("bb05582b", 18.132678554450560),
        ("0132a06d", 58.139242665016970),
        ("7a49163e", 1.3787895543783125),
        ("099d52ad", 9.2880078352094280),
        ("é", 99.464271958651185),
    ],
)
def test_percentage_of_known_hashes(key, place):
    assert hash_percentage(key) == pytest.approx(place, rel=1e-14)


def test_percentage_takes_names_that_are_no_text():
    # sha1sum of the lone byte ff ends dc580b0b; the low 27 bits of that are 4580b0b.
    assert hash_percentage("\udcff") == pytest.approx(0x4580B0B * 100 / 0x7FFFFFF, rel=1e-14)


def test_the_rule_is_that_of_speech_commands():
    speakers = [f"{i:08x}" for i in range(0, 2**32, 2**32 // 500)]
    examples = clips(speakers)
    ours = assign(examples).names
    official = {"training": "train", "validation": "validation", "testing": "test"}
    assert ours == [official[which_set(example.path)] for example in examples]
    assert set(ours) == ALL_SPLITS


def test_the_official_validation_list_comes_out(speech_commands):
    dataset = load_dataset(speech_commands)
    untold = [dataclasses.replace(example, split=None) for example in dataset.examples]
    listed = (speech_commands / "validation_list.txt").read_text().split()
    ours = assign(untold).names
    validation = {
        dataset.relative_name(example.path)
        for example, name in zip(untold, ours, strict=True)
        if name == "validation"
    }
    assert validation == set(listed)
    assert assign(dataset.examples).names.count("validation") == 1_491


# By speaker


def test_no_speaker_is_in_two_splits():
    examples = clips([f"s{i:02}" for i in range(40)], n=3)
    splits = by_speaker(examples, assign(examples).names)
    assert all(len(names) == 1 for names in splits.values())
    assert set.union(*splits.values()) == ALL_SPLITS


def test_a_clip_added_later_moves_nobody():
    before = clips([f"s{i:02}" for i in range(30)])
    added = clips([f"new{i}" for i in range(30)]) + clips(
        ["s00", "s02", "s03"], labels=["yes"], n=9
    )
    names = assign(before).names
    assert assign(before + added).names[: len(before)] == names
    assert assign(added + before).names[len(added) :] == names


def test_the_order_of_the_clips_does_not_matter():
    examples = clips(["s00", "s03", "s04", "s05"], n=2)
    expected = dict(zip(examples, assign(examples).names, strict=True))
    backwards = examples[::-1]
    assert dict(zip(backwards, assign(backwards).names, strict=True)) == expected


@pytest.mark.parametrize(
    ("speakers", "expected"),
    [
        # By the rule alone.
        (["s00", "s02", "s03"], {"s00": "test", "s02": "validation", "s03": "train"}),
        # Nobody validates: the training speaker of lowest hash does.
        (["s00", "s03", "s05"], {"s00": "test", "s05": "validation", "s03": "train"}),
        # Nobody tests.
        (["s02", "s04", "s07"], {"s02": "validation", "s07": "test", "s04": "train"}),
        # Nobody trains, two test: the higher of them trains.
        (["s00", "s01", "s02"], {"s02": "validation", "s00": "test", "s01": "train"}),
        # Nobody validates, two test: the lower of them validates.
        (["s00", "s01", "s03"], {"s00": "validation", "s01": "test", "s03": "train"}),
        # Neither: the lowest validates, the next one tests.
        (["s03", "s04", "s05"], {"s05": "validation", "s03": "test", "s04": "train"}),
        (
            ["s03", "s04", "s05", "s06", "s07"],
            {"s05": "validation", "s07": "test", "s03": "train", "s06": "train", "s04": "train"},
        ),
    ],
)
def test_few_speakers_by_hand(speakers, expected):
    examples = clips(speakers, n=2)
    splits = assign(examples)
    assert by_speaker(examples, splits.names) == {s: {name} for s, name in expected.items()}
    assert splits.warnings == []


@pytest.mark.parametrize("n_speakers", [3, 4, 5, 6])
def test_any_few_speakers_fill_every_split(n_speakers):
    known = [f"s{i:02}" for i in range(8)]
    for speakers in itertools.combinations(known, n_speakers):
        examples = clips(speakers)
        splits = by_speaker(examples, assign(examples).names)
        assert all(len(names) == 1 for names in splits.values()), speakers
        assert set.union(*splits.values()) == ALL_SPLITS, speakers


@pytest.mark.parametrize(
    ("speakers", "known"), [(["s00"], "only 1 speaker"), (["s00", "s02"], "only 2 speakers")]
)
def test_one_or_two_speakers_are_split_by_clip_with_a_warning(speakers, known):
    examples = clips(speakers, n=10)
    splits = assign(examples)
    assert splits.warnings == [
        f"{known} known, so the data is split clip by clip: scores may be optimistically biased,"
        " since the same voice trains and tests; name the speakers with a pattern or a manifest"
    ]
    labelled = set(zip((e.label for e in examples), splits.names, strict=True))
    assert labelled == set(itertools.product(["no", "yes"], ALL_SPLITS))


# By clip


@pytest.mark.parametrize("n", [3, 4, 10, 100])
def test_without_speakers_every_label_is_in_every_split(n):
    examples = clips([None], labels=["a", "b", "c"], n=n)
    splits = assign(examples)
    assert len(splits.warnings) == 1
    assert splits.warnings[0].startswith("no speakers known, so the data is split clip by clip")
    labelled = set(zip((e.label for e in examples), splits.names, strict=True))
    assert labelled == set(itertools.product("abc", ALL_SPLITS))


def test_without_speakers_about_a_tenth_validates_and_a_tenth_tests():
    examples = clips([None], n=1_000)
    names = assign(examples).names
    # 2000 draws at 10 %: 200, standard deviation 13.4; four of them either way.
    assert 146 <= names.count("validation") <= 254
    assert 146 <= names.count("test") <= 254


def test_a_clip_added_later_moves_no_clip():
    examples = clips([None], n=200)
    added = clips([None], n=300)[-100:]
    assert assign(examples + added).names[: len(examples)] == assign(examples).names


def test_the_samples_decide_not_the_name():
    examples = clips([None], n=40)
    digests = [f"sound {i}" for i in range(len(examples))]
    renamed = [dataclasses.replace(e, path=Path(f"other/{i}")) for i, e in enumerate(examples)]
    assert assign(renamed, digests).names == assign(examples, digests).names


def test_clips_without_a_speaker_among_known_ones_are_split_by_clip():
    known, unknown = clips(["s00", "s02", "s03", "s04"]), clips([None], n=50)
    splits = assign(known + unknown)
    assert splits.warnings == ["some clips name no speaker: those are split clip by clip"]
    assert splits.names[: len(known)] == assign(known).names
    assert set(splits.names[len(known) :]) == ALL_SPLITS


# What the data or the user says


def test_what_the_data_says_comes_first():
    told = clips(["s03"], split="test") + clips(["s00"], split="train")
    told += clips(["s01"], split="validation")
    assert assign(told).names == ["test"] * 2 + ["train"] * 2 + ["validation"] * 2
    assert assign(told).warnings == []


def test_the_clips_that_the_data_says_nothing_of_follow_the_rule():
    told, open_to_deal = clips(["told"], split="test"), clips(["s00", "s02", "s03", "s04"])
    names = assign(told + open_to_deal).names
    assert names[:2] == ["test"] * 2
    assert by_speaker(open_to_deal, names[2:]) == {
        "s00": {"test"},
        "s02": {"validation"},
        "s03": {"train"},
        "s04": {"train"},
    }


def test_a_validation_list_alone_leaves_no_test():
    examples = clips(["a"], split="validation") + clips(["b", "c", "d"], split="train")
    splits = assign(examples)
    assert set(splits.names) == {"train", "validation"}
    assert splits.warnings == []


def test_a_test_list_alone_gets_a_validation_speaker_from_training():
    examples = clips(["a"], split="test") + clips(["s03", "s05", "s04"], split="train")
    assert by_speaker(examples, assign(examples).names) == {
        "a": {"test"},
        "s05": {"validation"},
        "s03": {"train"},
        "s04": {"train"},
    }


def test_test_speakers_test_and_nobody_else():
    examples = clips(["s00", "s01", "s02", "s03", "s04", "s05"])
    splits = assign(examples, test_speakers=["s03", "s02"])
    assert by_speaker(examples, splits.names) == {
        "s03": {"test"},
        "s02": {"test"},  # though its hash says validation
        # With s02 gone nobody validates; of those that train, s00 has the lowest hash.
        "s00": {"validation"},
        "s01": {"train"},  # though its hash says test
        "s04": {"train"},
        "s05": {"train"},
    }
    assert splits.warnings == []


def test_two_speakers_beside_the_test_speaker_are_enough():
    examples = clips(["s03", "s04", "s05"])
    splits = assign(examples, test_speakers=["s05"])
    assert by_speaker(examples, splits.names) == {
        "s05": {"test"},
        "s03": {"validation"},
        "s04": {"train"},
    }
    assert splits.warnings == []


def test_a_single_speaker_beside_the_test_speaker_is_split_by_clip():
    examples = clips(["s03", "s04"], n=10)
    splits = assign(examples, test_speakers=["s03"])
    assert by_speaker(examples, splits.names) == {"s03": {"test"}, "s04": {"train", "validation"}}
    assert splits.warnings[0].startswith("only 1 speaker known")


def test_an_unknown_test_speaker_is_named_with_those_there_are():
    expected = "test_speakers: ann, zoe: not in the data; it has 3 speakers, s00, s01, s02"
    examples = clips(["s02", "s01", "s00"])
    assert refusal(DatasetError, assign, examples, test_speakers=["zoe", "s00", "ann"]) == expected
    nobody = refusal(DatasetError, assign, clips([None]), test_speakers=["X"])
    assert nobody == "test_speakers: X: not in the data; it has 0 speakers"
    xs = refusal(DatasetError, assign, clips(["ann", "maX"]), test_speakers=["bob"])
    assert xs == "test_speakers: bob: not in the data; it has 2 speakers, ann, maX"
    many = clips([f"s{i:02}" for i in range(20)])
    assert refusal(DatasetError, assign, many, test_speakers=["x"]).endswith(
        "20 speakers, " + ", ".join(f"s{i:02}" for i in range(10))
    )


def test_test_speakers_test_even_where_the_data_says_otherwise():
    examples = clips(["ann", "bob", "cid"], split="train")
    names = assign(examples, test_speakers=["bob"]).names
    assert by_speaker(examples, names)["bob"] == {"test"}


def test_what_the_data_says_of_each_clip_of_a_speaker_is_kept():
    told = [e for split in ("train", "validation", "test") for e in clips(["ann"], split=split)]
    names = assign(told, list("abcdef")).names
    assert names == ["train"] * 2 + ["validation"] * 2 + ["test"] * 2


def test_what_the_data_says_of_clips_without_a_speaker_holds_for_no_other_clip():
    told, untold = clips([None], split="test"), clips([None], n=50)
    names = assign(told + untold, [str(i) for i in range(102)]).names
    assert names[:2] == ["test"] * 2
    assert set(names[2:]) == ALL_SPLITS


def test_clips_that_the_data_says_nothing_of_follow_their_speaker():
    told = clips(["ann"], split="test") + clips(["bob"], split="validation")
    blank = [Example(Path(f"no/{n}.wav"), "no", n) for n in ("ann", "bob", "cid", "dee", "eve")]
    more = clips(["cid", "dee", "eve"])
    names = assign(told + blank + more).names
    found = by_speaker(told + blank + more, names)
    assert found["ann"] == {"test"} and found["bob"] == {"validation"}


# The split of a trained model


def row(speaker, split, digest):
    """What the artifact keeps of a clip."""
    return SplitRow(f"{speaker}.wav", "yes", speaker, split, 0.0, None, 1.0, digest)


def test_the_split_of_a_copy_is_that_of_the_held_out_clip():
    """Whichever comes first: a model was tested on that sound, so that it is no new one."""
    rows = [row("s03", "train", "one"), row("s00", "test", "two"), row("s05", "unused", "two")]
    expected = {"one": "train", "two": "test"}
    assert split_of_digests(rows) == split_of_digests(rows[::-1]) == expected
    assert split_of_digests(rows[2:]) == {"two": "unused"}


def test_speakers_that_trained():
    rows = [row("s03", "train", "a"), row("", "train", "b"), row("s05", "unused", "c")]
    assert trained_speakers([*rows, row("s00", "test", "d")]) == {"s03"}


def cut(n_takes, n_segments, root=""):
    """Clips cut from recordings: of two labels, ``n_takes`` each, ``n_segments`` from each."""
    return [
        Example(Path(f"{root}{label}/{take}.wav"), label, None, None, float(i), i + 1.0)
        for label in ("no", "yes")
        for take in range(n_takes)
        for i in range(n_segments)
    ]


def of_cuts(examples):
    """The splits of clips that are all different."""
    return assign(examples, [f"{e.path.name} {e.label} {e.start_s}" for e in examples]).names


@pytest.mark.parametrize("n_segments", [2, 20])
@pytest.mark.parametrize("root", ["", "/home/ann/data/"])
def test_clips_cut_from_one_recording_stay_together(n_segments, root):
    """By the hash of the recording's folder and name, wherever the data is."""
    examples = cut(40, n_segments, root)
    expected = []
    for example in examples:
        place = hash_percentage(f"{example.label}/{example.path.name}")
        expected.append("validation" if place < 10 else "test" if place < 20 else "train")
    assert of_cuts(examples) == expected
    assert set(zip((e.label for e in examples), expected, strict=True)) == set(
        itertools.product(["no", "yes"], ALL_SPLITS)
    )


def test_clips_of_two_recordings_a_label_are_split_one_by_one():
    examples = cut(2, 60)
    splits = set(zip(((e.label, e.path.name) for e in examples), of_cuts(examples), strict=True))
    assert splits == set(
        itertools.product(itertools.product(["no", "yes"], ["0.wav", "1.wav"]), ALL_SPLITS)
    )


def test_a_sample_has_as_many_clips_of_each_label_and_the_held_out_first():
    examples = [Example(Path(f"{label}{i}.wav"), label) for label in "ab" for i in range(10)]
    examples.append(Example(Path("c0.wav"), "c"))

    def rank(example):
        return 0 if example.path.name in ("a3.wav", "b7.wav") else 1

    found = sample_evenly(examples, rank, 7, seed=0)
    assert Counter(example.label for example in found) == {"a": 3, "b": 3, "c": 1}
    assert [example.path.name for example in found[:3]] == ["a3.wav", "b7.wav", "c0.wav"]
    assert found == sample_evenly(examples, rank, 7, seed=0)
    assert found != sample_evenly(examples, rank, 7, seed=1)
    assert len(sample_evenly(examples, rank, 100, seed=0)) == 21
