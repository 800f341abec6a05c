"""The results of a long run, kept beside its output as they come, so that it can go on later."""

import json
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from speechcls.errors import ConfigError
from speechcls.files import naming
from speechcls.locks import try_lock

SUFFIX = ".resume"
"""Of a journal's name, behind that of the output."""

Key = list[Any]
"""What tells an item from another one and from its earlier states; its name comes first."""
T = TypeVar("T")
R = TypeVar("R")


def key_of_file(path: str | os.PathLike[str], *others: Any) -> Key:
    """Return the key of a recording: its path, size and time of change, and what else counts."""
    try:
        about = os.stat(path)  # noqa: PTH116 - pathlib's raises for some names
    except (OSError, ValueError):
        return [str(path), None, None, *others]
    return [str(path), about.st_size, about.st_mtime_ns, *others]


class Journal:
    """The items of a run that are done, in order, with their results; without a file, none.

    The first line says what the run is, each further one holds an item's key and its result, as
    JSON. What follows the last complete line was being written when the run ended, and is dropped.

    Use ``open_journal`` to make one with a file.

    Parameters
    ----------
    path : of the file, in messages
    on_resume : called with the number of items that were done before
    """

    def __init__(
        self,
        file: BinaryIO | None = None,
        path: Path = Path(),
        on_resume: Callable[[int], None] = lambda n: None,
    ) -> None:
        self._file, self._path, self._on_resume = file, path, on_resume
        self.n_items = 0
        """Results that it holds, as far as they have been read or written."""

    def replay(self, items: Iterator[T], key_of: Callable[[T], Key]) -> Iterator[tuple[T, Any]]:
        """Yield the items that are done, with their results; ``items`` stands behind them then.

        Raises
        ------
        ConfigError
            When ``items`` are not those that the journal is of.
        """
        if self._file is None:
            return
        n_before = self.n_items
        while (entry := self._read_line()) is not None:
            key, result = entry
            for item in items:
                self._check(key, key_of(item))
                self.n_items += 1
                yield item, result
                break
            else:
                raise self._refusal(f"ends before {key[0]}, which was done before")
        if self.n_items > n_before:
            self._on_resume(self.n_items - n_before)

    def add(self, key: Key, result: Any) -> None:
        """Write one more item and its result, JSON-ready values."""
        if self._file is not None:
            with naming(self._path):
                self._file.write(json.dumps([key, result]).encode() + b"\n")
                self._file.flush()
            self.n_items += 1

    def run(
        self,
        items: Iterable[T],
        key_of: Callable[[T], Key],
        compute: Callable[[Iterator[T]], Iterator[R]],
        encode: Callable[[R], Any],
        decode: Callable[[Any], R],
    ) -> Iterator[tuple[T, R]]:
        """Yield each item with its result: those that are done, then those that ``compute`` yields.

        Parameters
        ----------
        compute : yields the results of the items that it is given, in their order
        encode, decode : make JSON-ready values of a result, and a result of them
        """
        rest = iter(items)
        for item, content in self.replay(rest, key_of):
            yield item, decode(content)
        # The key is that of the file before it is read, the item may be read long before its turn.
        taken: deque[tuple[T, Key]] = deque()

        def take() -> Iterator[T]:
            for item in rest:
                taken.append((item, key_of(item) if self._file else []))
                yield item

        for result in compute(take()):
            item, key = taken.popleft()
            self.add(key, encode(result) if self._file else None)
            yield item, result

    def _read_line(self) -> tuple[Key, Any] | None:
        """Return the next key and result; None, ready to write, behind the last complete one."""
        assert self._file is not None
        start, line = self._file.tell(), self._file.readline()
        try:
            if line.endswith(b"\n"):
                key, result = json.loads(line)
                return key, result
        except (ValueError, TypeError):
            pass
        self._file.seek(start)
        self._file.truncate()
        return None

    def _check(self, done: Key, now: Key) -> None:
        if json.loads(json.dumps(now)) == done:
            return
        if done[0] != now[0]:
            raise self._refusal(f"has {now[0]} where {done[0]} was done before")
        raise self._refusal(f"has another {now[0]} now than when it was done")

    def _refusal(self, fact: str) -> ConfigError:
        return ConfigError(
            f"the data {fact} ({self._path}); give the same data, or leave this out to begin anew",
            field="resume",
        )


@contextmanager
def open_journal(
    path: Path,
    about: Mapping[str, Any],
    resume: bool,
    on_resume: Callable[[int], None] = lambda n: None,
) -> Iterator[Journal]:
    """Yield the journal of a run; it is removed when the block ends without an error.

    Parameters
    ----------
    about : everything that the results depend on beside the items, JSON-ready values by name
    resume : go on where an earlier run stopped; else its journal is replaced
    on_resume : called with the number of items that were done before

    Raises
    ------
    ConfigError
        When the journal is that of another run, naming what differs, or another process writes it.
    OSError
        When it cannot be written.
    """
    with naming(path):
        if not resume:
            path.unlink(missing_ok=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        # Not truncated: it may turn out to be another run's.
        file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o666), "r+b")
    try:
        _lock(file, path)
        _begin(file, path, json.loads(json.dumps(dict(about))))
        n_bytes = file.tell()
        try:
            yield Journal(file, path, on_resume)
        except BaseException:
            if os.fstat(file.fileno()).st_size <= n_bytes:  # nothing in it to go on from
                path.unlink(missing_ok=True)
            raise
        path.unlink(missing_ok=True)
    finally:
        with suppress(OSError):  # of a line that did not fit: it was said when it was written
            file.close()


def _begin(file: BinaryIO, path: Path, about: dict[str, Any]) -> None:
    """Check the first line of a journal, or write it where there is none."""
    line = file.readline()
    if not line.endswith(b"\n"):
        with naming(path):
            file.seek(0)
            file.truncate()
            file.write(json.dumps(about).encode() + b"\n")
            file.flush()
        return
    try:
        before = dict(json.loads(line))
    except (ValueError, TypeError) as error:
        raise ConfigError(
            f"{path}: damaged, or not of speechcls; leave this out to begin anew", field="resume"
        ) from error
    differing = [
        f"{name} was {_shown(before.get(name))} and is {_shown(about.get(name))}"
        for name in before | about
        if before.get(name) != about.get(name)
    ]
    if differing:
        raise ConfigError(
            f"{path} is of another run: {', '.join(differing)}; give the same, or leave this out"
            " to begin anew",
            field="resume",
        )


def _shown(value: Any) -> str:
    return "not given" if value is None else str(value)


def _lock(file: BinaryIO, path: Path) -> None:
    """Refuse a journal that another process writes; where the system has no such lock, take it."""
    if try_lock(file.fileno()) is False:
        raise ConfigError(
            f"{path} is being written by another process; wait for it, or name another output",
            field="resume",
        )
