"""``make bench-peers``: what was measured is told, and what could not be is a row that says why."""

import json
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.fixture
def peers(request, monkeypatch, tmp_path):
    """The script, with little sound and no environments."""
    monkeypatch.syspath_prepend(request.config.rootpath / "benchmarks")
    import peers

    monkeypatch.setattr(peers, "N_CLIPS", 4)
    monkeypatch.setattr(peers, "RECORDING_S", 4)
    monkeypatch.setattr(peers, "ENVIRONMENTS", tmp_path / "environments")
    return peers


def row_of(text, title):
    line = next(line for line in text.splitlines() if line.startswith(f"| {title} |"))
    return [cell.strip() for cell in line.strip("|").split("|")[1:]]


def test_a_tool_that_fails_is_a_row_that_says_so(peers, monkeypatch, tmp_path):
    speeds = iter([100.0, 1.0, 50.0, 2.0])

    def run(row, sound):
        if row.name == "tutorial":
            raise subprocess.CalledProcessError(
                1, "python", stderr="Traceback\nOSError: no torch\n"
            )
        found = {"start_s": 0.2, "start_cpu_s": 0.1, "peak_mb": 50.0, "versions": {}, "lacks": ""}
        if row.name == "commands":
            return found | {"clips_per_s": next(speeds), "times_real_time": 60.0}
        return found | {"lacks": "no model"}

    monkeypatch.setattr(peers, "run", run)
    failures = dict.fromkeys((row.environment for row in peers.ROWS), "")
    failures["transformers"] = "does not install: no network"
    text = peers.report(*peers.measure(tmp_path, failures))
    # The median, without the first run.
    start_and_sizes = ["0.10", "0.20", "50", "0"]
    assert row_of(text, "speechcls, `commands` as it detects") == ["2", "60", *start_and_sizes]
    assert row_of(text, "sherpa-onnx, its import") == ["-", "-", *start_and_sizes]
    assert row_of(text, "librosa and torch, the tutorials' loop") == ["-"] * 6
    assert row_of(text, "transformers, its pipeline") == ["-"] * 6
    assert "- **sherpa-onnx, its import**: no model.\n" in text
    assert "the tutorials' loop**: does not run: OSError: no torch.\n" in text
    assert "- **transformers, its pipeline**: does not install: no network.\n" in text


def test_what_pip_cannot_install_is_said(peers, tmp_path):
    missing = peers.Environment("missing", ((str(tmp_path / "none.whl"),),))
    assert "none.whl" in peers.install(missing)
    assert not (peers.ENVIRONMENTS / "missing" / "installed.json").exists()


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux")
@pytest.mark.parametrize("mode", ["start", "work"])
@pytest.mark.parametrize("model", ["commands", "commands-stream", "commands-stream-live"])
def test_the_program_measures_speechcls(peers, tmp_path, model, mode):
    peers.make_sound(tmp_path)
    command = [sys.executable, "-I", str(peers.PROGRAM), model, str(tmp_path), mode]
    found = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    assert found["versions"].keys() == {"speechcls", "onnxruntime", "numpy"}
    assert found["peak_mb"] > 10
    speeds = {"clips_per_s", "times_real_time"}
    assert found.keys() & speeds == (speeds if mode == "work" else set())
    assert all(found[speed] > 1 for speed in found.keys() & speeds)
