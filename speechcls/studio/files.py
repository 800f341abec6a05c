"""What the browser loads: the page, its styles and its modules, all from here."""

import re
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

from starlette.responses import Response

_KINDS = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}
PREFIX, INDEX = "/page/", "index.html"
BASE = "base.css"
"""The styles that all pages of speechcls share, from the head of their templates."""
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; media-src blob:;"
    " connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""The content security policy of the page: nothing but its own files, and sound from memory."""
_HEADERS = {
    "content-security-policy": POLICY,
    "referrer-policy": "no-referrer",
    "permissions-policy": "microphone=(self), camera=(), geolocation=()",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
SANDBOX = {
    "content-security-policy": (
        "sandbox allow-scripts allow-downloads; default-src 'none'; img-src data:; media-src data:;"
        " style-src 'unsafe-inline'; script-src 'unsafe-inline'"
    ),
    "referrer-policy": "no-referrer",
}
"""Headers of a report or an explanation: it may do nothing in the name of the page."""


class PageFile(NamedTuple):
    """One of them."""

    content: bytes
    kind: str

    def response(self) -> Response:
        """Return the answer to a request for it."""
        return Response(self.content, headers=_HEADERS, media_type=self.kind)


def read_files() -> dict[str, PageFile]:
    """Return each file by its path: no other path leads to one."""
    found = {}
    for file in files("speechcls.studio").joinpath("page").iterdir():
        if kind := _KINDS.get(Path(file.name).suffix):
            path = "/" if file.name == INDEX else PREFIX + file.name
            found[path] = PageFile(file.read_bytes(), kind)
    head = files("speechcls").joinpath("templates", "head.html").read_text(encoding="utf-8")
    [style] = re.findall(r"<style>(.*?)</style>", head, re.DOTALL)
    found[PREFIX + BASE] = PageFile(style.encode(), _KINDS[".css"])
    return found
