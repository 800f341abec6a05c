"""The page of a comparison: models side by side, and the clips on which they differ."""

import itertools
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from speechcls.audio.wav import wav_bytes
from speechcls.config import FeatureConfig
from speechcls.data.clips import read_example
from speechcls.errors import AudioError
from speechcls.evaluation.benchmark import BenchmarkResult
from speechcls.evaluation.compare import JointPredictions
from speechcls.evaluation.metrics import Right
from speechcls.evaluation.significance import Comparison, Contender, Pair
from speechcls.files import write_atomic
from speechcls.layouts.examples import Dataset, Example
from speechcls.render.figures import render_figure
from speechcls.render.html import data_uri, render
from speechcls.report.page import TABLES, follow_page
from speechcls.report.tables import Rows, Table, format_cell, ratio_of
from speechcls.storage.places import name_of
from speechcls.text import shell_line

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PAGE = "compare.html"
N_GROUPS = 6
"""Groups of clips, by which models are right, that the page has."""
N_CLIPS = 5
"""Clips of each group that it plays."""
N_ROWS = 30
"""Rows of a longer table are folded."""
FEWEST_DISCORDANT = 6
"""Clips that just one model gets right, below which McNemar's test is never below 0.05."""
_LONGEST_S = 3.0
_RARE = 1e-6


@dataclass(frozen=True)
class ComparedModel:
    """What is known of a contender beside its predictions."""

    places: tuple[str, ...]
    """Of its trainings, as commands name them."""
    n_parameters: int | None
    speed: BenchmarkResult | None


@dataclass(frozen=True)
class DifferingClip:
    """One clip on which contenders differ."""

    path: str
    speaker: str
    truth: str
    answers: tuple[tuple[str, str], ...]
    """The contenders that are wrong, each with what it predicts."""
    sound: str
    """A data URI; empty where the recording cannot be read."""


@dataclass(frozen=True)
class DifferingGroup:
    """The clips that the same contenders get right, and the others wrong."""

    right: tuple[str, ...]
    wrong: tuple[str, ...]
    n_clips: int
    clips: tuple[DifferingClip, ...]


def write_compare_page(
    comparison: Comparison,
    predictions: JointPredictions,
    models: Sequence[ComparedModel],
    dataset: Dataset,
    figures: Mapping[str, "Figure"],
    folder: Path,
) -> Path:
    """Write the page and its tables; return the path of the page.

    Parameters
    ----------
    models : of each contender of the comparison
    figures : by their titles
    """
    tables = [
        model_table(comparison, models),
        pair_table(comparison),
        recall_table(comparison, predictions),
        difference_table(comparison, predictions, dataset),
    ]
    for table in tables:
        write_atomic(folder / TABLES / f"{table.name}.csv", table.csv())
    best = max(range(len(models)), key=lambda i: comparison.contenders[i].accuracy)
    html = render(
        PAGE,
        comparison=comparison,
        predictions=predictions,
        data=dataset.title,
        n_speakers=len(set(predictions.speakers) - {""}),
        verdict=describe_best(comparison),
        sentences=[describe_pair(pair, len(comparison.pairs)) for pair in _first(comparison)],
        tables={table.name: table for table in tables},
        groups=differing_groups(comparison, predictions, dataset),
        pictures=[
            (title, data_uri("image/svg+xml", follow_page(render_figure(each, "svg").decode())))
            for title, each in figures.items()
        ],
        best={
            "data": shell_line(name_of(dataset.source)),
            "model": shell_line(models[best].places[0]),
        },
        format_cell=format_cell,
        n_rows=N_ROWS,
    )
    write_atomic(folder / PAGE, html)
    return folder / PAGE


def _best_first(comparison: Comparison) -> list[Contender]:
    return sorted(comparison.contenders, key=lambda one: -one.accuracy)


def _first(comparison: Comparison) -> list[Pair]:
    """Return the pairs of the best contender, which the page puts in words."""
    best = _best_first(comparison)[0].name
    return [pair for pair in comparison.pairs if best in (pair.first, pair.second)]


