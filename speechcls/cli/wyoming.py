"""``speechcls wyoming``."""

import asyncio
import signal
from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING, Annotated

from speechcls.cli.common import reports_errors
from speechcls.cli.inputs import describe_rejection, find_model
from speechcls.cli.messages import Messages
from speechcls.cli.options import (
    Labels,
    LiveModel,
    Quiet,
    Threshold,
    Verbose,
    option,
    split_names,
)
from speechcls.config import LIVE_MODEL
from speechcls.interrupts import STOPPING, handling
from speechcls.wyoming.settings import URI, load_wyoming, parse_uri

if TYPE_CHECKING:
    from speechcls.wyoming.server import Server

SERVER = "Server"
_ZEROCONF = option(
    "--zeroconf", help="Announce it on the network by this name.", panel=SERVER, metavar="NAME"
)
_URI = option(
    "--uri",
    help="Address to listen at; tcp://0.0.0.0:10400 is reached from other machines.",
    panel=SERVER,
    metavar="URI",
)
_LANGUAGE = option(
    "--language",
    help="Language of the words, as en; with it the server also transcribes spoken commands."
    " [default: en for a model that comes with speechcls, else none]",
    panel=SERVER,
    metavar="CODE",
    show_default=False,
)


@reports_errors
def wyoming(
    uri: Annotated[str, _URI] = URI,
    zeroconf: Annotated[str | None, _ZEROCONF] = None,
    language: Annotated[str | None, _LANGUAGE] = None,
    model: LiveModel = None,
    labels: Labels = None,
    threshold: Threshold = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Detect words for Home Assistant and its satellites, as a Wyoming server.

    Each word of the model is a wake word that a client may ask for (pip install
    'speechcls[wyoming]'). Sound may have any sample rate, width and number of channels, and each
    client has a state of its own. Who connects, and which words are detected, is said on stderr.
    The protocol has no passwords and no encryption: whoever reaches the address may use it. Ctrl-C
    is the normal end, with exit code 0.

    Example: speechcls wyoming --uri tcp://127.0.0.1:10400
    """
    from speechcls.artifact.lookup import is_bundled
    from speechcls.artifact.store import load_artifact
    from speechcls.wyoming.server import Server
    from speechcls.wyoming.service import Service

    load_wyoming()
    parse_uri(uri)
    messages = Messages(quiet, verbose)
    artifact = load_artifact(find_model(model, messages, LIVE_MODEL))
    if language is None and is_bundled(artifact.path):
        language = "en"
    names = tuple(split_names("labels", labels))
    service = Service(artifact, threshold, names, language)
    words = service.words
    messages.note(describe_rejection(artifact, threshold))
    server = Server(service, note=messages.note, warn=messages.warn)

    def on_ready(address: str) -> None:
        messages.note(f"listening at {address} for {', '.join(words)}; Ctrl-C ends it")

    if number := _run(server, uri, zeroconf, on_ready):
        signal.raise_signal(number)
    messages.note("stopped")


def _run(
    server: "Server", uri: str, zeroconf: str | None, on_ready: Callable[[str], None]
) -> int | None:
    """Serve until a signal comes; return it if it is another one than that of Ctrl-C."""
    received: list[int] = []

    async def serve() -> None:
        loop, until = asyncio.get_running_loop(), asyncio.Event()

        def on_signal(number: int, frame: FrameType | None) -> None:
            if received:
                raise KeyboardInterrupt
            received.append(number)
            loop.call_soon_threadsafe(until.set)

        with handling(STOPPING, on_signal):
            await server.run(uri, until, on_ready, zeroconf)

    asyncio.run(serve())
    return next((number for number in received if number != signal.SIGINT), None)
