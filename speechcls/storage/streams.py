"""Files here or at an address, opened to be read from beginning to end or in parts."""

import io
import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from speechcls.errors import StorageError, reason_of
from speechcls.storage.places import is_address, is_on_web
from speechcls.text import without_credentials

if TYPE_CHECKING:
    from speechcls.storage.addresses import Store

_PIECE_BYTES = 1 << 22
"""Of a file at an address that are asked for at once."""


@contextmanager
def open_file(place: str, name: str | None = None) -> Iterator[BinaryIO]:
    """Yield the file at a path or an address, to be read.

    At an address it comes in pieces, each of them in several attempts; out of a web server, which
    may know no pieces, all of it comes first, into a temporary file.

    Parameters
    ----------
    name : of a local file in messages (default: its path)

    Raises
    ------
    StorageError
        When it cannot be opened; from the file, when it cannot be read.
    """
    with ExitStack() as stack:
        if not is_address(place):
            with naming_place(name or place):
                file = open(place.removeprefix("file://"), "rb")  # noqa: PTH123, SIM115
            yield stack.enter_context(file)
            return
        from speechcls.storage.addresses import fetch_file

        if is_on_web(place):
            with naming_place("the temporary folder"):
                folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="speechcls-"))
                whole = Path(folder, "file")
                fetch_file(place, whole)
                yield stack.enter_context(whole.open("rb"))
        else:
            raw = stack.enter_context(_Pieces(place))
            yield stack.enter_context(io.BufferedReader(raw, _PIECE_BYTES))


@contextmanager
def naming_place(place: str) -> Iterator[None]:
    """Turn errors of the system, and of a store while it is being used, into one with the place.

    Raises
    ------
    StorageError
        Naming the place, without credentials.
    """
    from speechcls.storage.faults import library_errors

    try:
        yield
    except FileNotFoundError as error:
        raise StorageError(f"{place}: no such file; check the path") from error
    except library_errors() as error:
        shown = without_credentials(place)
        raise StorageError(f"{shown}: {reason_of(error)}; check it and the rights there") from error


class _Pieces(io.RawIOBase):
    """A file at an address, of which each piece is asked for in several attempts."""

    def __init__(self, place: str) -> None:
        from speechcls.storage.addresses import find_address

        self._place, self._at = place, 0
        self._file: Any = self._try(lambda store: store.files.open(store.path, cache_type="none"))
        size = getattr(self._file, "size", None) or find_address(place).size
        if size is None:
            raise StorageError(
                f"{without_credentials(place)}: its store does not say how long it is; copy it here"
            )
        self._size = size

    def _try(self, work: Any) -> Any:
        from speechcls.storage.addresses import try_on_store

        return try_on_store(self._place, work)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        self._at = max(0, base + offset)
        return self._at

    def readinto(self, buffer: Any) -> int:
        n_bytes = min(len(buffer), self._size - self._at)
        if n_bytes <= 0:
            return 0

        def read(store: "Store") -> bytes:
            self._file.seek(self._at)
            content: bytes = self._file.read(n_bytes)
            if not content:
                raise OSError("nothing came")
            return content

        content = self._try(read)
        buffer[: len(content)] = content
        self._at += len(content)
        return len(content)

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()
