"""What is too large, too slow, too much or not allowed is refused, and nobody else is disturbed."""

import http.client
import socket
import threading
import time

import pytest
from common_serve import form, metric, post, raw, request, serving

from speechcls.errors import ConfigError
from speechcls.serve.work import Pool

TOKEN = "a-secret-of-the-tests"
HEAD = b"POST /v1/predict HTTP/1.1\r\nHost: 127.0.0.1\r\n"


@pytest.fixture(scope="module")
def small():
    """A server of tight limits."""
    limits = {"body_mb": 0.2, "held_mb": 0.3, "clips": 2, "clip_s": 3.0, "recording_s": 5.0}
    with serving(names=["commands-tiny"], request_s=1.0, connections=12, **limits) as running:
        yield running
        assert running.logged == []


def test_a_body_that_says_it_is_too_large_is_not_read(small):
    answer = raw(small.port, HEAD + b"Content-Length: 2000000000\r\n\r\n")
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 413 ")
    assert b"connection: close" in head.lower()
    assert body.startswith(b'{"error": "body: larger than 0.2 MB; send a shorter recording')


def test_a_body_that_does_not_say_so_is_read_no_further(small):
    def pieces():
        for _ in range(2_000):
            yield bytes(1_000_000)

    reply = request(small.port, "POST", "/v1/predict", pieces())  # http.client sends it in chunks
    assert (reply.status, reply.json["error"][:24]) == (413, "body: larger than 0.2 MB")
    assert request(small.port, "GET", "/health").status == 200


def test_a_body_that_comes_too_slowly_is_refused(small, encoded):
    began = time.monotonic()
    answer = raw(small.port, HEAD + b"Content-Length: 100\r\n\r\nabc")
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"body: did not arrive in 1 s; send it faster" in answer
    assert time.monotonic() - began > 0.9
    assert post(small.port, "/v1/predict", encoded("WAV")).status == 200


@pytest.mark.parametrize("beginning", [b"", b"POST /v1/pre", HEAD + b"A: b\r\n"])
def test_headers_that_do_not_come_are_not_waited_for(beginning, small):
    answer = raw(small.port, beginning)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"request: did not arrive in 1 s; send it faster" in answer


def test_a_second_request_on_a_connection_is_not_waited_for_either(small):
    ask = b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    answer = raw(small.port, ask + b"GET /hea")
    assert answer.count(b"HTTP/1.1 200 ") == 1
    assert answer.count(b"HTTP/1.1 408 ") == 1


def test_bodies_together_have_a_limit(small, encoded):
    sockets = []
    for _ in range(2):
        connection = socket.create_connection(("127.0.0.1", small.port), timeout=20)
        connection.sendall(HEAD + b"Content-Length: 190000\r\n\r\n" + bytes(140_000))
        sockets.append(connection)
    reply = _until(lambda: post(small.port, "/v1/predict", encoded("WAV")), 503)
    assert reply.json["error"] == "server: too many recordings at once; try again"
    assert reply.headers["retry-after"] == "1"
    for connection in sockets:
        connection.close()  # what they held is free again
    assert _until(lambda: post(small.port, "/v1/predict", encoded("WAV")), 200).status == 200


def _until(ask, status):
    """Ask until the answer has a status."""
    for _ in range(200):
        reply = ask()
        if reply.status == status:
            break
        time.sleep(0.02)
    return reply


def test_connections_have_a_limit(small):
    idle = [socket.create_connection(("127.0.0.1", small.port)) for _ in range(12)]
    answer = raw(small.port)
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert b"server: 12 connections are open; try again" in answer
    for connection in idle:
        connection.close()
    assert _until(lambda: request(small.port, "GET", "/health"), 200).status == 200


def test_recordings_have_a_limit(small, encoded):
    long = encoded("FLAC", seconds=4.0)
    reply = post(small.port, "/v1/predict", long)
    assert (reply.status, reply.json["error"]) == (
        422,
        "body: lasts more than 3 s; cut it into clips, or detect words in it",
    )
    assert post(small.port, "/v1/detect", long).status == 200
    reply = post(small.port, "/v1/detect?threshold=1", encoded("FLAC", seconds=6.0))
    assert (reply.status, reply.json["error"]) == (
        422,
        "body: lasts more than 5 s; send it in parts",
    )
    body, kind = form(*[("a.wav", b"x", None)] * 3)
    assert post(small.port, "/v1/predict", body, kind).status == 413


