"""Lines of output, character by character."""

import csv
import io
import json

import pytest

from speechcls.errors import ConfigError
from speechcls.runtime.classifier import Prediction
from speechcls.runtime.detection import Event
from speechcls.runtime.writers import (
    EVENT_FORMATS,
    LIVE_FORMATS,
    PREDICTION_FORMATS,
    Format,
    choose_format,
    describe_formats,
)

YES = Prediction("yes", 0.91239, {"yes": 0.91239, "no": 0.08, "go": 0.00761})
UNSURE = Prediction("_uncertain_", 0.5, {"yes": 0.5, "no": 0.4, "go": 0.1})
NEGATIVE = Prediction("off", 0.4, {"on": 0.6, "off": 0.4})


def written(kind: str, top_k: int | None, *items: tuple[str, Prediction]) -> str:
    stream = io.StringIO()
    write = PREDICTION_FORMATS[kind].open(stream, top_k)
    for path, prediction in items:
        write(path, prediction)
    return stream.getvalue()


def test_tsv() -> None:
    assert written("tsv", None, ("a b.wav", YES)) == "a b.wav\tyes\t0.9124\n"


def test_tsv_with_more_labels() -> None:
    line = "a.wav\tyes\t0.9124\tno\t0.0800\tgo\t0.0076\n"
    assert written("tsv", 3, ("a.wav", YES)) == line
    assert written("tsv", 9, ("a.wav", YES)) == line


def test_tsv_keeps_one_line_a_clip_whatever_the_name() -> None:
    line = written("tsv", None, ("a\tb\nc\\d.wav", YES))
    assert line == "$'a\\tb\\nc\\\\d.wav'\tyes\t0.9124\n"
    assert written("tsv", None, (r"a\tb.wav", YES)) == "a\\tb.wav\tyes\t0.9124\n"


def test_uncertain_stands_for_the_likeliest_label() -> None:
    assert written("tsv", 2, ("a", UNSURE)) == "a\t_uncertain_\t0.5000\tno\t0.4000\n"


def test_a_label_chosen_by_threshold_comes_first() -> None:
    assert written("tsv", 2, ("a", NEGATIVE)) == "a\toff\t0.4000\ton\t0.6000\n"


def test_csv_is_read_back() -> None:
    text = written("csv", 2, ('a,"b"\n.wav', YES), ("é.wav", UNSURE))
    rows = list(csv.DictReader(io.StringIO(text)))
    assert rows[0] == {
        "path": 'a,"b"\n.wav',
        "label": "yes",
        "probability": "0.9124",
        "label_2": "no",
        "probability_2": "0.0800",
    }
    assert rows[1]["path"] == "é.wav"


@pytest.mark.parametrize(("top_k", "n_labels"), [(None, 3), (1, 1), (2, 2)])
def test_json_is_read_back(top_k: int | None, n_labels: int) -> None:
    line = written("jsonl", top_k, ("a\n\udcff.wav", YES))
    assert line.count("\n") == 1
    read = json.loads(line)
    assert (read["path"], read["label"], read["probability"]) == ("a\n\udcff.wav", "yes", 0.91239)
    assert list(read["probabilities"]) == ["yes", "no", "go"][:n_labels]


EVENT = Event(3_661.5, 3_662.0604, "yes", 0.91239)
EVENT_TEXTS = {
    "tsv": "a b.wav\t3661.500\t3662.060\tyes\t0.9124\n",
    "csv": "path,start_s,end_s,label,probability\na b.wav,3661.500,3662.060,yes,0.9124\n",
    "jsonl": '{"path": "a b.wav", "start_s": 3661.5, "end_s": 3662.06, "label": "yes",'
    ' "probability": 0.91239}\n',
    "audacity": "3661.500\t3662.060\tyes\n",
    "srt": "1\n01:01:01,500 --> 01:01:02,060\nyes\n\n",
}


@pytest.mark.parametrize("kind", EVENT_FORMATS)
def test_an_event_in_every_format(kind: str) -> None:
    stream = io.StringIO()
    EVENT_FORMATS[kind].open(stream)("a b.wav", EVENT)
    assert stream.getvalue() == EVENT_TEXTS[kind]


def test_subtitles_are_counted() -> None:
    stream = io.StringIO()
    write = EVENT_FORMATS["srt"].open(stream)
    write("a.wav", EVENT)
    write("a.wav", Event(0.0, 0.9996, "no", 0.9))
    assert stream.getvalue() == EVENT_TEXTS["srt"] + "2\n00:00:00,000 --> 00:00:01,000\nno\n\n"


@pytest.mark.parametrize(
    ("kind", "line"),
    [
        ("tsv", "3661.78\tyes\t0.9124\n"),
        (
            "jsonl",
            '{"time_s": 3661.78, "start_s": 3661.5, "end_s": 3662.06, "label": "yes",'
            ' "probability": 0.91239, "heard_s": 3662.3}\n',
        ),
    ],
)
def test_a_live_event_in_every_format(kind: str, line: str) -> None:
    stream = io.StringIO()
    LIVE_FORMATS[kind].open(stream)(EVENT, 3_662.30004)
    assert stream.getvalue() == line


def test_a_name_that_would_break_a_row_of_csv_is_read_back() -> None:
    stream = io.StringIO(newline="")
    EVENT_FORMATS["csv"].open(stream)("a\rb\nc,.wav", EVENT)
    assert list(csv.reader(io.StringIO(stream.getvalue(), newline="")))[1][0] == "a\rb\nc,.wav"


def test_an_unknown_format_is_refused_with_those_there_are() -> None:
    assert choose_format(EVENT_FORMATS, "srt").single_recording
    with pytest.raises(ConfigError) as error:
        choose_format(LIVE_FORMATS, "srt")
    assert str(error.value) == "format: no 'srt'; there are tsv, jsonl"


def test_help_is_made_of_the_formats() -> None:
    assert describe_formats(EVENT_FORMATS) == (
        "tsv, csv, jsonl (one JSON object per line), audacity (a label track) or srt (subtitles)"
    )
    assert describe_formats({"one": Format(print, "alone")}) == "one (alone)"


def test_results_as_json_values_by_hand() -> None:
    assert Prediction("yes", 0.9123456, {"yes": 0.9123456, "no": 0.0876544}).to_dict() == {
        "label": "yes",
        "probability": 0.912346,
        "probabilities": {"yes": 0.912346, "no": 0.087654},
    }
    assert UNSURE.to_dict(top_k=2) == {
        "label": "_uncertain_",
        "probability": 0.5,
        "probabilities": {"yes": 0.5, "no": 0.4},
    }
    assert Event(1.23456, 2.0, "yes", 0.9123456).to_dict() == {
        "start_s": 1.235,
        "end_s": 2.0,
        "label": "yes",
        "probability": 0.912346,
    }
