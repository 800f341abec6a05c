"""Streams: the events of the library, for many clients at once, and what ends one of them."""

import asyncio
import contextlib
import json
import socket as sockets
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from common_serve import (
    END,
    FRAME,
    LOW,
    MODELS,
    RATE,
    UPGRADE,
    beeps,
    messages_until_closed,
    metric,
    open_raw,
    post,
    raw,
    request,
    serving,
    stream,
    talk,
)
from pytest import approx
from websockets.exceptions import ConnectionClosed, InvalidStatus

from speechcls import StreamingClassifier
from speechcls.audio.wav import SampleFormat
from speechcls.serve.streams import Live, Stream, feed_together
from speechcls.serve.work import Batches

TOKEN = "a-secret-of-the-tests"


def expected(samples, rate=RATE, model="commands-stream", **options):
    """What the library detects in a stream, as listen does."""
    options = {"threshold": LOW, "eager": True, "sample_rate": rate, **options}
    classifier = StreamingClassifier.load(MODELS / model, **options)
    events = classifier.feed(samples) + classifier.finish()
    lines = [{"time_s": round(event.centre_s, 3)} | event.to_dict() for event in events]
    # Windows that are run with others differ in the last bits.
    return [line | {"probability": approx(line["probability"], abs=1e-5)} for line in lines]


def events_of(messages):
    """The events, without the time at which each was known, which the machine decides."""
    assert all(0 <= message["heard_s"] <= 60 for message in messages)
    return [{k: v for k, v in message.items() if k != "heard_s"} for message in messages]


def refusal(port, query="", **settings):
    with pytest.raises(InvalidStatus) as raised, stream(port, query, **settings):
        pass
    response = raised.value.response
    return response.status_code, json.loads(response.body)["error"]


@pytest.mark.parametrize("n_frame", [1, 320, 1_600, 20_000])
def test_a_stream_gets_the_events_of_the_library(n_frame, server):
    samples = beeps(1, 1.0 if n_frame == 1 else 3.0)
    with stream(server.port, f"threshold={LOW}") as socket:
        messages = talk(socket, samples, n_frame)
    assert events_of(messages) == expected(samples)
    assert n_frame == 1 or messages
    assert socket.close_code == 1000


def test_a_model_of_windows_has_streams_too(server):
    samples = beeps(1, 3.0)
    with stream(server.port, f"threshold={LOW}&model=commands-tiny&labels=up,left") as socket:
        found = events_of(talk(socket, samples))
    assert found == expected(samples, model="commands-tiny", labels=["up", "left"])
    assert found


@pytest.mark.parametrize(
    ("query", "convert"),
    [
        ("rate=44100", lambda samples: samples),
        ("rate=8000&encoding=f32le", lambda samples: (samples / 32_768).astype("<f4")),
    ],
)
def test_other_rates_and_encodings(query, convert, server):
    rate = int(query.partition("=")[2].partition("&")[0])
    samples = convert(beeps(1, 3.0, rate))
    with stream(server.port, f"threshold={LOW}&{query}") as socket:
        assert events_of(talk(socket, samples, 777)) == expected(samples, rate)


def test_channels_are_mixed_or_chosen(server):
    left = beeps(1, 3.0)
    frames = np.stack([left, np.zeros_like(left)], axis=1)
    query = f"threshold={LOW}&channels=2"
    with stream(server.port, query) as socket:
        messages = talk(socket, frames.reshape(-1), 999)
    note = {"warning": "channel 2 is empty; it is left out of the mean"}
    assert messages.count(note) == 1
    assert events_of([each for each in messages if each != note]) == expected(left)
    with stream(server.port, f"{query}&channel=1") as socket:
        assert events_of(talk(socket, frames.reshape(-1), 999)) == expected(left)


