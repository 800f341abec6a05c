"""Where the recordings of a manifest are looked for, and what is told where they are not."""

import os
import unicodedata
from functools import partial

import pytest
from common import refusal, touch

from speechcls.errors import DatasetError
from speechcls.layouts.manifest import read_manifests

message_of = partial(refusal, DatasetError, read_manifests)


def write_list(root, names, place="m.csv"):
    """A manifest of names, labelled by number."""
    (root / place).parent.mkdir(parents=True, exist_ok=True)
    rows = "".join(f"{name},w{i % 2}\n" for i, name in enumerate(names))
    (root / place).write_text("path,label\n" + rows)
    return root / place


def names_in(dataset):
    return [dataset.relative_name(e.path) for e in dataset.examples]


@pytest.mark.parametrize(
    "base",
    ["audio", "clips", "wav", "wavs", "recordings", "data", "Audio", "audio_train", "x.audio_16k"],
)
@pytest.mark.parametrize("place", ["m.csv", "meta/m.csv"])
def test_recordings_below_a_folder_beside_the_list_or_above_it(base, place, root):
    touch(root, f"{base}/yes/1.wav", f"{base}/2.wav")
    manifest = write_list(root, ["yes/1.wav", "2.wav"], place)
    dataset = read_manifests([manifest])
    assert names_in(dataset) == [f"{base}/yes/1.wav", f"{base}/2.wav"]
    assert dataset.notes == [f"{manifest}: its recordings are below {root / base}"]
    assert dataset.root == root


def test_recordings_above_the_list(root):
    touch(root, "yes/1.wav")
    manifest = write_list(root, ["yes/1.wav"], "meta/m.csv")
    assert names_in(read_manifests([manifest])) == ["yes/1.wav"]


def test_the_folder_of_the_list_comes_first(root):
    touch(root, "1.wav", "audio/1.wav", "2.wav", "audio/2.wav")
    dataset = read_manifests([write_list(root, ["1.wav", "2.wav"])])
    assert names_in(dataset) == ["1.wav", "2.wav"]
    assert dataset.notes == []


def test_one_folder_is_taken_for_all_rows(root):
    touch(root, "1.wav", "audio/1.wav", "audio/2.wav")
    manifest = write_list(root, ["1.wav", "2.wav", "3.wav"])
    dataset = read_manifests([manifest])
    assert names_in(dataset) == ["audio/1.wav", "audio/2.wav"]
    assert dataset.problems == [f"{manifest}:4: no such file: {root / 'audio/3.wav'}"]


def test_each_split_is_in_its_folder(root):
    touch(root, "audio_train/1.wav", "audio_test/1.wav")
    manifests = [write_list(root, ["1.wav"], f"{split}.csv") for split in ("train", "test")]
    assert names_in(read_manifests(manifests)) == ["audio_train/1.wav", "audio_test/1.wav"]


def test_a_folder_is_listed_once_whatever_it_holds(root, monkeypatch):
    names = [f"yes/{i}.wav" for i in range(300)]
    touch(root, *(f"audio/{name}" for name in names))
    listed, scandir = [], os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: (listed.append(str(path)), scandir(path))[1])
    assert len(read_manifests([write_list(root, names)]).examples) == 300
    assert listed.count(str(root / "audio/yes")) == 1
    assert len(listed) == len({*listed})


# Of another machine


@pytest.mark.parametrize(
    "prefix",
    ["/home/ann/data/", "C:\\data\\", "d:/", "\\\\server\\share\\x\\", "speech/v1/"],
)
@pytest.mark.parametrize("place", ["m.csv", "lists/m.csv"])
def test_leading_folders_of_another_machine_are_left_out(prefix, place, root):
    touch(root, "yes/1.wav", "no/1.wav", "no/deep/2.wav")
    names = [
        (prefix + name).replace("/", "\\") if "\\" in prefix else prefix + name
        for name in ("yes/1.wav", "no/1.wav", "no/deep/2.wav")
    ]
    dataset = read_manifests([write_list(root, names, place)])
    assert names_in(dataset) == ["yes/1.wav", "no/1.wav", "no/deep/2.wav"]
    assert dataset.problems == []


def test_what_was_left_out_is_told(root):
    touch(root, "yes/1.wav")
    manifest = write_list(root, ["C:\\data\\yes\\1.wav"])
    assert read_manifests([manifest]).notes == [
        f"{manifest}: its recordings are below {root}, without C:/data/ before their names"
    ]


def test_lists_of_two_machines_may_be_joined(root):
    touch(root, "yes/1.wav", "no/1.wav")
    names = ["C:\\data\\yes\\1.wav", "/home/ann/data/no/1.wav"]
    assert names_in(read_manifests([write_list(root, names)])) == ["yes/1.wav", "no/1.wav"]


def test_two_names_never_become_one_file(root):
    touch(root, "1.wav")
    manifest = write_list(root, ["/data/yes/1.wav", "/data/no/1.wav"])
    assert message_of([manifest]).startswith(
        f"root: {manifest}: none of its 2 recordings is there, as '/data/yes/1.wav' (looked for"
        f" below {root}"
    )


