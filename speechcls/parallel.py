"""Work on a stream of items by several threads, and hand on what comes of them in order."""

import os
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from queue import Empty, Full, Queue
from typing import TypeVar


def default_jobs() -> int:
    """Return how many threads to use: the cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


T = TypeVar("T")
R = TypeVar("R")
Entry = TypeVar("Entry")

_N_AHEAD = 256  # items that wait to be worked on: enough for every core, and flat memory
_POLL_S = 0.1  # how often a thread that waits looks whether it is still wanted


class _End:
    """Stands in the queue after the last item, with what ended it."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error


class _Stopped(Exception):
    """Nobody wants the rest."""


def map_batches(
    items: Iterable[T], work: Callable[[list[T]], R], jobs: int, batch_size: int
) -> Iterator[R]:
    """Yield what ``work`` makes of ``items``, batch by batch, in order, as soon as it is there.

    A batch holds one to ``batch_size`` items: it never waits for a second item, so that a slow
    source gets its answers at once and a fast one full batches. ``items`` is taken from a thread
    of its own. An error of ``work`` or of ``items`` is raised here once everything before it has
    been yielded.

    Parameters
    ----------
    work : called from ``jobs`` threads at once
    """
    waiting: Queue[T | _End] = Queue(_N_AHEAD)
    answers: Queue[Future[R] | _End] = Queue(2 * jobs)  # in the order in which batches were taken
    stopped, taking = threading.Event(), threading.Lock()

    def put(queue: Queue[Entry], entry: Entry) -> None:
        while not stopped.is_set():
            try:
                return queue.put(entry, timeout=_POLL_S)
            except Full:
                continue
        raise _Stopped

    def get(queue: Queue[Entry]) -> Entry:
        while not stopped.is_set():
            try:
                return queue.get(timeout=_POLL_S)
            except Empty:
                continue
        raise _Stopped

    def produce() -> None:
        end = _End(None)
        try:
            for item in items:
                put(waiting, item)
        except _Stopped:
            return
        except BaseException as error:
            end = _End(error)
        put(waiting, end)

    def take() -> tuple[list[T], Future[R]]:
        """Return the next batch, and where its answer is waited for."""
        with taking:
            entry, batch = get(waiting), []
            while not isinstance(entry, _End):
                batch.append(entry)
                if len(batch) == batch_size or waiting.empty():
                    answer: Future[R] = Future()
                    put(answers, answer)
                    return batch, answer
                entry = waiting.get_nowait()
            if batch:
                put(answers, answer := Future())
            put(answers, entry)
            if not batch:
                raise _Stopped
            return batch, answer

    def run() -> None:
        while True:
            batch, answer = take()
            try:
                answer.set_result(work(batch))
            except BaseException as error:
                answer.set_exception(error)

    def until_stopped(task: Callable[[], None]) -> None:
        try:
            task()
        except _Stopped:
            return

    # Daemons, since a read from a silent pipe cannot be called off.
    for task in (produce, *[run] * jobs):
        threading.Thread(target=until_stopped, args=[task], daemon=True).start()
    try:
        while not isinstance(entry := answers.get(), _End):
            yield entry.result()
        if entry.error is not None:
            raise entry.error
    finally:
        stopped.set()
