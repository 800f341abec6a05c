"""Which model is meant: by its place, its name, the environment, or none at all."""

import os
import shutil
from pathlib import Path

import pytest
from common import refusal
from common_artifacts import save

from speechcls.artifact.lookup import (
    bundled_models,
    find_artifact,
    find_artifacts,
    find_bundled,
    is_bundled,
    locate,
)
from speechcls.artifact.store import load_artifact
from speechcls.errors import ArtifactError


def test_which_model_is_taken(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SPEECHCLS_MODEL", raising=False)
    # As if speechcls were installed here, and came without a model.
    module = tmp_path / "source/speechcls/artifact/lookup.py"
    monkeypatch.setattr("speechcls.artifact.lookup.__file__", str(module))
    with pytest.raises(ArtifactError, match=r"model: no model is named, here or by .*; train one"):
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
    monkeypatch.setenv("SPEECHCLS_MODEL", "commands")
    assert find_artifact(None) == (place, "$SPEECHCLS_MODEL")
    assert find_artifact(Path("named")) == (Path("named"), "named")


COMING = ("commands", "commands-stream", "commands-tiny")


def test_models_that_come_with_speechcls_are_found_in_its_folder(tmp_path, monkeypatch):
    package = tmp_path / "speechcls"
    monkeypatch.setattr("speechcls.artifact.lookup.__file__", str(package / "artifact/lookup.py"))
    for name in ("commands-tiny", "commands", "mine"):
        save(package / "bundled" / name)
    (package / "bundled" / "commands-stream").mkdir()  # half of one
    (package / "bundled" / "commands-stream" / "README.md").touch()
    assert list(bundled_models()) == ["commands", "commands-tiny"]
    assert locate(Path("commands")) == package / "bundled" / "commands"
    assert locate(Path("mine")) == Path("mine")
    assert locate(tmp_path / "commands") == tmp_path / "commands"  # a place, not a name
    assert is_bundled(package / "bundled" / "commands")
    assert not is_bundled(package / "bundled" / "mine") and not is_bundled(tmp_path / "commands")
    expected = "none: no such model; name the folder of a trained model, or one that comes with"
    message = refusal(ArtifactError, load_artifact, Path("none"))
    assert message == f"{expected} speechcls (commands, commands-tiny)"


def test_in_a_source_tree_a_model_with_a_card_is_the_users(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SPEECHCLS_MODEL", raising=False)
    module = tmp_path / "speechcls/artifact/lookup.py"
    monkeypatch.setattr("speechcls.artifact.lookup.__file__", str(module))
    for name in ("commands", "mine"):
        save(tmp_path / "models" / name)
        (tmp_path / "models" / name / "README.md").touch()
    os.utime(tmp_path / "models/mine/config.json", (1, 1))  # older, but the user's own
    assert find_artifact(None) == (Path("models/mine"), "newest in ./models/")


def test_a_model_of_the_users_takes_precedence_over_one_of_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in COMING:
        assert load_artifact(Path(name)).labels[0] == "yes"
        place = Path(name)
        place.mkdir()
        assert locate(place) == find_bundled(name)  # an empty folder is no model
        (place / "model.onnx").touch()  # a damaged one is
        assert locate(place) == place
        shutil.rmtree(place)
        save(place)
        assert load_artifact(place).labels == ("no", "yes")
    # Folders of models are the user's as well.
    shutil.rmtree("commands")
    save(Path("commands") / "own")
    assert find_artifacts(Path("commands")) == [Path("commands/own")]


def test_a_model_that_is_being_replaced_is_not_mistaken_for_one_of_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save(Path("commands"))
    aside = tmp_path / ".commands-abcdefgh" / "replaced"  # as a replacement leaves it
    aside.parent.mkdir()
    Path("commands").rename(aside)
    assert load_artifact(Path("commands")).labels == ("no", "yes")


def test_what_is_no_model_is_told_apart(tmp_path):
    folder, file = tmp_path / "folder", tmp_path / "file"
    folder.mkdir()
    file.touch()
    advice = "name the folder of a trained model"
    bundled = f"{advice}, or one that comes with speechcls ({', '.join(COMING)})"
    for place, reason in (
        (tmp_path / "none", f"no such model; {bundled}"),
        (file, f"a file, not a model folder; {bundled}"),
        (folder, f"not a speechcls model (no config.json and no model.onnx); {advice}"),
    ):
        assert refusal(ArtifactError, load_artifact, place) == f"{place}: {reason}"
    (folder / "config.json").write_text("{}")
    expected = f"{folder}: not a speechcls model (no model.onnx); {advice}"
    assert refusal(ArtifactError, load_artifact, folder) == expected
