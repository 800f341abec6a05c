"""External commands run on events, one after another, in the background."""

import queue
import re
import shlex
import shutil
import subprocess
import threading
from collections.abc import Callable

from speechcls.errors import ConfigError, reason_of
from speechcls.runtime.detection import Event

MAX_WAITING = 8
"""Commands that may wait for the one that runs; further ones are not run, which is reported."""
_FIELD = re.compile(r"\{(label|probability|time_s)\}")


def parse_command(template: str) -> list[str]:
    """Return the words of a command, split as a shell would.

    Raises
    ------
    ConfigError
        When it has no words, a quote is not closed, or there is no such program.
    """
    try:
        words = shlex.split(template)
    except ValueError as error:
        raise ConfigError(
            f"{template!r}: {str(error).lower()}; close it", field="command"
        ) from error
    if not words:
        raise ConfigError("is empty; give one, as 'echo {label}'", field="command")
    if not _FIELD.search(words[0]) and shutil.which(words[0]) is None:
        raise ConfigError(f"{words[0]!r}: no such program; check its name", field="command")
    return words


def fill(words: list[str], event: Event) -> list[str]:
    """Return the command for one event, its fields replaced within each word, without a shell."""
    fields = {
        "label": event.label,
        "probability": f"{event.probability:.4f}",
        "time_s": f"{event.centre_s:.2f}",
    }
    return [_FIELD.sub(lambda match: fields[match[1]], word) for word in words]


class CommandRunner:
    """Runs a command for each event, in their order, in a thread of its own.

    Commands have no stdin, and what they print goes to stderr.

    Parameters
    ----------
    words : of the command, from ``parse_command``
    on_error : called with a message for each command that failed or was not run, from either thread
    """

    def __init__(self, words: list[str], on_error: Callable[[str], None]) -> None:
        self._words, self._on_error = words, on_error
        self._waiting: queue.Queue[Event | None] = queue.Queue()
        self._n_waiting = threading.Semaphore(MAX_WAITING)
        self._is_cancelled = False
        self._thread = threading.Thread(target=self._work, daemon=True, name="exec")
        self._thread.start()

    def start(self, event: Event) -> None:
        """Queue the command for an event; return at once."""
        if self._n_waiting.acquire(blocking=False):
            self._waiting.put(event)
        else:
            self._skip(event, f"{MAX_WAITING} commands are waiting already")

    def finish(self, cancel: bool = False) -> None:
        """Wait until the commands have ended; with ``cancel`` only the one that runs."""
        self._is_cancelled = cancel
        self._waiting.put(None)
        self._thread.join()

    def _work(self) -> None:
        while (event := self._waiting.get()) is not None:
            self._n_waiting.release()
            if self._is_cancelled:
                self._skip(event, "listening was ended")
            else:
                self._run(event)

    def _run(self, event: Event) -> None:
        words = fill(self._words, event)
        try:
            code = subprocess.run(words, stdin=subprocess.DEVNULL, stdout=2, check=False).returncode
        except (OSError, ValueError) as error:  # ValueError: NUL within a word
            self._on_error(f"{shlex.join(words)}: not run ({reason_of(error)})")
            return
        if code:
            ended = f"exit code {code}" if code > 0 else f"ended by signal {-code}"
            self._on_error(f"{shlex.join(words)}: failed ({ended})")

    def _skip(self, event: Event, why: str) -> None:
        words = shlex.join(fill(self._words, event))
        self._on_error(f"{words}: not run, for {why}")
