"""Load the server: streams in real time, and recordings to predict.

Usage: python benchmarks/bench_serve.py [--streams 1,50,100,200] [--frame-ms 20,100] [--seconds 20]

Clients in one process send noise to ``/v1/stream`` in frames, each at the time at which it would
have been spoken, from a phase of its own. The latency of a frame that completes a step of the model
is the time from its sending to the arrival of the probabilities that are of it. Then one client
after the other sends a clip to ``/v1/predict``. Server and clients share the machine, and its load
before the run is printed with the figures.
"""

import argparse
import asyncio
import http.client
import json
import os
import random
import re
import statistics
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import numpy as np

from speechcls.audio.wav import wav_bytes

RATE = 16_000
STEP_MS = 40
"""Of the model ``commands-stream``."""
_TICKS = os.sysconf("SC_CLK_TCK")


@contextmanager
def serving() -> Iterator[tuple[int, int]]:
    """Yield the port and the process id of a server of the models that come with speechcls."""
    command = [sys.executable, "-m", "speechcls", "serve", "--port", "0"]
    command += ["--requests-per-minute", "0", "-m", "commands", "-m", "commands-stream"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    for line in process.stderr:
        if match := re.search(r"127\.0\.0\.1:(\d+)", line):
            yield int(match[1]), process.pid
            break
    process.terminate()
    process.wait()


def frame_of(samples: bytes) -> bytes:
    """Return a binary message of a client, whose mask of zeros leaves it as it is."""
    n = len(samples)
    length = struct.pack("!BH", 0x80 | 126, n) if n > 125 else struct.pack("!B", 0x80 | n)
    return b"\x82" + length + b"\0\0\0\0" + samples


class Client(asyncio.Protocol):
    """One stream: raw, so that it costs the machine little beside the server."""

    def __init__(self, frame_ms: int, n_frames: int, latencies: list[float]) -> None:
        self._frame_ms, self._n_frames, self._latencies = frame_ms, n_frames, latencies
        self._sent: list[float] = []
        self._n_answered = 0
        self._buffer = b""
        self.is_open: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.n_errors = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for a stream."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(
            b"GET /v1/stream?rate=16000&posteriors=1 HTTP/1.1\r\nHost: 127.0.0.1\r\n"
            b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )

    def data_received(self, data: bytes) -> None:
        """Take what the server sends."""
        self._buffer += data
        if not self.is_open.done():
            head, end, self._buffer = self._buffer.partition(b"\r\n\r\n")
            if not end:
                self._buffer = head
                return
            if b" 101 " not in head.split(b"\r\n")[0]:
                self.is_open.set_exception(ConnectionError(head.decode()))
                return
            self.is_open.set_result(None)
        while message := self._next():
            self._answer(json.loads(message))

    def _next(self) -> bytes | None:
        buffer = self._buffer
        if len(buffer) < 2:
            return None
        n, start = buffer[1] & 0x7F, 2
        if n == 126:
            if len(buffer) < 4:
                return None
            n, start = int.from_bytes(buffer[2:4], "big"), 4
        if len(buffer) < start + n:
            return None
        opcode, self._buffer = buffer[0] & 0xF, buffer[start + n :]
        if opcode == 9:
            self._transport.write(b"\x8a" + bytes([0x80 | n]) + b"\0\0\0\0" + buffer[start:][:n])
        return buffer[start : start + n] if opcode == 1 else self._next()

    def _answer(self, message: dict[str, float]) -> None:
        if "probabilities" not in message:
            self.n_errors += "error" in message
            return
        now, n = time.perf_counter(), round(1e3 * message["heard_s"] / self._frame_ms)
        for i in range(self._n_answered, n):
            if (i + 1) * self._frame_ms // STEP_MS > i * self._frame_ms // STEP_MS:
                self._latencies.append(now - self._sent[i])
        self._n_answered = n

    async def talk(self, frame: bytes, begin: float) -> None:
        """Send all frames, each in its time."""
        await self.is_open
        for i in range(self._n_frames):
            due = begin + (i + 1) * self._frame_ms / 1e3
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            self._sent.append(time.perf_counter())
            self._transport.write(frame)
        await asyncio.sleep(1)
        self._transport.close()


async def run_streams(port: int, n_streams: int, frame_ms: int, seconds: float) -> list[float]:
    """Return the latency of each step of all streams, seconds."""
    loop, latencies = asyncio.get_running_loop(), list[float]()
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 1_000, RATE * frame_ms // 1_000).astype("<i2").tobytes()
    clients = []
    for _ in range(n_streams):
        n_frames = round(seconds * 1e3 / frame_ms)
        make = partial(Client, frame_ms, n_frames, latencies)
        _, client = await loop.create_connection(make, "127.0.0.1", port)
        clients.append(client)
        await client.is_open
    begin, chance = time.perf_counter() + 0.2, random.Random(0)
    talks = [each.talk(frame_of(noise), begin + chance.random() / 5) for each in clients]
    await asyncio.gather(*talks)
    if failed := sum(client.n_errors for client in clients):
        raise RuntimeError(f"{failed} streams ended with an error")
    return latencies


def cpu_s(pid: int) -> float:
    """Return the processor time that a process has taken, seconds."""
    with open(f"/proc/{pid}/stat") as file:  # noqa: PTH123
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def predict_times(port: int, n: int = 200) -> list[float]:
    """Return the time of each request of a clip of a second, on one connection."""
    noise = np.random.default_rng(0).normal(0, 0.1, RATE).astype(np.float32)
    clip, times = wav_bytes(noise, RATE), []
    connection = http.client.HTTPConnection("127.0.0.1", port)
    for _ in range(n):
        began = time.perf_counter()
        connection.request("POST", "/v1/predict", clip)
        response = connection.getresponse()
        response.read()
        times.append(time.perf_counter() - began)
        assert response.status == 200
    connection.close()
    return times


def main() -> None:
    """Print a line for each number of streams and length of frames."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--streams", default="1,50,100,200")
    parser.add_argument("--frame-ms", default="20,100")
    parser.add_argument("--seconds", type=float, default=20.0)
    arguments = parser.parse_args()
    print(f"load before: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    with serving() as (port, pid):
        print("streams  frame ms  p50 ms  p99 ms  largest ms  server's cores  ms a stream s")
        for frame_ms in map(int, arguments.frame_ms.split(",")):
            for n_streams in map(int, arguments.streams.split(",")):
                before = cpu_s(pid)
                latencies = asyncio.run(run_streams(port, n_streams, frame_ms, arguments.seconds))
                cores = (cpu_s(pid) - before) / arguments.seconds
                cuts = statistics.quantiles(latencies, n=100)
                shown = [1e3 * each for each in (cuts[49], cuts[98], max(latencies))]
                print(
                    f"{n_streams:7}  {frame_ms:8}  {shown[0]:6.1f}  {shown[1]:6.1f}"
                    f"  {shown[2]:10.1f}  {cores:14.2f}  {1e3 * cores / n_streams:13.1f}",
                    flush=True,
                )
        times = predict_times(port)
    print(f"predict: p50 {1e3 * statistics.median(times):.1f} ms for a clip of 1 s")


if __name__ == "__main__":
    main()
