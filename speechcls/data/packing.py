"""Every clip decoded once, and kept in the cache folder for the next training.

A store is a folder of files that only grow: ``samples.pcm``, all clips concatenated as
little-endian 16-bit integers, and ``index.jsonl``, a line per clip that says where its samples are
and which file they came from. Samples are on disk before the line that names them, so that a
packing that is interrupted leaves no damage behind. Labels, speakers and splits are not in it:
``layouts`` finds them anew each time. ``copies`` adds the fingerprints of the clips.
"""

import json
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np

from speechcls.audio.samples import PCM
from speechcls.data.cache import (
    FINGERPRINTS,
    INDEX,
    LOCK,
    SAMPLES,
    reporting_os_errors,
    store_path,
)
from speechcls.data.clips import Clip, ClipStore, read_example
from speechcls.errors import AudioError, DatasetError
from speechcls.layouts.examples import Example

_FORMAT_VERSION = 2
_CLIPS_PER_TASK = 64
"""Clips that a process reads at a time."""
_TASKS_PER_COMMIT = 8
"""Tasks of each process between two writes to disk."""
_MIN_CLIPS_FOR_PROCESSES = 2_000
"""With fewer clips, starting other processes takes longer than to read them."""

_Stamp = tuple[int, int]
"""Size of a file in bytes and when it was last written, ns; both -1 where there is none."""
_Key = tuple[str, float, float | None, int | None]
"""Path, start, end and channel of a clip."""


class _Entry(NamedTuple):
    """A line of the index."""

    path: str
    start_s: float
    end_s: float | None
    channel: int | None
    size: int
    """Bytes of the file that was read."""
    mtime_ns: int
    """When that file was last written."""
    start: int
    """Where the clip starts in ``samples.pcm``, samples."""
    length: int
    """Samples."""
    scale: float
    """Amplitude of full scale."""
    digest: str
    notes: list[str]

    @property
    def key(self) -> _Key:
        return self.path, self.start_s, self.end_s, self.channel

    @property
    def stamp(self) -> _Stamp:
        return self.size, self.mtime_ns


def open_store(
    source: Path,
    examples: Sequence[Example],
    sample_rate: int,
    jobs: int,
    on_clip: Callable[[], None] = lambda: None,
    verify: bool = False,
) -> ClipStore:
    """Return the clips of a data set, decoding only those that are new or have changed.

    A file has changed when its size or its time of writing has. A process that opens a store which
    another one is packing waits. A packing that was interrupted is resumed.

    Parameters
    ----------
    source : the data set's folder
    jobs : processes that decode at once
    on_clip : called for each clip when it is there, or found to be bad
    verify : decode every file again, whatever is stored

    Raises
    ------
    DatasetError
        When the store cannot be written, or is damaged.
    """
    import filelock

    folder = store_path(source, sample_rate)
    with reporting_os_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(folder / LOCK):
            store = _Store(folder, source, sample_rate)
            keyed = [(_key_of(example), example) for example in examples]
            bad = store.update(keyed, jobs, on_clip, verify)
            samples = store.samples()
    entries = [store.entries[key] for key, _ in keyed if key not in bad]
    return ClipStore(
        [example for key, example in keyed if key not in bad],
        samples,
        np.array([entry.start for entry in entries], dtype=np.int64),
        np.array([entry.length for entry in entries], dtype=np.int64),
        np.array([entry.scale for entry in entries], dtype=np.float32),
        [entry.digest for entry in entries],
        [tuple(entry.notes) for entry in entries],
        sample_rate,
        [bad[key] for key, _ in keyed if key in bad],
    )


def make_reader(source: Path, sample_rate: int) -> Callable[[Example], Clip]:
    """Return what reads a clip of the data set in folder ``source``.

    It is taken from the store if it is there and has not changed, else from its file, which gives
    the same. Samples are mapped, so that who looks at the digest alone reads nothing. A store that
    is damaged or being packed is left alone.
    """
    store = _find_store(store_path(source, sample_rate), source, sample_rate)
    entries = store.entries if store else {}
    samples = store.samples() if store else np.empty(0, dtype=np.int16)

    def read(example: Example) -> Clip:
        entry = entries.get(_key_of(example))
        if entry is None or example.gain != 1 or entry.stamp != _stamp_of(example.path):
            return read_example(example, sample_rate)
        pcm = samples[entry.start : entry.start + entry.length]
        return Clip(pcm, entry.scale, entry.digest, tuple(entry.notes))

    return read


