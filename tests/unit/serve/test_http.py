"""Answers to requests: the same as the library's, and an error for whatever cannot be."""

import io
import json

import numpy as np
import pytest
from common_serve import LOW, MODELS, RATE, beeps, form, metric, post, request

from speechcls import Classifier, StreamingClassifier
from speechcls.audio.decode import read_clip

TINY = MODELS / "commands-tiny"


def expected_prediction(content, path="-", **options):
    prediction = Classifier.load(TINY, jobs=1).predict(io.BytesIO(content), **options)
    return {"path": path} | prediction.to_dict()


def expected_events(content, path="-", threshold=LOW, model=TINY):
    stream = StreamingClassifier.load(model, threshold)
    events = stream.feed(read_clip(io.BytesIO(content), RATE)) + stream.finish()
    return [{"path": path} | event.to_dict() for event in events]


@pytest.mark.parametrize("format", ["WAV", "FLAC", "MP3", "OGG"])
def test_a_recording_is_predicted(format, server, encoded):
    content = encoded(format)
    reply = post(server.port, "/v1/predict", content)
    assert (reply.status, reply.headers["content-type"]) == (200, "application/json")
    assert reply.json == expected_prediction(content)


def test_raw_samples_are_predicted_as_the_wav_of_them(server, encoded):
    content = encoded("WAV", seconds=0.5)
    samples = beeps(0, 0.5)
    expected = expected_prediction(content)
    assert post(server.port, "/v1/predict", samples.tobytes(), "audio/pcm;rate=16000").json == (
        expected
    )
    big = samples.astype(">i2").tobytes()
    assert post(server.port, "/v1/predict", big, "audio/L16;rate=16000").json == expected


def test_many_recordings_are_a_line_each_in_their_order(server, encoded):
    first, second = encoded("WAV", 1), encoded("FLAC", 2)
    body, kind = form(("b.wav", first, None), ("no.txt", b"a text", None), ("a.flac", second, None))
    reply = post(server.port, "/v1/predict", body, kind)
    assert (reply.status, reply.headers["content-type"]) == (200, "application/x-ndjson")
    assert reply.lines == [
        expected_prediction(first, "b.wav"),
        expected_prediction(second, "a.flac"),
        {
            "path": "no.txt",
            "error": "no.txt: text, not a recording; name a recording, or leave it out",
        },
    ]


def test_parameters_of_predict(server, encoded):
    content = encoded("WAV")
    reply = post(server.port, "/v1/predict?threshold=1&top_k=2&model=commands-tiny", content)
    expected = expected_prediction(content, threshold=1.0)
    assert reply.json["label"] == expected["label"] == "_uncertain_"
    assert list(reply.json["probabilities"].items()) == list(expected["probabilities"].items())[:2]


def test_words_are_detected(server, encoded):
    contents = encoded("WAV", 1), encoded("FLAC", 2)
    found = [post(server.port, f"/v1/detect?threshold={LOW}", each) for each in contents]
    assert {reply.headers["content-type"] for reply in found} == {"application/x-ndjson"}
    assert [reply.lines for reply in found] == [expected_events(each) for each in contents]
    assert all(reply.lines for reply in found)
    reply = post(server.port, f"/v1/detect?threshold={LOW}&model=commands-stream", contents[0])
    assert reply.lines == expected_events(contents[0], model=MODELS / "commands-stream")


def test_labels_to_detect(server, encoded):
    content = encoded("WAV", 1)
    every = {event["label"] for event in expected_events(content)}
    reply = post(server.port, f"/v1/detect?threshold={LOW}&labels={min(every)}", content)
    assert {event["label"] for event in reply.lines} == {min(every)}
    reply = post(server.port, "/v1/detect?labels=banana", content)
    assert reply.status == 400
    assert reply.json["error"].startswith("labels: the model has no label banana; it has yes, no")


def test_a_recording_without_words_is_an_empty_answer(server, encoded):
    reply = post(server.port, "/v1/detect?threshold=1", encoded("WAV"))
    assert (reply.status, reply.text) == (200, "")


def test_what_was_detected_before_a_recording_breaks_off_is_there(server, encoded):
    content = encoded("WAV", 1, seconds=4.0)
    reply = post(server.port, f"/v1/detect?threshold={LOW}", content[:-9_000])
    *events, last = reply.lines
    assert reply.status == 200
    assert events
    assert last["error"].startswith("body: truncated (")


@pytest.mark.parametrize("route", ["/v1/predict", "/v1/detect?threshold=0.02"])
def test_what_was_mended_is_in_a_header(route, server):
    frames = np.stack([beeps(0), np.zeros_like(beeps(0))], axis=1)
    reply = post(server.port, route, frames.tobytes(), "audio/pcm;channels=2")
    assert reply.status == 200
    assert json.loads(reply.headers["speechcls-notes"]) == [
        "body: channel 2 is empty; it is left out of the mean"
    ]


