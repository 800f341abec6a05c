"""Every clip decoded once, and kept in the cache folder for the next training.

A store is a folder of ``samples.pcm``, all clips concatenated as little-endian 16-bit integers,
which only grows, and ``index.sqlite``, which says of each clip where its samples are and which file
they came from. Samples are on disk before the index names them, so that a packing that is
interrupted leaves no damage behind. Those of recordings that are read from shards are not kept.
Labels, speakers and splits are not in it: ``layouts`` finds them anew each time. ``copies`` adds
the fingerprints of the clips.
"""

import os
import sqlite3
from array import array
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np

from speechcls.audio.samples import PCM
from speechcls.data.cache import (
    INDEX,
    LOCK,
    NOT_KEPT,
    SAMPLES,
    Entry,
    Key,
    Stamp,
    StoreIndex,
    empty_store,
    key_of,
    reporting_disk_errors,
    stamp_of,
    store_path,
)
from speechcls.data.clips import Clip, ClipStore, read_example
from speechcls.errors import AudioError
from speechcls.layouts.examples import Example
from speechcls.storage.unpacked import is_member

_CLIPS_PER_TASK = 64
"""Clips that a process reads at a time."""
_TASKS_PER_COMMIT = 8
"""Tasks of each process between two writes to disk."""
_MIN_CLIPS_FOR_PROCESSES = 2_000
"""With fewer clips, starting other processes takes longer than to read them."""


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
    with reporting_disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with (
            filelock.FileLock(folder / LOCK),
            closing(_Store(folder, source, sample_rate)) as store,
        ):
            bad = store.update(examples, jobs, on_clip, verify)
            return store.clips(examples, bad)


def make_reader(source: Path, sample_rate: int) -> Callable[[Example], Clip]:
    """Return what reads a clip of the data set in folder ``source``.

    It is taken from the store if it is there and has not changed, else from its file, which gives
    the same. Samples are mapped, so that who looks at the digest alone reads nothing. A store that
    is damaged or being packed is left alone.
    """
    folder = store_path(source, sample_rate)
    index = _find_index(folder, source, sample_rate)
    samples = _map_samples(folder)

    def read(example: Example) -> Clip:
        entry = None
        if index and example.gain == 1:
            with suppress(sqlite3.Error):  # another process has begun to pack
                entry = index.find(key_of(example))
        if entry is None or entry.start == NOT_KEPT or entry.stamp != stamp_of(example.path):
            return read_example(example, sample_rate)
        pcm = samples[entry.start : entry.start + entry.length]
        if len(pcm) < entry.length:  # packed after the samples were mapped
            return read_example(example, sample_rate)
        return Clip(pcm, entry.scale, entry.digest, entry.notes)

    return read


def _find_index(folder: Path, source: Path, sample_rate: int) -> StoreIndex | None:
    """Return the index of a store if it can be used as it is."""
    import filelock

    if not (folder / INDEX).is_file():  # a lock would make the folder
        return None
    with suppress(OSError, sqlite3.Error, filelock.Timeout):
        with filelock.FileLock(folder / LOCK, timeout=0):
            index = StoreIndex(folder / INDEX, may_write=False)
            if index.is_of(source, sample_rate) and index.end <= len(_map_samples(folder)):
                os.utime(folder / INDEX)
                return index
        index.close()
    return None


