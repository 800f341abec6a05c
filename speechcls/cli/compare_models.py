"""Trained models side by side for ``speechcls compare``: tables, JSON, differences, pictures."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import typer

from speechcls.cli.data_options import announce
from speechcls.cli.messages import Messages
from speechcls.cli.outputs import files_first
from speechcls.cli.progress import item_bar
from speechcls.cli.resume import open_resumable
from speechcls.cli.tables import or_dash, print_json, print_table
from speechcls.files import write_csv
from speechcls.storage.places import name_of
from speechcls.text import counted

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from speechcls.evaluation.benchmark import BenchmarkResult
    from speechcls.evaluation.compare import JointPredictions
    from speechcls.evaluation.significance import Comparison
    from speechcls.layouts.examples import Dataset
    from speechcls.report.compare_page import ComparedModel


_OF_EPOCH = ("validation_balanced_accuracy", "validation_accuracy")
"""What is shown of the epochs of a model; an older one has no balanced accuracy."""


@dataclass(frozen=True)
class CompareOptions:
    """What ``compare`` was asked for, beside the models."""

    out: Path | None
    differences: Path | None
    report: Path | None
    resume: bool
    speed: bool
    as_json: bool
    jobs: int | None


def compare_models(
    groups: Mapping[str, Sequence[Path]],
    dataset: "Dataset",
    options: CompareOptions,
    messages: Messages,
) -> list[str]:
    """Compare, print and write; return a line for each clip that could not be read.

    Parameters
    ----------
    groups : models by the name that they are shown under; several are trainings of one architecture
    """
    from speechcls.evaluation.compare import predict_held_out
    from speechcls.evaluation.significance import Contender, compare
    from speechcls.report.compare_page import write_compare_page
    from speechcls.runtime.classifier import Classifier

    announce(dataset, messages)
    models = [model for group in groups.values() for model in group]
    classifiers = [Classifier.load(model, options.jobs) for model in models]
    output = options.differences or options.report or options.out
    with open_resumable(output, options.resume, models, messages, {}) as journal:
        with item_bar(messages, "comparing", len(dataset.examples)) as on_clip:
            predictions = predict_held_out(classifiers, dataset, on_clip, journal)
        for note in predictions.notes:
            messages.warn(note)
        right = iter(predictions.right)
        contenders = [
            Contender(name, np.stack([next(right) for _ in group]))
            for name, group in groups.items()
        ]
        comparison = compare(contenders, predictions.speakers)
        speeds = _measure([group[0] for group in groups.values()], options, messages)

        def show() -> None:
            if options.as_json:
                print_json(_as_object(comparison, predictions, groups, speeds, dataset))
            else:
                _print(comparison, predictions, groups, speeds)

        with files_first(show):
            if options.differences:
                _write_differences(options.differences, predictions, dataset, models)
            figures = _draw(comparison, groups) if options.out or options.report else {}
            if options.out:
                _save(figures, options.out, messages)
            if options.report:
                found = _describe(groups, speeds)
                args = comparison, predictions, found, dataset, figures, options.report
                messages.note(f"report {write_compare_page(*args)}")
    return list(predictions.bad)


def _measure(
    models: Sequence[Path], options: CompareOptions, messages: Messages
) -> list["BenchmarkResult | None"]:
    if not options.speed:
        return [None] * len(models)
    from speechcls.evaluation.benchmark import benchmark_in_subprocess

    speeds: list[BenchmarkResult | None] = []
    with item_bar(messages, "measuring", len(models)) as on_model:
        for model in models:
            speeds.append(benchmark_in_subprocess(model, options.jobs))
            on_model()
    return speeds


def _write_differences(
    path: Path, predictions: "JointPredictions", dataset: "Dataset", models: Sequence[Path]
) -> None:
    """Write a line for each clip on which the predictions differ."""
    rows = []
    for example, truth, predicted in zip(
        predictions.examples, predictions.truth, predictions.predicted.T, strict=True
    ):
        if len(set(predicted.tolist())) > 1:
            place = dataset.relative_name(example.path), example.start_s, example.end_s
            labels = [predictions.labels[i] for i in (truth, *predicted)]
            rows.append([*place, example.speaker or "", *labels])
    header = ["path", "start_s", "end_s", "speaker", "label", *map(name_of, models)]
    write_csv(path, header, rows)


def _draw(comparison: "Comparison", groups: Mapping[str, Sequence[Path]]) -> "dict[str, Figure]":
    """Return the figures by their titles."""
    from speechcls.evaluation.benchmark import read_counts
    from speechcls.experiments.figures import draw_learning_curves, draw_sizes

    parameters = {name: read_counts(group[0])[0] for name, group in groups.items()}
    figures = {"Accuracy by size": draw_sizes(comparison, parameters)}
    histories = {name: [_history(model) for model in group] for name, group in groups.items()}
    if all(all(seeds) for seeds in histories.values()):
        figures["Learning curves"] = draw_learning_curves(histories)
    return figures


def _save(figures: "Mapping[str, Figure]", out: Path, messages: Messages) -> None:
    from speechcls.render.figures import save_both

    names = {title: title.lower().replace(" ", "-") for title in figures}
    for title, figure in figures.items():
        save_both(figure, out / names[title])
    files = " and ".join(f"{name}.png" for name in names.values())
    messages.note(f"wrote {files} (and .svg) to {out}")


def _describe(
    groups: Mapping[str, Sequence[Path]], speeds: Sequence["BenchmarkResult | None"]
) -> "list[ComparedModel]":
    """Return what the page needs to know of each contender."""
    from speechcls.evaluation.benchmark import read_counts
    from speechcls.report.compare_page import ComparedModel

    return [
        ComparedModel(tuple(map(name_of, group)), read_counts(group[0])[0], speed)
        for group, speed in zip(groups.values(), speeds, strict=True)
    ]


def _history(model: Path) -> list[dict[str, Any]]:
    """Return the epochs of a model; none where they are not known."""
    from speechcls.artifact.store import read_metrics

    try:
        history = read_metrics(model)["history"]
        names = [name for name in _OF_EPOCH if name in history[0]]
        return [{name: float(epoch[name]) for name in names} for epoch in history]
    except (ValueError, LookupError, TypeError):  # a model runs without
        return []


def _as_object(
    comparison: "Comparison",
    predictions: "JointPredictions",
    groups: Mapping[str, Sequence[Path]],
    speeds: Sequence["BenchmarkResult | None"],
    dataset: "Dataset",
) -> dict[str, Any]:
    rows = zip(comparison.contenders, comparison.intervals, groups.values(), speeds, strict=True)
    return {
        "data": name_of(dataset.source),
        "scored": predictions.scored,
        "caveat": predictions.caveat,
        "n_clips": len(predictions.truth),
        "n_speakers": len(set(predictions.speakers) - {""}),
        "labels": list(predictions.labels),
        "models": [
            {
                "name": contender.name,
                "accuracy": contender.accuracy,
                "accuracy_low": low,
                "accuracy_high": high,
                "trainings": [
                    {"model": str(model), "accuracy": float(run.mean())}
                    for model, run in zip(group, contender.right, strict=True)
                ],
                "speed": dataclasses.asdict(speed) if speed else None,
            }
            for contender, (low, high), group, speed in rows
        ],
        "pairs": [
            dataclasses.asdict(pair) | {"verdict": pair.verdict} for pair in comparison.pairs
        ],
        "bad": list(predictions.bad),
    }


def _print(
    comparison: "Comparison",
    predictions: "JointPredictions",
    groups: Mapping[str, Sequence[Path]],
    speeds: Sequence["BenchmarkResult | None"],
) -> None:
    """Print the comparison as tables."""
    n_speakers = len(set(predictions.speakers) - {""})
    by = f" by {counted(n_speakers, 'speaker')}" if n_speakers else ""
    typer.echo(f"scored  {predictions.scored}{by}")
    if predictions.caveat:
        typer.echo(f"caveat  {predictions.caveat}")
    typer.echo("")
    _print_models(comparison, groups, speeds)
    if comparison.pairs:
        typer.echo("")
        _print_pairs(comparison)


def _print_models(
    comparison: "Comparison",
    groups: Mapping[str, Sequence[Path]],
    speeds: Sequence["BenchmarkResult | None"],
) -> None:
    from speechcls.evaluation.benchmark import read_counts

    several = any(len(group) > 1 for group in groups.values())
    headings = ["model", "accuracy", "95 % interval", *(["trainings"] if several else [])]
    headings += ["parameters", "MB", "ms per clip", "clips/s", "peak MB"]
    table = []
    rows = zip(comparison.contenders, comparison.intervals, groups.values(), speeds, strict=True)
    for contender, (low, high), group, speed in rows:
        one_by_one = " ".join(f"{100 * run.mean():.1f}" for run in contender.right)
        table.append(
            (
                contender.name,
                f"{100 * contender.accuracy:.1f}",
                f"{100 * low:.1f} - {100 * high:.1f}",
                *([one_by_one] if several else []),
                or_dash(read_counts(group[0])[0], ",d"),
                *(_costs(speed) if speed else "----"),
            )
        )
    print_table(headings, table, text=("model", "trainings"))


def _costs(speed: "BenchmarkResult") -> list[str]:
    return [
        f"{speed.file_bytes / 1e6:.2f}",
        f"{speed.ms_per_clip:.3f}",
        f"{speed.clips_per_second:,.0f}",
        or_dash(speed.peak_memory_mb, ".0f"),
    ]


def _print_pairs(comparison: "Comparison") -> None:
    print_table(
        ("first", "second", "second - first", "95 % interval", "only first right",
         "only second right", "p", "p, corrected", "verdict"),
        (
            (
                pair.first,
                pair.second,
                f"{100 * pair.difference:+.1f}",
                f"{100 * pair.low:+.1f} - {100 * pair.high:+.1f}",
                or_dash(pair.only_first, "d"),
                or_dash(pair.only_second, "d"),
                f"{pair.p:.3g}",
                f"{pair.p_adjusted:.3g}",
                pair.verdict,
            )
            for pair in comparison.pairs
        ),
        text=("first", "second", "verdict"),
    )  # fmt: skip
