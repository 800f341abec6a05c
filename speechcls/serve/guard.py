"""Who may ask, how often, and how what is refused is answered."""

import hmac
import ipaddress
import math
import re
import time
from collections.abc import Callable, Collection, Mapping
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from speechcls.serve.metrics import Metrics
from speechcls.serve.settings import ServeConfig
from speechcls.text import json_text

OPEN_ROUTE = "/health"
"""The one route of the server itself that asks for no token."""
STREAM_ROUTE = "/v1/stream"
"""The one route of WebSockets."""
PROTOCOL, TOKEN_PROTOCOL = "speechcls", "token."
"""Subprotocols of a WebSocket: the server's, and what stands before the token in the client's."""
TOKEN = re.compile(r"[A-Za-z0-9._~+-]{16,256}")
"""What a token may be: it has to fit a header, and the name of a subprotocol."""
_MOST_CLIENTS = 10_000
_NAMES = ("localhost", "127.0.0.1", "[::1]")
"""What browsers call the loopback."""


class Refusal(Exception):
    """A request that is refused, with what to answer.

    Parameters
    ----------
    message : subject, fact and next step
    retry_s : seconds after which it may be tried again
    """

    def __init__(self, status: int, message: str, retry_s: float | None = None) -> None:
        super().__init__(message)
        self.status, self.retry_s = status, retry_s

    def response(self) -> Response:
        """Return the answer."""
        headers = {}
        if self.retry_s is not None:
            headers["retry-after"] = str(max(1, math.ceil(self.retry_s)))
        if self.status == 401:
            headers["www-authenticate"] = "Bearer"
        return error_response(self.status, str(self), headers)


def error_response(status: int, message: str, headers: Mapping[str, str] | None = None) -> Response:
    """Return the answer of an error: an object with its message."""
    content = json_text({"error": message}) + "\n"
    return Response(content, status, headers, "application/json")