def _find_store(folder: Path, source: Path, sample_rate: int) -> "_Store | None":
    """Return the store in a folder if it can be used as it is."""
    import filelock

    if not (folder / INDEX).is_file():  # a lock would make the folder
        return None
    with suppress(OSError, DatasetError, filelock.Timeout):
        header = _header_of(source, sample_rate).encode()
        with filelock.FileLock(folder / LOCK, timeout=0), (folder / INDEX).open("rb") as index:
            if index.readline() == header + b"\n":
                return _Store(folder, source, sample_rate)
    return None


def _key_of(example: Example) -> _Key:
    path = os.path.abspath(example.path)  # noqa: PTH100
    return path, example.start_s, example.end_s, example.channel


def _stamp_of(path: str | Path) -> _Stamp:
    try:
        found = os.stat(path)  # noqa: PTH116
    except (OSError, ValueError):
        return -1, -1
    return found.st_size, found.st_mtime_ns


class _ReadResult(NamedTuple):
    """What reading one clip gave."""

    stamp: _Stamp
    """Of the file before it was read."""
    length: int
    """Samples; 0 if it cannot be used."""
    scale: float = 1.0
    digest: str = ""
    notes: tuple[str, ...] = ()
    error: str = ""
    """Why it cannot be used."""


def _read_part(examples: Sequence[Example], sample_rate: int) -> tuple[PCM, list[_ReadResult]]:
    """Return the samples (total,) of clips, concatenated, and what is known of each.

    It runs in a process of its own.
    """
    parts, read = [np.empty(0, dtype=np.int16)], []
    for example in examples:
        stamp = _stamp_of(example.path)
        try:
            clip = read_example(example, sample_rate)
        except AudioError as error:
            read.append(_ReadResult(stamp, 0, error=str(error)))
        else:
            parts.append(clip.pcm)
            read.append(_ReadResult(stamp, len(clip.pcm), *clip[1:]))
    return np.concatenate(parts), read  # many small arrays would be slow to hand over


def _header_of(source: Path, sample_rate: int) -> str:
    """Return the first line of the index of a store."""
    about = {"format_version": _FORMAT_VERSION, "source": str(source.resolve())}
    return json.dumps(about | {"sample_rate": sample_rate})


