"""Where results go: stdout, or files that are complete or not there at all."""

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from speechcls.errors import ConfigError


@contextmanager
def files_first(show: Callable[[], None]) -> Iterator[None]:
    """Run what writes files, then ``show`` the figures on stdout, even where the files fail.

    A reader of stdout that goes away, as ``| head`` does, must not cost the files.
    """
    try:
        yield
    finally:
        show()


def check_file_place(path: Path) -> None:
    """Refuse a place where no file can be written, before the work is done."""
    if path.is_dir():
        raise ConfigError(f"{path}: is a folder; name a file")
    check_folder_place(path.parent)


def check_folder_place(path: Path) -> None:
    """Refuse a place where no folder can be, before the work is done."""
    there = next(place for place in (path, *path.parents) if place.exists())
    if not there.is_dir():
        raise ConfigError(f"{there}: is a file, not a folder; name another place")
    if not os.access(there, os.W_OK):
        raise ConfigError(f"{there}: may not be written in; name another place")


@contextmanager
def open_output(out: Path | None) -> Iterator[tuple[TextIO, Callable[[], None]]]:
    """Give where results go, and what to call once there is something worth keeping.

    A file gets its name at the end, also at that of Ctrl-C or an error, with what was written until
    then; where nothing was worth keeping, what bore the name before is left alone. A pipe or
    device is written to directly.
    """
    if out is None:
        yield sys.stdout, lambda: None
        return

    def begin(path: Path) -> TextIO:
        return path.open("w", encoding="utf-8", errors="surrogateescape", newline="\n")

    if out.exists() and not out.is_file():
        with begin(out) as file:
            yield file, lambda: None
        return
    out.parent.mkdir(parents=True, exist_ok=True)
    part = out.with_name(f".{out.name}.part")
    is_worth = False

    def keep() -> None:
        nonlocal is_worth
        is_worth = True

    def finish() -> None:
        if is_worth:
            file.flush()
            os.fsync(file.fileno())
            part.replace(out)

    try:
        with begin(part) as file:
            try:
                yield file, keep
            except BaseException:
                with suppress(OSError):  # of a full disk, which is reported already
                    finish()
                raise
            finish()
    finally:
        part.unlink(missing_ok=True)


def check_output(out: Path | None, inputs: Iterable[str]) -> None:
    """Refuse a place of results that is a folder or one of the inputs."""
    if out is None:
        return
    check_file_place(out)
    for name in inputs:
        try:
            is_same = out.samefile(name)
        except (OSError, ValueError):  # either of them is absent
            is_same = False
        if is_same:
            raise ConfigError(f"{out} is one of the recordings; name another file", field="out")
