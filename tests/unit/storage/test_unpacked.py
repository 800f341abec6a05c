"""Shards by a range of numbers."""

from pathlib import Path

import pytest

from speechcls.errors import DatasetError
from speechcls.storage.unpacked import expand_braces


def test_a_range_is_as_wide_as_its_first_number():
    names = [f"a/x-{number}-of-12.tar" for number in ("08", "09", "10")]
    assert expand_braces(Path("a/x-{08..10}-of-12.tar")) == [*map(Path, names)]


def test_two_ranges_are_all_pairs():
    assert expand_braces(Path("{0..1}/{5..6}")) == [*map(Path, ("0/5", "0/6", "1/5", "1/6"))]


def test_what_has_no_range_or_is_there_is_itself(tmp_path):
    assert expand_braces(Path("a{b}.tar")) == [Path("a{b}.tar")]
    there = tmp_path / "{0..1}"
    there.touch()
    assert expand_braces(there) == [there]


@pytest.mark.parametrize("name", ["{3..1}.tar", "{0..9999999}.tar"])
def test_impossible_ranges_are_refused(name):
    with pytest.raises(DatasetError, match="is no range of shards"):
        expand_braces(Path(name))
