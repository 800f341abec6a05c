"""What folders are taken for: labels, splits, speakers or nothing, and what is asked back."""

import unicodedata
from functools import partial

import pytest
from common import found, refusal, touch

from speechcls.errors import DatasetError
from speechcls.layouts.load import load_dataset

message_of = partial(refusal, DatasetError, load_dataset)


def rows(root, *names, **options):
    """Path, label, speaker and split of each clip of a folder with files of these names."""
    touch(root, *names)
    dataset = load_dataset(root, **options)
    assert dataset.problems == []
    return [(dataset.relative_name(e.path), e.label, e.speaker, e.split) for e in dataset.examples]


def grid(*levels, ending=".wav"):
    """Every path through these levels."""
    paths = [""]
    for level in levels:
        paths = [f"{path}/{name}".removeprefix("/") for path in paths for name in level]
    return [f"{path}{ending}" for path in paths]


# Splits


@pytest.mark.parametrize(
    ("folder", "split"),
    [
        *[(name, "train") for name in ("train", "Training", "TRAIN", "train_set", "audio_train")],
        *[(n, "validation") for n in ("val", "valid", "Validation", "dev", "eval", "dev-set")],
        *[(name, "test") for name in ("test", "testing", "Test", "testing_data")],
    ],
)
def test_folders_called_as_a_split_are_one(folder, split, root):
    names = grid([folder], ["yes", "no"], ["1", "2"])
    other = grid(["train" if split != "train" else "test"], ["yes", "no"], ["3"])
    ours = [row for row in rows(root, *names, *other) if row[0].startswith(f"{folder}/")]
    assert [(label, of) for _, label, _, of in ours] == [
        ("no", split), ("no", split), ("yes", split), ("yes", split)
    ]  # fmt: skip


def test_what_was_understood_is_said_in_a_line(root):
    touch(root, *grid(["train", "val", "test"], ["yes", "no"], ["1"]))
    assert load_dataset(root).notes == [
        f"{root}: test, train and val are taken for the split, not for labels"
    ]


def test_files_beside_the_clips_of_a_split_are_no_clips(root):
    touch(root, "train/metadata.csv", "train/yes/1.wav", "train/no/1.wav", "test/yes/2.wav")
    assert len(load_dataset(root).examples) == 3


def test_a_split_may_lie_below_other_folders(root):
    names = grid(["corpus"], ["train", "test"], ["audio"], ["oui", "non"], ["1"])
    assert rows(root, *names)[0] == ("corpus/test/audio/non/1.wav", "non", None, "test")
    assert {row[1] for row in rows(root)} == {"oui", "non"}


def test_a_split_may_lie_below_the_labels(root):
    names = grid(["yes", "no"], ["train", "test"], ["1"])
    assert [(row[1], row[3]) for row in rows(root, *names)] == [
        ("no", "test"), ("no", "train"), ("yes", "test"), ("yes", "train")
    ]  # fmt: skip


def test_a_split_beside_labels_that_holds_the_same_labels(root):
    names = [*grid(["yes", "no", "stop"], ["1"]), *grid(["test"], ["yes", "no"], ["2"])]
    assert {(row[1], row[3]) for row in rows(root, *names)} == {
        ("yes", "train"), ("no", "train"), ("stop", "train"), ("yes", "test"), ("no", "test")
    }  # fmt: skip
    assert load_dataset(root).notes == [
        f"{root}: test is taken for the split, since the same labels are in it; what is beside it"
        " is for training"
    ]


def test_the_flat_test_folder_of_a_competition_is_left_out(root):
    names = [*grid(["train"], ["audio"], ["yes", "no"], ["1", "2"])]
    touch(root, *names, "test/audio/a.wav", "test/audio/b.wav")
    touch(root, "train/audio/_background_noise_/hum.wav")
    (root / "train/validation_list.txt").write_text("yes/1.wav\n")
    dataset = load_dataset(root)
    assert [(e.label, e.split) for e in dataset.examples] == [
        ("no", "train"), ("no", "train"), ("yes", "validation"), ("yes", "train")
    ]  # fmt: skip
    assert dataset.noise == [root / "train/audio/_background_noise_/hum.wav"]
    assert dataset.notes[1:] == [
        f"{root / 'test/audio'}: 2 recordings without a label folder, left out (a.wav first)",
        f"{root / 'train/validation_list.txt'}: names 1 clip for validation",
    ]


