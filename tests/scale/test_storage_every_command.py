"""Every place that reads a path reads an address, and every other one refuses it."""

import csv
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from common_stores import BUCKET, s3_server

MODELS = f"s3://{BUCKET}/models"
DATA = f"s3://{BUCKET}/data"
CLIP = f"{DATA}/yes/s00_nohash_0.wav"
NOISE = f"{DATA}/_background_noise_"


class Result(NamedTuple):
    code: int
    stdout: str
    stderr: str


def call(*arguments: object) -> Result:
    from typer.testing import CliRunner

    from speechcls.cli.app import app

    result = CliRunner().invoke(app, [os.fspath(str(each)) for each in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Result(result.exit_code, result.stdout, result.stderr)


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A client of a server of S3, which the environment names."""
    import boto3
    import s3fs

    with s3_server() as environment, pytest.MonkeyPatch.context() as patch:
        s3fs.S3FileSystem.clear_instance_cache()
        for name, value in environment.items():
            patch.setenv(name, value)
        patch.setenv("SPEECHCLS_CACHE", str(tmp_path_factory.mktemp("cache")))
        client = boto3.client("s3")
        client.create_bucket(Bucket=BUCKET)
        yield client


@pytest.fixture(scope="module")
def place(
    tmp_path_factory: pytest.TempPathFactory, s3: Any, make_data: Callable[..., Path]
) -> Path:
    """A folder with ``data/`` and ``model/``, which are in the bucket too, the model twice."""
    folder = tmp_path_factory.mktemp("place")
    data = make_data(folder / "data", ["no", "yes"], 12, noise_s=8.0)
    settings = ("--epochs", "1", "--size", "tiny", "--from", "none", "--closed")
    trained = call("train", data, *settings, "--out", folder / "model")
    assert trained.code == 0, trained.stderr
    for path in data.rglob("*.wav"):
        s3.upload_file(str(path), BUCKET, f"data/{path.relative_to(data)}")
    for name in ("a", "b"):
        for path in (folder / "model").iterdir():
            s3.upload_file(str(path), BUCKET, f"models/{name}/{path.name}")
    return folder


@pytest.fixture(autouse=True)
def here(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_compare_reads_a_folder_of_models_and_data(place: Path) -> None:
    own = ("--data", DATA, "--no-speed", "--json", "--differences", "differ.csv")
    done = call("compare", MODELS, *own)
    assert done.code == 0, done.stderr
    scores = json.loads(done.stdout)
    assert scores["data"] == DATA
    assert [model["name"] for model in scores["models"]] == [f"{MODELS}/a", f"{MODELS}/b"]
    local = call("compare", place / "model", MODELS + "/b", "--data", place / "data", *own[2:4])
    accuracies = [m["accuracy"] for m in json.loads(local.stdout)["models"] + scores["models"]]
    assert len(set(accuracies)) == 1
    header = next(csv.reader(Path("differ.csv").read_text().splitlines()))
    assert header[-2:] == [f"{MODELS}/a", f"{MODELS}/b"]
    assert "elsewhere" not in done.stdout + done.stderr


def test_bench_measures_a_model_there(place: Path) -> None:
    done = call("bench", f"{MODELS}/a", f"{MODELS}/none", "--json", "--jobs", "1")
    [line] = done.stdout.splitlines()
    assert json.loads(line)["model"] == f"{MODELS}/a"
    assert done.code == 1
    assert f"error: {MODELS}/none: no such file or folder there" in done.stderr


def test_verify_looks_at_every_file_of_a_model_there(place: Path, s3: Any) -> None:
    done = call("verify", f"{MODELS}/a")
    assert done.code == 0, done.stderr
    files = {path.name for path in (place / "model").iterdir()} - {"README.md"}  # free to edit
    assert {line.removeprefix("ok\t") for line in done.stdout.splitlines()} == files
    s3.upload_file(str(place / "model/config.json"), BUCKET, "models/damaged/config.json")
    s3.put_object(Bucket=BUCKET, Key="models/damaged/model.onnx", Body=b"no graph")
    bad = call("verify", f"{MODELS}/damaged")
    s3.delete_object(Bucket=BUCKET, Key="models/damaged/config.json")
    s3.delete_object(Bucket=BUCKET, Key="models/damaged/model.onnx")
    assert bad.code == 1 and f"error: {MODELS}/damaged/" in bad.stderr


def test_calibrate_takes_data_there_and_no_model(place: Path) -> None:
    shutil.copytree(place / "model", "model")
    own = ("--noise", NOISE, "--data", DATA, "--json")
    done = call("calibrate", *own, "--model", "model")
    assert done.code == 0, done.stderr
    assert json.loads(done.stdout)["n_clips"] > 0
    assert Path("model/calibration.json").is_file()
    refused = call("calibrate", *own, "--model", f"{MODELS}/a")
    assert (refused.code, refused.stdout) == (2, "")
    assert refused.stderr.splitlines()[-1] == (
        f"speechcls: error: --model: {MODELS}/a: thresholds are written into the model's folder,"
        " which has to be on this machine; copy the model here"
    )


def test_mix_and_evaluate_a_stream(place: Path, s3: Any) -> None:
    own = ("--noise", NOISE, "--model", f"{MODELS}/a", "--minutes", "0.2")
    done = call("mix", DATA, *own, "--out", "mixed")
    assert done.code == 0, done.stderr
    for name in ("recording.wav", "truth.csv"):
        s3.upload_file(f"mixed/{name}", BUCKET, f"mixed/{name}")
    there = f"s3://{BUCKET}/mixed"
    stream = ("--stream", f"{there}/recording.wav", "--truth", f"{there}/truth.csv")
    scored = call("evaluate", *stream, "--model", f"{MODELS}/a", "--json")
    assert scored.code == 0, scored.stderr
    assert json.loads(scored.stdout)["recording"] == f"{there}/recording.wav"


def test_a_clip_is_explained_drawn_and_listened_to(here: Path) -> None:
    done = call("explain", CLIP, "--model", f"{MODELS}/a", "--html", "e.html")
    assert (done.code, done.stdout) == (0, "e.html\n"), done.stderr
    assert "s00_nohash_0.wav: " in (here / "e.html").read_text()
    done = call("explain", CLIP, "--data", DATA, "--model", f"{MODELS}/a", "--html", "u.html")
    assert (done.code, done.stdout) == (0, "u.html\n"), done.stderr
    assert f"{CLIP.rsplit('/', 1)[1]} among the clips of data" in (here / "u.html").read_text()
    assert call("features", CLIP).code == 0
    own = ("--speed", "0", "--model", f"{MODELS}/a", "--threshold", "0", "--save-events", "kept")
    heard = call("listen", "--from", CLIP, *own)
    assert heard.code == 0 and heard.stdout, heard.stderr
    assert f"listening to {CLIP}" in heard.stderr
    recorded = call("record", "yes", "--from", CLIP, "--speed", "0", "--speaker", "ann")
    assert f"error: {CLIP}: no clip was written" in recorded.stderr or recorded.code == 0
    missed = call("review", "kept", "--missed", "no", CLIP, "0.1")
    assert missed.code == 0, missed.stderr
    rows = [line.split("\t") for line in call("review", "kept").stdout.splitlines()]
    assert {row[5] for row in rows} == {CLIP} and "no" in {row[1] for row in rows}


def test_settings_are_read_from_a_model_there(place: Path) -> None:
    there, own = (
        call("train", "--config", f"{config}/config.json", "--show-config")
        for config in (f"{MODELS}/a", place / "model")
    )
    assert there.code == 0 and there.stdout == own.stdout, there.stderr
    started = call("train", "--from", f"{MODELS}/a", "--show-config")
    assert started.code == 0 and f'from_model = "{MODELS}/a"' in started.stdout
    absent = call("tune", DATA, "--config", f"s3://{BUCKET}/none.toml")
    assert absent.code == 1
    assert f"error: s3://{BUCKET}/none.toml: no such file or folder there" in absent.stderr


THERE = f"s3://{BUCKET}/out"
WRITTEN = [
    ("train", "data", "--out"),
    ("train", "data", "--tensorboard"),
    ("train", "data", "--mistakes"),
    ("tune", "data", "--out"),
    ("pack", "data", "--out"),
    ("synth", "yes", "--out"),
    ("record", "yes", "--out"),
    ("check", "data", "--findings"),
    ("check", "data", "--html"),
    ("check", "data", "--fix-list"),
    ("predict", "a.wav", "--out"),
    ("detect", "a.wav", "--out"),
    ("detect", "a.wav", "--save-events"),
    ("listen", "--save-events"),
    ("evaluate", "data", "--report"),
    ("compare", "a", "--out"),
    ("compare", "a", "--differences"),
    ("compare", "a", "--report"),
    ("mix", "data", "--noise", "noise", "--out"),
    ("explain", "a.wav", "--out"),
    ("explain", "a.wav", "--html"),
    ("explain", "a.wav", "--animate"),
    ("features", "a.wav", "--out"),
    ("review", "kept", "--import"),
    ("serve", "--studio"),
    ("export", "a", "--to", "onnx", "--out"),
    ("export", "a", "--to", "web", "--out", "page", "--runtime"),
    ("pull", "hf://ann/words", "--out"),
    ("report",),
    ("review",),
]


@pytest.mark.parametrize("arguments", WRITTEN, ids=" ".join)
def test_what_is_written_is_on_this_machine(arguments: tuple[str, ...], here: Path) -> None:
    done = call(*arguments, THERE)
    assert (done.code, done.stdout) == (2, "")
    [line] = done.stderr.splitlines()
    assert line.endswith("an address, where only a local path can be; name one")
    assert not list(here.iterdir())


def test_every_path_is_in_one_of_these_tests() -> None:
    """A path that is added takes addresses, by ``as_path``, or is written, and in the list."""
    import typer

    from speechcls.cli.app import COMMANDS, app

    group: Any = typer.main.get_command(app)
    left = set()
    for command in COMMANDS:
        for param in group.get_command(None, command).params:
            if getattr(param.type, "name", "") == "path":
                left.add((command, max(param.opts, key=len)))
    named = {(each[0], each[-1] if each[-1].startswith("-") else "folder") for each in WRITTEN}
    assert left and left <= named
