"""Shared by ``listen`` and ``record``: the source, Ctrl-C, and a status line."""

import io
import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Annotated, Any, Self

import typer

from speechcls.cli.common import refuse
from speechcls.cli.inputs import bring_input
from speechcls.cli.messages import Messages
from speechcls.cli.options import SOURCE, as_path, option
from speechcls.config import FeatureConfig
from speechcls.errors import ConfigError
from speechcls.interrupts import handling
from speechcls.storage.places import name_of
from speechcls.text import printable

if TYPE_CHECKING:
    from speechcls.live.sources import Block, Source

_PIPE = "pipe sound in: arecord -f S16_LE -r 16000 | speechcls {} -"

Pipe = Annotated[
    str | None,
    typer.Argument(
        help="- for 16-bit PCM on stdin, with a WAV header or without. [default: the microphone]",
        metavar="[-]",
    ),
]
From = Annotated[
    Path | None,
    option(
        "--from",
        help="Read a recording in place of the microphone.",
        panel=SOURCE,
        metavar="FILE",
        parser=as_path,
    ),
]
Speed = Annotated[
    float,
    option("--speed", min=0.0, help="Speed of --from; 0: as fast as possible.", panel=SOURCE),
]
MicrophoneName = Annotated[
    str | None,
    option(
        "--microphone",
        help="Number of the microphone, or a part of its name. [default: the system's]",
        panel=SOURCE,
        metavar="NAME",
    ),
]


def open_source(
    ctx: typer.Context,
    stack: ExitStack,
    pipe: str | None,
    file: Path | None,
    microphone: str | None,
    rate: int | None,
    speed: float,
    channel: int | None,
) -> tuple["Source", str]:
    """Return the source that the options name, and its name; ``stack`` closes it."""
    if pipe not in (None, "-"):
        raise typer.BadParameter(f"{pipe!r} is no source; give -, or a recording with --from")
    if (pipe is not None) + (file is not None) + (microphone is not None) > 1:
        raise typer.BadParameter("-, --from and --microphone exclude each other")
    if file is None:
        refuse(ctx, ["speed"], "without --from")
    if pipe is None:
        refuse(ctx, ["rate"], "without -")
    if pipe is None and file is None:
        refuse(ctx, ["channel"], "without - or --from")
    if rate is not None:
        refuse(ctx, ["channel"], "with --rate, whose sound has one channel")
    from speechcls.live.sources import FileSource
    from speechcls.live.sources import Pipe as PCMPipe

    if file is not None:
        recording = FileSource(bring_input(file), speed, channel=channel)
        stack.callback(recording.close)
        return recording, name_of(file)
    if pipe is not None:
        stdin = stack.enter_context(io.FileIO(0, closefd=False))
        return PCMPipe(stdin, rate or FeatureConfig.sample_rate, channel=channel), "stdin"
    from speechcls.live.microphone import Microphone

    try:
        return stack.enter_context(Microphone(microphone)), "the microphone"
    except ConfigError as error:
        instead = _PIPE.format("record LABEL" if ctx.info_name == "record" else ctx.info_name)
        field = error.field if microphone else None
        raise ConfigError(
            f"{error.message}, or name a recording with --from, or {instead}", field=field
        ) from error


class InterruptHandler:
    """Ends the wait for the next block at Ctrl-C, not the work on one; a second one ends both.

    Attributes
    ----------
    requested : whether Ctrl-C was pressed
    """

    def __init__(self) -> None:
        self.requested = self._waits = False
        self._handling = handling([signal.SIGINT], self._on_signal)

    def __enter__(self) -> Self:
        self._handling.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._handling.__exit__(None, None, None)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self._waits or self.requested:
            self.requested = True
            raise KeyboardInterrupt
        self.requested = True

    def until(self, blocks: Iterator["Block"]) -> Iterator["Block"]:
        """Yield ``blocks`` until Ctrl-C."""
        while not self.requested:
            try:
                self._waits = True
                block = next(blocks, None)
                self._waits = False
            except KeyboardInterrupt:  # of SIGTERM and SIGHUP as well
                self._waits, self.requested = False, True
                return
            if block is None:
                return
            yield block


class StatusMessages(Messages):
    """Messages from any thread, on a terminal above a status line."""

    def __init__(self, quiet: bool = False, verbose: bool = False) -> None:
        super().__init__(quiet, verbose)
        self._lock = threading.RLock()
        self._live: Any = None

    @contextmanager
    def status_line(self) -> Iterator[None]:
        """Show the status line, if stderr is a terminal."""
        if not self.shows_progress:
            yield
            return
        from rich.console import Console
        from rich.live import Live

        self._live = Live(
            console=Console(stderr=True, highlight=False),
            auto_refresh=False,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        try:
            with self._live:
                yield
        finally:
            self._live = None

    def show(self, text: str) -> None:
        """Replace the text of the status line."""
        if self._live is None:
            return
        from rich.text import Text

        with self._lock:
            self._live.update(Text(printable(text), no_wrap=True, overflow="crop"), refresh=True)

    @contextmanager
    def above(self) -> Iterator[None]:
        """Remove the status line while something else is printed."""
        with self._lock:
            if self._live is None:
                yield
                return
            self._live.stop()
            yield
            self._live.start()

    def note(self, text: str) -> None:
        """Print a note, unless quiet."""
        with self.above():
            super().note(text)

    def error(self, text: str, details: Any = ()) -> None:
        """Print an error."""
        with self.above():
            super().error(text, details)


def meter(level_db: float, width: int = 20) -> str:
    """Return a bar of characters for a level of -60 to 0 dB."""
    n_full = min(width, max(0, round((level_db + 60) / 60 * width)))
    return "#" * n_full + "." * (width - n_full)
