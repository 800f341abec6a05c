"""Models on disk: whole or not at all. Round trips are in tests/property."""

import errno
import json
import os
from pathlib import Path

import numpy as np
import pytest
from common import refusal
from common_artifacts import save
from safetensors.numpy import save as serialize

from speechcls.artifact.format import Artifact, SplitRow
from speechcls.artifact.store import (
    check_can_save,
    load_artifact,
    load_split,
    load_weights,
    read_metrics,
    save_artifact,
)
from speechcls.config import FeatureConfig, NetworkConfig, TrainConfig
from speechcls.errors import ArtifactError


def test_a_replacement_that_fails_at_the_last_step_leaves_the_old_model(tmp_path, monkeypatch):
    place = tmp_path / "model"
    save(place)
    rename = Path.rename

    def fail_for_the_new_one(self, target):
        if self.name == "whole":
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fail_for_the_new_one)
    monkeypatch.setattr("speechcls.scratch.exchange", lambda first, second: False)
    with pytest.raises(ArtifactError, match=r"not written \(input/output error\); choose another"):
        save(place, ("down", "up"), force=True)
    assert load_artifact(place).labels == ("no", "yes")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_force_replaces_a_model_and_nothing_else(tmp_path):
    place = tmp_path / "model"
    save(place)
    with pytest.raises(ArtifactError, match="exists; use force to replace it"):
        save(place, ("down", "up"))
    save(place, ("down", "up"), force=True)
    assert load_artifact(place).labels == ("down", "up")
    (tmp_path / "recordings").mkdir()
    (tmp_path / "recordings" / "1.wav").touch()
    with pytest.raises(ArtifactError, match="exists and is not a model; choose another place"):
        save(tmp_path / "recordings", force=True)
    assert (tmp_path / "recordings" / "1.wav").exists()


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


OLD_NAMES = {
    "unknown_ratio": "unknown_share",
    "silence_ratio": "silence_share",
    "scramble_ratio": "scramble_share",
    "speed_max": "speed_share",
    "shift_max": "shift_share",
    "equaliser_prob": "equaliser_share",
    "reverb_prob": "reverb_share",
    "noise_prob": "noise_share",
    "time_mask_max": "time_mask_share",
    "frequency_mask_max": "frequency_mask_share",
    "warmup_ratio": "warmup_share",
    "ema_decay": "average_decay",
}


def test_metrics_of_older_models_have_todays_names(tmp_path):
    training = TrainConfig(seed=7).to_dict()
    old = {OLD_NAMES.get(name, name): value for name, value in training.items()}
    assert len(old.keys() - training.keys()) == 12
    (tmp_path / "metrics.json").write_text(json.dumps({"training": old, "n_parameters": 5}))
    metrics = read_metrics(tmp_path)
    assert metrics == {"training": training, "n_parameters": 5}
    assert TrainConfig.from_dict(metrics["training"]) == TrainConfig(seed=7)


@pytest.mark.parametrize("content", [None, b"", b"{", b"\xff", b"[1]", b"null"])
def test_metrics_that_are_missing_or_damaged(content, tmp_path):
    if content is not None:
        (tmp_path / "metrics.json").write_bytes(content)
    assert read_metrics(tmp_path) == {}
    with pytest.raises(ArtifactError, match=r"metrics\.json: missing or damaged \("):
        read_metrics(tmp_path, required=True)


def test_metrics_of_a_model_that_does_not_say_how_it_was_trained(tmp_path):
    (tmp_path / "metrics.json").write_text('{"training": null}')
    assert read_metrics(tmp_path, required=True) == {"training": None}


ROWS = [
    SplitRow("a/1.wav", "a", "ann", "train", 0.0, None, 1.0, "00ff"),
    SplitRow('b, "2"\r.wav', "b", "", "test", 0.25, 1.5, 0.5, "ff00"),
    SplitRow("n\udcf6.wav", "b", "", "validation", 0.0, None, 1.0, "0f0f"),
]


