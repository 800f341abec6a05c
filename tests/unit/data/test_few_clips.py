"""Whoever can train, trains: no label is refused because the hash holds its few clips out.

Where the hash puts the names of these tests, per cent: s02 8.19 is validation; s00 11.98 and s01
18.70 are test; s05 23.73, s07 66.63, s03 84.12 and s04 94.80 are training.
"""

import random
from collections import defaultdict

import pytest
from common import assign, clips, refusal

from speechcls.data.splits import hash_percentage
from speechcls.errors import DatasetError

BY_CLIP = "no speakers known, so the data is split clip by clip"
SPEAKERS = [f"s{i:02}" for i in range(8)]


def key_within(low, high, prefix):
    """A digest that the hash puts between two percentages."""
    names = (f"{prefix}{i}" for i in range(10_000))
    return next(name for name in names if low <= hash_percentage(name) < high)


# Clip by clip


@pytest.mark.parametrize(
    ("places", "expected"),
    [
        # What the hash says of the two clips of a label: (val, test), (val, val), (test, test).
        (((0, 10), (10, 20)), ["validation", "train"]),
        (((10, 20), (0, 10)), ["train", "validation"]),
        (((0, 10), (20, 100)), ["validation", "train"]),
        (((10, 20), (20, 100)), ["test", "train"]),  # as it always was
        (((20, 100), (20, 100)), ["train", "validation"]),
    ],
)
def test_of_two_clips_one_trains_by_hand(places, expected):
    digests = [key_within(*place, f"a{i}") for i, place in enumerate(places)]
    if places[0] == places[1]:
        digests.sort(key=hash_percentage, reverse=True)  # the lower one validates
    others = ["s02", "s00", "s03", "s04"]  # one validates, one tests, two train
    examples = clips([None], labels=["two"], n=2) + clips([None], labels=["four"], n=4)
    splits = assign(examples, digests + others)
    assert splits.names == [*expected, "validation", "test", "train", "train"]


@pytest.mark.parametrize("place", [(0, 10), (10, 20), (20, 100)])
def test_a_single_clip_trains(place):
    examples = clips([None], labels=["four"], n=4) + clips([None], labels=["one"])
    splits = assign(examples, ["s02", "s00", "s03", "s04", key_within(*place, "x")])
    assert splits.names == ["validation", "test", "train", "train", "train"]
    assert splits.warnings[1:] == ["no validation clip of one: record more of it"]


def test_forty_labels_of_two_clips_train():
    labels = [f"w{i:02}" for i in range(40)]
    examples = clips([None], labels=labels, n=2)
    for draw in range(20):
        splits = assign(examples, [f"{draw} {e.path}" for e in examples])
        trained = [
            e.label for e, name in zip(examples, splits.names, strict=True) if name == "train"
        ]
        assert set(trained) == set(labels)
        assert splits.names.count("validation") > 0


def test_labels_without_validation_are_named_ten_at_most():
    labels = [f"w{i:02}" for i in range(13)]
    examples = clips([None], labels=labels) + clips([None], labels=["four"], n=4)
    splits = assign(examples)
    named = ", ".join(labels[:10])
    assert splits.warnings[-1] == f"no validation clip of {named} and 3 more: record more of it"


def test_where_nothing_validates_the_test_clips_do():
    # Both labels have one clip that trains and one that tests.
    digests = [key_within(20, 100, "a"), key_within(10, 20, "b")]
    digests += [key_within(20, 100, "c"), key_within(10, 20, "d")]
    splits = assign(clips([None], n=2), digests)
    assert splits.names == ["train", "validation", "train", "validation"]
    assert splits.warnings[1:] == ["too few clips to hold some back for a test: record more"]


# By speaker


def test_a_whole_speaker_moves_to_training():
    # Only s00 says "go", and the hash has s00 test.
    examples = clips(["s00", "s02", "s03"], n=2) + clips(["s00"], labels=["go"])
    splits = assign(examples)
    of = dict(zip((e.speaker for e in examples), splits.names, strict=True))
    assert of == {"s00": "train", "s02": "validation", "s03": "train"}
    assert splits.names.count("validation") == 4
    assert splits.warnings == [
        "s00: moved to training, where go had no clip",
        "too few clips to hold some back for a test: record more",
        "no validation clip of go: record more of it",
    ]


@pytest.mark.parametrize(("talkative", "moved"), [("s00", "s01"), ("s01", "s00")])
def test_the_speaker_with_the_fewest_clips_moves(talkative, moved):
    said = clips(["s02", "s00", "s01", "s03"]) + clips(["s00", "s01", "s02"], labels=["go"])
    more = [c for s in (talkative, "s02") for c in clips([s], labels=["yes"], n=5)[1:]]
    places = defaultdict(set)
    for example, name in zip(said + more, assign(said + more).names, strict=True):
        places[example.speaker].add(name)
    assert places == {
        talkative: {"test"},
        moved: {"train"},
        "s02": {"validation"},
        "s03": {"train"},
    }