class RateLimit:
    """So many requests a minute of each client, as many of them at once.

    Parameters
    ----------
    per_minute : 0: no limit
    clock : seconds
    """

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_minute, self._clock = per_minute, clock
        self._left: dict[str, tuple[float, float]] = {}
        """What each client has left, and since when; the one that asked last is last."""

    def wait_s(self, client: str) -> float:
        """Count a request of a client; return the seconds until it may be made, 0 where it may."""
        if not self._per_minute:
            return 0.0
        now, rate = self._clock(), self._per_minute / 60
        left, since = self._left.pop(client, (float(self._per_minute), now))
        left = min(self._per_minute, left + rate * (now - since))
        is_allowed = left >= 1
        self._left[client] = left - is_allowed, now
        if len(self._left) > _MOST_CLIENTS:
            del self._left[next(iter(self._left))]
        return 0.0 if is_allowed else (1 - left) / rate


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address."""
    if host.strip("[]") == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


class Guard:
    """Around all routes: checks the client, and counts the answer.

    Parameters
    ----------
    routes : paths that are counted by name
    token : what clients have to know; None: anybody may ask
    origins : of pages elsewhere that may ask
    is_stopping : whether the server is about to end
    open_paths : those that ask for no token
    """

    def __init__(
        self,
        app: ASGIApp,
        settings: ServeConfig,
        metrics: Metrics,
        routes: Collection[str],
        token: str | None,
        origins: Collection[str],
        is_stopping: Callable[[], bool],
        open_paths: Collection[str] = (OPEN_ROUTE,),
    ) -> None:
        self._app, self._metrics, self._routes = app, metrics, routes
        self._token, self._origins, self._is_stopping = token, origins, is_stopping
        self._open_paths = open_paths
        self._rate = RateLimit(settings.requests_per_minute)
        self._is_local = is_loopback(settings.host)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or let the routes do it."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        exchange = _Exchange(scope, receive, send)
        try:
            refusal = self._refusal(scope)
            if refusal is None:
                await self._app(scope, exchange.receive, exchange.send)
            else:
                await refusal.response()(scope, exchange.receive, exchange.send)
        finally:
            route = scope["path"] if scope["path"] in self._routes else "other"
            method = scope.get("method", "WEBSOCKET")
            method = method if method in ("GET", "POST", "WEBSOCKET") else "other"
            self._metrics.add_request(route, method, exchange.status, exchange.seconds)

    def _refusal(self, scope: Scope) -> Refusal | None:
        """Return why a client may not ask; None where it may."""
        headers = Headers(scope=scope)
        client = scope.get("client")
        if wait_s := self._rate.wait_s(client[0] if client else ""):
            return Refusal(
                429, f"requests: too many from this address; try again in {wait_s:.0f} s", wait_s
            )
        if self._is_stopping():
            return Refusal(503, "server: is stopping; try again later", 5)
        host, origin = headers.get("host", ""), headers.get("origin")
        # A page elsewhere can have its own name lead to this machine.
        if self._is_local and self._token is None and not _names_loopback(host):
            return Refusal(403, f"host {host}: not this machine's; ask 127.0.0.1, or set a token")
        if origin is not None and not self._is_known(origin, host):
            return Refusal(403, f"origin {origin}: may not ask; name it when the server is started")
        if scope["path"] not in self._open_paths and not self._has_token(scope, headers):
            return Refusal(401, f"token: {self._where(scope)}")
        if scope["type"] == "websocket" and scope["path"] != STREAM_ROUTE:
            return Refusal(404, f"path: no stream here; connect to {STREAM_ROUTE}")
        return None

    def _is_known(self, origin: str, host: str) -> bool:
        return origin in self._origins or "*" in self._origins or urlsplit(origin).netloc == host

    def _has_token(self, scope: Scope, headers: Headers) -> bool:
        if self._token is None:
            return True
        kind, _, given = headers.get("authorization", "").partition(" ")
        offered = [given.strip()] if kind.lower() == "bearer" else []
        for name in scope.get("subprotocols", ()):
            if name.startswith(TOKEN_PROTOCOL):
                offered.append(name.removeprefix(TOKEN_PROTOCOL))
        expected = self._token.encode()
        return any([hmac.compare_digest(each.encode(), expected) for each in offered])

    def _where(self, scope: Scope) -> str:
        text = "missing or wrong; send it as the header Authorization: Bearer TOKEN"
        if scope["type"] == "websocket":
            text += f", or offer the subprotocols {PROTOCOL} and {TOKEN_PROTOCOL}TOKEN"
        return text


def _names_loopback(host: str) -> bool:
    """Whether a header ``Host`` names this machine."""
    name = re.sub(r":\d+$", "", host)
    return name in _NAMES or is_loopback(name)


class _Exchange:
    """One request and its answer, as they pass by.

    Attributes
    ----------
    status : of the answer; 500 as long as there is none
    """

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._receive, self._send, self._started = receive, send, time.perf_counter()
        self._ended: float | None = None
        self.status = 500
        headers = Headers(scope=scope)
        length = headers.get("content-length", "0")
        self._is_whole = length == "0" and "transfer-encoding" not in headers

    @property
    def seconds(self) -> float:
        """Time until the answer began."""
        return (self._ended or time.perf_counter()) - self._started

    async def receive(self) -> Message:
        """Pass a message on."""
        message = await self._receive()
        if message["type"] == "http.request":
            self._is_whole = not message.get("more_body", False)
        return message

    async def send(self, message: Message) -> None:
        """Pass an answer on; what is left of a body that nobody reads is not waited for."""
        kind = message["type"]
        if kind in ("http.response.start", "websocket.http.response.start"):
            self.status, self._ended = message["status"], time.perf_counter()
            headers = MutableHeaders(scope=message)
            headers["x-content-type-options"] = "nosniff"
            headers["cache-control"] = "no-store"
            if kind.startswith("http") and not self._is_whole:
                headers["connection"] = "close"
        elif kind == "websocket.accept":
            self.status, self._ended = 101, time.perf_counter()
        await self._send(message)
