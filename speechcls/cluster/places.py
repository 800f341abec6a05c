"""Files here or at an address, as ``s3://bucket/clip.wav``: read, listed, written whole."""

import io
import os
from pathlib import Path

from speechcls.errors import SpeechclsError
from speechcls.files import write_atomic
from speechcls.storage.addresses import Store, read_address, try_on_store
from speechcls.storage.faults import AbsentError
from speechcls.storage.places import is_address
from speechcls.storage.streams import naming_place
from speechcls.text import without_credentials


class NamedBytes(io.BytesIO):
    """The content of a recording, with its name in messages."""

    def __init__(self, content: bytes, name: str) -> None:
        super().__init__(content)
        self.name = name


def read_recording(address: str) -> "NamedBytes | SpeechclsError":
    """Return the recording at an address, or why it cannot be read."""
    try:
        return NamedBytes(read_address(address), without_credentials(address))
    except SpeechclsError as error:
        return error


class Folder:
    """A folder at a path or an address, whose files are written whole or not at all.

    Raises
    ------
    StorageError
        By all methods, when it cannot be used.
    """

    def __init__(self, place: str) -> None:
        self.place = place.removeprefix("file://").rstrip("/") or "/"
        self._is_address = is_address(place)

    def __str__(self) -> str:
        return without_credentials(self.place)

    def path_of(self, name: str) -> str:
        """Return the path or address of a file in it."""
        return f"{self.place}/{name}"

    def names(self) -> list[str]:
        """Return the names of what is in it, but those that begin with a point."""
        with naming_place(self.place):
            if self._is_address:
                try:
                    found = try_on_store(self.place, _list_names)
                except AbsentError:
                    found = []
            else:
                here = Path(self.place)
                found = os.listdir(here) if here.exists() else []  # noqa: PTH208 - names alone
        return sorted(name for name in found if name and not name.startswith("."))

    def write(self, name: str, content: bytes) -> None:
        """Write a file; readers find all of it or none."""
        with naming_place(self.path_of(name)):
            if self._is_address:
                # One request, which stores make whole.
                try_on_store(
                    self.path_of(name), lambda store: store.files.pipe_file(store.path, content)
                )
            else:
                write_atomic(Path(self.place) / name, content)


def _list_names(store: Store) -> list[str]:
    """Return the names in a folder of a store."""
    return [each.rsplit("/", 1)[-1] for each in store.files.ls(store.path, detail=False)]