def test_a_client_may_ask_so_often_a_minute(encoded):
    with serving(names=["commands-tiny"], requests_per_minute=5) as server:
        replies = [request(server.port, "GET", "/health") for _ in range(7)]
    assert [reply.status for reply in replies[:5]] == [200] * 5
    assert replies[-1].status == 429
    assert 1 <= int(replies[-1].headers["retry-after"]) <= 12
    assert replies[-1].json["error"].startswith("requests: too many from this address; try again")


@pytest.fixture
def slow_work(monkeypatch):
    """Set when the first job has started; and what each job waits for, to be set."""
    started, may_go_on = threading.Event(), threading.Event()
    run = Pool.run

    async def run_slowly(self, request, job):
        def slow(stop):
            started.set()
            may_go_on.wait(20)
            return job(stop)

        return await run(self, request, slow)

    monkeypatch.setattr(Pool, "run", run_slowly)
    return started, may_go_on


def test_requests_that_would_wait_too_long_are_refused(encoded, slow_work):
    started, may_go_on = slow_work
    with serving(names=["commands-tiny"], waiting=1, jobs=1) as server:
        replies = []
        first = threading.Thread(
            target=lambda: replies.append(post(server.port, "/v1/predict", encoded("WAV")))
        )
        first.start()
        assert started.wait(20)
        reply = post(server.port, "/v1/predict", encoded("WAV"))
        assert (reply.status, reply.headers["retry-after"]) == (503, "1")
        assert reply.json["error"] == "server: too many requests at once; try again"
        assert request(server.port, "GET", "/health").status == 200
        may_go_on.set()
        first.join(20)
        assert replies[0].status == 200


def test_who_goes_away_is_not_worked_for(encoded, monkeypatch):
    started, ended = threading.Event(), []
    run = Pool.run

    async def run_until_stopped(self, request, job):
        def slow(stop):
            started.set()
            ended.append(stop.wait(20))
            return job(stop)

        return await run(self, request, slow)

    monkeypatch.setattr(Pool, "run", run_until_stopped)
    with serving(names=["commands-tiny"], jobs=1) as server:
        connection = http.client.HTTPConnection("127.0.0.1", server.port)
        connection.request("POST", "/v1/detect", encoded("WAV"))
        assert started.wait(20)
        connection.close()
        gone = 'speechcls_requests_total{route="/v1/detect",method="POST",status="499"}'
        for _ in range(400):
            if metric(server.port, gone):
                break
            time.sleep(0.02)
        assert metric(server.port, gone) == 1
        assert server.logged == []
    assert ended == [True]


def test_what_runs_is_finished_when_the_server_stops(encoded, slow_work):
    started, may_go_on = slow_work
    with serving(names=["commands-tiny"], stop_s=20.0) as server:
        replies = []
        asking = threading.Thread(
            target=lambda: replies.append(post(server.port, "/v1/predict", encoded("WAV")))
        )
        asking.start()
        with socket.create_connection(("127.0.0.1", server.port), timeout=20) as kept:
            kept.sendall(b"GET /hea")
            assert started.wait(20)
            server.stop()
            assert not server.wait(0.3)
            may_go_on.set()
            asking.join(20)
        assert server.wait(20)
    assert replies[0].status == 200


def test_what_is_no_http_gets_an_error_of_json(small):
    for nonsense in (b"\x16\x03\x01\x02\x00\x01\x00", b"GET / HTTP/1.1\r\nA b\r\n\r\n"):
        answer = raw(small.port, nonsense + b"\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 400 ")
        assert b'{"error": "request: not valid HTTP; mend the client"}' in answer
    answer = raw(small.port, HEAD + b"X: " + b"x" * 100_000)
    assert answer.startswith(b"HTTP/1.1 400 ")


