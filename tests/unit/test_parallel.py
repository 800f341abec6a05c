"""Ordered parallel map: order, errors in their place, no waiting, back-pressure, and an end."""

import itertools
import random
import threading
import time

import pytest

from speechcls import parallel
from speechcls.parallel import N_AHEAD, POLL_S, map_batches, prefetch

PATIENCE_S = 10  # after which a test gives up on another thread


def map_reads(items, read, jobs, batch_size):
    """Batches of pairs of an item and what ``read`` makes of it."""
    return map_batches(items, lambda batch: [(i, read(i)) for i in batch], jobs, batch_size)


def flat(batches):
    """The items of all batches."""
    return [pair for batch in batches for pair in batch]


def wait_until(condition):
    """Wait for another thread."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.005)


class Source:
    """Counts from 0 without end, and knows how many it has handed out."""

    def __init__(self):
        self.n_taken = 0

    def __iter__(self):
        for number in itertools.count():
            self.n_taken = number + 1
            yield number


@pytest.mark.parametrize(("jobs", "batch_size"), [(1, 64), (2, 1), (4, 7), (16, 1_000)])
def test_order_is_kept_whatever_takes_how_long(jobs, batch_size):
    delays = random.Random(0)
    times_s = [delays.choice([0, 0, 0.001, 0.003]) for _ in range(150)]

    def read(number):
        time.sleep(times_s[number])
        return number * number

    batches = list(map_reads(range(150), read, jobs, batch_size))
    assert flat(batches) == [(number, number * number) for number in range(150)]
    assert all(1 <= len(batch) <= batch_size for batch in batches)


def test_nothing_comes_of_nothing():
    assert list(map_reads([], str, 2, 10)) == []


def test_more_items_than_are_map_reads():
    n = 3 * N_AHEAD
    assert flat(map_reads(range(n), str, 4, 50)) == [(i, str(i)) for i in range(n)]


def test_an_error_of_the_source_comes_after_everything_before_it():
    def source():
        yield from range(5)
        raise OSError("the list is gone")

    def read(number):
        time.sleep(0.01)  # the error is there long before the results
        return number

    got = []
    with pytest.raises(OSError, match="the list is gone"):
        got.extend(pair for batch in map_reads(source(), read, 2, 3) for pair in batch)
    assert got == [(number, number) for number in range(5)]


def test_an_unforeseen_error_of_a_read_comes_after_everything_before_it():
    three_failed = threading.Event()

    def read(number):
        if number == 3:
            three_failed.set()
            raise ZeroDivisionError
        # Number 0 is done last, so that all of them are ready at once.
        assert number > 0 or three_failed.wait(PATIENCE_S)
        time.sleep(0.05 if number == 0 else 0)
        return number

    got = []
    with pytest.raises(ZeroDivisionError):
        for batch in map_reads(range(8), read, 4, 1):
            got += batch
    assert got == [(0, 0), (1, 1), (2, 2)]


def test_a_slow_source_gets_each_answer_before_it_goes_on():
    answered = threading.Semaphore(0)

    def source():
        for number in range(4):
            yield number
            # As a program does that writes one path and waits for its line.
            assert answered.acquire(timeout=PATIENCE_S), "no answer"

    got = []
    for batch in map_reads(source(), str, 2, 64):
        got.append(batch)
        answered.release()
    assert got == [[(number, str(number))] for number in range(4)]


def test_a_slow_batch_does_not_hold_up_what_is_ready():
    first_out = threading.Event()

    def read(number):
        assert number == 0 or first_out.wait(PATIENCE_S), "number 0 waits for number 1"
        return number

    batches = map_reads(range(3), read, 2, 1)
    assert next(batches) == [(0, 0)]
    first_out.set()
    assert flat(batches) == [(1, 1), (2, 2)]


def test_what_waits_is_taken_in_full_batches():
    sizes, all_there = [], threading.Event()

    def source():
        yield from range(10)
        all_there.set()

    def work(batch):
        assert all_there.wait(PATIENCE_S)
        sizes.append(len(batch))
        return batch

    numbers = [number for batch in map_batches(source(), work, 1, 4) for number in batch]
    assert numbers == list(range(10))
    # The first batch is what was there so soon; all others but the last are full.
    assert all(size == 4 for size in sizes[1:-1])
    assert sum(sizes) == 10


def test_as_many_reads_run_at_once_as_there_are_jobs():
    meeting = threading.Barrier(3)  # passed only by three at a time
    running, most, lock = 0, 0, threading.Lock()

    def read(number):
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        meeting.wait(PATIENCE_S)
        with lock:
            running -= 1
        return number

    assert len(flat(map_reads(range(9), read, 3, 1))) == 9
    assert most == 3


@pytest.mark.parametrize("n_ahead", [1, 8, N_AHEAD])
def test_no_more_is_read_than_fits_ahead(n_ahead, monkeypatch):
    monkeypatch.setattr(parallel, "N_AHEAD", n_ahead)
    source, n_read = Source(), itertools.count()
    read_so_far = []

    def read(number):
        read_so_far.append(next(n_read))
        return number

    results = map_reads(source, read, 2, 1)
    assert next(results) == [(0, 0)]
    wait_until(lambda: source.n_taken > n_ahead)
    time.sleep(3 * POLL_S)
    # Number 0 is out, four answers wait, each job holds one more that waits to be let in, and so
    # does the source.
    assert source.n_taken <= n_ahead + 8
    assert len(read_so_far) <= 7
    # Taking some lets as many more in, and no more.
    for number in range(1, 6):
        assert next(results) == [(number, number)]
    wait_until(lambda: source.n_taken > n_ahead + 5)
    time.sleep(3 * POLL_S)
    assert source.n_taken <= n_ahead + 13
    results.close()


def test_nothing_is_read_before_the_first_is_asked_for():
    source = Source()
    results = map_reads(source, str, 2, 1)
    time.sleep(0.05)
    assert source.n_taken == 0
    results.close()


def test_an_early_end_stops_the_source_and_its_threads():
    before = set(threading.enumerate())
    source = Source()
    results = map_reads(source, str, 2, 1)
    next(results)
    assert set(threading.enumerate()) > before
    results.close()
    wait_until(lambda: set(threading.enumerate()) <= before)
    n_taken = source.n_taken
    time.sleep(2 * POLL_S)
    assert source.n_taken == n_taken


def test_an_error_of_the_consumer_stops_the_source_too():
    before = set(threading.enumerate())
    with pytest.raises(KeyError):
        for _ in map_reads(Source(), str, 2, 1):
            raise KeyError
    wait_until(lambda: set(threading.enumerate()) <= before)


def test_what_waits_to_be_read_is_dropped_at_an_early_end():
    first_out, n_read = threading.Event(), itertools.count(1)
    reads = []

    def read(number):
        reads.append(next(n_read))
        assert number == 0 or first_out.wait(PATIENCE_S)
        return number

    results = map_reads(range(100), read, 1, 1)
    assert next(results) == [(0, 0)]
    results.close()
    first_out.set()
    time.sleep(2 * POLL_S)
    assert len(reads) <= 4  # the one handed out, two that wait, and one already under way


def test_threads_end_with_the_items():
    before = set(threading.enumerate())
    assert len(flat(map_reads(range(20), str, 3, 4))) == 20
    wait_until(lambda: set(threading.enumerate()) <= before)


def test_prefetch_makes_one_item_ahead_in_another_thread():
    source = Source()
    items = prefetch(source)
    assert next(items) == 0
    wait_until(lambda: source.n_taken == 2)
    assert next(items) == 1
    wait_until(lambda: source.n_taken == 3)
    time.sleep(0.02)  # it does not go on by itself
    assert source.n_taken == 3
    items.close()
    assert list(prefetch([])) == []
    assert list(prefetch(iter("abc"))) == ["a", "b", "c"]


def test_prefetch_raises_an_error_behind_the_items_before_it():
    def fail_at_two():
        yield from (0, 1)
        raise ValueError("at two")

    got = []
    with pytest.raises(ValueError, match="at two"):
        for item in prefetch(fail_at_two()):
            got.append(item)
    assert got == [0, 1]
