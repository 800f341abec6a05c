"""Deterministic splits into training, validation and test, by a hash of the speaker."""

import hashlib
import itertools
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from speechcls.artifact.format import SplitRow
from speechcls.errors import DatasetError
from speechcls.labels import list_names
from speechcls.layouts.examples import SPLITS, Example
from speechcls.text import counted

UNUSED = "unused"
"""The split of a clip that is left out, because the same sound is in another split."""

_VALIDATION_BELOW, _TEST_BELOW = 10.0, 20.0  # per cent, as in Speech Commands


@dataclass
class Splits:
    """The split of every clip, and warnings about how it was made."""

    names: list[str]
    """``train``, ``validation``, ``test`` or ``unused``, one for each clip."""
    warnings: list[str] = field(default_factory=list)


def split_of_digests(rows: Iterable[SplitRow]) -> dict[str, str]:
    """Return the split of each clip of a model's training, by the digest of its samples.

    A clip that was not used is a copy of a held-out one, whose split counts.
    """
    ordered = sorted(rows, key=lambda row: row.split != UNUSED)
    return {row.digest: row.split for row in ordered}


def trained_speakers(rows: Iterable[SplitRow]) -> set[str]:
    """Return the speakers of the clips that a model was trained on, as far as they are known."""
    return {row.speaker for row in rows if row.split == "train"} - {""}


def hash_percentage(key: str) -> float:
    """Return where ``key`` falls in [0, 100], by the official rule of Speech Commands.

    Source
    ------
    Warden 2018, ``which_set``: SHA-1 of the speaker, modulo 2**27.
    """
    digest = int(hashlib.sha1(key.encode("utf-8", "surrogateescape")).hexdigest(), 16)
    return (digest % 2**27) * (100.0 / (2**27 - 1))


def assign_splits(
    examples: Sequence[Example],
    labels: Sequence[str],
    digests: Sequence[str],
    test_speakers: Sequence[str] = (),
) -> Splits:
    """Return the split of each clip.

    ``test_speakers`` come first, then what the data says (official lists, a manifest's column),
    which a speaker's other clips follow; all others are assigned by the hash of the speaker, so
    that a clip added later moves no other clip. Clips without a speaker are assigned by the hash of
    their samples. A label without training clips then gets back what the hash alone holds out: of
    a label's few clips the first one trains, the second one validates.

    Reviewed events change none of this: they train, unless the same sound is held out.

    Parameters
    ----------
    labels : the model's label of each clip
    digests : a hash of each clip's sound; equal sounds never end up in two splits

    Raises
    ------
    DatasetError
        When a test speaker is unknown, all clips of a label are held out by the data, or there are
        too few clips to validate with.
    """
    own = [i for i, example in enumerate(examples) if not example.is_reviewed]
    found = _assign_own(
        [examples[i] for i in own],
        [labels[i] for i in own],
        [digests[i] for i in own],
        test_speakers,
    )
    names = ["train"] * len(examples)
    for i, name in zip(own, found.names, strict=True):
        names[i] = name
    held_out = {digests[i] for i in own if names[i] in ("validation", "test")}
    copies = [i for i, e in enumerate(examples) if e.is_reviewed and digests[i] in held_out]
    for i in copies:
        names[i] = UNUSED
    if copies:
        found.warnings.append(
            f"{len(copies)} reviewed events are left out: the same sound is in a held-out split"
        )
    return Splits(names, found.warnings)


def _assign_own(
    examples: Sequence[Example],
    labels: Sequence[str],
    digests: Sequence[str],
    test_speakers: Sequence[str],
) -> Splits:
    """Return the split of each clip of the data set itself."""
    speakers = {example.speaker for example in examples if example.speaker}
    if unknown := sorted(set(test_speakers) - speakers):
        known = f"{len(speakers)} speakers, {', '.join(sorted(speakers)[:10])}".rstrip(", ")
        raise DatasetError(
            f"{', '.join(unknown)}: not in the data; it has {known}", field="test_speakers"
        )
    splits = Splits([example.split or "" for example in examples])
    given = {example.speaker: example.split or "" for example in examples if example.split}
    for i, example in enumerate(examples):
        if example.speaker in test_speakers:
            splits.names[i] = "test"
        elif example.speaker and not example.split:
            splits.names[i] = given.get(example.speaker, "")
    is_given = any(example.split for example in examples)
    assigner = _SplitAssigner(splits, examples, labels, digests)
    assigner.assign("", ["validation"] if test_speakers else ["validation", "test"])
    if "validation" not in splits.names:  # the data names a test split and no validation split
        assigner.assign("train", ["validation"])
    assigner.fill_training()
    _check_training(splits, examples, labels, test_speakers)
    _drop_copies(splits, labels, digests)
    assigner.fill_validation()
    _check_held_out(splits, labels, is_given)
    return splits


