"""``--engine ray`` as a command: killed and started again, and clusters that it cannot use."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time

import numpy as np
import pyarrow.parquet as pq
import pytest

MODEL = "commands-tiny"
OPEN = {"RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0"}
"""Of clusters that the tests start: without a token."""


def command(*arguments):
    return [sys.executable, "-m", "speechcls", *map(str, arguments)]


def run(*arguments, cwd=None, env=None):
    done = subprocess.run(
        command(*arguments), capture_output=True, text=True, cwd=cwd, env=os.environ | (env or {})
    )
    lines = done.stderr.splitlines()
    assert all(line.startswith(("speechcls: ", "  ")) for line in lines), done.stderr
    return done.returncode, done.stdout, lines


def workers_of(driver):
    """Yield the numbers of the processes in which the cluster of a driver reads recordings."""
    listed = subprocess.run(["ps", "-eo", "pid=,ppid=,args="], capture_output=True, text=True)
    rows = [line.split(maxsplit=2) for line in listed.stdout.splitlines()]
    parents = {pid: parent for pid, parent, *_ in rows}
    for pid, parent, args in rows:
        if "MapWorker" in args and parents.get(parent) == str(driver):
            yield int(pid)


def write_clips(folder, write_wav, n):
    for i in range(n):
        times = np.arange(2_000 + 40 * (i % 400)) / 8_000
        tone = (0.1 + i % 7 / 10) * np.sin(2 * np.pi * (100 + 3 * i) * times)
        write_wav(folder / f"{i:04d}.wav", tone.astype(np.float32), 8_000)


def test_a_run_that_is_killed_goes_on_where_it_was(tmp_path, write_wav):
    write_clips(tmp_path / "clips", write_wav, 1_200)
    names = [f"clips/{i:04d}.wav" for i in range(1_200)]
    names[1_100] = "clips/absent.wav"
    (tmp_path / "list.txt").write_text("\n".join(names))
    out = tmp_path / "out"
    ray = ("predict", "--engine", "ray", "--files-from", "list.txt", "--out", "out", "-m", MODEL)
    process = subprocess.Popen(command(*ray, "-q"), cwd=tmp_path, stderr=subprocess.DEVNULL)
    while not [*out.glob("part-*")]:
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = {file: file.stat().st_mtime_ns for file in out.glob("part-*.parquet")}
    assert 0 < len(before) < 5
    assert json.loads((out / "_manifest.json").read_text())["done"] is None

    # Now one of its workers is killed, of which nothing is printed.
    with subprocess.Popen(
        command(*ray), cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        while len([*out.glob("part-*")]) == len(before):
            assert process.poll() is None
            time.sleep(0.02)
        os.kill(next(workers_of(process.pid)), signal.SIGKILL)
        stdout, stderr = process.communicate()
    lines = stderr.splitlines()
    assert (process.returncode, stdout) == (1, "")
    assert all(line.startswith("speechcls: ") for line in lines), stderr
    n_before = sum(pq.read_metadata(file).num_rows for file in before)
    assert f"speechcls: {n_before} recordings were done before" in lines
    assert lines[-1] == "speechcls: out: 1200 recordings, 1 of them with an error"
    if not any("part-000004" in file.name for file in before):
        assert "speechcls: error: clips/absent.wav: no such file; check the path" in lines
    assert all(file.stat().st_mtime_ns == changed for file, changed in before.items())

    rows = pq.read_table(out).sort_by("row").to_pylist()
    assert [row["path"] for row in rows] == names
    code, local, _ = run("predict", "--files-from", "list.txt", "--json", "-m", MODEL, cwd=tmp_path)
    good = [row for row in rows if row["error"] is None]
    for row, line in zip(good, local.splitlines(), strict=True):
        one = json.loads(line)
        assert (row["path"], row["label"]) == (one["path"], one["label"])
        assert row["probabilities"] == pytest.approx(one["probabilities"], abs=2e-6)

    began = (out / "part-000000.parquet").stat().st_mtime_ns
    code, stdout, lines = run(*ray, "--threshold", "0.5", cwd=tmp_path)
    assert (code, stdout) == (2, "")
    assert re.search(
        r"--out: out holds the results of another run: settings was .* and is", lines[-1]
    )
    assert (out / "part-000000.parquet").stat().st_mtime_ns == began


def test_a_run_that_is_terminated_says_how_to_go_on(tmp_path, write_wav, rng):
    write_wav(tmp_path / "long.wav", rng.standard_normal(16_000 * 300).astype(np.float32) / 9)
    (tmp_path / "list.txt").write_text("absent.wav\n" + "long.wav\n" * 300)
    ray = ("detect", "--engine", "ray", "--files-from", "list.txt", "--out", "out", "-m", MODEL)
    process = subprocess.Popen(command(*ray), cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    while not [*tmp_path.glob("out/part-000000.parquet")]:
        assert process.poll() is None
        time.sleep(0.02)
    process.terminate()
    _, stderr = process.communicate()
    assert process.returncode == 128 + signal.SIGTERM
    assert re.search(r"out keeps the \d+ that are done; the same command goes on\n", stderr)
    assert "Traceback" not in stderr
    [row] = pq.read_table(tmp_path / "out" / "part-000000.parquet").to_pylist()
    assert (row["label"], row["error"]) == (None, "absent.wav: no such file; check the path")


@pytest.fixture
def bare_cluster(tmp_path):
    """The address of a cluster on whose machine speechcls cannot be imported."""
    package = tmp_path / "blocked" / "speechcls"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise ModuleNotFoundError('blocked', name='speechcls')")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    start = ["ray.scripts.scripts", "start", "--head", "--block", "--num-cpus=1", f"--port={port}"]
    start += ["--include-dashboard=false", "--object-store-memory=100000000"]
    env = os.environ | OPEN | {"PYTHONPATH": str(package.parent)}
    process = subprocess.Popen(
        [sys.executable, "-m", *start], env=env, stdout=subprocess.PIPE, start_new_session=True
    )
    for line in process.stdout:
        if b"Ray runtime started" in line:
            break
    reader = threading.Thread(target=process.stdout.read)  # else it would wait for a reader
    reader.start()
    with process:
        yield f"127.0.0.1:{port}"
        os.killpg(process.pid, signal.SIGKILL)
        reader.join()


def test_a_cluster_without_the_package_is_told(bare_cluster, tmp_path):
    (tmp_path / "list.txt").write_text("absent.wav\n")
    ray = ("predict", "--engine", "ray", "--files-from", "list.txt", "--out", "out")
    code, _, lines = run(*ray, "--address", bare_cluster, cwd=tmp_path, env=OPEN)
    assert code == 1
    assert re.search(
        r"^speechcls: error: [\d.]+: speechcls cannot be used on this machine of the cluster"
        r" \(blocked\); install it on all of them, pip install 'speechcls\[ray\]', or submit a job",
        lines[-1],
    )
    assert not [*(tmp_path / "out").glob("part-*")]


def test_an_address_without_a_cluster_is_told(tmp_path):
    (tmp_path / "list.txt").write_text("absent.wav\n")
    ray = ("predict", "--engine", "ray", "--files-from", "list.txt", "--out", "out", "--address")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    code, _, lines = run(*ray, f"127.0.0.1:{port}", cwd=tmp_path)
    assert code == 1
    assert lines[-1].startswith(f"speechcls: error: 127.0.0.1:{port}: no cluster answers there (")
    code, _, lines = run(*ray, "ray://127.0.0.1:1", cwd=tmp_path)
    assert code == 2
    assert "--address: ray://127.0.0.1:1: of a Ray client; run this on a machine" in lines[-1]
