"""What a report says first: where the model is weak, its worst pairs, and what to do next."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePath

from speechcls.evaluation.significance import SIGNIFICANCE
from speechcls.labels import is_command
from speechcls.report.results import Results
from speechcls.report.tables import (
    MEASURES,
    Ratio,
    by_label,
    by_measure,
    by_speaker,
    confused_pairs,
)
from speechcls.text import shell_line

N_PAIRS = 3
"""Confused pairs that the summary plays."""
N_STEPS = 4
"""Most steps that are proposed."""
_FEWEST = 5
"""Clips from which on a group counts."""
_WIDE = 0.1
"""Width of the interval of the accuracy from which on more clips are advised."""
_CONFIDENT = 0.9
"""Confidence from which on a mistake makes its label doubtful."""
_MISCALIBRATED = 0.05
_FEWEST_BINNED = 200
"""Clips from which on the calibration error says something."""
_GOOD = 0.9


@dataclass(frozen=True)
class Weakness:
    """A group of clips on which the model is worse than on all of them."""

    kind: str
    """``label``, ``speaker`` or the name of a measure."""
    name: str
    n_clips: int
    right: Ratio
    is_clear: bool
    """Whether the worst of as many groups would rarely be as low by chance (Bonferroni)."""


@dataclass(frozen=True)
class WorstPair:
    """One of the pairs that are confused most."""

    truth: str
    predicted: str
    n_clips: int
    of_label: Ratio
    clip: int
    """Index of its most confident mistake."""


@dataclass(frozen=True)
class Step:
    """One thing to do next; the page has the command of each kind."""

    kind: str
    reason: str
    words: Mapping[str, str]
    """What the command names, as a shell takes it."""


def worst_pairs(results: Results) -> list[WorstPair]:
    """Return the pairs that are confused most, each with its most confident mistake."""
    predictions = results.predictions
    first: dict[tuple[str, str], int] = {}
    truth, predicted = predictions.truth.tolist(), predictions.predicted.tolist()
    for i in predictions.mistakes(len(predictions.clips)):
        first.setdefault((predictions.labels[truth[i]], predictions.labels[predicted[i]]), i)
    pairs = []
    for name, other, n_clips, ratio in confused_pairs(results).rows[:N_PAIRS]:
        assert isinstance(ratio, Ratio) and isinstance(n_clips, int)  # as the table is made
        clip = first[str(name), str(other)]
        pairs.append(WorstPair(str(name), str(other), n_clips, ratio, clip))
    return pairs


def find_weaknesses(results: Results) -> list[Weakness]:
    """Return the worst label, speaker and condition, those with the lowest accuracy first.

    Those that are not worse than all clips together are left out.
    """
    from scipy.stats import binom

    overall = results.scores.accuracy
    worst = []
    for kind, groups in _groups(results):
        found = [(ratio, name, n) for name, n, ratio in groups if n >= _FEWEST]
        below = [group for group in found if group[0].value < overall]
        if len(found) < 2 or not below:
            continue
        # Of groups that are equally bad that with most clips, whose interval is the narrowest.
        ratio, name, n_clips = min(below, key=lambda group: (group[0].high, group[0].value))
        by_chance = float(binom.cdf(round(ratio.value * n_clips), n_clips, overall))
        is_clear = by_chance * len(found) < SIGNIFICANCE
        worst.append(Weakness(kind, name, n_clips, ratio, is_clear))
    return sorted(worst, key=lambda one: (not one.is_clear, one.right.value))


def _groups(results: Results) -> Iterator[tuple[str, list[tuple[str, int, Ratio]]]]:
    """Yield each way to group the clips, with name, clips and ratio of each group."""
    yield "label", [_group(row[0], row[1], row[4]) for row in by_label(results).rows]
    yield "speaker", [_group(row[0], row[1], row[3]) for row in by_speaker(results).rows]
    for name, measure in MEASURES.items():
        digits = 2 if measure.unit == "s" else 0
        groups = []
        for low, high, n_clips, ratio in by_measure(results, name).rows:
            ends = dict.fromkeys(f"{end:.{digits}f}" for end in (low, high))
            groups.append(_group(f"{' to '.join(ends)} {measure.unit}", n_clips, ratio))
        yield measure.title, groups


def _group(name: object, n_clips: object, ratio: object) -> tuple[str, int, Ratio]:
    assert isinstance(n_clips, int) and isinstance(ratio, Ratio)  # as the tables are made
    return str(name), n_clips, ratio


def next_steps(results: Results) -> list[Step]:
    """Return what to do next, the most urgent first."""
    about = results.predictions.about
    data = about.data_place or about.data
    words = {"model": about.model_place or about.model, "data": data}
    steps = []
    for kind, propose in _PROPOSALS.items():
        if found := propose(results):
            reason, own = found
            named = {name: shell_line(word) for name, word in (words | own).items()}
            steps.append(Step(kind, reason, named))
    return steps[:N_STEPS]


_Proposal = tuple[str, dict[str, str]] | None
"""A reason, and what the command names beside model and data."""


def _check_recordings(results: Results) -> _Proposal:
    if lost := results.scores.never_recognised():
        return f"No clip of {lost[0]} is recognised: look at its recordings first.", {}
    return None


def _look_inside(results: Results) -> _Proposal:
    pairs = worst_pairs(results)
    if not pairs:
        return None
    about, clip = results.predictions.about, results.predictions.clips[pairs[0].clip].path
    place = about.data_place or about.data
    is_elsewhere = PurePath(place).suffix or "://" in clip or PurePath(clip).is_absolute()
    reason = f"See which part of the clip makes the network take {pairs[0].truth} for"
    path = clip if is_elsewhere else str(PurePath(place, clip))
    return f"{reason} {pairs[0].predicted}.", {"clip": path}


def _check_labels(results: Results) -> _Proposal:
    confidence = results.predictions.confidence
    n_sure = int((~results.is_right & (confidence >= _CONFIDENT)).sum())
    if not n_sure:
        return None
    made = "1 mistake is" if n_sure == 1 else f"{n_sure} mistakes are"
    reason = f"{made} made with a confidence of {100 * _CONFIDENT:.0f} % or more: perhaps the"
    return f"{reason} label is wrong.", {}


def _record_more(results: Results) -> _Proposal:
    scores = results.scores
    confused = [pair.truth for pair in worst_pairs(results) if is_command(pair.truth)]
    width = scores.accuracy_high - scores.accuracy_low
    label = next(iter(confused or filter(is_command, scores.labels)), None)
    if label is None or not (confused or width > _WIDE):
        return None
    if width > _WIDE:
        more = "record more clips, by further speakers"
        return f"The interval spans {100 * width:.0f} points: {more}.", {"label": label}
    return f"Record {label} by further speakers, for training and for scoring.", {"label": label}


def _calibrate(results: Results) -> _Proposal:
    error = results.calibration_error
    if error < _MISCALIBRATED or len(results.is_right) < _FEWEST_BINNED:
        return None
    return f"Confidence is {100 * error:.0f} points off on average: calibrate it.", {}


def _try_it(results: Results) -> _Proposal:
    if results.scores.accuracy < _GOOD:
        return None
    return "Try it on running sound.", {}


def _train_longer(results: Results) -> _Proposal:
    if results.scores.accuracy >= _GOOD:
        return None
    return "If curves.png in the model's folder still rises, train longer.", {}


_PROPOSALS: dict[str, Callable[[Results], _Proposal]] = {
    "check": _check_recordings,
    "explain": _look_inside,
    "check labels": _check_labels,
    "record": _record_more,
    "calibrate": _calibrate,
    "listen": _try_it,
    "train": _train_longer,
}
"""What may be proposed, the most urgent first."""
