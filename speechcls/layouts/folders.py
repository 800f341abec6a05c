"""What folders mean: which level names the label, and which the split, the speaker or nothing.

Levels are peeled off from the top: a folder that holds everything means nothing, folders called
``train`` or ``test`` are splits, and of two levels that form a grid one is the speaker. What is not
clear is asked back, with the readings and the pattern that chooses each.
"""

import re
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from speechcls.errors import DatasetError
from speechcls.labels import speaker_of
from speechcls.layouts.examples import (
    Dataset,
    Example,
    describe_others,
    find_recordings,
    may_hold_clips,
)
from speechcls.layouts.names import (
    COMMON_WORDS,
    SplitName,
    clean_label,
    is_of_data,
    read_split_names,
    split_of_name,
)

NOT_IN_A_FOLDER = (
    "not in a label folder; put the clips into one sub-folder per word (data/yes/1.wav), or say"
    " what flat file names mean with a pattern as {label}_{speaker}_{take}, or name a manifest with"
    " columns path,label"
)
_GRID_RATIO = 0.5
"""Fraction of the sub-folders whose names recur, from which two levels are a grid."""
_IDENTIFIER = re.compile(
    r"(?!(?:class|cmd|command|word|label|kw|keyword|category|intent)[\W_]*\d)"
    r"(?:[a-z]{0,12}[\W_]*\d+|(?=.*\d)[0-9a-f]{6,})",
    re.IGNORECASE,
)
"""Names as ``spk03``, ``speaker 1``, ``s-12``, ``0a7c2a8d``; not as ``class 1``."""
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


def is_in_no_folder(problem: str) -> bool:
    """Whether all that is wrong with a recording is that it lies in no label folder."""
    return problem.endswith(NOT_IN_A_FOLDER)


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
    n_named = len(result.examples)
    label_level, speaker_level = _find_levels(root, labelled, result.notes)
    for clip in labelled:
        speaker = speaker_of(clip.path.name)
        if len(clip.folders) <= label_level:
            result.problems.append(f"{clip.path}: {NOT_IN_A_FOLDER}")
            continue
        if speaker is None and speaker_level is not None and speaker_level < len(clip.folders):
            speaker = clean_label(clip.folders[speaker_level])
        label = clean_label(clip.folders[label_level])
        speaker = speaker and sys.intern(speaker)  # kept once, not with each clip
        result.examples.append(Example(clip.path, label, speaker, clip.split))
    result.notes += _note_twins(clip.folders[label_level] for clip in labelled)
    if n_named:  # those by their names stand before those by their folders
        order = {clip.path: place for place, clip in enumerate(clips)}
        result.examples.sort(key=lambda example: order[example.path])
    return result


def name_empty_folders(dataset: Dataset, used: list[tuple[str, ...]], notes: list[str]) -> None:
    """Name each folder that holds no recording: a label whose clips are missing, or none at all.

    Where folders mean other things than labels, or hold files of other kinds, it is a warning.
    """
    above = {folders[:n] for folders in set(used) for n in range(len(folders) + 1)}
    labels = {clean_label(folders[0]) for folders in above if folders}
    for folders in sorted(above | {()}):
        if len(folders) > 2:
            continue
        for path in sorted(Path(dataset.root, *folders).iterdir()):
            is_used = (*folders, path.name) in above or not path.is_dir() or path.is_symlink()
            if is_used or not may_hold_clips(path.name):
                continue
            label, others = clean_label(path.name), list[Path]()
            list(find_recordings(path, lambda problem: None, on_other=others.append))
            if folders or notes or describe_others(path, others):
                dataset.warnings.append(f"{path}: a folder without a recording, left out")
            elif label not in labels:
                dataset.empty_labels.append(label)


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
    return name.casefold() in _FOLDERS_OF_SOUND or any(len(clip.folders) > 1 for clip in clips)


_FOLDERS_OF_SOUND = {"audio", "clips", "wav", "wavs", "recordings", "data", "files"}
"""Names of folders that hold the recordings of a split, whatever these are labelled by."""


def _peel_split(root: Path, clips: list[Clip], notes: list[str]) -> list[Clip]:
    """Return the clips with the split that levels of folders name."""
    for level in range(max((len(clip.folders) for clip in clips), default=0)):
        if level == 0 and any(not clip.folders for clip in clips):
            continue  # beside loose files
        names = {clip.folders[level] for clip in clips if len(clip.folders) > level}
        if found := read_split_names(names):
            verb = (
                " is taken for the split, not for a label| are taken for the split, not for labels"
            )
            if any(each.rest for each in found.values()):
                verb = "| name split and label"
            notes.append(f"{root}: {_listed(names, verb)}")
            peeled = [_without(clip, level, found) for clip in clips]
            # An archive in an archive has its split twice.
            return _peel_split(root, peeled, []) if _has_split_again(peeled) else peeled
    return _peel_split_beside_labels(root, clips, notes)


