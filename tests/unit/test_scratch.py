"""A folder that is replaced is there at every moment, and killed processes leave nothing behind."""

import fcntl
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from speechcls.files import write_atomic, write_folder_atomic
from speechcls.scratch import exchange, open_scratch, restore

OLD, NEW = {"a": b"old", "b": b"old"}, {"a": b"new", "b": b"new"}

KILLED = """
import os, signal, sys
from pathlib import Path
from speechcls import scratch
from speechcls.files import write_folder_atomic
scratch.exchange = lambda first, second: False
rename = Path.rename
def die(path, target):
    if path.name == "whole":
        os.kill(os.getpid(), signal.SIGKILL)
    return rename(path, target)
Path.rename = die
write_folder_atomic(Path(sys.argv[1]), {"a": b"new", "b": b"new"})
"""


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def run(script, *arguments):
    return subprocess.run([sys.executable, "-c", script, *map(str, arguments)], check=False)


@pytest.fixture
def killed(tmp_path):
    """A folder whose replacement was killed between the two renames."""
    place = tmp_path / "model"
    write_folder_atomic(place, OLD)
    assert run(KILLED, place).returncode == -signal.SIGKILL
    assert not place.exists()
    return place


def test_two_names_are_exchanged_at_once(tmp_path):
    for name in ("first", "second"):
        write_folder_atomic(tmp_path / name, {name: b""})
    if not exchange(tmp_path / "first", tmp_path / "second"):
        pytest.skip("a file system that cannot exchange names")
    assert contents(tmp_path / "first") == {"second": b""}
    assert contents(tmp_path / "second") == {"first": b""}
    with pytest.raises(FileNotFoundError):
        exchange(tmp_path / "first", tmp_path / "absent")


def test_what_a_killed_replacement_put_aside_is_brought_back(killed, tmp_path):
    restore(killed)
    assert contents(killed) == OLD
    write_folder_atomic(killed, NEW)
    assert contents(killed) == NEW
    assert list(tmp_path.iterdir()) == [killed]


def test_the_next_replacement_brings_it_back_before_anything_else(killed, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda descriptor: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write_folder_atomic(killed, NEW)
    assert contents(killed) == OLD
    assert list(tmp_path.iterdir()) == [killed]


def test_what_cannot_be_brought_back_is_kept(tmp_path, monkeypatch):
    place = tmp_path / "model"
    write_folder_atomic(place, OLD)
    rename = Path.rename

    def refuse(path, target):
        if target == place:
            raise PermissionError(13, "permission denied")
        return rename(path, target)

    monkeypatch.setattr("speechcls.scratch.exchange", lambda first, second: False)
    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(PermissionError):
        write_folder_atomic(place, NEW)
    monkeypatch.undo()
    restore(place)
    assert contents(place) == OLD


def test_what_a_living_process_replaces_is_waited_for(tmp_path):
    """The other process holds the folder aside for a moment, in which a reader comes."""
    place = tmp_path / "model"
    write_folder_atomic(place, OLD)
    script = """
import sys, time
from pathlib import Path
from speechcls import scratch
scratch.exchange = lambda first, second: False
from speechcls.files import write_folder_atomic
rename = Path.rename
def slow(path, target):
    if path.name == "whole":
        print("aside", flush=True)
        time.sleep(0.3)
    return rename(path, target)
Path.rename = slow
write_folder_atomic(Path(sys.argv[1]), {"a": b"new", "b": b"new"})
"""
    with subprocess.Popen([sys.executable, "-c", script, place], stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"aside\n"
        restore(place)
        assert contents(place) == NEW
    assert process.returncode == 0


def leave(folder, *names):
    """Leave a scratch folder as a killed process does."""
    folder.mkdir(parents=True)
    for name in names:
        (folder / name).mkdir()
        (folder / name / "part").write_bytes(b"half")


def test_leftovers_of_killed_processes_are_removed_by_the_next_write(tmp_path):
    leave(tmp_path / ".model-abcd_012", "whole")
    leave(tmp_path / ".speechcls-abcd_012", "whole")
    kept = [".model-v2-abcd_012", ".model-abcdefgh", ".model-notours", ".other-abcd_012"]
    for name in kept:
        leave(tmp_path / name, "whole" if name != ".model-abcdefgh" else "holiday pictures")
    with open_scratch(tmp_path, "model") as held:  # as of another living process
        assert (
            run(
                "import sys; from pathlib import Path; from speechcls import files;"
                " files.write_folder_atomic(Path(sys.argv[1], 'model'), {'a': b''});"
                " files.write_atomic(Path(sys.argv[1], 'file'), b'')",
                tmp_path,
            ).returncode
            == 0
        )
        assert held.is_dir()
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*kept, "file", "model"])


def test_a_scratch_folder_that_another_process_took_for_a_leftover_is_made_again(
    tmp_path, monkeypatch
):
    """Between making it and locking it, it looks like one."""
    flock, taken = fcntl.flock, []

    def late(descriptor, operation):
        if not taken and operation == fcntl.LOCK_EX:
            taken.extend(tmp_path.iterdir())
            taken[0].rmdir()
        flock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", late)
    write_atomic(tmp_path / "file", b"content")
    assert len(taken) == 1
    assert contents(tmp_path) == {"file": b"content"}


REPLACING = """
import sys
from pathlib import Path
from speechcls.files import write_folder_atomic
for n in range(300):
    write_folder_atomic(Path(sys.argv[1]), {name: b"%d" % n for name in "ab"})
"""


def test_readers_find_the_folder_at_every_moment(tmp_path):
    place = tmp_path / "model"
    write_folder_atomic(place, {"a": b"0", "b": b"0"})
    if not exchange(place, place):
        pytest.skip("a file system that cannot exchange names")
    n_found = 0
    with subprocess.Popen([sys.executable, "-c", REPLACING, place]) as process:
        while process.poll() is None:
            assert place.is_dir()
            n_found += 1
            time.sleep(0)
    assert process.returncode == 0
    assert n_found > 300
