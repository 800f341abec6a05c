"""The split lists of Speech Commands as people's tools write them."""

import unicodedata
from functools import partial

import pytest
from common import refusal, touch

from speechcls.errors import DatasetError
from speechcls.layouts.load import load_dataset

message_of = partial(refusal, DatasetError, load_dataset)


@pytest.fixture
def data(root):
    touch(root, *(f"{label}/{name}_nohash_0.wav" for label in ("no", "yes") for name in "abc"))
    return root


def splits(root, *lines, name="testing_list.txt"):
    (root / name).write_text("\n".join(lines) + "\n")
    return "".join((example.split or "-")[1] for example in load_dataset(root).examples)


@pytest.mark.parametrize(
    "line",
    [
        "yes/b_nohash_0.wav",
        "./yes/b_nohash_0.wav",
        "yes\\b_nohash_0.wav",
        "speech_commands/yes/b_nohash_0.wav",
        "/home/ann/speech/yes/b_nohash_0.wav",
        "C:\\data\\yes\\b_nohash_0.flac",
        "  yes/b_nohash_0.wav  ",
    ],
)
def test_a_line_names_a_clip_by_the_end_of_its_path(line, data):
    assert splits(data, line) == "rrrrer"  # second letters of train and test


def test_a_bare_name_counts_where_it_is_that_of_one_clip(data):
    touch(data, "yes/d_nohash_0.wav")
    assert splits(data, "d_nohash_0.wav", "a_nohash_0.wav") == "rrrrrre"
    assert load_dataset(data).warnings == [
        f"{data / 'testing_list.txt'}: 1 of 2 lines name no clip, a_nohash_0.wav first"
    ]


def test_the_take_of_another_word_is_not_taken_for_it(data):
    touch(data, "go/z_nohash_0.wav")
    assert splits(data, "left/z_nohash_0.wav", "no/a_nohash_0.wav") == "rerrrrr"


def test_a_list_in_another_unicode_form(root):
    touch(root, unicodedata.normalize("NFD", "né/1.wav"), "oui/1.wav")
    assert splits(root, unicodedata.normalize("NFC", "né/1.wav")) == "er"


def test_clips_that_differ_in_their_ending_are_named_alike(data):
    touch(data, "no/a_nohash_0.flac")
    assert splits(data, "no/a_nohash_0.wav") == "eerrrrr"


def test_a_list_that_names_no_clip_is_refused_with_both_sides(data):
    (data / "testing_list.txt").write_text("oui/x.wav\nnon/y.wav\n")
    assert message_of(data) == (
        f"{data / 'testing_list.txt'}: none of its 2 lines names a clip: the first line is"
        " 'oui/x.wav', the first clip 'no/a_nohash_0.wav'; correct the list"
    )


def test_an_empty_list_is_said(data):
    (data / "testing_list.txt").write_text("\n\n")
    dataset = load_dataset(data)
    assert {example.split for example in dataset.examples} == {None}
    assert dataset.warnings == [f"{data / 'testing_list.txt'}: is empty, so that it names no clip"]


def test_a_list_beside_split_folders_counts_before_them(root):
    touch(root, "train/yes/1.wav", "train/yes/2.wav", "train/no/1.wav")
    (root / "train/validation_list.txt").write_text("yes/2.wav\n")
    assert [e.split for e in load_dataset(root).examples] == ["train", "train", "validation"]


@pytest.mark.parametrize("name", ["test_list.txt", "Testing_List.TXT", "testing_list.csv"])
def test_lists_go_by_other_names_too(name, data):
    assert splits(data, "yes/b_nohash_0.wav,yes", name=name) == "rrrrer"


def test_a_list_in_utf_16(data):
    (data / "testing_list.txt").write_text("yes/b_nohash_0.wav\r\n", encoding="utf-16")
    assert [e.split for e in load_dataset(data).examples].index("test") == 4
