"""Work in a process of its own: it may take minutes, memory and torch, and can be stopped."""

import json
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from speechcls.errors import SpeechclsError
from speechcls.text import json_text

OnEvent = Callable[[dict[str, Any]], None]
WORKER = "speechcls.studio.worker"
_STOP_S = 60.0
"""Time that a process has to save what it did once it is asked to stop, seconds."""
_TAIL = 40
"""Lines of what a process says on stderr that are kept."""


class JobError(SpeechclsError):
    """A job failed, for a reason that its user can do something about."""


class JobFault(Exception):
    """The process of a job ended without a result, which is a fault of the program."""


class JobStopped(Exception):
    """A job was stopped before it had a result."""


class Job:
    """A process that does one thing; ``run`` waits for its result, from any thread.

    Parameters
    ----------
    task : what the worker is to do, JSON-ready; see ``worker.TASKS``
    """

    def __init__(self, task: dict[str, Any]) -> None:
        # A session of its own: Ctrl-C in the server's terminal is the server's to pass on.
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", WORKER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
        )
        self._said = deque[str](maxlen=_TAIL)
        self._is_stopping = False
        self._reader = threading.Thread(target=self._read_errors, daemon=True)
        self._reader.start()
        self._send(json_text(task))

    def run(self, on_event: OnEvent = lambda event: None) -> dict[str, Any]:
        """Return the result.

        Parameters
        ----------
        on_event : called with each event on the way to it

        Raises
        ------
        JobError
            When the job is not possible.
        JobStopped
            When it was stopped before it had a result.
        JobFault
            When the process ended otherwise.
        """
        process = self._process
        result: dict[str, Any] | None = None
        error: str | None = None
        assert process.stdout is not None and process.stdin is not None
        for line in process.stdout:
            event: dict[str, Any] = json.loads(line)
            if event["event"] == "result":
                result = event
            elif event["event"] == "error":
                error = str(event["text"])
            else:
                on_event(event)
        with suppress(OSError):
            process.stdin.close()
        process.wait()
        process.stdout.close()
        self._reader.join()
        if result is not None:
            return result
        if error is not None:
            raise JobError(error)
        if self._is_stopping:
            raise JobStopped
        raise JobFault(f"exit code {process.returncode}: {' | '.join(self._said)}")

    def stop(self) -> None:
        """Ask it to end with what it has; after a while it is killed."""
        self._is_stopping = True
        with suppress(OSError, ValueError):
            assert self._process.stdin is not None
            self._process.stdin.close()  # which also the end of the server is
        killer = threading.Timer(_STOP_S, self.kill)
        killer.daemon = True
        killer.start()

    def kill(self) -> None:
        """End it at once."""
        self._is_stopping = True
        self._process.kill()

    def _send(self, line: str) -> None:
        assert self._process.stdin is not None
        with suppress(OSError):  # it is gone, and ``run`` says why
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()

    def _read_errors(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            self._said.append(line.strip())
        self._process.stderr.close()
