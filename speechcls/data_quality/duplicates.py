"""Clips that are the same sound: with equal samples, or at another level or in another format."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from speechcls.audio.samples import Samples
from speechcls.data.clips import read_example
from speechcls.data.copies import SoundGroups
from speechcls.data.fingerprint import Fingerprint, correlation, is_one_sound, similar_pairs
from speechcls.data_quality.findings import Finding
from speechcls.errors import AudioError
from speechcls.layouts.examples import SPLITS, Dataset, Example


class Sound(NamedTuple):
    """What identifies copies of a clip."""

    digest: str
    """A hash of its samples."""
    fingerprint: Fingerprint


def find_copies(
    dataset: Dataset,
    sounds: Mapping[int, Sound],
    sample_rate: int,
    splits: Mapping[int, str],
    bad: set[int],
) -> list[Finding]:
    """Return the clips that are copies of another one, which is kept.

    Of clips under two labels all are returned, since any label may be the wrong one.

    Parameters
    ----------
    sounds : of each clip with audible sound, by its index
    sample_rate : Hz at which clips are compared
    splits : the split of each clip, by index, as far as it is known
    bad : clips that are not kept if their copy is good
    """
    examples = dataset.examples
    findings = []
    for group in _group(examples, sounds, sample_rate):
        if len({examples[i].label for i in group}) > 1:
            for i in group:
                other = next(j for j in group if examples[j].label != examples[i].label)
                detail = _describe(dataset, sounds, i, other, sample_rate)
                findings.append(Finding(i, "two-labels", 1.0, detail, other))
            continue
        rank = {name: place for place, name in enumerate(SPLITS)}
        kept = max(group, key=lambda i: (i not in bad, rank.get(splits.get(i, ""), -1), -i))
        for i in group:
            if i != kept:
                # A copy that training leaves out is no leak, unless the data has it in a split.
                given = {examples[i].split, examples[kept].split}
                assigned = {splits.get(i), splits.get(kept)}
                is_leak = any(len(of) == 2 and of <= set(SPLITS) for of in (given, assigned))
                kind = "leak" if is_leak else "copy"
                detail = _describe(dataset, sounds, i, kept, sample_rate)
                findings.append(Finding(i, kind, 1.0, detail, kept))
    return findings


def _group(
    examples: list[Example], sounds: Mapping[int, Sound], sample_rate: int
) -> list[list[int]]:
    """Return the clips that are the same sound, in groups of two or more."""
    groups = SoundGroups(sounds)
    first_with: dict[str, int] = {}
    for i, sound in sounds.items():
        groups.join(first_with.setdefault(sound.digest, i), i)
    # One of each digest is enough: a clip copied a hundred times would crowd out other copies.
    clips = list(first_with.values())
    if clips:
        for pair in similar_pairs(np.stack([sounds[i].fingerprint for i in clips])):
            a, b = clips[pair.first], clips[pair.second]
            if groups.find(a) == groups.find(b):
                continue
            is_same_label = examples[a].label == examples[b].label
            clips_there = _read_two(examples, a, b, sample_rate)
            if clips_there and is_one_sound(*clips_there, sample_rate, is_same_label):
                groups.join(a, b)
    return groups.of_several()


def _read_two(
    examples: list[Example], a: int, b: int, sample_rate: int
) -> tuple[Samples, Samples] | None:
    """Return the samples of two clips; None if one has gone."""
    try:
        first, second = (read_example(examples[i], sample_rate).samples for i in (a, b))
    except AudioError:
        return None
    return first, second


def _describe(
    dataset: Dataset, sounds: Mapping[int, Sound], clip: int, other: int, sample_rate: int
) -> str:
    example = dataset.examples[other]
    name = dataset.relative_name(example.path)
    if example.start_s or example.end_s is not None:
        name += f" from {example.start_s:g} s"
    if sounds[clip].digest == sounds[other].digest:
        return f"identical to {name}"
    sound = _read_two(dataset.examples, other, clip, sample_rate)
    likeness, gain_db = correlation(*sound, sample_rate) if sound else (0.0, 0.0)
    return f"same sound as {name}, {gain_db:+.1f} dB, correlation {likeness:.3f}"
