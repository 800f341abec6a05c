"""``train --snapshots`` and the page of ``explain``, as a person runs them."""

import json
import re
import shutil
import signal

import numpy as np
import pytest
from common_cli import interrupt_after
from safetensors.numpy import load_file, save_file
from safetensors.numpy import save as serialize

from speechcls.artifact.manifest import extended_manifest

NAME = "snapshots.safetensors"
GRU = ("--arch", "gru")
ENDLESS = ("--hidden-size", "16", "--num-layers", "1", "--epochs", "9999", "--patience", "9999")
ENDLESS += ("--closed",)


@pytest.fixture(scope="module")
def model(home, train, tmp_path_factory):
    """A model of three epochs, of which the first and the last are kept."""
    place = tmp_path_factory.mktemp("learnt") / "model"
    trained = train(home.data, place, *GRU, "--epochs", "3", "--snapshots", " 3,1,3")
    assert trained.code == 0, trained.stderr
    return place, trained


def epochs_of(model):
    return sorted({int(name.split(".")[1]) for name in load_file(model / NAME)})


def content_of(page):
    found = re.search(r'<script type="application/json" id="content">(.*?)</script>', page, re.S)
    return json.loads(found[1])


def test_they_are_in_the_model_and_said(model, home, call):
    place, trained = model
    assert epochs_of(place) == [1, 3]
    assert "speechcls: keeps the network at the end of epochs 1 and 3\n" in trained.stderr
    step = f"explain CLIP --html learnt.html --model {place}"
    assert trained.stderr.endswith(f"speechcls {step}\n")
    verified = call("verify", place)
    assert (verified.code, f"ok\t{NAME}" in verified.stdout.splitlines()) == (0, True)
    assert call("predict", home.clip("low"), "--model", place).code == 0


def test_the_config_of_a_model_repeats_them(model, home, call):
    shown = call("train", home.data, "--config", model[0] / "config.json", "--show-config")
    assert "snapshots = [1, 3]\n" in shown.stdout


@pytest.mark.parametrize(
    ("epochs", "said"),
    [
        ("1,5", "5: no such epoch, the last one of this training is 3; choose from 1 to 3, or more"
         " epochs"),
        ("0", "0: no such epoch; the first one is 1"),
        ("1,two", "'1,two' is no list of epochs; give whole numbers, as 1,5,40"),
        (",", "',' names nothing; give names, as ann,bob"),
    ],
)  # fmt: skip
def test_epochs_that_never_come_are_wrong_usage(epochs, said, home, train, tmp_path):
    result = train(home.data, tmp_path / "m", *GRU, "--epochs", "3", "--snapshots", epochs)
    assert (result.code, result.stdout) == (2, "")
    assert result.errors == [f"--snapshots: {said}"]
    assert list(tmp_path.iterdir()) == []


def test_an_epoch_that_early_stopping_leaves_out_is_named(home, train, tmp_path):
    options = (*GRU, "--epochs", "60", "--patience", "1", "--snapshots", "1,59,60")
    result = train(home.data, tmp_path / "m", *options)
    assert result.code == 0
    n_done = len(json.loads((tmp_path / "m" / "metrics.json").read_text())["history"])
    assert n_done < 59
    assert epochs_of(tmp_path / "m") == [1]
    assert (
        "speechcls: warning: no snapshot of epochs 59 and 60: the training ended with epoch"
        f" {n_done}\n"
    ) in result.stderr


def test_an_interrupted_training_keeps_them_and_goes_on(home, tmp_path, start, run):
    options = ("train", home.data, *GRU, *ENDLESS, "--snapshots", "1,9999")
    process = start(*options, cwd=tmp_path)
    code, _, stderr = interrupt_after(process, "epoch 2/9999  loss")
    assert code == 130
    place = tmp_path / "models" / "tones-gru"
    assert epochs_of(place) == [1]
    assert "warning: no snapshot of epoch 9999: the training ended with epoch" in stderr
    first = load_file(place / NAME)
    process = start(*options, "--resume", cwd=tmp_path)
    code, _, stderr = interrupt_after(process, "  loss", signal.SIGINT)
    assert (code, "goes on with an interrupted training" in stderr) == (130, True)
    again = load_file(place / NAME)
    assert again.keys() == first.keys()
    assert all((again[name] == value).all() for name, value in first.items())
    other = run(*options[:-1], "2", cwd=tmp_path)
    assert other.code == 1
    assert "snapshots was [1, 9999], is [2]" in other.errors[0]


def test_the_page_has_every_network_and_its_size_is_said(model, home, call, tmp_path):
    page = tmp_path / "learnt.html"
    result = call("explain", home.clip("low"), "-m", model[0], "--html", page)
    assert (result.code, result.stdout) == (0, f"{page}\n"), result.stderr
    size = f"{page.stat().st_size / 1e6:.1f} MB"
    assert f"{page}: the network at the end of epochs 1 and 3 too; {size}\n" in result.stderr
    learnt = content_of(page.read_text())["learnt"]
    stages = [(each["epoch"], each["is_model"], "network" in each) for each in learnt["stages"]]
    metrics = json.loads((model[0] / "metrics.json").read_text())
    assert stages == [(1, False, True), (3, False, True), (metrics["best_epoch"], True, False)]
    picture = call("explain", home.clip("low"), "-m", model[0], "--out", tmp_path / "a.png")
    assert "speechcls: how the network learnt is on a page: explain --html FILE\n" in picture.stderr
    both = ("-m", model[0], "-m", home.model, "--html", tmp_path / "both.html")
    beside = call("explain", home.clip("low"), *both)
    assert "speechcls: model: how it learnt is on the page of one model\n" in beside.stderr


def test_a_model_without_them_has_none_of_it(home, call, tmp_path):
    page = tmp_path / "page.html"
    result = call("explain", home.clip("low"), "-m", home.model, "--html", page)
    assert "end of epoch" not in result.stderr and "learnt" not in result.stderr
    content = page.read_text()
    assert content_of(content)["learnt"] is None
    assert 'id="learnt"' not in content and 'id="epoch"' not in content


def test_snapshots_of_another_network_are_refused(model, home, call, tmp_path):
    place = tmp_path / "model"
    shutil.copytree(model[0], place)
    (place / "manifest.json").unlink()  # as of a stranger who wrote another one
    tensors = load_file(place / NAME)

    del tensors["epoch.1.feature_mean"]
    save_file(tensors, place / NAME)
    result = call("explain", home.clip("low"), "-m", place, "--html", tmp_path / "a.html")
    assert (result.code, result.stdout) == (1, "")
    assert result.errors == [f"{place / NAME}: does not fit config.json; copy the model again"]
    assert not (tmp_path / "a.html").exists()


def test_verify_reads_them(model, call, tmp_path):
    place = tmp_path / "model"
    shutil.copytree(model[0], place)
    content = serialize({"epoch.1.w": np.array([np.inf], np.float32)})
    manifest = extended_manifest(place, NAME, content)  # so that it is what was written
    (place / NAME).write_bytes(content)
    (place / "manifest.json").write_bytes(manifest)
    result = call("verify", place)
    assert result.code == 1
    [error] = result.errors
    assert f"{place / NAME}: missing or damaged ('epoch.1.w' is not finite)" in error