def test_events_come_while_the_stream_goes_on(server):
    samples = beeps(1, 3.0)
    first, *_ = expected(samples)
    with stream(server.port, f"threshold={LOW}") as socket:
        socket.send(samples.tobytes())  # and no end
        message = json.loads(socket.recv(timeout=20))
        assert events_of([message]) == [first]
        assert message["heard_s"] <= 3.0


def test_the_latest_probabilities_are_sent_where_they_are_asked_for(server):
    samples = beeps(1, 1.0)
    with stream(server.port, "threshold=1&posteriors=1") as socket:
        socket.send(samples[:639].tobytes())  # a sample less than a step
        with pytest.raises(TimeoutError):
            socket.recv(timeout=0.3)
        socket.send(samples[639:].tobytes())
        socket.send(END)
        messages, _ = messages_until_closed(socket)
    assert messages[-1]["heard_s"] == 1.0
    classifier = StreamingClassifier.load(MODELS / "commands-stream")
    classifier.feed(samples)
    classifier.finish()
    shown = dict(zip(classifier.artifact.labels, classifier.posterior.tolist(), strict=True))
    assert messages[-1]["probabilities"] == approx(shown, abs=1e-5)


def test_twenty_streams_at_once_get_the_events_of_each_alone(server):
    sounds = [beeps(seed, 3.0) for seed in range(20)]
    alone = [expected(samples) for samples in sounds]
    opened = threading.Barrier(20)

    def run(samples):
        with stream(server.port, f"threshold={LOW}") as socket:
            opened.wait(60)
            return events_of(talk(socket, samples))

    with ThreadPoolExecutor(20) as pool:
        together = list(pool.map(run, sounds))
    assert together == alone
    assert sum(map(len, alone)) > 20
    assert metric(server.port, "speechcls_open_streams") == 0


def test_streams_that_share_runs_have_settings_and_faults_of_their_own(server):
    """Others at the same time send what is no sound, are dropped, and end within a step."""
    queries = {
        f"threshold={LOW}": {},
        "threshold=0.3&labels=yes,no": {"threshold": 0.3, "labels": ["yes", "no"]},
        f"threshold={LOW}&labels=stop": {"labels": ["stop"]},
        "threshold=1": {"threshold": 1.0},
    }
    samples = [beeps(seed, 3.0) for seed in range(len(queries))]
    opened = threading.Barrier(len(queries) + 3)

    def run(query, samples, n_frame):
        with stream(server.port, query) as socket:
            opened.wait(60)
            return events_of(talk(socket, samples, n_frame))

    def send_no_sound():
        with stream(server.port, "encoding=f32le") as socket:
            opened.wait(60)
            socket.send(np.zeros(3_200, np.float32).tobytes())
            socket.send(np.float32([np.nan] * 640).tobytes())
            return messages_until_closed(socket)[1]

    def drop():
        with open_raw(server.port) as socket:
            opened.wait(60)
            socket.sendall(FRAME * 9)

    def end_within_a_step():
        with stream(server.port) as socket:
            opened.wait(60)
            socket.send(bytes(2 * 700))
            socket.send(END)
            return messages_until_closed(socket)[1]

    with ThreadPoolExecutor(len(queries) + 3) as pool:
        runs = [
            pool.submit(run, query, each, n_frame)
            for query, each, n_frame in zip(queries, samples, (640, 100, 1_600, 7_001), strict=True)
        ]
        others = [pool.submit(each) for each in (send_no_sound, drop, end_within_a_step)]
        found = [each.result() for each in runs]
        assert [each.result() for each in others] == [1003, None, 1000]
    alone = [expected(each, **own) for each, own in zip(samples, queries.values(), strict=True)]
    assert found == alone
    assert sum(map(bool, alone)) >= 2


def test_a_socket_that_is_dropped_leaves_nothing_behind(server, encoded):
    before = metric(server.port, "speechcls_streams_total")
    for _ in range(5):
        with open_raw(server.port) as socket:
            socket.sendall(FRAME)  # and no good-bye
    for _ in range(400):
        if not metric(server.port, "speechcls_open_streams"):
            break
        time.sleep(0.02)
    assert metric(server.port, "speechcls_open_streams") == 0
    assert metric(server.port, "speechcls_streams_total") == before + 5
    assert post(server.port, "/v1/predict", encoded("WAV")).status == 200


