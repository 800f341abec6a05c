"""``speechcls serve`` as a process: the answers of the commands, and how it starts and ends."""

import json
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
from common_serve import LOW, MODELS, beeps, post, request, stream, talk

BOTH = ("-m", MODELS / "commands-tiny", "-m", MODELS / "commands-stream")
TOKEN = "a-secret-of-the-tests"


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    path = tmp_path_factory.mktemp("serve") / "clip.wav"
    soundfile.write(path, beeps(1, 3.0), 16_000)
    return path


@pytest.fixture
def begin(start):
    """Start a server on a free port; return its process, its port and what it said."""

    def listen(*arguments, env=None):
        process = start("serve", "--port", "0", *arguments, env=env)
        said = []
        while not (match := re.search(r"listening at http://127\.0\.0\.1:(\d+);", "".join(said))):
            line = process.stderr.readline().decode()
            assert line, said
            said.append(line)
        return process, int(match[1]), said

    return listen


def lines_of(text):
    return [json.loads(line) for line in text.splitlines()]


def test_the_answers_are_those_of_the_commands(begin, run, recording):
    process, port, said = begin(*BOTH)
    assert said[-1].endswith(
        f"try: curl --data-binary @clip.wav http://127.0.0.1:{port}/v1/predict\n"
    )
    body, tiny = recording.read_bytes(), ("-q", "--json", "-m", MODELS / "commands-tiny")
    predicted = run("predict", "-", *tiny, stdin=body)
    assert post(port, "/v1/predict", body).text == predicted.stdout
    detected = run("detect", "-", *tiny, "--threshold", str(LOW), stdin=body)
    assert detected.stdout
    assert post(port, f"/v1/detect?threshold={LOW}", body).text == detected.stdout
    live = ("-q", "--json", "-m", MODELS / "commands-stream", "--threshold", str(LOW))
    heard = lines_of(run("listen", "--from", recording, "--speed", "0", *live).stdout)
    assert heard
    with stream(port, f"threshold={LOW}") as socket:
        messages = talk(socket, beeps(1, 3.0))
    assert [each.keys() for each in messages] == [each.keys() for each in heard]
    for ours, theirs in zip(messages, heard, strict=True):
        # The command knew it earlier: there nothing waits.
        assert ours.pop("heard_s") >= theirs.pop("heard_s")
        assert ours == pytest.approx(theirs, abs=1e-5)
    process.send_signal(signal.SIGTERM)
    stdout, stderr = process.communicate(timeout=30)
    assert (process.returncode, stdout, stderr) == (0, b"", b"")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_a_signal_closes_streams_and_ends_it(number, code, begin):
    process, port, _ = begin(*BOTH)
    with stream(port) as socket:
        socket.send(bytes(3_200))
        process.send_signal(number)
        assert list(socket) == []
        assert socket.close_code == 1001
    assert process.wait(30) == code
    assert process.stdout.read() == b""


def test_a_token_of_the_environment(begin):
    process, port, said = begin(*BOTH, env={"SPEECHCLS_TOKEN": TOKEN})
    assert "curl -H 'Authorization: Bearer TOKEN' --data-binary" in said[-1]
    assert TOKEN not in "".join(said)
    assert request(port, "GET", "/v1/models").status == 401
    headers = {"authorization": f"Bearer {TOKEN}"}
    reply = request(port, "GET", "/v1/models", headers=headers)
    assert reply.json["default"] == "commands-tiny"
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0