def describe_best(comparison: Comparison) -> str:
    """Return in words which contender is the best, as far as that is shown."""
    best = _best_first(comparison)[0]
    doubtful = [
        pair.second if pair.first == best.name else pair.first
        for pair in _first(comparison)
        if not pair.is_significant
    ]
    if not doubtful:
        others = "the other" if len(comparison.contenders) == 2 else "each other model"
        return f"{best.name} is better than {others}, more than by chance."
    if len(doubtful) == len(comparison.contenders) - 1:
        return "No model is shown to be better: the differences may be chance."
    names = ", ".join(doubtful[:5]) + (f" and {len(doubtful) - 5} more" if doubtful[5:] else "")
    return f"{best.name} has the highest accuracy, but {names} may be as good."


def describe_pair(pair: Pair, n_pairs: int) -> str:
    """Return in words whether two contenders differ, and how sure that is."""
    better, worse = (pair.second, pair.first) if pair.difference > 0 else (pair.first, pair.second)
    low, high = sorted((abs(pair.low), abs(pair.high)))
    points, p = 100 * abs(pair.difference), pair.p_adjusted
    chance = f"about once in {1 / p:,.0f}" if p < 0.1 else f"in {100 * p:.0f} of 100"
    if p < _RARE:
        chance = f"less than once in {1 / _RARE:,.0f}"
    corrected = f" (corrected for {n_pairs} pairs)" if n_pairs > 1 else ""
    if pair.is_significant:
        return (
            f"{better} is better than {worse}: {points:.1f} points more are right (95 % interval"
            f" {100 * low:.1f} to {100 * high:.1f}). Chance alone gives such a difference"
            f" {chance} comparisons{corrected}."
        )
    counts = (pair.only_first or 0) + (pair.only_second or 0)
    if pair.only_first is not None and counts < FEWEST_DISCORDANT:
        clips = "clip" if counts == 1 else "clips"
        return (
            f"{better} and {worse}: no difference is shown. Just one of them is right on"
            f" {counts} {clips}; it takes {FEWEST_DISCORDANT} at least to tell two models apart."
        )
    sign = 1 if pair.difference > 0 else -1
    ends = sorted((100 * sign * pair.low, 100 * sign * pair.high))
    return (
        f"{better} and {worse}: no difference is shown. The first is {points:.1f} points ahead"
        f" (95 % interval {ends[0]:+.1f} to {ends[1]:+.1f}); chance alone gives such a difference"
        f" {chance} comparisons{corrected}."
    )


def model_table(comparison: Comparison, models: Sequence[ComparedModel]) -> Table:
    """Return accuracy, size and speed of each contender."""
    rows: Rows = []
    nothing = float("nan")
    for contender, (low, high), model in zip(
        comparison.contenders, comparison.intervals, models, strict=True
    ):
        ratio = ratio_of(0, 0)._replace(value=contender.accuracy, low=low, high=high)
        trainings = " ".join(f"{100 * run.mean():.1f}" for run in contender.right)
        speed = model.speed
        costs = (
            (speed.file_bytes / 1e6, speed.ms_per_clip, speed.clips_per_second)
            if speed
            else (nothing,) * 3
        )
        memory = speed.peak_memory_mb if speed else None
        size = nothing if model.n_parameters is None else model.n_parameters
        peak = nothing if memory is None else float(memory)
        rows.append((contender.name, ratio, trainings, size, *costs, peak))
    columns = (
        *(("model", ""), ("accuracy", "%"), ("of each training", "%"), ("parameters", "")),
        *(("file", "MB"), ("per clip", "ms"), ("clips/s", ""), ("peak memory", "MB")),
    )
    return Table("models", "Accuracy, size and speed", columns, rows)


def pair_table(comparison: Comparison) -> Table:
    """Return every pair with its difference and test."""
    nothing = float("nan")
    rows: Rows = [
        (
            pair.first,
            pair.second,
            ratio_of(0, 0)._replace(value=pair.difference, low=pair.low, high=pair.high),
            nothing if pair.only_first is None else pair.only_first,
            nothing if pair.only_second is None else pair.only_second,
            pair.test,
            pair.p,
            pair.p_adjusted,
            pair.verdict,
        )
        for pair in comparison.pairs
    ]
    columns = (
        *(("first", ""), ("second", ""), ("second - first", "points")),
        *(("only first right", ""), ("only second right", ""), ("test", "")),
        *(("p", "p"), ("p, corrected", "p"), ("verdict", "")),
    )
    return Table("pairs", "Pairs of models", columns, rows)


