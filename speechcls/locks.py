"""Locks on files, which the system releases when their process ends, however it ends."""

import errno

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]


def try_lock(descriptor: int, wait: bool = False) -> bool | None:
    """Return whether a file is locked now, until its descriptor is closed.

    Parameters
    ----------
    wait : for the end of another process's lock

    Returns
    -------
    False where another process holds the lock; None where the system has none
    """
    if fcntl is None:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError as error:
        return False if error.errno in (errno.EWOULDBLOCK, errno.EACCES) else None
    return True
