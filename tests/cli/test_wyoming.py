"""``speechcls wyoming``: the real server, and the protocol's own client."""

import asyncio
import importlib.util
import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

pytest.importorskip("wyoming", reason="pip install 'speechcls[wyoming]'")
with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # it imports audioop before Python 3.13
    from wyoming.asr import Transcribe, Transcript
    from wyoming.audio import AudioChunk, AudioStart, AudioStop
    from wyoming.client import AsyncTcpClient
    from wyoming.error import Error
    from wyoming.event import Event
    from wyoming.info import Describe, Info
    from wyoming.ping import Ping, Pong
    from wyoming.wake import Detect, Detection, NotDetected

import speechcls
from speechcls.runtime.streaming import StreamingClassifier

COMPAT = Path(__file__).parents[1] / "compat"
MODEL = COMPAT / "format-2-stream"  # hears tones of 1,600 Hz, "high", and of 400 Hz, "low"
RATE = 8_000
CHUNK_MS = 40
SAID = ["low", "high", "low", "high"]
WAIT_S = 60


@pytest.fixture(scope="module")
def sound():
    """(n_samples,) int16 of six seconds with four tones."""
    spec = importlib.util.spec_from_file_location("signals", COMPAT / "signals.py")
    signals = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(signals)
    return signals.STREAM


class Server:
    """A running server, and what it says."""

    def __init__(self, process):
        self.process = process
        self.lines = []
        self.address = self.until(r"listening at tcp://([\d.]+):(\d+)").groups()

    def until(self, pattern):
        """Wait for a line that has the pattern."""
        while line := self.process.stderr.readline().decode():
            self.lines.append(line)
            if match := re.search(pattern, line):
                return match
        raise AssertionError(f"no line with {pattern} in {self.lines}")

    def client(self):
        host, port = self.address
        return AsyncTcpClient(host, int(port), connect_timeout=WAIT_S, read_timeout=WAIT_S)

    def connect(self):
        """A plain connection."""
        host, port = self.address
        return socket.create_connection((host, int(port)), timeout=WAIT_S)

    def ask(self, *requests, n_answers=1):
        """Send events on a connection of their own; return the answers."""
        return asyncio.run(self.asked(requests, n_answers))

    async def asked(self, requests, n_answers):
        async with self.client() as client:
            for request in requests:
                await client.write_event(request.event())
            return [await client.read_event() for _ in range(n_answers)]


@pytest.fixture
def serve(start):
    def begin(*options, model=MODEL):
        return Server(start("wyoming", "--uri", "tcp://127.0.0.1:0", "-m", model, *options))

    return begin


@pytest.fixture(scope="module")
def server():
    """One that has nothing special, for all tests that leave it as it is."""
    command = ("wyoming", "--uri", "tcp://127.0.0.1:0", "-m", MODEL)
    with subprocess.Popen(
        [sys.executable, "-m", "speechcls", *map(str, command)],
        stderr=subprocess.PIPE,
        bufsize=0,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    ) as process:
        try:
            yield Server(process)
        finally:
            process.kill()


def chunks(samples, rate=RATE, width=2, channels=1, timestamps=True):
    """The events of a stream: its start, pieces of 40 ms, its end."""
    samples = np.repeat(samples[:, None], channels, axis=1)
    if width == 1:
        raw = ((samples >> 8) + 128).astype(np.uint8)
    elif width == 3:
        raw = (samples.astype("<i4") << 8).view(np.uint8).reshape(*samples.shape, 4)[..., :3]
    else:
        raw = samples.astype(f"<i{width}") << 8 * (width - 2)
    piece = rate * CHUNK_MS // 1_000
    yield AudioStart(rate, width, channels, 0)
    for n, at in enumerate(range(0, len(samples), piece)):
        content = np.ascontiguousarray(raw[at : at + piece]).tobytes()
        yield AudioChunk(rate, width, channels, content, CHUNK_MS * n if timestamps else None)
    yield AudioStop()


def found(answers):
    """Word and time of each answer."""
    assert all(Detection.is_type(answer.type) for answer in answers), answers
    return [(answer.data["name"], answer.data["timestamp"]) for answer in answers]


