"""Kinds of findings of ``check``, and which of them make the data unfit for training."""

from dataclasses import dataclass, field

from speechcls.data.segments import LongTakes
from speechcls.data_quality.signal import Levels
from speechcls.layouts.examples import Dataset

KINDS = {
    "unreadable": "cannot be read",
    "empty": "has no samples",
    "short": "too short for a word",
    "silent": "no audible sound",
    "clipped": "clipped",
    "two-labels": "the same sound under two labels",
    "doubtful": "the label is probably wrong",
    "leak": "the same sound in another split",
    "speaker-splits": "its speaker is in another split",
    "copy": "a copy of another clip",
    "mended": "not read as it is stored",
    "cut": "the word may be cut off",
    "offset": "DC offset",
    "rate": "another sample rate than most",
}
"""Kinds of findings and what they mean, worst first."""
BAD = frozenset(list(KINDS)[: list(KINDS).index("leak")])
"""Findings that a training run tolerates up to ``max_bad`` of the clips."""
LEAKS = frozenset({"leak", "speaker-splits"})
"""Findings of which a single one makes the score optimistically biased."""
LEFT_OUT = BAD | LEAKS | {"copy"}
"""Findings that exclude a clip from the fix list."""


def effect_of(kind: str) -> str:
    """Return in a word what a kind of finding does to a training."""
    return "blocks" if kind in LEAKS else "bad" if kind in BAD else "warning"


MAX_UNREADABLE = 0.01
"""Fraction of clips that cannot be read above which training is refused."""


@dataclass(frozen=True)
class Finding:
    """One finding about one clip."""

    clip: int
    """Index into the data set's examples."""
    kind: str
    value: float
    """How bad, in the unit of ``detail``."""
    detail: str
    other: int | None = None
    """Index of the clip that this one is a copy of."""
    likely: str | None = None
    """The label that the clip should probably have, where its own is probably wrong."""


@dataclass
class CheckResult:
    """Findings about a data set, and remarks on it as a whole."""

    dataset: Dataset
    levels: list[Levels | None]
    """Of each example; None where it cannot be read."""
    findings: list[Finding]
    """By kind, worst first within each."""
    notes: list[str] = field(default_factory=list)
    """Remarks on the data set as a whole."""
    refusals: list[str] = field(default_factory=list)
    """Why the data set cannot be trained on."""
    bad_noise: list[str] = field(default_factory=list)
    """One line for each recording of background noise that cannot be read."""
    long_takes: LongTakes | None = None
    """Clips much longer than the window that training would choose, if there are any."""

    def __str__(self) -> str:
        """Return the number of clips and of findings of each kind, and the remarks."""
        counts = {kind: len(self.of_kind(kind)) for kind in KINDS}
        found = [f"{kind:<16}{n:>6}  {KINDS[kind]}" for kind, n in counts.items() if n]
        return "\n".join([str(self.dataset), *found, *self.refusals, *self.notes])

    def of_kind(self, kind: str) -> list[Finding]:
        """Return the findings of one kind, worst first."""
        return [finding for finding in self.findings if finding.kind == kind]

    def clips_with(self, kinds: frozenset[str]) -> set[int]:
        """Return the clips with a finding of one of ``kinds``."""
        return {finding.clip for finding in self.findings if finding.kind in kinds}

    def good_clips(self) -> list[int]:
        """Return the clips that the fix list keeps."""
        left_out = self.clips_with(LEFT_OUT)
        return [i for i in range(len(self.dataset.examples)) if i not in left_out]

    def blocking_issues(self, max_bad: float) -> list[str]:
        """Return why the data is not fit for training, a line per reason.

        Parameters
        ----------
        max_bad : largest fraction of bad clips that a training run tolerates
        """
        n_problems, n_clips = len(self.dataset.problems), len(self.dataset.examples)
        n_clips += n_problems
        reasons = [f"cannot be trained on: {refusal}" for refusal in self.refusals]
        n_unreadable = len(self.clips_with(frozenset({"unreadable", "empty"}))) + n_problems
        n_unreadable += len(self.bad_noise)
        if n_unreadable > MAX_UNREADABLE * n_clips:
            reasons.append(
                f"{n_unreadable} of {n_clips} clips cannot be read, more than the"
                f" {100 * MAX_UNREADABLE:g} % allowed in training; fix them or leave them out"
            )
        n_bad = len(self.clips_with(BAD)) + n_problems
        if not n_bad <= max_bad * n_clips:
            reasons.append(
                f"{n_bad} of {n_clips} clips are bad, more than the {max_bad:g} allowed;"
                " leave them out, as a fix list does"
            )
        for kind in sorted(LEAKS):
            if found := self.of_kind(kind):
                first = self.dataset.relative_name(self.dataset.examples[found[0].clip].path)
                reasons.append(
                    f"{len(found)} clips, {first} first: {KINDS[kind]}, so that scores would be"
                    " optimistically biased; leave them out, as a fix list does"
                )
        return reasons