class _Store:
    """A store that this process has locked."""

    def __init__(self, folder: Path, source: Path, sample_rate: int) -> None:
        self.entries: dict[_Key, _Entry] = {}
        self._index, self._samples = folder / INDEX, folder / SAMPLES
        self._end = 0  # samples in the file
        self._sample_rate = sample_rate
        self._header = _header_of(source, sample_rate)
        content = self._index.read_bytes() if self._index.exists() else b""
        whole = content[: content.rfind(b"\n") + 1]
        if whole.partition(b"\n")[0] != self._header.encode():  # none, or of another release
            self._reset()
            return
        if whole != content:  # interrupted in the middle of a line
            os.truncate(self._index, len(whole))
        for number, line in enumerate(whole.splitlines()[1:], start=2):
            try:
                entry = _Entry(*json.loads(line))
                self._end = max(self._end, entry.start + entry.length)
            except (ValueError, TypeError) as error:
                raise self._damaged(f"line {number} of {INDEX} is not readable") from error
            self.entries[entry.key] = entry
        if _stamp_of(self._samples)[0] < 2 * self._end:
            raise self._damaged(f"{SAMPLES} is too short")
        os.utime(self._index)

    def _damaged(self, fact: str) -> DatasetError:
        folder = self._index.parent
        return DatasetError(f"{folder}: damaged ({fact}); clear the cache, it will be recreated")

    def _reset(self) -> None:
        """Empty the store; a process that has mapped the old samples keeps them."""
        self.entries, self._end = {}, 0
        self._index.unlink(missing_ok=True)
        self._samples.unlink(missing_ok=True)
        (self._index.parent / FINGERPRINTS).unlink(missing_ok=True)
        self._samples.touch()
        self._index.write_text(self._header + "\n")

    def update(
        self,
        keyed: Sequence[tuple[_Key, Example]],
        jobs: int,
        on_clip: Callable[[], None],
        verify: bool,
    ) -> dict[_Key, str]:
        """Read the clips that are missing or have changed; return the error of each bad one."""
        wanted = dict(keyed)
        stale = self._stale(wanted, verify)
        live = sum(
            entry.length
            for key, entry in self.entries.items()
            if key not in stale and (key in wanted or _stamp_of(entry.path)[0] >= 0)
        )
        if self._end > 2 * live and not verify:
            self._reset()
            stale = wanted
        for _ in range(len(keyed) - len(stale)):
            on_clip()
        return self._read(list(stale.items()), jobs, on_clip, verify) if stale else {}

    def _stale(self, wanted: dict[_Key, Example], verify: bool) -> dict[_Key, Example]:
        return {
            key: example
            for key, example in wanted.items()
            if verify
            or key not in self.entries
            or self.entries[key].stamp != _stamp_of(example.path)
        }

    def _read(
        self,
        stale: list[tuple[_Key, Example]],
        jobs: int,
        on_clip: Callable[[], None],
        verify: bool,
    ) -> dict[_Key, str]:
        import joblib

        parts = [stale[i : i + _CLIPS_PER_TASK] for i in range(0, len(stale), _CLIPS_PER_TASK)]
        bad: dict[_Key, str] = {}
        n_processes = jobs if len(stale) >= _MIN_CLIPS_FOR_PROCESSES else 1
        # Threads would wait for each other: much of the reading of a short file is Python.
        pool = joblib.Parallel(n_jobs=n_processes, return_as="generator")
        with pool, ThreadPoolExecutor(1) as committer:  # which waits for the disk meanwhile
            committed = committer.submit(self._commit, [])
            for i in range(0, len(parts), n_processes * _TASKS_PER_COMMIT):
                group = parts[i : i + n_processes * _TASKS_PER_COMMIT]
                results = pool(
                    joblib.delayed(_read_part)([e for _, e in part], self._sample_rate)
                    for part in group
                )
                lines: list[_Entry] = []
                for part, (samples, read) in zip(group, results, strict=True):
                    keys = [key for key, _ in part]
                    bad |= self._append(keys, samples, read, verify, lines)
                    for _ in read:
                        on_clip()
                committed.result()
                committed = committer.submit(self._commit, lines)
            committed.result()
        return bad

    def _append(
        self,
        keys: list[_Key],
        samples: PCM,
        read: list[_ReadResult],
        verify: bool,
        lines: list[_Entry],
    ) -> dict[_Key, str]:
        """Write clips, and add the lines that name them; return the error of each bad one."""
        bad, end, fresh_at = {}, 0, self._end
        fresh: list[PCM] = []
        for key, found in zip(keys, read, strict=True):
            length = found.length
            if not length:
                bad[key] = found.error
                continue
            clip, end = samples[end : end + length], end + length
            start, old = self._end, self.entries.get(key)
            if old and self._holds(old, found, clip, verify):
                start = old.start  # only touched
            else:
                fresh.append(clip)
                self._end += length
            lines.append(
                _Entry(*key, *found.stamp, start, length, found.scale, found.digest, [*found.notes])
            )
        # At once: memory that is free again is faster than memory that is new.
        with self._samples.open("r+b") as file:
            file.seek(2 * fresh_at)
            for clip in fresh:
                file.write(clip.astype("<i2", copy=False).data)
        return bad

    def _holds(self, entry: _Entry, found: _ReadResult, clip: PCM, verify: bool) -> bool:
        """Return whether the samples on disk are those of a clip that was read again."""
        if (entry.digest, entry.scale) != (found.digest, found.scale):
            return False
        if found.scale == 1 and not verify:
            return True
        # The digest does not tell what exceeds full scale, nor what the disk has changed.
        stored = np.memmap(self._samples, "<i2", "r", 2 * entry.start, (entry.length,))
        return np.array_equal(stored, clip)

    def _commit(self, lines: Sequence[_Entry]) -> None:
        """See that the samples are on disk, then write the lines that name them."""
        with self._samples.open("r+b") as file:
            os.fsync(file.fileno())
        with self._index.open("a") as index:
            index.writelines(json.dumps(entry) + "\n" for entry in lines)
            index.flush()
            os.fsync(index.fileno())
        self.entries |= {entry.key: entry for entry in lines}

    def samples(self) -> PCM:
        """Return (total,) the samples that the index knows of, mapped from disk."""
        if not self._end:
            return np.empty(0, dtype=np.int16)
        return np.memmap(self._samples, "<i2", "r", shape=(self._end,))
