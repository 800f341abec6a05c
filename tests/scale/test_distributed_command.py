"""``torchrun -m speechcls train``: one training on two processes, as a user starts it."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

EPOCHS = 4
SETTINGS = ("--arch", "gru", "--hidden-size", "16", "--num-layers", "1", "--dropout", "0.2")
SETTINGS += ("--epochs", str(EPOCHS), "--patience", "99", "--epoch-clips", "1", "--closed")
SETTINGS += ("--batch-size", "8", "--from", "none")
FILES = {"config.json", "weights.safetensors", "model.onnx", "stream.onnx", "manifest.json"}
FILES |= {"metrics.json", "split.csv", "history.csv", "curves.png", "README.md"}


@pytest.fixture(scope="module")
def data(make_data, tmp_path_factory):
    return make_data(tmp_path_factory.mktemp("data") / "tones", ["low", "high"], 20)


@pytest.fixture
def torchrun(tmp_path):
    """``torchrun(*arguments, restarts=0)``: starts speechcls on two processes."""
    started = []

    def start(*arguments, restarts=0):
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
        command += ["--nproc-per-node", "2", "--max-restarts", str(restarts)]
        command += ["--monitor-interval", "0.1", "-m", "speechcls", *map(str, arguments)]
        # Not the number of threads that the tests may set, and a mark to find the workers by.
        environment = os.environ | {"MARK": str(tmp_path)}
        process = subprocess.Popen(
            command, env=environment, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
    for pid in pids_of(b"MARK=" + os.fsencode(tmp_path)):
        os.kill(pid, signal.SIGKILL)
    for process in started:
        process.communicate()


def end(process):
    """Return the exit code, stdout and the lines of stderr of speechcls."""
    stdout, stderr = process.communicate(timeout=120)
    return process.returncode, stdout.decode(), own_lines(stderr.decode())


def own_lines(text):
    return [line for line in text.splitlines() if line.startswith("speechcls: ")]


def wait_for(process, words):
    """Read stderr up to a line with ``words``; return the lines of speechcls."""
    seen = ""
    while words not in seen:
        line = process.stderr.readline().decode()
        assert line, f"ended before it said {words!r}: {seen}"
        seen += line
    return own_lines(seen)


def pids_of(*wanted):
    """Return the processes that have all these in their environment."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # of somebody else, or gone
            if set(wanted) <= set((folder / "environ").read_bytes().split(b"\0")):
                found.append(int(folder.name))
    return found


def pid_of(rank, mark):
    (pid,) = pids_of(f"RANK={rank}".encode(), b"MARK=" + os.fsencode(mark))
    return pid


def history_of(model):
    metrics = json.loads((model / "metrics.json").read_text())
    assert {path.name for path in model.iterdir()} == FILES
    return [
        {k: v for k, v in epoch.items() if k not in ("duration_s", "clips_per_second")}
        for epoch in metrics["history"]
    ]


