"""What folders mean: which level names the label, and which the split, the speaker or nothing.

Levels are peeled off from the top: a folder that holds everything means nothing, folders called
``train`` or ``test`` are splits, and of two levels that form a grid one is the speaker. What is not
clear is asked back, with the readings and the pattern that chooses each.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from speechcls.errors import DatasetError
from speechcls.labels import speaker_of
from speechcls.layouts.examples import Example
from speechcls.layouts.names import COMMON_WORDS, clean_label, split_of_name

NOT_IN_A_FOLDER = (
    "not in a label folder; put the clips into one sub-folder per word (data/yes/1.wav), or say"
    " what flat file names mean with a pattern as {label}_{speaker}_{take}, or name a manifest with"
    " columns path,label"
)
_GRID_RATIO = 0.5
"""Fraction of the sub-folders whose names recur, from which two levels are a grid."""
_IDENTIFIER = re.compile(r"[a-z]{0,12}[\W_]*\d+|(?=.*\d)[0-9a-f]{6,}", re.IGNORECASE)
"""Names as ``spk03``, ``speaker 1``, ``s-12``, ``0a7c2a8d``."""
_MOST = 0.8


@dataclass(frozen=True)
class Clip:
    """A recording, and what its folders have said so far."""

    path: Path
    folders: tuple[str, ...]
    """Those below the root whose meaning is still open, outermost first."""
    split: str | None = None


@dataclass
class Described:
    """What the folders of a data set say."""

    examples: list[Example] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def describe_folders(root: Path, clips: list[Clip]) -> Described:
    """Return label, split and speaker of each clip, as its folders name them.

    Parameters
    ----------
    root : what messages call the data set
    clips : in order, with all their folders below the root

    Raises
    ------
    DatasetError
        When there are two readings, naming both.
    """
    result = Described()
    clips = _peel_wrapper(clips)
    clips = _peel_split(root, clips, result.notes)
    clips = _peel_wrapper(clips)
    labelled = [clip for clip in clips if clip.folders]
    if any(clip.split for clip in clips):
        flat = [clip for clip in clips if not clip.folders]
        if not labelled or (flat and _labels_in_names(flat)):
            result.examples += _describe_names(root, flat, result.notes)
        elif flat and _are_apart(flat, labelled):
            result.notes.append(_note_unlabelled(root, flat))
        else:
            result.problems += [f"{clip.path}: {NOT_IN_A_FOLDER}" for clip in flat]
    else:
        result.problems += [f"{c.path}: {NOT_IN_A_FOLDER}" for c in clips if not c.folders]
    label_level, speaker_level = _find_levels(root, labelled, result.notes)
    for clip in labelled:
        speaker = speaker_of(clip.path.name)
        if len(clip.folders) <= label_level:
            result.problems.append(f"{clip.path}: {NOT_IN_A_FOLDER}")
            continue
        if speaker is None and speaker_level is not None and speaker_level < len(clip.folders):
            speaker = clean_label(clip.folders[speaker_level])
        label = clean_label(clip.folders[label_level])
        result.examples.append(Example(clip.path, label, speaker, clip.split))
    result.notes += _note_twins(clip.folders[label_level] for clip in labelled)
    order = {clip.path: place for place, clip in enumerate(clips)}
    result.examples.sort(key=lambda example: order[example.path])
    return result


def _peel_wrapper(clips: list[Clip]) -> list[Clip]:
    """Return the clips without outer folders that hold all of them, or all of a split."""
    while _is_wrapped(clips):
        clips = [replace(clip, folders=clip.folders[1:]) for clip in clips]
    for split in dict.fromkeys(clip.split for clip in clips if clip.split):
        outer = {clip.folders[:1] for clip in clips if clip.split == split}
        if len(outer) == 1 and {name.casefold() for name in next(iter(outer))} & _FOLDERS_OF_SOUND:
            clips = [
                replace(clip, folders=clip.folders[1:]) if clip.split == split else clip
                for clip in clips
            ]
    return clips


def _is_wrapped(clips: Sequence[Clip]) -> bool:
    """Return whether one folder holds all clips and is neither a label nor a split."""
    outer = {clip.folders[0] if clip.folders else "" for clip in clips}
    [name] = outer if len(outer) == 1 else [""]
    if not name or name.casefold() in COMMON_WORDS or split_of_name(name):
        return False
    return len({clip.folders[1] for clip in clips if len(clip.folders) > 1}) > 1


_FOLDERS_OF_SOUND = {"audio", "clips", "wav", "wavs", "recordings", "data", "files"}
"""Names of folders that hold the recordings of a split, whatever these are labelled by."""


def _peel_split(root: Path, clips: list[Clip], notes: list[str]) -> list[Clip]:
    """Return the clips with the split that a level of folders names."""
    depth = max((len(clip.folders) for clip in clips), default=0)
    for level in range(depth):
        names = {clip.folders[level] for clip in clips if len(clip.folders) > level}
        if all(map(split_of_name, names)):
            if level == 0 and any(not clip.folders for clip in clips):
                continue  # beside loose files
            notes.append(f"{root}: {_listed(names)} taken for the split, not for labels")
            return [_without(clip, level) for clip in clips]
    return _peel_split_beside_labels(root, clips, notes)


def _without(clip: Clip, level: int) -> Clip:
    """Return a clip whose folder at a level is its split."""
    if len(clip.folders) <= level:
        return clip
    folders = (*clip.folders[:level], *clip.folders[level + 1 :])
    return replace(clip, folders=folders, split=split_of_name(clip.folders[level]))


def _peel_split_beside_labels(root: Path, clips: list[Clip], notes: list[str]) -> list[Clip]:
    """Return the clips split where a folder as ``test`` beside labels holds the same labels."""
    inner = defaultdict[str, set[str]](set)
    for clip in clips:
        if clip.folders:
            inner[clip.folders[0]] |= {*clip.folders[1:2]}
    splits = {name for name in inner if split_of_name(name)}
    labels = {clean_label(name) for name in inner if name not in splits}
    for name in sorted(splits):
        below = {clean_label(each) for each in inner[name]}
        if not below or len(below & labels) < _GRID_RATIO * len(below):
            raise DatasetError(
                f"{root / name}: a word or a split? If its clips say the word {name}, give the"
                " pattern {label}/{_}; if it is a split, put its clips into folders of the labels"
                f" ({name}/{min(labels, default='yes')}/...) or, with the label in the file names,"
                " give the pattern {split}/{label}_{_}; to leave it out, move it elsewhere",
                field="pattern",
            )
    if splits:
        notes.append(
            f"{root}: {_listed(splits)} taken for the split, since the same labels are in"
            f" {'it' if len(splits) == 1 else 'them'}; what is beside"
            f" {'it' if len(splits) == 1 else 'them'} is for training"
        )
        return [
            _without(clip, 0) if clip.folders and clip.folders[0] in splits
            else replace(clip, split="train")
            for clip in clips
        ]  # fmt: skip
    return clips


def _are_apart(flat: Sequence[Clip], labelled: Sequence[Clip]) -> bool:
    """Return whether the clips without label folder are all of splits that have none."""
    return not {clip.split for clip in flat} & {clip.split for clip in labelled}


def _note_unlabelled(root: Path, flat: Sequence[Clip]) -> str:
    folder = flat[0].path.parent
    return (
        f"{folder}: {len(flat)} recordings without a label folder, left out ({flat[0].path.name}"
        " first)"
    )


def _labels_in_names(flat: Sequence[Clip]) -> list[str] | None:
    """Return the label before the first dot of each name, where names are as ``yes.3a7b.wav``."""
    fields = [clip.path.stem.split(".") for clip in flat]
    labels = [clean_label(each[0]) for each in fields]
    is_clear = all(len(each) > 1 for each in fields) and 2 * len(set(labels)) <= len(labels)
    return labels if is_clear and all(labels) else None


def _describe_names(root: Path, flat: Sequence[Clip], notes: list[str]) -> list[Example]:
    """Return the clips of split folders without label folders, labelled by their names."""
    labels = _labels_in_names(flat)
    if labels is None:
        raise DatasetError(
            f"{root}: no label folders in {_listed({c.path.parent.name for c in flat}, '')}; say"
            f" what names as {flat[0].path.name} mean, with a pattern as {{split}}/{{label}}_{{_}},"
            " or name a manifest with columns path,label",
            field="pattern",
        )
    notes.append(f"{root}: the label is taken from file names, up to the first dot")
    return [
        Example(clip.path, label, speaker_of(clip.path.name), clip.split)
        for clip, label in zip(flat, labels, strict=True)
    ]


def _find_levels(root: Path, clips: Sequence[Clip], notes: list[str]) -> tuple[int, int | None]:
    """Return the level of folders that names the label, and the one that names the speaker."""
    below = defaultdict(set)
    for clip in clips:
        if len(clip.folders) > 1:
            below[clip.folders[0]].add(clip.folders[1])
    counts = Counter(name for names in below.values() for name in names)
    shared = {name for name, n in counts.items() if n > 1}
    outer = {clip.folders[0] for clip in clips}
    is_grid = (
        len(counts) > 1
        and len(below) > _GRID_RATIO * len(outer)
        and len(shared) >= _GRID_RATIO * len(counts)
    )
    if not is_grid:
        return 0, None
    inner = set(counts)
    evidence = _label_evidence(outer, clips, 0) - _label_evidence(inner, clips, 1)
    if not evidence:
        first, second = min(outer), min(inner)
        raise DatasetError(
            f"{root}: folders as {first}/{second}/ have two readings: give the pattern"
            f" {{label}}/{{speaker}}/{{_}} if {first} is the word that is said, or"
            f" {{speaker}}/{{label}}/{{_}} if it is {second}",
            field="pattern",
        )
    level = 0 if evidence > 0 else 1
    labels, speakers = (outer, inner) if level == 0 else (inner, outer)
    names = _listed(labels, "")
    notes.append(f"{root}: {_listed(speakers)} taken for speakers, {names} for labels")
    return level, 1 - level


def _label_evidence(names: set[str], clips: Sequence[Clip], level: int) -> int:
    """Return how much speaks for names being labels, and not speakers: -1, 0, 1 or more."""
    words = {name.casefold() for name in names}
    is_digits = all(len(word) == 1 and word.isdecimal() for word in words)
    is_words = len(words & COMMON_WORDS) >= _GRID_RATIO * len(words) or is_digits
    n_identifiers = sum(map(looks_like_identifier, names))
    is_identifiers = n_identifiers >= _MOST * len(names) and not is_digits
    in_splits = defaultdict(set)
    for clip in clips:
        if clip.split and len(clip.folders) > level:
            in_splits[clip.split].add(clip.folders[level])
    sets = list(in_splits.values())
    is_apart = len(sets) > 1 and sum(map(len, sets)) == len(set().union(*sets))
    return is_words - is_identifiers - is_apart


def looks_like_identifier(name: str) -> bool:
    """Return whether a folder's name is that of a speaker, a session or a fold, not of a word."""
    return bool(_IDENTIFIER.fullmatch(name)) and not (len(name) == 1 and name.isdecimal())


def _note_twins(names: Iterable[str]) -> list[str]:
    """Return a line for each label that several folders name, in other Unicode or with blanks."""
    spelt = defaultdict(set)
    for name in names:
        spelt[clean_label(name)].add(name)
    return [
        f"{label}: {len(ways)} folders, whose names differ only in Unicode form or blanks at the"
        " ends, are one label"
        for label, ways in spelt.items()
        if len(ways) > 1
    ]


def _listed(names: Iterable[str], verb: str = " is| are") -> str:
    """Return up to three names and how many more, with the verb for one or several."""
    ordered = sorted(names)
    shown, n_more = ordered[:3], len(ordered) - 3
    one, _, several = verb.partition("|")
    if n_more > 0:
        shown.append(f"{n_more} more")
    text = ", ".join(shown[:-1]) + " and " + shown[-1] if len(shown) > 1 else shown[0]
    return text + (several if len(ordered) > 1 else one)
