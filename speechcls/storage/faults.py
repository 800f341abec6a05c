"""What an error of a store means: what to tell a user, and whether trying again may help."""

import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from speechcls.errors import StorageError

_LIBRARY_ERRORS = (
    ("aiohttp", "ClientError"),
    ("botocore.exceptions", "BotoCoreError"),
    ("botocore.exceptions", "ClientError"),
    ("gcsfs.retry", "HttpError"),
    ("google.auth.exceptions", "GoogleAuthError"),
    ("huggingface_hub.errors", "HfHubHTTPError"),
    ("httpx2", "HTTPError"),
    ("azure.core.exceptions", "AzureError"),
)
"""Errors of the stores' libraries that are none of the system's, by module."""
_BUSY = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Answers of HTTP after which the next attempt may succeed."""
_REFUSED = frozenset({401, 403})
_ABSENT = frozenset({404, 410})
_NO_CREDENTIALS = ("NoCredentialsError", "DefaultCredentialsError", "PartialCredentialsError")
_REFUSED_CODES = {
    "InvalidAccessKeyId": "the access key is unknown there",
    "SignatureDoesNotMatch": "the secret key is wrong",
    "ExpiredToken": "the token has expired",
    "AccessDenied": "they do not suffice for this",
}
"""What the refusals of S3 mean."""
_CREDENTIALS = {
    "s3": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE or ~/.aws; for a public"
    " bucket set FSSPEC_S3_ANON=true",
    "gs": "gcloud auth application-default login, or GOOGLE_APPLICATION_CREDENTIALS",
    "hf": "hf auth login, or HF_TOKEN",
    "az": "AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY, or az login",
    "http": "~/.netrc, or a signed address",
}
"""Where the credentials of each store come from."""
_SAME_STORE = {"s3a": "s3", "gcs": "gs", "abfs": "az", "https": "http"}


class AbsentError(StorageError):
    """Nothing is at an address."""


class CutOffError(OSError):
    """Fewer or more bytes came than the store said."""


@dataclass(frozen=True)
class Fault:
    """What an error of a store means."""

    text: str
    """Fact and next step, without the address."""
    is_passing: bool = False
    """Whether the next attempt may succeed."""
    wait_s: float = 0.0
    """Time that the store asks to wait before it, seconds."""
    is_absent: bool = False
    """Whether nothing is there."""


def library_errors() -> tuple[type[Exception], ...]:
    """Return the errors of stores: the system's, and those of the libraries that are loaded."""
    loaded = (
        getattr(sys.modules[module], name, None)
        for module, name in _LIBRARY_ERRORS
        if module in sys.modules
    )
    return (OSError, *(each for each in loaded if each is not None))


def explain(error: Exception, scheme: str) -> Fault:
    """Return what an error of a store means.

    Parameters
    ----------
    scheme : what the address began with, as ``s3``
    """
    causes = list(_chain(error))
    status, code, headers = _answer(causes)
    names = {type(each).__name__ for each in causes}
    if names & {*_NO_CREDENTIALS}:
        return Fault(f"no credentials found; give them by {_credentials(scheme)}")
    if names & {"ClientPayloadError", "IncompleteReadError", "ResponseStreamingError"}:
        return Fault("cut off while it was read; try again, or copy it to the store again", True)
    if status in _BUSY or code == "SlowDown":
        wait_s = _retry_after(headers)
        return Fault(f"the store is busy (HTTP {status}); try again later", True, wait_s)
    if status in _REFUSED or code in _REFUSED_CODES or isinstance(error, PermissionError):
        why = _REFUSED_CODES.get(code, f"HTTP {status}" if status else str(error))
        return Fault(f"credentials are refused ({why}); check {_credentials(scheme)}")
    if code == "NoSuchBucket":
        return Fault("no such bucket; check the address", is_absent=True)
    if status in _ABSENT or (isinstance(error, FileNotFoundError) and not _is_disguise(causes)):
        return Fault("no such file or folder there; check the address", is_absent=True)
    if status is not None:
        return Fault(f"the store refuses it (HTTP {status}, {code or error}); check the address")
    if cut := next((each for each in causes if isinstance(each, CutOffError)), None):
        return Fault(f"{cut}; try again, or copy it to the store again", True)
    if any(isinstance(each, TimeoutError) or "Timeout" in type(each).__name__ for each in causes):
        return Fault("no answer in time; check the network, or try again later", True)
    reason = str(causes[-1]) or type(causes[-1]).__name__
    return Fault(f"unreachable ({reason}); check the address and the network", True)


def _credentials(scheme: str) -> str:
    store = _SAME_STORE.get(scheme, scheme)
    return _CREDENTIALS.get(store, f"the ways of {scheme}://")


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and those that it came from, each once."""
    seen = set[int]()
    pending: BaseException | None = error
    while pending is not None and id(pending) not in seen:
        seen.add(id(pending))
        yield pending
        pending = pending.__cause__ or pending.__context__


def _answer(causes: list[BaseException]) -> tuple[int | None, str, Mapping[str, str]]:
    """Return status, code and headers of the store's answer, where an error holds one."""
    for each in causes:
        response: Any = getattr(each, "response", None)
        if isinstance(response, Mapping):  # of botocore
            about = response.get("ResponseMetadata", {})
            code = str(response.get("Error", {}).get("Code", ""))
            return about.get("HTTPStatusCode"), code, about.get("HTTPHeaders") or {}
        source = each if response is None else response
        for name in ("status", "status_code", "code"):
            status = getattr(source, name, None)
            if isinstance(status, int) and 300 <= status < 600:
                return status, "", getattr(source, "headers", None) or {}
    return None, "", {}


def _is_disguise(causes: list[BaseException]) -> bool:
    """Whether an absent file is what fsspec makes of any other error of a web server."""
    others = [each for each in causes if not isinstance(each, FileNotFoundError)]
    return any(isinstance(e, OSError) or type(e).__module__.startswith("aiohttp") for e in others)


def _retry_after(headers: Mapping[str, str]) -> float:
    """Return the time that a store asks to wait, seconds; 0 where it does not."""
    text = next((v for name, v in headers.items() if name.lower() == "retry-after"), "").strip()
    if text.isdecimal():
        return float(text)
    import email.utils

    try:
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - time.time())
    except (ValueError, TypeError):
        return 0.0
