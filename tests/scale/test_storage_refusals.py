"""A store that refuses, or is not there: what each command says of it, and no secret."""

import json
import os
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from common_stores import BUCKET, free_port, s3_server

SECRET = "a-secret-that-nobody-may-read"
DATA = f"s3://{BUCKET}/data"
LIST = f"s3://{BUCKET}/list.txt"
COMMANDS = {
    "train": (("train", DATA), DATA),
    "check": (("check", DATA), DATA),
    "predict": (("predict", DATA), DATA),
    "predict a list": (("predict", "--files-from", LIST), LIST),
    "predict clips of a list": (("predict", "--files-from", "list.txt"), f"{DATA}/a.wav"),
    "a model": (("predict", "a.wav", "--model", f"{DATA}/m"), f"{DATA}/m"),
}
"""Arguments, and what the error names."""


class Result(NamedTuple):
    code: int
    stdout: str
    stderr: str


def call(*arguments: object) -> Result:
    from typer.testing import CliRunner

    from speechcls.cli.app import app

    result = CliRunner().invoke(app, [str(each) for each in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Result(result.exit_code, result.stdout, result.stderr)


def look_at_keys_after(url: str, n_requests: str) -> None:
    plain = {"Content-Type": "text/plain"}
    asked = urllib.request.Request(f"{url}/moto-api/reset-auth", n_requests.encode(), plain)
    with urllib.request.urlopen(asked):
        pass


@pytest.fixture(scope="module")
def server() -> Iterator[dict[str, str]]:
    """The environment of a server of S3 that looks at keys, with the user ``ann``, who may all."""
    import boto3

    with s3_server() as environment:
        own = {
            "endpoint_url": environment["AWS_ENDPOINT_URL"],
            "region_name": environment["AWS_DEFAULT_REGION"],
            "aws_access_key_id": "any",
            "aws_secret_access_key": "any",
        }
        s3: Any = boto3.client("s3", **own)
        iam: Any = boto3.client("iam", **own)
        s3.create_bucket(Bucket=BUCKET)
        iam.create_user(UserName="ann")
        key = iam.create_access_key(UserName="ann")["AccessKey"]
        may_all = {"Effect": "Allow", "Action": "*", "Resource": "*"}
        policy = json.dumps({"Version": "2012-10-17", "Statement": [may_all]})
        iam.put_user_policy(UserName="ann", PolicyName="all", PolicyDocument=policy)
        look_at_keys_after(environment["AWS_ENDPOINT_URL"], "0")
        own = {"ANN": key["AccessKeyId"], "ANNS_SECRET": key["SecretAccessKey"]}
        yield environment | own | {"SPEECHCLS_REMOTE_ATTEMPTS": "2"}
        look_at_keys_after(environment["AWS_ENDPOINT_URL"], "inf")


@pytest.fixture(autouse=True)
def environment(
    server: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> pytest.MonkeyPatch:
    import s3fs

    s3fs.S3FileSystem.clear_instance_cache()  # it has the environment of the test before
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in server.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("SPEECHCLS_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "list.txt").write_text(f"{DATA}/a.wav\n")
    return monkeypatch


def check(command: str, fact: str, advice: str) -> None:
    arguments, subject = COMMANDS[command]
    done = call(*arguments, "-q")
    assert (done.code, done.stdout) == (1, ""), done.stderr
    [line] = done.stderr.splitlines()
    assert line.startswith(f"speechcls: error: {subject}: {fact}")
    assert line.split("; ", 1)[1].startswith(advice)
    assert SECRET not in done.stderr


@pytest.mark.parametrize("command", COMMANDS)
def test_an_unknown_key(command: str, environment: pytest.MonkeyPatch) -> None:
    environment.setenv("AWS_ACCESS_KEY_ID", "AKIAUNKNOWN")
    check(command, "credentials are refused (", "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")


@pytest.mark.parametrize("command", COMMANDS)
def test_a_wrong_secret(command: str, environment: pytest.MonkeyPatch) -> None:
    environment.setenv("AWS_ACCESS_KEY_ID", os.environ["ANN"])
    check(command, "credentials are refused (", "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")


@pytest.mark.parametrize("command", COMMANDS)
def test_no_keys(command: str, environment: pytest.MonkeyPatch) -> None:
    environment.delenv("AWS_ACCESS_KEY_ID")
    environment.delenv("AWS_SECRET_ACCESS_KEY")
    check(command, "no credentials found", "give them by AWS_ACCESS_KEY_ID")


@pytest.mark.parametrize("command", COMMANDS)
def test_an_endpoint_where_nobody_is(command: str, environment: pytest.MonkeyPatch) -> None:
    environment.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    check(command, "unreachable (", "check the address and the network")


@pytest.mark.parametrize("command", COMMANDS)
def test_a_bucket_that_is_not_there(command: str, environment: pytest.MonkeyPatch) -> None:
    import boto3

    environment.setenv("AWS_ACCESS_KEY_ID", os.environ["ANN"])
    environment.setenv("AWS_SECRET_ACCESS_KEY", os.environ["ANNS_SECRET"])
    s3: Any = boto3.Session().client("s3")  # its own: the default one has the keys of other tests
    if BUCKET in {bucket["Name"] for bucket in s3.list_buckets()["Buckets"]}:
        s3.delete_bucket(Bucket=BUCKET)
    check(command, "no such", "check the address")
