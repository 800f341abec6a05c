"""What the commands share: options, messages for people, and errors turned into exit codes."""

import functools
import os
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import Annotated, Any, TypeVar, cast

import typer

from speechcls.errors import ConfigError, SpeechclsError, printable

FAILED, USAGE, INTERRUPTED = 1, 2, 130

Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.")]
Verbose = Annotated[
    bool, typer.Option("--verbose", "-v", help="Print more, and where an error arose.")
]
Model = Annotated[
    Path | None,
    typer.Option(
        "--model",
        "-m",
        help="Folder of the model; commands comes with speechcls. [default: $SPEECHCLS_MODEL, else"
        " the newest in ./models/, else commands]",
        show_default=False,
    ),
]
Pattern = Annotated[
    str | None,
    typer.Option(
        help="What file names mean, as '{label}_{speaker}_{take}'; {_} matches anything.",
        metavar="PATTERN",
    ),
]
Noise = Annotated[
    Path | None,
    typer.Option(
        help="Folder of background recordings, besides DATA/_background_noise_.", metavar="DIR"
    ),
]
Jobs = Annotated[
    int | None,
    typer.Option(min=1, help="Threads that read and compute. [default: all cores]"),
]

AsJson = Annotated[bool, typer.Option("--json", help="One JSON object.")]
AsJsonLines = Annotated[bool, typer.Option("--json", help="One JSON object a line.")]
Device = Annotated[str, typer.Option(help="cpu, or cuda where ONNX Runtime has it.")]


class Messages:
    """Lines for people, on stderr."""

    def __init__(self, quiet: bool = False, verbose: bool = False) -> None:
        self._quiet, self._verbose = quiet, verbose

    def note(self, text: str) -> None:
        """Say what happens, unless quiet."""
        if not self._quiet:
            _say(text)

    def detail(self, text: str) -> None:
        """Say what only the curious want to know."""
        if self._verbose and not self._quiet:
            _say(text)

    def warn(self, text: str) -> None:
        """Say what may be wrong, unless quiet."""
        self.note(f"warning: {text}")

    def error(self, text: str, details: Sequence[str] = ()) -> None:
        """Say what failed."""
        _say(f"error: {text}", details)

    @property
    def shows_progress(self) -> bool:
        """Whether somebody watches."""
        return sys.stderr.isatty() and not self._quiet


def _say(text: str, details: Sequence[str] = ()) -> None:
    typer.echo("speechcls: " + "\n  ".join(map(printable, (text, *details))), err=True)


F = TypeVar("F", bound=Callable[..., Any])


def reports_errors(command: F) -> F:
    """Turn what a command raises into one line on stderr and an exit code.

    ``ConfigError`` ends in 2, other errors of ours and of the system in 1, Ctrl-C in 130;
    a reader that went away, as ``| head`` does, ends the command in silence.
    """

    @functools.wraps(command)
    def run(*args: Any, **options: Any) -> Any:
        # File names come out as they went in, whatever the terminal can show.
        sys.stdout.reconfigure(encoding="utf-8", errors="surrogateescape")  # type: ignore[union-attr]
        sys.stderr.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
        try:
            result = command(*args, **options)
            sys.stdout.flush()
            return result
        except KeyboardInterrupt:
            Messages().error("interrupted")
            raise typer.Exit(INTERRUPTED) from None
        except BrokenPipeError:
            # Python flushes stdout once more at its end; that must not fail again.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(FAILED) from None
        except (SpeechclsError, OSError, MemoryError) as error:
            if options.get("verbose"):
                traceback.print_exc()
            Messages().error(_describe(error), getattr(error, "details", ()))
            raise typer.Exit(USAGE if isinstance(error, ConfigError) else FAILED) from None

    return cast(F, run)


def _describe(error: BaseException) -> str:
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {(error.strerror or str(error)).lower()}"
    return str(error) or type(error).__name__


def split_names(option: str, text: str | None) -> list[str]:
    """Return the names in a comma-separated option; none where it is not given."""
    names = [name.strip() for name in (text or "").split(",") if name.strip()]
    if text is not None and not names:
        raise ConfigError(f"{option} {text!r}: names nothing; give names, as ann,bob")
    return names


@contextmanager
def files_first(show: Callable[[], None]) -> Iterator[None]:
    """Run what writes files, then ``show`` the figures on stdout, even where the files fail.

    A reader of stdout that goes away, as ``| head`` does, must not cost the files.
    """
    try:
        yield
    finally:
        show()


def check_file_place(path: Path) -> None:
    """Refuse a place where no file can be written, before the work is done."""
    if path.is_dir():
        raise ConfigError(f"{path}: is a folder; name a file")
    check_folder_place(path.parent)


def check_folder_place(path: Path) -> None:
    """Refuse a place where no folder can be, before the work is done."""
    there = next(place for place in (path, *path.parents) if place.exists())
    if not there.is_dir():
        raise ConfigError(f"{there}: is a file, not a folder; name another place")
    if not os.access(there, os.W_OK):
        raise ConfigError(f"{there}: may not be written in; name another place")


def report_bad(messages: Messages, bad: list[str]) -> None:
    """Name each clip that was left out."""
    for line in bad:
        messages.error(line)


def open_stdin() -> BufferedReader:
    """Open stdin beside ``sys.stdin``, whose lock Python waits for at its end, after Ctrl-C too."""
    return open(0, "rb", closefd=False)
