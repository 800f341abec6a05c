"""Prediction and detection in threads, so many at once, with the JSON that the commands print."""

import asyncio
import io
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from starlette.requests import ClientDisconnect, Request

from speechcls.audio.blocks import open_recording
from speechcls.audio.decode import read_clip
from speechcls.errors import AudioError
from speechcls.runtime.streaming import StreamingClassifier
from speechcls.runtime.writers import EVENT_FORMATS, PREDICTION_FORMATS
from speechcls.serve.bodies import Recording
from speechcls.serve.guard import Refusal
from speechcls.serve.models import ServedModel

T = TypeVar("T")
Job = TypeVar("Job")
Result = TypeVar("Result")
Stop = threading.Event
"""Set when nobody wants the result any more."""
_BATCH = 64
"""Jobs that a thread takes together."""
_PAUSE_S = 0.01
"""From one start to the next with fewer jobs than that."""


@dataclass
class Answer:
    """What recordings came to."""

    lines: list[str] = field(default_factory=list)
    """JSON objects, a line each, as the commands print them."""
    notes: list[str] = field(default_factory=list)
    """What was mended in reading a recording, with its name."""
    errors: list[tuple[str, str]] = field(default_factory=list)
    """Path of each recording that cannot be used, or not to its end, and why."""
    n_done: int = 0
    """Recordings that could be used, at least in part."""
    n_events: int = 0


class _Abandoned(Exception):
    """The client is gone."""


class Pool:
    """Threads that work on requests, a limited number of which may wait.

    Parameters
    ----------
    n_max : requests that are worked on or wait; None: no limit
    """

    def __init__(self, n_threads: int, n_max: int | None, name: str) -> None:
        self.executor = ThreadPoolExecutor(n_threads, thread_name_prefix=name)
        self._n_max, self._n = n_max, 0

    async def run(self, request: Request, job: Callable[[Stop], T]) -> T:
        """Return what a job does, which ends early when the client is gone.

        Raises
        ------
        Refusal
            When too many jobs wait.
        ClientDisconnect
            When the client is gone.
        """
        if self._n_max is not None and self._n >= self._n_max:
            raise Refusal(503, "server: too many requests at once; try again", 1)
        stop = Stop()
        self._n += 1
        future = asyncio.get_running_loop().run_in_executor(self.executor, job, stop)
        future.add_done_callback(self._on_done)
        watcher = asyncio.ensure_future(_gone(request))
        try:
            await asyncio.wait((future, watcher), return_when=asyncio.FIRST_COMPLETED)
            if not future.done():
                raise ClientDisconnect
            return future.result()
        finally:
            watcher.cancel()
            if not future.done():
                stop.set()
                future.cancel()

    def _on_done(self, future: "asyncio.Future[T]") -> None:
        self._n -= 1
        if not future.cancelled():
            future.exception()  # of an abandoned one too, so that nobody complains of it


