"""What was fetched of each file in the mirror, in a database beside the files."""

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from speechcls.errors import StorageError
from speechcls.storage.places import mirror_folder

if TYPE_CHECKING:
    import sqlite3

_FILE = ".stamps.sqlite"
_PATIENCE_S = 60.0
"""How long another process may write to it."""
_BELOW = "WHERE name = ? OR (name >= ? AND name < ?)"
_EVERY_S = 1.0
"""Time between two commits: so much is fetched again after a power cut."""


@dataclass(frozen=True)
class MirrorInfo:
    """The files in the mirror of one bucket or server, or of a part of it."""

    place: Path
    """The folder in the mirror."""
    n_files: int
    n_bytes: int
    last_used: float
    """Seconds since 1970."""


class Stamps:
    """The stamp and the size of every file that was fetched, by its path in the mirror."""

    def __init__(self, database: "sqlite3.Connection", folder: Path) -> None:
        self._database, self._folder = database, folder
        self._committed_s = time.monotonic()

    def below(self, place: Path) -> dict[str, tuple[str, int]]:
        """Return stamp and size of the file at ``place`` and of all below it."""
        query = f"SELECT name, stamp, size FROM files {_BELOW}"
        rows = self._database.execute(query, self._below(place))
        return {key: (stamp, size) for key, stamp, size in rows}

    def known(self, place: Path) -> tuple[str, int] | None:
        """Return stamp and size of one file; None where it was not fetched."""
        query = "SELECT stamp, size FROM files WHERE name = ?"
        row = self._database.execute(query, (self.key(place),)).fetchone()
        return None if row is None else (row[0], row[1])

    def set(self, place: Path, stamp: str, size: int) -> None:
        """Say what was fetched."""
        row = (self.key(place), stamp, size, time.time())
        self._database.execute("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?)", row)
        if time.monotonic() > self._committed_s + _EVERY_S:
            self._database.commit()
            self._committed_s = time.monotonic()

    def remove(self, key: str) -> None:
        """Remove a file, and the record of it."""
        self._folder.joinpath(key).unlink(missing_ok=True)
        self._database.execute("DELETE FROM files WHERE name = ?", (key,))

    def n_bytes(self) -> int:
        """Return the size of all files."""
        [total] = self._database.execute("SELECT COALESCE(SUM(size), 0) FROM files").fetchone()
        return int(total)

    def sources(self) -> list[MirrorInfo]:
        """Return each bucket or server, last used first."""
        found: dict[str, tuple[int, int, float]] = {}
        for name, size, used in self._database.execute("SELECT name, size, used FROM files"):
            host = "/".join(name.split("/")[:2])
            n_files, n_bytes, last = found.get(host, (0, 0, 0.0))
            found[host] = n_files + 1, n_bytes + size, max(last, used)
        infos = [MirrorInfo(self._folder / host, *about) for host, about in found.items()]
        return sorted(infos, key=lambda info: -info.last_used)

    def describe(self, place: Path) -> MirrorInfo | None:
        """Return how many files a place has; None where it has none."""
        query = "SELECT COUNT(*), SUM(size), MAX(used) FROM files"
        about = self._database.execute(f"{query} {_BELOW}", self._below(place)).fetchone()
        return MirrorInfo(place, *about) if about[0] else None

    def _below(self, place: Path) -> tuple[str, str, str]:
        name = self.key(place)
        return name, f"{name}/", f"{name}0"  # 0 follows / in ASCII

    def key(self, place: Path) -> str:
        """Return what the record calls a place."""
        return place.relative_to(self._folder).as_posix()


@contextmanager
def open_stamps() -> Iterator[Stamps]:
    """Yield the record of the mirror; what it is told is kept at the end.

    Raises
    ------
    StorageError
        When it cannot be read or written.
    """
    import sqlite3  # late: predict needs this module, and mostly no record

    folder = mirror_folder()
    file = folder / _FILE
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(file, timeout=_PATIENCE_S)) as database:
            database.execute("PRAGMA journal_mode = WAL")
            database.execute("PRAGMA synchronous = NORMAL")
            database.execute(
                "CREATE TABLE IF NOT EXISTS files (name TEXT PRIMARY KEY, stamp TEXT NOT NULL,"
                " size INTEGER NOT NULL, used REAL NOT NULL) WITHOUT ROWID"
            )
            try:
                yield Stamps(database, folder)
            finally:
                database.commit()
    except sqlite3.Error as error:
        raise StorageError(f"{file}: {error}; remove {folder}, and all is fetched again") from error
