"""HTML pages from templates, with sounds and pictures inside the page."""

import base64
from typing import Any

from speechcls.text import printable, shorten

TEMPLATES = "templates"


_LONGEST = 2_000
"""Characters of a text before its middle is left out."""


def render(template: str, **content: Any) -> bytes:
    """Return a page made of a template; its content is escaped.

    Odd characters are spelled out, and long texts shortened, but in data URIs and markup.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("speechcls", TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_finalize,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    html = environment.get_template(template).render(**content)
    return html.encode("utf-8", "backslashreplace")


def _finalize(value: Any) -> Any:
    """Return a value as a page shows it, before its characters of HTML are escaped."""
    from markupsafe import Markup

    if not isinstance(value, str):
        return value
    if isinstance(value, Markup):
        return Markup("\n".join(map(printable, value.split("\n"))))
    return shorten(printable(value), _LONGEST)


def data_uri(kind: str, content: bytes) -> str:
    """Return content as a data URI, so that a page needs no other file."""
    from markupsafe import Markup

    # Of its characters HTML escapes none; as Markup it is left whole.
    return Markup(f"data:{kind};base64,{base64.b64encode(content).decode()}")
