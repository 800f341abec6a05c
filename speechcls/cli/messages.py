"""Messages on stderr: notes, warnings and errors."""

import sys
from collections.abc import Iterable, Sequence

LONGEST = 2_000
"""Characters of a line before its middle is left out; a path may have 4,096."""


class Messages:
    """Messages on stderr: notes, warnings and errors.

    Parameters
    ----------
    quiet : print errors only
    verbose : print details as well, unless quiet
    """

    def __init__(self, quiet: bool = False, verbose: bool = False) -> None:
        self._quiet, self._verbose = quiet, verbose

    def note(self, text: str) -> None:
        """Print a note, unless quiet."""
        if not self._quiet:
            _print(text)

    def detail(self, text: str) -> None:
        """Print a note, if verbose."""
        if self._verbose and not self._quiet:
            _print(text)

    def warn(self, text: str) -> None:
        """Print a warning, unless quiet."""
        self.note(f"warning: {text}")

    def error(self, text: str, details: Sequence[str] = ()) -> None:
        """Print an error, with a further line for each of ``details``."""
        _print(f"error: {text}", details)

    def next_steps(self, *commands: Sequence[object], in_scripts: bool = True) -> None:
        """Print commands to go on with, unless quiet.

        Parameters
        ----------
        commands : the words of each, without ``speechcls``
        in_scripts : also where stderr is no terminal, as of what makes a file or a model
        """
        from speechcls.text import shell_line

        if in_scripts or self.shows_progress:
            for number, words in enumerate(commands):
                self.note(f"{'      ' if number else 'next: '}{shell_line('speechcls', *words)}")

    def errors(self, texts: Iterable[str]) -> None:
        """Print each text as an error."""
        for text in texts:
            self.error(text)

    @property
    def shows_progress(self) -> bool:
        """Whether stderr is a terminal, and not quiet."""
        return sys.stderr.isatty() and not self._quiet


def _print(text: str, details: Sequence[str] = ()) -> None:
    from speechcls.storage.places import shown  # late: most commands say nothing
    from speechcls.text import printable, shorten

    lines = (shorten(printable(shown(line)), LONGEST) for line in (text, *details))
    # Not echoed, which writes past the bar that may be on the terminal, into its line.
    sys.stderr.write("speechcls: " + "\n  ".join(lines) + "\n")
    sys.stderr.flush()