@dataclass
class _SplitAssigner:
    """Assigns whole speakers to splits, or single clips where there are too few speakers."""

    splits: Splits
    """At first with what data or user say, and empty names for the other clips."""
    examples: Sequence[Example]
    labels: Sequence[str]
    digests: Sequence[str]

    def __post_init__(self) -> None:
        self._given = list(self.splits.names)
        self._keys = list(self.digests)
        """Clips of one key are assigned together."""

    def assign(self, of: str, held_out: list[str]) -> None:
        """Assign the clips whose split is ``of`` to ``held_out`` and training."""
        chosen = [i for i, name in enumerate(self.splits.names) if name == of]
        speakers = {self.examples[i].speaker for i in chosen} - {None}
        if not chosen:
            return
        if len(speakers) > len(held_out):
            if any(self.examples[i].speaker is None for i in chosen):
                self.splits.warnings.append(
                    "some clips name no speaker: those are split clip by clip"
                )
            for i in chosen:
                self._keys[i] = self.examples[i].speaker or self.digests[i]
            self._assign(chosen, held_out)
            return
        known = f"only {len(speakers)}" if speakers else "no"
        warning = (
            f"{known} speaker{'s' if len(speakers) != 1 else ''} known, so the data is split clip"
            " by clip: scores may be optimistically biased, since the same voice trains and tests;"
            " name the speakers with a pattern or a manifest"
        )
        if warning not in self.splits.warnings:
            self.splits.warnings.append(warning)
        of_label = defaultdict(list)
        for i in chosen:
            of_label[self.labels[i]].append(i)
        n_clips = Counter(self.examples[i].path for i in chosen)
        for label in sorted(of_label):
            paths = {self.examples[i].path for i in of_label[label]}
            for i in of_label[label]:
                path = self.examples[i].path
                # Clips cut from one recording are of one voice in one room: they stay together.
                is_taken_apart = n_clips[path] > 1 and len(paths) > len(held_out)
                key = "/".join(Path(path).parts[-2:])
                self._keys[i] = key if is_taken_apart else self.digests[i]
            self._assign(of_label[label], held_out)

    def _assign(self, chosen: list[int], held_out: list[str]) -> None:
        """Assign the clips ``chosen``, those of one key together."""
        order = sorted({self._keys[i] for i in chosen}, key=hash_percentage)
        limits = {"validation": _VALIDATION_BELOW, "test": _TEST_BELOW}
        split_of = {
            key: next((name for name in held_out if hash_percentage(key) < limits[name]), "train")
            for key in order
        }
        # With few keys the hash may leave a split empty: it gets a key of the fullest one.
        for empty in [name for name in (*held_out, "train") if name not in split_of.values()]:
            fullest = max(("train", *held_out), key=[*split_of.values()].count)
            keys_there = [key for key in order if split_of[key] == fullest]
            if len(keys_there) > 1:
                split_of[keys_there[-1 if empty == "train" else 0]] = empty
        for i in chosen:
            self.splits.names[i] = split_of[self._keys[i]]

    def fill_training(self) -> None:
        """Move what the hash holds out to training until each label is there: the fewest clips."""
        labels, names = self.labels, self.splits.names
        missing = set(labels) - {
            label for label, name in zip(labels, names, strict=True) if name == "train"
        }
        units = {
            key: unit
            for key, unit in self._units("validation", "test").items()
            if any(labels[i] in missing for i in unit)
        }

        def cost(key: str) -> tuple[float, int, bool, float]:
            """Rank few clips per label first, among equals those of more labels, and that test."""
            n_labels = len({labels[i] for i in units[key]} & missing)
            n_each = len(units[key]) / n_labels if n_labels else math.inf
            validates = any(names[i] == "validation" for i in units[key])
            return n_each, -n_labels, validates, -hash_percentage(key)

        rescued, speakers = list_names(missing), set()
        while units and missing:
            best = min(units, key=cost)
            for i in units.pop(best):
                names[i] = "train"
                missing.discard(labels[i])
                speakers |= {self.examples[i].speaker or ""} & {best}
        if speakers:
            self.splits.warnings.append(
                f"{list_names(speakers)}: moved to training, where {rescued} had no clip"
            )

    def fill_validation(self) -> None:
        """Give validation what the hash chose for the test, or else what training can spare."""
        names = self.splits.names
        if "validation" not in names:
            for unit in self._units("test").values():
                for i in unit:
                    names[i] = "validation"
        if "validation" not in names:
            self._spare()
        if "validation" not in names and self._keys != self.digests:
            self._keys = list(self.digests)
            self._spare()
            if "validation" in names:
                self.splits.warnings.append(
                    "too few speakers to hold one back: clips of training speakers validate, so"
                    " validation scores are optimistically biased"
                )

    def _spare(self) -> None:
        """Move training clips to validation, for each label some that it can spare."""
        names, training = self.splits.names, self._units("train")
        # A label, or a sound, that is only in one unit must stay there as a whole.
        left = Counter(self.labels[i] for unit in training.values() for i in unit)
        copies = Counter(self.digests[i] for unit in training.values() for i in unit)
        validated = set[str]()
        for key in sorted(training, key=hash_percentage):
            counts = Counter(self.labels[i] for i in training[key])
            sounds = Counter(self.digests[i] for i in training[key])
            is_needed = any(left[label] <= n for label, n in counts.items())
            is_shared = any(copies[digest] > n for digest, n in sounds.items())
            if not (is_needed or is_shared or counts.keys() <= validated):
                left -= counts
                validated |= counts.keys()
                for i in training[key]:
                    names[i] = "validation"

    def _units(self, *of: str) -> dict[str, list[int]]:
        """Return the clips of these splits that neither data nor user put there, by their key."""
        units = defaultdict(list)
        for i, (name, given) in enumerate(zip(self.splits.names, self._given, strict=True)):
            if name in of and (name != given or name == "train"):
                units[self._keys[i]].append(i)
        return units


