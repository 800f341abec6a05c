"""The clips of a data set as 16-bit integers at the model's rate, concatenated."""

import hashlib
import itertools
import math
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from speechcls.audio.decode import read_clip
from speechcls.audio.samples import PCM, Samples, fit_length, to_float, to_pcm, to_scaled_pcm
from speechcls.data.cache import NOT_KEPT, reporting_disk_errors
from speechcls.errors import AudioError
from speechcls.files import cache_folder
from speechcls.layouts.examples import Example
from speechcls.parallel import default_jobs
from speechcls.shards.members import read_member, read_members
from speechcls.storage.unpacked import is_member

_WINDOW_MIN_S, WINDOW_MAX_S = 0.5, 4.0
"""Limits of a window that is chosen by the clips."""
_CHUNK_CLIPS = 32
"""Neighbours in a shard that are read together."""


class Clip(NamedTuple):
    """The sound of an example as it is stored: the same samples for training and every test."""

    pcm: PCM
    """(n,) of full scale."""
    scale: float
    """Amplitude of full scale: 1, and more where the clip exceeds that."""
    digest: str
    """A hash of the sound, see ``digest_of``."""
    notes: tuple[str, ...] = ()
    """A sentence on each way in which it is not what the file holds; alike for like clips."""

    @property
    def samples(self) -> Samples:
        """(n,) amplitude."""
        return to_float(self.pcm) * np.float32(self.scale)


@dataclass(frozen=True)
class ClipStore:
    """The readable clips of a data set."""

    examples: list[Example]
    samples: PCM
    """(total,) at ``sample_rate`` Hz, in memory or mapped from disk."""
    starts: npt.NDArray[np.int64]
    """(n_clips,) where in ``samples`` each clip of ``examples`` starts; ``NOT_KEPT``: it is read
    from its shard."""
    lengths: npt.NDArray[np.int64]
    """(n_clips,) samples of each clip."""
    scales: npt.NDArray[np.float32]
    """(n_clips,) amplitude of full scale of each clip: 1, and more where it exceeds that."""
    digests: list[str]
    """A hash of each clip's samples, equal for equal sound."""
    notes: list[tuple[str, ...]]
    """Of each clip, see ``Clip``."""
    sample_rate: int
    bad: list[str]
    """One line for each clip that could not be read."""

    def clip(self, index: int) -> PCM:
        """Return a clip (length,) of full scale."""
        start = int(self.starts[index])
        if start == NOT_KEPT:
            return read_example(self.examples[index], self.sample_rate).pcm
        return self.samples[start : start + int(self.lengths[index])]

    def read(self, index: int) -> Samples:
        """Return the amplitudes (length,) of a clip."""
        return to_float(self.clip(index)) * np.float32(self.scales[index])

    def clips(self) -> Iterator[PCM]:
        """Yield each clip (length,) of full scale."""
        for i, start in enumerate(self.starts.tolist()):
            kept = start != NOT_KEPT
            yield self.samples[start : start + int(self.lengths[i])] if kept else self.clip(i)

    def choose(self, clips: Sequence[int]) -> "ClipStore":
        """Return a store of these clips alone."""
        return ClipStore(
            [self.examples[i] for i in clips],
            self.samples,
            self.starts[clips],
            self.lengths[clips],
            self.scales[clips],
            [self.digests[i] for i in clips],
            [self.notes[i] for i in clips],
            self.sample_rate,
            [],
        )


def window_of(durations_s: npt.NDArray[np.float64]) -> float:
    """Return the 95th percentile of durations (n,), rounded up to 0.1 s, in 0.5 .. 4 s."""
    longest_s = float(np.percentile(durations_s, 95))
    return min(WINDOW_MAX_S, max(_WINDOW_MIN_S, math.ceil(round(longest_s * 10, 3)) / 10))


def digest_of(samples: PCM) -> str:
    """Return a hash of ``samples`` (n,), the same for one sound in every lossless format."""
    return hashlib.blake2b(np.ascontiguousarray(samples).data, digest_size=10).hexdigest()


def as_clip(samples: Samples, notes: Sequence[str] = ()) -> Clip:
    """Return ``samples`` (n,), amplitude, as they are stored."""
    pcm, scale = to_scaled_pcm(samples)
    # What exceeds full scale has the digest of a file in which it is clipped.
    return Clip(pcm, scale, digest_of(pcm if scale == 1 else to_pcm(samples)), tuple(notes))