def test_labels_before_the_first_dot_in_split_folders(root):
    names = [f"training/{label}.{i}a3f.wav" for label in ("yes", "no") for i in range(2)]
    names += [f"testing/{label}.{i}b7.wav" for label in ("yes", "no") for i in range(2)]
    assert [(row[1], row[3]) for row in rows(root, *names, "info.labels")][:3] == [
        ("no", "test"), ("no", "test"), ("yes", "test")
    ]  # fmt: skip


def test_a_folder_called_as_a_split_that_may_be_a_word_is_asked_back(root):
    touch(root, *grid(["yes", "no", "test"], ["1", "2"]))
    message = message_of(root)
    assert message.startswith(f"pattern: {root / 'test'}: a word or a split? ")
    assert "{label}/{_}" in message and "{split}/{label}_{_}" in message
    assert {e.label for e in load_dataset(root, "{label}/{_}").examples} == {"yes", "no", "test"}


def test_split_folders_without_labels_are_asked_back(root):
    touch(root, *grid(["train", "test"], ["yes_1", "no_1"]))
    message = message_of(root)
    assert "no label folders in test and train" in message
    assert "{split}/{label}_{_}" in message
    found_ = load_dataset(root, "{split}/{label}_{_}").examples
    assert [(e.label, e.split) for e in found_] == [
        ("no", "test"), ("yes", "test"), ("no", "train"), ("yes", "train")
    ]  # fmt: skip


def test_a_pattern_with_another_split_is_a_problem_of_its_clip(root):
    touch(root, "train/yes_1.wav", "holdout/no_1.wav")
    dataset = load_dataset(root, "{split}/{label}_{_}")
    assert found(dataset) == [("train/yes_1.wav", "yes", None)]
    assert dataset.problems == [
        f"{root / 'holdout/no_1.wav'}: 'holdout' is no split; name it train, validation or test"
    ]


# Speakers


@pytest.mark.parametrize(
    "speakers", [["spk1", "spk2", "spk3"], ["S-01", "S-02"], ["0a7c2a8d", "1f99b3c0"]]
)
def test_speaker_folders_above_and_below_labels(speakers, root, tmp_path):
    above, below = tmp_path / "above", tmp_path / "below"
    for row in rows(above, *grid(speakers, ["oui", "non"], ["1"])):
        assert row[1:3] == (row[0].split("/")[1], row[0].split("/")[0])
    for row in rows(below, *grid(["oui", "non"], speakers, ["1"])):
        assert row[1:3] == (row[0].split("/")[0], row[0].split("/")[1])


def test_words_that_everybody_knows_are_labels(root):
    names = grid(["ann", "bob", "eve"], ["yes", "no", "stop"], ["1"])
    assert rows(root, *names)[0] == ("ann/no/1.wav", "no", "ann", None)
    assert load_dataset(root).notes == [
        f"{root}: ann, bob and eve are taken for speakers, no, stop and yes for labels"
    ]


def test_digits_are_words(root):
    assert rows(root, *grid(["ann", "bob"], ["0", "1", "2"], ["a"]))[0][1:3] == ("0", "ann")


def test_names_that_recur_in_other_splits_are_labels(root):
    names = [
        *grid(["train"], ["ann", "bob"], ["oui", "non"], ["1"]),
        *grid(["test"], ["eve"], ["oui", "non"], ["1"]),
    ]
    assert rows(root, *names)[0] == ("test/eve/non/1.wav", "non", "eve", "test")


def test_a_grid_of_unknown_names_is_asked_back(root):
    touch(root, *grid(["ann", "bob"], ["oui", "non"], ["1"]))
    message = message_of(root)
    assert message == (
        f"pattern: {root}: folders as ann/non/ have two readings: give the pattern"
        " {label}/{speaker}/{_} if ann is the word that is said, or {speaker}/{label}/{_} if it is"
        " non"
    )
    assert {e.label for e in load_dataset(root, "{speaker}/{label}/{_}").examples} == {"oui", "non"}


