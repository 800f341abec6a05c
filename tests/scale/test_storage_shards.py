"""Shards by the real commands: packed, put into a bucket, and read from there."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from common_stores import BUCKET, s3_server


def call(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "speechcls", *arguments],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.parametrize("form", ["parquet", "tar"])
def test_packed_shards_are_the_same_data(
    form: str, tmp_path: Path, make_data: Callable[..., Path]
) -> None:
    import boto3

    data = make_data(tmp_path / "data", ["no", "yes"], 6, noise_s=1.0)
    out = tmp_path / "out"
    done = call("pack", str(data), "--shards", form, "--shard-size", "0.05", "--out", str(out))
    assert done.returncode == 0, done.stderr
    names = done.stdout.splitlines()
    assert [Path(name).name for name in names] == [
        f"train-0000{i}-of-0000{len(names)}.{form}" for i in range(len(names))
    ]
    assert len(names) == 3  # 13 recordings of 10 to 32 kB
    with s3_server() as environment:
        client: Any = boto3.client(
            "s3",
            endpoint_url=environment["AWS_ENDPOINT_URL"],
            aws_access_key_id="testing",
            aws_secret_access_key="testing-secret",
            region_name="us-east-1",
        )
        client.create_bucket(Bucket=BUCKET)
        for name in names:
            client.upload_file(name, BUCKET, f"shards/{Path(name).name}")
        remote = call("check", f"s3://{BUCKET}/shards", "--json", **environment)
    local = call("check", str(data), "--json")
    facts = [json.loads(each.stdout) for each in (remote, local)]
    for name in ("n_clips", "duration_s", "formats", "labels", "speakers", "counts", "problems"):
        assert facts[0][name] == facts[1][name], name
    assert facts[0]["n_clips"] == 12


def test_predict_and_detect_read_the_recordings_of_shards(
    tmp_path: Path, make_data: Callable[..., Path]
) -> None:
    data = make_data(tmp_path / "data", ["no", "yes"], 1)
    call("pack", str(data), "--shards", "tar", "--out", str(tmp_path / "out"))
    [shard] = (tmp_path / "out").iterdir()
    files = sorted(data.rglob("*.wav"))
    expected = call("predict", *map(str, files)).stdout
    for place, path in enumerate(files):
        expected = expected.replace(str(path), f"{shard}/00000{place}-0000000{place}.wav")
    done = call("predict", str(shard))
    assert (done.returncode, done.stdout) == (0, expected), done.stderr
    content = shard.read_bytes()
    shard.write_bytes(content[: len(content) - 12_000])
    cut = call("predict", str(shard))
    assert (cut.returncode, cut.stdout) == (1, expected.splitlines(keepends=True)[0])
    assert f"{shard}: cut off, and only the 2 files before the cut are used" in cut.stderr
    events = call("detect", str(shard), "--threshold", "0")
    assert events.stdout and all(
        line.startswith(f"{shard}/000000-00000000.wav") for line in events.stdout.splitlines()
    )
    assert events.returncode == 1


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # it leaves files open
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_webdataset_reads_what_is_packed(tmp_path: Path, make_data: Callable[..., Path]) -> None:
    webdataset = pytest.importorskip("webdataset")
    data = make_data(tmp_path / "data", ["no", "yes"], 1)
    call("pack", str(data), "--shards", "tar", "--out", str(tmp_path / "out"))
    [shard] = (tmp_path / "out").iterdir()
    samples = list(webdataset.WebDataset(str(shard), shardshuffle=False))
    assert [json.loads(sample["json"])["label"] for sample in samples] == ["no", "yes"]
    assert samples[0]["wav"] == next((data / "no").iterdir()).read_bytes()