def _drop_copies(splits: Splits, labels: Sequence[str], digests: Sequence[str]) -> None:
    """Keep copies of one sound in the most held-out split only.

    Where a label would lose its last training clip by that, they stay in training instead.
    """
    copies, names = defaultdict(list), splits.names
    for i, digest in enumerate(digests):
        copies[digest].append(i)
    kept = {d: max((names[i] for i in group), key=SPLITS.index) for d, group in copies.items()}
    trained = Counter(
        label
        for label, name, digest in zip(labels, names, digests, strict=True)
        if name == "train" == kept[digest]
    )
    for label in sorted(set(labels) - trained.keys()):
        dropped = [
            digest
            for digest, group in copies.items()
            if any(labels[i] == label and names[i] == "train" for i in group)
        ]
        if dropped and not trained[label]:
            chosen = min(dropped, key=lambda digest: (len(copies[digest]), digest))
            kept[chosen] = "train"
            trained.update(labels[i] for i in copies[chosen] if names[i] == "train")
    n_held_out = n_training = 0
    for digest, group in copies.items():
        for i in group:
            if names[i] != kept[digest]:
                n_held_out += kept[digest] == "train"
                n_training += kept[digest] != "train"
                names[i] = UNUSED
    for n, place in (
        (n_training, "in a held-out split"),
        (n_held_out, "the only one that trains a label"),
    ):
        if n:
            clips = "1 clip is" if n == 1 else f"{n} clips are"
            splits.warnings.append(f"{clips} left out: the same sound is {place}")
    n_two_labels = sum(len({labels[i] for i in group}) > 1 for group in copies.values())
    if n_two_labels:
        splits.warnings.append(f"{n_two_labels} recordings occur under two labels; one is wrong")


def _check_training(
    splits: Splits, examples: Sequence[Example], labels: Sequence[str], test_speakers: Sequence[str]
) -> None:
    """Refuse a label without training clips, and say what holds all of them out."""
    pairs = list(zip(labels, splits.names, strict=True))
    missing = sorted(set(labels) - {label for label, name in pairs if name == "train"})
    if not missing:
        return
    clips = [i for i, label in enumerate(labels) if label == missing[0]]
    told = [i for i in clips if examples[i].speaker in test_speakers]
    given = defaultdict(list)
    for i in clips:
        if i not in told:
            given[splits.names[i]].append(examples[i].path)
    reasons = [
        f"the data's own split has {len(paths)} in {name} ({paths[0]} first)"
        for name, paths in sorted(given.items())
    ]
    if told:
        speakers = {examples[i].speaker or "" for i in told}
        reasons.append(f"{len(told)} are by test speakers ({list_names(speakers)})")
    raise DatasetError(
        f"label {missing[0]}: none of its {len(clips)} clips is left to train on:"
        f" {', '.join(reasons)}; move some of them to training, or record more",
        field="test_speakers" if len(told) == len(clips) else None,
    )


def _check_held_out(splits: Splits, labels: Sequence[str], is_given: bool) -> None:
    """Refuse data without validation clips; warn of a label without them and of a missing test."""
    if "validation" not in splits.names:
        raise DatasetError(
            f"{counted(len(labels), 'clip')} {'is' if len(labels) == 1 else 'are'} too few to hold"
            " some back for validation; record more:"
            " twenty of each word make a first recogniser"
        )
    if "test" not in splits.names and not is_given:
        splits.warnings.append("too few clips to hold some back for a test: record more")
    pairs = list(zip(labels, splits.names, strict=True))
    missing = set(labels) - {label for label, name in pairs if name == "validation"}
    if missing:
        splits.warnings.append(f"no validation clip of {list_names(missing)}: record more of it")


def sample_evenly(
    examples: Sequence[Example], rank: Callable[[Example], int], n_examples: int, seed: int
) -> list[Example]:
    """Return up to ``n_examples``, as many of each label, or all of a label that has fewer.

    Parameters
    ----------
    rank : those of a lower one are taken first; among equal ones it is chance
    """
    by_label: dict[str, list[Example]] = {}
    for i in np.random.default_rng(seed).permutation(len(examples)).tolist():
        by_label.setdefault(examples[i].label, []).append(examples[i])
    columns = [sorted(by_label[label], key=rank) for label in sorted(by_label)]
    rounds = itertools.chain.from_iterable(itertools.zip_longest(*columns))
    return [example for example in rounds if example is not None][:n_examples]
