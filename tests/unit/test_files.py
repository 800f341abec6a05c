"""A file is there as a whole, or what was there before; CSV and JSON are read back."""

import csv
import io
import json
import os
from pathlib import Path

import pytest

from speechcls.files import (
    csv_text,
    is_file_name,
    json_bytes,
    open_atomic,
    open_text_atomic,
    read_text,
    write_atomic,
    write_csv,
    write_folder_atomic,
)


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


def test_lines_are_written_as_they_come_and_named_at_the_end(tmp_path):
    place = tmp_path / "a" / "lines.txt"
    with open_text_atomic(place) as file:
        file.write("n\udcf6\n")
        file.flush()
        assert not place.exists()
        file.write("é\r\n")
    assert place.read_bytes() == b"n\xf6\n" + "é\r\n".encode()
    assert list(tmp_path.rglob("*")) == [tmp_path / "a", place]


def test_an_error_or_interrupt_while_writing_leaves_what_was_there(tmp_path):
    place = tmp_path / "lines.txt"
    place.write_text("old")
    for error in (KeyError, KeyboardInterrupt, OSError):
        with pytest.raises(error), open_text_atomic(place) as file:
            file.write("new")
            raise error
    assert place.read_text() == "old"
    assert list(tmp_path.iterdir()) == [place]


def test_an_error_of_another_file_keeps_its_name(tmp_path):
    with pytest.raises(FileNotFoundError) as error, open_atomic(tmp_path / "out"):
        (tmp_path / "absent").read_bytes()
    assert error.value.filename == str(tmp_path / "absent")


def test_what_must_not_be_overwritten_is_not(tmp_path):
    place = tmp_path / "take.wav"
    write_atomic(place, b"first", overwrite=False)
    with pytest.raises(FileExistsError) as error:
        write_atomic(place, b"second", overwrite=False)
    assert error.value.filename == str(place)
    assert place.read_bytes() == b"first"
    assert list(tmp_path.iterdir()) == [place]


@pytest.mark.parametrize("n_bytes", [1, 100_000])
def test_a_full_disk_names_the_file(n_bytes):
    if not Path("/dev/full").exists():
        pytest.skip("no device that is always full")
    with pytest.raises(OSError) as error:
        write_atomic(Path("/dev/full"), b"x" * n_bytes)
    assert error.value.filename == "/dev/full"


def test_a_folder_replaces_one_as_a_whole(tmp_path, monkeypatch):
    place = tmp_path / "model"
    write_folder_atomic(place, {"a": b"1", "b": b"2"})
    write_folder_atomic(place, {"b": b"3"})
    assert {path.name: path.read_bytes() for path in place.iterdir()} == {"b": b"3"}
    monkeypatch.setattr(os, "fsync", lambda descriptor: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write_folder_atomic(place, {"c": b"4"})
    assert [path.name for path in place.iterdir()] == ["b"]
    assert list(tmp_path.iterdir()) == [place]


@pytest.mark.parametrize("cell", ["a\rb", "a\nb", "a\r\nb", 'a"b', "a,b", "\udcf6", " a "])
def test_csv_is_read_back_whatever_a_cell_holds(cell):
    text = csv_text(("x", "y"), [(cell, 1), (None, cell)])
    assert list(csv.reader(io.StringIO(text, newline=""))) == [["x", "y"], [cell, "1"], ["", cell]]
    assert csv_text(("x",), [(1,)]) == "x\n1\n"


def test_json_is_read_back_whatever_a_name_is_made_of():
    content = {"label": "n\udcf6 é"}
    assert json.loads(json_bytes(content)) == content
    assert json_bytes(content).decode("utf-8").startswith('{\n  "label": ')


@pytest.mark.parametrize("name", ["yes", "turn on", "été", "_unknown_", "a.b", "x" * 200])
def test_names_that_any_system_takes(name):
    assert is_file_name(name)


@pytest.mark.parametrize(
    "name", ["", ".x", "x ", " x", "x.", "a/b", "a:b", "a\nb", "\udcf6", "é" * 101]
)
def test_names_that_some_system_refuses(name):
    assert not is_file_name(name)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_text_is_read_in_the_encoding_that_it_begins_with(encoding, tmp_path):
    place = tmp_path / "list.txt"
    place.write_bytes("né,はい\n".encode(encoding))
    assert read_text(place) == "né,はい\n"


@pytest.mark.parametrize(
    ("mark", "encoding"), [(b"\xfe\xff", "utf-16-be"), (b"\0\0\xfe\xff", "utf-32-be")]
)
def test_text_of_another_byte_order(mark, encoding, tmp_path):
    place = tmp_path / "list.txt"
    place.write_bytes(mark + "né\n".encode(encoding))
    assert read_text(place) == "né\n"


def test_text_that_is_not_unicode_is_an_error_unless_there_is_another_encoding(tmp_path):
    place = tmp_path / "list.txt"
    place.write_bytes("né\n".encode("cp1252"))
    assert read_text(place, fallback="cp1252") == "né\n"
    with pytest.raises(UnicodeDecodeError):
        read_text(place)


@pytest.mark.parametrize(("n_bytes", "text"), [(2, ""), (4, "né\n"), (5, "né\n"), (8, "né\nné\n")])
def test_the_first_bytes_of_a_text_end_with_a_line(n_bytes, text, tmp_path):
    place = tmp_path / "list.txt"
    place.write_bytes("né\nné\n".encode())
    assert read_text(place, n_bytes) == text


def test_a_folder_may_have_folders(tmp_path):
    write_folder_atomic(tmp_path / "out", {"a.txt": b"1", "b/c/d.txt": b"2"})
    found = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.txt")}
    assert found == {"out/a.txt", "out/b/c/d.txt"}
    assert (tmp_path / "out/b/c/d.txt").read_bytes() == b"2"