def test_among_equals_who_tests_moves_and_then_the_higher_hash():
    # Nobody's hash says validation, so that s05, the lowest of those that train, validates.
    examples = clips(["s00", "s05"], labels=["go"]) + clips(["s00", "s05", "s03", "s04"])
    of = dict(zip((e.speaker for e in examples), assign(examples).names, strict=True))
    assert of == {"s00": "train", "s05": "validation", "s03": "train", "s04": "train"}
    examples = clips(["s00", "s01"], labels=["go"]) + clips(["s00", "s01", "s02", "s03"])
    of = dict(zip((e.speaker for e in examples), assign(examples).names, strict=True))
    assert of == {"s00": "test", "s01": "train", "s02": "validation", "s03": "train"}


def test_every_speaker_that_moved_is_named():
    examples = clips(["s00"], labels=["go"]) + clips(["s01"], labels=["up"])
    splits = assign(examples + clips(["s02", "s03"]))
    assert splits.names == ["train"] * 2 + ["validation"] * 2 + ["train"] * 2
    assert splits.warnings[0] == "s00, s01: moved to training, where go, up had no clip"


def test_where_nobody_trains_the_highest_of_those_that_test_does():
    testing = sorted((key_within(10, 20, prefix) for prefix in "abc"), key=hash_percentage)
    examples = clips(["s02", *testing])
    of = dict(zip((e.speaker for e in examples), assign(examples).names, strict=True))
    assert [of[speaker] for speaker in testing] == ["test", "test", "train"]


# s00 and s02 alone say a word each, so that both move to training and nobody is held out.
NEEDED = [*clips(["s00"], labels=["go"]), *clips(["s02"], labels=["up"])]


def spared(examples, digests=None):
    """Who validates."""
    names = assign(NEEDED + examples, digests and ["go", "up", *digests]).names
    pairs = zip((e.speaker for e in NEEDED + examples), names, strict=True)
    return {speaker for speaker, name in pairs if name == "validation"}


def test_the_lowest_hash_that_training_can_spare_validates():
    assert spared(clips(["s03", "s04", "s05", "s07"])) == {"s05"}
    # The sounds of s05 are those of s03 too, so that they cannot be held out: s07 comes next.
    assert spared(clips(["s03", "s04", "s05", "s07"]), [*"abcdabef"]) == {"s07"}


def test_what_one_speaker_leaves_is_not_spared_again():
    # Without s05 only s07 says "yes", who therefore stays, though others say "no".
    said = clips(["s05", "s07"], labels=["yes"]) + clips(["s07", "s03"], labels=["no"])
    assert spared(said) == {"s05", "s03"}


def test_training_clips_of_the_data_itself_may_be_spared():
    # s05, the lowest hash of those that train, would validate, but alone says "go".
    told = clips(["ann"], split="test") + clips(["s05"], labels=["go"], split="train")
    told += clips(["s03", "s04", "s07"], split="train")
    splits = assign(told)
    assert splits.names == ["test"] * 2 + ["train"] * 5 + ["validation"] * 2
    assert splits.warnings[0] == "s05: moved to training, where go had no clip"


def test_one_speaker_may_bring_back_several_labels():
    # s00 alone says both words, s01 and s02 one each: one speaker moves, not two.
    examples = clips(["s00"], labels=["go", "up"]) + clips(["s01"], labels=["go"])
    examples += clips(["s02"], labels=["up", "yes"]) + clips(["s03", "s04"], labels=["yes"])
    splits = assign(examples)
    assert splits.names == ["train", "train", "test", "validation", "validation", "train", "train"]
    assert splits.warnings[0] == "s00: moved to training, where go, up had no clip"


def test_where_every_speaker_is_needed_clips_validate():
    examples = [clip for s in ("s00", "s02", "s03") for clip in clips([s], labels=[s], n=4)]
    splits = assign(examples)
    for label in ("s00", "s02", "s03"):
        own = [n for e, n in zip(examples, splits.names, strict=True) if e.label == label]
        assert sorted(own) == ["train"] * 3 + ["validation"]
    assert splits.warnings[1] == (
        "too few speakers to hold one back: clips of training speakers validate, so validation"
        " scores are optimistically biased"
    )