def test_splits_are_read_back_with_either_line_end(tmp_path):
    model = Artifact(tmp_path / "m", FeatureConfig(), NetworkConfig(), ("a", "b"), ("a", "b"))
    save_artifact(model, {}, b"graph", {}, ROWS)
    assert load_split(model) == ROWS
    content = (tmp_path / "m" / "split.csv").read_bytes()
    assert content.count(b"\n") == 4 and content.count(b"\r") == 1  # that of the name
    (tmp_path / "m" / "split.csv").write_bytes(content.replace(b"\n", b"\r\n"))  # as it was once
    assert load_split(model) == ROWS


def test_every_file_of_a_model(tmp_path):
    place, rows = tmp_path / "model", [{"epoch": 1, "loss": 0.5}]
    artifact = Artifact(place, FeatureConfig(), NetworkConfig(), ("no", "yes"), ("yes", "no"))
    weights = np.arange(6, dtype=np.float32).reshape(2, 3)
    save_artifact(
        artifact,
        {"w": weights.T, "n": np.array([7])},  # not contiguous
        b"graph",
        {"accuracy": 0.5, "history": rows},
        [SplitRow("=a.wav", "@a", "+s", "train", 0.0, None, 1.0, "00ff")],
        stream=b"stream",
        curves=b"curves",
        settings={"training": {"seed": 3}},
    )
    content = {path.name: path.read_bytes() for path in place.iterdir()}
    assert content.keys() - {"weights.safetensors"} == {
        "config.json", "model.onnx", "stream.onnx", "metrics.json", "split.csv", "curves.png",
        "history.csv", "manifest.json",
    }  # fmt: skip
    assert json.loads(content["config.json"]) == {
        "format_version": 2,
        "labels": ["no", "yes"],
        "words": ["yes", "no"],
        "features": FeatureConfig().to_dict(),
        "network": NetworkConfig().to_dict(),
        "training": {"seed": 3},
    }
    assert content["model.onnx"] == b"graph"
    assert (content["stream.onnx"], content["curves.png"]) == (b"stream", b"curves")
    assert json.loads(content["metrics.json"]) == {"accuracy": 0.5, "history": rows}
    assert content["history.csv"] == b"epoch,loss\n1,0.5\n"
    # No cell is a formula.
    assert content["split.csv"] == (
        b"path,label,speaker,split,start_s,end_s,gain,digest\n'=a.wav,'@a,'+s,train,0.0,,1.0,00ff\n"
    )
    named = json.loads(content["manifest.json"])["sha256"]
    assert named.keys() == content.keys() - {"manifest.json"}
    loaded = load_weights(artifact)
    assert loaded.keys() == {"w", "n"}
    assert np.array_equal(loaded["w"], weights.T) and loaded["n"].tolist() == [7]
    assert [row.path for row in load_split(artifact)] == ["=a.wav"]


def test_a_model_has_no_files_but_those_it_needs(tmp_path):
    save(tmp_path / "model")
    assert {path.name for path in (tmp_path / "model").iterdir()} == {
        "config.json", "weights.safetensors", "model.onnx", "metrics.json", "split.csv",
        "manifest.json",
    }  # fmt: skip


def test_no_model_is_replaced_unless_that_is_asked_for(tmp_path):
    save(tmp_path / "model")
    artifact = load_artifact(tmp_path / "model")
    with pytest.raises(ArtifactError, match="exists; use force to replace it"):
        save_artifact(artifact, {}, b"other", {}, [])


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (errno.ENOSPC, "no space left on device); free some space"),
        (errno.EROFS, "read-only file system); choose another place"),
    ],
)
def test_what_to_do_where_a_model_cannot_be_written(number, expected, tmp_path, monkeypatch):
    def fail(path, contents):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("speechcls.artifact.store.write_folder_atomic", fail)
    message = refusal(ArtifactError, save, tmp_path / "model")
    assert message == f"{tmp_path / 'model'}: not written ({expected}"


