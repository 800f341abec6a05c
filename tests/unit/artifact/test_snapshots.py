"""The file of a model's snapshots: what is in it, and what is refused of a stranger's."""

import json

import numpy as np
import pytest
from common import refusal
from common_artifacts import save
from safetensors.numpy import load
from safetensors.numpy import save as serialize

from speechcls.artifact.format import Artifact
from speechcls.artifact.manifest import extended_manifest
from speechcls.artifact.snapshots import load_snapshots, snapshot_bytes
from speechcls.artifact.store import load_artifact, save_artifact
from speechcls.config import FeatureConfig, NetworkConfig
from speechcls.errors import ArtifactError

NAME = "snapshots.safetensors"
WEIGHTS = {
    12: {"layer.weight": np.array([[1.0, 2.0], [3.0, 4.0]], np.float32).T},
    2: {"layer.weight": np.zeros((2, 2), np.float32), "n": np.array(7)},
}


@pytest.fixture
def model(tmp_path):
    """A model with snapshots of the epochs 2 and 12."""
    place, labels = tmp_path / "model", ("no", "yes")
    artifact = Artifact(place, FeatureConfig(), NetworkConfig(), labels, labels)
    save_artifact(artifact, {}, b"abc", {}, [], snapshots=snapshot_bytes(WEIGHTS))
    return place


def rewrite(model, tensors):
    """Put other snapshots into a model, of which the manifest knows."""
    content = serialize(tensors)
    manifest = extended_manifest(model, NAME, content)
    (model / NAME).write_bytes(content)
    (model / "manifest.json").write_bytes(manifest)
    return load_artifact(model)


def test_the_weights_come_back_by_epoch(model):
    assert load((model / NAME).read_bytes()).keys() == {
        "epoch.2.layer.weight", "epoch.2.n", "epoch.12.layer.weight",
    }  # fmt: skip
    found = load_snapshots(load_artifact(model))
    assert list(found) == [2, 12]
    assert found[12]["layer.weight"].tolist() == [[1, 3], [2, 4]]
    assert found[2].keys() == {"layer.weight", "n"} and found[2]["n"] == 7


def test_a_model_without_them_has_none_and_a_manifest_that_older_ones_read(tmp_path):
    save(tmp_path / "model")
    assert load_snapshots(load_artifact(tmp_path / "model")) == {}
    assert json.loads((tmp_path / "model" / "manifest.json").read_text())["format_version"] == 1


def test_an_older_speechcls_is_told_to_upgrade_not_that_it_is_damaged(model):
    assert json.loads((model / "manifest.json").read_text())["format_version"] == 2
    # Nor does a file that is added later forget it.
    manifest = json.loads(extended_manifest(model, "calibration.json", b"{}"))
    assert (manifest["format_version"], NAME in manifest["sha256"]) == (2, True)


@pytest.mark.parametrize(
    "name", ["layer.weight", "epoch.layer", "epoch.0.w", "epoch.-1.w", "epoch.1_0.w", "epoch.٣.w"]
)
def test_a_tensor_of_no_epoch_is_refused(name, model):
    artifact = rewrite(model, {name: np.zeros(1, np.float32)})
    message = refusal(ArtifactError, load_snapshots, artifact)
    assert message.startswith(f"{model / NAME}: missing or damaged (")
    assert f"{name!r} is of no snapshot" in message


def test_weights_that_are_no_numbers_are_refused(model):
    artifact = rewrite(model, {"epoch.1.w": np.array([1.0, np.nan], np.float32)})
    assert "'epoch.1.w' is not finite" in refusal(ArtifactError, load_snapshots, artifact)


def test_other_bytes_than_those_of_the_manifest_are_refused(model):
    artifact = load_artifact(model)
    content = bytearray((model / NAME).read_bytes())
    content[-1] ^= 1
    (model / NAME).write_bytes(content)
    message = refusal(ArtifactError, load_snapshots, artifact)
    assert message.startswith(f"{model / NAME}: not the file that manifest.json names")
    (model / NAME).unlink()
    message = refusal(ArtifactError, load_snapshots, artifact)
    assert message.startswith(f"{model / NAME}: missing or damaged (")
