"""Outputs: stdout, or files that are written completely or not at all."""

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

import typer

from speechcls.cli.common import refuse, refuse_addresses
from speechcls.errors import ConfigError


@contextmanager
def files_first(show: Callable[[], None]) -> Iterator[None]:
    """Run what writes files, then ``show`` the figures on stdout, even where the files fail.

    So a closed pipe on stdout, as of ``| head``, does not cost the files.
    """
    try:
        yield
    finally:
        show()


def local_file(out: str | None) -> Path | None:
    """Return the path of the file to write; an address is refused, which a cluster alone takes."""
    file = None if out is None else Path(out)
    refuse_addresses({"out": file})
    return file


def check_file_place(path: Path) -> None:
    """Refuse a path where no file can be written, before the work is done."""
    if path.is_dir():
        raise ConfigError(f"{path}: is a folder; name a file")
    check_folder_place(path.parent)


def check_folder_place(path: Path) -> None:
    """Refuse a path where no folder can be, before the work is done."""
    there = next(place for place in (path, *path.parents) if place.exists())
    if not there.is_dir():
        raise ConfigError(f"{there}: is a file, not a folder; choose another path")
    if not os.access(there, os.W_OK):
        raise ConfigError(f"{there}: may not be written in; choose another path")


class _NoOutput(Exception):
    """No result was written."""


@contextmanager
def open_output(out: Path | None) -> Iterator[tuple[TextIO, Callable[[], None]]]:
    """Yield a stream for the results, and a function to call once there is a result to keep.

    A file gets its name at the end, also after Ctrl-C or an error, with what was written until
    then; without a result to keep, and after wrong usage, an existing file stays as it is. A pipe
    or device is written to directly.
    """
    if out is None:
        yield sys.stdout, lambda: None
        return
    from speechcls.files import open_text_atomic, with_path

    ended_by: BaseException | None = None
    has_output = False

    def keep() -> None:
        nonlocal has_output
        has_output = True

    try:
        with open_text_atomic(out) as file:
            try:
                yield file, keep
            except OSError as error:
                ended_by = with_path(error, out) if error.filename is None else error
            except BaseException as error:
                ended_by = error
            if not has_output or isinstance(ended_by, ConfigError):
                raise _NoOutput
    except _NoOutput:
        pass
    except OSError as error:  # a full disk, say: what ended the work is raised first
        raise ended_by or error from None
    if ended_by is not None:
        raise ended_by


def format_name(ctx: typer.Context, format: str, as_json: bool, as_csv: bool = False) -> str:
    """Return the format chosen by --format, --json or --csv."""
    if as_json and as_csv:
        raise typer.BadParameter("--json and --csv exclude each other")
    if as_json or as_csv:
        refuse(ctx, ["format"], f"with {'--json' if as_json else '--csv'}")
        return "jsonl" if as_json else "csv"
    return format


def check_output(out: Path | None, inputs: Iterable[str]) -> None:
    """Refuse an output that is a folder or one of the inputs."""
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
