"""What file names mean by a pattern."""

from collections import Counter
from functools import partial

import pytest
from common import LAYOUT_HELP, found, refusal, touch

from speechcls.errors import DatasetError
from speechcls.layouts.load import load_dataset

message_of = partial(refusal, DatasetError, load_dataset)


# Patterns


def test_flat_names_by_pattern(root):
    touch(root, "0_george_1.wav", "0_george_2.wav", "7_ann_1.wav", "notes.wav")
    dataset = load_dataset(root, "{label}_{speaker}_{take}")
    assert found(dataset) == [
        ("0_george_1.wav", "0", "george"),
        ("0_george_2.wav", "0", "george"),
        ("7_ann_1.wav", "7", "ann"),
    ]
    assert dataset.problems == [
        f"{root / 'notes.wav'}: does not match the pattern {{label}}_{{speaker}}_{{take}}"
    ]


@pytest.mark.parametrize(
    ("pattern", "name", "label", "speaker"),
    [
        ("{label}-{take}", "yes-1.wav", "yes", None),
        ("{label}_{_}", "yes_x_y_z.wav", "yes", None),
        ("{_}_{speaker}_{_}_{label}", "0_ann_1_yes.wav", "yes", "ann"),
        ("{speaker}_{label}", "ann_turn_on.wav", "turn_on", "ann"),  # the first field is shortest
        ("{speaker}{label}", "xyes.wav", "yes", "x"),
        ("rec({take})+[{label}]", "rec(3)+[yes].wav", "yes", None),  # no regular expression
        ("{label}.{take}", "yes.3.wav", "yes", None),
        ("{label}_{speaker}", "はい_あい.wav", "はい", "あい"),
        ("{label}_{speaker}", "a b_c d.wav", "a b", "c d"),
        ("{speaker}/{label}/{take}", "ann/yes/1.wav", "yes", "ann"),
        ("{speaker}/{label}/{take}", "deep/er/ann/yes/1.wav", "yes", "ann"),
        ("{speaker}/{label}_{_}", "corpus/ann/yes_1.wav", "yes", "ann"),
        ("{label}/{_}/{speaker}_{take}", "yes/session 1/ann_1.wav", "yes", "ann"),
        ("{label}_{_}", "folder/yes_1.wav", "yes", None),  # a name in any folder
        ("{speaker}_{_}", "yes/ann_1.wav", "yes", "ann"),  # the label stays the folder's
        ("{label}_{take}.wav", "yes_1.wav", "yes", None),  # the ending is not part of the name
        ("{label}\\{speaker}_{take}", "yes/ann_1.wav", "yes", "ann"),
        ("{label}", "a_nohash_0.wav", "a_nohash_0", "a"),  # the speaker stays that of _nohash_
    ],
)
def test_fields_of_a_pattern(pattern, name, label, speaker, root):
    touch(root, name)
    assert found(load_dataset(root, pattern)) == [(name, label, speaker)]


@pytest.mark.parametrize(
    ("pattern", "name"),
    [
        ("{label}_{take}", "yes.wav"),
        ("{label}_{take}", "yes_.wav"),  # a field is not empty
        ("{label}_{take}", "_1.wav"),
        ("{speaker}/{label}", "yes.wav"),
        ("{label}_{_}", "yes_.wav"),
        ("{label}_{speaker}", "yes_ann/1.wav"),  # without a slash only the name counts
        ("Yes_{speaker}", "yes_ann.wav"),
    ],
)
def test_what_a_pattern_does_not_match_is_a_problem(pattern, name, root):
    touch(root, name)
    expected = f"{root}: no clip found\n  {root / name}: does not match the pattern {pattern}"
    assert message_of(root, pattern=pattern) == expected


def test_a_pattern_that_gives_the_speaker_only_needs_label_folders(root):
    touch(root, "yes/ann_1.wav", "bob_2.wav")
    dataset = load_dataset(root, "{speaker}_{take}")
    assert found(dataset) == [("yes/ann_1.wav", "yes", "ann")]
    assert dataset.problems == [f"{root / 'bob_2.wav'}: not in a label folder{LAYOUT_HELP}"]


@pytest.mark.parametrize(
    ("pattern", "fault"),
    [
        ("{word}_{speaker}", "unknown {word}"),
        ("{Label}", "unknown {Label}"),
        ("{label}_{label}", "{label} occurs twice"),
        ("{speaker}/{speaker}_{label}", "{speaker} occurs twice"),
        ("{take}_{_}", "names neither label nor speaker"),
        ("yes", "names neither label nor speaker"),
        ("{label", "names neither label nor speaker"),
        ("{}", "names neither label nor speaker"),
    ],
)
def test_wrong_patterns(pattern, fault, root):
    touch(root, "yes/1.wav")
    assert message_of(root, pattern=pattern) == (
        f"pattern: {pattern!r}: {fault}; fields are {{label}}, {{speaker}}, {{split}}, {{take}},"
        " {_}, with {label} or {speaker}"
    )


def test_free_spoken_digits_as_their_readme_counts_them(shared_data):
    dataset = load_dataset(shared_data / "fsdd", "{label}_{speaker}_{take}")
    labels = Counter(e.label for e in dataset.examples)
    speakers = Counter(e.speaker for e in dataset.examples)
    assert labels == {str(digit): 300 for digit in range(10)}
    assert list(speakers.values()) == [500] * 6