@pytest.fixture(scope="module")
def whole(data, tmp_path_factory):
    """A model trained on two processes, and what they said."""
    model = tmp_path_factory.mktemp("whole") / "m"
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc-per-node", "2", "-m", "speechcls", "train", data, *SETTINGS]
    done = subprocess.run([*command, "--out", model], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return model, done.stdout, own_lines(done.stderr)


def test_one_process_alone_writes_and_prints(whole):
    model, stdout, said = whole
    assert stdout == f"{model}\n"
    assert [line.split()[2] for line in said if " epoch " in line[:20]] == [
        f"{n}/{EPOCHS}" for n in range(1, EPOCHS + 1)
    ]
    assert len(said) == len(set(said))  # nothing twice
    assert not [line for line in said if "rank" in line]
    assert [path.name for path in model.parent.iterdir()] == ["m"]
    assert len(history_of(model)) == EPOCHS


def test_two_processes_train_what_one_does(whole, data, tmp_path):
    one = tmp_path / "one"
    command = [sys.executable, "-m", "speechcls", "train", data, *SETTINGS, "--dropout", "0"]
    subprocess.run([*command, "--out", one], check=True, capture_output=True)
    command[1:2] = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m"]
    subprocess.run([*command, "--out", tmp_path / "two"], check=True, capture_output=True)
    alone, shared = (load_file(tmp_path / n / "weights.safetensors") for n in ("one", "two"))
    assert alone.keys() == shared.keys()
    # bfloat16, where the processor has it, rounds sums of other rows to other numbers
    for name, values in alone.items():
        np.testing.assert_allclose(shared[name], values, rtol=0.02, atol=0.02, err_msg=name)
    for first, second in zip(history_of(one), history_of(tmp_path / "two"), strict=True):
        assert second["loss"] == pytest.approx(first["loss"], rel=0.02)


@pytest.mark.parametrize(
    ("moment", "rank"),
    [("labels high, low", 1), ("epoch 2/4", 0), ("epoch 4/4", 1)],
    ids=["while reading", "between two steps", "while the model is saved"],
)
def test_a_killed_process_costs_the_steps_since_the_last_state(
    moment, rank, whole, data, tmp_path, torchrun
):
    model = tmp_path / "m"
    process = torchrun("train", data, *SETTINGS, "--out", model, restarts=1)
    wait_for(process, moment)
    os.kill(pid_of(rank, tmp_path), signal.SIGKILL)
    code, stdout, said = end(process)
    assert (code, stdout) == (0, f"{model}\n"), said
    assert history_of(model) == history_of(whole[0])
    weights = (path / "weights.safetensors" for path in (model, whole[0]))
    assert next(weights).read_bytes() == next(weights).read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == ["m"]
    if moment.startswith("epoch"):
        assert any("goes on with an interrupted training" in line for line in said)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_to_one_process_ends_all_of_them(number, code, data, tmp_path, torchrun):
    endless = ("--epochs", "9999", "--patience", "9999")
    process = torchrun("train", data, *SETTINGS, *endless, "--out", tmp_path / "m")
    wait_for(process, "epoch 1/9999")
    os.kill(pid_of(1, tmp_path), number)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 1
    assert re.search(rf"exitcode +: {code} ", stderr.decode())
    assert (tmp_path / "m.unfinished" / "state.safetensors").is_file()
    said = own_lines(stderr.decode())
    assert not [line for line in said if "rank" in line]
    if number == signal.SIGINT:
        assert stdout.decode() == f"{tmp_path / 'm'}\n"
        assert history_of(tmp_path / "m")
    else:
        assert stdout == b""
        assert said[-1] == "speechcls: error: ended by SIGTERM"


def test_models_to_compare_are_shared(data, tmp_path, torchrun):
    budget = ("--archs", "rnn,gru", "--seeds", "1", "--epochs", "1", "--size", "tiny", "--no-speed")
    code, stdout, said = end(torchrun("compare", data, *budget, "--out", tmp_path / "c"))
    assert code == 0
    models = {path.name for path in (tmp_path / "c").iterdir() if path.is_dir()}
    assert models == {"rnn-seed0", "gru-seed0"}
    assert stdout.count("accuracy") == 1  # one table
    trained = [line for line in said if "(1 of 1)" in line]  # each process one model
    assert sorted(line.split()[1] for line in trained) == ["gru,", "rnn,"]


def test_what_is_refused_is_said_once(data, tmp_path, torchrun):
    place = tmp_path / "m"
    place.mkdir()
    (place / "letter.txt").write_text("mine")
    code, stdout, said = end(torchrun("train", data, *SETTINGS, "--out", place))
    assert (code, stdout, len(said)) == (1, "", 1)
    assert said[0].startswith(f"speechcls: error: {place}: ")
    assert [path.name for path in place.iterdir()] == ["letter.txt"]


def test_a_rendezvous_that_fails_names_the_cause(data, tmp_path):
    environment = os.environ | {
        **{"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2"},
        **{"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "9"},
    }
    script = "from speechcls.distributed.group import joined\nwith joined(timeout_s=2):\n    pass\n"
    begun = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env=environment
    )
    assert time.monotonic() - begun < 60
    told = done.stderr.splitlines()[-1]
    assert "no contact with the other processes at 127.0.0.1:9 within 2 s" in told
    assert "rank 1 of 2 on " in told
    assert "check that all 2 were started" in told

    del environment["MASTER_PORT"]
    command = [sys.executable, "-m", "speechcls", "train", data, "--out", tmp_path / "m"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 2
    told = own_lines(done.stderr)
    assert told == [
        "speechcls: error: $MASTER_PORT is not set, though $WORLD_SIZE tells of other processes;"
        " start them with torchrun"
    ]
