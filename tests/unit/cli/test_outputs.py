"""Results in a file: there in whole, or what stood there before."""

import os
import stat
from pathlib import Path

import pytest

from speechcls.cli.outputs import check_file_place, check_output, open_output
from speechcls.errors import ConfigError


def files_in(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir()}


def test_a_file_gets_its_name_at_the_end(tmp_path: Path) -> None:
    out = tmp_path / "new" / "a.tsv"
    with open_output(out) as (stream, keep):
        keep()
        stream.write("caf\udce9\n")
        assert not out.exists()
    assert out.read_bytes() == b"caf\xe9\n"
    assert [path.name for path in out.parent.iterdir()] == ["a.tsv"]


def test_without_anything_worth_keeping_the_old_one_stays(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text("old")
    with open_output(tmp_path / "a.tsv") as (stream, _):
        stream.write("a header\n")
    assert files_in(tmp_path) == {"a.tsv": "old"}


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
def test_what_was_done_before_an_error_is_kept(error: type[BaseException], tmp_path: Path) -> None:
    def work() -> None:
        with open_output(tmp_path / "a.tsv") as (stream, keep):
            keep()
            stream.write("one\n")
            raise error

    with pytest.raises(error):
        work()
    assert files_in(tmp_path) == {"a.tsv": "one\n"}


def test_a_full_disk_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    (tmp_path / "a.tsv").write_text("old")
    monkeypatch.setattr(os, "fsync", refuse)

    def work() -> None:
        with open_output(tmp_path / "a.tsv") as (stream, keep):
            keep()
            stream.write("one\n")

    with pytest.raises(OSError, match="No space"):
        work()
    assert files_in(tmp_path) == {"a.tsv": "old"}


def test_a_device_is_written_to_and_not_replaced() -> None:
    with open_output(Path(os.devnull)) as (stream, keep):
        keep()
        stream.write("gone\n")
    assert stat.S_ISCHR(Path(os.devnull).stat().st_mode)


def test_stdout_is_where_results_go_otherwise(capsys: pytest.CaptureFixture[str]) -> None:
    with open_output(None) as (stream, keep):
        keep()
        stream.write("here\n")
    assert capsys.readouterr().out == "here\n"


def test_a_recording_is_no_place_for_results(tmp_path: Path) -> None:
    (tmp_path / "a.wav").touch()
    (tmp_path / "link.wav").symlink_to("a.wav")
    with pytest.raises(ConfigError, match=r"^out: .*link.wav is one of the recordings"):
        check_output(tmp_path / "link.wav", ["-", str(tmp_path / "a.wav")])
    check_output(tmp_path / "b.tsv", ["-", "x" * 5_000, str(tmp_path / "a.wav")])
    check_output(None, ["-"])


def test_a_place_that_cannot_be_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="is a folder; name a file"):
        check_file_place(tmp_path)
    with pytest.raises(ConfigError, match="file: is a file, not a folder"):
        check_file_place(tmp_path / "file" / "a.tsv")
    check_file_place(tmp_path / "new" / "newer" / "a.tsv")
