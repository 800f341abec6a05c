"""The whole main path, with a new home: it opens no socket, and writes where it says alone.

Python's own sockets and files are watched in every process by an audit hook. What libraries do
below Python is seen by strace, in a network namespace without a network, where there are both.
"""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import soundfile

REPOSITORY = Path(__file__).parents[2]
GUARD = """
import os, sys

def _log(*words):
    file = os.open(os.environ["GUARD_LOG"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(file, (" ".join(map(str, words)) + "\\n").encode("utf-8", "backslashreplace"))
    os.close(file)

def _watch(event, arguments, _busy=[]):
    if _busy:
        return
    _busy.append(event)
    try:
        if event in ("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"):
            _log("network", event, arguments[0])
            raise PermissionError("no network here")
        if event in ("socket.connect", "socket.bind", "socket.sendto", "socket.sendmsg"):
            if isinstance(arguments[1], tuple):  # of AF_UNIX it is a path
                _log("network", event, arguments[1])
                raise PermissionError("no network here")
        if event == "open" and isinstance(arguments[0], (str, bytes)):
            path, _, flags = arguments
            if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
                _log("file", os.path.abspath(os.fsdecode(path)))
        if event == "os.mkdir":
            _log("file", os.path.abspath(os.fsdecode(arguments[0])))
    finally:
        _busy.pop()

sys.addaudithook(_watch)
"""
LIBRARY = """
from speechcls import Classifier, StreamingClassifier
print(Classifier.load("models/data-gru").predict("e.wav"))
"""


@dataclass(frozen=True)
class Seen:
    """What was seen of the main path."""

    home: Path
    work: Path
    temporary: Path
    python: list[str]
    """``network ...`` and ``file PATH`` of each call of Python code."""
    calls: list[str] | None
    """System calls; None where strace does not work."""


def tracing(log):
    """Return the start of a command that writes its system calls into a file; None without strace.

    Where it can, it also takes the network away.
    """
    trace = ["strace", "-f", "--seccomp-bpf", "-yy", "-qq", "-A", "-o", str(log)]
    trace += ["-e", "trace=socket,connect,sendto,sendmsg,bind,openat,open,creat,mkdir,mkdirat"]
    for start in (["unshare", "-rn", *trace], trace):
        if shutil.which(start[0]) and shutil.which("strace"):
            done = subprocess.run([*start, "true"], capture_output=True)
            if done.returncode == 0:
                return start
    return None


