"""All routes of the server."""

import json
import math
from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import Any, Protocol

from starlette.applications import Starlette
from starlette.datastructures import QueryParams
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect, HTTPConnection, Request
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from speechcls.errors import ConfigError, SpeechclsError
from speechcls.parallel import default_jobs
from speechcls.serve.bodies import Budget, raw_format, read_recordings
from speechcls.serve.guard import OPEN_ROUTE, STREAM_ROUTE, Guard, Refusal, error_response
from speechcls.serve.metrics import Metrics
from speechcls.serve.models import ModelSet
from speechcls.serve.openapi import PARAMETERS, describe_api
from speechcls.serve.settings import ServeConfig
from speechcls.serve.streams import LOG, MODEL_FAULT, Live, StreamSet
from speechcls.serve.work import Answer, Pool, detect, predict
from speechcls.text import json_text

NOTES = "speechcls-notes"
"""Header with what was mended in recordings, a JSON list."""
_NOTES_MAX = 20
_ABOUT = """speechcls serve: recognises speech commands.

There is no page here to record words and to train on them: for one, start the server with a folder
to keep them in (the option studio of speechcls serve, see docs/SERVING.md). Programs ask
"""
"""What is at ``/`` of a server without a page, before its paths."""
_GONE = 499
"""What is counted where the client did not wait for an answer."""


class Extra(Protocol):
    """Routes of another package, behind the same guard.

    Attributes
    ----------
    routes : one of them may be that of ``/``
    open_paths : paths that take no token
    """

    routes: list[Route]
    open_paths: frozenset[str]

    def close(self) -> None:
        """End what it has begun."""


