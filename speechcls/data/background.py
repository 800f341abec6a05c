"""Held-out ``_silence_`` clips, cut from background noise that no training uses."""

import math
import random
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TypeVar

from speechcls.errors import AudioError
from speechcls.labels import SILENCE
from speechcls.layouts.examples import Example

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
