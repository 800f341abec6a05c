"""Files at addresses, read and listed: with time-outs, in several attempts, whole or not at all."""

import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from speechcls.errors import StorageError
from speechcls.storage.faults import AbsentError, CutOffError, explain, library_errors
from speechcls.storage.places import REMOTE, STORES, is_on_web
from speechcls.storage.settings import StorageSettings, storage_settings
from speechcls.text import without_credentials

_ETAGS = ("ETag", "etag", "md5Hash", "content_md5", "Content-MD5", "Digest", "blob_id")
_TIMES = ("LastModified", "last_modified", "Last-Modified", "updated", "mtime", "created")

T = TypeVar("T")


class Entry(NamedTuple):
    """A file at an address, as the store lists it."""

    address: str
    size: int | None
    """Bytes; None where the store does not say."""
    stamp: str
    """ETag, size and time in one text, which another content has differently; empty where the store
    says neither ETag nor time."""
    time_s: float | None
    """When it was changed, seconds since 1970; None where the store does not say."""


def read_address(address: str, size: int | None = None) -> bytes:
    """Return the content of the file at an address.

    Parameters
    ----------
    size : bytes that it has, where that is known

    Raises
    ------
    StorageError
        When it cannot be read, after several attempts where another one may help.
    """

    def read(store: Store) -> bytes:
        content: bytes = store.files.cat_file(store.path, **store.in_one)
        _check_size(len(content), size)
        return content

    return try_on_store(address, read)


def fetch_file(address: str, path: Path, size: int | None = None) -> None:
    """Write the file at an address to ``path``, which may hold a part of it after an error.

    Parameters
    ----------
    size : bytes that it has, where that is known

    Raises
    ------
    StorageError
        When it cannot be read, after several attempts where another one may help.
    OSError
        When it cannot be written.
    """
    from fsspec.callbacks import Callback

    path.write_bytes(b"")  # an error of the disk is none of the store

    def fetch(store: Store) -> None:
        told = Callback()
        store.files.get_file(store.path, str(path), callback=told)
        for expected in (told.size, size):
            _check_size(path.stat().st_size, expected)

    try_on_store(address, fetch)


def find_address(address: str) -> Entry:
    """Return what a store says about the one file at an address.

    Raises
    ------
    StorageError
        When it does not say it, or there is none.
    """
    about = try_on_store(address, lambda store: dict(store.files.info(store.path)))
    if about.get("type") == "directory":
        raise AbsentError(f"{without_credentials(address)}: a folder, not a file; name a file")
    return _entry(address, about)


def list_address(address: str) -> Iterator[Entry]:
    """Yield the file at an address, or all files below it, in the order of their names.

    Raises
    ------
    StorageError
        When it cannot be listed, or nothing is there.
    """
    scheme = address.partition(":")[0].lower()
    is_web = is_on_web(address)
    if is_web and address.endswith("/"):
        raise StorageError(
            f"{without_credentials(address)}: folders of web servers cannot be listed; name files,"
            " or a manifest of their addresses"
        )

    def find(store: Store) -> dict[str, dict[str, Any]]:
        if is_web:
            return {address: store.files.info(store.path)}
        found: dict[str, dict[str, Any]] = store.files.find(store.path, detail=True)
        return found

    found = try_on_store(address, find)
    if not found:
        raise AbsentError(
            f"{without_credentials(address)}: no such file or folder there; check the address"
        )
    for name, about in sorted(found.items()):
        if not name.endswith("/"):  # what stands for an empty folder
            full = name if is_web else f"{scheme}://{name.lstrip('/')}"
            yield _entry(full, about)


class Store(NamedTuple):
    """A file system, and what it calls an address."""

    files: Any
    path: str
    scheme: str
    in_one: Mapping[str, Any]
    """Arguments that make it read a file in one request."""
    settings: StorageSettings


