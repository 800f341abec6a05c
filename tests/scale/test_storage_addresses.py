"""Files at addresses: what comes, what is tried again, and what a user reads of each fault."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from common_stores import BUCKET, FAST, BadServer, bad_server, free_port, s3_server

from speechcls.errors import StorageError
from speechcls.storage.addresses import fetch_file, list_address, read_address

CONTENT = bytes(range(256)) * 400


@pytest.fixture(scope="module")
def s3_environment() -> Iterator[dict[str, str]]:
    with s3_server() as environment:
        yield environment


@pytest.fixture
def s3(s3_environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Any:
    import boto3
    import s3fs

    s3fs.S3FileSystem.clear_instance_cache()  # it has the environment of the test before
    for name, value in s3_environment.items():
        monkeypatch.setenv(name, value)
    client = boto3.client("s3")
    client.create_bucket(Bucket=BUCKET)
    return client


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch) -> Iterator[BadServer]:
    for name, value in FAST.items():
        monkeypatch.setenv(name, value)
    with bad_server() as server:
        server.files["/a.bin"] = CONTENT
        yield server


def test_objects_are_listed_and_read(s3: Any) -> None:
    for key in ("data/yes/1.wav", "data/no/1.wav", "database/1.wav", "data/empty/"):
        s3.put_object(Bucket=BUCKET, Key=key, Body=key.encode())
    entries = list(list_address(f"s3://{BUCKET}/data"))
    assert [(entry.address, entry.size) for entry in entries] == [
        (f"s3://{BUCKET}/data/no/1.wav", 13),
        (f"s3://{BUCKET}/data/yes/1.wav", 14),
    ]
    assert read_address(entries[1].address, entries[1].size) == b"data/yes/1.wav"
    assert [e.address for e in list_address(entries[0].address)] == [entries[0].address]
    before = entries[0].stamp
    s3.put_object(Bucket=BUCKET, Key="data/no/1.wav", Body=b"data/no/2.wav")
    after = next(iter(list_address(entries[0].address)))
    assert after.stamp != before and after.size == 13


def test_of_an_empty_place_nothing_is_listed(s3: Any) -> None:
    with pytest.raises(StorageError, match=f"s3://{BUCKET}/none: no such file or folder"):
        list(list_address(f"s3://{BUCKET}/none"))


@pytest.mark.parametrize(
    ("address", "fact"),
    [(f"s3://{BUCKET}/none.wav", "no such file"), ("s3://nobucket/a.wav", "no such bucket")],
)
def test_what_is_not_there_is_said_at_once(s3: Any, address: str, fact: str) -> None:
    with pytest.raises(StorageError, match=f"{address}: {fact}.*check the address") as caught:
        read_address(address)
    assert "attempts" not in str(caught.value)


def test_a_store_that_is_not_there_is_unreachable(s3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    with pytest.raises(StorageError, match=r"unreachable \(.*in 3 attempts; check the address"):
        read_address(f"s3://{BUCKET}/a.wav")


def test_missing_credentials_are_said(
    s3: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(StorageError, match="no credentials found; give them by AWS_ACCESS_KEY_ID"):
        read_address(f"s3://{BUCKET}/a.wav")


@pytest.mark.parametrize("fault", ["cut", "stall", "429", "503"])
def test_a_fault_that_passes_is_tried_again(web: BadServer, fault: str, tmp_path: Path) -> None:
    web.faults["/a.bin"] = [fault, fault]
    assert read_address(f"{web.url}/a.bin") == CONTENT
    assert web.requests["/a.bin"] == 3
    web.faults["/a.bin"] = [fault]
    fetch_file(f"{web.url}/a.bin", tmp_path / "a.bin")
    assert (tmp_path / "a.bin").read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("fault", "fact"),
    [
        ("cut", "cut off while it was read"),
        ("stall", "no answer in time"),
        ("short", "51200 of 102400 bytes came"),
        ("429", "busy"),
        ("503", "busy"),
    ],
)
def test_a_fault_that_stays_is_named(web: BadServer, fault: str, fact: str, tmp_path: Path) -> None:
    address = f"{web.url}/a.bin"
    [entry] = list_address(address)
    web.faults["/a.bin"] = [fault] * 9
    with pytest.raises(StorageError, match=f"{address}: .*{fact}.* in 3 attempts; "):
        read_address(address, entry.size)
    with pytest.raises(StorageError, match=f"{address}: .*{fact}"):
        fetch_file(address, tmp_path / "a.bin", entry.size)


@pytest.mark.parametrize(
    ("status", "fact"),
    [("401", "credentials are refused"), ("403", "credentials are refused"), ("404", "no such")],
)
def test_a_refusal_is_said_at_once_without_credentials(
    web: BadServer, status: str, fact: str
) -> None:
    web.faults["/a.bin"] = [status] * 2
    signed = f"{web.url}/a.bin?X-Amz-Signature=hidden".replace("http://", "http://ann:hidden@")
    with pytest.raises(StorageError, match=fact) as caught:
        read_address(signed)
    assert str(caught.value).startswith(f"{web.url}/a.bin?...: ")
    assert "hidden" not in str(caught.value)
    assert web.requests["/a.bin"] == 1


def test_folders_of_a_web_server_are_refused(web: BadServer) -> None:
    with pytest.raises(StorageError, match="folders of web servers cannot be listed"):
        list(list_address(f"{web.url}/data/"))


def test_the_memory_of_fsspec_is_a_store_as_well() -> None:
    import fsspec

    fsspec.filesystem("memory").pipe({"/listed/a.wav": b"one", "/listed/b.wav": b"three"})
    entries = list(list_address("memory://listed"))
    assert [(e.address, e.size) for e in entries] == [
        ("memory://listed/a.wav", 3),
        ("memory://listed/b.wav", 5),
    ]
    assert read_address(entries[1].address) == b"three"
