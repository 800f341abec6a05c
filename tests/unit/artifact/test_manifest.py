"""The files of a model as bytes: how large they may be, and that they are those of the manifest."""

import json
import os
import tracemalloc

import pytest
from common import refusal

from speechcls.artifact import manifest
from speechcls.artifact.format import Artifact
from speechcls.artifact.manifest import (
    check_digest,
    extended_manifest,
    manifest_of,
    parse_json,
    read_file,
    read_limited,
)
from speechcls.artifact.store import load_artifact, save_artifact
from speechcls.config import FeatureConfig, NetworkConfig
from speechcls.errors import ArtifactError

# From sha256sum.
ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
NOTHING = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@pytest.fixture
def model(tmp_path):
    labels = ("no", "yes")
    place = tmp_path / "model"
    artifact = Artifact(place, FeatureConfig(), NetworkConfig(), labels, labels)
    save_artifact(artifact, {}, b"abc", {}, [])
    return place


@pytest.mark.parametrize("name", ["config.json", "other.json"])  # others may be as large as a graph
def test_the_largest_file_that_is_read(name, tmp_path, monkeypatch):
    monkeypatch.setitem(manifest.FILES, {"other.json": "model.onnx"}.get(name, name), 2 * 2**20)
    path = tmp_path / name
    path.write_bytes(bytes(2 * 2**20))
    assert read_limited(path) == bytes(2 * 2**20)
    path.write_bytes(bytes(2 * 2**20 + 1))
    message = refusal(ArtifactError, read_limited, path)
    assert message == f"{path}: larger than 2 MiB; copy the model again"


def test_of_a_file_that_is_too_large_no_more_is_read_than_is_allowed(tmp_path, monkeypatch):
    monkeypatch.setitem(manifest.FILES, "config.json", 2**20)
    path = tmp_path / "config.json"
    path.touch()
    os.truncate(path, 2**28)  # takes no space on the disk
    tracemalloc.start()
    with pytest.raises(ArtifactError, match="larger than 1 MiB"):
        read_limited(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**23


def test_what_is_no_file_is_not_read(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_limited(tmp_path / "config.json")
    (tmp_path / "config.json").mkdir()
    message = refusal(ArtifactError, read_limited, tmp_path / "config.json")
    assert message == f"{tmp_path / 'config.json'}: not a file; copy the model again"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"[" * 100_000, "nested too deeply"),
        (b'{"a": NaN}', "NaN is no number"),
        (b"[-Infinity]", "-Infinity is no number"),
    ],
)
def test_json_that_other_readers_refuse(content, reason):
    assert parse_json('{"ä": [1, 2.5, null]}'.encode()) == {"ä": [1, 2.5, None]}
    with pytest.raises(ValueError) as raised:
        parse_json(content)
    assert str(raised.value) == reason


def test_a_manifest_by_hand():
    content = manifest_of({"model.onnx": b"abc", "config.json": b""})
    assert json.loads(content) == {
        "format_version": 1,
        "sha256": {"config.json": NOTHING, "model.onnx": ABC},
    }
    assert content.index(b"config.json") < content.index(b"model.onnx")


def test_a_file_has_to_be_that_of_the_manifest(model):
    artifact = load_artifact(model)
    path = model / "metrics.json"
    assert json.loads(read_file(artifact, "metrics.json")) == {}
    expected = (
        f"{path}: not the file that manifest.json names (SHA-256); it was changed or damaged, or"
        " files of different models are mixed: copy the model again"
    )
    path.write_bytes(b"[]")
    assert refusal(ArtifactError, read_file, artifact, "metrics.json") == expected
    assert check_digest(path, b"abc", {"metrics.json": ABC}) is None
    assert check_digest(path, b"abc", {}) is None  # a model without a manifest
    # One that the manifest does not name has been added.
    assert refusal(ArtifactError, check_digest, path, b"abc", {"split.csv": ABC}) == expected


def test_a_file_that_a_model_lacks(model):
    with pytest.raises(FileNotFoundError) as raised:
        read_file(load_artifact(model), "stream.onnx")
    expected = f"[Errno 2] No such file or directory: '{model / 'stream.onnx'}'"
    assert str(raised.value) == expected


def test_a_configuration_that_was_edited_is_not_that_of_the_manifest(model):
    path = model / "config.json"
    path.write_bytes(path.read_bytes() + b"\n")
    message = refusal(ArtifactError, load_artifact, model)
    assert message.startswith(f"{path}: not the file that manifest.json names (SHA-256); ")


def test_a_manifest_with_one_more_file(model):
    before = json.loads((model / "manifest.json").read_bytes())["sha256"]
    assert before["model.onnx"] == ABC
    extended = extended_manifest(model, "calibration.json", b"")
    assert json.loads(extended) == {
        "format_version": 1,
        "sha256": {**before, "calibration.json": NOTHING},
    }
    (model / "manifest.json").unlink()
    assert extended_manifest(model, "calibration.json", b"") is None
    assert dict(load_artifact(model).digests) == {}


def test_a_manifest_names_the_configuration_and_the_graph_at_least(model):
    path = model / "manifest.json"
    named = json.loads(path.read_bytes())["sha256"]
    least = {name: named[name] for name in ("config.json", "model.onnx")}
    path.write_text(json.dumps({"format_version": 1, "sha256": least}))
    assert dict(load_artifact(model).digests) == least


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"sha256": {"config.json": ABC}}, "ValueError: impossible files"),
        ({"sha256": {"model.onnx": ABC}}, "ValueError: impossible files"),
        ({"other.txt": ABC}, "ValueError: impossible files"),
        ({"manifest.json": ABC}, "ValueError: impossible files"),
        ({"split.csv": ABC[1:]}, "ValueError: impossible SHA-256"),
        ({"split.csv": ABC + "0"}, "ValueError: impossible SHA-256"),
        ({"split.csv": list(ABC)}, "ValueError: impossible SHA-256"),
        ({"format_version": None}, "ValueError: impossible format_version"),
    ],
)
def test_impossible_manifests(changes, reason, model):
    path = model / "manifest.json"
    content = json.loads(path.read_bytes())
    for name, value in changes.items():
        (content if name in content else content["sha256"])[name] = value
    path.write_text(json.dumps(content))
    expected = f"{path}: damaged ({reason}); copy the model again"
    assert refusal(ArtifactError, load_artifact, model) == expected
    assert refusal(ArtifactError, extended_manifest, model, "calibration.json", b"") == expected


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"format_version": 1}', b"\xff"])
def test_damaged_manifests(content, model):
    (model / "manifest.json").write_bytes(content)
    message = refusal(ArtifactError, load_artifact, model)
    assert message.startswith(f"{model / 'manifest.json'}: damaged (")


def test_a_manifest_of_a_newer_speechcls(model):
    path = model / "manifest.json"
    path.write_bytes(path.read_bytes().replace(b'"format_version": 1', b'"format_version": 3'))
    assert refusal(ArtifactError, load_artifact, model) == (
        f"{path}: format version 3 is newer than this speechcls understands (2); upgrade speechcls"
    )
