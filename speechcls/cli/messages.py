"""Lines for people, on stderr."""

import sys
from collections.abc import Sequence

import typer

from speechcls.errors import printable


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


def report_bad(messages: Messages, bad: list[str]) -> None:
    """Name each clip that was left out."""
    for line in bad:
        messages.error(line)
