"""One client of a server: what it asks for, its sound, and what it is told."""

import asyncio
import unicodedata
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from speechcls.errors import SpeechclsError
from speechcls.runtime.detection import Event as Word
from speechcls.wyoming.events import ProtocolError, read_event
from speechcls.wyoming.listener import SUBTYPES, ChunkFormat, StreamListener
from speechcls.wyoming.service import Service
from speechcls.wyoming.settings import WyomingSettings

if TYPE_CHECKING:
    from wyoming.event import Event, Eventable
    from wyoming.info import Info

_RATES = (1_000, 768_000)


class Connection:
    """Answers one client, with a state of its own.

    A client that asks for nothing gets each word as a detection, as soon as it is certain. One that
    asks for a transcript gets all words of its sound in one text at the end.

    Parameters
    ----------
    info : what it is told of the service
    name : of the client, in messages
    note, warn : called with a line for people
    """

    def __init__(
        self,
        service: Service,
        info: "Info",
        settings: WyomingSettings,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        name: str,
        note: Callable[[str], None],
        warn: Callable[[str], None],
    ) -> None:
        self._service, self._info, self._settings = service, info, settings
        self._reader, self._writer = reader, writer
        self._name, self._note, self._warn = name, note, warn
        self._words: list[str] | None = None
        """Those that the client wants; None: all."""
        self._transcribes = False
        self._stream: StreamListener | None = None
        self._text: list[str] = []
        self._start_ms = 0
        self._answers: dict[str, Callable[[Event], Awaitable[None]]] = {
            "describe": self._describe,
            "ping": self._ping,
            "detect": self._detect,
            "transcribe": self._transcribe,
            "audio-start": self._audio_start,
            "audio-chunk": self._audio_chunk,
            "audio-stop": self._audio_stop,
        }

    async def run(self) -> None:
        """Answer until the client has gone; an event of a kind that is not known is passed over.

        Raises
        ------
        ProtocolError
            When it sends what it may not; it has been told.
        SpeechclsError
            When its sound cannot be used; it has been told.
        OSError
            When the connection is lost.
        """
        try:
            while (event := await read_event(self._reader, self._settings)) is not None:
                if answer := self._answers.get(event.type):
                    await answer(event)
        except SpeechclsError as error:
            with suppress(ConnectionError):  # it may have gone
                await self._tell(_error(str(error), "protocol"))
            raise

    async def _tell(self, answer: "Eventable") -> None:
        from wyoming.event import async_write_event

        try:
            async with asyncio.timeout(self._settings.event_timeout_s):
                await async_write_event(answer.event(), self._writer)
        except TimeoutError as error:
            raise ProtocolError("does not take its answers") from error

    async def _describe(self, event: "Event") -> None:
        await self._tell(self._info)

    async def _ping(self, event: "Event") -> None:
        from wyoming.ping import Ping, Pong

        await self._tell(Pong(Ping.from_event(event).text))

    async def _detect(self, event: "Event") -> None:
        names = event.data.get("names") or []
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise ProtocolError("names that are no list of texts")
        self._transcribes, self._stream = False, None
        there = self._service.words
        wanted = list(dict.fromkeys(unicodedata.normalize("NFC", name) for name in names))
        self._words = [name for name in wanted if name in there] if wanted else None
        if unknown := [name for name in wanted if name not in there]:
            text = f"no word {', '.join(unknown)}; there are {', '.join(there)}"
            self._warn(f"{self._name}: asks for what is not there: {text}")
            await self._tell(_error(text, "unknown-name"))

    async def _transcribe(self, event: "Event") -> None:
        if not self._service.language:
            raise ProtocolError("asks for a transcript, for which the server knows no language")
        self._transcribes, self._stream, self._words = True, None, None

    async def _audio_start(self, event: "Event") -> None:
        self._start_ms = _timestamp(event) or 0
        self._text = []
        self._stream = await self._open_stream()

    async def _open_stream(self) -> StreamListener:
        words = self._service.words if self._words is None else self._words
        eager = not self._transcribes
        return await asyncio.to_thread(
            StreamListener, self._service.artifact, self._service.threshold, words, eager
        )

    async def _audio_chunk(self, event: "Event") -> None:
        format, content = _check_chunk(event, self._settings)
        if self._words == []:  # nothing that it asked for is there
            return
        if self._stream is None:
            self._start_ms, self._text = _timestamp(event) or 0, []
            self._stream = await self._open_stream()
        stream = self._stream
        timestamp = _timestamp(event)
        if timestamp is None:
            timestamp = self._start_ms + round(1_000 * stream.time_s)
        # The other clients are answered meanwhile; the next event of this one waits.
        await self._report(await asyncio.to_thread(stream.feed, content, format), timestamp)

    async def _audio_stop(self, event: "Event") -> None:
        stream, self._stream = self._stream, None
        n_detected = 0
        if stream is not None:
            timestamp = _timestamp(event)
            if timestamp is None:
                timestamp = self._start_ms + round(1_000 * stream.time_s)
            await self._report(await asyncio.to_thread(stream.finish), timestamp)
            n_detected = stream.n_detected
        if self._transcribes:
            from wyoming.asr import Transcript

            text, self._text = " ".join(self._text), []
            await self._tell(Transcript(text, language=self._service.language))
        elif not n_detected:
            from wyoming.wake import NotDetected

            await self._tell(NotDetected())

    async def _report(self, words: list[Word], timestamp: int) -> None:
        """Tell of words in the sound of this time, milliseconds."""
        from wyoming.wake import Detection

        for word in words:
            self._note(f"{self._name}: {word.label} ({word.probability:.2f})")
            if self._transcribes:
                self._text.append(word.label)
            else:
                await self._tell(Detection(name=word.label, timestamp=timestamp))


def _error(text: str, code: str) -> "Eventable":
    from wyoming.error import Error

    return Error(text, code)


def _timestamp(event: "Event") -> int | None:
    """Return the time that an event is of, milliseconds; None where it says none."""
    value = event.data.get("timestamp")
    if value is not None and type(value) is not int:
        raise ProtocolError(f"a timestamp of {value!r:.40}; whole milliseconds are possible")
    return value


def _check_chunk(event: "Event", settings: WyomingSettings) -> tuple[ChunkFormat, bytes]:
    """Return the format and the bytes of a piece of sound that can be used."""
    content = event.payload or b""
    values = [event.data.get(name) for name in ("rate", "width", "channels")]
    low, high = _RATES
    limits = ((low, high), (1, max(SUBTYPES)), (1, settings.channels_max))
    for name, value, (least, most) in zip(
        ("rate", "width", "channels"), values, limits, strict=True
    ):
        if type(value) is not int or not least <= value <= most:
            raise ProtocolError(f"{name} of sound is {value!r:.40}; {least} to {most} are possible")
    rate, width, n_channels = (int(value or 0) for value in values)
    if len(content) % (width * n_channels):
        raise ProtocolError(f"{len(content)} bytes of sound, which are no whole samples")
    return ChunkFormat(rate, width, n_channels), content