def test_a_speaker_in_the_name_counts_before_that_of_the_folder(root):
    names = grid(["s1", "s2"], ["yes", "no"], ["ann_nohash_0"])
    assert {row[2] for row in rows(root, *names)} == {"ann"}


def test_one_folder_around_everything_is_no_label(root):
    assert {row[1] for row in rows(root, *grid(["archive"], ["oui", "non"], ["1"]))} == {
        "oui", "non"
    }  # fmt: skip
    assert {row[1] for row in rows(root / "2", *grid(["yes"], ["ann", "bob"], ["1"]))} == {"yes"}


# Noise, twins and what is left out


@pytest.mark.parametrize("name", ["_background_noise_", "Background Noise", "background-noise"])
def test_background_noise_is_found_at_any_depth(name, root):
    touch(root, "train/yes/1.wav", "train/no/1.wav", f"train/deep/{name}/hum.wav")
    dataset = load_dataset(root)
    assert dataset.noise == [root / f"train/deep/{name}/hum.wav"]
    assert {e.label for e in dataset.examples} == {"yes", "no"}
    is_said = any("taken for background noise" in note for note in dataset.notes)
    assert is_said == (name != "_background_noise_")


def test_labels_that_differ_in_unicode_form_or_blanks_are_one(root):
    folders = [unicodedata.normalize(form, "né") for form in ("NFC", "NFD")]
    assert {row[1] for row in rows(root, *grid([*folders, "oui", "oui "], ["1"]))} == {
        folders[0], "oui"
    }  # fmt: skip
    assert [note.partition(",")[0] for note in load_dataset(root).notes] == [
        f"{folders[0]}: 2 folders", "oui: 2 folders"
    ]  # fmt: skip


def test_labels_that_differ_in_capitals_stay_two_and_are_named(root):
    assert {row[1] for row in rows(root, *grid(["Non", "non", "oui"], ["1"]))} == {
        "Non", "non", "oui"
    }  # fmt: skip
    assert load_dataset(root).warnings == [
        "labels Non and non differ in capitals only, but count as 2; rename one if they are the"
        " same word"
    ]


def test_files_that_are_no_recordings_are_counted(root):
    touch(root, *grid(["yes", "no"], ["1"]), "yes/a.pdf", "no/b.pdf", "no/c", "notes.txt")
    assert load_dataset(root).notes == [
        f"{root}: files that are no recordings are left out: 2 .pdf, 1 without ending"
    ]


@pytest.mark.parametrize(
    ("folders", "splits"),
    [
        (["train", "dev", "eval"], ["train", "validation", "test"]),
        (["train", "eval"], ["train", "validation"]),
        (["1_train", "2_val", "3_test"], ["train", "validation", "test"]),
        (["train-clean-100", "dev-clean", "test-clean"], ["train", "validation", "test"]),
        (["FSD.dev_audio", "FSD.eval_audio"], ["validation", "test"]),
        (["Training", "Validierung", "Test"], ["train", "validation", "test"]),
        (["训练集", "测试集"], ["train", "test"]),
    ],
)
def test_names_of_splits_in_the_company_of_others(folders, splits, root):
    for folder, split in zip(folders, splits, strict=True):
        touch(root, *grid([folder], ["yes", "no"], [folder]))
        assert split in {"train", "validation", "test"}
    found_ = {(e.path.parts[-3], e.split) for e in load_dataset(root).examples}
    assert found_ == set(zip(folders, splits, strict=True))


def test_folders_that_name_label_and_split(root):
    names = [f"{label}_{split}/1.wav" for label in ("an", "aus") for split in ("train", "test")]
    assert {(row[1], row[3]) for row in rows(root, *names)} == {
        ("an", "train"), ("an", "test"), ("aus", "train"), ("aus", "test")
    }  # fmt: skip


