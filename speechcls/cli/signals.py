"""SIGTERM and SIGHUP end a command as Ctrl-C does: outputs are closed, temporary files removed."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from speechcls.interrupts import handling, signals_of

_ENDING = signals_of("SIGTERM", "SIGHUP")


class Terminated(KeyboardInterrupt):
    """SIGTERM or SIGHUP: whatever cleans up after Ctrl-C cleans up after these as well."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


class TerminationHandler:
    """Raises ``Terminated`` in the main thread at the first SIGTERM or SIGHUP, as a context.

    Later ones are ignored, so that they do not interrupt the cleaning up: a terminal that is
    closed sends SIGHUP twice, by the kernel and by the shell. A signal that is ignored at the
    start, as SIGHUP by nohup, stays ignored.

    Attributes
    ----------
    number : of the signal that came; 0 before
    """

    def __init__(self) -> None:
        self.number = 0

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if not self.number:
            self.number = number
            raise Terminated(number)

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Handle the signals while the block runs."""
        with handling(_ENDING, self._on_signal):
            yield
