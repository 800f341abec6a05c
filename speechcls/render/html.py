"""HTML pages from templates, with sounds and pictures inside the page."""

import base64
from typing import Any

TEMPLATES = "templates"


def render(template: str, **content: Any) -> bytes:
    """Return a page made of a template; its content is escaped.

    A name that is not UTF-8 is shown with its odd bytes spelled out.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("speechcls", TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    html = environment.get_template(template).render(**content)
    return html.encode("utf-8", "backslashreplace")


def data_uri(kind: str, content: bytes) -> str:
    """Return content as a data URI, so that a page needs no other file."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