def recall_table(comparison: Comparison, predictions: JointPredictions) -> Table:
    """Return the recall of each label by each contender, the largest differences first."""
    found = []
    for i, label in enumerate(predictions.labels):
        is_it = predictions.truth == i
        if not is_it.any():
            continue
        recalls = [float(one.right[:, is_it].mean()) for one in comparison.contenders]
        found.append((max(recalls) - min(recalls), label, int(is_it.sum()), recalls))
    found.sort(key=lambda row: -row[0])
    rows: Rows = [(label, n, *recalls) for _, label, n, recalls in found]
    names = tuple((one.name, "%") for one in comparison.contenders)
    caption = "Recall by label, the largest differences first"
    return Table("recall_by_model", caption, (("label", ""), ("clips", ""), *names), rows, True)


def _majority(comparison: Comparison) -> Right:
    """Return (n_contenders, n_clips) whether more than half of the trainings are right."""
    return np.stack([one.right.mean(axis=0) > 0.5 for one in comparison.contenders])


def _answers(comparison: Comparison, predictions: JointPredictions, clip: int) -> list[str]:
    """Return what each contender predicts for a clip, of several trainings each label once."""
    ends = np.cumsum([0, *(len(one.right) for one in comparison.contenders)]).tolist()
    rows = [predictions.predicted[a:b, clip].tolist() for a, b in itertools.pairwise(ends)]
    return [", ".join(dict.fromkeys(predictions.labels[i] for i in row)) for row in rows]


def difference_table(
    comparison: Comparison, predictions: JointPredictions, dataset: Dataset
) -> Table:
    """Return every clip on which contenders differ, with all predictions."""
    rows: Rows = []
    for i, example in enumerate(predictions.examples):
        answers = _answers(comparison, predictions, i)
        if len(set(answers)) > 1:
            path = dataset.relative_name(example.path)
            truth = predictions.labels[predictions.truth[i]]
            rows.append((path, example.speaker or "", truth, *answers))
    names = (("path", ""), ("speaker", ""), ("label", ""))
    models = tuple((one.name, "") for one in comparison.contenders)
    return Table("differences", "Clips on which they differ", (*names, *models), rows, True)


def differing_groups(
    comparison: Comparison, predictions: JointPredictions, dataset: Dataset
) -> list[DifferingGroup]:
    """Return the clips that some get right and some wrong, by which do, the largest group first."""
    right = _majority(comparison)
    groups: dict[tuple[bool, ...], list[int]] = defaultdict(list)
    for i in np.flatnonzero(right.any(axis=0) & ~right.all(axis=0)).tolist():
        groups[tuple(right[:, i].tolist())].append(i)
    largest = sorted(groups.items(), key=lambda item: -len(item[1]))[:N_GROUPS]
    names = [one.name for one in comparison.contenders]

    def clip_of(i: int, who: tuple[bool, ...]) -> DifferingClip:
        example, answers = predictions.examples[i], _answers(comparison, predictions, i)
        wrong = zip(names, answers, who, strict=True)
        return DifferingClip(
            dataset.relative_name(example.path),
            example.speaker or "",
            predictions.labels[predictions.truth[i]],
            tuple((name, answer) for name, answer, is_right in wrong if not is_right),
            _sound(example),
        )

    return [
        DifferingGroup(
            tuple(itertools.compress(names, who)),
            tuple(itertools.compress(names, (not is_right for is_right in who))),
            len(clips),
            tuple(clip_of(i, who) for i in _of_many_labels(clips, predictions)[:N_CLIPS]),
        )
        for who, clips in largest
    ]


def _of_many_labels(clips: Sequence[int], predictions: JointPredictions) -> list[int]:
    """Return clips with one of each label first, then a second one of each, and so on."""
    n_before: Counter[int] = Counter()
    ranks = {}
    for i in clips:
        label = int(predictions.truth[i])
        ranks[i] = n_before[label]
        n_before[label] += 1
    return sorted(clips, key=lambda i: ranks[i])


def _sound(example: Example) -> str:
    """Return a clip as a data URI; empty where it cannot be read any more."""
    rate = FeatureConfig().sample_rate
    try:
        samples = read_example(example, rate).pcm
    except AudioError:
        return ""
    return data_uri("audio/wav", wav_bytes(samples[: round(_LONGEST_S * rate)], rate))
