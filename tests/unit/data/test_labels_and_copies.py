"""Copies never straddle two splits; labels are chosen and mapped as told."""

import pytest
from common import assign, clips, refusal

from speechcls.errors import DatasetError
from speechcls.labels import (
    choose_labels,
    choose_outputs,
    label_indices,
    list_names,
    map_label,
    mean_command_count,
)

# Copies


def test_copies_stay_in_the_most_held_out_split_only():
    # s03 and s04 train, s02 validates, s00 tests.
    examples = clips(["s03", "s04", "s02", "s00"])
    digests = ["one", "two", "three", "four", "one", "five", "five", "two"]
    splits = assign(examples, digests)
    assert splits.names == [
        "unused",  # no of s03: it validates
        "unused",  # yes of s03: it tests
        "train",
        "train",
        "validation",
        "unused",  # yes of s02: it tests
        "test",
        "test",
    ]


def test_samples_never_straddle_two_splits():
    examples = clips([f"s{i:02}" for i in range(40)] + [None], n=6)
    digests = [f"sound {i % 401}" for i in range(len(examples))]
    splits = assign(examples, digests)
    places = {}
    for digest, name in zip(digests, splits.names, strict=True):
        if name != "unused":
            places.setdefault(digest, set()).add(name)
    assert set(places) == set(digests)
    assert all(len(names) == 1 for names in places.values())
    assert splits.names.count("unused") > 0


def test_copies_in_one_split_all_stay():
    examples = clips(["s00", "s02", "s03"], n=2)
    digests = [e.path.as_posix().replace("nohash_1", "nohash_0") for e in examples]
    splits = assign(examples, digests)
    assert splits.names == ["test"] * 4 + ["validation"] * 4 + ["train"] * 4
    assert splits.warnings == []


def test_copies_and_contradicting_labels_are_counted_in_warnings():
    examples = clips(["s00", "s02", "s03", "s04"])
    digests = [str(i) for i in range(len(examples))]
    digests[4] = digests[0]  # s03 no is s00 no
    digests[7] = digests[2]  # s04 yes is s02 no
    splits = assign(examples, digests)
    assert splits.names[4] == splits.names[7] == "unused"
    assert splits.warnings == [
        "2 clips are left out: the same sound is in a held-out split",
        "1 recordings occur under two labels; one is wrong",
    ]


def test_copies_without_a_speaker_go_the_same_way():
    examples = clips([None], n=60)
    digests = [f"sound {i % 60}" for i in range(len(examples))]  # each "yes" is a copy of a "no"
    splits = assign(examples, digests)
    assert splits.names[:60] == splits.names[60:]
    assert "unused" not in splits.names
    assert splits.warnings[1:] == ["60 recordings occur under two labels; one is wrong"]


# Labels that cannot be split


def test_a_label_that_nothing_validates():
    examples = clips(["s00", "s02", "s03"]) + clips(["s03", "s00"], labels=["go"])
    splits = assign(examples)
    assert splits.warnings == ["no validation clip of go: record more of it"]


def test_too_few_clips_to_validate():
    expected = (
        "2 clips are too few to hold some back for validation; record more:"
        " twenty of each word make a first recogniser"
    )
    # The hashes of both sounds, 60.20 and 99.46, say training.
    assert refusal(DatasetError, assign, clips([None]), ["abc", "é"]) == expected


def test_two_clips_a_label_train_and_validate():
    examples = clips([None], n=2)
    names = assign(examples, ["s03", "s05", "s04", "s07"]).names
    assert names == ["train", "validation", "train", "validation"]  # the lower hash validates


# Labels


def test_without_commands_the_labels_are_those_found_in_order():
    assert choose_labels({"yes", "go", "Up"}, [], False) == ["Up", "go", "yes"]


@pytest.mark.parametrize(
    ("found", "commands", "has_noise", "labels"),
    [
        ({"a", "b"}, [], True, ["a", "b", "_silence_"]),
        ({"a", "_unknown_", "_silence_"}, [], False, ["a", "_unknown_", "_silence_"]),
        ({"a", "_silence_"}, [], True, ["a", "_silence_"]),
        ({"a", "_unknown_"}, [], False, ["a", "_unknown_"]),
        ({"a"}, [], True, ["a", "_silence_"]),
        ({"a", "b", "c"}, ["c", "a"], False, ["c", "a", "_unknown_"]),
        ({"a", "b", "c"}, ["c", "a"], True, ["c", "a", "_unknown_", "_silence_"]),
        ({"a", "b"}, ["b", "a"], False, ["b", "a"]),  # no other word: no _unknown_
        ({"a", "b", "_silence_"}, ["b", "a"], False, ["b", "a", "_silence_"]),
        ({"a", "b", "_unknown_"}, ["b", "a"], False, ["b", "a", "_unknown_"]),
        ({"a", "b", "_unknown_"}, ["_unknown_", "a"], False, ["a", "_unknown_"]),
        ({"a", "b"}, ["a", "a"], False, ["a", "_unknown_"]),
    ],
)
def test_labels_by_hand(found, commands, has_noise, labels):
    assert choose_labels(found, commands, has_noise) == labels


