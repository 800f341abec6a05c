"""``/v1/stream``: sound in as binary messages, words out as JSON, a state for each client."""

import asyncio
import io
import json
import logging
import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from starlette.websockets import WebSocket, WebSocketDisconnect

from speechcls.audio.samples import ChannelMixer, Samples
from speechcls.audio.wav import SampleFormat, decode_frames
from speechcls.errors import AudioError, SpeechclsError
from speechcls.runtime.detection import Event
from speechcls.runtime.session import Session
from speechcls.runtime.streaming import StreamingClassifier, advance_together
from speechcls.runtime.writers import LIVE_FORMATS
from speechcls.serve.guard import PROTOCOL
from speechcls.serve.metrics import Metrics
from speechcls.serve.work import Batches, Pool
from speechcls.text import json_text

LOG = logging.getLogger("speechcls.serve")
MODEL_FAULT = "model: cannot be run; whoever runs the server finds why in its log"
DONE, AWAY, BAD_DATA, BAD_CLIENT, BROKEN = 1000, 1001, 1003, 1008, 1011
"""Codes that a stream is closed with (RFC 6455)."""
_WAITING_S = 2.0
"""Sound of a client that may wait; it is read no further before that is worked on."""
_RUN_S = 1.0
"""Longest piece of sound in one run, so that all clients get their turn."""
_STEP_S = 0.1
"""Duration of which the channels are judged at a time."""


class Live:
    """Sound of one client to lines of JSON; called from one thread at a time.

    Parameters
    ----------
    channel : which one counts, from 1 on; None: see ``ChannelMixer``
    with_posteriors : whether the latest probabilities are among the lines
    """

    def __init__(
        self,
        classifier: StreamingClassifier,
        format: SampleFormat,
        channel: int | None,
        with_posteriors: bool,
    ) -> None:
        self.classifier, self._format = classifier, format
        self._with_posteriors = with_posteriors
        self._notes: list[str] = []
        step = max(1, round(_STEP_S * format.rate))
        self._mixer = ChannelMixer(format.n_channels, channel, self._notes.append, step)
        self._rest = b""
        self._n_frames = self.n_events = 0

    def put(self, data: bytes, is_last: bool) -> None:
        """Have the next bytes wait for a run of the network.

        Raises
        ------
        AudioError
            When samples are not finite.
        """
        data = self._rest + data
        n_whole = len(data) // self._format.frame_bytes * self._format.frame_bytes
        self._rest = data[n_whole:]
        frames = decode_frames(data[:n_whole], self._format)
        self._n_frames += len(frames)
        self.classifier.put(self._mono(frames, is_last), is_last)
        if is_last:
            self._mixer.finish()
            if self._rest:
                self._notes.append("the stream ended within a sample; check encoding")

    def take(self) -> list[str]:
        """Return the lines that the run led to."""
        before = self.classifier.posterior
        events = self.classifier.take()
        lines = [json_text({"warning": note}) for note in self._notes]
        self._notes.clear()
        time_s = self._n_frames / self._format.rate
        lines += [self._line(event, time_s) for event in events]
        self.n_events += len(events)
        posterior = self.classifier.posterior
        if self._with_posteriors and posterior is not None and posterior is not before:
            labels = self.classifier.artifact.labels
            values = {k: round(p, 6) for k, p in zip(labels, posterior.tolist(), strict=True)}
            lines.append(json_text({"heard_s": round(time_s, 3), "probabilities": values}))
        return lines

    def _mono(self, frames: Samples, is_last: bool) -> Samples:
        """Return the next samples (n,) of one channel."""
        if self._format.n_channels == 1:
            return frames[:, 0]
        return self._mixer.mix(frames, is_last)

    @staticmethod
    def _line(event: Event, time_s: float) -> str:
        text = io.StringIO()
        LIVE_FORMATS["jsonl"].open(text)(event, time_s)
        return text.getvalue().rstrip("\n")


Piece = tuple[Live, bytes, bool]
"""A stream with its next bytes, and whether they are the last."""


def feed_together(pieces: Sequence[Piece]) -> list[list[str] | Exception]:
    """Return the lines that the next bytes of each of several streams of one model lead to.

    What one of them fails with is for it to raise, whatever it is, and no matter of the others.
    """
    faults: dict[Live, Exception] = {}
    for live, data, is_last in pieces:
        try:
            live.put(data, is_last)
        except Exception as error:
            faults[live] = error
    advance_together([live.classifier for live, *_ in pieces if live not in faults])
    answers: list[list[str] | Exception] = []
    for live, *_ in pieces:
        try:
            answers.append(faults[live] if live in faults else live.take())
        except Exception as error:
            answers.append(error)
    return answers


