"""Read many things at once and hand them on in order, as soon as they are there."""

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from queue import Empty, Full, Queue
from typing import TypeVar

from speechcls.errors import SpeechclsError

T = TypeVar("T")
R = TypeVar("R")

_N_AHEAD = 256  # items read or waiting to be: enough for every core, and flat memory
_POLL_S = 0.1  # how often a producer that is ahead looks whether it is still wanted


class _End:
    """Stands in the queue after the last item, with what ended it."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error


def read_ahead(
    items: Iterable[T], read: Callable[[T], R], jobs: int, batch_size: int
) -> Iterator[list[tuple[T, R | SpeechclsError]]]:
    """Yield ``items`` in order with what ``read`` made of each, in lists of what is ready.

    A list holds one to ``batch_size`` items: it never waits for a second item, so that a slow
    source gets its answers at once and a fast one full batches. ``items`` is taken from a thread
    of its own. A SpeechclsError of ``read`` stands in the place of its result; any other error,
    and any of ``items``, is raised here once everything before it has been yielded.

    Parameters
    ----------
    jobs : how many reads run at once
    """
    queue: Queue[tuple[T, Future[R | SpeechclsError]] | _End] = Queue(_N_AHEAD)
    pool = ThreadPoolExecutor(jobs, thread_name_prefix="read")
    stopped = threading.Event()

    def attempt(item: T) -> R | SpeechclsError:
        try:
            return read(item)
        except SpeechclsError as error:
            return error

    def put(entry: tuple[T, Future[R | SpeechclsError]] | _End) -> None:
        while not stopped.is_set():
            try:
                queue.put(entry, timeout=_POLL_S)
            except Full:
                continue
            return

    def produce() -> None:
        try:
            for item in items:
                if stopped.is_set():
                    return
                put((item, pool.submit(attempt, item)))
        except BaseException as error:
            put(_End(error))
        else:
            put(_End(None))

    # A daemon, since a read from a silent pipe cannot be called off.
    threading.Thread(target=produce, daemon=True).start()
    try:
        entry: tuple[T, Future[R | SpeechclsError]] | _End | None = queue.get()
        while isinstance(entry, tuple):
            batch = [(entry[0], entry[1].result())]
            entry = _next_now(queue)
            while len(batch) < batch_size and isinstance(entry, tuple) and _is_ready(entry[1]):
                batch.append((entry[0], entry[1].result()))
                entry = _next_now(queue)
            yield batch
            entry = queue.get() if entry is None else entry
        if entry is not None and entry.error is not None:
            raise entry.error
    finally:
        stopped.set()
        pool.shutdown(wait=False, cancel_futures=True)


def _next_now(queue: "Queue[T]") -> T | None:
    try:
        return queue.get_nowait()
    except Empty:
        return None


def _is_ready(reading: "Future[R]") -> bool:
    """Tell whether there is a result; an error is raised only when its turn has come."""
    return reading.done() and reading.exception() is None
