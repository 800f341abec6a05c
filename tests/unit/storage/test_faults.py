"""Errors of stores: which pass, which wait, and what a user is told."""

import email.utils
import time

import pytest

from speechcls.storage.faults import CutOffError, explain


class ClientError(Exception):
    """As botocore's."""

    def __init__(self, status, code, headers=()):
        super().__init__(f"An error occurred ({code})")
        about = {"HTTPStatusCode": status, "HTTPHeaders": dict(headers)}
        self.response = {"Error": {"Code": code}, "ResponseMetadata": about}


class ClientResponseError(Exception):
    """As aiohttp's."""

    def __init__(self, status, headers=()):
        super().__init__(f"{status}, url='https://h/a?sig=secret'")
        self.status, self.headers = status, dict(headers)


class NoCredentialsError(Exception):
    pass


def caused(error, cause):
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "fact", "is_passing"),
    [
        (NoCredentialsError(), "no credentials found; give them by AWS_ACCESS_KEY_ID", False),
        (ClientError(403, "InvalidAccessKeyId"), "refused (the access key is unknown", False),
        (ClientError(403, "AccessDenied"), "refused (they do not suffice for this)", False),
        (ClientResponseError(401), "credentials are refused (HTTP 401)", False),
        (ClientError(404, "NoSuchBucket"), "no such bucket; check the address", False),
        (FileNotFoundError("b/x"), "no such file or folder there", False),
        (ClientResponseError(404), "no such file or folder there", False),
        (ClientResponseError(416), "the store refuses it (HTTP 416", False),
        (ClientResponseError(429), "the store is busy (HTTP 429)", True),
        (ClientError(503, "SlowDown"), "the store is busy (HTTP 503)", True),
        (CutOffError("3 of 5 bytes came"), "3 of 5 bytes came; try again", True),
        (TimeoutError(), "no answer in time", True),
        (ConnectionRefusedError(111, "Connection refused"), "unreachable ([Errno 111]", True),
        # What fsspec makes of any error of a web server
        (caused(FileNotFoundError("x"), ConnectionResetError("reset")), "unreachable", True),
        (caused(FileNotFoundError("x"), ClientResponseError(503)), "busy (HTTP 503)", True),
    ],
)
def test_what_an_error_means(error, fact, is_passing):
    fault = explain(error, "s3")
    assert fact in fault.text and "; " in fault.text
    assert fault.is_passing is is_passing


def test_the_store_may_ask_to_wait():
    assert explain(ClientResponseError(429, {"Retry-After": "7"}), "http").wait_s == 7
    later = email.utils.formatdate(time.time() + 100, usegmt=True)
    assert 95 < explain(ClientError(503, "SlowDown", {"retry-after": later}), "s3").wait_s <= 101
    assert explain(ClientResponseError(429, {"Retry-After": "soon"}), "http").wait_s == 0


def test_each_store_has_its_own_credentials():
    told = {scheme: explain(PermissionError("no"), scheme).text for scheme in ("gcs", "hf", "ftp")}
    assert "gcloud auth" in told["gcs"] and "HF_TOKEN" in told["hf"]
    assert "the ways of ftp://" in told["ftp"]
