"""Which clips are found in every layout, what is known of them, and what is said of bad data."""

import errno
import os
import re
from collections import Counter
from functools import partial
from pathlib import Path

import pytest
from common import LAYOUT_HELP, found, refusal, touch

from speechcls.errors import DatasetError
from speechcls.layouts.examples import Dataset, Example, find_recordings
from speechcls.layouts.load import LAYOUTS, DatasetRequest, Layout, load_dataset

message_of = partial(refusal, DatasetError, load_dataset)


# Folders


def test_a_sub_folder_is_a_label(root):
    touch(root, "yes/b.wav", "yes/a.wav", "no/c.wav")
    dataset = load_dataset(root)
    assert dataset == Dataset(
        root,
        [
            Example(root / "no/c.wav", "no"),
            Example(root / "yes/a.wav", "yes"),
            Example(root / "yes/b.wav", "yes"),
        ],
    )


def test_every_audio_ending_counts_in_any_case_and_no_other(root):
    audio = ["a.wav", "b.FLAC", "c.Mp3", "d.ogg", "e.aiff", "f.opus", "g.au", "h.caf", "i.w64"]
    touch(root, *(f"yes/{name}" for name in [*audio, "j.txt", "k.wav.part", "wav", "l.mid"]))
    assert [e.path.name for e in load_dataset(root).examples] == audio


def test_folders_within_a_label_belong_to_it(root):
    touch(root, "yes/ann/1.wav", "yes/bob/x/2.wav", "no/3.wav")
    assert found(load_dataset(root)) == [
        ("no/3.wav", "no", None),
        ("yes/ann/1.wav", "yes", None),
        ("yes/bob/x/2.wav", "yes", None),
    ]


def test_hidden_and_foreign_files_are_passed_over(root):
    touch(
        root,
        "yes/1.wav",
        "yes/.2.wav",
        "yes/._1.wav",
        ".git/3.wav",
        "yes/.cache/4.wav",
        "__MACOSX/yes/5.wav",
        "README.md",
    )
    dataset = load_dataset(root)
    assert found(dataset) == [("yes/1.wav", "yes", None)]
    assert dataset.problems == dataset.empty_labels == []


def test_a_clip_outside_a_label_folder_is_a_problem(root):
    touch(root, "yes/1.wav", "loose.wav")
    dataset = load_dataset(root)
    assert found(dataset) == [("yes/1.wav", "yes", None)]
    assert dataset.problems == [f"{root / 'loose.wav'}: not in a label folder{LAYOUT_HELP}"]


def test_a_label_folder_without_a_recording_is_named(root):
    touch(root, "yes/1.wav", "no/notes.txt", "go/.1.wav")
    assert load_dataset(root).empty_labels == ["go", "no"]


def test_names_may_hold_anything(root):
    names = ['it\'s "1".wav', "a\nb.wav", "はい.wav", "two words.wav", os.fsdecode(b"\xff.wav")]
    try:
        touch(root, *(f"sí, señor/{name}" for name in names))
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    dataset = load_dataset(root)
    assert {e.path.name for e in dataset.examples} == set(names)
    assert {e.label for e in dataset.examples} == {"sí, señor"}


def test_a_label_folder_may_be_a_link(root, tmp_path):
    touch(tmp_path / "elsewhere", "1.wav", "sub/2.wav")
    touch(root, "no/3.wav")
    (root / "yes").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    assert found(load_dataset(root)) == [
        ("no/3.wav", "no", None),
        ("yes/1.wav", "yes", None),
        ("yes/sub/2.wav", "yes", None),
    ]


@pytest.mark.parametrize("target", ["", "yes", "yes/sub"])
def test_a_link_to_a_folder_above_ends(root, target):
    touch(root, "no/1.wav", "yes/2.wav", "yes/sub/3.wav")
    (root / "yes/sub/up").symlink_to(root / target, target_is_directory=True)
    assert [e.path.name for e in load_dataset(root).examples] == ["1.wav", "2.wav", "3.wav"]