async def _gone(request: Request) -> None:
    """Return when the client is gone; its body was read before."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


class Batches(Generic[Job, Result]):
    """Jobs that are cheaper together than alone: a thread takes all that have come by then.

    It begins as soon as it is free, but after another one only so late that there are many where
    many come. Where there are many already, a thread goes on without waiting for the event loop.

    Parameters
    ----------
    n_threads : of those of ``executor``
    work : does some jobs; returns the result of each, or what its future is to raise
    """

    def __init__(
        self,
        executor: Executor,
        n_threads: int,
        work: Callable[[Sequence[Job]], Sequence[Result | Exception]],
    ) -> None:
        self._executor, self._n_free, self._work = executor, n_threads, work
        self._waiting: deque[tuple[Job, asyncio.Future[Result]]] = deque()
        self._next_s = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def add(self, job: Job) -> "asyncio.Future[Result]":
        """Return what a job is going to come to."""
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting.append((job, future))
        self._start()
        return future

    def _start(self) -> None:
        loop = asyncio.get_running_loop()
        now_s = loop.time()
        while self._n_free and self._waiting:
            if len(self._waiting) < _BATCH and now_s < self._next_s:
                if self._timer is None:
                    self._timer = loop.call_at(self._next_s, self._on_time)
                return
            self._n_free -= 1
            self._next_s = now_s + _PAUSE_S
            self._executor.submit(self._run, loop, self._next())

    def _on_time(self) -> None:
        self._timer = None
        self._start()

    def _next(self) -> "list[tuple[Job, asyncio.Future[Result]]]":
        batch: list[tuple[Job, asyncio.Future[Result]]] = []
        with suppress(IndexError):  # another thread took the last ones
            while len(batch) < _BATCH:
                batch.append(self._waiting.popleft())
        return batch

    def _run(
        self, loop: asyncio.AbstractEventLoop, batch: "list[tuple[Job, asyncio.Future[Result]]]"
    ) -> None:
        """Do jobs, in a thread, which takes the next ones itself where there are enough."""
        results: Sequence[Result | Exception]
        try:
            results = self._work([job for job, _ in batch])
        except Exception as error:
            results = [error] * len(batch)
        following = self._next() if len(self._waiting) >= _BATCH else []
        futures = [future for _, future in batch]
        loop.call_soon_threadsafe(self._on_done, futures, results, not following)
        if following:  # behind whatever else waits for a thread
            self._executor.submit(self._run, loop, following)

    def _on_done(
        self,
        futures: "Sequence[asyncio.Future[Result]]",
        results: Sequence[Result | Exception],
        is_free: bool,
    ) -> None:
        self._n_free += is_free
        for future, result in zip(futures, results, strict=True):
            if future.done():  # nobody waits for it any more
                continue
            if isinstance(result, BaseException):
                future.set_exception(result)
            else:
                future.set_result(result)
        self._start()


def predict(
    model: ServedModel,
    recordings: Sequence[Recording],
    threshold: float | None,
    top_k: int | None,
    channel: int | None,
    longest_s: float,
    stop: Stop,
) -> Answer:
    """Return a line of each recording, as ``predict`` prints it in JSON.

    Parameters
    ----------
    threshold, channel : see ``Classifier.predict``
    longest_s : seconds that a recording may last
    """
    answer, classifier = Answer(), model.classifier
    for recording in recordings:
        _check(stop)
        try:
            samples = read_clip(
                io.BytesIO(recording.content),
                classifier.sample_rate,
                name=recording.name,
                channel=channel,
                on_note=_noter(answer, recording),
                longest_s=longest_s,
            )
        except AudioError as error:
            answer.errors.append((recording.path, str(error)))
            continue
        line = io.StringIO()
        write = PREDICTION_FORMATS["jsonl"].open(line, top_k)
        write(recording.path, classifier.predict(samples, threshold=threshold))
        answer.lines.append(line.getvalue())
        answer.n_done += 1
    return answer


def detect(
    open_stream: Callable[[], StreamingClassifier],
    recordings: Sequence[Recording],
    channel: int | None,
    longest_s: float,
    stop: Stop,
) -> Answer:
    """Return a line of each word, as ``detect`` prints it in JSON, also before a recording breaks.

    Parameters
    ----------
    longest_s : seconds that a recording may last
    """
    answer = Answer()
    for recording in recordings:
        n_before, fault = answer.n_events, None
        try:
            _detect(answer, open_stream(), recording, channel, longest_s, stop)
        except AudioError as error:
            fault = str(error)
            answer.errors.append((recording.path, fault))
        answer.n_done += fault is None or answer.n_events > n_before
    return answer


def _detect(
    answer: Answer,
    stream: StreamingClassifier,
    recording: Recording,
    channel: int | None,
    longest_s: float,
    stop: Stop,
) -> None:
    text, n_left = io.StringIO(), longest_s * stream.sample_rate
    write = EVENT_FORMATS["jsonl"].open(text)
    found = []
    with open_recording(
        io.BytesIO(recording.content), stream.sample_rate, channel, name=recording.name
    ) as reader:
        try:
            for block in reader.blocks():
                _check(stop)
                n_left -= len(block)
                if n_left < 0:
                    raise AudioError(
                        f"{recording.name}: lasts more than {longest_s:g} s; send it in parts"
                    )
                found += stream.feed(block)
        finally:
            found += stream.finish()
            for event in found:
                write(recording.path, event)
            answer.lines += text.getvalue().splitlines(keepends=True)
            answer.n_events += len(found)
            for note in reader.notes:
                _noter(answer, recording)(note)


def _noter(answer: Answer, recording: Recording) -> Callable[[str], None]:
    return lambda note: answer.notes.append(f"{recording.name}: {note}")


def _check(stop: Stop) -> None:
    """Give up where nobody wants the result any more."""
    if stop.is_set():
        raise _Abandoned
