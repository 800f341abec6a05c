"""What the machine refuses, memory, disk space or a package, in one line with what to do next."""

import errno
import importlib.util
import os
import sys
from collections.abc import Iterator

from speechcls.errors import SpeechclsError, reason_of

_SHORTAGES = (
    *("bad_alloc", "bad allocation", "allocate memory", "out of memory", "not enough memory"),
    *("failed to map segment", "can't start new thread"),
)
"""What libraries say, in lower case, where memory ran out."""
_UNDER_A_LIMIT = ("shared object", "unsupported hash type", "without exception set")
"""What they say where the address space of the process did, and what else it may mean."""
_ADVICE = {
    errno.ENOSPC: "free some space there, or name another place",
    errno.EDQUOT: "free some of your quota there, or name another place",
    errno.EFBIG: "raise the limit on the size of files (ulimit -f), or name another place",
    errno.EROFS: "name a place that may be written to",
    errno.EACCES: "check its permissions, or name another place",
    errno.EPERM: "check its permissions, or name another place",
    errno.EMFILE: "raise the limit on open files (ulimit -n), or use fewer --jobs",
    errno.ENOENT: "check the path",
    errno.EIO: "check the device that it is on",
}
_MB = 1_000_000
_LEAST_MB = {
    **dict.fromkeys(("predict", "detect", "listen", "verify", "bench", "synth", "mix"), 250),
    "check": 350,
    **dict.fromkeys(("evaluate", "calibrate", "compare", "export"), 650),
    **dict.fromkeys(("archs", "features"), 1_100),
    **dict.fromkeys(("explain", "train", "tune"), 1_600),
}
"""Address space below which the libraries of a command abort the process, or never return."""
_PER_THREAD_MB = 25
"""Address space for each core that may be used, at least."""

_NEEDED_LATE = {
    "evaluate": ("scipy", "sklearn"),
    "calibrate": ("scipy",),
    **dict.fromkeys(("verify", "push", "pull"), ("safetensors",)),
}
"""Packages that are imported only once the long work is done."""


def check_address_space(command: str) -> None:
    """Refuse to start a command in so little memory that a library would abort or hang.

    Raises
    ------
    MemoryError
        Saying how much it takes at least.
    """
    limit, n_cores = _address_space(), os.cpu_count() or 1
    least = (_LEAST_MB.get(command, 0) + _PER_THREAD_MB * n_cores) * _MB
    if command in _LEAST_MB and limit is not None and limit < least:
        raise MemoryError(f"{command} takes {least / _MB:.0f} MB of address space or more")


def check_packages(command: str) -> None:
    """Refuse to start a command whose results would be lost for want of a package.

    Raises
    ------
    ModuleNotFoundError
        Naming the package.
    """
    for name in _NEEDED_LATE.get(command, ()):
        if importlib.util.find_spec(name) is None:
            raise ModuleNotFoundError(f"no module {name}", name=name)


def describe_fault(error: BaseException, command: str) -> str | None:
    """Return one line on an error that is none of ours, with what to do; None for a bug."""
    if _is_shortage(error):
        limit = _address_space()
        within = "" if limit is None else f" within {limit / _MB:.0f} MB (ulimit -v)"
        own = f" ({error})" if type(error) is MemoryError and str(error) else ""
        what = "free some, or use fewer" if limit is None else "raise the limit, or use fewer"
        return f"not enough memory for {command}{within}{own}; {what} --jobs where it has them"
    if isinstance(error, ModuleNotFoundError) and error.name:
        package = error.name.split(".")[0]
        return (
            f"{command} needs the package {package}, which an installation for prediction alone"
            " leaves out; pip install speechcls installs everything"
        )
    if isinstance(error, OSError):
        return _describe_os_error(error)
    return None


def _describe_os_error(error: OSError) -> str:
    if error.errno == errno.ENOENT and error.filename is None:  # of the module tempfile
        return f"{reason_of(error)}; set $TMPDIR to a folder that may be written to"
    name = "the output" if error.filename is None else error.filename
    advice = _ADVICE.get(error.errno or 0)
    if error.filename is None and advice is None:
        return str(error)
    return f"{name}: {reason_of(error)}{f'; {advice}' if advice else ''}"


def _is_shortage(error: BaseException) -> bool:
    is_limited = _address_space() is not None
    for each in _chain(error):
        text = str(each).lower()
        if isinstance(each, SpeechclsError | KeyboardInterrupt):
            continue
        if isinstance(each, MemoryError) or getattr(each, "errno", 0) == errno.ENOMEM:
            return True
        if any(words in text for words in _SHORTAGES):
            return True
        if is_limited and any(words in text for words in _UNDER_A_LIMIT):
            return True
    return False


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and those that it came from, each once: errors may come from each other."""
    seen = set[int]()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _address_space() -> int | None:
    """Return the limit on the address space of this process, bytes; None where there is none."""
    if sys.platform == "win32":
        return None
    import resource

    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    return None if limit == resource.RLIM_INFINITY else limit