def heard_by_listen(sound, tmp_path, call):
    """Word and the start of the 40 ms after which ``listen`` tells it."""
    path = tmp_path / "sound.wav"
    soundfile.write(path, sound, RATE, subtype="PCM_16")
    result = call("listen", "--from", path, "--speed", "0", "-m", MODEL, "--json")
    events = [json.loads(line) for line in result.stdout.splitlines()]
    return [(each["label"], round(1_000 * each["heard_s"]) - CHUNK_MS) for each in events]


def test_what_it_offers(server):
    [answer] = server.ask(Describe())
    info = Info.from_event(answer)
    [program] = info.wake
    assert (program.name, program.version) == ("speechcls", speechcls.__version__)
    assert [(m.name, m.phrase, m.languages) for m in program.models] == [
        ("high", "high", []),
        ("low", "low", []),
    ]
    assert all(re.fullmatch(r"[0-9a-f]{16}", model.version) for model in program.models)
    assert (info.asr, info.intent, info.handle) == (
        [],
        [],
        [],
    )  # no language, nothing to transcribe


def test_words_are_those_of_listen_at_the_same_time(server, sound, tmp_path, call):
    expected = heard_by_listen(sound, tmp_path, call)
    assert [label for label, _ in expected] == SAID
    assert found(server.ask(Detect(), *chunks(sound), n_answers=4)) == expected
    # A client that says no times gets the same ones, and one that asks for nothing all words.
    assert found(server.ask(*chunks(sound, timestamps=False), n_answers=4)) == expected
    high = server.ask(Detect(["high"]), *chunks(sound), n_answers=2)
    assert [name for name, _ in found(high)] == ["high", "high"]


@pytest.mark.parametrize(
    ("rate", "width", "channels"), [(8_000, 1, 2), (16_000, 2, 3), (44_100, 3, 1), (48_000, 4, 2)]
)
def test_any_rate_width_and_channels(rate, width, channels, sound):
    """In this process: the formats that a client may send differ in nothing but rounding."""
    from speechcls.artifact.store import load_artifact
    from speechcls.wyoming.listener import ChunkFormat, StreamListener

    listener = StreamListener(load_artifact(MODEL), None, None, eager=True)
    resampled = soxr.resample(sound, RATE, rate)
    words = []
    for event in chunks(resampled, rate, width, channels):
        if isinstance(event, AudioChunk):
            words += listener.feed(event.audio, ChunkFormat(rate, width, channels))
    words += listener.finish()
    own = StreamingClassifier.load(MODEL, eager=True)
    expected = own.feed(sound) + own.finish()
    assert [word.label for word in words] == [word.label for word in expected] == SAID
    for word, other in zip(words, expected, strict=True):
        assert word.start_s == pytest.approx(other.start_s, abs=0.09)


def test_a_format_that_changes_within_a_stream(sound):
    from speechcls.artifact.store import load_artifact
    from speechcls.wyoming.listener import ChunkFormat, StreamListener

    listener = StreamListener(load_artifact(MODEL), None, None, eager=True)
    half = 3 * RATE
    second = soxr.resample(sound[half:], RATE, 16_000)
    words = listener.feed(sound[:half].tobytes(), ChunkFormat(RATE, 2, 1))
    words += listener.feed(second.tobytes(), ChunkFormat(16_000, 2, 1)) + listener.finish()
    assert [word.label for word in words] == SAID
    assert listener.n_detected == 4
    assert listener.time_s == pytest.approx(6.0)


def test_satellites_at_once_have_states_of_their_own(server, sound):
    silence = np.zeros_like(sound)

    async def all_of_them():
        words = [server.asked([Detect(), *chunks(sound)], 4) for _ in range(3)]
        return await asyncio.gather(*words, server.asked([Detect(), *chunks(silence)], 1))

    *talking, quiet = asyncio.run(all_of_them())
    assert [[name for name, _ in found(each)] for each in talking] == [SAID] * 3
    assert NotDetected.is_type(quiet[0].type)


