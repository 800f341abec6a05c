"""Truth comes back as it was written, and what is none is refused."""

import pytest

from speechcls.errors import DatasetError
from speechcls.layouts.annotations import Word, examples_of_track, read_truth, write_truth
from speechcls.layouts.examples import Example

WORDS = [
    Word(0.25, 0.75, "yes", "yes/ann,1.wav", "ann"),
    Word(10.0, 10.125, "oh no", "no/2.wav", ""),
]


def test_a_table_comes_back(tmp_path):
    write_truth(WORDS, tmp_path)
    assert read_truth(tmp_path / "truth.csv") == WORDS


def test_labels_for_audacity_come_back_without_clip_and_speaker(tmp_path):
    write_truth(WORDS, tmp_path)
    assert (tmp_path / "truth.txt").read_text() == "0.250\t0.750\tyes\n10.000\t10.125\toh no\n"
    read = read_truth(tmp_path / "truth.txt")
    assert read == [Word(w.start_s, w.end_s, w.label) for w in WORDS]
    assert read[0].centre_s == 0.5


def test_what_audacity_adds_is_passed_over(tmp_path):
    labels = tmp_path / "labels.txt"
    labels.write_text("3.0\t4.0\tno\n\\\t100.0\t200.0\n1.0\t2.0\tyes\r\n\n")
    assert [word.label for word in read_truth(labels)] == ["yes", "no"]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("t.txt", "", "t.txt: contains no words"),
        ("t.txt", "1.0\t2.0\tyes\n3.0\tno\n", r"t.txt:2: '3.0\\tno' is not start, end"),
        ("t.txt", "2.0\t1.0\tyes\n", r"t.txt:1: '2.0\\t1.0\\tyes' is not start, end"),
        ("t.txt", "nan\t1.0\tyes\n", r"t.txt:1: 'nan\\t1.0\\tyes' is not start, end"),
        ("t.txt", "-1 2 yes\n", "t.txt:1: '-1 2 yes' is not start, end"),
        ("t.txt", "1,0,0\t2\tyes\n", r"t.txt:1: '1,0,0\\t2\\tyes' is not start, end"),
        ("t.csv", "start_s,label\n1,yes\n", "t.csv:1: no column end_s; it has start_s, label"),
        ("t.csv", "start_s,end_s,label\n1,2,\n", "t.csv:2: '1,2,' has no label"),
        ("t.txt", "1\t2\t\n", r"t.txt:1: '1\\t2\\t' has no label"),
    ],
)
def test_what_is_no_truth_is_refused(tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(DatasetError, match=message):
        read_truth(tmp_path / name)


def test_a_missing_truth_is_refused(tmp_path):
    with pytest.raises(DatasetError, match="cannot read the annotations"):
        read_truth(tmp_path / "none.txt")


FOUR = [
    Word(0.1, 0.9, "yes"),
    Word(2.1, 2.9, "turn on"),
    Word(4.1, 4.9, "né"),
    Word(6.5, 6.5, "no"),
]
DOTS = "0.100000\t0.900000\tyes\n2.1\t2.9\tturn on\n4.1\t4.9\tné\n6.5\t6.5\tno\n"
COMMAS = DOTS.replace(".", ",")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("dots.txt", DOTS.encode()),
        ("commas.txt", COMMAS.encode()),
        ("blanks.txt", DOTS.replace("\t", " ").encode()),
        ("commas-and-blanks.txt", COMMAS.replace("\t", "  ").encode()),
        ("windows.txt", DOTS.replace("\n", "\r\n").encode()),
        ("mark.txt", DOTS.encode("utf-8-sig")),
        ("utf-16.txt", COMMAS.encode("utf-16")),
        ("cp1252.txt", COMMAS.encode("cp1252")),
        ("unicode-form-d.txt", DOTS.replace("é", "e\u0301").encode()),
        ("frequencies.txt", DOTS.replace("yes\n", "yes\n\\\t100.0\t200.0\n").encode()),
        ("table.csv", ("start_s,end_s,label\n" + DOTS.replace("\t", ",")).encode()),
        ("german.csv", ("Start;End;Label\n" + COMMAS.replace("\t", ";")).encode("utf-8-sig")),
        ("table.tsv", ("onset\toffset\tevent_label\n" + DOTS).encode()),
    ],
)
def test_every_form_of_a_label_track_says_the_same(name, content, tmp_path):
    (tmp_path / name).write_bytes(content)
    assert read_truth(tmp_path / name) == FOUR


@pytest.mark.parametrize("empty", ["1.1\t1.2\t\n", "1.1\t1.2\n", "1,1\t1,2\t  \n", "1.1 1.2\n"])
def test_empty_labels_are_left_out_and_told(empty, tmp_path):
    (tmp_path / "t.txt").write_text(empty + DOTS)
    told = []
    assert read_truth(tmp_path / "t.txt", told.append) == FOUR
    line = empty.rstrip("\n")
    assert told == [
        f"{tmp_path / 't.txt'}:1: {line!r} has no label, which is left out; name the word"
    ]


# Label tracks beside recordings


@pytest.mark.parametrize("name", ["rec.txt", "rec_labels.txt", "rec-labels.txt", "rec labels.txt"])
def test_each_label_of_a_track_is_a_clip(name, tmp_path):
    (tmp_path / name).write_text(COMMAS)
    told = []
    assert examples_of_track(tmp_path / "rec.wav", told.append) == [
        Example(tmp_path / "rec.wav", word.label, start_s=word.start_s, end_s=word.end_s)
        for word in FOUR[:3]
    ]
    assert told == [
        f"{tmp_path / name}: no at 6.5 s marks a point and no clip, which is left out; select the"
        " whole word in Audacity and label that"
    ]


def test_the_name_of_a_recording_may_have_its_speaker(tmp_path):
    (tmp_path / "ann_nohash_0.txt").write_text("0.1\t0.9\tyes\n")
    [clip] = examples_of_track(tmp_path / "ann_nohash_0.wav")
    assert clip.speaker == "ann"


@pytest.mark.parametrize(
    "text", ["yes\n", "the quick brown fox\n", "1 2 three\n", "", "\x00\xff\x81", "3 times\n"]
)
def test_another_text_beside_a_recording_is_no_track(text, tmp_path):
    (tmp_path / "rec.txt").write_bytes(text.encode("latin-1"))
    assert examples_of_track(tmp_path / "rec.wav") is None


def test_a_recording_without_a_track(tmp_path):
    (tmp_path / "other.txt").write_text(DOTS)
    assert examples_of_track(tmp_path / "rec.wav") is None


def test_a_broken_line_of_a_track_is_an_error(tmp_path):
    (tmp_path / "rec.txt").write_text(DOTS + "7,0\t8.0.0\tno\n")
    with pytest.raises(DatasetError, match=r"rec.txt:5: '7,0\\t8.0.0\\tno' is not start, end"):
        examples_of_track(tmp_path / "rec.wav", lambda line: None)


def test_a_track_of_capitals_may_have_hours_and_minutes(tmp_path):
    (tmp_path / "ANN.TXT").write_text("00:00:01.5\t00:01:02\tyes\n1:01:00\t1:01:00,5\tno\n")
    recording = tmp_path / "ANN.WAV"
    assert examples_of_track(recording) == [
        Example(recording, "yes", None, None, 1.5, 62.0),
        Example(recording, "no", None, None, 3660.0, 3660.5),
    ]
