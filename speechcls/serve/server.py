"""Listens, answers in a thread of its own, and stops when it is asked to."""

import asyncio
import logging
import socket
import sys
import threading
import time
from collections.abc import Callable, Collection
from http import HTTPStatus
from typing import Any

import h11
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.exceptions import InvalidState

from speechcls.errors import ConfigError, reason_of
from speechcls.serve.app import Extra, Service, make_app
from speechcls.serve.guard import TOKEN, is_loopback
from speechcls.serve.models import ModelSet
from speechcls.serve.settings import ServeConfig
from speechcls.serve.streams import LOG
from speechcls.text import json_text

OnLog = Callable[[str, BaseException | None], None]
"""Called with a line about what went wrong in the server, and the error if there was one."""
_BACKLOG = 256
_HEADERS_MAX = 32_768
"""Bytes of the headers of a request."""
_SWITCH_S = 0.0005
"""How long one thread of Python may have another one wait. While threads compute, the event loop
waits at each message that comes: with 200 streams Python's 5 ms add up to more than the work."""


class Server:
    """A server that is listening; ``start`` has it answer.

    Parameters
    ----------
    jobs : threads that compute (default: one for each core)
    token : what clients have to know
    origins : of pages elsewhere that may ask, as ``https://example.org``; ``*``: any
    on_log : called from the server's thread
    make_extra : returns further routes of the service

    Raises
    ------
    ConfigError
        When the address cannot be listened at, or has no token and is not the loopback's.
    """

    def __init__(
        self,
        models: ModelSet,
        settings: ServeConfig,
        token: str | None = None,
        origins: Collection[str] = (),
        jobs: int | None = None,
        on_log: OnLog = lambda text, error: None,
        make_extra: Callable[[Service], Extra] | None = None,
    ) -> None:
        _check_access(settings.host, token)
        self._service = Service(models, settings, jobs)
        self._settings, self._on_log = settings, on_log
        self._extra = make_extra(self._service) if make_extra else None
        self._socket = _listen(settings.host, settings.port)
        self.port = int(self._socket.getsockname()[1])
        """TCP port that it listens at."""
        app = make_app(self._service, settings, token, origins, self._extra)
        self._server = uvicorn.Server(_configure(app, settings))
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="server", daemon=True)

    @property
    def url(self) -> str:
        """Where it listens."""
        host = self._settings.host
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}"

    def start(self) -> None:
        """Begin to answer; return once it does."""
        self._thread.start()
        while not self._server.started and self._thread.is_alive():
            time.sleep(0.005)

    def stop(self) -> None:
        """Have it finish what runs, and end: at once at the second time. Returns immediately."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop)

    def wait(self, seconds: float | None = None) -> bool:
        """Wait for its end, or so long; return whether it has ended."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def _stop(self) -> None:
        if self._service.is_stopping:
            self._server.force_exit = True
        self._service.is_stopping = True
        self._service.streams.close()
        self._loop.create_task(self._shut())

    async def _shut(self) -> None:
        """Shut the server once streams have said good-bye, which uvicorn would do with 1012."""
        ends = self._loop.time() + self._settings.stop_s
        metrics = self._service.metrics
        while metrics.open_streams and self._loop.time() < ends and not self._server.force_exit:
            await asyncio.sleep(0.01)
        self._server.should_exit = True

    def _run(self) -> None:
        handler = _Handler(self._on_log)
        loggers = (logging.getLogger("uvicorn.error"), LOG)
        for logger in loggers:
            logger.addHandler(handler)
            logger.setLevel(logging.WARNING)
            logger.propagate = False
        self._loop.set_exception_handler(self._on_loop_error)
        switch_s = sys.getswitchinterval()
        sys.setswitchinterval(_SWITCH_S)
        try:
            self._loop.run_until_complete(self._server.serve([self._socket]))
        finally:
            if self._extra:
                self._extra.close()
            self._service.close()
            self._socket.close()
            self._loop.close()
            sys.setswitchinterval(switch_s)
            for logger in loggers:
                logger.removeHandler(handler)

    def _on_loop_error(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Log what went wrong in a connection, which asyncio ends."""
        error = context.get("exception")
        if not isinstance(error, OSError):  # of a socket that broke
            self._on_log(f"internal error ({context['message']} {error!r}); report it", error)


def _check_access(host: str, token: str | None) -> None:
    """Refuse what would let anybody in a network use the machine, or a token that is guessed."""
    if token is None and not is_loopback(host):
        raise ConfigError(
            f"{host} is reached from other machines, by anybody as long as there is no token; set"
            " $SPEECHCLS_TOKEN to a secret, or listen at 127.0.0.1",
            field="host",
        )
    if token is not None and not TOKEN.fullmatch(token):
        raise ConfigError(
            "too short, or with other characters than letters, digits and . _ ~ + -: make one of 16"
            " to 256, as python -c 'import secrets; print(secrets.token_urlsafe())' does",
            field="token",
        )


def _listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens at an address."""
    try:
        [(family, kind, number, _, address), *_] = socket.getaddrinfo(
            host.strip("[]"), port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        listener = socket.socket(family, kind, number)
    except OSError as error:
        raise ConfigError(f"{host}: {reason_of(error)}; name an address", field="host") from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise ConfigError(
            f"{port} at {host}: {reason_of(error)}; name another one, or end what listens there",
            field="port",
        ) from error
    return listener


def _configure(app: ASGIApp, settings: ServeConfig) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        loop="asyncio",
        http=_protocol(settings),
        ws=_StreamProtocol,
        ws_max_size=round(1e3 * settings.frame_kb),
        ws_per_message_deflate=False,  # a small message may not become a large one
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,  # whoever connects is the client
        server_header=False,
        timeout_graceful_shutdown=max(1, round(settings.stop_s)),
        h11_max_incomplete_event_size=_HEADERS_MAX,
    )


def _protocol(settings: ServeConfig) -> type[H11Protocol]:
    """Return uvicorn's protocol with a limit of connections, and of the time to a request."""

    class Protocol(H11Protocol):
        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            _limit_silence(transport, settings.request_s)
            self._late = self.loop.call_later(settings.request_s, self._close_late)
            if len(self.connections) > settings.connections:
                text = f"server: {settings.connections} connections are open; try again"
                self._refuse(503, text, "retry-after: 1\r\n")

        def connection_lost(self, exc: Exception | None) -> None:
            self._late.cancel()
            super().connection_lost(exc)

        def handle_websocket_upgrade(self, event: h11.Request) -> None:
            self._late.cancel()
            super().handle_websocket_upgrade(event)

        def send_400_response(self, msg: str) -> None:
            self._refuse(400, "request: not valid HTTP; mend the client")

        def _close_late(self) -> None:
            """Close a connection whose next request has not come, or not all of its headers."""
            is_waiting = self.cycle is None or self.cycle.response_complete
            if is_waiting and not self.transport.is_closing():
                limit = f"{settings.request_s:g} s"
                self._refuse(408, f"request: did not arrive in {limit}; send it faster")

        def on_response_complete(self) -> None:
            self._late.cancel()
            self._late = self.loop.call_later(settings.request_s, self._close_late)
            super().on_response_complete()

        def _refuse(self, status: int, text: str, headers: str = "") -> None:
            body = json_text({"error": text}) + "\n"
            head = f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n{headers}"
            head += f"content-type: application/json\r\ncontent-length: {len(body)}\r\n"
            # Not through h11, which may be in any state.
            if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
                self.transport.write(f"{head}connection: close\r\n\r\n{body}".encode())
            if self.cycle is not None and not self.cycle.response_complete:
                self.cycle.disconnected = True  # nothing can be answered any more
                self.cycle.message_event.set()
            self.transport.close()

    return Protocol


class _StreamProtocol(WebSocketsSansIOProtocol):
    """uvicorn's protocol, to which a client's faults are none of the server's.

    They are: data before the answer, a refusal, text that is no UTF-8 together with a good-bye, and
    a message that is none while there is something to send.
    """

    def data_received(self, data: bytes) -> None:
        if self.handshake_initiated and not self.handshake_complete:
            self.transport.abort()
            return
        try:
            super().data_received(data)
        except InvalidState:  # there is a fault to tell of, but the client has said good-bye
            self.transport.abort()

    def send_receive_event_to_app(self) -> None:
        """Pass a message on; reading stops where one waits, not at each, as uvicorn has it."""
        has_room = not self.read_paused and self.queue.empty()
        self.read_paused = self.read_paused or has_room
        super().send_receive_event_to_app()
        if has_room:
            self.read_paused = False

    async def send(self, message: Any) -> None:
        await self.writable.wait()
        if self.close_sent and message["type"] in ("websocket.send", "websocket.close"):
            raise ClientDisconnected  # it was for a fault of the client, not by the application
        await super().send(message)
        if message["type"] == "websocket.http.response.body":
            self.handshake_complete = True  # else it logs that there was none


def _limit_silence(transport: Any, seconds: float) -> None:
    """Have the system end a connection whose other side takes nothing for so long."""
    connection = transport.get_extra_info("socket")
    if connection is not None and hasattr(socket, "TCP_USER_TIMEOUT"):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(1e3 * seconds))


class _Handler(logging.Handler):
    """Passes on what uvicorn logs; bad HTTP and text that is no UTF-8 are the client's fault."""

    def __init__(self, on_log: OnLog) -> None:
        super().__init__(logging.WARNING)
        self._on_log = on_log

    def emit(self, record: logging.LogRecord) -> None:
        """Pass one record on."""
        error = record.exc_info[1] if record.exc_info else None
        text = record.getMessage().strip()
        if record.levelno >= logging.ERROR and not text.startswith("Invalid UTF-8"):
            if error is not None:
                text = f"internal error ({type(error).__name__}: {error}); report it"
            self._on_log(text, error)
