"""Signals that wait until the work at hand is done."""

import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from types import FrameType, TracebackType
from typing import Any, Self

_Handler = Callable[[int, FrameType | None], None]


def signals_of(*names: str) -> tuple[int, ...]:
    """Return the numbers of those signals that the system has; Windows has no SIGHUP."""
    return tuple(getattr(signal, name) for name in names if hasattr(signal, name))


STOPPING = signals_of("SIGINT", "SIGTERM", "SIGHUP")
"""Signals that ask a process to end."""


@contextmanager
def handling(numbers: Sequence[int], handler: _Handler) -> Iterator[None]:
    """Have ``handler`` called for some signals while the block runs.

    One that is ignored, as SIGHUP under ``nohup``, stays so. Outside the main thread, which alone
    gets signals, it does nothing.
    """
    before: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():
        for number in numbers:
            if signal.getsignal(number) not in (signal.SIG_IGN, None):
                before[number] = signal.signal(number, handler)
    try:
        yield
    finally:
        for number, usual in before.items():
            signal.signal(number, usual)


class DeferredSignals:
    """Holds back the signals that end a process; a second one takes its course at once.

    Attributes
    ----------
    received : the signal that came; None as long as none did
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self._is_shared = False
        self._handling = ExitStack()

    def __enter__(self) -> Self:
        self._handling.enter_context(handling(STOPPING, self._receive))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._handling.close()

    def share(self, number: int) -> None:
        """Take a signal to another process as one to this, whose own may follow and is the same."""
        if self.received is None:
            self.received, self._is_shared = number, True

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if self._is_shared:
            self._is_shared = False
            return
        if self.received is not None:
            self._handling.close()
            signal.raise_signal(number)
        self.received = number

    def release(self) -> None:
        """Let a signal that was held back take its usual course, which may not return."""
        self._handling.close()
        if self.received is not None:
            signal.raise_signal(self.received)