def test_a_link_to_a_label_takes_nothing_from_it(root):
    touch(root, "yes/1.wav", "no/2.wav")
    (root / "aye").symlink_to(root / "yes", target_is_directory=True)
    dataset = load_dataset(root)
    assert ("yes/1.wav", "yes", None) in found(dataset)
    assert dataset.empty_labels == []


def test_links_between_labels_are_left_out_and_said(root):
    touch(root, *(f"{label}/{i}.wav" for label in ("go", "no", "yes") for i in range(2)))
    for label in ("go", "no", "yes"):
        for other in {"go", "no", "yes"} - {label}:
            (root / label / f"to-{other}").symlink_to(root / other, target_is_directory=True)
    dataset = load_dataset(root)
    assert [name for name, _, _ in found(dataset)] == [
        f"{label}/{i}.wav" for label in ("go", "no", "yes") for i in range(2)
    ]
    assert dataset.notes == [
        f"{root}: files that are no recordings are left out: 6 link to a folder that is searched"
        " anyway"
    ]


def test_two_links_to_one_folder_elsewhere_are_searched_once(root, tmp_path):
    touch(tmp_path / "elsewhere", "1.wav")
    touch(root, "no/3.wav")
    for name in ("aye", "yes"):
        (root / name).symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    assert [row[:2] for row in found(load_dataset(root))] == [
        ("aye/1.wav", "aye"), ("no/3.wav", "no")
    ]  # fmt: skip


def test_a_broken_link_is_found_so_that_reading_it_reports_it(root):
    touch(root, "yes/1.wav")
    (root / "yes/2.wav").symlink_to(root / "gone.wav")
    assert [e.path.name for e in load_dataset(root).examples] == ["1.wav", "2.wav"]


def test_the_order_does_not_depend_on_the_disk(root, monkeypatch):
    touch(root, *(f"{label}/{i}.wav" for label in ("yes", "no", "Go") for i in range(9)))
    expected = found(load_dataset(root))
    walk = os.walk

    def walk_backwards(top, **options):
        for parent, folders, files in walk(top, **options):
            folders.reverse()
            yield parent, folders, files[::-1]

    monkeypatch.setattr(os, "walk", walk_backwards)
    assert found(load_dataset(root)) == expected
    assert expected == sorted(expected)


def test_background_noise_is_no_label(root):
    touch(root, "yes/1.wav", "_background_noise_/rain.wav", "_background_noise_/README.md")
    dataset = load_dataset(root)
    assert found(dataset) == [("yes/1.wav", "yes", None)]
    assert dataset.noise == [root / "_background_noise_/rain.wav"]


def test_noise_of_another_folder_is_added(root, tmp_path):
    touch(root, "yes/1.wav", "_background_noise_/rain.wav")
    touch(tmp_path / "noise", "deep/b.flac", "a.wav", ".c.wav")
    assert load_dataset(root, noise=tmp_path / "noise").noise == [
        root / "_background_noise_/rain.wav",
        tmp_path / "noise/a.wav",
        tmp_path / "noise/deep/b.flac",
    ]


def test_a_noise_folder_must_hold_noise(root, tmp_path):
    touch(root, "yes/1.wav")
    missing, empty = tmp_path / "missing", tmp_path / "empty"
    empty.mkdir()
    expected = f"noise: {missing}: no such folder of background noise; check the path"
    assert message_of(root, noise=missing) == expected
    expected = f"noise: {empty}: no recording of background noise in it; name another"
    assert message_of(root, noise=empty) == expected


def test_no_clip_at_all(root):
    root.mkdir()
    assert message_of(root) == f"{root}: no clip found{LAYOUT_HELP}"
    touch(root, "1.wav")
    assert message_of(root) == (
        f"{root}: no clip found\n  {root / '1.wav'}: not in a label folder{LAYOUT_HELP}"
    )