def test_without_a_model_it_serves_those_that_come_with_it(begin, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    process, port, said = begin()
    assert [line.rsplit(" (", 1)[1] for line in said[:2]] == ["comes with speechcls)\n"] * 2
    models = request(port, "GET", "/v1/models").json
    assert (models["default"], models["default_live"]) == ("commands", "commands-stream")
    assert {model["source"] for model in models["models"]} == {"comes with speechcls"}
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0


def workers_of(process):
    """The processes that a server has started."""
    tasks = Path(f"/proc/{process.pid}/task").glob("*/children")
    return [int(number) for task in tasks for number in task.read_text().split()]


def is_running(number):
    try:
        state = Path(f"/proc/{number}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="processes are found in /proc")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_the_page_of_a_folder_whose_training_ends_with_the_server(
    number, begin, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    process, port, said = begin("--studio", "my words", *BOTH)
    url = f"http://127.0.0.1:{port}/"
    assert f"speechcls: the page that records into my words: open {url} in a browser\n" in said
    assert "<title>speechcls" in request(port, "GET", "/").text
    for word, pitch_hz in (("yes", 300), ("no", 900)):
        assert post(port, f"/studio/words?word={word}", b"").status == 200
        for n in range(4):
            sound = 0.3 * np.sin(2 * np.pi * (pitch_hz + 10 * n) * np.arange(8_000) / 16_000)
            soundfile.write(tmp_path / "my words" / word / f"a_nohash_{n}.wav", sound, 16_000)
    reply = post(port, "/studio/training", b'{"length": "long"}')
    assert (reply.status, reply.json["model"]) == (200, "my words-1")
    [worker] = workers_of(process)
    process.send_signal(number)
    assert process.wait(40) == (0 if number == signal.SIGTERM else -number)
    for _ in range(600):
        if not is_running(worker):
            break
        time.sleep(0.05)
    assert not is_running(worker)


@pytest.mark.parametrize(
    ("arguments", "code", "error"),
    [
        (["--studio", __file__], 1, f"{__file__}: file exists; check the folder"),
        (["--host", "0.0.0.0"], 2, "--host: 0.0.0.0 is reached from other machines, by anybody as"),
        (["--host", "nowhere.invalid", "--token", TOKEN], 2, "--host: nowhere.invalid: "),
        (["--token", "guess"], 2, "--token: too short, or with other characters than letters"),
        (["--port", "70000"], 2, "--port: 70000 is not possible; it must be 0 to 65535"),
        (["--max-body", "0"], 2, "--max-body: 0.0 is not possible; it must be a positive number"),
        (["-m", "nowhere"], 1, "nowhere: "),
    ],
)
def test_what_cannot_be_is_refused_at_the_start(arguments, code, error, call):
    result = call("serve", "--port", "0", "-m", MODELS / "commands-tiny", *arguments)
    assert (result.code, result.stdout) == (code, "")
    assert result.errors[-1].startswith(error)


def test_two_models_of_one_name_are_refused(call, tmp_path):
    other = shutil.copytree(MODELS / "commands-tiny", tmp_path / "commands-tiny")
    result = call("serve", "--port", "0", "-m", MODELS / "commands-tiny", "-m", other)
    assert result.code == 2
    assert result.errors == [
        "--model: two models are named commands-tiny; rename the folder of one"
    ]


@pytest.mark.parametrize("package", ["starlette", "uvicorn", "websockets"])
def test_without_the_extra_it_says_what_to_install(package):
    script = (
        f"import sys; sys.modules[{package!r}] = None; from speechcls.cli.app import main; main()"
    )
    arguments = ("serve", "--port", "0", "-m", str(MODELS / "commands-tiny"))
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments], capture_output=True, text=True, timeout=60
    )
    expected = f"speechcls: error: {package} is not installed; run pip install 'speechcls[serve]'\n"
    assert (done.returncode, done.stdout, done.stderr) == (2, "", expected)


def test_an_installation_for_prediction_alone_can_serve(recording):
    """And nothing that is heavy is loaded: a thread asks it, and ends it."""
    script = """
import json, os, re, signal, sys, threading, urllib.request
sys.modules.update(dict.fromkeys(sys.argv.pop(1).split(",")))
ours, theirs = os.pipe()
said = os.dup(2)
os.dup2(theirs, 2)

def ask():
    with open(ours) as lines:
        url = next(m[1] for line in lines if (m := re.search(r"curl.* (http\\S+)", line)))
    body = open(sys.argv[-1], "rb").read()
    with urllib.request.urlopen(url, body, timeout=60) as reply:
        print(reply.read().decode().strip())
    os.kill(os.getpid(), signal.SIGTERM)

threading.Thread(target=ask).start()
from speechcls.cli.app import app
try:
    app(["serve", "--port", "0", "-m", sys.argv[1]])
except SystemExit as end:
    print(json.dumps([end.code or 0, sorted({name.split(".")[0] for name in sys.modules})]))
"""
    blocked = ("torch", "scipy", "numba", "librosa", "sklearn", "onnx", "matplotlib", "safetensors")
    done = subprocess.run(
        [sys.executable, "-c", script, ",".join(blocked), MODELS / "commands-tiny", recording],
        capture_output=True,
        text=True,
        timeout=120,
    )
    predicted, ended = map(json.loads, done.stdout.splitlines())
    assert predicted["probabilities"]
    assert ended[0] == 0
    assert not {"rich", "pydantic", "sqlite3", "jinja2"} & set(ended[1])
