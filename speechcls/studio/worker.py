"""What a job does, in a process of its own: ``python -m speechcls.studio.worker``.

It reads a task from stdin, a line of JSON, and writes events to stdout, a line each; the last one
is ``result`` or ``error``. The end of stdin stops it.
"""

import _thread
import base64
import dataclasses
import io
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from speechcls.errors import SpeechclsError
from speechcls.text import json_text, printable

if TYPE_CHECKING:
    from speechcls.training.plan import TrainPlan

Say = Callable[..., None]
"""Writes an event with its fields."""
_EVERY_S = 0.1
"""Least time between two events of progress."""
_MAX_BAD = 0.05
"""Largest fraction of bad clips that ``check`` calls fit for training."""


def _train(task: dict[str, Any], say: Say) -> dict[str, Any]:
    """Train a model as the command does; one that was stopped is the best so far."""
    from speechcls.training.checkpoint import Checkpoint
    from speechcls.training.plan import Callbacks
    from speechcls.training.run import train

    out, progress = Path(task["out"]), _Progress(say)

    def on_start(plan: "TrainPlan") -> None:
        for text in (*plan.corpus.bad, *plan.corpus.warnings):
            say("warning", text=printable(text))
        say(
            "start",
            epochs=plan.settings.training.epochs,
            summary=printable(plan.corpus.summary()),
            network=plan.settings.network.arch,
            parameters=plan.n_parameters,
            start=plan.settings.from_model if plan.settings.source else None,
        )

    callbacks = Callbacks(
        on_dataset=lambda dataset: progress.begin("clip", len(dataset.examples)),
        on_clip=progress.step,
        on_start=on_start,
        on_step=lambda done: progress.tell("step", done=done),
        on_epoch=lambda epoch: say("epoch", **dataclasses.asdict(epoch)),
        on_save=lambda: say("saving"),
        on_warning=lambda text: say("warning", text=printable(text)),
    )
    try:
        result = train(Path(task["data"]), task["settings"], out, callbacks=callbacks)
    except KeyboardInterrupt:
        _remove_state(Checkpoint(out))
        raise
    if result.fit.interrupted:
        _remove_state(Checkpoint(out))
    if result.save_error:
        say("warning", text=printable(str(result.save_error)))
    scores, calibration = result.validation, result.calibration
    return {
        "path": str(result.artifact.path),
        "best_epoch": result.fit.best.epoch if result.fit.best else None,
        "n_epochs": len(result.fit.history),
        "is_interrupted": result.fit.interrupted,
        "diverged": result.fit.diverged,
        "balanced_accuracy": scores.balanced_accuracy,
        "command_recall": scores.command_recall,
        "recall": {
            label: row.recall
            for label, row in zip(scores.labels, scores.per_label, strict=True)
            if row.n_clips
        },
        "false_alarms": calibration.false_alarms if calibration else None,
        "hours": calibration.hours if calibration else None,
        "fa_per_hour": calibration.false_alarms / calibration.hours if calibration else None,
        "upper_fa_per_hour": calibration.upper_fa_per_hour if calibration else None,
    }


def _remove_state(checkpoint: Any) -> None:
    """Remove what is kept to go on with a training: the next one has a place of its own."""
    with checkpoint.locked():
        checkpoint.remove()


def _check(task: dict[str, Any], say: Say) -> dict[str, Any]:
    """Find the faults of the recordings."""
    from speechcls.data_quality.check import check
    from speechcls.data_quality.findings import BAD, KINDS, LEAKS
    from speechcls.data_quality.report import to_dict

    result = check(Path(task["data"]))
    found = to_dict(result, _MAX_BAD)
    effects = {kind: "blocks" if kind in LEAKS else "bad" for kind in (*BAD, *LEAKS)}
    kinds = {
        kind: {"text": text, "effect": effects.get(kind, "warning")} for kind, text in KINDS.items()
    }
    return {**found, "kinds": kinds}


def _report(task: dict[str, Any], say: Say) -> dict[str, Any]:
    """Score a model on the recordings that it was not trained on, and write the report."""
    from speechcls.evaluation.predictions import collect_predictions, read_windows
    from speechcls.evaluation.score import evaluate
    from speechcls.layouts.load import load_dataset
    from speechcls.report.page import save_report
    from speechcls.report.tables import N_MISTAKES
    from speechcls.runtime.classifier import Classifier

    classifier, dataset = Classifier.load(task["model"]), load_dataset(Path(task["data"]))
    evaluation = evaluate(classifier, dataset, "auto", lambda: None, True)
    predictions = collect_predictions(evaluation, classifier, dataset)
    windows = read_windows(evaluation, classifier, predictions.mistakes(N_MISTAKES))
    page = save_report(predictions, windows, Path(task["out"]))
    return {"page": str(page)}


def _explain(task: dict[str, Any], say: Say) -> dict[str, Any]:
    """Write the page of what a model makes of a word."""
    from speechcls.explain.figures import draw_explanation
    from speechcls.explain.page import write_explanation
    from speechcls.explain.trace import explain
    from speechcls.runtime.classifier import Classifier

    classifier = Classifier.load(task["model"])
    content = base64.b64decode(task["recording"])
    window = classifier.read_window(io.BytesIO(content), name="the last word")
    explanation = explain(classifier, window.samples)
    label = explanation.labels[explanation.label_index]
    percent = 100 * explanation.probabilities.max()
    title = f"The last word: {label}, {percent:.1f} % ({Path(task['model']).name})"
    layer = len(explanation.layers) or None
    figure, place = draw_explanation(explanation, title, layer), Path(task["out"], "explain.html")
    write_explanation(explanation, figure, title, layer, place)
    return {"page": str(place)}


TASKS = {"train": _train, "check": _check, "report": _report, "explain": _explain}
"""What a job may be, by the ``task`` in what it reads."""


class _Progress:
    """Tells how far something is, not too often."""

    def __init__(self, say: Say) -> None:
        self._say, self._kind, self._n, self._n_all = say, "", 0, 0
        self._told = 0.0

    def begin(self, kind: str, n_all: int) -> None:
        self._kind, self._n, self._n_all = kind, 0, n_all

    def step(self) -> None:
        self._n += 1
        self.tell(self._kind, n=self._n, n_all=self._n_all)

    def tell(self, kind: str, **fields: Any) -> None:
        if time.monotonic() - self._told >= _EVERY_S:
            self._told = time.monotonic()
            self._say(kind, **fields)


def _stop_at_end() -> None:
    """Interrupt the work when stdin ends: nobody waits for it any more."""
    while os.read(0, 1):  # not through sys.stdin, whose lock this thread would hold at the end
        pass
    if hasattr(signal, "pthread_kill"):  # which also ends a wait
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
    else:
        _thread.interrupt_main()


def main() -> int:
    """Do one task."""
    task, stdout = json.loads(sys.stdin.readline()), sys.stdout
    sys.stdout = sys.stderr  # whatever a library prints is no event

    def say(event: str, **fields: Any) -> None:
        stdout.write(json_text({"event": event, **fields}) + "\n")
        stdout.flush()

    threading.Thread(target=_stop_at_end, daemon=True).start()
    try:
        say("result", **TASKS[task["task"]](task, say))
    except SpeechclsError as error:
        text = "; ".join([str(error), *error.details[:5]])
        say("error", text=printable(text))
    except ModuleNotFoundError as error:
        package = (error.name or "a package").split(".")[0]
        say("error", text=f"{package} is not installed on the server; pip install speechcls does")
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