def read_example(example: Example, sample_rate: int, content: bytes | None = None) -> Clip:
    """Return the sound of an example at ``sample_rate`` Hz.

    Parameters
    ----------
    content : of its recording, where that was read before

    Raises
    ------
    AudioError
        When the recording cannot be used.
    """
    notes = list[str]()
    if content is None and is_member(example.path):
        content = read_member(example.path)
    samples = read_clip(
        example.path if content is None else BytesIO(content),
        sample_rate,
        example.start_s,
        example.end_s,
        None if content is None else str(example.path),
        channel=example.channel,
        on_note=notes.append,
    )
    return as_clip(samples if example.gain == 1 else samples * np.float32(example.gain), notes)


def read_clips(examples: Sequence[Example], sample_rate: int) -> ClipStore:
    """Read every clip into memory; those that cannot be read are listed in ``bad`` and left out."""
    kept, clips, bad = [], list[Clip](), []
    for example in examples:
        try:
            clips.append(read_example(example, sample_rate))
            kept.append(example)
        except AudioError as error:
            bad.append(str(error))
    lengths = np.array([len(clip.pcm) for clip in clips], dtype=np.int64)
    return ClipStore(
        kept,
        np.concatenate([np.empty(0, dtype=np.int16), *(clip.pcm for clip in clips)]),
        np.cumsum(lengths) - lengths,
        lengths,
        np.array([clip.scale for clip in clips], dtype=np.float32),
        [clip.digest for clip in clips],
        [clip.notes for clip in clips],
        sample_rate,
        bad,
    )


def describe_notes(examples: Sequence[Example], notes: Sequence[Sequence[str]]) -> list[str]:
    """Return a line for each note, with how many clips have it and the first of them."""
    having: dict[str, list[Example]] = {}
    for example, own in zip(examples, notes, strict=True):
        for note in dict.fromkeys(own):
            having.setdefault(note, []).append(example)
    return [
        f"{len(clips)} clips: {note} ({clips[0].path} first)"
        if len(clips) > 1
        else f"{clips[0].path}: {note}"
        for note, clips in having.items()
    ]


@dataclass(frozen=True)
class Buffers:
    """In which order clips are read from their shards in an epoch: buffer by buffer."""

    number: npt.NDArray[np.int64]
    """(n_clips,) the buffer that each clip is in, from 0."""
    n_buffers: int


class StreamedWindows:
    """Windows of clips, of which those that train are decoded each time that they are asked for.

    Their recordings are read from the shards in chunks of neighbours. Chunks from everywhere, in an
    order drawn anew for each epoch, make a buffer, in which clips are drawn at random; the
    next one is read meanwhile. The other clips are in memory or mapped.

    Parameters
    ----------
    store : the clips of the data set, which come first
    is_streamed : (n_clips,) which are read from shards
    others : (n_others, n_samples) of full scale, the windows of all others
    buffer_clips : clips of a buffer
    """

    def __init__(
        self,
        store: ClipStore,
        is_streamed: npt.NDArray[np.bool_],
        others: PCM,
        buffer_clips: int,
    ) -> None:
        self._store, self._is_streamed, self._others = store, is_streamed, others
        self._rows = np.cumsum(~is_streamed) - 1
        self._buffer_clips = buffer_clips
        self.shape = len(is_streamed), others.shape[1]
        self._chunks = self._cut_chunks()
        self._buffers: Buffers | None = None
        self._read: dict[int, Future[dict[int, bytes]]] = {}
        self._reader = ThreadPoolExecutor(1)
        self._decoders = ThreadPoolExecutor(default_jobs())

    def __len__(self) -> int:
        """Return the number of clips."""
        return self.shape[0]

    def _cut_chunks(self) -> list[npt.NDArray[np.int64]]:
        """Return the streamed clips, by index, in runs of neighbours in one shard."""
        streamed = np.flatnonzero(self._is_streamed)
        examples = self._store.examples
        shards = itertools.groupby(streamed.tolist(), key=lambda i: examples[i].path.parent)
        return [
            np.array(part, dtype=np.int64)
            for _, clips in shards
            for part in _in_parts(list(clips), _CHUNK_CLIPS)
        ]

    def shuffle(self, seed: int) -> Buffers:
        """Return the buffers of an epoch; clips that need no reading are in any of them."""
        rng = np.random.default_rng(seed)
        number, n_read = np.empty(len(self), dtype=np.int64), 0
        for i in rng.permutation(len(self._chunks)).tolist():
            number[self._chunks[i]] = n_read // self._buffer_clips
            n_read += len(self._chunks[i])
        n_buffers = max(1, math.ceil(n_read / self._buffer_clips))
        number[~self._is_streamed] = rng.integers(n_buffers, size=len(self._others))
        return Buffers(number, n_buffers)

    def load(self, buffers: Buffers, first: int, last: int) -> None:
        """Keep buffers ``first`` to ``last`` in memory, and begin to read the one after them."""
        if buffers is not self._buffers:
            self._buffers, self._read = buffers, {}
        wanted = range(first, min(last + 2, buffers.n_buffers))
        self._read = {
            i: self._read.get(i) or self._reader.submit(self._read_buffer, buffers, i)
            for i in wanted
        }
        for i in range(first, last + 1):
            self._read[i].result()

    def _read_buffer(self, buffers: Buffers, number: int) -> dict[int, bytes]:
        clips = np.flatnonzero((buffers.number == number) & self._is_streamed).tolist()
        contents = read_members([self._store.examples[i].path for i in clips])
        # What cannot be read any more is asked for again when it is needed, which names it.
        return {clips[i]: content for i, content in contents if isinstance(content, bytes)}

    def __getitem__(self, clips: npt.NDArray[np.int64]) -> PCM:
        """Return the windows (n, n_samples) of some clips (n,), by index.

        Raises
        ------
        AudioError
            When a shard cannot be read any more.
        """
        windows = np.empty((len(clips), self.shape[1]), dtype=np.int16)
        is_streamed = self._is_streamed[clips]
        windows[~is_streamed] = self._others[self._rows[clips[~is_streamed]]]
        places = np.flatnonzero(is_streamed).tolist()
        decoded = self._decoders.map(self._decode, clips[is_streamed].tolist())
        for place, window in zip(places, decoded, strict=True):
            windows[place] = window
        return windows

    def _decode(self, clip: int) -> PCM:
        loaded = [each.result() for each in self._read.values() if each.done()]
        content = next((each[clip] for each in loaded if clip in each), None)
        found = read_example(self._store.examples[clip], self._store.sample_rate, content)
        return fit_length(found.pcm, self.shape[1])


