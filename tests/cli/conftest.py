"""Tones instead of words, a model that tells them apart, and ways to run the command line."""

import contextlib
import ctypes
import os
import pty
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hostile_names import MODEL, check_people, check_plain, write_data

RATE = 16_000
SWEEPS_HZ = {"low": (400, 400), "high": (1_600, 1_600), "rise": (300, 2_400), "fall": (2_400, 300)}
BEEPS_HZ = {"high": 1_600, "low": 400}
# Networks of the defaults' size would cost minutes; these cost a second.
SMALL = ("--hidden-size", "16", "--num-layers", "1", "--batch-size", "16", "--lr", "0.01")
SMALL += ("--epoch-clips", "1", "--ema-decay", "0", "--closed")
TIMEOUT_S = 120
PR_CAPBSET_DROP, CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH = 24, 1, 2


@dataclass(frozen=True)
class Result:
    """What a run of the command line came to."""

    code: int
    stdout: str
    stderr: str

    @property
    def rows(self):
        """Each line of stdout, cut at its tabs."""
        return [line.split("\t") for line in self.stdout.splitlines()]

    @property
    def labels(self):
        """The likeliest label of each line of ``predict``."""
        return [label for _, label, *_ in self.rows]

    @property
    def errors(self):
        """Each line of stderr that reports an error, without its beginning."""
        start = "speechcls: error: "
        lines = self.stderr.splitlines()
        return [line.removeprefix(start) for line in lines if line.startswith(start)]


@dataclass(frozen=True)
class Home:
    """A folder in which somebody trained: ``tones/`` and ``models/tones-gru/``."""

    path: Path
    data: Path
    model: Path
    trained: Result

    def clip(self, label, name="s00_nohash_0"):
        """A clip of the test split."""
        return self.data / label / f"{name}.wav"


def _environment(changes):
    # An inherited PYTHONUNBUFFERED would hide a flush that is missing.
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": ""} | (changes or {})
    if "SPEECHCLS_MODEL" not in (changes or {}):
        environment.pop("SPEECHCLS_MODEL", None)
    return environment


def _run(*arguments, cwd=None, stdin=b"", env=None, preexec_fn=None):
    done = subprocess.run(
        [sys.executable, "-m", "speechcls", *map(os.fspath, arguments)],
        cwd=cwd,
        input=stdin.encode() if isinstance(stdin, str) else stdin,
        capture_output=True,
        env=_environment(env),
        preexec_fn=preexec_fn,
        timeout=TIMEOUT_S,
    )
    stdout, stderr = (s.decode("utf-8", "surrogateescape") for s in (done.stdout, done.stderr))
    return Result(done.returncode, stdout, stderr)


@pytest.fixture(scope="session")
def run():
    """Run the command line in a process of its own."""
    return _run


@pytest.fixture(scope="session")
def run_in_terminal():
    """Run the command line with stderr in a terminal; return its exit code, stdout and stderr."""

    def watch(*arguments):
        ours, theirs = pty.openpty()
        process = subprocess.Popen(
            [sys.executable, "-m", "speechcls", *map(os.fspath, arguments)],
            stdout=subprocess.PIPE,
            stderr=theirs,
            env=_environment({"TERM": "xterm", "COLUMNS": "80"}),
        )
        os.close(theirs)
        shown = b""
        with contextlib.suppress(OSError):  # EIO: the other side was closed
            while piece := os.read(ours, 4_096):
                shown += piece
        os.close(ours)
        with process.stdout as stdout:
            said = stdout.read().decode()
        return Result(process.wait(TIMEOUT_S), said, shown.decode())

    return watch


