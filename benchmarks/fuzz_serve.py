"""Send mutated requests and streams to the server and its page, and count what goes wrong.

Usage: python benchmarks/fuzz_serve.py [--requests 20000] [--seed 0] [--clients 8] [--save FOLDER]

Request number i, from ``--seed`` on, is always the same; the odd ones are to the page of a folder
of recordings. Wrong are: an answer that is no HTTP, or whose status is 500, or whose error is no
object with ``error`` of one line, or that names a path of this machine or a traceback, or holds
what lies outside the folder; no answer at all within ``PATIENCE_S``; a line on the server's stderr;
anything outside the folders of recordings and models that was written, changed, removed or read;
and a server that does not answer a sound request as at first, in between and at the end, keeps a
stream, a file, a thread or a process open, takes more memory than ``MEMORY_MAX``, leaves a
temporary file, or does not end at SIGTERM with code 0. What was sent is saved. The exit status is 1
if there is any.
"""

import argparse
import contextlib
import errno
import json
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from fuzz_requests import Input, input_of
from fuzz_studio import (
    DATA,
    MODELS,
    OWN_MODEL,
    RATE,
    SOUND_WORD,
    Sandbox,
    has_secret,
    page_input_of,
)

from speechcls.audio.wav import wav_bytes

PATIENCE_S, SLOW_PATIENCE_S = 20.0, 600.0
MEMORY_MAX = 1_500_000_000
"""Bytes that the server may have at its peak."""
_CHECK_EVERY = 200
_SPARE = 12
"""Open files and threads that the server may have more than at first."""
_PREFIX = "speechcls-fuzz-"
_LIMITS = (
    *("--requests-per-minute", "0", "--request-timeout", "1", "--max-body", "1"),
    *("--stream-timeout", "1"),
)
_ROOT = re.escape(str(Path(__file__).parent.parent)).encode()
_LEAKS = re.compile(
    rb"Traceback|%b|%b|/home/|/root/|site-packages|\.py\", line" % (_ROOT, _PREFIX.encode()), re.I
)


@contextlib.contextmanager
def _until_closed() -> Iterator[None]:
    """Leave the block where the server has closed the connection."""
    try:
        yield
    except OSError as error:
        if not isinstance(error, ConnectionError) and error.errno != errno.ENOTCONN:
            raise


def get(target: str) -> bytes:
    """Return a sound request."""
    return f"GET {target} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode()


def post(target: str, body: bytes) -> bytes:
    """Return a sound request with a body."""
    head = f"POST {target} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(body)}\r\n"
    return f"{head}Connection: close\r\n\r\n".encode() + body


