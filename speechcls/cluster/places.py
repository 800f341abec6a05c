"""Files here or at an address, as ``s3://bucket/clip.wav``: read, listed, written whole."""

import io
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast
from urllib.parse import urlsplit

from speechcls.errors import AudioError, ClusterError, SpeechclsError, reason_of
from speechcls.files import write_atomic

_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")


def is_address(text: str) -> bool:
    """Whether a text is an address, not the path of a file."""
    return bool(_ADDRESS.match(text)) and not text.lower().startswith("file://")


def shown(text: str) -> str:
    """Return a path, or an address without what may be a secret in it."""
    if not is_address(text):
        return text
    parts = urlsplit(text)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


class NamedBytes(io.BytesIO):
    """The content of a recording, with its name in messages."""

    def __init__(self, content: bytes, name: str) -> None:
        super().__init__(content)
        self.name = name


def read_recording(address: str) -> "NamedBytes | SpeechclsError":
    """Return the recording at an address, or why it cannot be read."""
    try:
        with _naming(address, AudioError):
            files, path = _open_store(address)
            return NamedBytes(files.cat_file(path), shown(address))
    except AudioError as error:
        return error


@contextmanager
def open_file(place: str) -> Iterator[BinaryIO]:
    """Yield the file at a path or an address, to be read.

    Raises
    ------
    ClusterError
        When it cannot be read.
    """
    with _naming(place):
        if not is_address(place):
            with Path(place.removeprefix("file://")).open("rb") as file:
                yield file
            return
        files, path = _open_store(place)
        with files.open(path, "rb") as file:
            yield cast(BinaryIO, file)


class Folder:
    """A folder at a path or an address, whose files are written whole or not at all.

    Raises
    ------
    ClusterError
        By all methods, when the store cannot be used or refuses it.
    """

    def __init__(self, place: str) -> None:
        self.place = place.removeprefix("file://").rstrip("/") or "/"
        self._is_address = is_address(place)

    def __str__(self) -> str:
        return shown(self.place)

    def path_of(self, name: str) -> str:
        """Return the path or address of a file in it."""
        return f"{self.place}/{name}"

    def names(self) -> list[str]:
        """Return the names of what is in it, but those that begin with a point."""
        with _naming(self.place):
            if self._is_address:
                files, path = _open_store(self.place)
                try:
                    found = [each.rsplit("/", 1)[-1] for each in files.ls(path, detail=False)]
                except FileNotFoundError:
                    found = []
            else:
                here = Path(self.place)
                found = os.listdir(here) if here.exists() else []  # noqa: PTH208 - names alone
        return sorted(name for name in found if name and not name.startswith("."))

    def write(self, name: str, content: bytes) -> None:
        """Write a file; readers find all of it or none."""
        with _naming(self.path_of(name)):
            if self._is_address:
                files, path = _open_store(self.path_of(name))
                files.pipe_file(path, content)  # one request, which stores make whole
            else:
                write_atomic(Path(self.place) / name, content)


def _open_store(address: str) -> tuple[Any, str]:
    """Return the file system of an address, and the path in it."""
    import fsspec

    files, path = fsspec.core.url_to_fs(address, use_listings_cache=False)
    return files, path


@contextmanager
def _naming(place: str, kind: type[SpeechclsError] = ClusterError) -> Iterator[None]:
    """Turn errors of the system and of stores into a ``kind`` that names the place."""
    try:
        yield
    except FileNotFoundError as error:
        raise kind(f"{shown(place)}: no such file; check the path") from error
    except ImportError as error:
        raise kind(
            f"{shown(place)}: is read by the package {error.name or 'fsspec'}, which is not"
            " installed; install it: pip install 'speechcls[remote]'"
        ) from error
    except _store_errors() as error:
        raise kind(f"{shown(place)}: {reason_of(error)}; check the address and the rights") from (
            error
        )


def _store_errors() -> tuple[type[Exception], ...]:
    """Return what a store raises: errors of the system, and of the client of web servers."""
    client = sys.modules.get("aiohttp")
    return (OSError,) if client is None else (OSError, client.ClientError)