@pytest.mark.parametrize(
    ("send", "code", "error"),
    [
        ("hello", 1003, 'stream: a text message that is not {"type": "end"}; send samples'),
        ("[" * 100_000, 1003, "stream: a text message that is not"),
        ('{"type": "start"}', 1003, "stream: a text message that is not"),
        (np.float32([np.nan] * 999).tobytes(), 1003, "stream: array: NaN or infinite samples"),
    ],
)
def test_what_is_no_sound_ends_a_stream_with_an_error(send, code, error, server):
    with stream(server.port, "encoding=f32le") as socket:
        socket.send(send)
        messages, found = messages_until_closed(socket)
    [message] = messages
    assert (found, message.keys()) == (code, {"error"})
    assert message["error"].startswith(error)


def test_text_that_is_no_utf8_ends_a_stream(server):
    with open_raw(server.port) as socket:
        socket.sendall(b"\x81\x82\0\0\0\0\xff\xfe")
        assert socket.recv(4)[2:] == b"\x03\xef"  # 1007


def test_a_sample_that_is_cut_is_said(server):
    with stream(server.port) as socket:
        socket.send(bytes(3_201))
        socket.send(END)
        assert messages_until_closed(socket) == (
            [{"warning": "the stream ended within a sample; check encoding"}],
            1000,
        )


def test_a_message_that_is_too_large_ends_only_its_stream(server):
    with stream(server.port) as other, stream(server.port) as socket:
        with pytest.raises(ConnectionClosed):
            socket.send(bytes(600_000))
            socket.recv(timeout=20)
        assert socket.close_code == 1009
        assert events_of(talk(other, beeps(1, 0.5))) == []


@pytest.mark.parametrize(
    ("query", "status", "error"),
    [
        ("rate=1", 400, "rate: 1 is not possible; it must be 1000 to 768000"),
        ("channels=17", 400, "channels: 17 is not possible; it must be 1 to 16"),
        ("channel=2", 400, "channel: there is no 2; name one of 1 to channels"),
        ("encoding=mp3", 400, "encoding: no mp3; there are s16le, f32le"),
        ("posteriors=2", 400, "posteriors: 2 is not possible; it must be 0 or 1"),
        ("labels=banana", 400, "labels: the model has no label banana; it has yes"),
        ("threshold=7", 400, "threshold: 7 is not possible; it must be in 0 .. 1"),
        ("thresholds=yes", 400, "thresholds: must be probabilities by label, as "),
        ("thresholds=[1]", 400, "thresholds: must be probabilities by label, as "),
        ('thresholds={"yes":7}', 400, "thresholds: must be probabilities by label, as "),
        ('thresholds={"yes":1}&threshold=1', 400, "thresholds: not beside threshold"),
        ('thresholds={"banana":1}', 400, "labels: the model has no label banana; it has yes"),
        ("speed=2", 400, "parameter speed: unknown; there are model, threshold, labels"),
        ("model=nope", 404, "model nope: not served here; name one of commands-tiny"),
    ],
)
def test_streams_that_cannot_be_are_refused_before_they_open(query, status, error, server):
    found, text = refusal(server.port, query)
    assert (found, text[: len(error)]) == (status, error)
    assert metric(server.port, "speechcls_open_streams") == 0


def test_pages_elsewhere_have_no_stream(server):
    status, text = refusal(server.port, additional_headers={"Origin": "https://evil.example"})
    assert (status, text[:30]) == (403, "origin https://evil.example: m")
    own = {"Origin": f"http://127.0.0.1:{server.port}"}
    with stream(server.port, additional_headers=own) as socket:
        assert talk(socket, beeps(0, 0.1)) == []


