"""Models on disk: whole or not at all. Round trips are in tests/property."""

import errno
import json
import os
from pathlib import Path

import pytest

from speechcls.artifact.format import Artifact, SplitRow
from speechcls.artifact.lookup import find_artifact
from speechcls.artifact.store import load_artifact, load_split, read_metrics, save_artifact
from speechcls.config import FeatureConfig, NetworkConfig, TrainConfig
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
    assert find_artifact(Path("named")) == (Path("named"), "named")


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
