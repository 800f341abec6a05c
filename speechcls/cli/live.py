"""What ``listen`` and ``record`` share: their source, Ctrl-C, and a line that changes."""

import io
import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Annotated, Any, Self

import typer

from speechcls.cli.messages import Messages

if TYPE_CHECKING:
    from speechcls.live.sources import Block, Source

Pipe = Annotated[
    str | None,
    typer.Argument(help="- for raw 16-bit PCM on stdin. [default: microphone]", metavar="[-]"),
]
From = Annotated[
    Path | None,
    typer.Option("--from", help="A recording, heard as if it were spoken now.", metavar="FILE"),
]
Speed = Annotated[
    float,
    typer.Option(min=0.0, help="How much faster to hear --from; 0: as fast as possible."),
]
Rate = Annotated[
    int, typer.Option(min=1_000, max=768_000, help="Sample rate of raw PCM on stdin, Hz.")
]
InputDevice = Annotated[
    str | None,
    typer.Option(
        "--device", help="Microphone: its number or a part of its name.", metavar="DEVICE"
    ),
]


def open_source(
    stack: ExitStack,
    pipe: str | None,
    file: Path | None,
    device: str | None,
    rate: int,
    speed: float,
) -> tuple["Source", str]:
    """Return the source that the options name, and what to call it; ``stack`` closes it."""
    if pipe not in (None, "-"):
        raise typer.BadParameter(f"{pipe!r} is no source; give -, or a recording with --from")
    if (pipe is not None) + (file is not None) + (device is not None) > 1:
        raise typer.BadParameter("-, --from and --device exclude each other")
    from speechcls.live.sources import FileSource
    from speechcls.live.sources import Pipe as PCMPipe

    if file is not None:
        recording = FileSource(file, speed)
        stack.callback(recording.close)
        return recording, str(file)
    if pipe is not None:
        stdin = stack.enter_context(io.FileIO(0, closefd=False))
        return PCMPipe(stdin, rate), "stdin"
    from speechcls.live.microphone import Microphone

    return stack.enter_context(Microphone(device)), "the microphone"


class CtrlC:
    """Ends the waiting for sound, and nothing that is done with it; a second one ends all."""

    def __init__(self) -> None:
        self.came = self._waits = False

    def __enter__(self) -> Self:
        self._before: Any = None
        is_ignored = signal.getsignal(signal.SIGINT) is signal.SIG_IGN  # as in the background
        if not is_ignored and threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGINT, self._on_signal)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self._waits or self.came:
            self.came = True
            raise KeyboardInterrupt
        self.came = True

    def until(self, blocks: Iterator["Block"]) -> Iterator["Block"]:
        """Yield ``blocks`` until Ctrl-C comes."""
        while not self.came:
            try:
                self._waits = True
                block = next(blocks, None)
                self._waits = False
            except KeyboardInterrupt:
                self._waits = False
                return
            if block is None:
                return
            yield block


class Screen(Messages):
    """Messages that may come from any thread, above a line that changes where somebody watches."""

    def __init__(self, quiet: bool = False, verbose: bool = False) -> None:
        super().__init__(quiet, verbose)
        self._lock = threading.RLock()
        self._live: Any = None

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Show the line, if stderr is a terminal."""
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
        """Replace what the line says."""
        if self._live is None:
            return
        from rich.text import Text

        with self._lock:
            self._live.update(Text(text, no_wrap=True, overflow="crop"), refresh=True)

    @contextmanager
    def above(self) -> Iterator[None]:
        """Take the line away while something else is printed."""
        with self._lock:
            if self._live is None:
                yield
                return
            self._live.stop()
            yield
            self._live.start()

    def note(self, text: str) -> None:
        """Say what happens, unless quiet."""
        with self.above():
            super().note(text)

    def error(self, text: str, details: Any = ()) -> None:
        """Say what failed."""
        with self.above():
            super().error(text, details)


def meter(level_db: float, width: int = 20) -> str:
    """Return a bar for a level of -60 to 0 dB."""
    n_full = min(width, max(0, round((level_db + 60) / 60 * width)))
    return "#" * n_full + "." * (width - n_full)