class Service:
    """What the routes work with.

    Attributes
    ----------
    models, settings : that it was made of
    metrics, streams, budget : of all requests
    is_stopping : set when the server is about to end
    """

    def __init__(self, models: ModelSet, settings: ServeConfig, jobs: int | None = None) -> None:
        self.models, self.settings = models, settings
        n_threads = jobs or default_jobs()
        self.metrics = Metrics()
        self.streams = StreamSet(self.metrics, n_threads, settings.streams)
        self.budget = Budget(settings)
        self._pool = Pool(n_threads, settings.waiting, "work")
        self.is_stopping = False

    def routes(self) -> list[Route | WebSocketRoute]:
        """Return every route."""
        return [
            Route("/", self._about),
            Route("/health", self._health),
            Route("/metrics", self._metrics),
            Route("/v1/models", self._list_models),
            Route("/v1/openapi.json", self._openapi),
            Route("/v1/predict", self._predict, methods=["POST"]),
            Route("/v1/detect", self._detect, methods=["POST"]),
            WebSocketRoute(STREAM_ROUTE, self._stream),
            Route(STREAM_ROUTE, self._no_stream),
        ]

    def close(self) -> None:
        """End the threads; what waits is given up."""
        for pool in (self._pool, self.streams.pool):
            pool.executor.shutdown(wait=False, cancel_futures=True)

    async def _about(self, request: Request) -> Response:
        paths = "\n".join(f"  {route.path}" for route in self.routes())
        return Response(f"{_ABOUT}\n{paths}\n", media_type="text/plain")

    async def _health(self, request: Request) -> Response:
        return _json({"status": "ok"})

    async def _metrics(self, request: Request) -> Response:
        return Response(self.metrics.to_text(), media_type="text/plain; version=0.0.4")

    async def _list_models(self, request: Request) -> Response:
        return _json(self.models.describe())

    async def _openapi(self, request: Request) -> Response:
        return _json(describe_api(self.settings))

    async def _predict(self, request: Request) -> Response:
        query = _query(request, "/v1/predict")
        model = self.models.find(query.get("model"))
        threshold, top_k = _number(query, "threshold"), _count(query, "top_k")
        channel = _count(query, "channel")
        async with self.budget.body(request) as body:
            kind = request.headers.get("content-type", "")
            recordings = read_recordings(kind, body, self.settings.clips)
            longest_s = self.settings.clip_s
            job = partial(predict, model, recordings, threshold, top_k, channel, longest_s)
            answer = await self._pool.run(request, job)
        return self._answer(answer, is_one=_is_one(request))

    async def _detect(self, request: Request) -> Response:
        query = _query(request, "/v1/detect")
        model = self.models.find(query.get("model"))
        threshold, channel = _number(query, "threshold"), _count(query, "channel")
        open_stream = partial(model.open_stream, threshold, _names(query, "labels"))
        open_stream()  # what is impossible is refused before the body is read
        async with self.budget.body(request) as body:
            kind = request.headers.get("content-type", "")
            recordings = read_recordings(kind, body, self.settings.clips)
            job = partial(detect, open_stream, recordings, channel, self.settings.recording_s)
            answer = await self._pool.run(request, job)
        return self._answer(answer)

    def _answer(self, answer: Answer, is_one: bool = False) -> Response:
        """Return the lines of recordings, then one for each that failed; or why all of them did."""
        self.metrics.clips += answer.n_done
        self.metrics.events += answer.n_events
        if not answer.n_done:
            errors = [error for _, error in answer.errors]
            more = f" (and {len(errors) - 1} more)" if errors[1:] else ""
            raise Refusal(422, errors[0] + more)
        lines = [*answer.lines]
        for path, error in answer.errors:
            lines.append(json_text({"path": path, "error": error}) + "\n")
        kind = "application/json" if is_one else "application/x-ndjson"
        headers = {NOTES: json_text(answer.notes[:_NOTES_MAX])} if answer.notes else {}
        return Response("".join(lines), 200, headers, kind)

    async def _stream(self, socket: WebSocket) -> None:
        if self.streams.is_full:
            raise Refusal(503, f"streams: {self.settings.streams} are open; try again", 5)
        query = _query(socket, STREAM_ROUTE)
        model = self.models.find(query.get("model"), is_live=True)
        format = raw_format(dict(query))
        threshold, labels = _number(query, "threshold"), _names(query, "labels")
        thresholds = _numbers(query, "thresholds")
        if threshold is not None and thresholds is not None:
            raise Refusal(400, "thresholds: not beside threshold; give one of both")
        channel, with_posteriors = _count(query, "channel"), query.get("posteriors", "0")
        if with_posteriors not in ("0", "1"):
            raise Refusal(400, f"posteriors: {with_posteriors} is not possible; it must be 0 or 1")
        if channel is not None and channel > format.n_channels:
            raise Refusal(400, f"channel: there is no {channel}; name one of 1 to channels")

        def make() -> tuple[Live, Any]:
            limits = threshold if thresholds is None else thresholds
            stream = model.open_stream(limits, labels, eager=True, sample_rate=format.rate)
            live = Live(stream, format, channel, with_posteriors == "1")
            return live, (format, stream.every_s, self.settings.stream_idle_s)

        await self.streams.serve(socket, make)

    async def _no_stream(self, request: Request) -> Response:
        raise Refusal(426, "stream: is a WebSocket; connect to it with ws:// and send samples")


def make_app(
    service: Service,
    settings: ServeConfig,
    token: str | None,
    origins: Collection[str],
    extra: Extra | None = None,
) -> Starlette:
    """Return the application of a service.

    Parameters
    ----------
    token : what clients have to know; None: anybody may ask
    origins : of pages elsewhere that may ask
    extra : further routes
    """
    routes = [*extra.routes, *service.routes()] if extra else service.routes()
    paths = {route.path for route in routes}
    guard = Middleware(
        Guard,
        settings=settings,
        metrics=service.metrics,
        routes=paths,
        token=token,
        origins=origins,
        is_stopping=lambda: service.is_stopping,
        open_paths={OPEN_ROUTE, *(extra.open_paths if extra else ())},
    )
    cors = Middleware(
        CORSMiddleware,
        allow_origins=sorted(origins),
        allow_methods=("GET", "POST"),
        allow_headers=("authorization", "content-type"),
        expose_headers=(NOTES, "retry-after"),
    )
    handlers: Mapping[Any, Callable[..., Any]] = {
        Refusal: _on_refusal,
        SpeechclsError: _on_error,
        HTTPException: partial(_on_http_error, paths=sorted(paths)),
        MemoryError: _on_shortage,
        ClientDisconnect: _on_gone,
        Exception: _on_bug,
    }
    middleware = [cors, guard] if origins else [guard]
    app = Starlette(routes=routes, middleware=middleware, exception_handlers=handlers)
    app.router.redirect_slashes = False  # it would lead to wherever the header Host says
    return app


