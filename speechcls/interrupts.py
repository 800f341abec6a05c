"""Signals that wait until the work at hand is done."""

import signal
import threading
from types import FrameType, TracebackType
from typing import Any, Self

STOPPING = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)
"""Signals that ask a process to end."""


class DeferredSignals:
    """Holds back the signals that end a process; a second one takes its course at once.

    One that is ignored, as SIGHUP under ``nohup``, stays so. Outside the main thread, which alone
    gets signals, it does nothing.

    Attributes
    ----------
    received : the signal that came; None as long as none did
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in STOPPING:
                if signal.getsignal(number) not in (signal.SIG_IGN, None):
                    self._before[number] = signal.signal(number, self._receive)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._restore()

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if self.received is not None:
            self._restore()
            signal.raise_signal(number)
        self.received = number

    def _restore(self) -> None:
        while self._before:
            signal.signal(*self._before.popitem())

    def release(self) -> None:
        """Let a signal that was held back take its usual course, which may not return."""
        self._restore()
        if self.received is not None:
            signal.raise_signal(self.received)
