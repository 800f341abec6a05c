"""Recordings from the body of a request: one as it is, or several in a form."""

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from email.message import Message
from email.parser import HeaderParser
from typing import NamedTuple

import numpy as np
from starlette.requests import Request

from speechcls.audio.sniff import HEAD_BYTES, kind_by_magic, kind_of_text
from speechcls.audio.wav import SampleFormat, wav_header
from speechcls.config import FeatureConfig
from speechcls.serve.guard import Refusal
from speechcls.serve.settings import ServeConfig

SAMPLE_BYTES = {"s16le": 2, "f32le": 4}
"""Bytes of a sample of raw PCM, by encoding."""
_SUBTYPES = {"s16le": "PCM_16", "f32le": "FLOAT"}
CHANNELS_MAX = 16
"""Of raw PCM."""
_RAW = ("audio/pcm", "audio/l16")
_FORM = "multipart/form-data"
_SNIFFED = ("application/octet-stream", "application/x-www-form-urlencoded", "application/ogg")
"""Types that say nothing of a recording, the second one what curl calls any file."""
_HEAD_MAX = 8_192
"""Bytes of the headers of a part."""
_NAME_MAX = 1_000


class Recording(NamedTuple):
    """A recording that was sent."""

    path: str
    """As answers name it: the name of its file, or ``-``."""
    name: str
    """As errors name it."""
    content: bytes


class Budget:
    """How many bytes all bodies may have together.

    Attributes
    ----------
    n_held : bytes that they have now
    """

    def __init__(self, settings: ServeConfig) -> None:
        self._settings = settings
        self.n_held = 0

    @asynccontextmanager
    async def body(self, request: Request) -> AsyncIterator[bytes]:
        """Yield the body of a request, which counts until the block ends.

        Raises
        ------
        Refusal
            When it is too large, comes too slowly, or there is no room for it now.
        ClientDisconnect
            When the client is gone.
        """
        content = bytearray()
        try:
            try:
                async with asyncio.timeout(self._settings.request_s):
                    await self._read(request, content)
            except TimeoutError:
                limit = f"{self._settings.request_s:g} s"
                raise Refusal(408, f"body: did not arrive in {limit}; send it faster") from None
            yield bytes(content)
        finally:
            self.n_held -= len(content)

    async def _read(self, request: Request, content: bytearray) -> None:
        self._check(int(request.headers.get("content-length", "0")), 0)
        async for piece in request.stream():
            self._check(len(content) + len(piece), len(piece))
            content += piece
            self.n_held += len(piece)

    def _check(self, n_body: int, n_more: int) -> None:
        settings = self._settings
        if n_body > settings.body_bytes:
            raise Refusal(
                413,
                f"body: larger than {settings.body_mb:g} MB; send a shorter recording, or several"
                " requests",
            )
        if self.n_held + n_more > settings.held_bytes:
            raise Refusal(503, "server: too many recordings at once; try again", 1)


def read_recordings(content_type: str, body: bytes, n_max: int) -> list[Recording]:
    """Return the recordings in a body, raw ones as WAVs.

    Parameters
    ----------
    content_type : header of the body; empty: it is told by the first bytes
    n_max : largest number of recordings

    Raises
    ------
    Refusal
        When there is none, or its type is none of a recording.
    """
    about = _parsed(content_type)
    if about.get_content_type() != _FORM:
        return [_recording(about, "-", "body", body)]
    boundary = about.get_boundary("")
    if not 0 < len(boundary) <= 70:
        raise Refusal(400, "body: a form without a boundary; let the client's library write it")
    found = list(_parts(body, boundary.encode("latin-1", "replace"), n_max))
    if not found:
        raise Refusal(400, "body: a form without a file; add one, as curl -F clip=@clip.wav")
    return found


def _parsed(content_type: str) -> Message:
    """Return a header of a content type with its parameters."""
    about = Message()
    about["content-type"] = content_type or "application/octet-stream"
    return about


