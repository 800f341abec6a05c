"""What all HTML pages share: one template engine, and sounds and pictures inside the page."""

import base64
import io
from typing import Any

import numpy as np
import numpy.typing as npt
import soundfile

TEMPLATES = "templates"


def render(template: str, **content: Any) -> bytes:
    """Return a page of ``templates``; whatever it shows is escaped.

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
    """Return content as an address that holds it, so that a page needs no other file."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def wav_bytes(samples: npt.NDArray[np.int16] | npt.NDArray[np.float32], sample_rate: int) -> bytes:
    """Return (n_samples,) as a 16-bit WAV file."""
    wav = io.BytesIO()
    soundfile.write(wav, samples, sample_rate, "PCM_16", format="WAV")
    return wav.getvalue()
