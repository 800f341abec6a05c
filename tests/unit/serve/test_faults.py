"""Faults of the server itself: they leak nothing, are logged, and end nobody else's work.

Each test has a server of its own, since what is logged is that of the process.
"""

import json

import pytest
from common_serve import messages_until_closed, post, request, serving, stream
from websockets.exceptions import InvalidStatus

from speechcls.errors import ArtifactError
from speechcls.serve.streams import Live

SECRET = "/home/ann/models/mine"


def test_an_error_that_nobody_foresaw(encoded, monkeypatch):
    def fail(*arguments):
        raise KeyError(SECRET)

    monkeypatch.setattr("speechcls.serve.app.read_recordings", fail)
    with serving(names=["commands-tiny"]) as server:
        reply = post(server.port, "/v1/predict", encoded("WAV"))
        assert (reply.status, SECRET in reply.text) == (500, False)
        assert reply.json["error"].startswith("server: internal error; whoever runs it finds why")
        assert request(server.port, "GET", "/health").status == 200
    assert server.logged == [f"internal error (KeyError: '{SECRET}'); report it"]


def test_a_model_that_cannot_be_run(encoded, monkeypatch):
    def fail(*arguments):
        raise ArtifactError(f"{SECRET}/model.onnx: cannot be run; copy it again")

    monkeypatch.setattr("speechcls.serve.app.predict", fail)
    with serving(names=["commands-tiny"]) as server:
        reply = post(server.port, "/v1/predict", encoded("WAV"))
        assert (reply.status, SECRET in reply.text) == (500, False)
        assert reply.json["error"].startswith("model: cannot be run; ")
    assert server.logged == [f"/v1/predict: {SECRET}/model.onnx: cannot be run; copy it again"]


def test_too_little_memory(encoded, monkeypatch):
    def fail(*arguments):
        raise MemoryError

    monkeypatch.setattr("speechcls.serve.app.predict", fail)
    with serving(names=["commands-tiny"]) as server:
        reply = post(server.port, "/v1/predict", encoded("WAV"))
        assert (reply.status, reply.headers["retry-after"]) == (503, "10")
    assert server.logged == []


@pytest.mark.parametrize("error", [KeyError(SECRET), ArtifactError(f"{SECRET}: damaged")])
def test_a_stream_that_fails_ends_with_a_code_and_no_other_one_does(error, monkeypatch):
    put = Live.put

    def fail(self, data, is_last):
        if data.startswith(b"fail"):
            raise error
        return put(self, data, is_last)

    monkeypatch.setattr(Live, "put", fail)
    with (
        serving(names=["commands-stream"]) as server,
        stream(server.port) as other,
        stream(server.port) as socket,
    ):
        socket.send(b"fail" * 1_000)
        messages, code = messages_until_closed(socket)
        assert (SECRET in json.dumps(messages), code) == (False, 1011)
        other.send(bytes(64_000))
        other.send('{"type": "end"}')
        assert messages_until_closed(other) == ([], 1000)
    [line] = server.logged
    assert SECRET in line


def test_a_model_that_predates_streaming(encoded, monkeypatch):
    with serving(names=["commands-tiny"]) as server:
        models = server._service.models  # what a model without stream.onnx comes to
        monkeypatch.setattr(models.default, "_stream", None)
        reply = post(server.port, "/v1/detect", encoded("WAV"))
        expected = "model commands-tiny: it predates streaming; train it again"
        assert (reply.status, reply.json["error"]) == (422, expected)
        with pytest.raises(InvalidStatus) as raised, stream(server.port):
            pass
        assert json.loads(raised.value.response.body) == {"error": expected}
        assert request(server.port, "GET", "/v1/models").json["models"][0]["every_s"] is None
        assert post(server.port, "/v1/predict", encoded("WAV")).status == 200
