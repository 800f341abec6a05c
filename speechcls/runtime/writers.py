"""Predictions and events as lines of text.

A new format is a function, which opens a writer on a stream, and its line in one of the three
tables ``PREDICTION_FORMATS``, ``EVENT_FORMATS`` and ``LIVE_FORMATS``: help texts and checks of the
commands are made from these.
"""

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, TextIO, TypeVar

from speechcls.errors import AudioError, ConfigError, SpeechclsError
from speechcls.text import escape, json_text

if TYPE_CHECKING:  # NumPy and ONNX Runtime, which a help text must not wait for
    from speechcls.runtime.classifier import Prediction
    from speechcls.runtime.detection import Event

WritePrediction = Callable[[str, "Prediction"], None]
"""Writes the prediction for the clip at a path."""
WriteEvent = Callable[[str, "Event"], None]
"""Writes an event in the recording at a path."""
WriteLive = Callable[["Event", float], None]
"""Writes an event of a live stream, and the time at which it was reported, seconds."""
Opener = TypeVar("Opener")


@dataclass(frozen=True)
class Format(Generic[Opener]):
    """One way to write predictions or events."""

    open: Opener
    """Returns a function that writes one of them to a stream."""
    about: str = ""
    """What the name does not say, for help texts."""
    single_recording: bool = False
    """Whether it has no place for the name of a recording, and so describes only one."""
    open_raw: Opener | None = None
    """Like ``open``, for text as it is; None: what the format escapes, it must."""


def choose_format(formats: Mapping[str, Format[Opener]], name: str) -> Format[Opener]:
    """Return the format of a name.

    Raises
    ------
    ConfigError
        When there is none.
    """
    if name not in formats:
        raise ConfigError(f"no {name!r}; there are {', '.join(formats)}", field="format")
    return formats[name]


def choose_opener(formats: Mapping[str, Format[Opener]], name: str, raw: bool) -> Opener:
    """Return what opens a writer of a format.

    Parameters
    ----------
    raw : of one that writes text as it is, for programs, not for spreadsheets and terminals

    Raises
    ------
    ConfigError
        When there is no such format, or it has no such writer.
    """
    chosen = choose_format(formats, name)
    if not raw:
        return chosen.open
    if chosen.open_raw is None:
        names = ", ".join(name for name, each in formats.items() if each.open_raw)
        raise ConfigError(f"has no effect on {name}; it is for {names}", field="raw")
    return chosen.open_raw


def describe_formats(formats: Mapping[str, Format[Opener]]) -> str:
    """Return the names of all formats and what they are, for a help text."""
    texts = [f"{name} ({f.about})" if f.about else name for name, f in formats.items()]
    return f"{', '.join(texts[:-1])} or {texts[-1]}" if texts[1:] else "".join(texts)


def _print_cells(stream: TextIO, *cells: str) -> None:
    """Write one line with tabs between its cells, whatever they hold."""
    print(*map(escape, cells), sep="\t", file=stream)


def _predictions_as_tsv(stream: TextIO, top_k: int | None) -> WritePrediction:
    return lambda path, prediction: _print_cells(stream, path, *_columns(prediction, top_k or 1))


def _predictions_as_csv(stream: TextIO, top_k: int | None, raw: bool = False) -> WritePrediction:
    from speechcls.files import open_csv  # late: what it needs would slow every help down

    n_labels, write_row = top_k or 1, open_csv(stream, raw=raw)
    extra = [f"{name}_{k}" for k in range(2, n_labels + 1) for name in ("label", "probability")]
    write_row(["path", "label", "probability", *extra])

    def write(path: str, prediction: "Prediction") -> None:
        write_row([path, *_columns(prediction, n_labels)])

    return write


def _predictions_as_json(stream: TextIO, top_k: int | None) -> WritePrediction:
    def write(path: str, prediction: "Prediction") -> None:
        print(json_text({"path": path} | prediction.to_dict(top_k)), file=stream)

    return write


def _columns(prediction: "Prediction", n_labels: int) -> list[str]:
    columns = [prediction.label, f"{prediction.probability:.4f}"]
    if n_labels == 1:
        return columns
    others = [item for item in prediction.probabilities.items() if item[0] != prediction.label]
    if prediction.label not in prediction.probabilities:
        others = others[1:]  # _uncertain_ is already there with the probability of the likeliest
    for label, probability in others[: n_labels - 1]:
        columns += [label, f"{probability:.4f}"]
    return columns


