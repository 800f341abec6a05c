"""Recordings in other files: their rows, where they lie in them, and how they are unpacked."""

import hashlib
import itertools
import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, NamedTuple

from speechcls.errors import DatasetError, reason_of
from speechcls.files import CACHE_VARIABLE, UNPACKED, cache_folder, is_file_name
from speechcls.scratch import WHOLE, open_scratch
from speechcls.storage.places import SHARDS

if TYPE_CHECKING:
    from tarfile import TarFile, TarInfo

    import pyarrow

_ROWS = ".rows.json"
"""What is known of the samples of a tar shard, beside their recordings."""
_LABEL_FILES = (".cls", ".txt")
"""Endings of files that hold a label alone, by preference."""
_ENDINGS = {b"RIFF": ".wav", b"fLaC": ".flac", b"OggS": ".ogg", b"FORM": ".aiff", b"ID3": ".mp3"}
_RANGE = re.compile(r"\{(\d+)\.\.(\d+)\}")
_MOST_SHARDS = 100_000
_FILES_A_SAMPLE = 10
"""Of a first look: what has no recording among so many files is no shard."""
_BLOCK = 512  # bytes of a tar


@dataclass
class TarShard:
    """The samples of a tar as WebDataset writes them."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    """Of each: ``audio``, its path, None before it is unpacked; and what its other files say."""
    problems: list[str] = field(default_factory=list)
    folder: Path | None = None
    """Where the recordings are, if they are unpacked."""


class Place(NamedTuple):
    """Where a recording is in a tar, bytes."""

    offset: int
    size: int


def expand_braces(path: Path) -> list[Path]:
    """Return the paths that ``a-{000..012}.tar`` stands for; any other stands for itself.

    Raises
    ------
    DatasetError
        When a range runs backwards or is of very many.
    """
    parts = _RANGE.split(str(path))
    if len(parts) == 1 or path.exists():
        return [path]
    ranges = []
    for first, last in zip(parts[1::3], parts[2::3], strict=True):
        if not int(first) <= int(last) < int(first) + _MOST_SHARDS:
            raise DatasetError(f"{path}: {{{first}..{last}}} is no range of shards; write {{0..9}}")
        ranges.append([f"{n:0{len(first)}}" for n in range(int(first), int(last) + 1)])
    return [
        Path("".join(itertools.chain(*itertools.zip_longest(parts[::3], numbers, fillvalue=""))))
        for numbers in itertools.product(*ranges)
    ]


def unpack(
    path: Path, of: str, contents: Callable[[], Iterable[tuple[str | None, bytes]]]
) -> tuple[Path, dict[int, str]]:
    """Return a folder in the cache with recordings that lie in ``path``, and each by its row.

    They are unpacked once; another size or time of the file makes another folder.

    Parameters
    ----------
    of : which recordings of the file
    contents : yields the name, where there is one, and the bytes of every row; empty bytes: the row
        has no recording

    Raises
    ------
    DatasetError
        When the folder cannot be written.
    """
    folder = unpacked_folder(path, of)
    try:
        if not folder.is_dir():
            folder.parent.mkdir(parents=True, exist_ok=True)
            with open_scratch(folder.parent) as scratch:
                whole = scratch / WHOLE
                whole.mkdir()
                for row, (name, content) in enumerate(contents()):
                    if content:
                        ending = _ending_of(content)
                        (whole / _name_of(row, name, ending)).write_bytes(content)
                try:
                    whole.rename(folder)
                except OSError:
                    if not folder.is_dir():  # else another process has just unpacked it
                        raise
        visible = (each for each in folder.iterdir() if not each.name.startswith("."))
        return folder, {int(each.name.split("-")[0]): str(each) for each in visible}
    except OSError as error:
        raise DatasetError(
            f"{folder}: {reason_of(error)}; free disk space, or set ${CACHE_VARIABLE} to another"
            " folder"
        ) from error


def unpacked_folder(path: Path, of: str) -> Path:
    """Return the folder in the cache of recordings that lie in ``path``, unpacked or not."""
    about = path.stat()
    key = f"{path.resolve()}\0{about.st_size}\0{about.st_mtime_ns}\0{of}"
    digest = hashlib.blake2b(key.encode("utf-8", "surrogateescape"), digest_size=6).hexdigest()
    return cache_folder() / UNPACKED / f"{path.stem}-{digest}"


def _ending_of(content: bytes) -> str:
    return next((e for mark, e in _ENDINGS.items() if content.startswith(mark)), "")


def _name_of(row: int, name: str | None, ending: str = "") -> str:
    """Return a file name that begins with the row, with the ending that the recording had.

    Parameters
    ----------
    ending : of what has no name
    """
    base = PurePosixPath((name or "").replace("\\", "/")).name
    if name == _ROWS:
        return name
    return f"{row:06d}-{base}" if base and is_file_name(base) else f"{row:06d}-clip{ending}"


# Recordings that are read where they lie: their path is that of the shard, and a name in it.


def member_path(shard: Path, row: int, name: str | None) -> str:
    """Return what a recording in a shard is called, whose row and name are known."""
    return str(shard / _name_of(row, name))


def is_member(path: Path) -> bool:
    """Whether a path is that of a recording in a shard."""
    return path.parent.suffix.lower() in SHARDS and path.parent.is_file()


def row_of(member: Path) -> int:
    """Return the row of a recording in its shard, from 0."""
    return int(member.name.partition("-")[0])


def embedded_column(schema: "pyarrow.Schema") -> str | None:
    """Return the column of Parquet that holds recordings; None where there is none."""
    from pyarrow import types

    fields = {each.name: {f.name for f in each.type} for each in schema if _is_struct(each.type)}
    with_bytes: list[str] = [name for name, own in fields.items() if {"bytes", "path"} <= own]
    is_bytes = (types.is_binary, types.is_large_binary)
    binary = [each.name for each in schema if any(is_one(each.type) for is_one in is_bytes)]
    return next(iter([*with_bytes, *binary]), None)


def _is_struct(kind: "pyarrow.DataType") -> bool:
    from pyarrow import types

    return bool(types.is_struct(kind))


# Tar


def read_tar(
    path: Path,
    is_recording: Callable[[str], bool],
    n_first: int | None = None,
    unpacks: bool = True,
) -> TarShard:
    """Return the samples of a tar in which ``key.flac`` has its facts in ``key.json`` beside it.

    ``key.cls`` and ``key.txt`` hold a label alone. Of a tar that is cut off, the samples before the
    cut are returned, with a line that says so.

    Parameters
    ----------
    is_recording : whether a file of this name is one
    n_first : so many samples, and do not unpack recordings; for a first look
    unpacks : whether the recordings are unpacked; else their paths are those of ``member_path``

    Raises
    ------
    DatasetError
        When it is no tar, has no such samples, or cannot be unpacked.
    """
    found = TarShard()
    if n_first is not None:
        members = itertools.islice(_members(path, found.problems), _FILES_A_SAMPLE * n_first)
        samples = _samples(path, members, is_recording, found.problems)
        found.rows = [row | {"audio": None} for row, _, _ in itertools.islice(samples, n_first)]
        return found
    if not unpacks:
        every = _members(path, found.problems)
        samples = _samples(path, every, is_recording, found.problems, reads=False)
        found.rows = [
            row | {"audio": member_path(path, number, member.name)}
            for number, (row, member, _) in enumerate(samples)
        ]
        return found

    def contents() -> Iterator[tuple[str | None, bytes]]:
        members = _members(path, found.problems)
        for row, member, content in _samples(path, members, is_recording, found.problems):
            found.rows.append(row)
            yield member.name, content
        about = {"rows": found.rows, "problems": found.problems}
        yield _ROWS, json.dumps(about).encode()

    found.folder, places = unpack(path, "tar", contents)
    about = json.loads((found.folder / _ROWS).read_bytes())
    rows = enumerate(about["rows"])
    found.rows = [{**row, "audio": places[i]} for i, row in rows if i in places]
    found.problems = about["problems"]
    return found


def find_places(path: Path, is_recording: Callable[[str], bool]) -> list[Place]:
    """Return where in a tar the recordings of its samples are, by row; errors as of ``read_tar``.

    Parameters
    ----------
    is_recording : as of ``read_tar``
    """
    samples = _samples(path, _members(path, []), is_recording, [], reads=False)
    return [Place(member.offset_data, member.size) for _, member, _ in samples]


def _samples(
    path: Path,
    members: "Iterable[tuple[TarInfo, TarFile]]",
    is_recording: Callable[[str], bool],
    problems: list[str],
    reads: bool = True,
) -> "Iterator[tuple[dict[str, Any], TarInfo, bytes]]":
    """Yield of each sample what its texts say, its recording, and the content of that.

    Parameters
    ----------
    reads : whether recordings are read; else nothing is their content
    """
    n_samples, n_without = 0, 0
    for _, files in itertools.groupby(members, lambda each: _key(each[0].name)):
        row: dict[str, Any] = {}
        audio: tuple[TarInfo, bytes] | None = None
        texts: dict[str, str] = {}
        for member, tar in files:
            suffix = PurePosixPath(member.name).suffix.lower()
            if is_recording(member.name):
                audio = audio or (member, _content(tar, member) if reads else b"")
            elif suffix == ".json":
                row |= _parse(path, member.name, _content(tar, member), problems)
            elif suffix in _LABEL_FILES:
                texts[suffix] = _content(tar, member).decode("utf-8", "replace").strip()
        if label := next((texts[each] for each in _LABEL_FILES if texts.get(each)), None):
            row.setdefault("label", label)
        if audio is None or not row:
            n_without += 1
            continue
        n_samples += 1
        yield row, *audio
    if n_without and n_samples:
        problems.append(f"{path}: {n_without} samples have no recording, or nothing that labels it")
    elif n_without:
        raise DatasetError(
            f"{path}: no recording in it has a label beside it (key.flac with key.json, key.cls or"
            " key.txt); unpack it, and name the folder"
        )


def _key(name: str) -> str:
    """Return what the files of one sample have in common: folders, and the name up to a dot."""
    folder, slash, base = name.rpartition("/")
    return f"{folder}{slash}{base.partition('.')[0]}"


def _parse(path: Path, name: str, content: bytes, problems: list[str]) -> dict[str, Any]:
    try:
        about = json.loads(content)
    except (ValueError, RecursionError):
        about = None
    if isinstance(about, dict):
        return {column: value for column, value in about.items() if column != "audio"}
    problems.append(f'{path}: {name}: not a JSON object; write {{"label": ...}}')
    return {}


def _members(path: Path, problems: list[str]) -> "Iterator[tuple[TarInfo, TarFile]]":
    """Yield each file in a tar, which is open, up to where it is cut off."""
    import tarfile

    n_files = 0
    cut = f"{path}: cut off, and only the {{}} files before the cut are used; copy it again"
    try:
        n_bytes = path.stat().st_size
        with tarfile.open(path, "r:") as tar:
            for member in tar:
                if not member.isfile():
                    continue
                if not member.issparse() and member.offset_data + member.size > n_bytes:
                    problems.append(cut.format(n_files))
                    return
                yield member, tar
                n_files += 1
            # Two empty blocks end a tar; Python takes the end of the file for one, too.
            if n_bytes < tar.offset + _BLOCK:
                problems.append(cut.format(n_files))
    except tarfile.TarError as error:
        if not n_files:
            raise DatasetError(f"{path}: not readable as a tar ({error}); copy it again") from error
        problems.append(cut.format(n_files))
    except OSError as error:
        raise DatasetError(f"{path}: {reason_of(error)}; check the path") from error


def _content(tar: "TarFile", member: "TarInfo") -> bytes:
    file = tar.extractfile(member)
    return b"" if file is None else file.read()