def test_a_name_that_is_missing_is_not_looked_for_higher_up(root):
    touch(root, "yes/1.wav", "yes/2.wav", "3.wav")
    names = ["/data/yes/1.wav", "/data/yes/2.wav", "/data/yes/3.wav"]
    manifest = write_list(root, names)
    dataset = read_manifests([manifest])
    assert names_in(dataset) == ["yes/1.wav", "yes/2.wav"]
    assert dataset.problems == [f"{manifest}:4: no such file: /data/yes/3.wav"]


@pytest.mark.parametrize(
    "name", ["yes\\1.wav", ".\\yes\\1.wav", "./yes/1.wav", " yes/1.wav ", "yes/1"]
)
def test_other_ways_to_write_a_name(name, root):
    touch(root, "yes/1.wav")
    assert names_in(read_manifests([write_list(root, [name])])) == ["yes/1.wav"]


def test_endings_that_are_left_out(root):
    touch(
        root, "1.wav", "2.flac", "3.mp3", "4.ogg", "5-100032-A-0.wav", "6.wav", "6.mp3", "v1.2.wav"
    )
    names = ["1", "2", "3", "4", "5-100032-A-0", "6", "v1.2"]
    found = ["1.wav", "2.flac", "3.mp3", "4.ogg", "5-100032-A-0.wav", "6.wav", "v1.2.wav"]
    assert names_in(read_manifests([write_list(root, names)])) == found


@pytest.mark.parametrize(("listed", "on_disk"), [("NFC", "NFD"), ("NFD", "NFC")])
@pytest.mark.parametrize("base", ["", "données/", "données/audio/"])
def test_unicode_forms_are_one(listed, on_disk, base, root):
    names = ["né/1.wav", "né/deep/é.wav", "plain/2.wav"]
    touch(root, *(unicodedata.normalize(on_disk, base + name) for name in names))
    manifest = write_list(root, [unicodedata.normalize(listed, base + name) for name in names])
    dataset = read_manifests([manifest])
    assert names_in(dataset) == [unicodedata.normalize(on_disk, base + name) for name in names]
    assert all(e.path.is_file() for e in dataset.examples)


def test_of_two_unicode_forms_the_listed_one_is_taken(root):
    names = [unicodedata.normalize(form, "né.wav") for form in ("NFC", "NFD")]
    touch(root, *names)
    assert names_in(read_manifests([write_list(root, names)])) == names


# Below a folder that is named


def test_names_are_relative_to_the_root_alone(root, tmp_path):
    touch(root, "1.wav", "2.wav")
    touch(tmp_path, "other/1.wav")
    manifest = write_list(root, ["1.wav", "2.wav"])
    dataset = read_manifests([manifest], root=tmp_path / "other")
    assert [e.path for e in dataset.examples] == [tmp_path / "other/1.wav"]
    assert dataset.problems == [f"{manifest}:3: no such file: {tmp_path / 'other/2.wav'}"]
    assert dataset.root == tmp_path / "other"


def test_a_root_is_what_another_machines_folder_is_here(root, tmp_path):
    touch(tmp_path, "here/yes/1.wav")
    manifest = write_list(root, ["/mnt/data/yes/1.wav"])
    [example] = read_manifests([manifest], root=tmp_path / "here").examples
    assert example.path == tmp_path / "here/yes/1.wav"


def test_a_root_that_is_no_folder(root):
    manifest = write_list(root, ["1.wav"])
    assert message_of([manifest], None, root / "x") == (
        f"root: {root / 'x'}: no such folder; check the path"
    )


def test_a_list_without_a_recording_shows_where_it_looked(root, tmp_path):
    touch(root, "audio/other.wav")
    manifest = write_list(root, ["x/1.wav", "2.wav"])
    message = message_of([manifest])
    assert message.startswith(
        f"root: {manifest}: none of its 2 recordings is there, as 'x/1.wav' (looked for below"
        f" {root}, {root / 'audio'}, {tmp_path}"
    )
    assert message.endswith("; name the folder that their paths are relative to")


@pytest.mark.parametrize("ending", ["mp3", "WAV"])
def test_endings_may_be_those_of_another_format(ending, root):
    touch(root, "a.flac")
    manifest = write_list(root, [f"a.{ending}"])
    dataset = read_manifests([manifest])
    assert names_in(dataset) == ["a.flac"]
    assert dataset.notes == [
        f"{manifest}: its recordings are below {root}, with other endings (a.{ending} is a.flac)"
    ]


def test_a_file_url_is_a_path(root):
    touch(root, "my audio/a.wav")
    manifest = write_list(root, [f"file://{root}/my%20audio/a.wav"])
    assert names_in(read_manifests([manifest])) == ["my audio/a.wav"]


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("yes", "{root}/yes is a folder; name each recording in it"),
        (
            "YES/A.WAV",
            "there is {root}/yes/a.wav; name it so, with its folders and in the same capitals",
        ),
        (
            "0.wav",
            "there are {root}/no/0.wav and {root}/yes/0.wav; write the folder of each before its"
            " name",
        ),
        ("b.wav", "name the folder that their paths are relative to"),
    ],
)
def test_what_differs_is_told(name, advice, root):
    touch(root, "yes/a.wav", "yes/0.wav", "no/0.wav")
    message = message_of([write_list(root, [name])])
    assert message.partition("); ")[2] == advice.format(root=root)