def test_the_folder_of_one_word_is_said_to_be_one(root):
    touch(root, "1.wav", "2.wav")
    assert message_of(root) == (
        f"{root}: no clip found; if it has one word alone, name the folder that it is in; or"
        f"{LAYOUT_HELP.removeprefix(';')}\n"
        f"  {root / '1.wav'}: not in a label folder\n"
        f"  {root / '2.wav'}: not in a label folder"
    )


def test_no_more_than_five_reasons_are_given(root):
    touch(root, *(f"{i}.wav" for i in range(9)))
    assert message_of(root).count("\n") == 5


def test_the_answer_for_uncertainty_is_no_label(root):
    touch(root, "_uncertain_/1.wav", "yes/2.wav")
    expected = f"{root / '_uncertain_/1.wav'}: the label _uncertain_ is reserved; rename it"
    assert message_of(root) == expected


def test_what_is_no_data(root):
    touch(root, "clip.wav", "notes.pdf")
    neither = "neither a folder nor a manifest"
    assert message_of(root / "clip.wav") == (
        f"{root / 'clip.wav'}: {neither}; put recordings into one sub-folder per word"
        " (data/yes/1.wav) and name the folder of those"
    )
    assert message_of(root / "notes.pdf") == (
        f"{root / 'notes.pdf'}: {neither}; name one that ends in .csv, .tsv, .jsonl, .json or"
        " .parquet"
    )
    assert message_of(root / "note.pdf") == (
        f"{root / 'note.pdf'}: no such folder or manifest; did you mean {root / 'notes.pdf'}?"
    )
    for path in (root / "none", root / "none.csv"):
        assert message_of(path) == f"{path}: no such folder or manifest; check the path"


def test_a_folder_that_cannot_be_listed_is_an_error(root):
    reason = "no such file or directory; change its permissions or leave it out"
    with pytest.raises(DatasetError, match=re.escape(f"{root}: {reason}")):
        list(find_recordings(root))
    problems = []
    assert list(find_recordings(root, problems.append)) == []
    assert [str(problem) for problem in problems] == [f"{root}: {reason}"]


def test_a_locked_folder_is_a_problem_and_the_rest_is_found(root, monkeypatch):
    touch(root, "yes/1.wav", "yes/locked/2.wav", "yes/open/3.wav")
    scandir = os.scandir

    def refuse(path):  # permissions themselves do not stop a test that root runs
        if Path(path).name == "locked":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    dataset = load_dataset(root)
    assert [e.path.name for e in dataset.examples] == ["1.wav", "3.wav"]
    advice = "change its permissions or leave it out"
    assert dataset.problems == [f"{root / 'yes/locked'}: permission denied; {advice}"]


def test_names_are_relative_to_the_root_if_they_lie_in_it(root):
    dataset = Dataset(root)
    assert dataset.relative_name(root / "yes" / "1.wav") == "yes/1.wav"
    assert dataset.relative_name(Path("/elsewhere/1.wav")) == "/elsewhere/1.wav"


# Speech Commands


def test_the_speaker_stands_before_nohash(root):
    touch(
        root,
        "yes/0a7c2a8d_nohash_0.wav",
        "yes/0a7c2a8d_nohash_1.wav",
        "yes/_nohash_1.wav",
        "yes/a_b_nohash_c_nohash_0.wav",
        "yes/nohash_1.wav",
    )
    speakers = {e.path.name: e.speaker for e in load_dataset(root).examples}
    assert speakers == {
        "0a7c2a8d_nohash_0.wav": "0a7c2a8d",
        "0a7c2a8d_nohash_1.wav": "0a7c2a8d",
        "_nohash_1.wav": None,
        "a_b_nohash_c_nohash_0.wav": "a_b",
        "nohash_1.wav": None,
    }


def test_official_lists_name_wav_where_the_files_are_flac(root):
    names = ["no/a_nohash_0", "no/b_nohash_0", "yes/a_nohash_0", "yes/c_nohash_0", "yes/d.e_0"]
    touch(root, *(f"{name}.flac" for name in names))
    (root / "validation_list.txt").write_text("no/a_nohash_0.wav\nyes/a_nohash_0.wav\n")
    (root / "testing_list.txt").write_text("yes/c_nohash_0.wav\r\n\r\nyes/d.e_0.wav")
    assert [e.split for e in load_dataset(root).examples] == [
        "validation",
        "train",
        "validation",
        "test",
        "test",
    ]


