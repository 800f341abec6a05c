"""Events of the Wyoming protocol as clients send them: a line of JSON, more JSON, and bytes.

The library has a reader of its own, which takes as many bytes as a client says there are.
"""

import asyncio
import json
from typing import TYPE_CHECKING, Any

from speechcls.errors import SpeechclsError
from speechcls.wyoming.settings import WyomingSettings

if TYPE_CHECKING:
    from wyoming.event import Event


class ProtocolError(SpeechclsError):
    """What a client sent is no event, or one that it may not send."""


async def read_event(reader: asyncio.StreamReader, settings: WyomingSettings) -> "Event | None":
    """Return the next event of a client; None where it has gone between two events.

    Parameters
    ----------
    reader : whose limit is ``settings.header_bytes_max``

    Raises
    ------
    ProtocolError
        When it is no event, too long, cut off, or not there in time.
    """
    from wyoming.event import Event

    try:
        async with asyncio.timeout(settings.idle_timeout_s):
            first = await reader.read(1)
        if not first:
            return None
        async with asyncio.timeout(settings.event_timeout_s):
            header = _parse(first + await reader.readuntil(b"\n"))
            n_data = _length(header, "data_length", settings.data_bytes_max)
            n_payload = _length(header, "payload_length", settings.payload_bytes_max)
            data = header.get("data") or {}
            if not isinstance(data, dict):
                raise ProtocolError("data of an event that are no JSON object")
            if n_data:
                data |= _parse(await reader.readexactly(n_data))
            payload = await reader.readexactly(n_payload) if n_payload else None
    except TimeoutError as error:
        raise ProtocolError("nothing came in time") from error
    except asyncio.IncompleteReadError as error:
        raise ProtocolError("gone within an event") from error
    except asyncio.LimitOverrunError as error:
        most = settings.header_bytes_max
        raise ProtocolError(f"a line of more than {most} bytes") from error
    kind = header.get("type")
    if not isinstance(kind, str):
        raise ProtocolError("an event without a type")
    return Event(kind, data, payload)


def _parse(content: bytes) -> dict[str, Any]:
    try:
        parsed = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ProtocolError("no event of the Wyoming protocol") from error
    if not isinstance(parsed, dict):
        raise ProtocolError("no event of the Wyoming protocol")
    return parsed


def _length(header: dict[str, Any], name: str, most: int) -> int:
    """Return how many bytes follow, as a header says."""
    value = header.get(name)
    if value is None:
        return 0
    if type(value) is not int or not 0 <= value <= most:
        raise ProtocolError(f"{name} is {value!r:.40}; 0 to {most} are possible")
    return value
