"""Files that lie elsewhere, fetched a few ahead of their use, and removed after it.

What fetches is imported with the first address: every prediction comes through here.
"""

import itertools
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

from speechcls.errors import SpeechclsError, StorageError
from speechcls.storage.places import is_address, mirror_folder
from speechcls.text import without_credentials

if TYPE_CHECKING:
    from speechcls.storage.addresses import Entry

S = TypeVar("S")
_NAME = "ahead"
_LONGEST_SUFFIX = 30  # characters


class Address(str):
    """An address that a store has listed, with what it said about the file."""

    entry: "Entry"

    def __new__(cls, entry: "Entry") -> "Address":
        """Return the address of a listed file."""
        self = super().__new__(cls, entry.address)
        self.entry = entry
        return self


class Member(str):
    """The name of a recording that lies in another file, and where it is unpacked."""

    local: str

    def __new__(cls, name: str, local: str) -> "Member":
        """Return the name of an unpacked recording."""
        self = super().__new__(cls, name)
        self.local = local
        return self


class Ahead(NamedTuple, Generic[S]):
    """A source, and the local file that holds it for now."""

    source: S
    local: "S | str | SpeechclsError"
    """The source itself where it is no address; an error where it could not be fetched."""
    is_fetched: bool = False
    """Whether the local file is there for this source alone."""

    def named(self, text: str) -> str:
        """Return text with the address in place of the local file."""
        if isinstance(self.local, str) and isinstance(self.source, str):
            return text.replace(self.local, without_credentials(self.source))
        return text

    def drop(self) -> None:
        """Remove the local file of an address."""
        if self.is_fetched and isinstance(self.local, str):
            Path(self.local).unlink(missing_ok=True)


@contextmanager
def fetch_ahead(sources: Iterable[S], n_ahead: int) -> Iterator[Iterator[Ahead[S]]]:
    """Yield each source with the local file that holds it, while later ones are being fetched.

    Sources that are no addresses go through as they are. Whoever is done with one calls ``drop``;
    at the end all files are removed.

    Parameters
    ----------
    n_ahead : files that are fetched at once

    Raises
    ------
    StorageError
        When the cache folder cannot be written to; from the iterator, when no file at all comes.
    """
    with ExitStack() as stack:
        yield _ahead(iter(sources), n_ahead, stack)


def _ahead(sources: Iterator[S], n_ahead: int, stack: ExitStack) -> Iterator[Ahead[S]]:
    for first in sources:
        if _is_address(first):
            break
        yield _here(first)  # without a thread in between, as long as none is needed
    else:
        return
    from speechcls.parallel import map_batches
    from speechcls.scratch import WHOLE, open_scratch
    from speechcls.storage.mirror import Patience, reporting_disk_errors

    with reporting_disk_errors():
        mirror_folder().mkdir(parents=True, exist_ok=True)
        folder = stack.enter_context(open_scratch(mirror_folder(), _NAME)) / WHOLE
        folder.mkdir()
    patience, numbers = Patience(), itertools.count()

    def work(batch: list[S]) -> Ahead[S]:
        [source] = batch
        if not _is_address(source):
            return _here(source)
        try:
            return Ahead(source, _fetch(source, folder, next(numbers)), is_fetched=True)
        except StorageError as error:
            return Ahead(source, error, is_fetched=True)

    for each in map_batches(itertools.chain([first], sources), work, n_ahead, 1):
        if each.is_fetched:
            patience.note(each.local if isinstance(each.local, StorageError) else None)
        yield each


def _is_address(source: object) -> bool:
    return isinstance(source, str) and not isinstance(source, Member) and is_address(source)


def _here(source: S) -> Ahead[S]:
    return Ahead(source, source.local if isinstance(source, Member) else source)


def _fetch(source: S, folder: Path, number: int) -> str:
    """Fetch one file into a folder; return its path, which ends as the address does."""
    from urllib.parse import unquote

    from speechcls.storage.addresses import fetch_file
    from speechcls.storage.mirror import check_space, reporting_disk_errors

    address = str(source)
    size = source.entry.size if isinstance(source, Address) else None
    check_space(without_credentials(address), size or 0, 0)
    name = unquote(address.partition("?")[0].rpartition("/")[2]).replace("\0", "")
    local = folder / f"{number}{Path(name).suffix[:_LONGEST_SUFFIX]}"
    with reporting_disk_errors():
        fetch_file(address, local, size)
    return str(local)
