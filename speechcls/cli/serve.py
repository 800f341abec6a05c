"""``speechcls serve``."""

import os
import signal
import traceback
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from speechcls.cli.common import INTERRUPTED, reports_errors
from speechcls.cli.config_options import OptionGroup, given_fields, with_config_options
from speechcls.cli.messages import Messages
from speechcls.cli.options import MODEL, Jobs, Quiet, Verbose, as_path, option
from speechcls.config import DEFAULT_MODEL, LIVE_MODEL
from speechcls.errors import ConfigError, not_installed
from speechcls.interrupts import STOPPING, handling
from speechcls.serve.settings import ServeConfig

if TYPE_CHECKING:
    from speechcls.serve.app import Extra, Service
    from speechcls.serve.server import Server

TOKEN_VARIABLE = "SPEECHCLS_TOKEN"
PAGE, ACCESS, LIMITS = "Page", "Access", "Limits"
"""Panels of the help."""
_PLACE = ("host", "port")
_PLACE_OPTIONS = OptionGroup(ServeConfig, ACCESS, _PLACE, shown=_PLACE)
_LIMITS = {
    "body_mb": "--max-body",
    "held_mb": "--max-bodies",
    "clips": "--max-clips",
    "clip_s": "--max-clip",
    "recording_s": "--max-recording",
    "request_s": "--request-timeout",
    "requests_per_minute": "--requests-per-minute",
    "waiting": "--max-waiting",
    "connections": "--max-connections",
    "streams": "--max-streams",
    "frame_kb": "--max-frame",
    "stream_idle_s": "--stream-timeout",
    "stop_s": "--stop-timeout",
}
_LIMIT_OPTIONS = OptionGroup(
    ServeConfig,
    LIMITS,
    [*_LIMITS],
    shown=("body_mb", "recording_s", "requests_per_minute", "streams"),
    names=_LIMITS,
)
_MODELS = option(
    "--model",
    "-m",
    help="Folder of a model, or the name of one that comes with speechcls; may be repeated. The"
    " first one is the default of requests, the first causal one that of streams. [default:"
    f" $SPEECHCLS_MODEL, else the newest in ./models/, else {DEFAULT_MODEL} and {LIVE_MODEL}]",
    panel=MODEL,
    metavar="MODEL",
    show_default=False,
    parser=as_path,
)
_TOKEN = option(
    "--token",
    help="Secret that clients have to send; other users of this machine see it in the list of"
    f" processes, unlike ${TOKEN_VARIABLE}. [default: ${TOKEN_VARIABLE}]",
    panel=ACCESS,
    metavar="TOKEN",
    show_default=False,
)
_CORS = option(
    "--cors",
    help="Origin of pages elsewhere that may ask, as https://example.org; may be repeated.",
    panel=ACCESS,
    metavar="ORIGIN",
)
_STUDIO = option(
    "--studio",
    help="Also a page to record words, check them, train on them and try the model, in a browser."
    " DIR keeps the recordings, as train reads them; models go to ./models/. Whoever may ask may"
    " write there.",
    panel=PAGE,
    metavar="DIR",
    show_default=False,
)


@reports_errors
@with_config_options(_PLACE_OPTIONS, _LIMIT_OPTIONS)
def serve(
    model: Annotated[list[Path] | None, _MODELS] = None,
    studio: Annotated[Path | None, _STUDIO] = None,
    token: Annotated[str | None, _TOKEN] = None,
    cors: Annotated[list[str] | None, _CORS] = None,
    jobs: Jobs = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
    **fields: Any,
) -> None:
    """Answer HTTP requests and live streams of other programs.

    POST /v1/predict and /v1/detect take recordings and answer what these commands print with
    --json; the WebSocket /v1/stream takes samples and answers what listen prints with it. All of it
    is described in docs/SERVING.md and /v1/openapi.json. With --studio a page at / records words
    and trains on them. It needs pip install 'speechcls[serve]'. Only this machine can reach it,
    unless --host says otherwise, which takes a token. SIGTERM is the normal end: what runs is
    finished, and the exit code is 0; after Ctrl-C it is 130.

    Example: speechcls serve --port 8765
    """
    given = given_fields(_PLACE_OPTIONS, fields) | given_fields(_LIMIT_OPTIONS, fields)
    settings = ServeConfig().replaced(given)
    token = token or os.environ.get(TOKEN_VARIABLE) or None
    messages = Messages(quiet, verbose)
    server = _open(settings, model or [], studio, token, cors or [], jobs, messages, verbose)
    number = _run(server, studio, token, messages)
    if number == signal.SIGINT:
        raise typer.Exit(INTERRUPTED)


def _open(
    settings: ServeConfig,
    named: list[Path],
    studio: Path | None,
    token: str | None,
    origins: list[str],
    jobs: int | None,
    messages: Messages,
    verbose: bool,
) -> "Server":
    """Return the server that the command line asks for."""
    try:
        from speechcls.serve.models import ModelSet
        from speechcls.serve.server import Server
    except ModuleNotFoundError as error:
        package = (error.name or "").split(".")[0]
        if package not in ("starlette", "uvicorn", "websockets", "h11"):
            raise
        raise ConfigError(not_installed(package, "serve")) from error

    def log(text: str, error: BaseException | None) -> None:
        messages.error(text)
        if verbose and error is not None:
            for line in "".join(traceback.format_exception(error)).splitlines():
                messages.detail(line)

    models = ModelSet(_find_models(named, messages))
    return Server(models, settings, token, origins, jobs, log, _make_studio(studio))


def _make_studio(folder: Path | None) -> "Callable[[Service], Extra] | None":
    """Return what makes the page of a folder; None without one."""
    if folder is None:
        return None
    from speechcls.studio.routes import Studio

    return lambda service: Studio(service, folder)


def _find_models(named: list[Path], messages: Messages) -> list[tuple[Path, str]]:
    """Return the folder of each model to serve, and how it was chosen."""
    from speechcls.artifact.lookup import find_artifact

    wanted = [(name, DEFAULT_MODEL) for name in named]
    wanted = wanted or [(None, DEFAULT_MODEL), (None, LIVE_MODEL)]  # type: ignore[list-item]
    found = dict[Path, str]()
    for name, default in wanted:
        path, how = find_artifact(name, default)
        if path not in found:
            messages.note(f"model {path} ({how})")
        found.setdefault(path, how)
    return list(found.items())


def _run(server: "Server", studio: Path | None, token: str | None, messages: Messages) -> int:
    """Answer until a signal ends it; return its number."""
    received: list[int] = []

    def on_signal(number: int, frame: FrameType | None) -> None:
        received.append(number)
        server.stop()

    with handling(STOPPING, on_signal):
        server.start()
        if studio is not None:
            messages.note(f"the page that records into {studio}: open {server.url}/ in a browser")
        header = " -H 'Authorization: Bearer TOKEN'" if token else ""
        messages.note(
            f"listening at {server.url}; try: curl{header} --data-binary @clip.wav"
            f" {server.url}/v1/predict"
        )
        while not server.wait(3_600):
            pass
    return received[0] if received else 0
