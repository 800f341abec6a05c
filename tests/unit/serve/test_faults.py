"""Faults of the server itself: they leak nothing, are logged, and end nobody else's work.

Each test has a server of its own, since what is logged is that of the process.
"""

import contextlib
import json
import threading
import time

import pytest
from common_serve import (
    FRAME,
    messages_until_closed,
    metric,
    open_raw,
    post,
    request,
    serving,
    stream,
)
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
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


def test_text_that_is_no_utf8_together_with_a_good_bye_is_no_fault_of_the_server():
    """``fuzz_serve`` found it."""
    with serving(names=("commands-tiny",)) as own:
        with open_raw(own.port) as socket:
            socket.sendall(b"\x81\x82\0\0\0\0\xff\xfe" + b"\x88\x82\0\0\0\0\x03\xe8")
            with contextlib.suppress(ConnectionResetError):
                while socket.recv(4_096):
                    pass
        assert own.logged == []


def test_a_message_that_is_none_while_there_is_something_to_send_is_no_fault(monkeypatch):
    """``fuzz_serve`` found it."""
    put, is_put, may_go_on = Live.put, threading.Event(), threading.Event()

    def wait(self, data, is_last):
        is_put.set()
        assert may_go_on.wait(20)
        put(self, data, is_last)

    fail = WebSocketsSansIOProtocol.handle_parser_exception

    def fail_slowly(self):
        """As where the client has not taken all yet: the connection is not closed at once."""
        close = self.transport.close
        self.transport.close = lambda: self.loop.call_later(0.5, close)
        fail(self)

    monkeypatch.setattr(WebSocketsSansIOProtocol, "handle_parser_exception", fail_slowly)
    with serving(names=("commands-tiny",)) as own:
        with open_raw(own.port) as socket:
            monkeypatch.setattr(Live, "put", wait)
            for _ in range(30):
                socket.sendall(FRAME)
            assert is_put.wait(20)
            socket.sendall(b"\x83\x80\0\0\0\0")  # of a kind that there is none of
            assert socket.recv(4)[2:] == b"\x03\xea"  # 1002
            may_go_on.set()
            with contextlib.suppress(ConnectionResetError):
                while socket.recv(4_096):
                    pass
        while metric(own.port, "speechcls_open_streams"):
            time.sleep(0.01)
    assert own.logged == []
