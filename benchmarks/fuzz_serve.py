"""Send mutated requests and streams to the server, and count what goes wrong.

Usage: python benchmarks/fuzz_serve.py [--requests 20000] [--seed 0] [--clients 8] [--save FOLDER]

Request number i, from ``--seed`` on, is always the same. Wrong are: an answer that is no HTTP, or
whose status is 500, or whose error is no object with ``error`` of one line, or that names a path of
this machine or a traceback; no answer at all within ``PATIENCE_S``; a line on the server's stderr;
and a server that does not answer a sound request as at first, in between and at the end, keeps a
stream open, takes more memory than ``MEMORY_MAX``, or does not end at SIGTERM with code 0. What was
sent is saved. The exit status is 1 if there is any.
"""

import argparse
import contextlib
import errno
import json
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from speechcls.audio.wav import wav_bytes

PATIENCE_S = 20.0
MEMORY_MAX = 1_500_000_000
"""Bytes that the server may have at its peak."""
_CHECK_EVERY = 200
_LIMITS = ("--requests-per-minute", "0", "--request-timeout", "2", "--max-body", "1")
_ROOT = re.escape(str(Path(__file__).parent.parent)).encode()
_LEAKS = re.compile(rb"Traceback|%b|/home/|/root/|site-packages|\.py\b" % _ROOT, re.I)
Rng = np.random.Generator
_PATHS = (
    *("/v1/predict", "/v1/detect", "/v1/stream", "/v1/models", "/health", "/metrics"),
    *("/v1/openapi.json", "/", "/v1/../../etc/passwd", "/v1/predict/", "//", "/%00", "/%ff%fe"),
)
_METHODS = ("GET", "POST", "PUT", "HEAD", "OPTIONS", "DELETE", "BREW", "PRI", "")
_TYPES = (
    *("audio/wav", "audio/pcm", "audio/pcm;rate=8000;channels=2", "audio/L16;rate=1", "text/plain"),
    *("audio/pcm;encoding=f32le", "multipart/form-data; boundary=b", "multipart/form-data", ";;;"),
    *(
        "multipart/form-data; boundary=",
        "application/octet-stream",
        "\u00e4",
        "audio/pcm;rate*0*=x",
    ),
)
_QUERIES = (
    *("model=commands-tiny", "model=../../x", "threshold=0.02", "threshold=1e999", "top_k=1"),
    *("top_k=99999999999999999999", "channel=1", "channel=-1", "labels=yes,no", "labels=%ff", "x"),
    *("rate=16000", "rate=768000", "encoding=f32le", "channels=2", "posteriors=1", "=&=&==", "%"),
)
_HEADERS = (
    *("Content-Length: -1", "Content-Length: 99999999999999999999", "Content-Length: x"),
    *("Transfer-Encoding: chunked", "Transfer-Encoding: gzip", "Expect: 100-continue", "A b"),
    *("Origin: null", "Origin: http://127.0.0.1", "Authorization: Bearer \u00e4", "Host: a", "X:"),
    *("Upgrade: websocket", "Upgrade: h2c", "Connection: close", "Content-Encoding: gzip"),
    *(
        "Sec-WebSocket-Protocol: speechcls, token.x",
        "Sec-WebSocket-Version: 99",
        "X: " + "x" * 40_000,
    ),
)
_UPGRADE = (
    "Upgrade: websocket",
    "Connection: Upgrade",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
)


def body_of(rng: Rng) -> bytes:
    """Return a body: a recording, a form, random bytes, whole or mutated."""
    samples = (0.1 * rng.standard_normal(int(rng.integers(0, 8_000)))).astype(np.float32)
    wav = wav_bytes(samples, 16_000)
    head = b'Content-Disposition: form-data; name="a"; filename="../../etc/passwd"'
    form = b"--b\r\n" + head + b"\r\n\r\n" + wav + b"\r\n--b--\r\n"
    kinds = [
        wav,
        form,
        rng.bytes(int(rng.integers(0, 4_000))),
        b"text, no sound",
        b"",
        b"--b\r\n" * 500,
    ]
    return mutate(rng, kinds[int(rng.integers(len(kinds)))])


def mutate(rng: Rng, content: bytes) -> bytes:
    """Return content as it is, cut, doubled, or with some bytes changed."""
    kind, changed = int(rng.integers(5)), bytearray(content)
    if kind == 0 and changed:
        for at in rng.integers(0, len(changed), int(rng.integers(1, 9))):
            changed[at] = int(rng.integers(256))
    elif kind == 1:
        del changed[int(rng.integers(0, len(changed) + 1)) :]
    elif kind == 2:
        changed += changed[: int(rng.integers(0, len(changed) + 1))]
    return bytes(changed)


