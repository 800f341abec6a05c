"""The clips of a data set as 16-bit integers at the model's rate, concatenated."""

import hashlib
import math
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from speechcls.audio.decode import read_clip
from speechcls.audio.samples import PCM, Samples, fit_length, to_float, to_pcm, to_scaled_pcm
from speechcls.data.cache import reporting_disk_errors
from speechcls.errors import AudioError
from speechcls.files import cache_folder
from speechcls.layouts.examples import Example

_WINDOW_MIN_S, WINDOW_MAX_S = 0.5, 4.0
"""Limits of a window that is chosen by the clips."""


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
    """(n_clips,) where in ``samples`` each clip of ``examples`` starts."""
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
        return self.samples[start : start + int(self.lengths[index])]

    def read(self, index: int) -> Samples:
        """Return the amplitudes (length,) of a clip."""
        return to_float(self.clip(index)) * np.float32(self.scales[index])

    def clips(self) -> Iterator[PCM]:
        """Yield each clip (length,) of full scale."""
        for start, length in zip(self.starts.tolist(), self.lengths.tolist(), strict=True):
            yield self.samples[start : start + length]

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


def read_example(example: Example, sample_rate: int) -> Clip:
    """Return the sound of an example at ``sample_rate`` Hz.

    Raises
    ------
    AudioError
        When the recording cannot be used.
    """
    notes = list[str]()
    samples = read_clip(
        example.path,
        sample_rate,
        example.start_s,
        example.end_s,
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
