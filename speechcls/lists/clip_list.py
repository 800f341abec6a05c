"""A list of recordings, or a folder of lists, here or elsewhere: which files it is made of."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import BinaryIO

from speechcls.errors import AudioError, DatasetError
from speechcls.lists.compression import COMPRESSED, decompressed, split_ending
from speechcls.lists.forms import FORMS, PARQUET, TEXT, count_rows, read_paths, text_paths
from speechcls.storage.places import is_address, is_on_web
from speechcls.storage.streams import open_file
from speechcls.text import without_credentials

_N_THREADS = 16
"""That look at the files of a folder."""


@dataclass(frozen=True)
class ClipList:
    """A list of recordings, in the form that the ending of its name stands for.

    CSV, TSV, JSON lines and Parquet have a column of paths; anything else is text with a path a
    line. All but Parquet, which is compressed in itself, may be compressed. A folder of such
    tables is one list, in the order of their names. Relative paths are relative to the folder of
    work, and in a list at an address to where the list is, or to the folder of lists.
    """

    place: str
    """Path or address."""
    files: tuple[str, ...]
    """Paths or addresses of what it is made of, in their order."""
    folder: str
    """What relative paths are relative to."""
    given: str
    """Path or address as it was given."""
    is_null: bool = False
    """Whether each path in a text ends with NUL, not newline."""
    n_others: int = 0
    """Files in a folder of lists that are none."""

    @classmethod
    def at(cls, place: str, is_null: bool = False) -> "ClipList":
        """Return the list at a path or an address.

        Raises
        ------
        DatasetError
            When a folder holds no list, or lists in several forms.
        StorageError
            When an address cannot be listed.
        """
        if is_address(place):
            there, found = place, _names_at(place)
            folder = place.partition("?")[0].rpartition("/")[0]
            if found is not None:
                there = folder = place.rstrip("/")
        else:
            there = os.path.abspath(place.removeprefix("file://"))  # noqa: PTH100
            found, folder = _names_in(there), os.getcwd()  # noqa: PTH109
        if found is None:
            return cls(there, (there,), folder, place, is_null)
        lists = _choose_lists(without_credentials(place), found)
        return cls(there, lists, folder, place, is_null, len(found) - len(lists))

    @property
    def name(self) -> str:
        """What messages call it."""
        return without_credentials(self.given)

    @property
    def is_text(self) -> bool:
        """Whether it has a path a line."""
        return _form_of(self.files[0])[0] == TEXT

    def resolve(self, path: str) -> str:
        """Return the path or address of a recording in the list, wherever it is read."""
        if not path or is_address(path) or os.path.isabs(path):  # noqa: PTH117 - on text, millions of times
            return path
        return f"{self.folder}/{path}"

    def check(self) -> int | None:
        """Return how many recordings it names, if that is known without reading it.

        Raises
        ------
        StorageError
            When it cannot be read.
        DatasetError
            When it is no list of recordings.
        """
        with ThreadPoolExecutor(min(_N_THREADS, len(self.files))) as pool:
            counts = list(pool.map(self._check_file, self.files))
        known = [n for n in counts if n is not None]
        return sum(known) if len(known) == len(counts) else None

    def _check_file(self, file: str) -> int | None:
        form, _ = _form_of(file)
        if form == PARQUET:
            with self._open(file) as content:
                return count_rows(content, self._name_of(file))
        next(self._paths_in(file, "is_null"), None)
        return None

    def paths(self, null_name: str = "is_null") -> Iterator[str]:
        """Yield the paths in their order, as they are written.

        Parameters
        ----------
        null_name : what messages call the setting that says that paths end with NUL

        Raises
        ------
        StorageError
            When it cannot be read.
        DatasetError
            When it is no list of recordings, naming the line.
        """
        for file in self.files:
            yield from self._paths_in(file, null_name)

    def _paths_in(self, file: str, null_name: str) -> Iterator[str]:
        form, name = _form_of(file)[0], self._name_of(file)
        with self._open(file) as content:
            if form == TEXT:
                yield from text_paths(content, "\0" if self.is_null else "\n", name, null_name)
            else:
                yield from read_paths(content, form, name)

    @contextmanager
    def _open(self, file: str) -> Iterator[BinaryIO]:
        """Yield what a file of the list holds."""
        (form, compression), name = _form_of(file), self._name_of(file)
        if form == PARQUET and compression:
            raise DatasetError(
                f"{name}: Parquet compressed as a whole, which cannot be read in parts; decompress"
                " it: Parquet has a compression of its own"
            )
        with open_file(file, name) as stored, decompressed(stored, compression, name) as content:
            yield content

    def _name_of(self, file: str) -> str:
        """Return what messages call a file of the list."""
        return without_credentials(self.given.rstrip("/") + file.removeprefix(self.place))


def no_path(name: str = "") -> AudioError:
    """Return what a row of a table without a path comes to.

    Parameters
    ----------
    name : of the list, where there may be others
    """
    where = f"{name}: " if name else ""
    return AudioError(f"{where}a row without a path; write it, or leave the row out")


def _form_of(file: str) -> tuple[str, str]:
    """Return the form of a file of a list, and how it is compressed, which may be empty."""
    name = file.partition("?")[0] if is_address(file) else file
    ending, compression = split_ending(name)
    return FORMS.get(ending, TEXT), compression


def _choose_lists(name: str, files: list[str]) -> tuple[str, ...]:
    """Return those of the files in a folder that are tables of recordings."""
    lists = tuple(file for file in files if _form_of(file)[0] != TEXT)
    forms = sorted({_form_of(file)[0] for file in lists})
    if not lists:
        raise DatasetError(
            f"{name}: no list in this folder; name a list, or a folder of lists"
            f" ({', '.join(FORMS)}, also with {', '.join(COMPRESSED)} behind)"
        )
    if len(forms) > 1:
        raise DatasetError(
            f"{name}: lists in several forms in one folder ({', '.join(forms)}), which may name the"
            " same recordings; name a folder of one"
        )
    return lists


def _is_hidden(name: str) -> bool:
    """Whether readers of tables pass over a file or folder, as ``_SUCCESS`` and ``.crc``."""
    return name.startswith((".", "_"))


def _names_in(folder: str) -> list[str] | None:
    """Return the path of each file below a folder that is not hidden, sorted; None: it is none."""
    if not os.path.isdir(folder):  # noqa: PTH112 - pathlib's raises for some names
        return None
    found: list[str] = []
    for parent, folders, names in os.walk(folder, followlinks=False):
        folders[:] = [name for name in folders if not _is_hidden(name)]
        found += [f"{parent}/{name}" for name in names if not _is_hidden(name)]
    return sorted(found)


def _names_at(place: str) -> list[str] | None:
    """Return the address of each file below one that is not hidden, sorted; None: it is a file."""
    from speechcls.storage.addresses import find_address, list_address
    from speechcls.storage.faults import AbsentError

    if is_on_web(place):
        return None
    try:  # whoever may read a file may not always list
        find_address(place)
        return None
    except AbsentError:
        found = [entry.address for entry in list_address(place)]
    start = place.rstrip("/")
    return [
        file
        for file in found
        if not any(map(_is_hidden, PurePosixPath(file.removeprefix(start)).parts[1:]))
    ]
