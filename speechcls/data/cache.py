"""The clip stores in the cache folder: where they are, their index, and how to remove them."""

import errno
import hashlib
import json
import math
import os
import shutil
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from speechcls.errors import DatasetError, reason_of
from speechcls.files import CACHE_VARIABLE, UNPACKED, cache_folder
from speechcls.layouts.examples import Example

INDEX, SAMPLES, FINGERPRINTS, LOCK = "index.sqlite", "samples.pcm", "fingerprints.bin", "lock"
"""The files of a store."""
OLD_INDEX = "index.jsonl"
"""Of earlier releases; such a store is packed anew."""
_FORMAT_VERSION = 3
_SCHEMA = (
    "create table store (source blob not null, sample_rate integer not null)",
    "create table clips (path blob not null, start_s real not null, end_s real not null,"
    " channel integer not null, size integer not null, mtime_ns integer not null,"
    " start integer not null, length integer not null, scale real not null, digest text not null,"
    " notes text not null, primary key (path, start_s, end_s, channel)) without rowid",
    f"pragma user_version = {_FORMAT_VERSION}",
)

NOT_KEPT = -1
"""Where a clip starts of which only the rest is kept, since it is read from its shard."""
_KEPT = f"clips where start != {NOT_KEPT}"
Stamp = tuple[int, int]
"""Size of a file in bytes and when it was last written, ns; both -1 where there is none."""


class Key(NamedTuple):
    """What a clip is known by."""

    path: bytes
    start_s: float
    end_s: float
    """Infinite where it ends with the recording."""
    channel: int
    """From 1 on; 0 is the mean of all."""


class Entry(NamedTuple):
    """What a store knows of a clip."""

    stamp: Stamp
    """Of the file that was read."""
    start: int
    """Where the clip starts in ``samples.pcm``, samples; ``NOT_KEPT`` where it is not in it."""
    length: int
    """Samples."""
    scale: float
    """Amplitude of full scale."""
    digest: str
    notes: tuple[str, ...]


def key_of(example: Example) -> Key:
    """Return what a clip is known by."""
    path = os.path.abspath(example.path)  # noqa: PTH100
    end_s = math.inf if example.end_s is None else example.end_s
    return Key(os.fsencode(path), example.start_s, end_s, example.channel or 0)


def stamp_of(path: str | bytes | Path) -> Stamp:
    """Return the stamp of a file; of a recording in a shard, that of the shard."""
    try:
        found = os.stat(path)  # noqa: PTH116
    except NotADirectoryError:
        return stamp_of(os.path.dirname(path))  # noqa: PTH120
    except (OSError, ValueError):
        return -1, -1
    return found.st_size, found.st_mtime_ns


class StoreIndex:
    """The clips of a store: a database on disk, so that millions of them need no memory.

    A process that is killed leaves it as it was at the last ``add``.
    """

    def __init__(self, path: Path, may_write: bool = True) -> None:
        self._path = path
        self._database = sqlite3.connect(
            f"{path.resolve().as_uri()}?mode={'rwc' if may_write else 'ro'}",
            uri=True,
            isolation_level=None,
            check_same_thread=False,  # SQLite itself lets one thread in at a time
        )

    def close(self) -> None:
        """Close the database."""
        self._database.close()

    def create(self, source: Path, sample_rate: int) -> None:
        """Make an empty database that of the data set in folder ``source``."""
        with self._database:
            self._database.execute("begin")
            for statement in _SCHEMA:
                self._database.execute(statement)
            about = os.fsencode(source.resolve()), sample_rate
            self._database.execute("insert into store values (?, ?)", about)

    def _require_whole(self) -> None:
        """Refuse a database of which the file is cut off: SQLite reads zeros there."""
        (n_bytes,) = self._database.execute(
            "select page_count * page_size from pragma_page_count(), pragma_page_size()"
        ).fetchone()
        if n_bytes > stamp_of(self._path)[0]:
            raise sqlite3.DatabaseError(f"{self._path.name} is cut off")

    def is_of(self, source: Path, sample_rate: int) -> bool:
        """Return whether it is that of a data set, and of this release.

        Raises
        ------
        sqlite3.DatabaseError
            When it is damaged.
        """
        self._require_whole()
        (version,) = self._database.execute("pragma user_version").fetchone()
        return version == _FORMAT_VERSION and self.about() == (
            os.fsencode(source.resolve()),
            sample_rate,
        )

    def about(self) -> tuple[bytes, int]:
        """Return the folder of the data set, and the sample rate in Hz."""
        found = self._database.execute("select * from store").fetchone()
        if found is None:
            raise sqlite3.DatabaseError(f"{self._path.name} does not say of what")
        source, sample_rate = found
        return source, sample_rate

    def __len__(self) -> int:
        """Return the number of clips."""
        (n_clips,) = self._database.execute("select count(*) from clips").fetchone()
        return int(n_clips)

    @property
    def end(self) -> int:
        """Samples up to the end of the last clip."""
        found = self._database.execute(f"select max(start + length) from {_KEPT}").fetchone()
        return int(found[0] or 0)

    def find(self, key: Key) -> Entry | None:
        """Return what is known of a clip; None where it is not there."""
        found = self._database.execute(
            "select size, mtime_ns, start, length, scale, digest, notes from clips"
            " where path = ? and start_s = ? and end_s = ? and channel = ?",
            key,
        ).fetchone()
        if found is None:
            return None
        size, mtime_ns, start, length, scale, digest, notes = found
        notes = tuple(json.loads(notes)) if notes else ()
        return Entry((size, mtime_ns), start, length, scale, digest, notes)

    def add(self, entries: Iterable[tuple[Key, Entry]]) -> None:
        """Add clips, all of them or none, in place of those that are there."""
        with self._database:
            self._database.execute("begin immediate")
            self._database.executemany(
                "insert or replace into clips values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    (*key, *stamp, *rest, json.dumps(notes) if notes else "")
                    for key, (stamp, *rest, notes) in entries
                ),
            )

    def lengths_by_path(self) -> Iterator[tuple[bytes, int]]:
        """Yield each recording, and how many samples of it are kept."""
        yield from self._database.execute(f"select path, sum(length) from {_KEPT} group by path")