@pytest.fixture
def start():
    """Start the command line with pipes to all its streams; it is gone when the test ends."""
    processes, timers = [], []

    def begin(*arguments, cwd=None, env=None, ignored=None):
        def prepare():
            # What a shell runs in the background ignores Ctrl-C, and so would its children.
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            if ignored is not None:
                signal.signal(ignored, signal.SIG_IGN)

        process = subprocess.Popen(
            [sys.executable, "-m", "speechcls", *map(os.fspath, arguments)],
            cwd=cwd,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=_environment(env),
            preexec_fn=prepare,
        )
        # Unbuffered, or ``communicate`` would not see what ``readline`` read beyond its line.
        process.stdout, process.stderr = process.stdout.detach(), process.stderr.detach()
        processes.append(process)
        # Whoever waits in vain for a line of it gets the end of its output instead.
        timer = threading.Timer(TIMEOUT_S, process.kill)
        timer.daemon = True
        timer.start()
        timers.append(timer)
        return process

    yield begin
    for timer in timers:
        timer.cancel()
    for process in processes:
        process.kill()
        for stream in (process.stdin, process.stdout, process.stderr):
            with contextlib.suppress(BrokenPipeError):  # of what was still to be written
                stream.close()
        process.wait(TIMEOUT_S)


def _call(*arguments, cwd="."):
    from typer.testing import CliRunner

    from speechcls.cli.app import app

    with contextlib.chdir(cwd):
        result = CliRunner().invoke(app, [os.fspath(a) for a in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception  # a user would see a traceback
    streams = (result.stdout_bytes, result.stderr_bytes)
    stdout, stderr = (stream.decode("utf-8", "surrogateescape") for stream in streams)
    return Result(result.exit_code, stdout.replace("\r\n", "\n"), stderr)


@pytest.fixture(scope="session")
def call():
    """Run the command line in this process, where torch is imported once; it has no stdin."""
    return _call


@pytest.fixture(scope="session")
def train():
    """Train a small network in this process."""
    return lambda data, out, *options: _call("train", data, "--out", out, *SMALL, *options)


@pytest.fixture(autouse=True)
def _no_model_in_the_environment(monkeypatch):
    monkeypatch.delenv("SPEECHCLS_MODEL", raising=False)


def _make_tone(label, seed=0, duration_s=0.5):
    """(n_samples,) float32 of one clip at 16 kHz: a sweep of random pitch and level, with noise.

    Its pitch wavers, or takes of nearly the same pitch would be copies of each other.
    """
    rng = np.random.default_rng([seed, *label.encode()])
    bends = np.random.default_rng([seed, 1]).uniform(0.97, 1.03, 5)
    n_samples = round(duration_s * RATE)
    first, last = SWEEPS_HZ[label]
    frequency = np.linspace(first, last, n_samples) * rng.uniform(0.9, 1.1)
    frequency *= np.interp(np.linspace(0, 4, n_samples), np.arange(5), bends)
    tone = rng.uniform(0.1, 0.6) * np.sin(2 * np.pi * np.cumsum(frequency) / RATE)
    return (tone + rng.normal(0.0, 0.01, n_samples)).astype(np.float32)


def _make_tones(folder, labels=("high", "low", "rise"), n_speakers=24, n_takes=2, seed=0):
    for label in labels:
        (folder / label).mkdir(parents=True)
        for n in range(n_speakers * n_takes):
            name = f"s{n // n_takes:02d}_nohash_{n % n_takes}.wav"
            soundfile.write(folder / label / name, _make_tone(label, 1_000 * seed + n), RATE)
    return folder


@pytest.fixture(scope="session")
def make_tone():
    """Samples of one clip."""
    return _make_tone


@pytest.fixture(scope="session")
def make_tones():
    """Write a data set.

    By the official rule the speakers s02 and s21 validate, s00, s01, s08, s14, s19 and s23 test.
    """
    return _make_tones


@pytest.fixture(scope="session")
def home(tmp_path_factory):
    """Where a model was trained by a real command; nobody writes here."""
    path = tmp_path_factory.mktemp("home")
    _make_tones(path / "tones")
    trained = _run("train", "tones", "--arch", "gru", *SMALL, "--epochs", "8", cwd=path)
    assert trained.code == 0, trained.stderr
    return Home(path, path / "tones", path / "models" / "tones-gru", trained)


@pytest.fixture
def at_home(home, monkeypatch):
    """The same as the current folder."""
    monkeypatch.chdir(home.path)
    return home


def _make_beep(label, seed=0):
    """(4_000,) of a quarter of a second at 16 kHz, of random pitch, which wavers, and level."""
    rng = np.random.default_rng([seed, *label.encode()])
    frequency = np.full(4_000, BEEPS_HZ[label] * rng.uniform(0.95, 1.05))
    level = rng.uniform(0.1, 0.5)
    frequency *= np.interp(np.linspace(0, 4, 4_000), np.arange(5), rng.uniform(0.98, 1.02, 5))
    return level * np.sin(2 * np.pi * np.cumsum(frequency) / RATE)


def _make_running(said, duration_s):
    """(n_samples,) float32 of noise in which ``said``, pairs of seconds and label, begin."""
    running = np.random.default_rng(7).normal(0.0, 0.005, round(duration_s * RATE))
    for n, (start_s, label) in enumerate(said):
        start = round(start_s * RATE)
        running[start : start + 4_000] += _make_beep(label, n)
    return running.astype(np.float32)


@pytest.fixture(scope="session")
def make_running():
    """Beeps in noise."""
    return _make_running


@pytest.fixture(scope="session")
def hearer(tmp_path_factory, train):
    """A causal network that hears beeps in running sound."""
    path = tmp_path_factory.mktemp("hearer")
    for label in BEEPS_HZ:
        (path / "beeps" / label).mkdir(parents=True)
        for n in range(48):
            clip = _make_running([], 0.6)
            clip[2_800:6_800] += _make_beep(label, 1_000 + n)
            soundfile.write(path / "beeps" / label / f"s{n // 2:02}_nohash_{n % 2}.wav", clip, RATE)
    (path / "beeps" / "_background_noise_").mkdir()
    noise = path / "beeps" / "_background_noise_" / "hiss.wav"
    soundfile.write(noise, _make_running([], 20.0), RATE)
    # Nothing above 3.8 kHz, so that recordings at 8 kHz are no other sound to it.
    options = ("--streaming", "--epochs", "24", "--fmax", "3800")
    trained = train(path / "beeps", path / "model", *options)
    assert trained.code == 0, trained.stderr
    return path / "model"


@pytest.fixture(scope="session")
def unprivileged():
    """For ``preexec_fn``: the process obeys file modes, even that of root."""
    if os.geteuid() != 0:
        return lambda: None
    libc = ctypes.CDLL(None)  # loaded here: after fork only what must be is done
    capabilities = (CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH)

    def drop():
        for capability in capabilities:
            if libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0):
                raise PermissionError("capabilities cannot be dropped")

    try:
        subprocess.run(["true"], preexec_fn=drop, check=True)
    except (OSError, subprocess.SubprocessError, AttributeError):
        pytest.skip("runs as root, who may read everything, and may not drop that right")
    return drop


@pytest.fixture(scope="session")
def hostile(tmp_path_factory, call):
    """A folder with ``data.jsonl`` and its recordings, a model, a long recording, and noise."""
    path = tmp_path_factory.mktemp("hostile")
    write_data(path)
    options = (*SMALL, "--streaming", "--epochs", "24", "--noise", "=noise", "--out", MODEL)
    trained = call("train", "data.jsonl", *options, cwd=path)
    assert trained.code == 0, trained.stderr
    check_people(trained.stderr)
    assert trained.stdout == "$'=model\\x1b[0m'\n"
    return path


@pytest.fixture
def ask(hostile, call, capfd):
    """Run a command in ``hostile``; return what it printed, once stdout and stderr are checked.

    In this process, and what its libraries and processes print by themselves is nothing.
    """

    def ask(*arguments, code=0):
        result = call(*arguments, cwd=hostile)
        assert result.code in ((0, 1) if arguments[0] == "check" else (code,)), result.stderr
        assert capfd.readouterr() == ("", "")
        check_plain(result.stdout, "\n\t")
        check_people(result.stderr)
        return result.stdout

    return ask