def choose(rng: Rng, things: tuple[str, ...]) -> str:
    """Return one of some texts."""
    return things[int(rng.integers(len(things)))]


def request_of(rng: Rng) -> bytes:
    """Return a request of HTTP."""
    sound = rng.random() < 0.5
    method = "POST" if sound else choose(rng, _METHODS)
    path = choose(rng, _PATHS[:2] if sound else _PATHS)
    n_queries = int(rng.integers(0, 3)) if rng.random() < 0.5 else 0
    query = "&".join(choose(rng, _QUERIES) for _ in range(n_queries))
    body = body_of(rng)
    kind = choose(rng, _TYPES) if rng.random() < 0.6 else "application/octet-stream"
    headers = ["Host: 127.0.0.1", f"Content-Type: {kind}"]
    n_headers = int(rng.integers(0, 4)) if rng.random() < 0.4 else 0
    headers += [choose(rng, _HEADERS) for _ in range(n_headers)]
    headers += ["Connection: close"] if sound else []
    if rng.random() < 0.9:
        headers.append(f"Content-Length: {len(body)}")
    first = f"{method} {path}{'?' + query if query else ''} HTTP/1.1"
    head = "\r\n".join([first, *headers]).encode("utf-8") + b"\r\n\r\n"
    return (mutate(rng, head) if rng.random() < 0.2 else head) + body


def message_of(rng: Rng) -> bytes:
    """Return a message of a WebSocket, sound or not."""
    opcode = int(rng.choice([2, 2, 2, 1, 0, 8, 9, 10, 3, 15]))
    texts = (b'{"type": "end"}', b"{", b"\xff\xfe", b"[" * 5_000, b"null")
    content = rng.bytes(int(rng.integers(0, 4_000))) if opcode != 1 else texts[rng.integers(5)]
    content = content[:125] if opcode > 7 else content
    first = opcode | (0x80 if rng.random() < 0.9 else 0) | (0x70 & int(rng.choice([0, 0, 0, 0x40])))
    n, is_masked = len(content), rng.random() < 0.95
    claimed = n if rng.random() < 0.95 else int(rng.choice([2**16, 2**31, 2**63 - 1, 0]))
    mask = 0x80 if is_masked else 0
    size = (
        bytes([mask | n]) if n < 126 and claimed == n else struct.pack("!BQ", mask | 127, claimed)
    )
    return bytes([first]) + size + (b"\0\0\0\0" if is_masked else b"") + content


@contextlib.contextmanager
def _until_closed() -> Iterator[None]:
    """Leave the block where the server has closed the connection."""
    try:
        yield
    except OSError as error:
        if not isinstance(error, ConnectionError) and error.errno != errno.ENOTCONN:
            raise


def talk(port: int, pieces: list[bytes], is_stream: bool) -> bytes:
    """Send pieces on a connection; return all that comes back, until it ends or is silent."""
    answer = b""
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S) as connection:
        with _until_closed():
            for i, piece in enumerate(pieces):
                connection.sendall(piece)
                if is_stream and i == 0:
                    answer += connection.recv(65_536)
            connection.shutdown(socket.SHUT_WR)
        # What is refused may be closed before all of it was sent, and answered all the same.
        with _until_closed():
            while piece := connection.recv(65_536):
                answer += piece
    return answer


def fault_of(answer: bytes, is_stream: bool) -> str | None:
    """Return what is wrong with an answer; None where nothing is."""
    if _LEAKS.search(answer):
        return "names what it should not"
    if not answer:
        return None  # closed: the request was cut off
    match = re.match(rb"HTTP/1\.1 (\d{3}) ", answer)
    if match is None:
        return "no HTTP"
    status, body = int(match[1]), answer.partition(b"\r\n\r\n")[2]
    if status == 500 or (is_stream and b"\x03\xf3" in body[-64:]):  # 1011
        return "a fault of the server"
    if status < 400 or not body.startswith(b"{"):
        return None
    line = body.split(b"\n")[0]
    try:
        content = json.loads(line)
    except ValueError:
        return "an error that is no JSON"
    return None if isinstance(content.get("error"), str) else "an error without its text"


