"""Deterministic splits into training, validation and test, by a hash of the speaker."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from speechcls.artifact.format import SplitRow
from speechcls.errors import DatasetError
from speechcls.layouts.examples import SPLITS, Example

UNUSED = "unused"
"""The split of a clip that is left out, because the same sound is in a held-out split."""

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
    their samples.

    Parameters
    ----------
    labels : the model's label of each clip
    digests : a hash of each clip's samples; equal samples never end up in two splits

    Raises
    ------
    DatasetError
        When a test speaker is unknown, or a label has too few clips to be split.
    """
    speakers = {example.speaker for example in examples if example.speaker}
    if unknown := sorted(set(test_speakers) - speakers):
        known = f"{len(speakers)} speakers, {', '.join(sorted(speakers)[:10])}"
        raise DatasetError(
            f"{', '.join(unknown)}: not in the data; it has {known}", field="test_speakers"
        )
    splits = Splits([example.split or "" for example in examples])
    is_given = any(splits.names)
    given = {example.speaker: example.split or "" for example in examples if example.split}
    for i, example in enumerate(examples):
        if example.speaker in test_speakers:
            splits.names[i] = "test"
        elif example.speaker and not example.split:
            splits.names[i] = given.get(example.speaker, "")
    assigner = _SplitAssigner(splits, examples, labels, digests)
    assigner.assign("", ["validation"] if test_speakers else ["validation", "test"])
    if "validation" not in splits.names:  # the data names a test split and no validation split
        assigner.assign("train", ["validation"])
    _drop_copies(splits, labels, digests)
    _check_labels(splits, labels, is_given)
    return splits


@dataclass
class _SplitAssigner:
    """Assigns whole speakers to splits, or single clips where there are too few speakers."""

    splits: Splits
    examples: Sequence[Example]
    labels: Sequence[str]
    digests: Sequence[str]

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
            keys = [self.examples[i].speaker or self.digests[i] for i in chosen]
            self._assign(chosen, keys, held_out)
            return
        known = f"only {len(speakers)}" if speakers else "no"
        self.splits.warnings.append(
            f"{known} speaker{'s' if len(speakers) != 1 else ''} known, so the data is split clip"
            " by clip: scores may be optimistically biased, since the same voice trains and tests;"
            " name the speakers with a pattern or a manifest"
        )
        for label in sorted({self.labels[i] for i in chosen}):
            of_label = [i for i in chosen if self.labels[i] == label]
            self._assign(of_label, [self.digests[i] for i in of_label], held_out)

    def _assign(self, chosen: list[int], keys: list[str], held_out: list[str]) -> None:
        """Assign the clips ``chosen``, those of one key together."""
        order = sorted(set(keys), key=hash_percentage)
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
        for i, key in zip(chosen, keys, strict=True):
            self.splits.names[i] = split_of[key]


def _drop_copies(splits: Splits, labels: Sequence[str], digests: Sequence[str]) -> None:
    """Keep copies of one sound in the most held-out split only."""
    copies = defaultdict(list)
    for i, digest in enumerate(digests):
        copies[digest].append(i)
    n_dropped = n_two_labels = 0
    for group in copies.values():
        n_two_labels += len({labels[i] for i in group}) > 1
        kept = max((splits.names[i] for i in group), key=SPLITS.index)
        for i in group:
            if splits.names[i] != kept:
                splits.names[i] = UNUSED
                n_dropped += 1
    if n_dropped:
        clips = "1 clip is" if n_dropped == 1 else f"{n_dropped} clips are"
        splits.warnings.append(f"{clips} left out: the same samples are in a held-out split")
    if n_two_labels:
        splits.warnings.append(f"{n_two_labels} recordings occur under two labels; one is wrong")


def _check_labels(splits: Splits, labels: Sequence[str], is_given: bool) -> None:
    """Refuse a label without training clips; warn of one without validation clips."""
    totals, counts = Counter(labels), Counter(zip(labels, splits.names, strict=True))
    for label, total in sorted(totals.items()):
        if not counts[label, "train"]:
            raise DatasetError(
                f"label {label}: none of its {total} clips is left to train on; it has too few"
                " clips or speakers to split, record more (30 or more clips per word are a start)"
            )
    if not any(name == "validation" for name in splits.names):
        raise DatasetError(
            f"{len(labels)} clips are too few to hold some back for validation; record more"
        )
    if "test" not in splits.names and not is_given:
        splits.warnings.append("too few clips to hold some back for a test: record more")
    if without_validation := [label for label in sorted(totals) if not counts[label, "validation"]]:
        splits.warnings.append(
            f"no validation clip of {', '.join(without_validation)}: record more of it"
        )
