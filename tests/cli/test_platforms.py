"""What Windows and macOS lack is hidden: locks, signals, cores of a process, folders by number.

Neither system is here; these runs show that nothing depends on it where Linux has it.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

OLD = Path(__file__).parents[1] / "compat" / "format-2"
HIDING = """
import multiprocessing, os, signal, sys
sys.modules["fcntl"] = None  # no locks on Windows
del signal.SIGHUP  # nor this signal
del os.sched_getaffinity  # neither on macOS nor on Windows
del os.O_NONBLOCK
os.supports_dir_fd = set()
if __name__ == "__main__":
    multiprocessing.set_start_method("spawn")
    os.fork = None
    from speechcls import scratch
    scratch.exchange = lambda first, second: False
    from speechcls.cli.app import main
    main()
"""


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory):
    """Run a command as if on a system that has less."""
    script = tmp_path_factory.mktemp("script") / "elsewhere.py"
    script.write_text(HIDING)

    def run(*arguments, cwd):
        done = subprocess.run(
            [sys.executable, script, *map(str, arguments)],
            cwd=cwd,
            env=os.environ | {"OMP_NUM_THREADS": "1", "SPEECHCLS_CACHE": str(cwd / "cache")},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def test_training_and_prediction_need_nothing_that_only_linux_has(elsewhere, make_tones, tmp_path):
    make_tones(tmp_path / "data", n_speakers=8, n_takes=1)
    train = ("train", "data", "--arch", "gru", "--hidden-size", "8", "--epochs", "1", "--closed")
    train += ("--epoch-clips", "1", "--from", "none", "--num-layers", "1")
    shutil.copytree(OLD, tmp_path / "models" / "data-gru")
    assert elsewhere(*train, "--force", cwd=tmp_path) == "models/data-gru\n"  # it is replaced
    predicted = elsewhere("predict", "data/low", "--jobs", "2", cwd=tmp_path).splitlines()
    assert len(predicted) == 8
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"data", "models", "cache"}