def test_a_second_stream_of_a_connection_starts_anew(server, sound):
    twice = server.ask(Detect(), *chunks(sound), *chunks(sound), Ping("there?"), n_answers=9)
    assert found(twice[:4]) == found(twice[4:8])
    assert Pong.from_event(twice[8]).text == "there?"


def test_a_word_that_is_not_there_is_answered_and_said(server, sound):
    error, *words = server.ask(Detect(["marvin", "low"]), *chunks(sound), n_answers=3)
    assert Error.from_event(error).code == "unknown-name"
    assert error.data["text"] == "no word marvin; there are high, low"
    assert [name for name, _ in found(words)] == ["low", "low"]
    assert "marvin" in server.until("asks for what is not there").string
    # Of nothing that is there, nothing is detected.
    error, answer = server.ask(Detect(["marvin"]), *chunks(sound), n_answers=2)
    assert NotDetected.is_type(answer.type)


def test_commands_are_transcribed_where_the_language_is_known(serve, sound, call, tmp_path):
    server = serve("--language", "de", "--labels", "low")
    described, transcript = server.ask(
        Describe(), Transcribe(language="de"), *chunks(sound), n_answers=2
    )
    [program] = Info.from_event(described).asr
    assert [model.languages for model in program.models] == [["de"]]
    assert Transcript.from_event(transcript) == Transcript("low low", language="de")
    soundfile.write(tmp_path / "a.wav", sound, RATE)
    rows = call("detect", tmp_path / "a.wav", "-m", MODEL, "--labels", "low").rows
    assert [row[3] for row in rows] == ["low", "low"]


LIES = {
    "text": b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "bytes": bytes(range(256)) * 4,
    "no object": b"[1, 2]\n",
    "nested": b"[" * 60_000 + b"\n",
    "no type": b'{"data": {}}\n',
    "data that are none": b'{"type": "detect", "data": [1]}\n',
    "a long line": b'{"type": "' + b"a" * 100_000 + b'"}\n',
    "much data": b'{"type": "detect", "data_length": 99999999}\n',
    "much sound": b'{"type": "audio-chunk", "payload_length": 2147483648}\n',
    "a negative length": b'{"type": "audio-chunk", "payload_length": -1}\n',
    "a length that is none": b'{"type": "audio-chunk", "payload_length": "9"}\n',
    "no format": b'{"type": "audio-chunk", "payload_length": 2}\nab',
    "half a sample": b'{"type": "audio-chunk", "data": {"rate": 8000, "width": 2, "channels": 1},'
    b' "payload_length": 3}\nabc',
    "no rate": b'{"type": "audio-chunk", "data": {"rate": 0, "width": 2, "channels": 1}}\n',
    "a time that is none": b'{"type": "audio-start", "data": {"timestamp": "now"}}\n',
    "names that are none": b'{"type": "detect", "data": {"names": [1]}}\n',
    "a language that is none": b'{"type": "transcribe"}\n',
}


def test_clients_that_lie_are_told_and_disturb_nobody(server, sound):

    async def lie(content):
        host, port = server.address
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(content)
        try:
            return await asyncio.wait_for(reader.read(), WAIT_S)
        except ConnectionResetError:  # it was closed with some of it unread
            return b""
        finally:
            writer.close()

    async def among_them():
        talk = asyncio.create_task(server.asked([Detect(), *chunks(sound)], 4))
        told = {name: await lie(content) for name, content in LIES.items()}
        return await talk, told

    words, told = asyncio.run(among_them())
    assert [name for name, _ in found(words)] == SAID
    assert all(b'"error"' in answer for answer in told.values() if answer), told
    assert sum(map(bool, told.values())) > len(LIES) / 2
    for _ in LIES:
        server.until(r"warning: .*; disconnected$")
    # Gone within an event, and without a word.
    with server.connect() as connection:
        connection.sendall(b'{"type": "audio-chunk", "payload_length": 100}\nabc')
    server.until("gone within an event; disconnected")
    server.connect().close()
    unknown = Event("nonsense", {})
    [pong] = server.ask(type("_", (), {"event": lambda self: unknown})(), Ping())
    assert Pong.is_type(pong.type)