def test_an_archive_in_an_archive_names_its_split_twice(root):
    names = [f"{split}/{split}/{label}/1.wav" for split in ("train", "test") for label in "ab"]
    assert {row[1:] for row in rows(root, *names)} == {
        ("a", None, "train"), ("b", None, "train"), ("a", None, "test"), ("b", None, "test")
    }  # fmt: skip


def test_levels_that_are_neither_label_nor_speaker(root, tmp_path):
    by_language = ["en/yes/1.wav", "en/no/1.wav", "de/ja/1.wav", "de/nein/1.wav"]
    assert {row[1:3] for row in rows(root, *by_language)} == {
        ("yes", None), ("no", None), ("ja", None), ("nein", None)
    }  # fmt: skip
    conditions = grid(["clean", "noisy"], ["yes", "no"], ["1"])
    assert {row[1:3] for row in rows(tmp_path / "2", *conditions)} == {("yes", None), ("no", None)}
    three = grid(["f", "m"], ["s01", "s02"], ["yes", "no"], ["1"])
    assert {row[1:3] for row in rows(tmp_path / "3", *three)} == {
        ("yes", "s01"), ("no", "s01"), ("yes", "s02"), ("no", "s02")
    }  # fmt: skip


@pytest.mark.parametrize("folders", [["Actor_01", "Actor_02"], ["fold1", "fold2"], ["01", "02"]])
def test_speakers_alone_are_asked_back(folders, root):
    touch(root, *grid(folders, ["0_01_0", "1_01_0"]))
    message = message_of(root)
    assert f"folders as {folders[0]} look like speakers, not words" in message
    assert "{label}/{_}" in message and "{speaker}/{_}_{label}_{_}" in message


def test_a_list_beside_label_folders_gives_speakers_and_splits(root):
    touch(root, *grid(["yes", "no"], ["1", "2"]))
    (root / "metadata.csv").write_text(
        "path,label,speaker,split\nyes/1.wav,yes,ann,train\nno/1.wav,no,bob,test\n"
    )
    assert [row[1:] for row in rows(root)] == [
        ("no", "bob", "test"), ("no", None, None), ("yes", "ann", "train"), ("yes", None, None)
    ]  # fmt: skip
    assert load_dataset(root).notes == [
        f"{root}: labels by the folders; metadata.csv gives 2 clips a speaker or a split"
    ]


def test_a_list_that_names_other_labels_than_the_folders_is_asked_back(root):
    touch(root, *grid(["oui", "non"], ["1", "2"]))
    (root / "metadata.csv").write_text("path,label\noui/1.wav,yes\nnon/1.wav,no\n")
    message = message_of(root)
    assert "two readings" in message and "{label}/{_}" in message


def test_recordings_that_a_list_does_not_name_are_counted(root):
    touch(root, "audio/1.wav", "audio/2.wav", "audio/3.wav")
    (root / "metadata.csv").write_text("path,label\naudio/1.wav,yes\naudio/2.wav,no\n")
    assert load_dataset(root).warnings == [
        f"{root}: 1 recordings are in no list, and left out (audio/3.wav first)"
    ]


def test_folders_without_recordings_in_a_split_layout_are_named(root):
    touch(root, *grid(["train", "test"], ["yes", "no"], ["1"]))
    (root / "train/maybe").mkdir()
    (root / "val").mkdir()
    assert load_dataset(root).warnings == [
        f"{root / name}: a folder without a recording, left out" for name in ("val", "train/maybe")
    ]


def test_a_folder_of_other_files_is_no_label(root):
    touch(root, "yes/1.wav", "no/1.wav", "src/train.py", "go/notes.txt")
    dataset = load_dataset(root)
    assert dataset.empty_labels == ["go"]
    assert dataset.warnings == [f"{root / 'src'}: a folder without a recording, left out"]


def test_a_pattern_that_fits_in_several_ways_is_said(root):
    touch(root, "turn-on-1.wav", "turn-off-1.wav")
    assert load_dataset(root, "{label}-{_}").warnings == [
        "2 names fit the pattern {label}-{_} in several ways, and the shortest first fields count:"
        " turn-off-1.wav is turn and could be turn-off; name more of it"
    ]
    assert load_dataset(root, "{_}-{label}-{_}").warnings == []
