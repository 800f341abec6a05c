"""``speechcls listen`` and ``record`` with Ctrl-C, a terminal, and a microphone that fails."""

import contextlib
import json
import os
import signal
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from speechcls.cli.live import InterruptHandler

RATE = 16_000
SAID = [(1.0, "low"), (2.5, "high"), (4.0, "low"), (6.0, "high")]
STUB = '''
"""sounddevice with one device that plays a file, is unplugged once, and overflows once."""
import os, time
import numpy as np

class PortAudioError(Exception):
    pass

class default:
    device = [0, 0]

SOUND = np.fromfile(os.environ["STUB_SOUND"], dtype="<f4")
LOST_AT, OVERFLOWS_AT = 5.0, 0.4  # seconds
place = 0
was_lost = has_overflowed = False

def query_devices(device=None, kind=None):
    one = {"name": "stub", "max_input_channels": 1, "default_samplerate": 16000.0}
    return one if kind else [one]

def _terminate():
    pass

_initialize = _terminate

class InputStream:
    def __init__(self, **options):
        pass

    def start(self):
        pass

    close = start

    def read(self, n):
        global place, was_lost, has_overflowed
        if place >= LOST_AT * 16000 and not was_lost:
            was_lost = True
            raise PortAudioError("Device unplugged")
        piece = SOUND[place : place + n]
        if len(piece) < n:
            time.sleep(0.04)
            piece = np.concatenate([piece, np.zeros(n - len(piece), dtype="f4")])
        else:
            time.sleep(0.002)
        place += n
        overflows = place >= OVERFLOWS_AT * 16000 and not has_overflowed
        has_overflowed |= overflows
        return piece[:, None], overflows
'''


@pytest.fixture
def stub(tmp_path):
    """``stub(samples)``: the environment in which they come from the microphone."""

    def put(samples):
        (tmp_path / "stub").mkdir()
        (tmp_path / "stub" / "sounddevice.py").write_text(STUB)
        samples.astype("<f4").tofile(tmp_path / "sound")
        root = str(Path(__file__).parents[2])
        paths = os.pathsep.join([str(tmp_path / "stub"), root])
        return {"PYTHONPATH": paths, "STUB_SOUND": str(tmp_path / "sound")}

    return put


def end(process):
    """Send Ctrl-C; return code, stdout and stderr."""
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=60)
    return process.returncode, stdout.decode(), stderr.decode()


def test_a_device_that_is_unplugged_and_overflows_is_heard_on(hearer, make_running, stub, start):
    process = start("listen", "-m", hearer, "--json", env=stub(make_running(SAID, 8.0)))
    events = [json.loads(process.stdout.readline()) for _ in SAID]
    assert [event["label"] for event in events] == [label for _, label in SAID]
    code, stdout, stderr = end(process)
    assert (code, stdout) == (0, "")
    assert "Traceback" not in stderr
    lines = stderr.splitlines()
    for said in (
        "microphone: overrun; about 0.",
        "microphone: lost (Device unplugged); opening it again every 1 s",
        "microphone: back after 1.",
    ):
        assert sum(f"speechcls: warning: {said}" in line for line in lines) == 1, stderr
    assert lines[-1].endswith("4 words detected")
    # the second in which it was deaf counts in the time of the last word
    assert events[-1]["time_s"] > 6.0 + 0.9


def test_devices_are_listed(stub, run):
    result = run("listen", "--list-microphones", env=stub(np.zeros(1)))
    assert (result.code, result.stdout) == (0, "0\tstub\t1\t16000\tdefault\n"), result.stderr


def test_without_sounddevice_the_extra_is_named(hearer, stub, tmp_path, run):
    environment = stub(np.zeros(1))
    (tmp_path / "stub" / "sounddevice.py").write_text("raise ModuleNotFoundError")
    listing = ["listen", "--list-microphones"]
    for arguments in (["listen", "-m", hearer], ["record", "yes"], listing):
        result = run(*arguments, env=environment, cwd=tmp_path)
        assert (result.code, result.stdout) == (2, "")
        assert "pip install 'speechcls[mic]'" in result.errors[0]


def test_ctrl_c_is_the_way_to_end_it(hearer, make_running, start):
    process = start("listen", "-", "-m", hearer)
    process.stdin.write((make_running(SAID[:2], 3.5) * 32_768).astype("<i2").tobytes())
    process.stdin.flush()
    heard = [process.stdout.readline().decode().split("\t")[1] for _ in range(2)]
    assert heard == ["low", "high"]
    code, stdout, stderr = end(process)
    assert (code, stdout) == (0, "")
    assert "Traceback" not in stderr
    assert stderr.splitlines()[-1].endswith(" s, 2 words detected")


