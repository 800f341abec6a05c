"""A model that is replaced while it is loaded: the old one or the new one, whole, never none."""

import itertools
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from speechcls.artifact import store
from speechcls.artifact.store import check_can_save, load_artifact, load_whole
from speechcls.errors import ArtifactError
from speechcls.files import write_folder_atomic
from speechcls.runtime.classifier import Classifier
from speechcls.runtime.streaming import StreamingClassifier

COMPAT = Path(__file__).parents[2] / "compat"
WINDOWS, CAUSAL = COMPAT / "format-2", COMPAT / "format-2-stream"


def files_of(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


REPLACING = """
import sys
from pathlib import Path
from speechcls import scratch
from speechcls.files import write_folder_atomic
if sys.argv[1] == "renames":
    scratch.exchange = lambda first, second: False
place, *sources = map(Path, sys.argv[2:])
contents = [{path.name: path.read_bytes() for path in source.iterdir()} for source in sources]
n = 0
while sys.stdin.buffer.read(1):  # told when to, so that loads and replacements overlap
    write_folder_atomic(place, contents[n % 2])
    n += 1
"""


@pytest.mark.parametrize("how", ["exchange", "renames"])
def test_no_load_fails_in_a_loop_of_replacements(how, tmp_path):
    place = tmp_path / "model"
    write_folder_atomic(place, files_of(CAUSAL))
    command = [sys.executable, "-c", REPLACING, how, place, WINDOWS, CAUSAL]
    seen = set()
    with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
        assert process.stdin
        with process.stdin:
            for _ in range(75):
                process.stdin.write(b"12")
                process.stdin.flush()
                # One has a temperature and reads blocks of its own; mixed files would be refused.
                classifier = Classifier.load(place, jobs=1)
                process.stdin.write(b"3")
                process.stdin.flush()
                stream = StreamingClassifier.load(place)
                seen.add((classifier.temperature, classifier.artifact.network.is_streaming))
                assert stream.sample_rate == 8_000
    assert process.returncode == 0
    assert seen == {(1.0, False), (0.8, True)}


KILLED = """
import os, signal
from pathlib import Path
rename = Path.rename
def die(path, target):
    if path.name == "whole":
        os.kill(os.getpid(), signal.SIGKILL)
    return rename(path, target)
Path.rename = die
"""


@pytest.fixture
def killed(tmp_path):
    """A model that is not there, since its replacement was killed between two renames."""
    place = tmp_path / "model"
    write_folder_atomic(place, files_of(WINDOWS))
    command = [sys.executable, "-c", KILLED + REPLACING, "renames", place, CAUSAL, CAUSAL]
    assert subprocess.run(command, input=b"1", check=False).returncode == -signal.SIGKILL
    assert not place.exists()
    return place


def test_a_model_whose_replacement_was_killed_is_loaded(killed, tmp_path):
    assert not load_artifact(killed).network.is_streaming
    assert [path.name for path in tmp_path.glob("*") if path.name[0] != "."] == ["model"]
    write_folder_atomic(killed, files_of(CAUSAL))
    assert list(tmp_path.iterdir()) == [killed]


def test_a_model_whose_replacement_was_killed_is_not_replaced_without_force(killed):
    with pytest.raises(ArtifactError, match="model: exists; use force to replace it"):
        check_can_save(killed, force=False)
    assert not load_artifact(killed).network.is_streaming


def test_files_are_read_again_when_the_folder_is_another_one(tmp_path):
    place = tmp_path / "model"
    write_folder_atomic(place, files_of(WINDOWS))
    made = []

    def make(artifact):
        made.append(artifact.network.is_streaming)
        if len(made) == 1:
            write_folder_atomic(place, files_of(CAUSAL))
            raise ArtifactError("files of different models are mixed")
        return artifact

    assert load_whole(place, make).network.is_streaming
    assert made == [False, True]


def test_an_error_of_a_model_that_stays_is_raised_once(tmp_path):
    place = tmp_path / "model"
    write_folder_atomic(place, files_of(WINDOWS))
    made = []

    def make(artifact):
        made.append(artifact)
        raise ArtifactError("damaged")

    with pytest.raises(ArtifactError, match="damaged"):
        load_whole(place, make)
    assert len(made) == 1


def test_a_model_that_is_replaced_without_end_is_an_error(tmp_path, monkeypatch):
    place = tmp_path / "model"
    write_folder_atomic(place, files_of(WINDOWS))
    monkeypatch.setattr(store, "_TRIES", 3)
    n_made = itertools.count(1)
    with pytest.raises(ArtifactError, match=r"model: replaced again and again while it is read"):
        load_whole(place, lambda artifact: os.utime(place, ns=(1, next(n_made))))
    assert next(n_made) == 4
