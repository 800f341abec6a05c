"""The folder of results: parts in Parquet, each written whole, and a manifest of what was run."""

import hashlib
import io
import json
import re
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

from speechcls import __version__
from speechcls.cluster.places import Folder
from speechcls.errors import ConfigError
from speechcls.files import json_bytes
from speechcls.storage.streams import open_file

FORMAT_VERSION = 1
MANIFEST = "_manifest.json"
"""Its name begins so that readers of all Parquet files in a folder pass over it."""
_PART = re.compile(r"part-(\d{6,})\.parquet")
_KEY = b"speechcls"
_N_THREADS = 16
"""That look at finished parts."""


class Part(NamedTuple):
    """What the end of a part's file says of it."""

    digest: str
    """Of the paths in the list that it holds the results for."""
    n_clips: int
    n_failed: int
    """Of them that have an error."""


def digest_of(paths: Iterable[bytes]) -> str:
    """Return a hash of paths in their order."""
    digest = hashlib.blake2b(digest_size=8)
    for path in paths:
        digest.update(len(path).to_bytes(4, "little") + path)
    return digest.hexdigest()


def part_bytes(table: Any, part: Part) -> bytes:
    """Return the file of a part.

    Parameters
    ----------
    table : of pyarrow, its rows
    """
    import pyarrow.parquet as pq

    buffer = io.BytesIO()
    about = {_KEY: json.dumps(part._asdict()).encode()}
    pq.write_table(table.replace_schema_metadata(about), buffer, compression="zstd")
    return buffer.getvalue()


class Results:
    """A folder of results, here or at an address, of this run or of an earlier start of it.

    Parameters
    ----------
    place : its path or address
    about : everything that the results depend on beside the list, JSON-ready values by name
    list_name : of the list, which the manifest says as well

    Raises
    ------
    ConfigError
        When it holds something else, or the results of another run, naming what differs.
    StorageError
        When it cannot be used.
    """

    def __init__(self, place: str, about: Mapping[str, Any], list_name: str) -> None:
        self._folder = Folder(place)
        versions = {"format_version": FORMAT_VERSION, "speechcls": __version__}
        self._about = {**versions, **json.loads(json.dumps(dict(about)))}
        self._list_name = list_name
        self.damaged: list[str] = []
        """Parts that cannot be read, and are made again."""
        self.is_concluded = False
        """Whether an earlier start came to the end of the list."""
        names = self._folder.names()
        if MANIFEST in names:
            self._check_manifest()
        elif names:
            raise ConfigError(
                f"{self._folder}: holds {names[0]} and no {MANIFEST}, so no results; name a new"
                " folder",
                field="out",
            )
        self.finished: dict[int, Part] = self._find_parts(names)
        """The parts that are done, by their numbers."""
        if not self.is_concluded:
            self._write_manifest(None)

    def __str__(self) -> str:
        return str(self._folder)

    @property
    def n_clips(self) -> int:
        """How many recordings the parts hold that are done."""
        return sum(part.n_clips for part in self.finished.values())

    @property
    def n_failed(self) -> int:
        """How many of them have an error."""
        return sum(part.n_failed for part in self.finished.values())

    def add(self, number: int, part: Part, content: bytes) -> None:
        """Write a part."""
        self._folder.write(_part_name(number), content)
        self.finished[number] = part

    def conclude(self, n_parts: int) -> None:
        """Note in the manifest that all parts of the list are done.

        Raises
        ------
        ConfigError
            When there are more of them than the list has.
        """
        if surplus := sorted(number for number in self.finished if number >= n_parts):
            raise list_changed(f"{self._folder}/{_part_name(surplus[0])}")
        done = {"n_parts": n_parts, "n_clips": self.n_clips, "n_failed": self.n_failed}
        self._write_manifest(done)

    def _check_manifest(self) -> None:
        place = self._folder.path_of(MANIFEST)
        with open_file(place) as file:
            content = file.read()
        try:
            before = {**json.loads(content)}
        except (ValueError, TypeError) as error:
            raise ConfigError(
                f"{self._folder}/{MANIFEST}: damaged, or not of speechcls; name a new folder",
                field="out",
            ) from error
        differing = [
            f"{name} was {_text(before.get(name))} and is {_text(self._about.get(name))}"
            for name in before | self._about
            if name not in ("list", "done") and before.get(name) != self._about.get(name)
        ]
        self.is_concluded = bool(before.get("done"))
        if differing:
            raise ConfigError(
                f"{self._folder} holds the results of another run: {'; '.join(differing)}; give"
                " the same, or name a new folder",
                field="out",
            )

    def _write_manifest(self, done: dict[str, int] | None) -> None:
        content = {**self._about, "list": self._list_name, "done": done}
        self._folder.write(MANIFEST, json_bytes(content))

    def _find_parts(self, names: list[str]) -> dict[int, Part]:
        matches = [match for name in names if (match := _PART.fullmatch(name))]
        with ThreadPoolExecutor(_N_THREADS) as pool:
            parts = pool.map(self._look, [match[0] for match in matches])
            found = {
                int(match[1]): part for match, part in zip(matches, parts, strict=True) if part
            }
        self.damaged += [m[0] for m in matches if int(m[1]) not in found]
        return found

    def _look(self, name: str) -> Part | None:
        """Return what a part's file says of it; None where it is damaged."""
        import pyarrow
        import pyarrow.parquet as pq

        with open_file(self._folder.path_of(name)) as file:
            try:
                metadata = pq.read_metadata(file).metadata
                return Part(**json.loads(metadata[_KEY]))
            except (pyarrow.ArrowException, LookupError, ValueError, TypeError):
                return None


def list_changed(place: str) -> ConfigError:
    """Return the error of a list that is not the one that a part was made of."""
    return ConfigError(
        f"{place} holds results of other lines than the list has there now; give the list as it"
        " was, or name a new folder",
        field="out",
    )


def check_same(folder: str, number: int, part: Part, digest: str) -> None:
    """Refuse a part that was made of other paths.

    Raises
    ------
    ConfigError
        When it was.
    """
    if part.digest != digest:
        raise list_changed(f"{folder}/{_part_name(number)}")


def _part_name(number: int) -> str:
    return f"part-{number:06d}.parquet"


def _text(value: Any) -> str:
    return "not given" if value is None else json.dumps(value, ensure_ascii=False)