class Target:
    """A server in a process of its own."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "speechcls", "serve", "--port", "0", *_LIMITS]
        command += ["-m", "commands-tiny", "-m", "commands-stream"]
        self._process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        assert self._process.stderr is not None
        self.port, self.said = 0, list[str]()
        for line in self._process.stderr:
            if match := re.search(r"127\.0\.0\.1:(\d+)", line):
                self.port = int(match[1])
                break
        threading.Thread(target=self.said.extend, args=[self._process.stderr], daemon=True).start()
        times = np.arange(16_000, dtype=np.float32)
        self._sound = wav_bytes(np.float32(0.3) * np.sin(times / 9, dtype=np.float32), 16_000)
        self._expected = self._ask()

    def _ask(self) -> bytes:
        head = f"POST /v1/predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(self._sound)}"
        answer = talk(
            self.port, [f"{head}\r\nConnection: close\r\n\r\n".encode() + self._sound], False
        )
        return answer.partition(b"\r\n\r\n")[2]

    def check(self) -> str | None:
        """Return what is wrong with the server itself."""
        if self._process.poll() is not None:
            return f"it has ended with {self._process.returncode}"
        if self._ask() != self._expected:
            return "it answers a sound request otherwise than at first"
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        peak = re.search(r"VmHWM:\s+(\d+) kB", status)
        if peak and 1_024 * int(peak[1]) > MEMORY_MAX:
            return f"it took {int(peak[1]) / 1e6:.1f} GB"
        return self.said.pop() if self.said else None

    def kill(self) -> None:
        """End it whatever it does."""
        self._process.kill()
        self._process.wait()

    def end(self) -> str | None:
        """Stop it; return what is wrong with how it ended."""
        for _ in range(100):
            head = b"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
            if b"speechcls_open_streams 0" in talk(self.port, [head], False):
                break
            time.sleep(0.1)
        else:
            return "streams are left open"
        self._process.send_signal(signal.SIGTERM)
        code = self._process.wait(60)
        return f"it ended with {code}" if code else None


def attempt(rng: Rng, port: int) -> tuple[list[bytes], str | None, str]:
    """Send one input; return it, what went wrong, and its status."""
    is_stream = rng.random() < 0.3
    if is_stream:
        query = "&".join(choose(rng, _QUERIES) for _ in range(int(rng.integers(0, 2))))
        lines = [f"GET /v1/stream?{query} HTTP/1.1", "Host: 127.0.0.1", *_UPGRADE, "", ""]
        n_messages = int(rng.integers(0, 8))
        pieces = ["\r\n".join(lines).encode(), *(message_of(rng) for _ in range(n_messages))]
    else:
        pieces = [request_of(rng)]
    try:
        answer = talk(port, pieces, is_stream)
    except TimeoutError:
        return pieces, f"no end within {PATIENCE_S:g} s", "none"
    status = answer[9:12].decode("latin-1") if answer[:5] == b"HTTP/" else "closed"
    return pieces, fault_of(answer, is_stream), ("stream " if is_stream else "") + status


def run(
    n_requests: int,
    seed: int,
    save: Path | None,
    report: Callable[[str], None],
    n_clients: int = 8,
) -> int:
    """Return how many inputs went wrong."""
    target = Target()
    try:
        return _run(target, range(seed, seed + n_requests), save, report, n_clients)
    finally:
        target.kill()


def _run(
    target: Target,
    numbers: range,
    save: Path | None,
    report: Callable[[str], None],
    n_clients: int,
) -> int:
    statuses, n_wrong = Counter[str](), 0

    def tell(number: int, pieces: list[bytes], fault: str) -> None:
        nonlocal n_wrong
        n_wrong += 1
        report(f"request {number}: {fault}")
        if save is not None:
            save.mkdir(parents=True, exist_ok=True)
            (save / f"{number}.bin").write_bytes(b"\n-- next piece --\n".join(pieces))

    def try_one(number: int) -> tuple[list[bytes], str | None, str]:
        return attempt(np.random.default_rng(number), target.port)

    with ThreadPoolExecutor(n_clients) as pool:
        for number, (pieces, fault, status) in zip(
            numbers, pool.map(try_one, numbers), strict=True
        ):
            statuses[status] += 1
            if fault is None and number % _CHECK_EVERY == 0:
                fault = target.check()
            if fault is not None:
                tell(number, pieces, fault)
    for fault in (target.check(), target.end()):
        if fault is not None:
            tell(numbers.stop, [], fault)
    counts = ", ".join(f"{n} {status}" for status, n in statuses.most_common())
    report(f"{len(numbers)} requests, {n_wrong} wrong; answers: {counts}")
    return n_wrong


def main() -> None:
    """Fuzz the server, and exit with 1 if anything went wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--clients", type=int, default=8, help="at once")
    parser.add_argument("--save", type=Path)
    arguments = parser.parse_args()
    requests, seed, clients = arguments.requests, arguments.seed, arguments.clients
    sys.exit(bool(run(requests, seed, arguments.save, print, clients)))


if __name__ == "__main__":
    main()