def _events_as_tsv(stream: TextIO) -> WriteEvent:
    return lambda path, event: _print_cells(stream, path, *_event_columns(event))


def _events_as_csv(stream: TextIO, raw: bool = False) -> WriteEvent:
    from speechcls.files import open_csv

    write_row = open_csv(stream, raw=raw)
    write_row(["path", "start_s", "end_s", "label", "probability"])

    def write(path: str, event: "Event") -> None:
        write_row([path, *_event_columns(event)])

    return write


def _events_as_jsonl(stream: TextIO) -> WriteEvent:
    def write(path: str, event: "Event") -> None:
        print(json_text({"path": path} | event.to_dict()), file=stream)

    return write


def _events_as_labels(stream: TextIO) -> WriteEvent:
    return lambda path, event: _print_cells(stream, *_event_columns(event)[:3])


def _events_as_srt(stream: TextIO) -> WriteEvent:
    import html  # late: it brings the names of all characters

    numbers = itertools.count(1)
    return lambda path, event: print(
        f"{next(numbers)}\n{_srt_time(event.start_s)} --> {_srt_time(event.end_s)}"
        f"\n{html.escape(escape(event.label), quote=False)}\n",  # players know tags of HTML
        file=stream,
    )


def _event_columns(event: "Event") -> list[str]:
    times = f"{event.start_s:.3f}", f"{event.end_s:.3f}"
    return [*times, event.label, f"{event.probability:.4f}"]


def _srt_time(seconds: float) -> str:
    whole, ms = divmod(round(1e3 * seconds), 1_000)
    return f"{whole // 3_600:02}:{whole // 60 % 60:02}:{whole % 60:02},{ms:03}"


def _live_as_tsv(stream: TextIO) -> WriteLive:
    return lambda event, reported_s: _print_cells(
        stream, f"{event.centre_s:.2f}", event.label, f"{event.probability:.4f}"
    )


def _live_as_json(stream: TextIO) -> WriteLive:
    def write(event: "Event", reported_s: float) -> None:
        line = {"time_s": round(event.centre_s, 3)} | event.to_dict()
        print(json_text(line | {"heard_s": round(reported_s, 3)}), file=stream)

    return write


PREDICTION_FORMATS: dict[str, Format[Callable[[TextIO, int | None], WritePrediction]]] = {
    "tsv": Format(_predictions_as_tsv),
    "csv": Format(
        _predictions_as_csv, "with a header", open_raw=partial(_predictions_as_csv, raw=True)
    ),
    "jsonl": Format(_predictions_as_json, "one JSON object per line"),
}
"""Path, label, probability; then further labels and theirs, of as many labels as asked for.

Without a number it is one label, in JSON all.
"""
EVENT_FORMATS: dict[str, Format[Callable[[TextIO], WriteEvent]]] = {
    "tsv": Format(_events_as_tsv),
    "csv": Format(_events_as_csv, open_raw=partial(_events_as_csv, raw=True)),
    "jsonl": Format(_events_as_jsonl, "one JSON object per line"),
    "audacity": Format(_events_as_labels, "a label track", single_recording=True),
    "srt": Format(_events_as_srt, "subtitles", single_recording=True),
}
"""Path, start and end in seconds, label, probability."""
LIVE_FORMATS: dict[str, Format[Callable[[TextIO], WriteLive]]] = {
    "tsv": Format(_live_as_tsv),
    "jsonl": Format(_live_as_json, "one JSON object per line"),
}
"""Seconds to the centre of the word, label, probability; in JSON more."""


def pack_outcome(outcome: "Prediction | SpeechclsError") -> dict[str, Any]:
    """Return a prediction, or why there is none, as JSON-ready values without any loss."""
    return {"error": str(outcome)} if isinstance(outcome, SpeechclsError) else vars(outcome)


def unpack_outcome(content: dict[str, Any]) -> "Prediction | SpeechclsError":
    """Return what ``pack_outcome`` made ``content`` of."""
    from speechcls.runtime.classifier import Prediction

    if "error" in content:
        return AudioError(content["error"])
    return Prediction(**content | {"notes": tuple(content["notes"])})
