"""``speechcls predict`` of what comes through stdin, pipes and lists of paths."""

import gzip
import json
import os
import shutil
import signal
import subprocess
import time

import pytest
from common_cli import LONG_NAME

from speechcls import Classifier


def test_a_dash_is_a_recording_on_stdin(home, run):
    result = run("predict", "-", cwd=home.path, stdin=home.clip("high").read_bytes())
    assert result.code == 0
    assert [row[:2] for row in result.rows] == [["-", "high"]]


def test_a_dash_between_files(home, run):
    clips = [home.clip("low"), "-", home.clip("high")]
    result = run("predict", *clips, cwd=home.path, stdin=home.clip("rise").read_bytes())
    assert result.labels == ["low", "rise", "high"]


def test_files_from_a_file_come_after_the_arguments(at_home, tmp_path, call):
    # a byte order mark, an empty line, a Windows line end and a missing last line end
    listed = b"\xef\xbb\xbftones/low/s00_nohash_0.wav\r\n\ntones/rise/s01_nohash_1.wav"
    (tmp_path / "list").write_bytes(listed)
    result = call("predict", at_home.clip("high"), "--files-from", tmp_path / "list")
    assert result.code == 0
    assert [row[:2] for row in result.rows] == [
        [str(at_home.clip("high")), "high"],
        ["tones/low/s00_nohash_0.wav", "low"],
        ["tones/rise/s01_nohash_1.wav", "rise"],
    ]


def test_files_from_stdin(home, run):
    listed = "tones/low/s00_nohash_0.wav\ntones/rise/s01_nohash_1.wav\n"
    result = run("predict", "--files-from", "-", cwd=home.path, stdin=listed)
    assert result.code == 0
    assert result.labels == ["low", "rise"]


def test_a_list_without_a_path_is_told(at_home, tmp_path, call):
    (tmp_path / "list").write_text("\n  \n")
    result = call("predict", "--files-from", tmp_path / "list")
    assert (result.code, result.stdout) == (0, "")
    told = f"speechcls: warning: {tmp_path / 'list'}: names no recording"
    assert result.stderr.splitlines()[-1] == told


@pytest.mark.parametrize("end", ["\0", ""])
def test_files_from_stdin_that_end_with_nul(end, home, tmp_path, run):
    shutil.copy(home.clip("low"), tmp_path / LONG_NAME)
    listed = f"{tmp_path / LONG_NAME}\0tones/rise/s01_nohash_1.wav{end}"
    result = run("predict", "--files-from", "-", "-0", "--json", cwd=home.path, stdin=listed)
    assert result.code == 0, result.stderr
    answers = [json.loads(line) for line in result.stdout.splitlines()]
    assert [(answer["path"], answer["label"]) for answer in answers] == [
        (str(tmp_path / LONG_NAME), "low"),
        ("tones/rise/s01_nohash_1.wav", "rise"),
    ]


def test_a_list_with_nul_read_without_the_option_is_an_error(home, run):
    """As after find -print0 with -0 forgotten; it must not pass for its first path."""
    listed = "tones/low/s00_nohash_0.wav\0tones/rise/s01_nohash_1.wav\0"
    result = run("predict", "--files-from", "-", cwd=home.path, stdin=listed)
    assert (result.code, result.stdout) == (1, "")
    assert "Traceback" not in result.stderr
    assert len(result.errors) == 1
    assert "s00_nohash_0.wav" in result.errors[0]


@pytest.mark.parametrize("end", ["\n", "\0"])
def test_an_answer_comes_while_the_list_is_still_open(end, home, start):
    options = ("-0",) if end == "\0" else ()
    process = start("predict", "--files-from", "-", *options, cwd=home.path)
    assert b"model" in process.stderr.readline()
    os.set_blocking(process.stdout.fileno(), False)
    for label in ("low", "rise"):
        process.stdin.write(f"tones/{label}/s00_nohash_0.wav{end}".encode())
        process.stdin.flush()
        line, give_up_at = b"", time.monotonic() + 10
        while not line.endswith(b"\n") and time.monotonic() < give_up_at:
            time.sleep(0.02)
            line += process.stdout.read(4_096) or b""
        assert line, f"no answer to the path of {label} while the list is open"
        assert line.decode().split("\t")[:2] == [f"tones/{label}/s00_nohash_0.wav", label]
        assert process.poll() is None
    process.stdin.close()
    assert process.wait(60) == 0


def test_a_reader_that_goes_away_is_no_traceback(home, tmp_path, start):
    # more than a pipe holds, as in: speechcls predict ... | head -1
    (tmp_path / "list").write_text(f"{home.data}/./././././././././low/s00_nohash_0.wav\n" * 2_000)
    process = start("predict", "--files-from", tmp_path / "list", "-q", cwd=home.path)
    assert b"\tlow\t" in process.stdout.readline()
    process.stdout.close()
    assert process.wait(60) == 1
    assert process.stderr.read() == b""


@pytest.mark.parametrize("stdin", [["-"], ["--files-from", "-"], ["--files-from", "-", "-0"]])
def test_ctrl_c_while_waiting_for_stdin_ends_at_once(stdin, home, start):
    process = start("predict", *stdin, cwd=home.path)
    assert b"model" in process.stderr.readline()
    time.sleep(0.3)  # until it waits
    process.send_signal(signal.SIGINT)
    try:
        code = process.wait(5)
    except subprocess.TimeoutExpired:
        pytest.fail("still there 5 s after Ctrl-C")
    assert code == 130
    assert process.stderr.read() == b"speechcls: error: interrupted\n"
    assert process.stdout.read() == b""


