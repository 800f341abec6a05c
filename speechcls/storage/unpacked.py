"""Recordings in other files, unpacked into the cache folder, and the rows of tar shards."""

import hashlib
import itertools
import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO, Any

from speechcls.errors import DatasetError, reason_of
from speechcls.files import CACHE_VARIABLE, UNPACKED, cache_folder, is_file_name
from speechcls.scratch import WHOLE, open_scratch

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
    """Where the recordings are."""


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
                        (whole / _unpacked_name(row, name, content)).write_bytes(content)
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


def _unpacked_name(row: int, name: str | None, content: bytes) -> str:
    """Return a file name that begins with the row, with the ending that the recording had."""
    base = PurePosixPath((name or "").replace("\\", "/")).name
    if name == _ROWS:
        return name
    if base and is_file_name(base):
        return f"{row:06d}-{base}"
    ending = next((e for mark, e in _ENDINGS.items() if content.startswith(mark)), "")
    return f"{row:06d}-clip{ending}"


# Tar


def read_tar(path: Path, is_recording: Callable[[str], bool], n_first: int | None) -> TarShard:
    """Return the samples of a tar in which ``key.flac`` has its facts in ``key.json`` beside it.

    ``key.cls`` and ``key.txt`` hold a label alone. Of a tar that is cut off, the samples before the
    cut are returned, with a line that says so.

    Parameters
    ----------
    is_recording : whether a file of this name is one
    n_first : so many samples, and do not unpack recordings; for a first look

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

    def contents() -> Iterator[tuple[str | None, bytes]]:
        members = _members(path, found.problems)
        for row, name, content in _samples(path, members, is_recording, found.problems):
            found.rows.append(row)
            yield name, content
        about = {"rows": found.rows, "problems": found.problems}
        yield _ROWS, json.dumps(about).encode()

    found.folder, places = unpack(path, "tar", contents)
    about = json.loads((found.folder / _ROWS).read_bytes())
    rows = enumerate(about["rows"])
    found.rows = [{**row, "audio": places[i]} for i, row in rows if i in places]
    found.problems = about["problems"]
    return found


def _samples(
    path: Path,
    members: Iterable[tuple[str, bytes]],
    is_recording: Callable[[str], bool],
    problems: list[str],
) -> Iterator[tuple[dict[str, Any], str, bytes]]:
    """Yield of each sample what its texts say, and the name and content of its recording."""
    n_samples, n_without = 0, 0
    for _, files in itertools.groupby(members, lambda each: _key(each[0])):
        row: dict[str, Any] = {}
        audio: tuple[str, bytes] | None = None
        texts: dict[str, str] = {}
        for name, content in files:
            suffix = PurePosixPath(name).suffix.lower()
            if is_recording(name):
                audio = (name, content) if audio is None else audio
            elif suffix == ".json":
                row |= _parse(path, name, content, problems)
            elif suffix in _LABEL_FILES:
                texts[suffix] = content.decode("utf-8", "replace").strip()
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


def _members(path: Path, problems: list[str]) -> Iterator[tuple[str, bytes]]:
    """Yield the name and the content of each file in a tar, up to where it is cut off."""
    import tarfile

    n_files = 0
    cut = f"{path}: cut off, and only the {{}} files before the cut are used; copy it again"
    try:
        with tarfile.open(path, "r:") as tar:
            for member in tar:
                if not member.isfile():
                    continue
                content = _content(tar.extractfile(member), member.size)
                if content is None:
                    problems.append(cut.format(n_files))
                    return
                yield member.name, content
                n_files += 1
            # Two empty blocks end a tar; Python takes the end of the file for one, too.
            if path.stat().st_size < tar.offset + _BLOCK:
                problems.append(cut.format(n_files))
    except tarfile.TarError as error:
        if not n_files:
            raise DatasetError(f"{path}: not readable as a tar ({error}); copy it again") from error
        problems.append(cut.format(n_files))
    except OSError as error:
        raise DatasetError(f"{path}: {reason_of(error)}; check the path") from error


def _content(file: IO[bytes] | None, size: int) -> bytes | None:
    """Return the content of a file in a tar; None where the tar ends before it."""
    import tarfile

    try:
        content = b"" if file is None else file.read()
    except tarfile.TarError:
        return None
    return content if len(content) == size else None