def test_other_paths_have_no_stream(server):
    answer = raw(server.port, UPGRADE.replace(b"/v1/stream?posteriors=1", b"/v1/predict"))
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 404 ")
    assert json.loads(body)["error"].startswith("path: no stream here; connect to /v1/stream")


def test_who_sends_sound_before_the_answer_is_dropped(server):
    for _ in range(3):
        with sockets.create_connection(("127.0.0.1", server.port), timeout=20) as early:
            early.sendall(UPGRADE)
            with contextlib.suppress(ConnectionResetError, BrokenPipeError):
                early.sendall(FRAME * 50)
                early.recv(1)
    assert request(server.port, "GET", "/health").status == 200


def test_streams_at_once_have_a_limit_and_idle_ones_end():
    with serving(names=["commands-stream"], streams=2, stream_idle_s=1.0) as server:
        with stream(server.port) as first, stream(server.port):
            status, text = refusal(server.port)
            assert (status, text) == (503, "streams: 2 are open; try again")
            messages, code = messages_until_closed(first)
        assert messages == [{"error": "stream: no message for 1 s; open another one"}]
        assert code == 1008
        with stream(server.port) as socket:
            assert talk(socket, beeps(0, 0.1)) == []


def test_a_token_comes_as_a_header_or_a_subprotocol():
    with serving(token=TOKEN, names=["commands-stream"]) as server:
        status, text = refusal(server.port)
        assert (status, "or offer the subprotocols speechcls and token.TOKEN" in text) == (
            401,
            True,
        )
        assert refusal(server.port, subprotocols=["speechcls", f"token.{TOKEN}x"])[0] == 401
        headers = {"Authorization": f"Bearer {TOKEN}"}
        with stream(server.port, additional_headers=headers) as socket:
            assert talk(socket, beeps(0, 0.1)) == []
        with stream(server.port, subprotocols=["speechcls", f"token.{TOKEN}"]) as socket:
            assert socket.subprotocol == "speechcls"
            assert talk(socket, beeps(0, 0.1)) == []


def test_when_the_server_stops_streams_get_what_is_left_and_1001():
    samples = beeps(1, 3.0)
    with serving(names=["commands-stream"]) as server:
        with stream(server.port, f"threshold={LOW}&posteriors=1") as socket:
            socket.send(samples.tobytes())
            while json.loads(socket.recv(timeout=20)).get("heard_s") != 3.0:
                pass
            server.stop()
            messages, code = messages_until_closed(socket)
        assert code == 1001
        assert "probabilities" in messages[-1]  # of the end that was flushed
        assert server.wait(10)


class Unread:
    """A socket of a client that sends as fast as it can, and takes nothing."""

    def __init__(self, n_max):
        self.n_read, self._n_max = 0, n_max

    async def receive(self):
        await asyncio.sleep(0)
        self.n_read += 1
        assert self.n_read < self._n_max
        return {"type": "websocket.receive", "bytes": bytes(1_280)}

    async def send_text(self, text):
        await asyncio.Event().wait()

    async def close(self, code):
        pass


def test_a_client_that_takes_nothing_is_read_no_further():
    format = SampleFormat("PCM_16", 1, RATE, 2, None)
    classifier = StreamingClassifier.load(MODELS / "commands-stream")

    async def run():
        socket, pool = Unread(n_max=1_000), ThreadPoolExecutor(1)
        batches = Batches(pool, 1, feed_together)
        live = Live(classifier, format, None, with_posteriors=True)
        task = asyncio.create_task(Stream(socket, live, batches, format, 0.04, 60).serve())
        n_before = -1
        while n_before != socket.n_read:
            n_before = socket.n_read
            await asyncio.sleep(0.3)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        pool.shutdown()
        return n_before

    n_messages = asyncio.run(run())
    assert 50 <= n_messages <= 80  # 2 s wait, and up to 1 s was worked on
