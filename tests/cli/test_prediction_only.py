"""Without what only training needs, predicting works and the rest says what to install."""

import os
import signal
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
import soundfile

from speechcls.cli.app import COMMANDS
from speechcls.files import CACHE_VARIABLE

ROOT = Path(__file__).parents[2]
MODULES = {"scikit-learn": "sklearn", "pillow": "PIL", "markdown-it-py": "markdown_it"}
SCRIPT = """
import sys
sys.modules.update(dict.fromkeys(sys.argv.pop(1).split(",")))
from speechcls.cli.app import main
main()
"""
WORKING = {
    "predict": ["clip.wav", "-m", "MODEL"],
    "detect": ["clip.wav", "-m", "MODEL"],
    "listen": ["--from", "clip.wav", "--speed", "0", "-m", "MODEL"],
    "record": ["yes", "--from", "clip.wav", "--speaker", "ann"],
    "review": ["kept", "--missed", "yes", "clip.wav", "0.1"],
    "bench": ["MODEL"],
    "check": ["DATA"],
    "pack": ["DATA", "--shards", "tar", "--out", "shards"],
    "synth": ["yes", "no", "--out", "spoken", "--per-word", "2"],
    "export": ["MODEL", "--to", "onnx", "--out", "exported"],
    "help": [],
}
SERVING = {"wyoming": ["--uri", "tcp://127.0.0.1:0", "-m", "MODEL"]}
LACKING = {
    "train": (["DATA"], "torch"),
    "tune": (["DATA"], "torch"),
    "archs": ([], "torch"),
    "explain": (["clip.wav", "-m", "MODEL"], "torch"),
    "features": (["clip.wav"], "torch"),
    "evaluate": (["DATA", "-m", "MODEL"], "scipy"),
    "verify": (["MODEL"], "safetensors"),
    "push": (["MODEL", "hf://ann/words"], "safetensors"),
    "pull": (["hf://ann/words"], "safetensors"),
    "calibrate": (["--noise", "noise", "-m", "MODEL"], "scipy"),
    "compare": (["DATA", "--archs", "gru"], "torch"),
    "mix": (["DATA", "--noise", "noise", "--out", "mixed.wav"], "filelock"),
    "cache": ([], "platformdirs"),
    "report": (["report"], "sklearn"),
}


def absent():
    """Return the modules that requirements-predict.txt leaves out."""
    lines = (ROOT / "requirements-predict.txt").read_text().splitlines()
    light = {line for line in lines if line and not line.startswith("#")}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    others = [line.split(">")[0] for line in project["dependencies"] if line not in light]
    return [MODULES.get(name, name.replace("-", "_")) for name in others]


def test_every_command_is_tried() -> None:
    # serve, which does not end by itself, is tried in test_serve.py.
    assert {*WORKING, *SERVING, *LACKING, "serve"} == set(COMMANDS)
    assert {"torch", "librosa", "sklearn", "matplotlib", "filelock"} <= set(absent())


@pytest.fixture(scope="module")
def place(home, tmp_path_factory, make_tone, call):
    path = tmp_path_factory.mktemp("place")
    (path / "noise").mkdir()
    clip = np.pad(make_tone("low"), 8_000)
    for name in ("clip.wav", "noise/hiss.wav"):
        soundfile.write(path / name, clip, 16_000)
    done = call("evaluate", home.data, "-m", home.model, "--report", "report", cwd=path)
    assert done.code == 0, done.stderr
    return path


def start_light(home, place, *arguments):
    own = {name: value for name, value in os.environ.items() if name != CACHE_VARIABLE}
    names = {"MODEL": str(home.model), "DATA": str(home.data)}
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, ",".join(absent()), *(names.get(a, a) for a in arguments)],
        cwd=place,
        env=own | {"HOME": str(place)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run_light(home, place, *arguments):
    process = start_light(home, place, *arguments)
    stdout, stderr = process.communicate()
    return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)


@pytest.mark.parametrize("command", WORKING)
def test_works(command, home, place) -> None:
    if command == "synth":
        pytest.importorskip("espeakng_loader")
    done = run_light(home, place, command, *WORKING[command])
    assert (done.returncode, "error:" in done.stderr) == (0, False), done.stderr


@pytest.mark.parametrize("command", SERVING)
def test_serves(command, home, place) -> None:
    pytest.importorskip(command, reason=f"pip install 'speechcls[{command}]'")
    with start_light(home, place, command, *SERVING[command]) as process:
        lines = []
        while (line := process.stderr.readline()) and "listening at" not in line:
            lines.append(line)
        assert line, lines
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0


@pytest.mark.parametrize("command", LACKING)
def test_says_what_to_install(command, home, place) -> None:
    arguments, package = LACKING[command]
    done = run_light(home, place, command, *arguments)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines()[-1] == (
        f"speechcls: error: {command} needs the package {package}, which an installation for"
        " prediction alone leaves out; pip install speechcls installs everything"
    )
    assert "Traceback" not in done.stderr
