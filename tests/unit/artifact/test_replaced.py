"""A model that is replaced while it is loaded: the old one or the new one, whole, never none."""

import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from speechcls.artifact import store
from speechcls.artifact.manifest import read_limited
from speechcls.artifact.store import check_can_save, load_artifact
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


EXCHANGING = """
import sys
from pathlib import Path
from speechcls.scratch import exchange
first, second = map(Path, sys.argv[1:])
print(flush=True)
while True:
    exchange(first, second)
"""


def test_no_load_fails_while_models_are_exchanged_without_pause(tmp_path):
    places = tmp_path / "first", tmp_path / "second"
    for place, model in zip(places, (WINDOWS, CAUSAL), strict=True):
        write_folder_atomic(place, files_of(model))
    command = [sys.executable, "-c", EXCHANGING, *places]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout
        process.stdout.readline()
        try:
            loaded = [Classifier.load(places[0], jobs=1) for _ in range(30)]
        finally:
            process.kill()
    # One has a temperature; mixed files would be refused, or have the temperature of the other.
    seen = {(each.temperature, each.artifact.network.is_streaming) for each in loaded}
    assert seen == {(1.0, False), (0.8, True)}


@pytest.mark.parametrize("name", ["config.json", "manifest.json", "model.onnx", "stream.onnx"])
def test_a_model_that_is_replaced_while_it_is_read_is_read_again(name, tmp_path, monkeypatch):
    place = tmp_path / "model"
    write_folder_atomic(place, files_of(CAUSAL))
    reads = []

    def read(path, *args):
        reads.append(path.name)
        if reads.count(name) == 1 and path.name == name:
            write_folder_atomic(place, files_of(WINDOWS))  # and removes what is being read
        return read_limited(path, *args)

    monkeypatch.setattr(store, "read_limited", read)
    assert Classifier.load(place, jobs=1).temperature == 1
    assert not StreamingClassifier.load(place).artifact.network.is_streaming
    assert reads.count("config.json") == 3


def test_a_loaded_model_answers_as_loaded_whatever_is_there_by_then(tmp_path):
    place = tmp_path / "model"
    write_folder_atomic(place, files_of(CAUSAL))
    artifact = load_artifact(place)
    write_folder_atomic(place, files_of(WINDOWS))
    assert Classifier(artifact, jobs=1).temperature == 0.8
    assert StreamingClassifier(artifact).artifact.network.is_streaming
    shutil.rmtree(place)
    assert Classifier(artifact, jobs=1).temperature == 0.8


def test_a_model_that_is_replaced_without_end_is_an_error(tmp_path, monkeypatch):
    place, n_reads = tmp_path / "model", []

    def read(path, *args):
        if path.name == "calibration.json":  # that it has none is no news once it is replaced
            n_reads.append(path)
            write_folder_atomic(place, files_of(WINDOWS))
        return read_limited(path, *args)

    write_folder_atomic(place, files_of(WINDOWS))
    monkeypatch.setattr(store, "_TRIES", 3)
    monkeypatch.setattr(store, "read_limited", read)
    with pytest.raises(ArtifactError, match=r"model: replaced again and again while it is read"):
        load_artifact(place)
    assert len(n_reads) == 3
