"""Folders that are written beside what they replace, and what killed processes left in them."""

import contextlib
import errno
import functools
import os
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from speechcls.locks import try_lock

WHOLE, REPLACED = "whole", "replaced"
"""What a scratch folder holds: what was written, and what it replaces."""
ANY = "speechcls"
"""Name of the scratch folders of files, whose own names may be too long to be part of it."""
_PATIENCE_S = 5.0
"""How long a folder may be away while another process replaces it."""


@contextmanager
def open_scratch(folder: Path, name: str = ANY) -> Iterator[Path]:
    """Yield a new folder ``.NAME-xxxxxxxx`` in ``folder``, which is removed at the end.

    It is locked as long as this process lives. What killed processes left under the same name is
    removed first, for files once in a process, since a folder may hold very many.
    """
    if name == ANY:
        _remove_files_leftovers(folder.absolute())
    else:
        _remove_leftovers(folder, name)
    while True:
        scratch = Path(tempfile.mkdtemp(dir=folder, prefix=f".{name}-"))
        lock = _lock(scratch, wait=True)
        if lock is not None or scratch.is_dir():  # else another process took it for a leftover
            break
    try:
        yield scratch
    finally:
        try:
            _discard(scratch, folder / name)
        finally:
            if lock is not None:
                os.close(lock)


def replace_folder(whole: Path, path: Path, replaced: Path) -> None:
    """Move a folder to ``path``; one that is there goes to ``whole`` or to ``replaced``.

    Where the system cannot exchange two names, there is a moment without ``path``. If that is where
    it ends, the end of ``open_scratch`` brings the old one back, or ``restore`` in a later process.
    """
    is_there = os.path.lexists(path)
    if not (is_there and exchange(whole, path)):
        if is_there:
            path.rename(replaced)
        whole.rename(path)
    sync_folder(path.parent)


def exchange(first: Path, second: Path) -> bool:
    """Exchange two names in one step; return whether kernel and file system can."""
    import ctypes  # not at every start

    if os.name != "posix":
        return False
    library = ctypes.CDLL(None, use_errno=True)
    names = os.fsencode(first), os.fsencode(second)
    if sys.platform == "linux" and hasattr(library, "renameat2"):
        here, swap = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
        failed = library.renameat2(here, names[0], here, names[1], swap)
    elif sys.platform == "darwin" and hasattr(library, "renamex_np"):
        failed = library.renamex_np(*names, 2)  # RENAME_SWAP
    else:
        return False
    if not failed:
        return True
    if (code := ctypes.get_errno()) in (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP):
        return False
    raise OSError(code, os.strerror(code), str(second))


def sync_folder(folder: Path) -> None:
    """Wait until the names in a folder are on the disk, where the system can."""
    with contextlib.suppress(OSError):  # of Windows, and of some network file systems
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def restore(path: Path) -> bool:
    """Bring back the folder ``path`` that an interrupted replacement put aside, if there is one.

    While a living process replaces it, wait for that. Return whether there is something now.
    """
    end = time.monotonic() + _PATIENCE_S
    while not os.path.lexists(path):
        waits = False
        for scratch in _scratches(path.parent, path.name):
            if not (scratch / REPLACED).is_dir():
                continue
            lock = _lock(scratch)
            waits |= lock is None
            if lock is not None:
                with contextlib.suppress(OSError):  # another process was faster, or may write here
                    (scratch / REPLACED).rename(path)
                os.close(lock)
        if not waits or time.monotonic() > end:
            return os.path.lexists(path)
        time.sleep(0.001)
    return True


@functools.cache
def _remove_files_leftovers(folder: Path) -> None:
    _remove_leftovers(folder, ANY)


def _remove_leftovers(folder: Path, name: str) -> None:
    """Remove the scratch folders that no living process holds."""
    for scratch in _scratches(folder, name):
        if (lock := _lock(scratch)) is None:
            continue
        # A folder of the user's that happens to be called so holds something else.
        with contextlib.suppress(OSError):
            if {each.name for each in scratch.iterdir()} <= {WHOLE, REPLACED}:
                _discard(scratch, folder / name)
        os.close(lock)


def _discard(scratch: Path, path: Path) -> None:
    """Remove a scratch folder, and bring back what it was to replace if that is not there."""
    if (scratch / REPLACED).is_dir() and not os.path.lexists(path):
        (scratch / REPLACED).rename(path)
    shutil.rmtree(scratch, ignore_errors=True)


def _scratches(folder: Path, name: str) -> list[Path]:
    """Return the scratch folders of a name; none where the folder cannot be read."""
    pattern = re.compile(re.escape(f".{name}-") + "[a-z0-9_]{8}")
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        return [Path(entry.path) for entry in entries if pattern.fullmatch(entry.name)]
    return []


def _lock(scratch: Path, wait: bool = False) -> int | None:
    """Return a descriptor that locks a scratch folder; None where that cannot be had.

    The lock ends with the process, however that ends.
    """
    try:
        descriptor = os.open(scratch, os.O_RDONLY)
    except OSError:
        return None
    with contextlib.suppress(OSError):  # removed in between
        is_held = try_lock(descriptor, wait)
        if is_held and os.path.samestat(os.fstat(descriptor), scratch.stat()):
            return descriptor
    os.close(descriptor)
    return None