@dataclass(frozen=True)
class StoreInfo:
    """What is known about a store without opening it."""

    path: Path
    source: str
    """The data set's folder, or why it is not known."""
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
    with reporting_disk_errors(cache_folder()):
        for index in [*cache_folder().glob(f"*/{INDEX}"), *cache_folder().glob(f"*/{OLD_INDEX}")]:
            source, sample_rate, n_clips = _describe(index)
            n_bytes = sum(file.stat().st_size for file in index.parent.iterdir())
            last_used = index.stat().st_mtime
            stores.append(StoreInfo(index.parent, source, sample_rate, n_clips, n_bytes, last_used))
    return sorted(stores, key=lambda store: -store.last_used)


def _describe(index: Path) -> tuple[str, int, int]:
    """Return the source, rate in Hz and number of clips of a store."""
    if index.name == OLD_INDEX:
        return "packed by an earlier release", 0, 0
    try:
        with closing(StoreIndex(index, may_write=False)) as opened:
            source, sample_rate = opened.about()
            return os.fsdecode(source), sample_rate, len(opened)
    except sqlite3.Error:
        return "damaged", 0, 0


def remove_store(store: StoreInfo) -> None:
    """Remove a store from disk.

    Raises
    ------
    DatasetError
        When it cannot be removed, or is being packed.
    """
    import filelock

    with reporting_disk_errors(store.path):
        try:
            with filelock.FileLock(store.path / LOCK, timeout=0):
                empty_store(store.path)
        except filelock.Timeout as error:
            raise DatasetError(
                f"{store.path}: another process is packing it; try again when it is done"
            ) from error
        shutil.rmtree(store.path)


def empty_store(folder: Path) -> None:
    """Remove the files of a locked store; a process that has mapped its samples keeps them."""
    for name in (INDEX, OLD_INDEX, SAMPLES, FINGERPRINTS):
        (folder / name).unlink(missing_ok=True)


def remove_unpacked() -> int:
    """Remove the recordings that were unpacked from other files; return how many bytes that frees.

    Raises
    ------
    DatasetError
        When they cannot be removed.
    """
    folder = cache_folder() / UNPACKED
    with reporting_disk_errors(folder):
        n_bytes = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        if folder.exists():
            shutil.rmtree(folder)
    return n_bytes


@contextmanager
def reporting_disk_errors(folder: Path) -> Iterator[None]:
    """Turn an error of the disk or the database into one that says what to do.

    Raises
    ------
    DatasetError
        Naming ``folder``.
    """
    try:
        yield
    except (OSError, sqlite3.Error) as error:
        if isinstance(error, OSError) and error.errno == errno.ENOMEM:  # no matter of disks
            raise
        reason = reason_of(error) if isinstance(error, OSError) else str(error)
        advice = f"free disk space, or set ${CACHE_VARIABLE} to another folder"
        if isinstance(error, sqlite3.Error) and _tells_of_damage(error):
            reason, advice = f"damaged ({reason})", "clear the cache, it will be recreated"
        raise DatasetError(f"{folder}: {reason}; {advice}") from error


def _tells_of_damage(error: sqlite3.Error) -> bool:
    """Return whether an error is one of what the database has, not of the disk it is on."""
    damage = None, sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB
    return getattr(error, "sqlite_errorcode", None) in damage