def _open(address: str) -> Store:
    """Return the file system of an address."""
    scheme = address.partition("://")[0].lower()
    shown = without_credentials(address)
    if scheme not in STORES:
        raise StorageError(
            f"{shown}: no store has addresses that begin so; there are"
            f" {', '.join(f'{name}://' for name in STORES)}"
        )
    package, named = STORES[scheme]
    import importlib

    try:
        importlib.import_module(package)
        import fsspec
    except ImportError as error:
        missing = "fsspec" if error.name == "fsspec" else package
        raise StorageError(
            f"{shown}: {scheme}:// is read by {missing}, which is not installed; install it: pip"
            f" install {REMOTE if missing == 'fsspec' else named}"
        ) from error
    settings = storage_settings()
    kind = fsspec.get_filesystem_class(scheme)
    options = kind._get_kwargs_from_urls(address) | _options(scheme, settings)
    files = kind(use_listings_cache=False, **options)
    if scheme in ("s3", "s3a"):
        files.retries = 1  # the attempts are counted here
    in_one = {"max_concurrency": 1} if scheme in ("s3", "s3a") else {}
    return Store(files, kind._strip_protocol(address), scheme, in_one, settings)


def _options(scheme: str, settings: StorageSettings) -> dict[str, Any]:
    """Return the arguments of a file system that set its time-outs."""
    connect_s, read_s = settings.connect_timeout_s, settings.read_timeout_s
    if scheme in ("s3", "s3a"):
        limits = {"connect_timeout": connect_s, "read_timeout": read_s}
        connections = {"max_pool_connections": settings.parallel, "retries": {"max_attempts": 0}}
        return {"config_kwargs": limits | connections}
    if scheme in ("http", "https"):
        import aiohttp

        limit = aiohttp.ClientTimeout(total=None, sock_connect=connect_s, sock_read=read_s)
        return {"client_kwargs": {"timeout": limit, "trust_env": True}}
    if scheme in ("gs", "gcs"):
        return {"requests_timeout": read_s}
    return {}


def try_on_store(address: str, work: Callable[[Store], T]) -> T:
    """Return what ``work`` does at an address, tried again with growing waits while that may help.

    Raises
    ------
    StorageError
        When it fails, after several attempts where another one may help.
    """
    import random

    store = _open(address)
    scheme, settings = store.scheme, store.settings
    for attempt in range(1, settings.attempts + 1):
        try:
            return work(store)
        except library_errors() as error:
            fault = explain(error, scheme)
            if not fault.is_passing or attempt == settings.attempts:
                tried = f" in {attempt} attempts" if attempt > 1 else ""
                fact, _, advice = without_credentials(fault.text).partition(";")
                shown = without_credentials(address)
                kind = AbsentError if fault.is_absent else StorageError
                raise kind(f"{shown}: {fact}{tried};{advice}") from error
            backoff_s = settings.first_wait_s * 2 ** (attempt - 1) * random.uniform(0.5, 1.0)
            time.sleep(min(max(backoff_s, fault.wait_s), settings.longest_wait_s))
    raise AssertionError("at least one attempt is made")


def _check_size(n_bytes: int, expected: int | None) -> None:
    if expected is not None and n_bytes != expected:
        raise CutOffError(f"{n_bytes} of {expected} bytes came")


def _entry(address: str, about: Mapping[str, Any]) -> Entry:
    etag = next((str(about[name]) for name in _ETAGS if about.get(name)), "")
    changed = next((about[name] for name in _TIMES if about.get(name)), None)
    size = about.get("size")
    time_s = _seconds(changed)
    facts = (etag, "" if size is None else size, "" if time_s is None else time_s)
    stamp = " ".join(map(str, facts)) if etag or time_s is not None else ""
    return Entry(address, size, stamp, time_s)


def _seconds(moment: Any) -> float | None:
    """Return a point in time, however a store gives it, in seconds since 1970."""
    import datetime
    import email.utils

    if isinstance(moment, int | float):
        return float(moment)
    if isinstance(moment, datetime.datetime):
        return moment.timestamp()
    for parse in (datetime.datetime.fromisoformat, email.utils.parsedate_to_datetime):
        try:
            return parse(str(moment)).timestamp()
        except ValueError:
            continue
    return None