def _in_parts(clips: list[int], n_each: int) -> list[list[int]]:
    return [clips[i : i + n_each] for i in range(0, len(clips), n_each)]


Windows = PCM | StreamedWindows
"""(n_clips, n_samples) of full scale."""
Cut = Callable[[Sequence[ClipStore], int], PCM]
"""Cuts windows as ``cut_windows`` does."""


def cut_windows(stores: Sequence[ClipStore], n_samples: int, path: Path | None = None) -> PCM:
    """Return (n_clips, n_samples): each clip's loudest window, short clips padded with zeros.

    The array is mapped from a file, so that it need not fit into memory.

    Parameters
    ----------
    path : of the file, for ``map_windows``; None: an unnamed one in the cache folder

    Raises
    ------
    DatasetError
        When the disk is full.
    """
    n_clips = sum(len(store.lengths) for store in stores)
    if not n_clips:
        return np.empty((0, n_samples), dtype=np.int16)
    folder = cache_folder()
    with reporting_disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        if path:
            path.unlink(missing_ok=True)  # not overwritten: it may be mapped
        with path.open("x+b") if path else tempfile.TemporaryFile(dir=folder) as file:
            for store in stores:
                for clip in store.clips():
                    file.write(fit_length(clip, n_samples).tobytes())
            file.flush()
            return np.memmap(file, np.int16, "r+", shape=(n_clips, n_samples))


def map_windows(stores: Sequence[ClipStore], n_samples: int, path: Path) -> PCM:
    """Return the windows that another process has cut, or cut them if the file has not so many.

    Raises
    ------
    DatasetError
        When the disk is full.
    """
    n_clips = sum(len(store.lengths) for store in stores)
    with reporting_disk_errors(path):
        if path.stat().st_size == 2 * n_clips * n_samples > 0:
            return np.memmap(path, np.int16, "r+", shape=(n_clips, n_samples))
    return cut_windows(stores, n_samples)


def make_windows(
    stores: Sequence[ClipStore],
    n_samples: int,
    is_trained: npt.NDArray[np.bool_],
    cut: Cut,
    buffer_clips: int,
) -> Windows:
    """Return the windows of clips; those that train are decoded later where shards have them.

    Parameters
    ----------
    stores : the clips of the data set, then those that were made
    is_trained : (n_clips,) which train
    cut : cuts all others
    buffer_clips : clips of a buffer of ``StreamedWindows``
    """
    own, n_own = stores[0], len(stores[0].starts)
    is_streamed = is_trained.copy()
    is_streamed[:n_own] &= own.starts == NOT_KEPT
    is_streamed[n_own:] = False
    if not is_streamed.any():
        return cut(stores, n_samples)
    rest = own.choose(np.flatnonzero(~is_streamed[:n_own]).tolist())
    others = cut([rest, *stores[1:]], n_samples)
    return StreamedWindows(own, is_streamed, others, buffer_clips)
