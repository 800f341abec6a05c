"""Ordered parallel map over a stream of items, in batches, with back-pressure."""

import os
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from queue import Empty, Full, Queue
from typing import Generic, TypeVar


def default_jobs() -> int:
    """Return how many threads to use: the cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


T = TypeVar("T")
R = TypeVar("R")
Entry = TypeVar("Entry")

N_AHEAD = 256
"""Capacity of the queue of waiting items."""
POLL_S = 0.1
"""How often a waiting thread checks whether the results are still wanted."""


class _End:
    """Entry after the last item, with the error that ended the items, if one did."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error


class _Stopped(Exception):
    """The consumer wants no more results."""


def map_batches(
    items: Iterable[T], work: Callable[[list[T]], R], jobs: int, batch_size: int
) -> Iterator[R]:
    """Yield the result of ``work`` for each batch of ``items``, in order, as soon as it is ready.

    A batch holds one to ``batch_size`` items: it never waits for a second item, so that a slow
    source gets its results at once and a fast one full batches. ``items`` is iterated in a thread
    of its own. An error of ``work`` or of ``items`` is raised here once everything before it has
    been yielded.

    Parameters
    ----------
    work : called from ``jobs`` threads at once
    """
    pipeline = _Pipeline(items, work, jobs, batch_size)
    # Daemon threads, since a read from a silent pipe cannot be cancelled.
    for task in (pipeline.produce, *[pipeline.run] * jobs):
        threading.Thread(target=_until_stopped, args=[task], daemon=True).start()
    try:
        while not isinstance(entry := pipeline.results.get(), _End):
            yield entry.result()
        if entry.error is not None:
            raise entry.error
    finally:
        pipeline.stopped.set()


def prefetch(items: Iterable[T]) -> Iterator[T]:
    """Yield the items, each of which is made in a thread while the one before it is in use."""
    iterator, end = iter(items), _End(None)
    with ThreadPoolExecutor(1) as maker:
        pending: Future[T | _End] = maker.submit(next, iterator, end)
        while not isinstance(item := pending.result(), _End):
            pending = maker.submit(next, iterator, end)
            yield item


class _Pipeline(Generic[T, R]):
    """The two queues of one ``map_batches``, and what its threads do between them."""

    def __init__(
        self, items: Iterable[T], work: Callable[[list[T]], R], jobs: int, batch_size: int
    ) -> None:
        self._items, self._work, self._batch_size = items, work, batch_size
        self._waiting: Queue[T | _End] = Queue(N_AHEAD)
        self.results: Queue[Future[R] | _End] = Queue(2 * jobs)
        """In the order in which the batches were taken."""
        self.stopped, self._taking = threading.Event(), threading.Lock()

    def produce(self) -> None:
        """Put the items into the queue: the task of one thread."""
        end = _End(None)
        try:
            for item in self._items:
                self._put(self._waiting, item)
        except _Stopped:
            raise
        except BaseException as error:
            end = _End(error)
        self._put(self._waiting, end)

    def run(self) -> None:
        """Work on one batch after the other: the task of each other thread."""
        while True:
            batch, result = self._take()
            try:
                result.set_result(self._work(batch))
            except BaseException as error:
                result.set_exception(error)

    def _take(self) -> tuple[list[T], Future[R]]:
        """Return the next batch, and the future of its result."""
        with self._taking:
            entry, batch = self._get(), list[T]()
            while not isinstance(entry, _End):
                batch.append(entry)
                if len(batch) == self._batch_size or self._waiting.empty():
                    break
                entry = self._waiting.get_nowait()
            result: Future[R] = Future()
            if batch:
                self._put(self.results, result)
            if isinstance(entry, _End):
                self._put(self.results, entry)
            if not batch:
                raise _Stopped
            return batch, result

    def _put(self, queue: Queue[Entry], entry: Entry) -> None:
        while not self.stopped.is_set():
            try:
                return queue.put(entry, timeout=POLL_S)
            except Full:
                continue
        raise _Stopped

    def _get(self) -> T | _End:
        while not self.stopped.is_set():
            try:
                return self._waiting.get(timeout=POLL_S)
            except Empty:
                continue
        raise _Stopped


def _until_stopped(task: Callable[[], None]) -> None:
    with suppress(_Stopped):
        task()
