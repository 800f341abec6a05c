"""A file is there as a whole, or what was there before."""

import os

import pytest

from speechcls.files import write_atomic, write_csv


def test_a_file_is_written_and_replaced_and_leaves_nothing_beside_it(tmp_path):
    place = tmp_path / ("long " * 50)  # as long a name as a file may have
    write_atomic(place, b"first")
    write_atomic(place, b"second")
    assert place.read_bytes() == b"second"
    assert list(tmp_path.iterdir()) == [place]
    mask = os.umask(0)
    os.umask(mask)
    assert place.stat().st_mode & 0o777 == 0o666 & ~mask  # as any other file of the user


def test_a_failure_leaves_what_was_there(tmp_path, monkeypatch):
    place = tmp_path / "table.csv"
    place.write_bytes(b"old")

    def refuse(descriptor):
        raise OSError("no space left")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(OSError, match="no space left"):
        write_atomic(place, b"new")
    assert place.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [place]


def test_missing_folders_are_made_and_an_error_names_the_place(tmp_path):
    write_atomic(tmp_path / "a" / "b" / "c.txt", b"deep")
    assert (tmp_path / "a" / "b" / "c.txt").read_bytes() == b"deep"
    place = tmp_path / "a" / "b" / "c.txt" / "d.txt"
    with pytest.raises(OSError) as error:
        write_atomic(place, b"in a file")
    assert error.value.filename == str(place)


def test_rows_are_written_under_a_header(tmp_path):
    write_csv(tmp_path / "t.csv", ("a", "b"), [(1, "x,y"), ("n\udcf6", None)])
    assert (tmp_path / "t.csv").read_bytes() == b'a,b\n1,"x,y"\nn\xf6,\n'


def test_a_pipe_is_written_to_and_stays_one(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    write_atomic(tmp_path / "pipe", b"content")
    assert os.read(reader, 100) == b"content"
    os.close(reader)
    assert (tmp_path / "pipe").is_fifo()
