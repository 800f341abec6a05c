"""What is done is read again as it was written; what was cut is done again."""

import os
from pathlib import Path

import pytest

from speechcls.errors import ConfigError
from speechcls.journal import Journal, key_of_file, open_journal

ABOUT = {"speechcls": "1", "threshold": 0.1}
DONE = b'{"speechcls": "1", "threshold": 0.1}\n[["a"], 1]\n[["b"], 2]\n'


def double(journal: Journal, items: str) -> tuple[list[tuple[str, int]], list[str]]:
    """Return the results of items, and those that were computed for them."""
    computed: list[str] = []

    def compute(rest):
        for item in rest:
            computed.append(item)
            yield ord(item) - ord("a") + 1

    return [*journal.run(items, lambda item: [item], compute, int, int)], computed


def test_what_is_done_is_read_and_the_rest_is_added(tmp_path: Path) -> None:
    path = tmp_path / "out.resume"
    with pytest.raises(KeyboardInterrupt), open_journal(path, ABOUT, False) as journal:
        assert double(journal, "ab") == ([("a", 1), ("b", 2)], ["a", "b"])
        raise KeyboardInterrupt
    assert path.read_bytes() == DONE
    before: list[int] = []
    with open_journal(path, ABOUT, True, before.append) as journal:
        assert double(journal, "abc") == ([("a", 1), ("b", 2), ("c", 3)], ["c"])
        assert path.read_bytes() == DONE + b'[["c"], 3]\n'
    assert before == [2]
    assert not path.exists()


@pytest.mark.parametrize("rest", [b'[["c"', b'[["c"], 3]', b"\0\0\0\0\n\0\n", b"3\n", b"[1]\n"])
def test_from_the_first_damaged_line_on_it_is_done_again(rest: bytes, tmp_path: Path) -> None:
    path = tmp_path / "out.resume"
    path.write_bytes(DONE + rest)
    with open_journal(path, ABOUT, True) as journal:
        assert double(journal, "abcd")[1] == ["c", "d"]
        assert path.read_bytes() == DONE + b'[["c"], 3]\n[["d"], 4]\n'


@pytest.mark.parametrize("head", [b"", b'{"speechcls": "1"'])
def test_one_that_was_cut_in_its_first_line_is_empty(head: bytes, tmp_path: Path) -> None:
    path = tmp_path / "out.resume"
    path.write_bytes(head)
    with open_journal(path, ABOUT, True) as journal:
        assert double(journal, "ab")[1] == ["a", "b"]
        assert path.read_bytes() == DONE


@pytest.mark.parametrize("head", [b"hello\n", b"[]\n[1]\n", b"3\n"])
def test_a_file_of_something_else_stays_as_it_is(head: bytes, tmp_path: Path) -> None:
    path = tmp_path / "out.resume"
    path.write_bytes(head)
    with (
        pytest.raises(ConfigError, match=r"resume: .*out\.resume"),
        open_journal(path, ABOUT, True),
    ):
        pass
    assert path.read_bytes() == head


def test_one_without_results_is_not_left_behind(tmp_path: Path) -> None:
    path = tmp_path / "out.resume"
    with pytest.raises(OSError), open_journal(path, ABOUT, False):
        assert path.exists()
        raise OSError
    assert not path.exists()


def test_one_of_other_items_stays_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "out.resume"
    path.write_bytes(DONE)
    for items in ("ac", "a"):
        with (
            pytest.raises(ConfigError, match="resume: the data "),
            open_journal(path, ABOUT, True) as journal,
        ):
            double(journal, items)
        assert path.read_bytes() == DONE


def test_without_a_file_everything_is_computed() -> None:
    assert double(Journal(), "ab") == ([("a", 1), ("b", 2)], ["a", "b"])


def test_the_key_of_a_file_tells_its_states_apart(tmp_path: Path) -> None:
    path = tmp_path / "clip"
    assert key_of_file(path, 1) == [str(path), None, None, 1]
    path.write_bytes(b"abc")
    os.utime(path, ns=(5, 7))
    assert key_of_file(path, 1) == [str(path), 3, 7, 1]
    assert key_of_file("no\0path") == ["no\0path", None, None]