def test_slow_and_superfluous_clients():
    """In this process, with limits that a test can reach."""
    from speechcls.artifact.store import load_artifact
    from speechcls.wyoming.server import Server as Library
    from speechcls.wyoming.service import Service
    from speechcls.wyoming.settings import WyomingSettings

    said = []
    settings = WyomingSettings(clients_max=1, event_timeout_s=0.05)
    library = Library(Service(load_artifact(MODEL)), settings, said.append, said.append)

    async def run():
        until, address = asyncio.Event(), asyncio.get_running_loop().create_future()
        serving = asyncio.create_task(library.run("tcp://127.0.0.1:0", until, address.set_result))
        port = int((await address).rpartition(":")[2])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        async with AsyncTcpClient("127.0.0.1", port) as second:
            busy = Error.from_event(await second.read_event())
        writer.write(b'{"type": ')
        slow = await reader.read()
        writer.close()
        until.set()
        await serving
        return busy, slow

    busy, slow = asyncio.run(run())
    assert busy.code == "busy"
    assert b"nothing came in time" in slow
    assert [line.partition(": ")[2] for line in said] == [
        "1 clients are connected, which is the most there can be; disconnected",
        "nothing came in time; disconnected",
    ]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 0), (signal.SIGTERM, 143)])
def test_a_signal_ends_it_with_clients_connected(number, code, serve, sound):
    server = serve()

    async def stay():
        async with server.client() as client:
            for event in [*chunks(sound)][:-1]:
                await client.write_event(event.event())
            await client.read_event()
            server.process.send_signal(number)
            while await client.read_event() is not None:
                pass

    asyncio.run(stay())
    assert server.process.wait(WAIT_S) == code
    rest = server.process.stderr.read().decode()
    assert rest.endswith("stopped\n" if code == 0 else "ended by SIGTERM\n")
    assert "Traceback" not in rest
    assert server.process.stdout.read() == b""


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--uri", "udp://127.0.0.1:1"], "--uri: udp://127.0.0.1:1: no address of a server"),
        (["--uri", "tcp://127.0.0.1:x"], "--uri: tcp://127.0.0.1:x: Port could not be cast"),
        (["--uri", "10400"], "--uri: 10400: no address of a server"),
        (["--labels", "middle"], "--labels: the model has no label middle; it has high, low"),
        (["--uri", "tcp://127.0.0.1:0", "--zeroconf", "a"], "--zeroconf: 127.0.0.1 is reached"),
    ],
)
def test_what_cannot_be_served_is_wrong_usage(options, said, call):
    result = call("wyoming", "-m", MODEL, *options)
    assert (result.code, result.stdout) == (2, "")
    assert result.errors[0].startswith(said)


def test_an_address_that_is_taken_is_told(call):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        uri = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
        result = call("wyoming", "-m", MODEL, "--uri", uri)
    assert result.code == 1
    assert result.errors[0].startswith(f"{uri}: cannot be listened at (")
    assert result.errors[0].endswith("; choose another address")


def test_it_is_discovered_and_withdrawn(start):
    """By another zeroconf of this machine; where it has no network, that is said."""
    zeroconf = pytest.importorskip("zeroconf")
    name = f"test {os.getpid()}"
    process = start(
        *("wyoming", "--uri", "tcp://0.0.0.0:0", "-m", MODEL, "--zeroconf", name)
    )  # fmt: skip
    line = io.BytesIO(process.stderr.read()) if process.poll() is not None else process.stderr
    lines = []
    while (text := line.readline().decode()) and "listening at" not in text:
        lines.append(text)
    if not text:
        assert "cannot be announced" in lines[-1] or "no address to announce" in lines[-1]
        pytest.skip("no network to announce it on")
    port = int(re.search(r":(\d+) ", text)[1])
    service = "_wyoming._tcp.local."
    browser = zeroconf.Zeroconf()
    try:
        about = browser.get_service_info(service, f"{name}.{service}", timeout=20_000)
        assert about is not None and about.port == port
        process.send_signal(signal.SIGINT)
        assert process.wait(WAIT_S) == 0
    finally:
        browser.close()
