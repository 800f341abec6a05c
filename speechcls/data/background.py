"""Held-out ``_silence_`` clips, cut from noise that no training uses; what a training used."""

import math
import random
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path, PurePath
from typing import TypeVar

from speechcls.artifact.format import SplitRow
from speechcls.audio.blocks import open_recording
from speechcls.data.clips import read_example
from speechcls.errors import AudioError
from speechcls.labels import SILENCE
from speechcls.layouts.examples import Example

_LONGEST_CLIP_S = 60.0
"""Longer recordings are compared with the background of a training alone, not with its clips."""
_N_COMPARED = 50
"""Of more background recordings in a training only those of the same file name are compared."""

T = TypeVar("T")

QUIETEST_DB = -30.0
"""Lowest gain of a cut, dB; the highest is 0, the level as recorded."""
SILENT_PROB = 0.1
"""Probability that a cut is digital silence."""

# The recordings are few and long, so each of them is divided in time.
_PARTS = {"train": (0.0, 0.8), "validation": (0.8, 0.9), "test": (0.9, 1.0), None: (0.0, 1.0)}


def read_recordings(
    paths: Iterable[Path], read: Callable[[Path], T]
) -> tuple[dict[Path, T], list[str]]:
    """Return what ``read`` returns for each recording, and a line for each unreadable one.

    Parameters
    ----------
    read : raises an ``AudioError`` when a recording cannot be used
    """
    results, bad = {}, []
    for path in paths:
        try:
            results[path] = read(path)
        except AudioError as error:
            bad.append(str(error))
    return results, bad


def split_range(duration_s: float, split: str | None) -> tuple[float, float]:
    """Return start and end, seconds, of the part of a noise recording that belongs to ``split``.

    ``None`` stands for data that no model was trained on: all of it.
    """
    first, last = _PARTS[split]
    return first * duration_s, last * duration_s


def sample_background(
    durations_s: Mapping[Path, float], split: str | None, n_cuts: int, window_s: float
) -> list[Example]:
    """Return ``n_cuts`` examples at random places of the recordings and of random level.

    They are the same each time, so that every model is scored on the same ones.
    """
    generator = random.Random(f"silence {split}")
    examples = []
    for i in range(n_cuts):
        path = list(durations_s)[i % len(durations_s)]
        first, last = split_range(durations_s[path], split)
        start_s = generator.uniform(first, max(first, last - window_s))
        gain = 10 ** (QUIETEST_DB * generator.random() / 20)
        if generator.random() < SILENT_PROB:
            gain = 0.0
        # Rounded inwards, so that no sample of the training part gets in.
        start_s, end_s = math.ceil(1e4 * start_s) / 1e4, math.floor(1e4 * last) / 1e4
        end_s = min(round(start_s + window_s, 4), end_s)
        examples.append(Example(path, SILENCE, None, split, start_s, end_s, round(gain, 6)))
    return examples


def find_trained(
    paths: Iterable[Path], rows: Iterable[SplitRow], sample_rate: int
) -> Iterator[Path]:
    """Yield the recordings that trained a model or chose its best epoch, known by their sound.

    Of the background in a training the model keeps which parts were cut out of it to validate: a
    recording that has the same sound in the same place is the one that the rest trained on,
    whatever its name is now.

    Parameters
    ----------
    rows : of the model's ``split.csv``
    sample_rate : of the model, Hz
    """
    used = [row for row in rows if row.split in ("train", "validation", "test") and row.gain]
    clips = {r.digest for r in used if r.split != "test" and (r.start_s, r.end_s) == (0, None)}
    # One cut of each is enough. Held-out cuts of any split say that the rest was trained on.
    cuts = {row.path: row for row in used if row.label == SILENCE and row.end_s is not None}
    for path in paths:
        own = [row for name, row in cuts.items() if PurePath(name).name == path.name]
        others = cuts.values() if len(cuts) <= _N_COMPARED else ()
        with suppress(AudioError):  # who reads it for good says what is wrong with it
            if _is_clip(path, clips, sample_rate) or any(
                _has_cut(path, row, sample_rate) for row in (*own, *others)
            ):
                yield path


def _is_clip(path: Path, digests: Collection[str], sample_rate: int) -> bool:
    """Whether a recording is a clip of a training as a whole."""
    with open_recording(path, sample_rate) as recording:
        duration_s = recording.duration_s
    if duration_s is None or duration_s > _LONGEST_CLIP_S:
        return False
    return read_example(Example(path, SILENCE), sample_rate).digest in digests


def _has_cut(path: Path, row: SplitRow, sample_rate: int) -> bool:
    """Whether a recording has the sound of a cut in its place; digital silence says nothing."""
    cut = Example(path, SILENCE, None, None, row.start_s, row.end_s, row.gain)
    try:
        clip = read_example(cut, sample_rate)
    except AudioError:  # it is shorter
        return False
    return clip.digest == row.digest and bool(clip.pcm.any())