def test_ctrl_c_lets_be_finished_what_is_being_done():
    with InterruptHandler() as interrupt:
        done = []
        for block in interrupt.until(iter([1, 2, 3])):
            signal.raise_signal(signal.SIGINT)
            done.append(block)
        assert (done, interrupt.requested) == ([1], True)
        with pytest.raises(KeyboardInterrupt):  # the second one waits for nothing
            signal.raise_signal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):  # and all is as it was
        signal.raise_signal(signal.SIGINT)


def test_ctrl_c_that_is_ignored_stays_ignored():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as a shell does with "listen &"
    try:
        with InterruptHandler() as interrupt:
            signal.raise_signal(signal.SIGINT)
        assert not interrupt.requested
    finally:
        signal.signal(signal.SIGINT, before)


def test_after_ctrl_c_commands_that_wait_are_told_not_to_run(hearer, make_running, tmp_path, start):
    wait = "import time, sys, signal; signal.signal(2, signal.SIG_IGN); open(sys.argv[1], 'w')"
    wait += "; time.sleep(1.5)"
    command = f'{sys.executable} -c "{wait}" {tmp_path}/{{label}}'
    process = start("listen", "-", "-m", hearer, "--exec", command)
    process.stdin.write((make_running(SAID[:2], 3.5) * 32_768).astype("<i2").tobytes())
    process.stdin.flush()
    for _ in range(2):
        process.stdout.readline()
    while not (tmp_path / "low").exists():
        time.sleep(0.01)
    code, _, stderr = end(process)
    assert code == 0
    assert not (tmp_path / "high").exists()
    assert stderr.count("not run, for listening was ended") == 1


def test_a_reader_that_goes_away_ends_it_quietly(hearer, make_running, start):
    process = start("listen", "-", "-m", hearer)
    process.stdout.close()
    said = [(0.5 + k, "low" if k % 2 else "high") for k in range(4)]
    with contextlib.suppress(BrokenPipeError):  # it may have ended before all was written
        process.stdin.write((make_running(said, 6.0) * 32_768).astype("<i2").tobytes())
        process.stdin.close()
    assert process.wait(60) == 1
    assert b"Traceback" not in process.stderr.read()


def test_a_terminal_shows_a_line_and_stdout_stays_clean(
    hearer, make_running, tmp_path, run_in_terminal
):
    soundfile.write(tmp_path / "a.wav", make_running(SAID, 8.0), RATE)
    result = run_in_terminal("listen", "--from", tmp_path / "a.wav", "--speed", "0", "-m", hearer)
    assert result.code == 0
    assert [row[1] for row in result.rows] == [label for _, label in SAID]
    assert "\x1b" not in result.stdout
    assert " dB  " in result.stderr and "#" in result.stderr
    assert "low high low" in result.stderr


def test_record_from_a_microphone_counts_down_and_takes_again(stub, make_running, tmp_path, start):
    # The room takes 1 s, a count-down 1.8 s; the second word is clipped.
    said = [(3.2, "low"), (6.2, "high"), (9.0, "low")]
    sound = make_running(said, 10.5)
    clipped = slice(round(6.1 * RATE), round(6.5 * RATE))
    sound[clipped] = np.clip(40 * sound[clipped], -1, 1)
    process = start(
        *("record", "yes", "--speaker", "ann", "--takes", "2", "--out", tmp_path / "data"),
        env=stub(sound),
    )
    stdout, stderr = process.communicate(timeout=60)
    stderr = stderr.decode()
    assert process.returncode == 0, stderr
    names = [f"{tmp_path}/data/yes/ann_nohash_{n}.wav" for n in range(2)]
    assert stdout.decode().splitlines() == names
    assert stderr.count("yes in 3") == 3, stderr
    assert stderr.count("clipped") == 1
    assert all(len(soundfile.read(name)[0]) == RATE for name in names)


def test_ctrl_c_keeps_what_was_recorded(stub, make_running, tmp_path, start):
    process = start(
        *("record", "yes", "--speaker", "ann", "--out", tmp_path / "data"),
        env=stub(make_running([(3.2, "low")], 5.5)),
    )
    assert process.stdout.readline().decode().endswith("ann_nohash_0.wav\n")
    code, _, stderr = end(process)
    assert code == 130
    assert "wrote 1 clip of yes" in stderr
    assert [path.name for path in (tmp_path / "data" / "yes").iterdir()] == ["ann_nohash_0.wav"]
