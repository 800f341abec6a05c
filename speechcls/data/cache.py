"""The clip stores in the cache folder: where they are, how large, and how to remove them."""

import errno
import hashlib
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from speechcls.errors import DatasetError, reason_of
from speechcls.files import CACHE_VARIABLE, UNPACKED, cache_folder

INDEX, SAMPLES, FINGERPRINTS, LOCK = "index.jsonl", "samples.pcm", "fingerprints.bin", "lock"
"""The files of a store."""


@dataclass(frozen=True)
class StoreInfo:
    """What is known about a store without opening it."""

    path: Path
    source: str
    """The data set's folder; ``damaged`` if the index cannot be read."""
    sample_rate: int
    n_clips: int
    n_bytes: int
    last_used: float
    """Seconds since 1970."""


def store_path(source: Path, sample_rate: int) -> Path:
    """Return the folder of the store of the data set in folder ``source``."""
    source = source.resolve()
    text = f"{source}\0{sample_rate}".encode("utf-8", "surrogateescape")
    return cache_folder() / f"{source.name}-{hashlib.blake2b(text, digest_size=6).hexdigest()}"


def find_stores() -> list[StoreInfo]:
    """Return the stores in the cache folder, last used first.

    Raises
    ------
    DatasetError
        When it cannot be listed.
    """
    stores = []
    with reporting_os_errors(cache_folder()):
        for index in cache_folder().glob(f"*/{INDEX}"):
            header, *lines = index.read_bytes().split(b"\n")
            try:
                about = json.loads(header)
                source, sample_rate = str(about["source"]), int(about["sample_rate"])
            except (ValueError, TypeError, KeyError):
                source, sample_rate = "damaged", 0
            n_bytes = sum(file.stat().st_size for file in index.parent.iterdir())
            last_used = index.stat().st_mtime
            stores.append(
                StoreInfo(
                    index.parent, source, sample_rate, max(0, len(lines) - 1), n_bytes, last_used
                )
            )
    return sorted(stores, key=lambda store: -store.last_used)


def remove_store(store: StoreInfo) -> None:
    """Remove a store from disk.

    Raises
    ------
    DatasetError
        When it cannot be removed, or is being packed.
    """
    import filelock

    with reporting_os_errors(store.path):
        try:
            with filelock.FileLock(store.path / LOCK, timeout=0):
                (store.path / INDEX).unlink()
                (store.path / SAMPLES).unlink(missing_ok=True)
                (store.path / FINGERPRINTS).unlink(missing_ok=True)
        except filelock.Timeout as error:
            raise DatasetError(
                f"{store.path}: another process is packing it; try again when it is done"
            ) from error
        shutil.rmtree(store.path)


def remove_unpacked() -> int:
    """Remove the recordings that were unpacked from other files; return how many bytes that frees.

    Raises
    ------
    DatasetError
        When they cannot be removed.
    """
    folder = cache_folder() / UNPACKED
    with reporting_os_errors(folder):
        n_bytes = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        if folder.exists():
            shutil.rmtree(folder)
    return n_bytes


@contextmanager
def reporting_os_errors(folder: Path) -> Iterator[None]:
    """Turn an OSError of the block into an error that says what to do.

    Raises
    ------
    DatasetError
        Naming ``folder``.
    """
    try:
        yield
    except OSError as error:
        if error.errno == errno.ENOMEM:  # no matter of disks
            raise
        raise DatasetError(
            f"{folder}: {reason_of(error)}; free disk space, or set ${CACHE_VARIABLE} to another"
            " folder"
        ) from error
