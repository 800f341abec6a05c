"""Files that lie elsewhere, fetched into the cache folder: what is new or changed, and no more."""

import os
import shutil
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from speechcls.errors import StorageError, reason_of
from speechcls.files import CACHE_VARIABLE
from speechcls.parallel import map_batches
from speechcls.storage.addresses import Entry, fetch_file, find_address, list_address
from speechcls.storage.faults import AbsentError
from speechcls.storage.places import full_address, is_mirrored, mirror_folder, name_of, place_of
from speechcls.storage.settings import PREFIX, storage_settings
from speechcls.storage.stamps import MirrorInfo, Stamps, open_stamps

PARTS = ".parts"
"""Folder in the mirror of the files that are being fetched."""
_LEFT_S = 86_400.0
"""Time after which such a file is that of a process which was killed."""
N_FAILED_FIRST = 100
"""So many files that fail before one comes end the work: the store is at fault, not they."""

Watch = Callable[[int], AbstractContextManager[Callable[[], None]]]
"""Called with the number of files to fetch; yields what is called for each that came."""
_Task = tuple[Entry, Path]


def unwatched(n_files: int) -> AbstractContextManager[Callable[[], None]]:
    """Show no progress: what ``Watch`` is by default."""
    return nullcontext(lambda: None)


@dataclass
class Brought:
    """What fetching came to."""

    n_fetched: int = 0
    n_removed: int = 0
    problems: list[str] = field(default_factory=list)
    """One line for each file that could not be fetched."""
    left_out: Counter[str] = field(default_factory=Counter)
    """Files that were not wanted, by the endings of their names."""


class Patience:
    """Ends the work where no file at all comes, instead of trying a million of them."""

    def __init__(self) -> None:
        self._n_failed: int | None = 0

    def note(self, error: StorageError | None) -> None:
        """Take note of what the next file came to.

        Raises
        ------
        StorageError
            When the first ``N_FAILED_FIRST`` failed, and not because they are absent.
        """
        if error is None:
            self._n_failed = None
        if self._n_failed is None or error is None or isinstance(error, AbsentError):
            return
        self._n_failed += 1
        if self._n_failed >= N_FAILED_FIRST:
            raise StorageError(f"{error} (so did the first {self._n_failed} files)") from error


def bring_folder(
    place: Path, wanted: Callable[[str], bool] = bool, watch: Watch = unwatched
) -> Brought:
    """Fetch the file at the address of ``place``, or all files below it that are wanted.

    Files that came before are fetched again only where the store has others by now; those that are
    gone from the store are removed.

    Parameters
    ----------
    place : as of ``places.place_of``
    wanted : whether to fetch the file of this name, relative to ``place``; empty for the file at
        the address itself, which always is

    Raises
    ------
    StorageError
        When it cannot be listed, nothing is there, it takes more space than there is, or no file
        at all comes.
    """
    brought, tasks, listed = Brought(), list[_Task](), set[str]()
    with open_stamps() as stamps:
        known = stamps.below(place)
        for entry in list_address(full_address(place)):
            try:
                there = place_of(entry.address)
            except StorageError as error:
                brought.problems.append(str(error))
                continue
            key = stamps.key(there)
            listed.add(key)
            if there != place and not wanted(there.relative_to(place).as_posix()):
                brought.left_out[PurePosixPath(key).suffix.lower() or "without ending"] += 1
            elif not _is_fresh(entry, there, known.get(key)):
                tasks.append((entry, there))
        for key in known.keys() - listed:
            stamps.remove(key)
            brought.n_removed += 1
        _bring(tasks, name_of(place), stamps, watch, brought)
    return brought


def bring_files(places: Iterable[Path], watch: Watch = unwatched) -> Brought:
    """Fetch the files at the addresses of several places; otherwise as ``bring_folder``."""
    brought, tasks = Brought(), list[_Task]()
    patience, settings = Patience(), storage_settings()

    def find(batch: list[Path]) -> tuple[Path, Entry | StorageError]:
        [place] = batch
        try:
            return place, find_address(full_address(place))
        except StorageError as error:
            return place, error

    with open_stamps() as stamps:
        for place, entry in map_batches(places, find, settings.parallel, 1):
            patience.note(entry if isinstance(entry, StorageError) else None)
            if isinstance(entry, StorageError):
                brought.problems.append(str(entry))
                if isinstance(entry, AbsentError):
                    stamps.remove(stamps.key(place))
            elif not _is_fresh(entry, place, stamps.known(place)):
                tasks.append((entry, place))
        _bring(tasks, f"{len(tasks)} files", stamps, watch, brought)
    return brought


def bring_file(place: Path) -> Path:
    """Fetch the file at the address of ``place`` and return it; a local path is itself.

    Raises
    ------
    StorageError
        When it cannot be fetched.
    """
    if is_mirrored(place) and (problems := bring_files([place]).problems):
        raise StorageError(problems[0])
    return place


