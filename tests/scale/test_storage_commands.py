"""The real commands on data in a bucket: every one in a process of its own, against moto's S3."""

import csv
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from common_stores import BUCKET, free_port, s3_server

DATA = f"s3://{BUCKET}/data"
TRAIN = ("--epochs", "1", "--epoch-clips", "1", "--size", "tiny", "--from", "none", "--closed")
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("work")


@pytest.fixture(scope="module")
def environment(work: Path) -> Iterator[dict[str, str]]:
    with s3_server() as own:
        yield os.environ | own | {"SPEECHCLS_CACHE": str(work / "cache")}


@pytest.fixture(scope="module")
def s3(environment: dict[str, str]) -> Any:
    import boto3

    client = boto3.client(
        "s3",
        endpoint_url=environment["AWS_ENDPOINT_URL"],
        aws_access_key_id="testing",
        aws_secret_access_key="testing-secret",
        region_name="us-east-1",
    )
    client.create_bucket(Bucket=BUCKET)
    return client


@pytest.fixture(scope="module")
def run(work: Path, environment: dict[str, str]) -> Run:
    def run(*arguments: str, **changes: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "speechcls", *arguments],
            cwd=work,
            env=environment | changes,
            capture_output=True,
            text=True,
            timeout=120,
        )

    return run


@pytest.fixture(scope="module")
def trained(
    work: Path, s3: Any, run: Run, make_data_set: Callable[..., Path]
) -> subprocess.CompletedProcess[str]:
    folder = make_data_set(work / "local", ["no", "yes"], 12, noise_s=2.0)
    for path in folder.rglob("*.wav"):
        s3.upload_file(str(path), BUCKET, f"data/{path.relative_to(folder)}")
    done = run("train", DATA, *TRAIN, "--out", "model")
    for path in (work / "model").iterdir():
        s3.upload_file(str(path), BUCKET, f"models/m/{path.name}")
    return done


def fetched(work: Path) -> dict[str, int]:
    """When each file in the mirror came."""
    files = (work / "cache/elsewhere/s3" / BUCKET / "data").rglob("*.wav")
    return {str(path): path.stat().st_ctime_ns for path in files}


def test_train_as_on_local_files(
    work: Path, trained: subprocess.CompletedProcess[str], run: Run
) -> None:
    assert trained.returncode == 0, trained.stderr
    assert f"next: speechcls evaluate {DATA} --model model" in trained.stderr
    assert "elsewhere" not in trained.stderr
    local = run("train", "local", *TRAIN, "--out", "of-local")
    assert local.returncode == 0, local.stderr
    weights = [(work / name / "weights.safetensors").read_bytes() for name in ("model", "of-local")]
    assert weights[0] == weights[1]
    splits = [(work / name / "split.csv").read_text() for name in ("model", "of-local")]
    assert splits[0] == splits[1]


def test_evaluate_with_a_model_in_the_bucket_fetches_no_clip_again(
    work: Path, trained: Any, run: Run, s3: Any
) -> None:
    before = fetched(work)
    done = run("evaluate", DATA, "--model", f"s3://{BUCKET}/models/m", "--json")
    assert done.returncode == 0, done.stderr
    scores = json.loads(done.stdout)
    assert (scores["data"], scores["model"]) == (DATA, f"s3://{BUCKET}/models/m")
    assert scores["n_clips"] == 12
    assert len(before) == 25 and fetched(work) == before


def test_check_names_addresses_in_what_it_writes(work: Path, trained: Any, run: Run) -> None:
    done = run("check", DATA, "--html", "check.html", "--fix-list", "good.csv")
    assert done.returncode == 0, done.stderr
    assert f"Check of {DATA}" in (work / "check.html").read_text()
    with (work / "good.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows[0]["path"] == f"{DATA}/no/s00_nohash_0.wav"
    before = fetched(work)
    again = run("check", "good.csv", "--json")  # a manifest whose rows are addresses
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout)["n_clips"] == 24 and fetched(work) == before