@pytest.mark.parametrize("route", ["/v1/predict", "/v1/detect"])
@pytest.mark.parametrize(
    ("body", "kind", "status", "error"),
    [
        (b"", None, 400, "body: is empty (0 bytes); send a recording"),
        (b"hello there", None, 422, "body: text, not a recording; name a recording, or leave it"),
        (b"hello there", "text/plain", 415, "body: text/plain is no recording; send its bytes as"),
        (b"\x80\x01\x02" * 99, None, 422, "body: not readable audio ("),
        (b"RIFF\0\0\0\0WAVEfmt ", None, 422, "body: "),
        (b"--b--", "multipart/form-data; boundary=b", 400, "body: a form without a file; add one"),
    ],
)
def test_what_is_no_recording_gets_a_clear_answer(route, body, kind, status, error, server):
    reply = post(server.port, route, body, kind)
    assert reply.status == status
    assert reply.json.keys() == {"error"}
    assert reply.json["error"].startswith(error)


@pytest.mark.parametrize(
    ("query", "status", "error"),
    [
        ("nonsense=1", 400, "parameter nonsense: unknown; there are model, threshold, "),
        ("threshold=2", 400, "threshold: 2 is not possible; it must be in 0 .. 1"),
        ("threshold=nan", 400, "threshold: nan is not possible; it must be in 0 .. 1"),
        ("threshold=x", 400, "threshold: x is not possible; it must be in 0 .. 1"),
        ("threshold=0.5&threshold=0.6", 400, "parameter threshold: given twice; give it once"),
        ("channel=0", 400, "channel: 0 is not possible; it must be 1 or more"),
        ("channel=9", 422, "body: has no channel 9; name one of 1 to 1"),
        ("model=nope", 404, "model nope: not served here; name one of commands-tiny, commands-st"),
        ("model=../commands", 404, "model ../commands: not served here; name one of commands-ti"),
    ],
)
def test_parameters_that_cannot_be(query, status, error, server, encoded):
    for route in ("/v1/predict", "/v1/detect"):
        reply = post(server.port, f"{route}?{query}", encoded("WAV"))
        assert (reply.status, reply.json["error"][: len(error)]) == (status, error)


def test_other_routes_and_methods(server):
    reply = request(server.port, "GET", "/nope/../../etc/passwd")
    assert reply.status == 404
    assert reply.json["error"].startswith("path: no such route; there are /, /health, /metrics, ")
    reply = request(server.port, "GET", "/v1/predict")
    assert (reply.status, reply.headers["allow"]) == (405, "POST")
    assert reply.json == {"error": "method: not possible here; use POST"}
    reply = request(server.port, "DELETE", "/v1/models")
    assert (reply.status, "GET" in reply.headers["allow"]) == (405, True)
    reply = request(server.port, "GET", "/v1/stream")
    assert (reply.status, reply.json["error"][:23]) == (426, "stream: is a WebSocket;")


def test_the_models_are_described_without_a_path(server):
    reply = request(server.port, "GET", "/v1/models")
    assert reply.status == 200
    tiny, live = reply.json["models"]
    assert (reply.json["default"], reply.json["default_live"]) == (tiny["name"], live["name"])
    assert (tiny["name"], live["name"]) == ("commands-tiny", "commands-stream")
    assert (tiny["sample_rate"], tiny["window_s"], tiny["is_causal"]) == (RATE, 1.0, False)
    assert (live["every_s"], live["is_causal"]) == (0.04, True)
    assert tiny["labels"][:2] == ["yes", "no"]
    assert set(tiny["thresholds"]) == set(tiny["labels"]) - {"_unknown_", "_silence_"}
    assert str(MODELS) not in reply.text


def test_health_and_metrics(server, encoded):
    assert request(server.port, "GET", "/health").json == {"status": "ok"}
    clips = metric(server.port, "speechcls_clips_total")
    good = 'speechcls_requests_total{route="/v1/predict",method="POST",status="200"}'
    before = metric(server.port, good)
    body, kind = form(("1.wav", encoded("WAV"), None), ("2.wav", encoded("WAV", 1), None))
    assert post(server.port, "/v1/predict", body, kind).status == 200
    assert metric(server.port, "speechcls_clips_total") == clips + 2
    assert metric(server.port, good) == before + 1
    reply = request(server.port, "GET", "/metrics")
    assert reply.headers["content-type"].startswith("text/plain; version=0.0.4")
    request(server.port, "BREW", "/strange")
    unknown = 'speechcls_requests_total{route="other",method="other",status="404"}'
    assert metric(server.port, unknown) == 1


def test_an_answer_is_not_kept_by_browsers(server):
    headers = request(server.port, "GET", "/v1/models").headers
    assert (headers["x-content-type-options"], headers["cache-control"]) == ("nosniff", "no-store")
    assert "server" not in headers