def find_mirrors(sources: Sequence[Path] | None = None) -> list[MirrorInfo]:
    """Return what is in the mirror: of each of ``sources``, else of each bucket or server."""
    if not mirror_folder().is_dir():
        return []
    with open_stamps() as stamps:
        if not sources:
            return stamps.sources()
        return [info for each in filter(is_mirrored, sources) if (info := stamps.describe(each))]


def remove_mirror(place: Path) -> int:
    """Remove what was fetched of a place; return how many bytes that frees.

    Raises
    ------
    StorageError
        When it cannot be removed.
    """
    if not mirror_folder().is_dir():
        return 0
    with reporting_disk_errors(), open_stamps() as stamps:
        known = stamps.below(place)
        for key in known:
            stamps.remove(key)
        if place.is_dir():
            shutil.rmtree(place)
    return sum(size for _, size in known.values())


def _is_fresh(entry: Entry, place: Path, known: tuple[str, int] | None) -> bool:
    """Whether the file that a store lists is in the mirror already."""
    if known is None or not entry.stamp or entry.stamp != known[0]:
        return False
    with suppress(OSError):
        return place.stat().st_size == known[1]
    return False


def _bring(
    tasks: Sequence[_Task], what: str, stamps: Stamps, watch: Watch, brought: Brought
) -> None:
    """Fetch files in parallel, each whole or not at all."""
    if not tasks:
        return
    replaced = sum(known[1] for _, place in tasks if (known := stamps.known(place)))
    check_space(what, sum(entry.size or 0 for entry, _ in tasks), stamps.n_bytes() - replaced)
    parts, patience = mirror_folder() / PARTS, Patience()
    with reporting_disk_errors():
        parts.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(parts)

    def work(batch: list[_Task]) -> tuple[_Task, StorageError | None]:
        [(entry, place)] = batch
        try:
            _fetch(entry, place, parts / uuid.uuid4().hex)
        except StorageError as error:
            return (entry, place), error
        return (entry, place), None

    with watch(len(tasks)) as on_file:
        for (entry, place), error in map_batches(tasks, work, storage_settings().parallel, 1):
            on_file()
            patience.note(error)
            if error is None:
                brought.n_fetched += 1
                stamps.set(place, entry.stamp, place.stat().st_size)
            else:
                brought.problems.append(str(error))


def _remove_leftovers(parts: Path) -> None:
    """Remove what killed processes have not fetched whole."""
    for path in parts.iterdir():
        with suppress(FileNotFoundError):  # of a process that is running
            if path.stat().st_mtime < time.time() - _LEFT_S:
                path.unlink()


def _fetch(entry: Entry, place: Path, part: Path) -> None:
    """Fetch one file under another name, and give it its own when it is whole."""
    with reporting_disk_errors():
        try:
            fetch_file(entry.address, part, entry.size)
            if entry.time_s is not None:
                os.utime(part, (entry.time_s, entry.time_s))
            try:
                place.parent.mkdir(parents=True, exist_ok=True)
                part.replace(place)
            except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
                raise StorageError(
                    f"{name_of(place)}: a file and a folder in one; rename one of them in the store"
                ) from error
        finally:
            part.unlink(missing_ok=True)


def check_space(what: str, n_bytes: int, n_used: int) -> None:
    """Refuse to fetch more than the settings, or the disk, allow.

    Raises
    ------
    StorageError
        Saying how much it takes, and how much there is.
    """
    settings, folder = storage_settings(), mirror_folder()
    with reporting_disk_errors():
        folder.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(folder).free
    left_gb = settings.budget_gb - n_used / 1e9
    free_gb = free / 1e9 - settings.keep_free_gb
    if n_bytes / 1e9 > left_gb:
        raise StorageError(
            f"{what}: {n_bytes / 1e9:,.3f} GB to fetch, and {max(0.0, left_gb):,.3f} of"
            f" {settings.budget_gb:,.3f} GB are left for fetched files; raise"
            f" ${PREFIX}BUDGET_GB, or remove others by speechcls cache clear"
        )
    if n_bytes / 1e9 > free_gb:
        raise StorageError(
            f"{what}: {n_bytes / 1e9:,.3f} GB to fetch, and {max(0.0, free_gb):,.3f} GB are free"
            f" on the disk of {folder}; free some, or set ${CACHE_VARIABLE} to a folder elsewhere"
        )


@contextmanager
def reporting_disk_errors() -> Iterator[None]:
    """Turn an OSError of the block into an error that says what to do.

    Raises
    ------
    StorageError
        Naming the cache folder.
    """
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"{mirror_folder()}: {reason_of(error)}; free disk space, or set ${CACHE_VARIABLE} to"
            " another folder"
        ) from error
