"""What a request of the page may be, and the pages that it asks for."""

import json
import math
import secrets
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response

from speechcls.serve.guard import Refusal
from speechcls.text import json_text

Handler = Callable[[Request], Awaitable[Response]]
_PAGES_MAX, _PAGES_BYTES = 20, 64_000_000
_OWN_SITE = (None, "same-origin", "none")
"""What a browser says of who asks: none of its pages, the page itself, or the address bar."""


def only_own_page(handler: Handler) -> Handler:
    """Return a handler that refuses pages of other origins, also those that may predict."""

    async def handle(request: Request) -> Response:
        headers = request.headers
        origin, host = headers.get("origin"), headers.get("host", "")
        is_own = origin is None or urlsplit(origin).netloc == host
        if not is_own or headers.get("sec-fetch-site") not in _OWN_SITE:
            raise Refusal(403, "page: asked for by another one; open the server's own page")
        return await handler(request)

    return handle


def query_of(request: Request, *names: str) -> dict[str, str]:
    """Return the parameters of a request, each of which is given once.

    Raises
    ------
    Refusal
        When one is missing, unknown or given twice.
    """
    given = [name for name, _ in request.query_params.multi_items()]
    if sorted(given) != sorted(names):
        wanted = f"name {', '.join(names)}, each once" if names else "name none"
        raise Refusal(400, f"parameters: {', '.join(given) or 'none'}; {wanted}")
    return dict(request.query_params)


def seconds_in(query: Mapping[str, str], name: str) -> float:
    """Return a time in a recording.

    Raises
    ------
    Refusal
        When it is none.
    """
    try:
        seconds = float(query[name])
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds <= 60:
        raise Refusal(400, f"{name}: {query[name]} is not possible; it must be in 0 .. 60")
    return seconds


def object_in(body: bytes) -> dict[str, Any]:
    """Return an object of JSON.

    Raises
    ------
    Refusal
        When it is none.
    """
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise Refusal(400, "body: no object of JSON; send one")
    return content


def json_answer(content: Any) -> Response:
    """Return an answer of JSON."""
    return Response(json_text(content) + "\n", media_type="application/json")


class Pages:
    """Reports and explanations, each to be opened by whoever has its key.

    A browser opens a page without the token, so that nobody may guess a key.
    """

    def __init__(self) -> None:
        self._contents = OrderedDict[str, bytes]()

    def add(self, content: bytes) -> str:
        """Keep a page, and forget the oldest ones where there are too many; return its key."""
        key = secrets.token_urlsafe(24)
        self._contents[key] = content
        while len(self._contents) > _PAGES_MAX or (
            len(self._contents) > 1 and sum(map(len, self._contents.values())) > _PAGES_BYTES
        ):
            self._contents.popitem(last=False)
        return key

    def find(self, key: str) -> bytes:
        """Return a page.

        Raises
        ------
        Refusal
            When there is none.
        """
        if key not in self._contents:
            raise Refusal(404, "page: is not kept any more; ask for it again")
        return self._contents[key]