def test_predict_takes_addresses_everywhere_and_keeps_no_file(
    work: Path, trained: Any, run: Run, s3: Any
) -> None:
    local = run("predict", "local", "--model", "model")
    expected = local.stdout.replace("local/", f"{DATA}/")
    kept = sorted((work / "cache").rglob("*"))
    done = run("predict", DATA, "--model", "model")
    assert done.returncode == 0 and done.stdout == expected
    names = [line.split("\t")[0] for line in expected.splitlines()]
    listed = "\n".join([*names, f"{DATA}/no/none.wav", ""])
    s3.put_object(Bucket=BUCKET, Key="lists/clips.txt", Body=listed.encode())
    of_list = run("predict", "--files-from", f"s3://{BUCKET}/lists/clips.txt", "--model", "model")
    assert of_list.returncode == 1 and of_list.stdout == expected
    assert of_list.stderr.endswith(
        f"error: {DATA}/no/none.wav: no such file or folder there; check the address\n"
    )
    assert sorted((work / "cache").rglob("*")) == kept


def test_detect_names_the_address(work: Path, trained: Any, run: Run, s3: Any) -> None:
    s3.put_object(Bucket=BUCKET, Key="long/empty.wav", Body=b"")
    local = run("detect", "local/yes/s00_nohash_0.wav", "--model", "model", "--threshold", "0.1")
    sources = f"{DATA}/yes/s00_nohash_0.wav", f"s3://{BUCKET}/long/empty.wav"
    done = run("detect", *sources, "--model", "model", "--threshold", "0.1")
    assert local.stdout and done.stdout == local.stdout.replace("local/", f"{DATA}/")
    assert done.returncode == 1
    assert f"error: s3://{BUCKET}/long/empty.wav: is empty" in done.stderr


def test_a_changed_object_is_fetched_again_alone(
    work: Path, trained: Any, run: Run, s3: Any
) -> None:
    before = fetched(work)
    other = (work / "local/yes/s03_nohash_0.wav").read_bytes()
    s3.put_object(Bucket=BUCKET, Key="data/yes/s00_nohash_0.wav", Body=other)
    done = run("check", DATA, "--json")
    after = fetched(work)
    [changed] = [name for name in after if after[name] != before[name]]
    assert changed.endswith("/yes/s00_nohash_0.wav")
    assert json.loads(done.stdout)["counts"]["copy"] == 1


def test_the_cache_lists_and_removes_what_was_fetched(trained: Any, run: Run) -> None:
    lines = run("cache", "list", "--json").stdout.splitlines()
    known = {each["source"]: each for each in map(json.loads, lines)}
    assert known[f"s3://{BUCKET}"]["files"] >= 25 and known[DATA]["clips"] == 24
    done = run("cache", "clear", DATA)
    assert "1 stores, 25 fetched files removed" in done.stderr
    left = {
        json.loads(line)["source"]
        for line in run("cache", "list", "--json").stdout.split("\n")[:-1]
    }
    assert DATA not in left and f"s3://{BUCKET}" in left


@pytest.mark.parametrize("command", ["train", "check", "predict"])
def test_what_is_wrong_with_a_store_is_said_in_a_line(trained: Any, run: Run, command: str) -> None:
    endpoint = f"http://127.0.0.1:{free_port()}"
    done = run(command, DATA, "-q", AWS_ENDPOINT_URL=endpoint)
    assert done.returncode == 1 and not done.stdout
    assert done.stderr.startswith(f"speechcls: error: {DATA}: unreachable (")
    assert len(done.stderr.splitlines()) == 1 and "testing" not in done.stderr


def test_the_budget_is_kept(trained: Any, run: Run, tmp_path: Path) -> None:
    done = run(
        *("check", DATA),
        SPEECHCLS_CACHE=str(tmp_path),
        SPEECHCLS_REMOTE_BUDGET_GB="1e-6",
    )
    assert done.returncode == 1
    assert f"error: {DATA}: 0.000 GB to fetch" in done.stderr
    assert "raise $SPEECHCLS_REMOTE_BUDGET_GB" in done.stderr


def test_outputs_cannot_be_addresses(trained: Any, run: Run, work: Path) -> None:
    done = run("predict", DATA, "--model", "model", "--out", f"s3://{BUCKET}/out.tsv")
    assert done.returncode == 2 and "--out: s3:/" in done.stderr and "local path" in done.stderr
    assert not (work / "s3:").exists()
