"""Models on disk: whole or not at all. Round trips are in tests/property."""

import errno
import json
import os
from pathlib import Path

import pytest

from speechcls.artifact.format import Artifact
from speechcls.artifact.lookup import find_artifact
from speechcls.artifact.store import load_artifact, save_artifact
from speechcls.config import FeatureConfig, NetworkConfig
from speechcls.errors import ArtifactError


def save(path, labels=("no", "yes"), force=False, words=None):
    model = Artifact(path, FeatureConfig(), NetworkConfig(), labels, words or labels)
    save_artifact(model, {}, b"graph", {}, [], force)


def test_a_replacement_that_fails_at_the_last_step_leaves_the_old_model(tmp_path, monkeypatch):
    place = tmp_path / "model"
    save(place)
    rename = Path.rename

    def fail_for_the_new_one(self, target):
        if self.name == "whole":
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fail_for_the_new_one)
    with pytest.raises(ArtifactError, match=r"not written \(Input/output error\); choose another"):
        save(place, ("down", "up"), force=True)
    assert load_artifact(place).labels == ("no", "yes")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_force_replaces_a_model_and_nothing_else(tmp_path):
    place = tmp_path / "model"
    save(place)
    with pytest.raises(ArtifactError, match="exists; replace it with --force"):
        save(place, ("down", "up"))
    save(place, ("down", "up"), force=True)
    assert load_artifact(place).labels == ("down", "up")
    (tmp_path / "recordings").mkdir()
    (tmp_path / "recordings" / "1.wav").touch()
    with pytest.raises(ArtifactError, match="exists and is not a model; choose another --out"):
        save(tmp_path / "recordings", force=True)
    assert (tmp_path / "recordings" / "1.wav").exists()


def test_which_model_is_taken(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SPEECHCLS_MODEL", raising=False)
    # As if speechcls were installed here, and came without a model.
    module = tmp_path / "source/speechcls/artifact/lookup.py"
    monkeypatch.setattr("speechcls.artifact.lookup.__file__", str(module))
    with pytest.raises(ArtifactError, match=r"no model: .* make one with: speechcls train DATA"):
        find_artifact(None)
    for place in (
        tmp_path / "source/models/commands",
        tmp_path / "source/speechcls/bundled/commands",
    ):
        save(place)  # in a source tree, then in a wheel, which comes first
        assert find_artifact(None) == (place, "comes with speechcls")
    for age, name in ((300, "old"), (100, "new"), (200, "middle")):
        save(tmp_path / "models" / name)
        config = tmp_path / "models" / name / "config.json"
        os.utime(config, (10_000 - age, 10_000 - age))
    (tmp_path / "models" / "unfinished").mkdir()
    (tmp_path / "models" / "unfinished" / "config.json").touch()
    assert find_artifact(None) == (Path("models/new"), "newest in ./models/")
    monkeypatch.setenv("SPEECHCLS_MODEL", "elsewhere")
    assert find_artifact(None) == (Path("elsewhere"), "$SPEECHCLS_MODEL")
    assert find_artifact(Path("named")) == (Path("named"), "--model")


def test_words_are_kept_in_their_order_beside_the_labels(tmp_path):
    place = tmp_path / "model"
    save(place, ("yes", "_unknown_"), words=("yes", "dog", "cat"))
    config = json.loads((place / "config.json").read_text())
    assert (config["labels"], config["words"]) == (["yes", "_unknown_"], ["yes", "dog", "cat"])
    loaded = load_artifact(place)
    assert (loaded.labels, loaded.words) == (("yes", "_unknown_"), ("yes", "dog", "cat"))


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["yes", "cat", "cat"], "ValueError: impossible words"),
        (["yes"], "ValueError: impossible words"),  # fewer than there are labels
        (None, "KeyError: 'words'"),
        (7, "TypeError: "),
    ],
)
def test_impossible_words_are_refused(words, reason, tmp_path):
    place = tmp_path / "model"
    save(place, ("yes", "_unknown_"), words=("yes", "dog", "cat"))
    config = json.loads((place / "config.json").read_text())
    config["words"] = words
    if words is None:
        del config["words"]
    (place / "config.json").write_text(json.dumps(config))
    with pytest.raises(ArtifactError) as error:
        load_artifact(place)
    start = f"{place / 'config.json'}: damaged or not of speechcls ({reason}"
    assert str(error.value).startswith(start)
    assert str(error.value).endswith("; train again or copy the model again")
