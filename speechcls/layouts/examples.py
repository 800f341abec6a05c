"""Clips and data sets before anything is read, and the recordings below a folder."""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

from speechcls.audio.sniff import HEAD_BYTES, SUFFIXES, is_audio
from speechcls.errors import DatasetError, StorageError, reason_of
from speechcls.layouts.names import is_noise_folder
from speechcls.storage.mirror import Brought, Watch, bring_files, bring_folder
from speechcls.storage.places import is_address, is_mirrored, name_of, place_of

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True, slots=True)
class Example:
    """One clip: a recording or a part of one, and what is known about it before it is read."""

    path: Path
    label: str
    """The word as the data names it."""
    speaker: str | None = None
    split: str | None = None
    """``train``, ``validation`` or ``test`` where the data itself says so."""
    start_s: float = 0.0
    end_s: float | None = None
    gain: float = 1.0
    """Factor on the samples; only cuts of background noise have another than 1."""
    channel: int | None = None
    """The one to read, from 1 on; None: the mean of all."""
    is_reviewed: bool = False
    """Whether it is an event that a model detected: chosen by a model, it only ever trains."""
    repeats: int = 1
    """How often training draws it where it draws another clip once."""


@dataclass
class Dataset:
    """The clips that a folder or manifest names."""

    root: Path
    """The folder that file names are given relative to."""
    examples: list[Example] = field(default_factory=list)
    noise: list[Path] = field(default_factory=list)
    """Recordings of background sound."""
    empty_labels: list[str] = field(default_factory=list)
    """Label folders without a recording."""
    problems: list[str] = field(default_factory=list)
    """One line for each clip that was named or found but cannot be an example."""
    notes: list[str] = field(default_factory=list)
    """One line for each thing that was understood and could have been read otherwise."""
    warnings: list[str] = field(default_factory=list)
    """One line for each thing in the data set that is probably a mistake."""
    manifest: Path | None = None
    """The file that names the clips, if one does."""

    def __str__(self) -> str:
        """Return what it holds in a line."""
        counts = {
            "clips": len(self.examples),
            "labels": len({example.label for example in self.examples}),
            "speakers": len({example.speaker for example in self.examples} - {None}),
            "background recordings": len(self.noise),
            "problems": len(self.problems),
        }
        return f"{self.source}: {', '.join(f'{name} {n}' for name, n in counts.items() if n)}"

    @property
    def source(self) -> Path:
        """What the data set was read from: a manifest, else the folder."""
        return self.manifest or self.root

    @property
    def title(self) -> str:
        """Name of the manifest without its ending, else of the folder."""
        return self.manifest.stem if self.manifest else self.root.resolve().name

    def relative_name(self, path: Path) -> str:
        """Return ``path`` relative to the root with forward slashes, in full if it is elsewhere.

        In full it is an address where the recording was fetched from one.
        """
        if path.is_relative_to(self.root):
            path = path.relative_to(self.root)
        return name_of(path) if is_mirrored(path) else path.as_posix()


def _refuse(problem: DatasetError) -> None:
    raise problem


def _begins_as_audio(path: Path) -> bool:
    """Return whether a file with no ending of a recording is one by its first bytes."""
    ending = path.suffix.lower()
    is_other = ending in (*_TEXTS, *_UNFINISHED) or ending.endswith("~")
    if is_other or not path.is_file():  # opening a pipe may block for ever
        return False
    try:
        with path.open("rb") as file:
            return is_audio(file.read(HEAD_BYTES))
    except OSError:  # it is counted among those left out
        return False


_UNFINISHED = (".part", ".crdownload", ".download", ".tmp", ".temp", ".bak", ".old", ".orig")
"""Endings of downloads that go on, and of what was kept from before a change."""
_TEXTS = (".txt", ".md", ".csv", ".tsv", ".json", ".jsonl", ".toml", ".yaml", ".yml", ".html")
"""Endings of what lies beside recordings to tell of them."""
_TABLES = (".parquet", ".ndjson", ".tar", ".scp", ".segments", ".textgrid")
"""Endings of what else has recordings or tells of them."""


def _ignore(path: Path) -> None:
    pass


def find_recordings(
    folder: Path,
    on_problem: Callable[[DatasetError], None] = _refuse,
    on_noise: Callable[[Path], None] = _ignore,
    on_other: Callable[[Path], None] = _ignore,
) -> Iterator[Path]:
    """Yield the audio files under ``folder`` in sorted order, leaving out hidden ones.

    Parameters
    ----------
    on_problem : called for a folder that cannot be listed and for a pipe; by default that ends the
        search
    on_noise : called for each folder of background noise, which is not searched
    on_other : called for each other file that is not hidden and no recording

    Raises
    ------
    DatasetError
        By the default of ``on_problem``.
    """

    def report(error: OSError) -> None:
        reason = reason_of(error)
        on_problem(
            DatasetError(f"{error.filename}: {reason}; change its permissions or leave it out")
        )

    links = _LinkedFolders(folder)
    for parent, folders, files in os.walk(folder, followlinks=True, onerror=report):
        for name in sorted(filter(is_noise_folder, folders)):
            on_noise(Path(parent, name))
        folders[:] = sorted(filter(may_hold_clips, folders))
        for name in [name for name in folders if links.are_searched(Path(parent, name))]:
            folders.remove(name)
            on_other(Path(parent, name))
        for name in sorted(files):
            if not may_hold_clips(name):
                continue
            path = Path(parent, name)
            if path.suffix.lower() not in SUFFIXES and not _begins_as_audio(path):
                on_other(path)
            elif path.is_fifo():  # opening it may block for ever
                on_problem(DatasetError(f"{path}: a pipe, not a recording; move it elsewhere"))
            else:
                yield path