@pytest.mark.parametrize("options", [(), ("--null",)])
def test_what_is_no_list_ends(options, home, run):
    result = run("predict", "--files-from", "/dev/zero", "-m", home.model, *options)
    assert (result.code, result.stdout) == (1, "")
    assert result.errors == [
        "/dev/zero: more than 65536 bytes without a path; name a list of paths, one a line, or with"
        " a NUL behind each and --null"
    ]


def test_a_list_from_a_pipe_is_waited_for(home, tmp_path, start):
    os.mkfifo(tmp_path / "list")
    process = start("predict", "--files-from", "list", "-m", home.model, cwd=tmp_path)
    lines = [process.stderr.readline().decode() for _ in range(2)]
    assert lines[1] == "speechcls: list: a pipe; waiting for what writes paths into it\n"
    clip = home.clip("low")
    (tmp_path / "list").write_text(f"\n{clip}\r\n\n  \n{clip}")
    assert process.wait(60) == 0
    assert [line.split(b"\t")[0] for line in process.stdout] == [os.fsencode(clip)] * 2


CLIPS = ("tones/low/s00_nohash_0.wav", "tones/rise/s01_nohash_1.wav", "tones/none.wav")


def write_table(path):
    """Write ``CLIPS`` as the ending of a name says."""
    ending = path.name.removesuffix(".gz").rpartition(".")[2]
    if ending == "parquet":
        pyarrow = pytest.importorskip("pyarrow")
        pytest.importorskip("pyarrow.parquet").write_table(pyarrow.table({"file": CLIPS}), path)
        return
    text = {
        "csv": "id;File Name\n" + "".join(f"{n};{clip}\n" for n, clip in enumerate(CLIPS)),
        "jsonl": "".join(json.dumps({"audio": clip}) + "\n" for clip in CLIPS),
        "txt": "\n".join(CLIPS),
    }[ending]
    content = text.encode()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


@pytest.mark.parametrize("command", ["predict", "detect"])
@pytest.mark.parametrize("name", ["l.csv", "l.jsonl", "l.parquet", "l.txt.gz", "l.csv.gz"])
def test_a_table_is_a_list_as_a_text_is(name, command, at_home, tmp_path, call):
    if command == "detect" and name != "l.csv.gz":
        return
    (tmp_path / "list").write_text("\n".join(CLIPS))
    write_table(tmp_path / name)
    expected = call(command, "--files-from", tmp_path / "list")
    assert expected.code == 1 and expected.rows
    assert call(command, "--files-from", tmp_path / name) == expected


def test_a_folder_of_tables_is_a_list(at_home, tmp_path, call):
    for name in ("b.csv", "a.csv", "_SUCCESS.csv"):
        write_table(tmp_path / name)
    (tmp_path / "README").write_text("two lists")
    result = call("predict", "--files-from", tmp_path)
    assert result.labels == ["low", "rise"] * 2
    assert f"{tmp_path}: 2 lists; 1 other file is left out" in result.stderr
    refused = call("predict", "--files-from", at_home.path / "tones")
    assert refused.code == 1
    [error] = refused.errors
    assert error.startswith(f"{at_home.path / 'tones'}: no list in this folder; name a list, or")


def test_a_row_without_a_path_is_an_error_and_the_others_are_done(at_home, tmp_path, call):
    (tmp_path / "l.csv").write_text(f"path,x\n{CLIPS[0]},1\n,2\n{CLIPS[1]},3\n")
    for command in ("predict", "detect"):
        result = call(command, "--files-from", tmp_path / "l.csv")
        assert result.code == 1
        assert list(dict.fromkeys(row[0] for row in result.rows)) == [*CLIPS[:2]]
        told = f"{tmp_path / 'l.csv'}: a row without a path; write it, or leave the row out"
        assert result.errors == [told]


def test_null_has_no_effect_on_a_table(at_home, tmp_path, call):
    write_table(tmp_path / "l.csv")
    result = call("predict", "--files-from", tmp_path / "l.csv", "-0")
    assert (result.code, result.stdout) == (2, "")
    told = f"--null: has no effect on {tmp_path / 'l.csv'}, whose rows are those of a table"
    assert result.errors == [told]


def test_what_is_named_again_and_again_is_predicted_once(at_home, tmp_path, call, monkeypatch):
    read, n_read = Classifier.read_window, []

    def count(self, clip, *args, **options):
        n_read.append(clip)
        return read(self, clip, *args, **options)

    monkeypatch.setattr(Classifier, "read_window", count)
    (tmp_path / "list").write_text("".join(f"{clip}\n" for clip in CLIPS[:2]) * 5_000)
    result = call("predict", "--files-from", tmp_path / "list")
    assert result.code == 0
    assert [row[0] for row in result.rows] == [*CLIPS[:2]] * 5_000
    assert len({tuple(row) for row in result.rows}) == 2
    assert len(n_read) < 1_000  # but for those that were on their way before the first was known


def test_a_recording_that_changes_is_predicted_again(home, tmp_path, start):
    """Whoever asks on stdin may write each clip over the last one."""
    process = start("predict", "--files-from", "-", "-q", "-m", home.model, cwd=tmp_path)
    for label in ("low", "rise", "low"):
        shutil.copyfile(home.clip(label), tmp_path / "a.wav")
        process.stdin.write(b"a.wav\n")
        process.stdin.flush()
        assert process.stdout.readline().decode().split("\t")[:2] == ["a.wav", label]
    process.stdin.close()
    assert process.wait(60) == 0