def test_a_command_that_does_not_occur():
    expected = "commands: no label go, up in the data; it has no, yes"
    assert (
        refusal(DatasetError, choose_labels, {"yes", "no"}, ["go", "yes", "up"], False) == expected
    )


@pytest.mark.parametrize(("found", "commands"), [({"yes"}, []), ({"yes"}, ["yes"])])
def test_one_label_is_no_choice(found, commands):
    assert refusal(DatasetError, choose_labels, found, commands, False) == (
        "only one label (yes); a recogniser needs two or more: add a folder with another word, or"
        " one named _unknown_ with other sounds"
    )


@pytest.mark.parametrize(
    ("word", "labels", "expected"),
    [
        ("yes", ["yes", "no"], "yes"),
        ("go", ["yes", "no"], None),
        ("go", ["yes", "_unknown_"], "_unknown_"),
        ("_unknown_", ["yes", "_unknown_"], "_unknown_"),
        ("_silence_", ["yes", "_silence_"], "_silence_"),
        ("_silence_", ["yes", "_unknown_"], "_unknown_"),
        ("Yes", ["yes", "no"], None),
    ],
)
def test_a_word_counts_as_itself_or_as_unknown(word, labels, expected):
    assert map_label(word, labels) == expected


@pytest.mark.parametrize(
    ("found", "labels", "words"),
    [
        # Every other word on its own, sorted, after the labels, and what is scrambled.
        (
            ["no", "cat", "yes", "bed", "cat"],
            ["yes", "no", "_unknown_"],
            ["yes", "no", "_scrambled_", "bed", "cat"],
        ),
        (
            ["yes", "cat", "no"],
            ["yes", "no", "_unknown_", "_silence_"],
            ["yes", "no", "_silence_", "_scrambled_", "cat"],
        ),
        # Clips that have no other name than _unknown_ are a word of their own.
        (
            ["yes", "_unknown_", "cat"],
            ["yes", "_unknown_"],
            ["yes", "_scrambled_", "_unknown_", "cat"],
        ),
        (
            ["no", "yes", "_unknown_"],
            ["no", "yes", "_unknown_"],
            ["no", "yes", "_scrambled_", "_unknown_"],
        ),
        # Without an _unknown_ label the words are the labels, whatever else is there.
        (["no", "yes", "cat"], ["no", "yes"], ["no", "yes"]),
        # A label without a clip keeps its output, as _silence_ does, which is cut from noise.
        ([], ["no", "yes", "_silence_"], ["no", "yes", "_silence_"]),
        # Recorded silence counts as _unknown_ where there is no such label.
        (["yes", "_silence_"], ["yes", "_unknown_"], ["yes", "_scrambled_", "_silence_"]),
    ],
)
def test_the_classes_of_a_network_by_hand(found, labels, words):
    assert choose_outputs(found, labels) == tuple(words)
    assert choose_outputs(found[::-1], labels) == tuple(words)


@pytest.mark.parametrize(
    ("words", "labels", "index"),
    [
        (["yes", "no", "_silence_", "bed", "cat"], ["yes", "no", "_unknown_", "_silence_"],
         [0, 1, 3, 2, 2]),
        (["no", "yes"], ["no", "yes"], [0, 1]),
        (["yes", "_unknown_", "cat"], ["_unknown_", "yes"], [1, 0, 0]),
        (["Yes"], ["yes", "_unknown_"], [1]),
    ],
)  # fmt: skip
def test_the_label_of_every_word_by_hand(words, labels, index):
    assert label_indices(words, labels) == index


@pytest.mark.parametrize(
    ("counts", "mean"),
    [
        ({"yes": 4, "no": 2, "_unknown_": 90, "_silence_": 50}, 3),
        ({"yes": 3, "no": 4, "go": 4}, 4),  # 11 / 3, rounded
        ({"yes": 4, "_other": 2}, 3),  # which begins like a reserved label, and is none
        ({"_unknown_": 7, "_silence_": 50}, 7),  # no command
        ({"_silence_": 5}, 0),
        ({}, 0),
    ],
)
def test_the_clips_of_a_command_on_average_by_hand(counts, mean):
    assert mean_command_count(label for label, n in counts.items() for _ in range(n)) == mean


def test_ten_names_are_listed_and_the_others_counted():
    names = [chr(ord("l") - i) for i in range(12)]  # l, k, ... a
    assert list_names(names[2:]) == "a, b, c, d, e, f, g, h, i, j"
    assert list_names(names[1:]) == "a, b, c, d, e, f, g, h, i, j and 1 more"
    assert list_names(names) == "a, b, c, d, e, f, g, h, i, j and 2 more"