def test_a_token_is_asked_for_everywhere_but_for_the_health():
    with serving(token=TOKEN, names=["commands-tiny"]) as server:
        assert request(server.port, "GET", "/health").status == 200
        for path in ("/v1/models", "/metrics", "/v1/openapi.json", "/nope"):
            reply = request(server.port, "GET", path)
            assert (reply.status, reply.headers["www-authenticate"]) == (401, "Bearer")
            assert reply.json["error"].startswith("token: missing or wrong; send it as the header")
        for wrong in (
            f"Bearer {TOKEN}x",
            f"Bearer {TOKEN[:-1]}",
            f"Basic {TOKEN}",
            TOKEN,
            "Bearer",
        ):
            headers = {"authorization": wrong}
            assert request(server.port, "GET", "/v1/models", headers=headers).status == 401
        headers = {"authorization": f"bearer {TOKEN}"}
        assert request(server.port, "GET", "/v1/models", headers=headers).status == 200


def test_names_that_lead_here_from_elsewhere_are_refused(server):
    for host in ("evil.example", "evil.example:80", "127.0.0.1.evil.example", ""):
        reply = request(server.port, "GET", "/v1/models", headers={"host": host})
        assert (reply.status, reply.json["error"][:5]) == (403, "host ")
    for host in ("localhost:1234", "127.0.0.1", "[::1]:80"):
        assert request(server.port, "GET", "/v1/models", headers={"host": host}).status == 200


def test_pages_elsewhere_may_not_ask_unless_they_are_named(server, encoded):
    page = {"origin": "https://app.example"}
    reply = post(server.port, "/v1/predict", encoded("WAV"), **page)
    assert (reply.status, reply.json["error"][:27]) == (403, "origin https://app.example:")
    assert "access-control-allow-origin" not in reply.headers
    own = {"origin": f"http://127.0.0.1:{server.port}"}
    assert post(server.port, "/v1/predict", encoded("WAV"), **own).status == 200
    with serving(names=["commands-tiny"], origins=["https://app.example"]) as other:
        reply = post(other.port, "/v1/predict", encoded("WAV"), **page)
        assert reply.status == 200
        assert reply.headers["access-control-allow-origin"] == "https://app.example"
        asked = {**page, "access-control-request-method": "POST"}
        reply = request(other.port, "OPTIONS", "/v1/predict", headers=asked)
        assert (reply.status, reply.headers["access-control-allow-origin"]) == (
            200,
            "https://app.example",
        )
        reply = post(other.port, "/v1/predict", b"", origin="https://other.example")
        assert reply.status == 403
        reply = post(other.port, "/v1/predict", b"", **page)  # errors can be read as well
        assert reply.status == 400
        assert reply.headers["access-control-allow-origin"] == "https://app.example"


def test_an_address_of_the_network_takes_a_token():
    with pytest.raises(ConfigError, match=r"0\.0\.0\.0 is reached from other machines") as raised:
        serving(host="0.0.0.0", names=["commands-tiny"]).__enter__()
    assert raised.value.field == "host"
    with pytest.raises(ConfigError, match="too short") as raised:
        serving(token="guess", names=["commands-tiny"]).__enter__()
    assert raised.value.field == "token"


def test_a_port_that_is_taken_is_said(server):
    with pytest.raises(ConfigError, match=f"{server.port} at 127.0.0.1: address already in use"):
        serving(port=server.port, names=["commands-tiny"]).__enter__()


def test_a_body_that_breaks_off_in_nonsense_is_one_refusal(small):
    """Once the answer to the nonsense is sent, what works on the request can send none."""
    chunked = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
    answer = raw(small.port, chunked + b"5\r\nhello\r\n", b"nonsense\r\n\r\n")
    assert answer.count(b"HTTP/1.1") == 1
    assert answer.startswith(b"HTTP/1.1 400 ")


def test_nonsense_behind_a_request_that_wants_no_body_is_refused(small):
    ask = b"HEAD /v1/models HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert raw(small.port, ask + b"nonsense\r\n\r\n").startswith(b"HTTP/1.1 ")


def test_nobody_is_sent_elsewhere(small):
    answer = raw(
        small.port, b"GET /v1/models/ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    )
    assert answer.startswith(b"HTTP/1.1 404 ")
    assert b"location" not in answer.lower()
