"""The folder of a project: names that may be words, and a trash from which all comes back."""

import threading

import numpy as np
import pytest
from hostile_names import HIGH, LONG, LOW, NOT_UTF_8

from speechcls.errors import ConfigError
from speechcls.files import write_atomic
from speechcls.layouts.load import load_dataset
from speechcls.studio.project import Project, check_speaker

SECOND = np.full(16_000, 0.1, np.float32)


@pytest.fixture
def project(tmp_path):
    return Project(tmp_path / "words")


def names(project, word):
    return [take.name for take in project.takes(word)]


def everything(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_takes_lie_as_train_reads_them(project):
    for word in ("yes", "no"):
        assert project.add_word(f" {word} ") == word
        project.write(word, "ann", SECOND)
        project.write(word, "ann", SECOND)
    assert everything(project.folder) == [
        "no/ann_nohash_0.wav",
        "no/ann_nohash_1.wav",
        "yes/ann_nohash_0.wav",
        "yes/ann_nohash_1.wav",
    ]
    project.delete_take("no", "ann_nohash_0.wav")
    dataset = load_dataset(project.folder)
    assert sorted((each.label, each.speaker) for each in dataset.examples) == [
        ("no", "ann"),
        ("yes", "ann"),
        ("yes", "ann"),
    ]
    assert (dataset.warnings, dataset.problems, dataset.empty_labels) == ([], [], [])


@pytest.mark.parametrize(
    "word",
    [
        *(
            "",
            " ",
            ".",
            "..",
            "../up",
            "a/b",
            "a\\b",
            "/etc",
            "C:",
            ".hidden",
            "\0",
            "a\nb",
            "%",
            "x" * 201,
        ),
        *("_background_noise_", "_silence_", "_own", "background noise", ".studio", "__MACOSX"),
        *("test", "Train", "dev", "validation", "test set", "<b>?", HIGH, LOW, LONG, NOT_UTF_8),
    ],
)
def test_what_no_folder_of_a_word_can_be_is_refused(project, word):
    if word == "%":
        assert project.add_word(word) == "%"  # it is harmless
        return
    with pytest.raises(ConfigError, match="word: "):
        project.add_word(word)
    assert list(project.folder.iterdir()) == []


def test_words_of_all_scripts_are_words(project):
    words = ["日本", "naïve", "lights on", "_unknown_", "привет"]
    assert [project.add_word(word) for word in words] == words
    assert project.add_word("nai\u0308ve") == "naïve"
    with pytest.raises(ConfigError, match="differs from naïve by capitals"):
        project.add_word("NAÏVE")
    assert project.words() == ["lights on", "naïve", "привет", "日本", "_unknown_"]


def test_words_that_together_look_like_splits_are_refused(project):
    project.add_word("_unknown_")
    with pytest.raises(ConfigError, match="a part of a data set"):
        project.add_word("testing")


@pytest.mark.parametrize("name", ["../yes/ann_nohash_0.wav", "/etc/passwd", "", ".", "nope.wav"])
def test_takes_are_found_by_their_own_names_alone(project, name):
    project.add_word("yes")
    project.add_word("no")
    project.write("yes", "ann", SECOND)
    for attempt in (project.path, project.delete_take):
        with pytest.raises(ConfigError, match="take: no "):
            attempt("no", name)
    for word in ("..", "../words/yes", "", ".studio", str(project.folder / "yes")):
        for attempt in (project.takes, project.remove_word):
            with pytest.raises(ConfigError, match="word: no word"):
                attempt(word)
        with pytest.raises(ConfigError, match="word: no word"):
            project.write(word, "ann", SECOND)
    assert names(project, "yes") == ["ann_nohash_0.wav"]


@pytest.mark.parametrize("speaker", ["", "..", "a/b", "a_nohash_b", ".x", HIGH, LONG])
def test_speakers_that_no_name_can_hold_are_refused(speaker):
    with pytest.raises(ConfigError, match="speaker: "):
        check_speaker(speaker)


def test_what_is_deleted_comes_back_in_reverse(project):
    project.add_word("yes")
    for _ in range(3):
        project.write("yes", "ann", SECOND)
    before = {path.name: path.read_bytes() for path in (project.folder / "yes").iterdir()}
    assert project.undoable() is None and project.undo() is None
    project.delete_take("yes", "ann_nohash_1.wav")
    assert project.undoable() == {"word": "yes", "takes": 1}
    project.remove_word("yes")
    assert (project.words(), project.undoable()) == ([], {"word": "yes", "takes": 2})
    again = Project(project.folder)  # the server was started anew
    assert (again.undo(), again.undo(), again.undo()) == ("yes", "yes", None)
    assert {path.name: path.read_bytes() for path in (project.folder / "yes").iterdir()} == before
    assert everything(project.folder) == [f"yes/{name}" for name in sorted(before)]


def test_what_comes_back_replaces_nothing(project):
    project.add_word("yes")
    project.write("yes", "ann", SECOND)
    (project.folder / "yes" / "mine.wav").write_bytes(b"first")
    for name in ("ann_nohash_0.wav", "mine.wav"):
        project.delete_take("yes", name)
    project.write("yes", "ann", SECOND / 2)
    (project.folder / "yes" / "mine.wav").write_bytes(b"second")
    later = (project.folder / "yes" / "ann_nohash_0.wav").read_bytes()
    project.undo()
    project.undo()
    assert names(project, "yes") == [
        *("mine 2.wav", "mine.wav", "ann_nohash_0.wav", "ann_nohash_1.wav"),
    ]
    assert (project.folder / "yes" / "mine 2.wav").read_bytes() == b"first"
    assert (project.folder / "yes" / "ann_nohash_0.wav").read_bytes() == later


def test_takes_are_in_the_order_in_which_they_were_made(project):
    project.add_word("yes")
    for _ in range(11):
        project.write("yes", "ann", SECOND)
    assert names(project, "yes")[-2:] == ["ann_nohash_9.wav", "ann_nohash_10.wav"]


def test_a_word_is_not_removed_within_a_take(project, monkeypatch):
    """The folder took half a file along, which ``fuzz_serve`` found."""
    project.add_word("yes")
    remover = threading.Thread(target=project.remove_word, args=["yes"])

    def write(path, content, overwrite):
        remover.start()
        remover.join(0.5)  # it waits for the take
        write_atomic(path, content, overwrite)

    monkeypatch.setattr("speechcls.live.takes.write_atomic", write)
    assert project.write("yes", "ann", SECOND).name == "ann_nohash_0.wav"
    remover.join()
    assert project.words() == []
    assert project.undo() == "yes"
    assert everything(project.folder) == ["yes/ann_nohash_0.wav"]
