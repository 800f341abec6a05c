"""What users wait for at every start never loads the training libraries."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from speechcls.artifact.format import Artifact
from speechcls.artifact.store import save_artifact
from speechcls.cli.app import COMMANDS
from speechcls.config import FeatureConfig, NetworkConfig

HEAVY = (
    *("torch", "scipy", "numba", "librosa", "sklearn", "onnx", "rich", "pydantic", "matplotlib"),
    *("sqlite3", "speechcls.storage.addresses"),
)

SCRIPT = """
import json, sys
from speechcls.cli.app import app
try:
    app(sys.argv[1:])
except SystemExit as end:
    code = end.code
modules = {*sys.modules, *(name.split(".")[0] for name in sys.modules)}
print(json.dumps([code or 0, sorted(modules)]))
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from speechcls.export.onnx import export_onnx, export_stream
    from speechcls.networks.recogniser import build_recogniser

    features = FeatureConfig(duration_s=0.5)
    network = NetworkConfig(arch="gru", hidden_size=8, num_layers=1)
    artifact = Artifact(
        tmp_path_factory.mktemp("m") / "model", features, network, ("no", "yes"), ("no", "yes")
    )
    recogniser = build_recogniser(features, network, range(2), seed=0)
    graphs = [export(recogniser, ["no", "yes"]) for export in (export_onnx, export_stream)]
    save_artifact(artifact, {}, graphs[0], {}, [], stream=graphs[1])
    return artifact.path


def modules_after(*arguments: str) -> set[str]:
    """Run a command in a new process and return the modules it has loaded."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *arguments], capture_output=True, text=True, check=True
    )
    code, modules = json.loads(done.stdout.splitlines()[-1])
    assert code == 0, done.stderr
    return set(modules)


def test_help_loads_nothing_heavy() -> None:
    assert not modules_after("--help") & {*HEAVY, "numpy", "soundfile", "onnxruntime"}


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_a_command_loads_nothing_heavy(command: str) -> None:
    modules = modules_after(command, "--help")
    assert not modules & {*HEAVY, "numpy", "soundfile", "onnxruntime", "jinja2", "PIL"}


def test_predict_loads_nothing_heavy(model: Path, tmp_path: Path) -> None:
    clip = tmp_path / "clip.wav"
    soundfile.write(clip, 0.1 * np.sin(np.arange(8_000) * 0.1), 16_000)
    modules = modules_after("predict", str(clip), "--model", str(model))
    assert not modules & set(HEAVY)
    assert {"onnxruntime", "soundfile"} <= modules


def test_listen_and_record_load_nothing_heavy(model: Path, tmp_path: Path) -> None:
    clip = tmp_path / "clip.wav"
    soundfile.write(clip, 0.1 * np.sin(np.arange(16_000) * 0.1), 44_100)
    source = ("--from", str(clip), "--speed", "0")
    options = ("--exec", "true {label}", "--save-events", str(tmp_path / "kept"))
    modules = modules_after("listen", *source, "--model", str(model), *options)
    assert not modules & {*HEAVY, "sounddevice"}
    modules = modules_after("record", "yes", *source, "--speaker", "ann", "--out", str(tmp_path))
    assert not modules & {*HEAVY, "sounddevice", "onnxruntime"}


def test_bench_loads_nothing_heavy(model: Path) -> None:
    modules = modules_after("bench", str(model), "--json")
    assert not modules & set(HEAVY)
    assert "onnxruntime" in modules


def test_detect_loads_nothing_heavy(tmp_path: Path) -> None:
    recording = tmp_path / "recording.wav"
    soundfile.write(recording, 0.1 * np.sin(np.arange(44_100) * 0.1), 44_100)
    bundled = Path(__file__).parents[1] / "models" / "commands-tiny"
    kept = str(tmp_path / "kept")
    modules = modules_after(
        "detect", str(recording), "--model", str(bundled), "--save-events", kept
    )
    assert not modules & set(HEAVY)
    assert {"onnxruntime", "soundfile", "soxr"} <= modules
    modules_after("review", kept, "--missed", "yes", str(recording), "0.5")
    modules = modules_after("review", kept)
    assert not modules & {*HEAVY, "onnxruntime", "jinja2"}


def test_importing_the_package_loads_nothing_heavy() -> None:
    script = "import sys, speechcls; print(*{name.split('.')[0] for name in sys.modules})"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert not set(done.stdout.split()) & {*HEAVY, "numpy", "soundfile", "onnxruntime", "typer"}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, "10000"),
        ({"GOMP_SPINCOUNT": "7"}, "7"),
        ({"OMP_WAIT_POLICY": "active"}, "none"),
    ],
)
def test_threads_of_torch_wait_awake_for_a_short_time(given: dict[str, str], expected: str) -> None:
    script = "import os, sys; from speechcls.cli.app import main\nsys.argv = ['speechcls', '-h']"
    script += "\ntry: main()\nexcept SystemExit: print(os.environ.get('GOMP_SPINCOUNT', 'none'))"
    bare = {k: v for k, v in os.environ.items() if k not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    done = subprocess.run(
        [sys.executable, "-c", script], env=bare | given, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == expected