def run_all(commands, root):
    """Run commands of Python one after the other; return what was seen."""
    places = [root / name for name in ("home", "work", "tmp", "guard")]
    home, work, temporary, guard = places
    for place in places:
        place.mkdir(exist_ok=True)
    (guard / "sitecustomize.py").write_text(GUARD)
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "TMPDIR": str(temporary),
        "GUARD_LOG": str(root / "python.log"),
        "PYTHONPATH": os.pathsep.join([str(guard), str(REPOSITORY)]),
        "OMP_NUM_THREADS": "1",
    }
    start = tracing(root / "calls.log")
    for command in commands:
        done = subprocess.run(
            [*(start or []), sys.executable, *command],
            cwd=work, env=environment, capture_output=True, timeout=300,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr.decode()
    logs = [root / "python.log", root / "calls.log"]
    lines = [log.read_text(errors="replace").splitlines() if log.exists() else [] for log in logs]
    return Seen(home, work, temporary, lines[0], None if start is None else lines[1])


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    root = tmp_path_factory.mktemp("alone")
    (root / "work").mkdir()
    speak = [["-m", "speechcls", "synth", "yes", "no", "--out", "data", "--per-word", "24"]]
    if importlib.util.find_spec("espeakng_loader") is None:
        write_tones(root / "work" / "data")
        speak = []
    write_tones(root / "work" / "more")
    clip = next((root / "work" / "more").rglob("*.wav"))
    shutil.copy(clip, root / "work" / "e.wav")
    model = ("-m", "models/data-gru")
    small = ("--arch", "gru", "--hidden-size", "8", "--num-layers", "1", "--epochs", "1")
    small += ("--epoch-clips", "1", "--n-spoken", "20")
    commands = [
        ("check", "data", "--html", "check.html", "--findings", "check.csv", "--max-bad", "1"),
        ("train", "data", *small),  # exports model.onnx and stream.onnx
        ("evaluate", "data", "--report", "report", *model),
        ("predict", "e.wav"),  # with the newest one in models/
        ("predict", "more", "--jobs", "2", "-m", "commands"),
        ("detect", "e.wav", *model),
        ("listen", "--from", "e.wav", "--speed", "0", *model),
        ("explain", "e.wav", "--out", "e.svg", "--html", "e.html", "--animate", "e.gif", *model),
        ("bench", "models/data-gru"),
    ]
    whole = [*speak, *(["-m", "speechcls", *command] for command in commands), ["-c", LIBRARY]]
    return run_all(whole, root)


def write_tones(folder):
    for label, pitch_hz in (("yes", 400), ("no", 1_200)):
        (folder / label).mkdir(parents=True)
        for n in range(24):
            times = np.arange(8_000) / 16_000
            sound = 0.3 * np.sin(2 * np.pi * (pitch_hz + 7 * n) * times)
            soundfile.write(folder / label / f"s{n // 2:02}_nohash_{n % 2}.wav", sound, 16_000)


def network_calls(calls):
    """Return the system calls that reach beyond this machine's own processes."""
    families = re.compile(r"\b(socket|connect|bind|sendto|sendmsg)\(")
    local = re.compile(r"AF_UNIX|AF_LOCAL|NETLINK|<UNIX")
    return [call for call in calls if families.search(call) and not local.search(call)]


def written_paths(calls, work):
    """Return the path of each file and folder that was made or opened to be written."""
    place = re.compile(r'\b(?:openat|open|creat|mkdirat|mkdir)\((?:[^<"]*<([^>]*)>, )?"([^"]*)"')
    is_written = re.compile(r"O_WRONLY|O_RDWR|O_CREAT|creat\(|mkdir")
    paths = set()
    for call in calls:
        found = place.search(call)
        if found and is_written.search(call) and " = -1 " not in call:
            paths.add(os.path.normpath(Path(found[1] or work, found[2])))
    return paths


def is_documented(path, seen):
    """Whether SECURITY.md names the place."""
    places = (seen.work, seen.temporary, Path("/dev"), Path("/proc"))
    places += tuple(seen.home / name for name in (".cache/speechcls", ".cache/matplotlib",
                                                  ".config/matplotlib"))  # fmt: skip
    above = (seen.home, seen.home / ".cache", seen.home / ".config")
    is_python = "__pycache__" in Path(path).parts
    is_ours = Path(path).name == "python.log"
    return (
        is_python
        or is_ours
        or Path(path) in above
        or any(Path(path).is_relative_to(place) for place in places)
    )


def test_no_python_code_reaches_for_the_network(seen):
    assert [line for line in seen.python if line.startswith("network")] == []


def test_no_library_reaches_for_the_network(seen):
    if seen.calls is None:
        pytest.skip("strace is absent or not allowed: only Python's own sockets were watched")
    assert len(seen.calls) > 1_000
    assert network_calls(seen.calls) == []


def test_files_are_written_in_documented_places(seen):
    paths = {line.removeprefix("file ") for line in seen.python if line.startswith("file ")}
    paths |= written_paths(seen.calls or [], seen.work)
    paths |= {str(path) for path in seen.home.rglob("*")}
    assert str(seen.work / "check.html") not in paths  # written beside it, then renamed
    assert any(path.startswith(str(seen.home / ".cache" / "speechcls")) for path in paths)
    assert sorted(path for path in paths if not is_documented(path, seen)) == []


def test_nothing_is_left_in_the_temporary_folder(seen):
    left = {path.name for path in seen.temporary.iterdir()}
    assert {name for name in left if not name.startswith("torchinductor_")} == set()


def test_the_watch_sees_what_it_watches_for(tmp_path):
    script = "import socket\ntry: socket.create_connection(('127.0.0.1', 9))\nexcept OSError: 0\n"
    below = "import _socket\ns = _socket.socket(_socket.AF_INET, _socket.SOCK_DGRAM)\n"
    write = "import os, pathlib; pathlib.Path(os.environ['HOME'], '.id').write_text('me')\n"
    seen = run_all([["-c", script + below + write]], tmp_path)
    assert seen.python[0] == "network socket.getaddrinfo 127.0.0.1"
    assert f"file {seen.home}/.id" in seen.python
    assert not is_documented(seen.home / ".id", seen)
    assert not is_documented(seen.home / ".cache" / "Microsoft" / "DeviceId", seen)
    if seen.calls is not None:
        assert any("AF_INET" in call for call in network_calls(seen.calls))
        assert str(seen.home / ".id") in written_paths(seen.calls, seen.work)


@pytest.mark.parametrize(("before", "after"), [(None, "1"), ("0", "0")])
def test_telemetry_is_off_before_onnxruntime_is_there_unless_the_user_chose(before, after):
    script = "import os, sys, speechcls\n"
    script += "print(os.environ['ORT_DISABLE_TELEMETRY'], 'onnxruntime' in sys.modules)"
    environment = {k: v for k, v in os.environ.items() if k != "ORT_DISABLE_TELEMETRY"}
    environment |= {} if before is None else {"ORT_DISABLE_TELEMETRY": before}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, env=environment)
    assert done.stdout.decode().split() == [after, "False"]
