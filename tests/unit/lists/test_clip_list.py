"""Lists of recordings as streams of paths."""

import itertools
import json

import pytest

from speechcls.errors import DatasetError, StorageError
from speechcls.lists.clip_list import ClipList

PATHS = ["a.wav", "/b/ü x.wav", "s3://bucket/c.wav", 'q"uote.wav', "a.wav"]


def write(tmp_path, name, text):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return ClipList.at(str(path))


def test_a_text_has_a_path_a_line(tmp_path):
    text = "\ufeff" + "\r\n".join(PATHS[:3]) + "\n\n  \n" + "\n".join(PATHS[3:])
    assert [*write(tmp_path, "list", text).paths()] == PATHS


def test_paths_that_end_with_nul_hold_newlines(tmp_path):
    write(tmp_path, "list", "a\nb.wav\0c.wav\0")
    assert [*ClipList.at(str(tmp_path / "list"), is_null=True).paths()] == ["a\nb.wav", "c.wav"]


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_csv_has_a_column_of_paths_by_any_usual_name(separator, tmp_path):
    rows = [["id", "File Name", "x"], *([str(i), path, "1"] for i, path in enumerate(PATHS))]
    quoted = [['"' + cell.replace('"', '""') + '"' for cell in row] for row in rows]
    text = "\n".join(separator.join(row) for row in quoted)
    assert [*write(tmp_path, "list.csv", text).paths()] == PATHS


def test_a_row_without_a_path_stays_a_row(tmp_path):
    assert [*write(tmp_path, "list.csv", "label,path\nyes,a.wav\nno\n\nup,b.wav\n").paths()] == [
        *("a.wav", "", "b.wav")
    ]
    rows = [{"path": "a.wav"}, {"path": None}, {"label": "x"}, {"path": {"path": "b.wav"}}]
    text = "\n".join(map(json.dumps, rows))
    assert [*write(tmp_path, "list.jsonl", text).paths()] == ["a.wav", "", "", "b.wav"]


def test_csv_of_paths_alone_needs_no_header(tmp_path):
    text = 'x/a.wav\n"b, c.flac"\nd\n'
    assert [*write(tmp_path, "list.csv", text).paths()] == ["x/a.wav", "b, c.flac", "d"]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("l.csv", "a.wav,yes\n", ":1: no column of file names; it has a.wav, yes; name one of"),
        ("l.csv", "", ":1: no column of file names; it has no column at all; name one of"),
        ("l.csv", b"path\0", ":1: a NUL byte, which no text has; save it as CSV in UTF-8"),
        ("l.csv", 'path,x\n"a,1\nb,2\nc,3\n', ":4: a quote is not closed; close it"),
        ("l.jsonl", '{"path": "a"}\nno', ":2: not JSON (Expecting value); write one object a line"),
        ("l.json", '[{"path": "a"}]', ":1: not a JSON object; write one a line"),
        ("l.jsonl", '{"path": 7}', ":1: 7 is no path; write it as text"),
        ("l.jsonl", '{"label": 7}', ":1: no column of file names; it has label; name one of them"),
        ("list", b"\0" * 70_000, ": more than 65536 bytes without a path; name a list of paths"),
    ],
)
def test_what_is_no_list_is_refused_with_its_line(name, text, said, tmp_path):
    clips = write(tmp_path, name, text)
    with pytest.raises(DatasetError) as caught:
        [*clips.paths()]
    assert str(caught.value).startswith(f"{tmp_path / name}{said}")


def test_a_list_that_is_not_there_is_told(tmp_path):
    with pytest.raises(StorageError, match=r"none\.csv: no such file; check the path"):
        ClipList.at(str(tmp_path / "none.csv")).check()


def test_relative_paths_are_those_of_the_folder_or_of_the_list_elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    here = ClipList.at("list.txt")
    assert (here.place, here.resolve("a.wav")) == (f"{tmp_path}/list.txt", f"{tmp_path}/a.wav")
    assert here.resolve("/b.wav") == "/b.wav"
    there = ClipList.at("https://ann:secret@host/lists/all.csv?sig=secret")
    assert (there.is_text, there.name) == (False, "https://host/lists/all.csv?...")
    assert there.resolve("a.wav") == "https://ann:secret@host/lists/a.wav"
    assert there.resolve("s3://c/d.wav") == "s3://c/d.wav"


def test_a_list_without_end_is_read_as_far_as_asked(tmp_path):
    clips = write(tmp_path, "list.jsonl", '{"path": "a"}\n' * 1_000 + "no")
    assert [*itertools.islice(clips.paths(), 3)] == ["a", "a", "a"]


def write_folder(folder, *names):
    for number, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"path\n{number}.wav\n")
    return folder


def test_a_folder_of_lists_is_one_list_in_the_order_of_names(tmp_path):
    names = ("b.csv", "a/z.csv", "a.csv", "c.csv")
    hidden = ("_temporary/x.csv", ".crc.csv", "a/_SUCCESS")
    folder = write_folder(tmp_path / "lists", *names, *hidden, "READ ME.txt")
    clips = ClipList.at(f"{folder}/")
    assert [*clips.paths()] == ["2.wav", "1.wav", "0.wav", "3.wav"]
    assert (clips.n_others, clips.name) == (1, f"{folder}/")
    (folder / "b.csv").write_text("no\n")
    with pytest.raises(DatasetError, match=rf"^{folder}/b\.csv:1: no column of file names"):
        clips.check()


def test_a_folder_without_lists_or_with_several_forms_is_refused(tmp_path):
    folder = write_folder(tmp_path / "lists", "a.wav")
    with pytest.raises(DatasetError, match=f"^{folder}: no list in this folder; name a list"):
        ClipList.at(str(folder))
    write_folder(folder, "a.csv", "a.jsonl.gz")
    with pytest.raises(DatasetError, match=r"lists: lists in several forms .*\(csv, json\)"):
        ClipList.at(str(folder))


def test_messages_call_a_list_as_it_was_given(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_folder(tmp_path / "lists", "a.csv").joinpath("a.csv").write_text("no\n")
    with pytest.raises(DatasetError, match=r"^lists/a\.csv:1: no column"):
        [*ClipList.at("lists").paths()]
    with pytest.raises(StorageError, match=r"^none: no such file; check the path"):
        [*ClipList.at("none").paths()]
    assert ClipList.at(f"file://{tmp_path}/lists").place == f"{tmp_path}/lists"
