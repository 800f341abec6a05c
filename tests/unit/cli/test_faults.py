"""What the machine refuses is told by what an error, or one that it came from, says."""

import pytest

from speechcls.cli.faults import describe_fault
from speechcls.errors import ArtifactError


def test_a_shortage_is_found_behind_another_error():
    with pytest.raises(RuntimeError) as raised:
        try:
            raise MemoryError
        except MemoryError as error:
            raise RuntimeError("it failed") from error
    text = describe_fault(raised.value, "train")
    assert text is not None and text.startswith("not enough memory for train")


def test_errors_that_come_from_each_other_are_looked_at_once():
    first, second = RuntimeError("first"), RuntimeError("second")
    first.__cause__, second.__cause__ = second, first
    assert describe_fault(first, "train") is None


def test_what_is_ours_is_no_shortage():
    assert describe_fault(ArtifactError("m: out of memory"), "train") is None
