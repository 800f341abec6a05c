"""Which recordings end the process that reads them, and how a list is cut."""

import itertools

from speechcls.cluster.attempts import Attempts
from speechcls.cluster.tasks import PartSizes, fetched


def test_only_what_was_read_at_two_deaths_is_skipped():
    attempts = Attempts()
    assert attempts.begin(7) is None  # then the process dies, nobody knows where
    assert attempts.begin(7) == []
    attempts.reading(7, 0)
    attempts.reading(7, 1)  # dies here
    assert attempts.begin(7) == []
    attempts.reading(7, 0)
    attempts.reading(7, 1)  # and again
    assert attempts.begin(7) == [1]
    attempts.reading(7, 2)
    assert attempts.begin(7) == [1]
    attempts.end(7)
    assert attempts.begin(7) is None
    assert attempts.begin(8) is None


def test_what_is_here_and_a_row_without_a_path_pass_in_order():
    first, none, last = fetched(["a.wav", "", "b.wav"], n_ahead=1)
    assert (first, last) == ("a.wav", "b.wav")
    assert str(none) == "a row without a path; write it, or leave the row out"


def test_parts_double_up_to_the_largest():
    sizes = PartSizes(first=2, largest=7, n_alike=2)
    assert [*itertools.islice(sizes, 9)] == [2, 2, 4, 4, 7, 7, 7, 7, 7]
