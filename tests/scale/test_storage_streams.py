"""Files at addresses that are read in pieces, each of them in several attempts."""

import gzip
import os
from typing import Any

import pytest
from common_stores import FAST, bad_server

from speechcls.errors import StorageError
from speechcls.lists.clip_list import ClipList
from speechcls.storage import streams

NAMES = [f"{i}.wav" for i in range(30_000)]


@pytest.fixture(autouse=True)
def limits(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in FAST.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(streams, "_PIECE_BYTES", 4_096)


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A store without attributes beside its files: each read of one is noted, and may fail."""
    import fsspec
    from fsspec.implementations.memory import MemoryFile

    files = fsspec.filesystem("memory")
    files.asked, files.faults = [], []
    read = MemoryFile.read

    def note(self: Any, size: int = -1) -> bytes:
        files.asked.append((self.tell(), size))
        if files.faults:
            raise files.faults.pop(0)
        content: bytes = read(self, size)
        return content

    monkeypatch.setattr(MemoryFile, "read", note)
    yield files
    files.rm("/lists", recursive=True)


def test_a_piece_that_fails_is_asked_for_again(memory: Any) -> None:
    content = "\n".join(NAMES).encode()
    memory.pipe("/lists/l.txt", content)
    memory.asked.clear()
    paths = ClipList.at("memory://lists/l.txt").paths()
    assert next(paths) == "0.wav"
    memory.faults[:] = [TimeoutError(), ConnectionResetError()]
    assert [*paths] == NAMES[1:]
    starts = [start for start, _ in memory.asked]
    assert starts == sorted(starts) and len(set(starts)) == -(-len(content) // 65_536)
    assert len(starts) == len(set(starts)) + 2

    memory.faults[:] = [TimeoutError()] * 9
    with pytest.raises(StorageError, match=r"^memory://lists/l\.txt: no answer in time in 3 attem"):
        [*ClipList.at("memory://lists/l.txt").paths()]


def test_of_a_file_in_pieces_any_place_can_be_read(memory: Any) -> None:
    content = os.urandom(20_000)
    memory.pipe("/lists/l.bin", content)
    with streams.open_file("memory://lists/l.bin") as file:
        assert file.seek(-5_000, os.SEEK_END) == 15_000
        assert file.read(100) == content[15_000:15_100]
        assert (file.seek(3), file.read(9_000)) == (3, content[3:9_003])
        assert file.seek(1, os.SEEK_CUR) == 9_004
        assert file.read() == content[9_004:]
        assert file.read() == b""


def test_a_list_on_a_web_server_comes_whole_or_not_at_all() -> None:
    with bad_server() as web:
        web.files["/l.csv.gz"] = gzip.compress(("path\n" + "\n".join(NAMES)).encode())
        web.faults["/l.csv.gz"] = ["cut", "503"]
        clips = ClipList.at(f"{web.url}/l.csv.gz?key=secret")
        assert [*clips.paths()] == NAMES
        assert clips.resolve("a.wav") == f"{web.url}/a.wav"
        web.faults["/l.csv.gz"] = ["cut"] * 9
        with pytest.raises(
            StorageError, match=r"cut off while it was read in 3 attempts"
        ) as caught:
            [*clips.paths()]
        assert str(caught.value).startswith(f"{web.url}/l.csv.gz?...: ")
