"""Truth comes back as it was written, and what is none is refused."""

import pytest

from speechcls.errors import DatasetError
from speechcls.layouts.annotations import Word, read_truth, write_truth

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
        ("t.txt", "1.0\t2.0\tyes\n3.0\tno\n", "t.txt:2: not start, end"),
        ("t.txt", "2.0\t1.0\tyes\n", "t.txt:1: not start, end"),
        ("t.txt", "nan\t1.0\tyes\n", "t.txt:1: not start, end"),
        ("t.csv", "start_s,label\n1,yes\n", "t.csv:1: no column end_s"),
        ("t.csv", "start_s,end_s,label\n1,2,\n", "t.csv:2: not start, end"),
    ],
)
def test_what_is_no_truth_is_refused(tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(DatasetError, match=message):
        read_truth(tmp_path / name)


def test_a_missing_truth_is_refused(tmp_path):
    with pytest.raises(DatasetError, match="cannot read the annotations"):
        read_truth(tmp_path / "none.txt")