async def _on_refusal(connection: HTTPConnection, error: Refusal) -> Response:
    return error.response()


async def _on_error(connection: HTTPConnection, error: SpeechclsError) -> Response:
    if isinstance(error, ConfigError):
        return error_response(400, str(error))
    LOG.error("%s: %s", connection.url.path, error)  # it names the model's folder
    return error_response(500, MODEL_FAULT)


async def _on_http_error(
    connection: HTTPConnection, error: HTTPException, paths: list[str]
) -> Response:
    text = f"request: {error.detail}; mend it"
    if error.status_code == 404:
        text = f"path: no such route; there are {', '.join(paths)}"
    elif error.status_code == 405:
        allowed = (error.headers or {}).get("Allow", "another one")
        text = f"method: not possible here; use {allowed}"
    return error_response(error.status_code, text, error.headers)


async def _on_shortage(connection: HTTPConnection, error: MemoryError) -> Response:
    return Refusal(503, "server: not enough memory now; try again later", 10).response()


async def _on_gone(connection: HTTPConnection, error: ClientDisconnect) -> Response:
    return Response(status_code=_GONE)


async def _on_bug(connection: HTTPConnection, error: Exception) -> Response:
    return error_response(500, "server: internal error; whoever runs it finds why in its log")


def _json(content: Any) -> Response:
    return Response(json_text(content) + "\n", media_type="application/json")


def _is_one(request: Request) -> bool:
    """Whether the body is one recording, not a form of several."""
    return not request.headers.get("content-type", "").lower().startswith("multipart/")


def _query(connection: HTTPConnection, route: str) -> QueryParams:
    """Return the parameters of a request.

    Raises
    ------
    Refusal
        When one is unknown or given twice.
    """
    query, known = connection.query_params, PARAMETERS[route]
    names = [name for name, _ in query.multi_items()]
    for name in names:
        if name not in known:
            raise Refusal(400, f"parameter {name}: unknown; there are {', '.join(known)}")
        if names.count(name) > 1:
            raise Refusal(400, f"parameter {name}: given twice; give it once")
    return query


def _number(query: QueryParams, name: str) -> float | None:
    """Return a probability."""
    text = query.get(name)
    try:
        number = None if text is None else float(text)
    except ValueError:
        number = math.nan
    if number is not None and not 0 <= number <= 1:
        raise Refusal(400, f"{name}: {text} is not possible; it must be in 0 .. 1")
    return number


def _numbers(query: QueryParams, name: str) -> dict[str, float] | None:
    """Return probabilities by label, from an object of JSON."""
    text = query.get(name)
    if text is None:
        return None
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict) or not all(
        type(each) in (int, float) and 0 <= each <= 1 for each in found.values()
    ):
        raise Refusal(400, f'{name}: must be probabilities by label, as {{"yes": 0.7}}')
    return found


def _count(query: QueryParams, name: str) -> int | None:
    """Return a whole number from 1 on."""
    text = query.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and 0 < len(text) < 10 and int(text) > 0):
        raise Refusal(400, f"{name}: {text} is not possible; it must be 1 or more")
    return int(text)


def _names(query: QueryParams, name: str) -> list[str] | None:
    """Return names that are separated by commas, each once."""
    text = query.get(name)
    if text is None:
        return None
    names = list(dict.fromkeys(filter(None, map(str.strip, text.split(",")))))
    if not names:
        raise Refusal(400, f"{name}: names nothing; give names, as yes,no")
    return names
