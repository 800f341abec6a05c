"""The training of a project that runs, or ran last: one at a time, whoever started it."""

import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from speechcls.serve.guard import Refusal
from speechcls.serve.streams import LOG
from speechcls.studio.jobs import Job, JobError, JobFault, JobStopped

FAULT = "the work ended unexpectedly; whoever runs the server finds why in its log"
_HISTORY_MAX, _WARNINGS_MAX = 1_000, 100
EPOCHS = {"quick": 4, "standard": 12, "long": 30}
"""How many epochs a training has at most, by what a page calls it."""


def settings_of(length: str) -> dict[str, dict[str, Any]]:
    """Return the settings of a training, but for the defaults of ``train``."""
    return {"training": {"epochs": EPOCHS[length]}}


class Training:
    """The state of the training, which pages ask for.

    Parameters
    ----------
    data : folder of the recordings
    models : folder that models are written to
    title : what their names begin with
    on_model : called with the folder of each model, before it is told of; its errors are the
        training's
    """

    def __init__(
        self, data: Path, models: Path, title: str, on_model: Callable[[Path], str]
    ) -> None:
        self._data, self._models, self._title = data, models, title
        self._on_model = on_model
        self._lock = threading.Lock()
        self._job: Job | None = None
        self._thread: threading.Thread | None = None
        self._state: dict[str, Any] = {"state": "none"}

    @property
    def is_running(self) -> bool:
        """Whether there is one that has not ended."""
        return bool(self._state["state"] == "running")

    def describe(self) -> dict[str, Any]:
        """Return what is known of it, JSON-ready."""
        with self._lock:
            state = dict(self._state)
            for name in ("history", "warnings"):
                if name in state:
                    state[name] = [*state[name]]
        return state

    def start(self, sections: dict[str, dict[str, Any]]) -> None:
        """Begin a training.

        Parameters
        ----------
        sections : settings, as ``train`` takes them

        Raises
        ------
        Refusal
            When one runs already.
        """
        with self._lock:
            if self.is_running:
                raise Refusal(409, "training: one is running; wait for its end, or stop it")
            out = self._models / f"{self._title}-{self._next_number()}"
            self._state = {
                "state": "running",
                "stage": "starting",
                "model": out.name,
                "done": 0.0,
                "history": [],
                "warnings": [],
            }
            task = {"task": "train", "data": str(self._data), "out": str(out)}
            self._job = job = Job({**task, "settings": sections})
        self._thread = threading.Thread(target=self._run, args=(job,), name="training", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Have it end with the best model so far; return at once."""
        with self._lock:
            if self.is_running and self._job is not None:
                self._state["stage"] = "stopping"
                self._job.stop()

    def close(self, seconds: float) -> None:
        """End it, at last by force after so long."""
        self.stop()
        if self._thread is not None:
            self._thread.join(seconds)
            if self._thread.is_alive() and self._job is not None:
                self._job.kill()
                self._thread.join()

    def _next_number(self) -> int:
        names = [path.name for path in self._models.glob("*")] if self._models.is_dir() else []
        start = f"{self._title}-"
        rests = [name.removeprefix(start).split(".")[0] for name in names if name.startswith(start)]
        return 1 + max((int(rest) for rest in rests if rest.isdecimal()), default=0)

    def _run(self, job: Job) -> None:
        try:
            result = job.run(self._take)
            result["model"] = self._on_model(Path(result.pop("path")))
            self._end(state="done", result=result)
        except JobStopped:
            self._end(state="stopped")
        except (JobError, Refusal) as error:
            self._end(state="failed", error=str(error))
        except JobFault as error:
            LOG.log(logging.ERROR, "training: %s", error)
            self._end(state="failed", error=f"training: {FAULT}")

    def _end(self, **fields: Any) -> None:
        with self._lock:
            self._state.update(fields)
            self._state.pop("stage", None)
            self._job = None

    def _take(self, event: dict[str, Any]) -> None:
        """Note an event of the worker."""
        kind = event.pop("event")
        with self._lock:
            state = self._state
            is_stopping = state.get("stage") == "stopping"
            if kind == "clip":
                stage, state["done"] = "reading", event["n"] / max(1, event["n_all"])
            elif kind == "start":
                stage, state["done"] = "training", 0.0
                state["plan"] = event
            elif kind == "step":
                stage = "training"
                state["done"] = (len(state["history"]) + event["done"]) / state["plan"]["epochs"]
            elif kind == "epoch":
                stage = "training"
                state["history"] = [*state["history"], event][-_HISTORY_MAX:]
                state["done"] = len(state["history"]) / state["plan"]["epochs"]
            elif kind == "saving":
                stage = "saving"
            else:
                stage = state["stage"]
                state["warnings"] = [*state["warnings"], event["text"]][-_WARNINGS_MAX:]
            state["stage"] = "stopping" if is_stopping else stage
