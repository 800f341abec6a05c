"""Clips that are the same sound: with equal samples, or at another level or in another format."""

from collections import defaultdict
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from speechcls.data.clips import read_example
from speechcls.data.fingerprint import (
    SAME_SOUND,
    SAME_WORD,
    Fingerprint,
    correlation,
    similar_pairs,
)
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
    parent = {i: i for i in sounds}  # disjoint sets: another clip of the same sound, or itself

    def find(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    first_with: dict[str, int] = {}
    for i, sound in sounds.items():
        parent[i] = first_with.setdefault(sound.digest, i)
    # One of each digest is enough: a clip copied a hundred times would crowd out other copies.
    clips = list(first_with.values())
    if clips:
        prints = np.stack([sounds[i].fingerprint for i in clips])
        for pair in similar_pairs(prints):
            a, b = clips[pair.first], clips[pair.second]
            if find(a) == find(b):
                continue
            limit = SAME_SOUND if examples[a].label == examples[b].label else SAME_WORD
            if _correlate(examples, a, b, sample_rate)[0] >= limit:
                parent[max(find(a), find(b))] = min(find(a), find(b))
    groups = defaultdict(list)
    for i in sounds:
        groups[find(i)].append(i)
    return [group for group in groups.values() if len(group) > 1]


def _correlate(examples: list[Example], a: int, b: int, sample_rate: int) -> tuple[float, float]:
    """Return correlation and gain, dB, from clip ``a`` to clip ``b``; 0 if one has gone."""
    try:
        first, second = (read_example(examples[i], sample_rate).samples for i in (a, b))
    except AudioError:
        return 0.0, 0.0
    return correlation(first, second, sample_rate)


def _describe(
    dataset: Dataset, sounds: Mapping[int, Sound], clip: int, other: int, sample_rate: int
) -> str:
    example = dataset.examples[other]
    name = dataset.relative_name(example.path)
    if example.start_s or example.end_s is not None:
        name += f" from {example.start_s:g} s"
    if sounds[clip].digest == sounds[other].digest:
        return f"identical to {name}"
    likeness, gain_db = _correlate(dataset.examples, other, clip, sample_rate)
    return f"same sound as {name}, {gain_db:+.1f} dB, correlation {likeness:.3f}"
