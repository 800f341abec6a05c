"""Requests and streams for ``fuzz_serve``: those that the server answers, and mutations of them."""

import struct
from dataclasses import dataclass

import numpy as np

from speechcls.audio.wav import wav_bytes

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


_CLOSE = b"\x88\x82\0\0\0\0\x03\xe8"
"""The message that ends a stream."""


@dataclass(frozen=True)
class Input:
    """What is sent on a connection."""

    pieces: list[bytes]
    is_stream: bool = False
    is_slow: bool = False
    """Whether the answer may take minutes: a process of its own works on it."""
    leaves: bool = False
    """Whether the client says that it sends no more, as if it were gone, before the answer."""


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


def input_of(rng: Rng) -> Input:
    """Return a request or a stream."""
    if rng.random() < 0.3:
        return stream_of(rng, "/v1/stream")
    return Input([request_of(rng)], leaves=rng.random() < 0.1)


def stream_of(rng: Rng, path: str) -> Input:
    """Return a stream, with any messages."""
    query = "&".join(choose(rng, _QUERIES) for _ in range(int(rng.integers(0, 2))))
    lines = [f"GET {path}?{query} HTTP/1.1", "Host: 127.0.0.1", *_UPGRADE, "", ""]
    n_messages = int(rng.integers(0, 8))
    pieces = ["\r\n".join(lines).encode(), *(message_of(rng) for _ in range(n_messages))]
    pieces += [_CLOSE] if rng.random() < 0.8 else []
    return Input(pieces, is_stream=True, leaves=rng.random() < 0.3)


def request_of(rng: Rng) -> bytes:
    """Return a request of HTTP."""
    sound = rng.random() < 0.5
    method = "POST" if sound else choose(rng, _METHODS)
    path = choose(rng, _PATHS[:2] if sound else _PATHS)
    n_queries = int(rng.integers(0, 3)) if rng.random() < 0.5 else 0
    query = "&".join(choose(rng, _QUERIES) for _ in range(n_queries))
    kind = choose(rng, _TYPES) if rng.random() < 0.6 else "application/octet-stream"
    is_closed = sound or rng.random() < 0.8
    return http(rng, method, path + (f"?{query}" if query else ""), body_of(rng), kind, is_closed)


def http(
    rng: Rng,
    method: str,
    target: str,
    body: bytes,
    kind: str,
    is_closed: bool = True,
    odd_ratio: float = 0.4,
) -> bytes:
    """Return the bytes of a request, some with other headers or a mutated head.

    Parameters
    ----------
    target : path and parameters
    kind : of the body
    is_closed : whether the connection ends with it
    odd_ratio : of those with other headers; half as many are mutated
    """
    headers = ["Host: 127.0.0.1", f"Content-Type: {kind}"]
    n_headers = int(rng.integers(0, 4)) if rng.random() < odd_ratio else 0
    headers += [choose(rng, _HEADERS) for _ in range(n_headers)]
    headers += ["Connection: close"] if is_closed else []
    if rng.random() < 1 - odd_ratio / 4:
        headers.append(f"Content-Length: {len(body)}")
    head = (
        "\r\n".join([f"{method} {target} HTTP/1.1", *headers]).encode("utf-8", "surrogatepass")
        + b"\r\n\r\n"
    )
    return (mutate(rng, head) if rng.random() < odd_ratio / 2 else head) + body


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
