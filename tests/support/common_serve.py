"""What the tests of the server share: one that runs, requests to it, and sound with events."""

import http.client
import json
import socket
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

MODELS = Path(__file__).parents[2] / "models"
RATE = 16_000
LOW = 0.02
"""A threshold that sound without words reaches too."""
END = '{"type": "end"}'


class Reply(NamedTuple):
    """An answer of the server."""

    status: int
    headers: dict
    text: str

    @property
    def json(self):
        return json.loads(self.text)

    @property
    def lines(self):
        return [json.loads(line) for line in self.text.splitlines()]


@contextmanager
def serving(
    *,
    token=None,
    origins=(),
    jobs=2,
    names=("commands-tiny", "commands-stream"),
    make_extra=None,
    **limits,
):
    """Yield a server that runs in a thread, on a free port, and the list of what it logs."""
    from speechcls.serve.models import ModelSet
    from speechcls.serve.server import Server
    from speechcls.serve.settings import ServeConfig

    logged = []
    models = ModelSet([(MODELS / name, "named") for name in names])
    settings = ServeConfig().replaced({"port": 0, "stop_s": 2.0, **limits})
    log = lambda text, error: logged.append(text)  # noqa: E731
    server = Server(models, settings, token, origins, jobs, log, make_extra)
    server.logged = logged
    server.start()
    try:
        yield server
    finally:
        server.stop()
        assert server.wait(20)


def request(port, method, path, body=None, headers=None):
    """Send one request on a connection of its own; return the answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    try:
        # Where it is refused before all of it was sent, the answer says why.
        with suppress(BrokenPipeError, ConnectionResetError):
            connection.request(method, path, body, headers or {})
        response = connection.getresponse()
        text = response.read().decode()
        return Reply(response.status, {k.lower(): v for k, v in response.getheaders()}, text)
    finally:
        connection.close()


def post(port, path, body, kind=None, **headers):
    """Send a body; return the answer."""
    headers = {**headers, **({"content-type": kind} if kind else {})}
    return request(port, "POST", path, body, headers)


def metric(port, name):
    """Return a number of ``/metrics``, by its name with labels."""
    lines = request(port, "GET", "/metrics").text.splitlines()
    return next((float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(name + " ")), 0)


def form(*parts, boundary="xyz"):
    """Return a form and its content type; each part is a name, bytes and a content type or None."""
    content = b""
    for name, body, kind in parts:
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="clip"; filename="{name}"\r\n'
        head += f"Content-Type: {kind}\r\n" if kind else ""
        content += head.encode() + b"\r\n" + body + b"\r\n"
    return content + f"--{boundary}--\r\n".encode(), f"multipart/form-data; boundary={boundary}"


def beeps(seed, seconds=2.0, rate=RATE):
    """Return int16 samples of tones that come and go, of pitches that the seed decides."""
    rng, n = np.random.default_rng(seed), round(seconds * rate)
    pitch_hz = np.repeat(rng.uniform(150, 3_000, round(seconds * 4) + 1), rate // 4)[:n]
    is_on = np.repeat(rng.uniform(0, 1, round(seconds * 8) + 1) > 0.4, rate // 8)[:n]
    sound = 8_000 * is_on * np.sin(2 * np.pi * np.cumsum(pitch_hz) / rate)
    return np.rint(sound).astype("<i2")


def stream(port, query="", **settings):
    """Return a stream, to be opened by ``with``."""
    settings = {"open_timeout": 30, "close_timeout": 10, "compression": None, **settings}
    return connect(f"ws://127.0.0.1:{port}/v1/stream?{query}", **settings)


def talk(socket, samples, n_frame=640):
    """Send samples in frames and the end; return the messages that come back."""
    data = samples.tobytes()
    size = n_frame * samples.dtype.itemsize
    for start in range(0, len(data), size):
        socket.send(data[start : start + size])
    socket.send(END)
    return [json.loads(message) for message in socket]


def messages_until_closed(socket):
    """Return the messages of a stream until it is closed, and the code of that."""
    found = []
    try:
        while True:
            found.append(json.loads(socket.recv(timeout=20)))
    except ConnectionClosed as closed:
        return found, closed.rcvd.code if closed.rcvd else None


UPGRADE = (
    b"GET /v1/stream?posteriors=1 HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\n"
    b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
"""What opens a stream, byte by byte."""


FRAME = b"\x82\xfe\x05\x00\0\0\0\0" + bytes(1_280)
"""A message of 40 ms of silence, under a mask of zeros."""


def open_raw(port):
    """Return a socket on which a stream is open."""
    connection = socket.create_connection(("127.0.0.1", port), timeout=20)
    connection.sendall(UPGRADE)
    answer = b""
    while not answer.endswith(b"\r\n\r\n"):
        answer += connection.recv(1)
    assert answer.startswith(b"HTTP/1.1 101 ")
    return connection


def raw(port, *pieces, timeout=20):
    """Send bytes as they are; return what comes back until the server closes."""
    with socket.create_connection(("127.0.0.1", port), timeout=timeout) as connection:
        for piece in pieces:
            connection.sendall(piece)
        answer = b""
        while piece := connection.recv(65_536):
            answer += piece
        return answer
