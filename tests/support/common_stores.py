"""Stores for tests: moto's S3, and a web server that misbehaves as it is told."""

import email.utils
import threading
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

BUCKET = "clips"
FAST = {
    "SPEECHCLS_REMOTE_ATTEMPTS": "3",
    "SPEECHCLS_REMOTE_FIRST_WAIT_S": "0.01",
    "SPEECHCLS_REMOTE_CONNECT_TIMEOUT_S": "2",
    "SPEECHCLS_REMOTE_READ_TIMEOUT_S": "0.7",
    "NO_PROXY": "127.0.0.1",
}
"""Limits short enough to run into."""


@contextmanager
def s3_server() -> Iterator[dict[str, str]]:
    """Yield the environment in which S3 is a server of this machine."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        url = f"http://{host}:{port}"
        # All servers of a process have the same buckets.
        with urllib.request.urlopen(f"{url}/moto-api/reset", data=b""):
            pass
        yield FAST | {
            "AWS_ENDPOINT_URL": url,
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing-secret",
            "AWS_DEFAULT_REGION": "us-east-1",
        }
    finally:
        server.stop()


class BadServer(ThreadingHTTPServer):
    """Serves ``files``; a path misbehaves as its entries in ``faults`` say, one a request.

    Faults: ``cut`` closes in the middle, ``stall`` stops in the middle, ``short`` sends fewer bytes
    than ``HEAD`` says, a number is an answer of HTTP, with the header Retry-After of 0 seconds.
    """

    daemon_threads = True

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.faults: dict[str, list[str]] = {}
        self.requests: Counter[str] = Counter()
        """Of each path, how often its content was asked for."""
        self.ended = threading.Event()
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def url(self) -> str:
        """The address of the server."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Pass over clients that went away: that is what is tested."""


class _Handler(BaseHTTPRequestHandler):
    server: BadServer

    def do_HEAD(self) -> None:
        self._answer(is_head=True)

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        self.server.requests[path] += 1
        self._answer(is_head=False)

    def _answer(self, is_head: bool) -> None:
        path = self.path.partition("?")[0]
        content = self.server.files.get(path)
        pending = self.server.faults.get(path, [])
        fault = pending.pop(0) if pending and not is_head else ""
        if fault.isdecimal() or content is None:
            self.send_response(int(fault or 404))
            self.send_header("Retry-After", "0")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        half = content[: len(content) // 2]
        self.send_response(200)
        self.send_header("Content-Length", str(len(half if fault == "short" else content)))
        self.send_header("ETag", f'"{hash(content)}"')
        self.send_header("Last-Modified", email.utils.formatdate(1_700_000_000, usegmt=True))
        self.end_headers()
        if is_head:
            return
        self.wfile.write(half if fault else content)
        if fault == "stall":
            self.wfile.flush()
            self.server.ended.wait(20)
        self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@contextmanager
def bad_server() -> Iterator[BadServer]:
    """Yield a web server that misbehaves."""
    server = BadServer()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server
    finally:
        server.ended.set()
        server.shutdown()
        thread.join()
        server.server_close()


def free_port() -> int:
    """Return a port on which nothing answers."""
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
