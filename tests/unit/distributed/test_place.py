"""Which of several processes this one is, and which rows of a batch are its own."""

import pytest

from speechcls.distributed.group import ALONE, Group, joined
from speechcls.distributed.place import Place, find_place
from speechcls.errors import ConfigError

ENVIRONMENT = {
    **{"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2"},
    **{"MASTER_ADDR": "ann", "MASTER_PORT": "29500", "TORCHELASTIC_RESTART_COUNT": "2"},
}


@pytest.fixture
def environment(monkeypatch):
    """Set the variables that are given, and unset the others that torchrun sets."""

    def change(values):
        for name in ENVIRONMENT:
            monkeypatch.delenv(name, raising=False)
        for name, value in values.items():
            monkeypatch.setenv(name, value)

    return change


def test_torchrun_says_which_process_it_is(environment):
    environment(ENVIRONMENT)
    assert find_place() == Place(3, 4, 1, 2, "ann:29500", 2)
    assert not find_place().is_main
    assert find_place().name.startswith("rank 3 of 4 on ")


@pytest.mark.parametrize("values", [{}, {"RANK": "0"}, ENVIRONMENT | {"WORLD_SIZE": "1"}])
def test_without_others_a_process_is_alone(values, environment):
    environment(values)
    assert find_place().size == 1
    with joined() as group:
        assert group.is_alone
        assert group.is_main


@pytest.mark.parametrize("name", [n for n in ENVIRONMENT if n[0] in "LM"])
def test_what_is_not_said_is_named(name, environment):
    environment({n: v for n, v in ENVIRONMENT.items() if n != name})
    with pytest.raises(ConfigError, match=rf"\${name} is not set.*torchrun"):
        find_place()


@pytest.mark.parametrize(("name", "value"), [("RANK", "4"), ("LOCAL_RANK", "x"), ("RANK", "-1")])
def test_what_cannot_be_is_refused(name, value, environment):
    environment(ENVIRONMENT | {name: value})
    with pytest.raises(ConfigError, match="start the processes with torchrun"):
        find_place()


@pytest.mark.parametrize(
    ("n", "size", "parts"),
    [
        (10, 1, [(0, 10)]),
        (10, 3, [(0, 3), (3, 6), (6, 10)]),
        (3, 3, [(0, 1), (1, 2), (2, 3)]),
        (2, 3, [(0, 2)] * 3),  # fewer rows than processes are the rows of each
    ],
)
def test_rows_are_shared_and_none_is_without(n, size, parts):
    assert [Group(Place(rank, size)).part(n) for rank in range(size)] == parts


def test_alone_nothing_is_added_or_waited_for():
    assert ALONE.ratio(7) == 1.0
    assert ALONE.gather({"n": 1}) == [{"n": 1}]
    assert ALONE.tell_bytes(b"x") == b"x"
    with pytest.raises(ZeroDivisionError):
        ALONE.in_turn(lambda: 1 / 0, is_mine=True)