def _parts(body: bytes, boundary: bytes, n_max: int) -> Iterator[Recording]:
    """Yield the recordings in a form (RFC 7578).

    The standard library's parser reads lines, of which a recording may have millions.
    """
    _, *pieces = (b"\r\n" + body).split(b"\r\n--" + boundary, n_max + 2)
    ends = [i for i, piece in enumerate(pieces) if piece.startswith(b"--")]
    n_parts = ends[0] if ends else len(pieces)
    if n_parts > n_max:
        raise Refusal(413, f"body: more than {n_max} recordings; send several requests")
    if not ends:
        raise Refusal(400, "body: a form that is cut off; send it again")
    for piece in pieces[:n_parts]:
        head, gap, content = piece.partition(b"\r\n\r\n")
        if not gap or len(head) > _HEAD_MAX:
            raise Refusal(400, "body: a form with a part that has no headers; send it again")
        about = HeaderParser().parsestr(head.decode("utf-8", "replace").lstrip())
        if about.get("content-transfer-encoding", "binary").lower() not in ("binary", "8bit"):
            raise Refusal(415, "body: a part in another encoding than binary; send its bytes")
        field = about.get_param("name", "", "content-disposition")
        name = str(about.get_filename() or (field if isinstance(field, str) else "") or "-")
        yield _recording(about, name[:_NAME_MAX], name[:_NAME_MAX], content)


def _recording(about: Message, path: str, name: str, content: bytes) -> Recording:
    """Return a recording by its headers."""
    kind = about.get_content_type()
    if not content:
        raise Refusal(400, f"{name}: is empty (0 bytes); send a recording")
    if kind in _RAW:
        return Recording(path, name, _raw_as_wav(about, name, content))
    is_named = about.get("content-type") is not None
    if is_named and kind.split("/")[0] not in ("audio", "video") and kind not in _SNIFFED:
        raise Refusal(
            415,
            f"{name}: {kind} is no recording; send its bytes as audio/wav, audio/flac, audio/mpeg"
            " or application/octet-stream, or raw ones as audio/pcm;rate=16000",
        )
    return Recording(path, name, content)


def _raw_as_wav(about: Message, name: str, content: bytes) -> bytes:
    """Return raw PCM as a WAV: ``audio/L16`` is big-endian (RFC 2586), ``audio/pcm`` is not."""
    is_l16 = about.get_content_type() == "audio/l16"
    params = {str(key).lower(): str(value) for key, value in about.get_params([])[1:]}
    known = {"rate", "channels"} | (set() if is_l16 else {"encoding"})
    if unknown := params.keys() - known:
        raise Refusal(
            415, f"{name}: no parameter {min(unknown)}; there are {', '.join(sorted(known))}"
        )
    if kind := kind_by_magic(content[:HEAD_BYTES]) or kind_of_text(content[:HEAD_BYTES]):
        raise Refusal(415, f"{name}: {kind.name}, not raw PCM; leave the content type out")
    format = raw_format(params)
    n_odd = len(content) % format.frame_bytes
    if n_odd:
        raise Refusal(
            422, f"{name}: {n_odd} bytes too many for whole samples; check encoding and channels"
        )
    if is_l16:
        content = np.frombuffer(content, ">i2").astype("<i2").tobytes()
    return wav_header(format, len(content)) + content


def raw_format(params: dict[str, str]) -> SampleFormat:
    """Return the format of raw PCM by its ``rate``, ``channels`` and ``encoding``.

    Raises
    ------
    Refusal
        When one of them is impossible.
    """
    rate = _whole(params, "rate", FeatureConfig.sample_rate, 1_000, 768_000)
    n_channels = _whole(params, "channels", 1, 1, CHANNELS_MAX)
    encoding = params.get("encoding", "s16le").lower()
    if encoding not in SAMPLE_BYTES:
        raise Refusal(400, f"encoding: no {encoding}; there are {', '.join(SAMPLE_BYTES)}")
    n_bytes = SAMPLE_BYTES[encoding] * n_channels
    return SampleFormat(_SUBTYPES[encoding], n_channels, rate, n_bytes, None)


def _whole(params: dict[str, str], name: str, default: int, low: int, high: int) -> int:
    text = params.get(name, str(default))
    if not re.fullmatch("[0-9]{1,9}", text) or not low <= int(text) <= high:
        raise Refusal(400, f"{name}: {text} is not possible; it must be {low} to {high}")
    return int(text)