def _map_samples(folder: Path) -> PCM:
    """Return (total,) the samples of a store, mapped from disk."""
    n_samples = max(0, stamp_of(folder / SAMPLES)[0] // 2)
    if not n_samples:
        return np.empty(0, dtype=np.int16)
    return np.memmap(folder / SAMPLES, "<i2", "r", shape=(n_samples,))


class _ReadResult(NamedTuple):
    """What reading one clip gave."""

    stamp: Stamp
    """Of the file before it was read."""
    length: int
    """Samples; 0 if it cannot be used."""
    scale: float = 1.0
    digest: str = ""
    notes: tuple[str, ...] = ()
    error: str = ""
    """Why it cannot be used."""
    is_kept: bool = True


def _read_part(examples: Sequence[Example], sample_rate: int) -> tuple[PCM, list[_ReadResult]]:
    """Return the kept samples (total,) of clips, concatenated, and what is known of each.

    It runs in a process of its own.
    """
    parts, read = [np.empty(0, dtype=np.int16)], []
    for example in examples:
        stamp = stamp_of(example.path)
        try:
            clip = read_example(example, sample_rate)
        except AudioError as error:
            read.append(_ReadResult(stamp, 0, error=str(error)))
        else:
            is_kept = not is_member(example.path)
            parts += [clip.pcm] if is_kept else []
            read.append(_ReadResult(stamp, len(clip.pcm), *clip[1:], is_kept=is_kept))
    return np.concatenate(parts), read  # many small arrays would be slow to hand over


class _Store:
    """A store that this process has locked."""

    def __init__(self, folder: Path, source: Path, sample_rate: int) -> None:
        self._folder, self._source, self._sample_rate = folder, source, sample_rate
        self._samples = folder / SAMPLES
        is_there = (folder / INDEX).is_file()
        self._index = StoreIndex(folder / INDEX)
        if not is_there or not self._index.is_of(source, sample_rate):
            self._reset()
        self._end = self._index.end  # samples in the file
        if stamp_of(self._samples)[0] < 2 * self._end:
            raise sqlite3.DatabaseError(f"{SAMPLES} is too short")
        os.utime(folder / INDEX)

    def close(self) -> None:
        """Close the index."""
        self._index.close()

    def _reset(self) -> None:
        """Begin an empty store; a process that has mapped the old samples keeps them."""
        self._index.close()
        empty_store(self._folder)
        self._samples.touch()
        self._index, self._end = StoreIndex(self._folder / INDEX), 0
        self._index.create(self._source, self._sample_rate)

    def update(
        self,
        examples: Sequence[Example],
        jobs: int,
        on_clip: Callable[[], None],
        verify: bool,
    ) -> dict[Key, str]:
        """Read the clips that are missing or have changed; return the error of each bad one."""
        stale, n_changed = array("q"), 0  # positions, and samples that are old
        for i, example in enumerate(examples):
            entry = self._index.find(key_of(example))
            if verify or entry is None or entry.stamp != stamp_of(example.path):
                stale.append(i)
                n_changed += entry.length if entry and entry.start != NOT_KEPT else 0
        if not verify and self._end > 2 * (self._n_there() - n_changed):
            self._reset()
            stale = array("q", range(len(examples)))
        for _ in range(len(examples) - len(stale)):
            on_clip()
        return self._read(examples, stale, jobs, on_clip, verify) if stale else {}

    def _n_there(self) -> int:
        """Return how many samples are of recordings that still exist."""
        lengths = self._index.lengths_by_path()
        return sum(length for path, length in lengths if stamp_of(path)[0] >= 0)

    def _read(
        self,
        examples: Sequence[Example],
        stale: Sequence[int],
        jobs: int,
        on_clip: Callable[[], None],
        verify: bool,
    ) -> dict[Key, str]:
        import joblib

        bad: dict[Key, str] = {}
        n_processes = jobs if len(stale) >= _MIN_CLIPS_FOR_PROCESSES else 1
        n_together = n_processes * _TASKS_PER_COMMIT * _CLIPS_PER_TASK
        recent = deque([set[Key]()], maxlen=2)  # read, and perhaps not yet in the index
        # Threads would wait for each other: much of the reading of a short file is Python.
        pool = joblib.Parallel(n_jobs=n_processes, return_as="generator")
        with pool, ThreadPoolExecutor(1) as committer:  # which waits for the disk meanwhile
            committed = committer.submit(self._commit, [])
            for i in range(0, len(stale), n_together):
                chosen = [examples[j] for j in stale[i : i + n_together]]
                group = self._without_copies(chosen, recent, bad, verify)
                recent.append({key for key, _ in group})
                parts = [
                    group[j : j + _CLIPS_PER_TASK] for j in range(0, len(group), _CLIPS_PER_TASK)
                ]
                results = pool(
                    joblib.delayed(_read_part)([e for _, e in part], self._sample_rate)
                    for part in parts
                )
                entries: list[tuple[Key, Entry]] = []
                for part, (samples, read) in zip(parts, results, strict=True):
                    keys = [key for key, _ in part]
                    bad |= self._append(keys, samples, read, verify, entries)
                    for _ in read:
                        on_clip()
                for _ in range(len(chosen) - len(group)):
                    on_clip()
                committed.result()
                committed = committer.submit(self._commit, entries)
            committed.result()
        return bad

    def _without_copies(
        self,
        examples: Sequence[Example],
        recent: Sequence[set[Key]],
        bad: Mapping[Key, str],
        verify: bool,
    ) -> list[tuple[Key, Example]]:
        """Return each clip once, by its key, without those that were read already."""

        def is_read(key: Key, example: Example) -> bool:
            if key in bad or any(key in keys for keys in recent):
                return True
            entry = None if verify else self._index.find(key)
            return entry is not None and entry.stamp == stamp_of(example.path)

        once = {key_of(example): example for example in examples}
        return [(key, example) for key, example in once.items() if not is_read(key, example)]

    def _append(
        self,
        keys: list[Key],
        samples: PCM,
        read: list[_ReadResult],
        verify: bool,
        entries: list[tuple[Key, Entry]],
    ) -> dict[Key, str]:
        """Write clips, and add their entries; return the error of each bad one."""
        bad, end, fresh_at = {}, 0, self._end
        fresh: list[PCM] = []
        for key, found in zip(keys, read, strict=True):
            length = found.length
            if not length:
                bad[key] = found.error
                continue
            about = length, found.scale, found.digest, found.notes
            if not found.is_kept:
                entries.append((key, Entry(found.stamp, NOT_KEPT, *about)))
                continue
            start, old = self._end, self._index.find(key)
            clip, end = samples[end : end + length], end + length
            if old and self._holds(old, found, clip, verify):
                start = old.start  # only touched
            else:
                fresh.append(clip)
                self._end += length
            entries.append((key, Entry(found.stamp, start, *about)))
        # At once: memory that is free again is faster than memory that is new.
        with self._samples.open("r+b") as file:
            file.seek(2 * fresh_at)
            for clip in fresh:
                file.write(clip.astype("<i2", copy=False).data)
        return bad

    def _holds(self, entry: Entry, found: _ReadResult, clip: PCM, verify: bool) -> bool:
        """Return whether the samples on disk are those of a clip that was read again."""
        if (entry.digest, entry.scale) != (found.digest, found.scale):
            return False
        if found.scale == 1 and not verify:
            return True
        # The digest does not tell what exceeds full scale, nor what the disk has changed.
        stored = np.memmap(self._samples, "<i2", "r", 2 * entry.start, (entry.length,))
        return np.array_equal(stored, clip)

    def _commit(self, entries: Sequence[tuple[Key, Entry]]) -> None:
        """See that the samples are on disk, then name them in the index."""
        with self._samples.open("r+b") as file:
            os.fsync(file.fileno())
        self._index.add(entries)

    def clips(self, examples: Sequence[Example], bad: Mapping[Key, str]) -> ClipStore:
        """Return the clips, of which some are bad."""
        keys = map(key_of, examples)
        kept = [i for i, key in enumerate(keys) if key not in bad] if bad else range(len(examples))
        n_clips = len(kept)
        starts, lengths = np.empty(n_clips, np.int64), np.empty(n_clips, np.int64)
        scales, digests, notes = np.empty(n_clips, np.float32), list[str](), list[tuple[str, ...]]()
        for i, position in enumerate(kept):
            entry = self._index.find(key_of(examples[position]))
            if entry is None:
                raise sqlite3.DatabaseError(f"{examples[position].path} is lost")
            starts[i], lengths[i], scales[i] = entry.start, entry.length, entry.scale
            digests.append(entry.digest)
            notes.append(entry.notes)
        errors = [bad[key] for key in map(key_of, examples) if key in bad] if bad else []
        chosen = [examples[i] for i in kept]
        samples = _map_samples(self._folder)[: self._end]
        return ClipStore(
            chosen, samples, starts, lengths, scales, digests, notes, self._sample_rate, errors
        )