class _LinkedFolders:
    """The folders elsewhere that links in a data set lead to, each searched once.

    A link to a folder of the data set itself leads to what is searched anyway, or never ends.
    """

    def __init__(self, root: Path) -> None:
        self._searched = [os.path.join(os.path.realpath(root), "")]  # noqa: PTH118

    def are_searched(self, folder: Path) -> bool:
        """Return whether a folder is a link to what is searched without it."""
        if not folder.is_symlink():
            return False
        target = os.path.join(os.path.realpath(folder), "")  # noqa: PTH118
        is_searched = any(
            target.startswith(each) or each.startswith(target) for each in self._searched
        )
        if not is_searched:
            self._searched.append(target)
        return is_searched


def is_recording_or_text(name: str) -> bool:
    """Whether a file of this name in a data set that lies elsewhere is fetched."""
    path = PurePosixPath(name)
    is_known = path.suffix.lower() in (*SUFFIXES, *_TEXTS, *_TABLES, "")
    return is_known and not any(is_hidden(part) for part in path.parts)


def bring_sources(sources: Sequence[Path], root: Path | None, watch: Watch) -> Brought:
    """Fetch what of a data set lies elsewhere."""
    brought = Brought()
    if root is not None and is_mirrored(root):
        root.mkdir(parents=True, exist_ok=True)  # what a manifest names below it comes later
    for source in filter(is_mirrored, sources):
        each = bring_folder(source, is_recording_or_text, watch)
        brought.problems += each.problems
        brought.left_out += each.left_out
    return brought


def local_names(names: Sequence[str], folder: Path, may_fetch: bool) -> tuple[list[str], list[str]]:
    """Return the names of recordings on this machine, and why some could not be fetched.

    Addresses become paths in the cache folder, and so do names relative to ``folder`` where that
    lies elsewhere and was not fetched with them. What was not fetched before is only fetched if it
    may: a list that came with a folder tells no server who reads it.
    """
    local, places, problems = list(names), list[Path](), list[str]()
    for i, name in enumerate(names):
        try:
            if name.startswith("file://"):
                local[i] = unquote(name.removeprefix("file://"))
            elif is_address(name):
                places.append(place_of(name))
                local[i] = str(places[-1])
            elif is_mirrored(folder) and not (folder / name).exists():
                places.append(place_of(f"{name_of(folder)}/{name}"))
        except StorageError as error:
            problems.append(str(error))
    if may_fetch and places:
        problems += bring_files(places).problems
    elif n_missing := sum(not place.exists() for place in places):
        problems.append(
            f"{folder}: a list in it names {n_missing} recordings elsewhere, as"
            f" {name_of(places[0])}; name the list itself, and they are fetched"
        )
    return local, problems


def describe_others(folder: Path, others: Iterable[Path]) -> str | None:
    """Return how many files in a folder are no recordings, by ending; None where all are.

    Texts are not counted: they tell of the recordings.
    """
    endings = Counter(
        "link to a folder that is searched anyway"
        if path.is_dir()
        else path.suffix.lower() or "without ending"
        for path in others
    )
    counts = ", ".join(f"{n} {ending}" for ending, n in endings.items() if ending not in _TEXTS)
    return f"{folder}: files that are no recordings are left out: {counts}" if counts else None


def find_noise(folder: Path) -> list[Path]:
    """Return the recordings of background noise in a folder of its own.

    Raises
    ------
    DatasetError
        When there are none.
    """
    if is_mirrored(folder):
        bring_folder(folder, is_recording_or_text)
    if not folder.is_dir():
        raise DatasetError(
            f"{folder}: no such folder of background noise; check the path", field="noise"
        )
    if not (found := list(find_recordings(folder))):
        raise DatasetError(
            f"{folder}: no recording of background noise in it; name another", field="noise"
        )
    return found


def may_hold_clips(name: str) -> bool:
    """Return whether files and folders of this name are searched.

    They are if neither hidden nor background noise.
    """
    return not (is_hidden(name) or is_noise_folder(name))


def is_hidden(name: str) -> bool:
    """Return whether files and folders of this name are none of the user's data."""
    return name.startswith(".") or name in _OF_SYSTEMS


_OF_SYSTEMS = ("__MACOSX", "desktop.ini", "Thumbs.db")
"""Files and folders that systems put beside those of the user."""


_NAME_A_MANIFEST = "name one that ends in .csv, .tsv, .jsonl, .json or .parquet"
_IN_FOLDERS = (
    "put recordings into one sub-folder per word (data/yes/1.wav) and name the folder of those"
)
_ADVICE = {
    **dict.fromkeys((".xlsx", ".xls", ".ods"), "save it as CSV"),
    **dict.fromkeys((".zip", ".gz", ".tgz", ".7z", ".rar", ".bz2", ".xz"), "unpack it"),
    **dict.fromkeys(SUFFIXES, _IN_FOLDERS),
}
"""What helps with a file that is not read, by its ending."""


def describe_no_data(path: Path) -> str:
    """Return why ``path`` is no data set, and what to do."""
    if path.exists():
        advice = _ADVICE.get(path.suffix.lower(), _NAME_A_MANIFEST)
        return f"{path}: neither a folder nor a manifest; {advice}"
    return f"{path}: no such folder or manifest; {_similar(path)}"


def _similar(path: Path) -> str:
    """Return the question whether a name like that of ``path`` was meant, or other advice."""
    with suppress(OSError):
        names = [each.name for each in path.parent.iterdir()]
        if matches := get_close_matches(path.name, names, n=1):
            return f"did you mean {path.parent / matches[0]}?"
    return "check the path"