def _has_split_again(clips: Sequence[Clip]) -> bool:
    """Return whether the outermost folder of each clip names its split once more."""
    return all(clip.folders and split_of_name(clip.folders[0]) == clip.split for clip in clips)


def _without(clip: Clip, level: int, found: Mapping[str, SplitName]) -> Clip:
    """Return a clip whose folder at a level is its split, or its split and label."""
    if len(clip.folders) <= level:
        return clip
    name = found[clip.folders[level]]
    rest = (name.rest,) if name.rest else ()
    folders = (*clip.folders[:level], *rest, *clip.folders[level + 1 :])
    return replace(clip, folders=folders, split=name.split)


def _peel_split_beside_labels(root: Path, clips: list[Clip], notes: list[str]) -> list[Clip]:
    """Return the clips split where a folder as ``test`` beside labels holds the same labels."""
    inner = defaultdict[str, set[str]](set)
    for clip in clips:
        if clip.folders:
            inner[clip.folders[0]] |= {*clip.folders[1:2]}
    found = {
        name: SplitName(split, "") for name in inner if (split := split_of_name(name)) is not None
    }
    splits = set(found)
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
            _without(clip, 0, found) if clip.folders and clip.folders[0] in splits
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
    depths = sorted((len(clip.folders) for clip in clips), reverse=True)
    n_levels = depths[(len(depths) - 1) // 2] if depths else 0  # that half of the clips have
    names = [{c.folders[i] for c in clips if len(c.folders) > i} for i in range(n_levels)]
    several = [i for i in range(n_levels) if len(names[i]) > 1]
    if len(several) < 2:
        is_one_word = bool(names) and {name.casefold() for name in names[0]} <= COMMON_WORDS
        level = several[0] if several and not is_one_word else 0
        _refuse_speakers(root, clips, names[level] if names else set())
        return level, None
    evidence = {level: _label_evidence(names[level], clips, level) for level in several}
    best = max(evidence.values())
    candidates = [level for level in several if evidence[level] == best]
    if len(candidates) > 1:
        raise DatasetError(_two_readings(root, clips, *candidates[:2]), field="pattern")
    [level] = candidates
    speakers = [each for each in several if each != level and _recurs(clips, each, level)]
    if not speakers:
        notes.append(f"{root}: {_listed(names[level])} taken for labels, not the other folders")
        return level, None
    speaker = min(speakers, key=lambda each: (evidence[each], -len(names[each])))
    labels = _listed(names[level], "")
    notes.append(f"{root}: {_listed(names[speaker])} taken for speakers, {labels} for labels")
    return level, speaker


def _two_readings(root: Path, clips: Sequence[Clip], first: int, second: int) -> str:
    """Return the question which of two levels names the label, with the pattern for each."""
    example = min(clips, key=lambda clip: (-len(clip.folders), clip.folders)).folders
    patterns = []
    for label, speaker in ((first, second), (second, first)):
        roles = {label: "{label}", speaker: "{speaker}"}
        patterns.append("/".join([*(roles.get(i, "{_}") for i in range(len(example))), "{_}"]))
    return (
        f"{root}: folders as {'/'.join(example)}/ have two readings: give the pattern"
        f" {patterns[0]} if {example[first]} is the word that is said, or {patterns[1]} if it is"
        f" {example[second]}"
    )


def _recurs(clips: Sequence[Clip], level: int, label_level: int) -> bool:
    """Return whether most names at a level recur under several labels, and most labels there."""
    pairs = {
        (clip.folders[level], clip.folders[label_level])
        for clip in clips
        if len(clip.folders) > max(level, label_level)
    }
    for side in zip(*pairs, strict=True):
        counts = Counter(side)
        if sum(n > 1 for n in counts.values()) < _GRID_RATIO * len(counts):
            return False
    return not all(is_of_data(name) for name, _ in pairs)


def _refuse_speakers(root: Path, clips: Sequence[Clip], names: set[str]) -> None:
    """Ask back where the only folders are speakers by their names, or folds."""
    stems = [clip.path.stem for clip in clips if not speaker_of(clip.path.name)]
    have_fields = sum(bool(re.search(r"\w[_.\- ]+\w", stem)) for stem in stems) >= _MOST * len(
        clips
    )
    are_numbers = all(len(name) > 1 and name.isdecimal() for name in names) and have_fields
    if len(names) < 2 or not stems or not (all(map(_SPEAKER.fullmatch, names)) or are_numbers):
        return
    raise DatasetError(
        f"{root}: folders as {min(names)} look like speakers, not words: give the pattern"
        f" {{label}}/{{_}} if they are labels, or say where names as {clips[0].path.name} have the"
        " label, as {speaker}/{_}_{label}_{_}",
        field="pattern",
    )


_SPEAKER = re.compile(
    r"(speaker|spkr?|actor|user|subj(ect)?|person|participant|client|session|fold)[\W_]*\d+",
    re.IGNORECASE,
)
"""Names that are those of speakers, or of folds, whatever else there is."""


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
