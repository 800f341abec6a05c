"""A folder of recordings, one sub-folder a word, in which nothing is lost."""

import shutil
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from speechcls.audio.samples import Samples
from speechcls.audio.sniff import SUFFIXES
from speechcls.errors import ConfigError, StorageError, reason_of
from speechcls.files import is_file_name
from speechcls.labels import UNKNOWN, is_reserved, name_take, speaker_of
from speechcls.layouts.examples import may_hold_clips
from speechcls.layouts.names import clean_label, read_split_names, split_of_name
from speechcls.live.takes import Takes

OWN = ".studio"
"""Folder in the project of what is not a recording; data sets are read without it."""
TRASH = "trash"


@dataclass(frozen=True)
class Take:
    """A recording of a word."""

    word: str
    name: str
    """Of its file."""

    def to_dict(self) -> dict[str, Any]:
        """Return what a page shows of it, JSON-ready."""
        return {"name": self.name, "speaker": speaker_of(self.name)}


class Project:
    """The folder of a project: ``<folder>/<word>/<speaker>_nohash_<n>.wav``.

    Names that come from elsewhere are looked up among those that are there; none becomes a path.

    Parameters
    ----------
    folder : made where it is missing

    Raises
    ------
    StorageError
        When it cannot be made.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._trash = folder / OWN / TRASH
        self._lock = threading.RLock()
        with _naming(folder):
            folder.mkdir(parents=True, exist_ok=True)

    @property
    def title(self) -> str:
        """What the project is called."""
        return self.folder.resolve().name or "project"

    def words(self) -> list[str]:
        """Return the words, sorted, and what stands for all others at last."""
        with self._lock, _naming(self.folder):
            found = [
                path.name
                for path in self.folder.iterdir()
                if may_hold_clips(path.name) and path.is_dir()
            ]
        return sorted(found, key=lambda word: (word == UNKNOWN, word))

    def takes(self, word: str) -> list[Take]:
        """Return the recordings of a word, in the order in which they were made.

        Raises
        ------
        ConfigError
            When there is no such word.
        """
        with self._lock:
            folder = self._folder_of(word)
            with _naming(folder):
                names = [path.name for path in folder.iterdir() if _is_take(path)]
        return [Take(word, name) for name in sorted(names, key=_order)]

    def takes_by_word(self) -> dict[str, list[Take]]:
        """Return the recordings of every word, at one moment."""
        with self._lock:
            return {word: self.takes(word) for word in self.words()}

    def path(self, word: str, name: str) -> Path:
        """Return where a recording is.

        Raises
        ------
        ConfigError
            When there is none of the name.
        """
        if name not in {take.name for take in self.takes(word)}:
            raise ConfigError(f"no {name} of {word}; it may have been deleted", field="take")
        return self._folder_of(word) / name

    def add_word(self, text: str) -> str:
        """Make the folder of a word, if there is none yet; return the word.

        Raises
        ------
        ConfigError
            When it cannot be the label of a folder, or looks like another one.
        StorageError
            When the folder cannot be made.
        """
        word = clean_label(text)
        with self._lock:
            words = self.words()
            if word in words:
                return word
            if fault := _fault_of(word, words):
                raise ConfigError(fault, field="word")
            with _naming(self.folder / word):
                (self.folder / word).mkdir()
        return word

    def write(self, word: str, speaker: str, samples: Samples) -> Take:
        """Write the next take of a word by a speaker.

        Parameters
        ----------
        samples : (n,) at ``takes.SAMPLE_RATE``

        Raises
        ------
        ConfigError, DatasetError
            When there is no such word, the speaker cannot be in a name, or it cannot be written.
        """
        with self._lock:  # a folder that is moved meanwhile would take half a file along
            self._folder_of(word)
            path = Takes(self.folder, word, clean_label(speaker)).write(samples)
        return Take(word, path.name)

    def delete_take(self, word: str, name: str) -> None:
        """Put a recording into the trash.

        Raises
        ------
        ConfigError, StorageError
            When there is none, or it cannot be moved.
        """
        with self._lock:
            path = self.path(word, name)
            _move([path], self._next_batch() / word)

    def remove_word(self, word: str) -> None:
        """Put the folder of a word into the trash.

        Raises
        ------
        ConfigError, StorageError
            When there is none, or it cannot be moved.
        """
        with self._lock:
            folder = self._folder_of(word)
            _move([folder], self._next_batch())

    def undoable(self) -> dict[str, Any] | None:
        """Return what ``undo`` brings back, JSON-ready; None where the trash is empty."""
        with self._lock:
            batches = self._batches()
            if not batches:
                return None
            [folder, *_] = [*batches[-1].iterdir()] or [batches[-1]]
            return {"word": folder.name, "takes": sum(map(_is_take, folder.iterdir()))}

    def undo(self) -> str | None:
        """Bring back what was deleted last; return its word, None where the trash is empty.

        A recording whose name was taken meanwhile gets the next free one.

        Raises
        ------
        StorageError
            When it cannot be moved.
        """
        with self._lock:
            batches = self._batches()
            if not batches:
                return None
            word = None
            with _naming(batches[-1]):
                for folder in [*batches[-1].iterdir()]:
                    word, place = folder.name, self.folder / folder.name
                    if place.is_dir():
                        self._merge(folder, place)
                    else:
                        shutil.move(folder, place)
                shutil.rmtree(batches[-1])
            return word

    def _merge(self, folder: Path, place: Path) -> None:
        """Move the recordings of a folder into another one, replacing none."""
        for path in [*folder.iterdir()]:
            target, n = place / path.name, 1
            while target.exists():
                n += 1
                speaker = speaker_of(path.name)
                name = (
                    name_take(speaker, Takes(self.folder, place.name, speaker).next_number())
                    if speaker
                    else f"{path.stem} {n}"
                )
                target = place / f"{name}{path.suffix}"
            path.rename(target)

    def _folder_of(self, word: str) -> Path:
        if word not in self.words():
            raise ConfigError(f"no word {word}; add it first", field="word")
        return self.folder / word

    def _batches(self) -> list[Path]:
        """Return what was deleted, the last one last."""
        if not self._trash.is_dir():
            return []
        with _naming(self._trash):
            found = [path for path in self._trash.iterdir() if path.name.isdecimal()]
        return sorted(found, key=lambda path: int(path.name))

    def _next_batch(self) -> Path:
        batches = self._batches()
        number = 1 + (int(batches[-1].name) if batches else 0)
        return self._trash / f"{number:06}"


def check_speaker(text: str) -> str:
    """Return the name of a speaker.

    Raises
    ------
    ConfigError
        When it cannot be part of the name of a file.
    """
    speaker = clean_label(text)
    Takes(Path(), "word", speaker)
    return speaker


def _fault_of(word: str, words: Iterable[str]) -> str | None:
    """Return why something cannot be a word beside others; None where it can."""
    if not is_file_name(word) or not may_hold_clips(word):
        return f"{word!r} cannot name a folder; spell it in letters"
    if is_reserved(word) and word != UNKNOWN:
        return f"{word} is reserved; choose another without _ before it"
    alike = [other for other in words if clean_label(other).casefold() == word.casefold()]
    if alike:
        return f"{word} differs from {alike[0]} by capitals alone; record {alike[0]}"
    if split_of_name(word) or read_split_names([*words, word]):
        return f"{word} would be read as a part of a data set, as test is; choose another"
    return None


def _is_take(path: Path) -> bool:
    is_audio = path.suffix.lower() in SUFFIXES and may_hold_clips(path.name)
    return is_audio and path.is_file()


def _order(name: str) -> tuple[str, int, str]:
    """Return what a take is sorted by: speaker and number, not the text of the number."""
    stem = Path(name).stem
    speaker = speaker_of(name)
    number = stem.rpartition("_")[2]
    is_ours = speaker is not None and number.isdecimal()
    return (speaker or "", int(number) if is_ours else -1, name)


def _move(paths: list[Path], place: Path) -> None:
    with _naming(paths[0]):
        place.mkdir(parents=True)
        for path in paths:
            path.rename(place / path.name)


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Turn errors of the system into one that names a path."""
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"{path}: {reason_of(error)}; check the folder and the rights to it"
        ) from error
