"""Predictions and events as lines: tab-separated, CSV, JSON, a label track or subtitles."""

import csv
import itertools
import json
from collections.abc import Callable
from typing import TextIO

from speechcls.runtime.classifier import Prediction
from speechcls.runtime.detection import Event

WritePrediction = Callable[[str, Prediction], None]
WriteEvent = Callable[[str, Event], None]

FORMATS_OF_ONE = ("audacity", "srt")
"""Formats of events that have no place for the name of a recording."""
EVENT_FORMATS = ("tsv", "csv", "jsonl", *FORMATS_OF_ONE)

_ESCAPES = str.maketrans({"\\": r"\\", "\t": r"\t", "\n": r"\n", "\r": r"\r"})


def open_writer(kind: str, stream: TextIO, top_k: int | None) -> WritePrediction:
    """Return a function that writes one prediction as a line.

    Parameters
    ----------
    kind : ``tsv`` (path, label, probability; then the next likeliest labels and theirs), ``csv``
        (the same under a header) or ``json`` (an object a line)
    top_k : how many labels to give; None: 1, in JSON all
    """
    if kind == "json":
        return lambda path, prediction: _write_json(stream, path, prediction, top_k)
    n_labels = top_k or 1
    if kind == "csv":
        writer = csv.writer(stream, lineterminator="\n")
        extra = [f"{name}_{k}" for k in range(2, n_labels + 1) for name in ("label", "probability")]
        writer.writerow(["path", "label", "probability", *extra])
        return lambda path, prediction: writer.writerow([path, *_columns(prediction, n_labels)])
    return lambda path, prediction: print(
        path.translate(_ESCAPES), *_columns(prediction, n_labels), sep="\t", file=stream
    )


def _columns(prediction: Prediction, n_labels: int) -> list[str]:
    columns = [prediction.label, f"{prediction.probability:.4f}"]
    if n_labels == 1:
        return columns
    others = [item for item in prediction.probabilities.items() if item[0] != prediction.label]
    if prediction.label not in prediction.probabilities:
        others = others[1:]  # the likeliest one stands under _uncertain_ already
    for label, probability in others[: n_labels - 1]:
        columns += [label, f"{probability:.4f}"]
    return columns


def _write_json(stream: TextIO, path: str, prediction: Prediction, top_k: int | None) -> None:
    ranked = list(prediction.probabilities.items())[:top_k]
    line = {
        "path": path,
        "label": prediction.label,
        "probability": round(prediction.probability, 6),
        "probabilities": {label: round(probability, 6) for label, probability in ranked},
    }
    print(json.dumps(line), file=stream)


def open_event_writer(kind: str, stream: TextIO) -> WriteEvent:
    """Return a function that writes one event of the recording at a path.

    Parameters
    ----------
    kind : ``tsv`` (path, start and end in seconds, label, probability), ``csv`` (the same under a
        header), ``jsonl`` (an object a line), ``audacity`` (start, end, label: a label track) or
        ``srt`` (subtitles)
    """
    if kind == "csv":
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["path", "start_s", "end_s", "label", "probability"])
        return lambda path, event: writer.writerow([path, *_event_columns(event)])
    if kind == "jsonl":
        return lambda path, event: print(json.dumps(_event_object(path, event)), file=stream)
    if kind == "audacity":
        return lambda path, event: print(*_event_columns(event)[:3], sep="\t", file=stream)
    if kind == "srt":
        numbers = itertools.count(1)
        return lambda path, event: print(
            f"{next(numbers)}\n{_srt_time(event.start_s)} --> {_srt_time(event.end_s)}"
            f"\n{event.label}\n",
            file=stream,
        )
    return lambda path, event: print(
        path.translate(_ESCAPES), *_event_columns(event), sep="\t", file=stream
    )


def _event_columns(event: Event) -> list[str]:
    times = f"{event.start_s:.3f}", f"{event.end_s:.3f}"
    return [*times, event.label, f"{event.probability:.4f}"]


def _event_object(path: str, event: Event) -> dict[str, str | float]:
    return {
        "path": path,
        "start_s": round(event.start_s, 3),
        "end_s": round(event.end_s, 3),
        "label": event.label,
        "probability": round(event.probability, 6),
    }


def _srt_time(seconds: float) -> str:
    whole, ms = divmod(round(1e3 * seconds), 1_000)
    return f"{whole // 3_600:02}:{whole // 60 % 60:02}:{whole % 60:02},{ms:03}"