class Stream:
    """One connection: reads as fast as the sound is worked on, and writes what comes of it.

    Parameters
    ----------
    step_bytes : of the sound that a posterior takes: less waits for more
    idle_s : seconds without a message after which it ends
    """

    def __init__(
        self,
        socket: WebSocket,
        live: Live,
        batches: Batches[Piece, list[str]],
        format: SampleFormat,
        step_s: float,
        idle_s: float,
    ) -> None:
        self._socket, self._live, self._batches, self._idle_s = socket, live, batches, idle_s
        self._step = self._bytes_of(format, step_s)
        self._run = max(self._step, self._bytes_of(format, _RUN_S))
        self._most = max(2 * self._step, self._bytes_of(format, _WAITING_S))
        self._pending = bytearray()
        self._code: int | None = None
        self._fault: str | None = None
        self._is_gone = False
        self._ready, self._room = asyncio.Event(), asyncio.Event()
        self._idle_from = math.inf

    @staticmethod
    def _bytes_of(format: SampleFormat, seconds: float) -> int:
        return max(1, round(seconds * format.rate)) * format.frame_bytes

    def end(self, code: int, fault: str | None = None) -> None:
        """Work on what has come, and close the connection, with an error where there is one."""
        if self._code is None:
            self._code, self._fault = code, fault
        self._ready.set()
        self._room.set()

    def _fail(self, code: int, fault: str) -> None:
        """End at once, even if it is to end otherwise."""
        self._code, self._fault = code, fault
        self._room.set()

    async def serve(self) -> None:
        """Serve until one of both sides ends it."""
        reader = asyncio.create_task(self._read())
        watch = asyncio.create_task(self._watch())
        code = BROKEN
        try:
            await self._work()
            code = self._code or DONE
            if self._fault is not None and not self._is_gone:
                await self._socket.send_text(json_text({"error": self._fault}))
        except WebSocketDisconnect:
            self._is_gone = True
        finally:
            reader.cancel()
            watch.cancel()
            await asyncio.wait((reader, watch))
            if not self._is_gone:
                with suppress(WebSocketDisconnect):
                    await self._socket.close(code)
        if not reader.cancelled():
            reader.result()

    async def _watch(self) -> None:
        """End where no message has come for too long: one timer, not one for each message."""
        loop = asyncio.get_running_loop()
        left_s = self._idle_s
        while left_s > 0:
            await asyncio.sleep(min(left_s, self._idle_s))
            left_s = self._idle_from + self._idle_s - loop.time()
        self.end(BAD_CLIENT, f"stream: no message for {self._idle_s:g} s; open another one")

    async def _read(self) -> None:
        loop = asyncio.get_running_loop()
        while self._code is None:
            self._idle_from = loop.time()
            message = await self._socket.receive()
            if message["type"] == "websocket.disconnect":
                self._is_gone = True
                self.end(DONE)
            elif (data := message.get("bytes")) is not None:
                await self._take(data)
            else:
                self._obey(message["text"])

    async def _take(self, data: bytes) -> None:
        self._pending += data
        if len(self._pending) >= self._step:
            self._ready.set()
        while len(self._pending) > self._most and self._code is None:
            self._idle_from = math.inf  # it is the client that waits
            self._room.clear()
            await self._room.wait()

    def _obey(self, text: str) -> None:
        try:
            is_end = json.loads(text) == {"type": "end"}
        except (ValueError, RecursionError):
            is_end = False
        if is_end:
            self.end(DONE)
        else:
            self.end(BAD_DATA, 'stream: a text message that is not {"type": "end"}; send samples')

    async def _work(self) -> None:
        """Work on the sound as it comes, on all of it at once that waits."""
        is_last = False
        while not is_last and not self._is_gone:
            await self._ready.wait()
            n = min(len(self._pending), self._run)
            n -= n % self._step if self._code is None else 0  # the rest is no use yet
            data = bytes(self._pending[:n])
            del self._pending[:n]
            is_last = self._code is not None and not self._pending
            if len(self._pending) < self._step and self._code is None:
                self._ready.clear()
            try:
                lines = await self._batches.add((self._live, data, is_last))
            except AudioError as error:
                self._fail(BAD_DATA, f"stream: {error}")
                return
            except SpeechclsError as error:
                LOG.error("/v1/stream: %s", error)  # it names the model's folder
                self._fail(BROKEN, MODEL_FAULT)
                return
            self._room.set()
            for line in lines:
                await self._socket.send_text(line)


class StreamSet:
    """All open streams.

    Parameters
    ----------
    n_max : streams at once
    """

    def __init__(self, metrics: Metrics, n_threads: int, n_max: int) -> None:
        self.pool = Pool(n_threads, None, "stream")
        self._n_threads, self._batches = n_threads, dict[Session, Batches[Piece, list[str]]]()
        self._metrics, self._n_max = metrics, n_max
        self._open: set[Stream] = set()
        self._is_closing = False

    @property
    def is_full(self) -> bool:
        """Whether there is room for no other one."""
        return self._metrics.open_streams >= self._n_max

    def close(self) -> None:
        """End all of them, also those that are being opened."""
        self._is_closing = True
        for stream in self._open:
            stream.end(AWAY)

    async def serve(self, socket: WebSocket, make: Callable[[], tuple[Live, Any]]) -> None:
        """Accept a connection and serve it to its end.

        Parameters
        ----------
        make : returns what the stream is made of, from a thread; its errors refuse the connection
        """
        metrics = self._metrics
        metrics.open_streams += 1  # at once: others may come while it is made
        live = None
        try:
            loop = asyncio.get_running_loop()
            live, settings = await loop.run_in_executor(self.pool.executor, make)
            offered = socket.scope.get("subprotocols", ())
            await socket.accept(PROTOCOL if PROTOCOL in offered else None)
            metrics.streams += 1
            session = live.classifier.session
            if session not in self._batches:
                self._batches[session] = Batches(self.pool.executor, self._n_threads, feed_together)
            stream = Stream(socket, live, self._batches[session], *settings)
            self._open.add(stream)
            if self._is_closing:
                stream.end(AWAY)
            try:
                await stream.serve()
            finally:
                self._open.discard(stream)
        finally:
            metrics.open_streams -= 1
            metrics.events += live.n_events if live is not None else 0