def talk(port: int, sent: Input) -> bytes:
    """Send pieces on a connection; return all that comes back, until it ends or is silent."""
    answer, patience_s = b"", SLOW_PATIENCE_S if sent.is_slow else PATIENCE_S
    with socket.create_connection(("127.0.0.1", port), timeout=patience_s) as connection:
        with _until_closed():
            for i, piece in enumerate(sent.pieces):
                connection.sendall(piece)
                if sent.is_stream and i == 0:
                    answer += connection.recv(65_536)
            # The server takes a client that ends what it sends as gone, and does not answer.
            if sent.leaves:
                time.sleep(0.05)
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
    if has_secret(answer):
        return "holds what lies outside the folder"
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
    """A server in a process of its own, with a page.

    Parameters
    ----------
    root : an empty folder for all that it may write, and what it may not
    """

    def __init__(self, root: Path) -> None:
        self._sandbox = Sandbox(root)
        command = [sys.executable, "-m", "speechcls", "serve", "--port", "0", *_LIMITS]
        command += ["-m", "commands-tiny", "-m", "commands-stream"]
        command += ["-m", f"{MODELS}/{OWN_MODEL}", "--studio", DATA]
        self._process = subprocess.Popen(
            command,
            stderr=subprocess.PIPE,
            text=True,
            cwd=self._sandbox.work,
            env=self._sandbox.environment,
        )
        assert self._process.stderr is not None
        self.port, self.said = 0, list[str]()
        for line in self._process.stderr:
            if match := re.search(r"listening at .*127\.0\.0\.1:(\d+)", line):
                self.port = int(match[1])
                break
        threading.Thread(target=self.said.extend, args=[self._process.stderr], daemon=True).start()
        times = np.arange(RATE, dtype=np.float32)
        self._sound = wav_bytes(np.float32(0.3) * np.sin(times / 9, dtype=np.float32), RATE)
        talk(self.port, Input([post(f"/studio/words?word={SOUND_WORD}", b"")]))
        target = f"/studio/import?word={SOUND_WORD}&speaker=me&name=a.wav"
        talk(self.port, Input([post(target, self._sound)]))
        self._expected = self._ask()
        assert b'"label": ' in self._expected[0] and self._expected[1][:4] == b"RIFF"
        self._held = self._count()

    def _ask(self) -> list[bytes]:
        asked = [
            post("/v1/predict", self._sound),
            get(f"/studio/take?word={SOUND_WORD}&take=me_nohash_0.wav"),
        ]
        return [talk(self.port, Input([one])).partition(b"\r\n\r\n")[2] for one in asked]

    def _count(self) -> dict[str, int]:
        """Return what the process holds."""
        place = Path(f"/proc/{self._process.pid}")
        children = (place / "task" / str(self._process.pid) / "children").read_text()
        held = {"files": len([*(place / "fd").iterdir()])}
        held["threads"] = len([*(place / "task").iterdir()])
        return {**held, "processes": len(children.split())}

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
        return self.said.pop() if self.said else self._sandbox.fault()

    def kill(self) -> None:
        """End it whatever it does."""
        self._process.kill()
        self._process.wait()

    def end(self) -> str | None:
        """Stop it; return what is wrong with how it ended."""
        talk(self.port, Input([post("/studio/training/stop", b"")]))
        for _ in range(600):
            has_streams = b"speechcls_open_streams 0" not in talk(
                self.port, Input([get("/metrics")])
            )
            held = self._count()
            more = {name: n for name, n in held.items() if n > self._held[name] + _SPARE}
            if not has_streams and not more and not held["processes"]:
                break
            time.sleep(0.1)
        else:
            return f"streams are left open: {has_streams}; beside {self._held} it has {held}"
        self._process.send_signal(signal.SIGTERM)
        code = self._process.wait(60)
        return f"it ended with {code}" if code else self._sandbox.fault_at_end()


def attempt(number: int, port: int) -> tuple[Input, str | None, str]:
    """Send one input; return it, what went wrong, and its status."""
    rng = np.random.default_rng(number)
    is_page = number % 2 == 1
    sent = page_input_of(rng) if is_page else input_of(rng)
    try:
        answer = talk(port, sent)
        fault = fault_of(answer, sent.is_stream)
        if fault is None and (key := re.search(rb'"page": "([\w-]{32})"', answer)):
            fault = fault_of(talk(port, Input([get(f"/studio/page?key={key[1].decode()}")])), False)
    except TimeoutError:
        return sent, "no end in time", "none"
    status = answer[9:12].decode("latin-1") if answer[:5] == b"HTTP/" else "closed"
    kind = "stream " if sent.is_stream else "page " if is_page else ""
    return sent, fault, kind + ("left" if sent.leaves else status)


def run(
    n_requests: int,
    seed: int,
    save: Path | None,
    report: Callable[[str], None],
    n_clients: int = 8,
) -> int:
    """Return how many inputs went wrong."""
    with tempfile.TemporaryDirectory(prefix=_PREFIX) as folder:
        target = Target(Path(folder))
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

    def tell(number: int, sent: Input, fault: str) -> None:
        nonlocal n_wrong
        n_wrong += 1
        report(f"request {number}: {fault}")
        if save is not None:
            save.mkdir(parents=True, exist_ok=True)
            (save / f"{number}.bin").write_bytes(b"\n-- next piece --\n".join(sent.pieces))

    def try_one(number: int) -> tuple[Input, str | None, str]:
        return attempt(number, target.port)

    with ThreadPoolExecutor(n_clients) as pool:
        for number, (sent, fault, status) in zip(numbers, pool.map(try_one, numbers), strict=True):
            statuses[status] += 1
            if fault is None and number % _CHECK_EVERY == 0:
                fault = target.check()
            if fault is not None:
                tell(number, sent, fault)
    for fault in (target.check(), target.end()):
        if fault is not None:
            tell(numbers.stop, Input([]), fault)
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