def test_no_speaker_and_no_sound_is_in_two_splits():
    chance = random.Random(0)
    n_trained = 0
    for _ in range(300):
        examples = [
            clip
            for speaker in chance.sample(SPEAKERS, 5)
            for clip in clips([speaker], labels=chance.sample("abcd", 2), n=chance.randint(1, 3))
        ]
        digests = [str(chance.randrange(60)) for _ in examples]
        try:
            splits = assign(examples, digests)
        except DatasetError as error:
            assert "too few to hold some back for validation" in str(error)
            continue
        n_trained += 1
        sounds, speakers = defaultdict(set), defaultdict(set)
        for example, digest, name in zip(examples, digests, splits.names, strict=True):
            if name != "unused":
                sounds[digest].add(name)
                speakers[example.speaker].add(name)
        assert all(len(names) == 1 for names in sounds.values())
        if not any("too few speakers" in line for line in splits.warnings):
            assert all(len(names) == 1 for names in speakers.values())
        trained = {e.label for e, n in zip(examples, splits.names, strict=True) if n == "train"}
        assert trained == {example.label for example in examples}
    assert n_trained >= 295


# Copies


def test_a_label_keeps_its_last_training_clip_though_a_copy_is_held_out():
    # "go" is said by s00, which tests, and s03, which trains; both takes are one sound.
    examples = clips(["s00", "s02", "s03"]) + clips(["s00", "s03"], labels=["go"])
    digests = [*"abcdef", "same", "same"]
    splits = assign(examples, digests)
    assert splits.names[-2:] == ["unused", "train"]
    assert splits.warnings[0] == (
        "1 clip is left out: the same sound is the only one that trains a label"
    )


def test_of_several_copies_only_as_many_train_as_are_needed():
    examples = clips(["s00", "s02", "s03"]) + clips(["s00", "s03"], labels=["go"], n=2)
    digests = [*"abcdef", "same", "other", "same", "other"]
    splits = assign(examples, digests)
    assert splits.names[-4:] == ["test", "unused", "unused", "train"]


def test_a_label_that_trains_without_them_needs_no_copies():
    # Three takes of s03 are one sound, which trains "no"; another take is held out by s00.
    examples = clips(["s03"], labels=["no"], n=4) + clips(["s00"], labels=["no"])
    examples += clips(["s00", "s02", "s03"], labels=["yes"])
    splits = assign(examples, [*"zzza", "a", *"bcd"])
    assert splits.names == ["train"] * 3 + ["unused", "test", "test", "validation", "train"]


def test_the_sound_with_the_fewest_copies_trains():
    # Both sounds of "go" that s03 says are held out too: "a" twice, "b" once.
    examples = clips(["s03"], labels=["go"], n=2) + clips(["s00"], labels=["go"], n=3)
    splits = assign(examples + clips(["s00", "s02", "s03"]), [*"abaab", *"cdefgh"])
    assert splits.names[:5] == ["unused", "train", "test", "test", "unused"]


def test_every_copy_that_is_left_out_is_counted():
    examples = clips(["s03"], labels=["go"]) + clips(["s00"], labels=["go"], n=2)
    splits = assign(examples + clips(["s00", "s02", "s03"]), [*"aaa", *"cdefgh"])
    assert splits.names[:3] == ["train", "unused", "unused"]
    assert splits.warnings[0] == (
        "2 clips are left out: the same sound is the only one that trains a label"
    )


def test_a_sound_under_two_labels_trains_both():
    # "a" is "go" and "up" of s03, and held out as s00's "go"; so is another "up", "b", of both.
    examples = clips(["s03"], labels=["go", "up"]) + clips(["s00"], labels=["go"])
    examples += clips(["s03"], labels=["up"], n=2)[1:] + clips(["s00"], labels=["up"])
    splits = assign(examples + clips(["s00", "s02", "s03"]), [*"aaabb", *"cdefgh"])
    assert splits.names[:5] == ["train", "train", "unused", "unused", "test"]


# What the data itself holds out


def test_a_label_that_the_data_holds_out_is_refused_with_the_reason():
    examples = clips(["s03", "s04"], split="train") + clips(["s02"], split="validation")
    held_out = clips(["x"], labels=["go"], n=3, split="test")
    held_out += clips(["y"], labels=["go"], split="validation")
    assert refusal(DatasetError, assign, examples + held_out) == (
        "label go: none of its 4 clips is left to train on: the data's own split has 3 in test"
        " (go/x_nohash_0.wav first), the data's own split has 1 in validation (go/y_nohash_0.wav"
        " first); move some of them to training, or record more"
    )


def test_a_label_that_only_test_speakers_say_is_refused_by_name():
    examples = clips(["s02", "s03", "s04"]) + clips(["ann", "bob"], labels=["go"], n=2)
    assert refusal(DatasetError, assign, examples, test_speakers=["ann", "bob"]) == (
        "test_speakers: label go: none of its 4 clips is left to train on: 4 are by test speakers"
        " (ann, bob); move some of them to training, or record more"
    )


def test_a_held_out_speaker_of_the_data_does_not_move():
    examples = clips(["s03", "s04"], split="train") + clips(["s02"], split="validation")
    told = clips(["ann"], labels=["go"], split="test")
    free = clips(["s00"], labels=["go"])  # the hash has s00 test
    splits = assign(examples + told + free)
    assert splits.names[-2:] == ["test", "train"]