def test_where_a_model_can_be_saved(tmp_path):
    file, empty = tmp_path / "file", tmp_path / "empty"
    file.touch()
    empty.mkdir()
    for place in (tmp_path / "new", tmp_path / "far/away"):
        check_can_save(place, force=False)
    check_can_save(empty, force=True)
    taken = f"{empty}: exists; use force to replace it, or choose another place"
    assert refusal(ArtifactError, check_can_save, empty, False) == taken
    assert sorted(tmp_path.iterdir()) == [empty, file]  # nothing was made
    for force in (False, True):
        message = refusal(ArtifactError, check_can_save, file, force)
        assert message == f"{file}: exists and is not a model; choose another place"
        message = refusal(ArtifactError, check_can_save, file / "model", force)
        assert message == f"{file}: not a directory; choose another place"
    save(empty, force=True)
    check_can_save(empty, force=True)
    assert refusal(ArtifactError, check_can_save, empty, False) == taken


def test_a_link_that_leads_nowhere_is_no_place_for_a_model(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "gone")
    message = refusal(ArtifactError, check_can_save, tmp_path / "link", True)
    assert message == f"{tmp_path / 'link'}: exists and is not a model; choose another place"


def test_a_model_of_a_newer_speechcls(tmp_path):
    place = tmp_path / "model"
    save(place)
    content = (place / "config.json").read_bytes()
    newer = content.replace(b'"format_version": 2', b'"format_version": 3')
    (place / "config.json").write_bytes(newer)
    assert refusal(ArtifactError, load_artifact, place) == (
        f"{place}: format version 3 is newer than this speechcls understands (2); upgrade speechcls"
    )


def test_an_impossible_setting_of_a_model_is_named(tmp_path):
    path = tmp_path / "model/config.json"
    save(path.parent)
    config = json.loads(path.read_bytes())
    config["features"]["hop_length"] = 0
    path.write_text(json.dumps(config))
    start = f"{path}: damaged or not of speechcls (ConfigError: hop_length: 0 is not possible; "
    assert refusal(ArtifactError, load_artifact, path.parent).startswith(start)


def test_weights_that_are_missing_or_not_finite(tmp_path):
    artifact = Artifact(tmp_path, FeatureConfig(), NetworkConfig(), ("a", "b"), ("a", "b"))
    path = tmp_path / "weights.safetensors"
    missing = f"{path}: missing or damaged (no such file or directory); copy the model again"
    assert refusal(ArtifactError, load_weights, artifact) == missing
    path.write_bytes(serialize({"a": np.ones(2), "b": np.array([1.0, np.inf])}))
    reason = "missing or damaged (b is not finite); copy the model again"
    assert refusal(ArtifactError, load_weights, artifact) == f"{path}: {reason}"


@pytest.mark.parametrize(
    ("numbers", "row"),
    [
        ("0,0,0", (0.0, 0.0, 0.0)),
        ("1.5,,2", (1.5, None, 2.0)),
        ("0,1e300,1e300", (0.0, 1e300, 1e300)),
        ("inf,,1", None),
        ("0,inf,1", None),
        ("0,,inf", None),
        ("0,nan,1", None),
        ("0,,nan", None),
        ("0,,-1", None),
    ],
)
def test_times_and_gains_that_are_possible(numbers, row, tmp_path):
    artifact = Artifact(tmp_path, FeatureConfig(), NetworkConfig(), ("a", "b"), ("a", "b"))
    path = tmp_path / "split.csv"
    header = "path,label,speaker,split,start_s,end_s,gain,digest"
    path.write_text(f"{header}\na.wav,a,ann,unused,{numbers},00ff\n")
    if row is None:
        expected = f"{path}: missing or damaged (impossible row 'a.wav'); copy the model again"
        assert refusal(ArtifactError, load_split, artifact) == expected
    else:
        assert load_split(artifact) == [SplitRow("a.wav", "a", "ann", "unused", *row, "00ff")]


def test_the_reason_why_metrics_are_refused(tmp_path):
    path = tmp_path / "metrics.json"
    path.write_text("[]")
    assert refusal(ArtifactError, read_metrics, tmp_path, required=True) == (
        f"{path}: missing or damaged (not a json object); copy the model again"
    )
