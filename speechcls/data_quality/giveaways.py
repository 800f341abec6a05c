"""What the recordings of a label have in common besides the word: a network learns that instead."""

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile

_FEWEST = 8
"""Clips of a label from which something about it is said."""
_PURE, _COMMON = 0.9, 0.5
"""A trait gives a label away where so much of the clips with it are of that label, and so much of
the label's clips have it."""
_APART = 0.95
"""Probability that a clip of a label is louder than one of the others, from which it tells them
apart."""
_LEAST_DB = 6.0


class FileTraits(NamedTuple):
    """How a recording was made, as far as the file tells."""

    codec: str
    """As ``WAV PCM_16``; of what libsndfile does not know the ending."""
    device: str
    """Program or device that wrote it; empty where it does not say."""


def file_traits(path: Path) -> FileTraits:
    """Return how a recording was made, as far as its header tells."""
    try:
        with path.open("rb") as file, soundfile.SoundFile(file.fileno(), closefd=False) as sound:
            about = sound.copy_metadata()
            return FileTraits(f"{sound.format} {sound.subtype}", about.get("software", ""))
    except (OSError, ValueError, soundfile.SoundFileError):
        return FileTraits(path.suffix.lower().removeprefix("."), "")


def find_giveaways(
    labels: Sequence[str], traits: Mapping[str, Sequence[Hashable]], levels_db: Sequence[float]
) -> list[str]:
    """Return a line for each trait of the recordings that tells labels apart without the word.

    Parameters
    ----------
    labels : (n_clips,)
    traits : what each is called, and (n_clips,) its values
    levels_db : (n_clips,) of the loudest frame
    """
    notes = []
    for name, values in traits.items():
        if found := _labels_given_away(labels, values):
            notes.append(f"{name} gives labels away: {_listed(found)}; record all labels alike")
    if found := _levels_apart(labels, levels_db):
        notes.append(f"the level gives labels away: {_listed(found)}; record all labels alike")
    return notes


def _labels_given_away(labels: Sequence[str], values: Sequence[Hashable]) -> dict[str, str]:
    """Return the labels that one value of a trait stands for, and that value."""
    of_value, of_label = Counter(values), Counter(labels)
    if len(of_value) < 2 or len(of_label) < 2:
        return {}
    return {
        label: str(value) or "none"
        for (label, value), n in sorted(Counter(zip(labels, values, strict=True)).items(), key=str)
        if n >= _PURE * of_value[value] and n >= max(_FEWEST, _COMMON * of_label[label])
    }


def _levels_apart(labels: Sequence[str], levels_db: Sequence[float]) -> dict[str, str]:
    """Return the labels whose clips are nearly all louder, or fainter, than the others."""
    names, levels = np.array(labels), np.array(levels_db)
    ranks = np.empty(len(levels))
    ranks[np.argsort(levels, kind="stable")] = np.arange(len(levels))
    found = {}
    for label in sorted(set(labels)):
        own = names == label
        n_own, n_others = int(own.sum()), int((~own).sum())
        if min(n_own, n_others) < _FEWEST:
            continue
        louder = (ranks[own].sum() - n_own * (n_own - 1) / 2) / (n_own * n_others)
        difference = float(np.median(levels[own]) - np.median(levels[~own]))
        if max(louder, 1 - louder) >= _APART and abs(difference) >= _LEAST_DB:
            found[label] = f"{difference:+.0f} dB"
    return found


def _listed(found: Mapping[str, str], n_shown: int = 5) -> str:
    """Return labels with their values, the first few and how many more."""
    texts = [f"{label} {value}" for label, value in found.items()]
    return ", ".join(texts[:n_shown]) + (
        f" and {len(texts) - n_shown} more" if texts[n_shown:] else ""
    )
