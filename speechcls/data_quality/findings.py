"""What ``check`` may find, and what of it would spoil a training run."""

from dataclasses import dataclass, field

from speechcls.data.examples import Dataset
from speechcls.data_quality.signal import Levels

KINDS = {
    "unreadable": "cannot be read",
    "empty": "holds no sound at all",
    "short": "too short for a word",
    "silent": "nothing to be heard",
    "clipped": "clipped",
    "two-labels": "the same sound under two labels",
    "doubtful": "the model doubts the label",
    "leak": "the same sound in another split",
    "speaker-splits": "its speaker is in another split",
    "copy": "a copy of another clip",
    "cut": "the word may be cut off",
    "offset": "DC offset",
    "rate": "another sample rate than most",
}
"""What may be found of a clip, worst first."""
BAD = frozenset(list(KINDS)[: list(KINDS).index("leak")])
"""Findings of which a training run bears some: more than ``max_bad`` of the clips spoil it."""
LEAKS = frozenset({"leak", "speaker-splits"})
"""Findings of which a single one falsifies the score."""
LEFT_OUT = BAD | LEAKS | {"copy"}
"""Findings that keep a clip out of the fix list."""

MAX_UNREADABLE = 0.01
"""Share of clips that cannot be read at which ``train`` refuses."""


@dataclass(frozen=True)
class Finding:
    """Something about one clip."""

    clip: int
    """Index into the data set's examples."""
    kind: str
    value: float
    """How bad, in the unit of ``detail``."""
    detail: str
    other: int | None = None
    """Index of the clip that this one is a copy of."""
    likely: str | None = None
    """The label that a doubtful clip should probably have."""


@dataclass
class Checkup:
    """Everything that was found of a data set."""

    dataset: Dataset
    levels: list[Levels | None]
    """Of each example; None where it cannot be read."""
    findings: list[Finding]
    """By kind, worst first within each."""
    notes: list[str] = field(default_factory=list)
    """What is to be known of the data set as a whole."""
    refusals: list[str] = field(default_factory=list)
    """Why ``train`` would refuse the whole."""
    bad_noise: list[str] = field(default_factory=list)
    """One line for each recording of background noise that cannot be read."""

    def of_kind(self, kind: str) -> list[Finding]:
        """Return the findings of one kind, worst first."""
        return [finding for finding in self.findings if finding.kind == kind]

    def clips_with(self, kinds: frozenset[str]) -> set[int]:
        """Return the clips of which one of ``kinds`` was found."""
        return {finding.clip for finding in self.findings if finding.kind in kinds}

    def good_clips(self) -> list[int]:
        """Return the clips of which nothing was found that would have them left out."""
        left_out = self.clips_with(LEFT_OUT)
        return [i for i in range(len(self.dataset.examples)) if i not in left_out]

    def blocking_issues(self, max_bad: float) -> list[str]:
        """Return why a training on this data would be wasted, a line a reason; none if it is not.

        Parameters
        ----------
        max_bad : largest share of bad clips that a training run bears
        """
        n_problems, n_clips = len(self.dataset.problems), len(self.dataset.examples)
        n_clips += n_problems
        reasons = [
            f"train would refuse it: {refusal}; or name the words that matter with --commands"
            for refusal in self.refusals
        ]
        n_unreadable = len(self.clips_with(frozenset({"unreadable", "empty"}))) + n_problems
        n_unreadable += len(self.bad_noise)
        if n_unreadable > MAX_UNREADABLE * n_clips:
            reasons.append(
                f"{n_unreadable} of {n_clips} clips cannot be read, more than the"
                f" {100 * MAX_UNREADABLE:g} % that train allows; mend or delete them"
            )
        n_bad = len(self.clips_with(BAD)) + n_problems
        if not n_bad <= max_bad * n_clips:
            reasons.append(
                f"{n_bad} of {n_clips} clips are bad, more than --max-bad {max_bad:g} allows;"
                " leave them out with --fix-list"
            )
        for kind in sorted(LEAKS):
            if found := self.of_kind(kind):
                first = self.dataset.name_of(self.dataset.examples[found[0].clip].path)
                reasons.append(
                    f"{len(found)} clips, {first} first: {KINDS[kind]}, so that the score would"
                    " flatter; leave them out with --fix-list"
                )
        return reasons
