"""Copies of a sound that differ in level, format or start, kept in one split."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from speechcls.audio.samples import PCM, to_float
from speechcls.data.cache import FINGERPRINTS, LOCK, reporting_disk_errors, store_path
from speechcls.data.clips import ClipStore
from speechcls.data.fingerprint import (
    N_VALUES,
    Fingerprint,
    fingerprint,
    is_one_sound,
    similar_pairs,
)
from speechcls.data.splits import Splits, assign_splits
from speechcls.labels import SILENCE
from speechcls.layouts.examples import SPLITS

_RECORD = np.dtype([("digest", "S20"), ("fingerprint", "<f2", (N_VALUES,))])
"""What is stored of each sound; the file is an array of them."""
_CLIPS_PER_TASK = 256
_MIN_CLIPS_FOR_PROCESSES = 4_000
"""With fewer clips, starting other processes takes longer than to compute them."""


class SoundGroups:
    """Clips, by index, in disjoint sets of one sound each; at first every clip is alone."""

    def __init__(self, clips: Iterable[int]) -> None:
        self._parent = {i: i for i in clips}  # another clip of the same sound, or itself

    def find(self, clip: int) -> int:
        """Return the first clip of its sound."""
        while self._parent[clip] != clip:
            self._parent[clip] = self._parent[self._parent[clip]]
            clip = self._parent[clip]
        return clip

    def join(self, first: int, second: int) -> None:
        """Make the sounds of two clips one."""
        a, b = self.find(first), self.find(second)
        self._parent[max(a, b)] = min(a, b)

    def of_several(self) -> list[list[int]]:
        """Return the clips of each sound that has two or more."""
        groups = defaultdict(list)
        for i in self._parent:
            groups[self.find(i)].append(i)
        return [group for group in groups.values() if len(group) > 1]


def split_by_sound(
    source: Path,
    store: ClipStore,
    labels: Sequence[str],
    test_speakers: Sequence[str] = (),
    jobs: int = 1,
) -> Splits:
    """Return splits as ``assign_splits`` does, in which copies of a sound are in one split.

    They are searched among clips of one word in different splits, until no two are left.

    Parameters
    ----------
    source : the data set's folder
    labels : the model's label of each clip
    jobs : processes that compute fingerprints

    Raises
    ------
    DatasetError
        As ``assign_splits`` does, or when the fingerprints cannot be stored.
    """
    splits = assign_splits(store.examples, labels, store.digests, test_speakers)
    prints = read_fingerprints(source, store, jobs)
    sounds = SoundGroups(range(len(labels)))
    rows = [i for i, name in enumerate(splits.names) if name in ("validation", "test")]
    while pairs := list(_find_pairs(store, prints, splits.names, rows)):
        for pair in pairs:
            sounds.join(*pair)
        before, digests = splits.names, list(store.digests)
        for group in sounds.of_several():
            first = min(store.digests[i] for i in group)
            for i in group:
                digests[i] = first
        splits = assign_splits(store.examples, labels, digests, test_speakers)
        moved = {
            i for i, names in enumerate(zip(before, splits.names, strict=True)) if len({*names}) > 1
        }
        rows = sorted(moved.union(*pairs))
    return splits


@dataclass(frozen=True)
class Fingerprints:
    """The fingerprints of clips, on disk."""

    stored: npt.NDArray[np.void]
    """(n_stored,) of ``_RECORD``, mapped."""
    rows: npt.NDArray[np.int64]
    """(n_clips,) the one of each clip."""

    def of(self, clips: Sequence[int]) -> Fingerprint:
        """Return the fingerprints (n, 352) of some clips, by index."""
        prints: Fingerprint = self.stored["fingerprint"][self.rows[clips]]
        return prints


def read_fingerprints(source: Path, store: ClipStore, jobs: int) -> Fingerprints:
    """Return the fingerprint of each clip; those not yet stored are computed.

    Raises
    ------
    DatasetError
        When they cannot be written.
    """
    import filelock

    folder = store_path(source, store.sample_rate)
    with reporting_disk_errors(folder), filelock.FileLock(folder / LOCK):
        path = folder / FINGERPRINTS
        with path.open("ab") as file:  # a record that was broken off is written over
            file.truncate(file.tell() // _RECORD.itemsize * _RECORD.itemsize)
            wanted = np.array(store.digests, dtype=_RECORD["digest"])
            digests, first = np.unique(wanted, return_index=True)
            is_stored = np.isin(digests, _map_records(path)["digest"])
            missing = first[~is_stored].tolist()
            for clips, prints in _compute(store, missing, jobs):
                computed = np.empty(len(clips), _RECORD)
                computed["digest"], computed["fingerprint"] = wanted[clips], prints
                file.write(computed.tobytes())
        stored = _map_records(path)
    order = np.argsort(stored["digest"])
    places = np.searchsorted(stored["digest"], wanted, sorter=order)
    return Fingerprints(stored, order[places])


def _map_records(path: Path) -> npt.NDArray[np.void]:
    """Return (n_stored,) of ``_RECORD``, mapped from disk."""
    if not path.stat().st_size:
        return np.empty(0, _RECORD)
    return np.memmap(path, _RECORD, "r")


def _compute(
    store: ClipStore, clips: Sequence[int], jobs: int
) -> Iterator[tuple[Sequence[int], Fingerprint]]:
    """Yield some clips, by index, with their fingerprints (n, 352), until all are done."""
    import joblib

    parts = [clips[i : i + _CLIPS_PER_TASK] for i in range(0, len(clips), _CLIPS_PER_TASK)]
    n_processes = jobs if len(clips) >= _MIN_CLIPS_FOR_PROCESSES else 1
    computed = joblib.Parallel(n_jobs=n_processes, return_as="generator")(
        joblib.delayed(_compute_part)(
            # Copied, since a process would open the file anew for each part of it.
            np.concatenate([store.clip(i) for i in part]),
            store.lengths[part],
            store.sample_rate,
        )
        for part in parts
    )
    return zip(parts, computed, strict=True)


def _compute_part(samples: PCM, lengths: npt.NDArray[np.int64], sample_rate: int) -> Fingerprint:
    """Return the fingerprints (n_clips, 352) of concatenated clips; their level is no matter."""
    clips = np.split(samples, np.cumsum(lengths)[:-1])
    return np.stack([fingerprint(to_float(clip), sample_rate) for clip in clips])


def _find_pairs(
    store: ClipStore, prints: Fingerprints, splits: Sequence[str], rows: Sequence[int]
) -> Iterator[tuple[int, int]]:
    """Yield pairs of a clip among ``rows`` and one of the same word and sound in another split."""
    chosen = set(rows)
    places: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    seen = set()
    for i, (example, digest, split) in enumerate(
        zip(store.examples, store.digests, splits, strict=True)
    ):
        # One of each digest is enough: many copies of one clip would crowd out others.
        key = example.label, digest, i in chosen
        if split in SPLITS and example.label != SILENCE and key not in seen:
            seen.add(key)
            places[example.label][split].append(i)
    for of_label in places.values():
        for split, clips in of_label.items():
            own = [i for i in clips if i in chosen]
            others = [i for name, there in of_label.items() if name != split for i in there]
            for pair in similar_pairs(prints.of(own), prints.of(others)):
                a, b = own[pair.first], others[pair.second]
                if is_one_sound(store.read(a), store.read(b), store.sample_rate, same_label=True):
                    yield a, b