def test_without_official_lists_nothing_is_said_of_splits(root):
    touch(root, "yes/a_nohash_0.wav")
    (root / "validation_list.txt").write_text("")
    assert [e.split for e in load_dataset(root).examples] == [None]


def test_official_lists_name_files_in_any_encoding(root):
    names = [os.fsdecode(b"yes/\xff_nohash_0.wav"), "yes/ñ_nohash_0.wav"]
    try:
        touch(root, *names, "yes/z_nohash_0.wav")
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    (root / "testing_list.txt").write_bytes("\n".join(names).encode("utf-8", "surrogateescape"))
    # In the order of the bytes' stand-ins: z, then ñ, then the lone byte.
    assert [e.split for e in load_dataset(root).examples] == ["train", "test", "test"]


def test_the_byte_order_mark_of_an_official_list_is_no_name(root):
    touch(root, "no/a_nohash_0.wav", "yes/a_nohash_0.wav")
    (root / "testing_list.txt").write_text("no/a_nohash_0.wav\n", encoding="utf-8-sig")
    assert [e.split for e in load_dataset(root).examples] == ["test", "train"]


def test_the_part_of_speech_commands_is_as_its_readme_counts_it(speech_commands):
    dataset = load_dataset(speech_commands)
    labels = Counter(e.label for e in dataset.examples)
    assert len(dataset.examples) == 11_583
    assert len(dataset.noise) == 6
    assert (labels["left"], labels["no"], labels["bed"]) == (1_242, 888, 250)
    assert Counter(e.split for e in dataset.examples) == {"train": 10_092, "validation": 1_491}
    assert all(len(e.speaker) == 8 for e in dataset.examples)
    assert dataset.problems == dataset.empty_labels == []


# The table of layouts


@pytest.mark.parametrize(
    ("names", "source", "pattern", "layout"),
    [
        (["yes/1.wav"], ".", None, "label folders"),
        (["yes/1.wav", "testing_list.txt"], ".", None, "label folders"),
        (["yes/1.wav", "validation_list.txt"], ".", None, "label folders"),
        (["yes_ann.wav", "testing_list.txt"], ".", "{label}_{speaker}", "names by a pattern"),
        (["yes/1.wav"], ".", "", "label folders"),
        (["m.csv"], "m.csv", None, "manifest"),
        (["m.JSONL"], "m.JSONL", "{label}", "manifest"),
        (["m.csv/yes/1.wav"], "m.csv", None, "label folders"),
        (["m.txt"], "m.txt", None, "manifest"),
        (["m.pdf"], "m.pdf", None, None),
    ],
)
def test_each_source_is_recognised_by_its_layout(names, source, pattern, layout, root):
    touch(root, *names)
    asked = DatasetRequest(root / source, pattern)
    assert next((each.name for each in LAYOUTS if each.recognises(asked)), None) == layout


def test_a_new_layout_is_a_line_in_the_table(root, monkeypatch):
    def read(source):
        return Dataset(source.path, [Example(source.path / "clip.raw", "yes", "ann")])

    ours = Layout("raw", lambda source: (source.path / "clip.raw").is_file(), read)
    monkeypatch.setattr("speechcls.layouts.load.LAYOUTS", (ours, *LAYOUTS))
    touch(root, "clip.raw")
    assert found(load_dataset(root)) == [("clip.raw", "yes", "ann")]


def test_a_data_set_prints_as_a_line(root):
    touch(root, "yes/ann_nohash_0.wav", "no/bob_nohash_0.wav", "loose.wav")
    touch(root, "_background_noise_/hum.wav")
    expected = "clips 2, labels 2, speakers 2, background recordings 1, problems 1"
    assert str(load_dataset(root)) == f"{root}: {expected}"
