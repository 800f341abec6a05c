"""``speechcls compare --memory``: how long each architecture remembers a word."""

import dataclasses
import json
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from speechcls.cli.common import FAILED, files_first
from speechcls.cli.messages import Messages, report_bad
from speechcls.cli.progress import counting, going_on
from speechcls.cli.tables import print_table
from speechcls.errors import DatasetError
from speechcls.files import write_csv

if TYPE_CHECKING:
    from speechcls.data.examples import Dataset
    from speechcls.experiments.delayed_recall import DelayedRecallConfig, DelayedRecallRun, Words

WORDS = ("yes", "no", "stop", "go", "left", "right")
"""What synthetic voices say where no data is named."""
_COST = {10: 3.5, 40: 1.0}  # time of a training, by what a step stands for


def compare_memory(
    dataset: "Dataset | None",
    archs: Sequence[str],
    n_seeds: int,
    config: "DelayedRecallConfig",
    commands: Sequence[str],
    out: Path | None,
    as_json: bool,
    messages: Messages,
) -> None:
    """Train, print, and draw."""
    from speechcls.experiments.delayed_recall import (
        FRONTS,
        build_network,
        prepare_words,
        run_delayed_recall,
    )

    for arch in archs:
        build_network(arch, 10, 20, 2, config.parameters)  # refuses a name before all else
    with tempfile.TemporaryDirectory(prefix="speechcls-") as scratch:
        if dataset is None:
            dataset = _speak(commands or WORDS, config.per_word, Path(scratch), messages)
        elif commands:
            _keep(dataset, commands)
        words = prepare_words(dataset, config)
    report_bad(messages, list(words.bad))
    messages.note(
        f"{len(words.labels)} words, {len(words.training)} clips to learn from and"
        f" {len(words.held_out)} held out; the answer comes 0 to {config.longest_s:g} s after"
        " the word"
    )
    grid = [(ms, arch, seed) for seed in range(n_seeds) for ms in FRONTS for arch in archs]
    costs = [_COST[step_ms] * config.steps for step_ms, _, _ in grid]
    runs: list[DelayedRecallRun] = []
    done, started = 0.0, time.monotonic()
    with going_on(messages, "training", sum(costs)) as on_cost:
        for (step_ms, arch, seed), cost in zip(grid, costs, strict=True):
            n_steps = 0

            def on_step(done: float = done, step_ms: int = step_ms) -> None:
                nonlocal n_steps
                n_steps += 1
                on_cost(done + _COST[step_ms] * n_steps)

            runs.append(run_delayed_recall(words, arch, step_ms, seed, config, on_step))
            done += cost
            left_s = (time.monotonic() - started) * (sum(costs) - done) / done
            shares = [100 * share for share in runs[-1].accuracy.values()]
            messages.note(
                f"{arch}, a step each {step_ms} ms, seed {seed}: {shares[0]:.0f} % at once,"
                f" {shares[-1]:.0f} % after {config.longest_s:g} s"
                f" ({len(runs)} of {len(grid)}, about {left_s / 60:.0f} min left)"
            )

    def show() -> None:
        if as_json:
            typer.echo(json.dumps(_as_object(runs, words, config)))
        else:
            _print_table(runs, words)

    with files_first(show):
        if out:
            _draw(runs, words.chance, out)
            messages.note(f"wrote {out / 'memory.png'}, .svg and .csv")
    if words.bad:
        raise typer.Exit(FAILED)


def _draw(runs: Sequence["DelayedRecallRun"], chance: float, out: Path) -> None:
    from speechcls.experiments.delayed_recall import mean_curves
    from speechcls.experiments.figures import draw_delayed_recall
    from speechcls.render.figures import save_both

    save_both(draw_delayed_recall(mean_curves(runs), chance), out / "memory")
    write_memory(runs, out / "memory.csv")


def write_memory(runs: Sequence["DelayedRecallRun"], path: Path) -> None:
    """Write a line for each network, seed and gap."""
    write_csv(
        path,
        ("arch", "step_ms", "seed", "parameters", "gap_s", "accuracy"),
        (
            (run.arch, run.step_ms, run.seed, run.n_parameters, gap_s, round(accuracy, 6))
            for run in runs
            for gap_s, accuracy in run.accuracy.items()
        ),
    )


def _speak(words: Sequence[str], per_word: int, folder: Path, messages: Messages) -> "Dataset":
    from speechcls.data.layouts import find_examples
    from speechcls.synthesis.espeak import synthesise

    with counting(messages, "speaking", len(words) * per_word) as on_clip:
        synthesise(words, folder / "words", per_word, on_clip=on_clip)
    return find_examples(folder / "words")


def _keep(dataset: "Dataset", commands: Sequence[str]) -> None:
    """Leave only clips of the words in ``commands``."""
    there = {example.label for example in dataset.examples}
    if unknown := sorted(set(commands) - there):
        raise DatasetError(
            f"--commands {','.join(unknown)}: not in {dataset.source}; it has"
            f" {', '.join(sorted(there))}"
        )
    dataset.examples = [example for example in dataset.examples if example.label in commands]


def _as_object(
    runs: Sequence["DelayedRecallRun"], words: "Words", config: "DelayedRecallConfig"
) -> dict[str, object]:
    return {
        "labels": list(words.labels),
        "n_training": len(words.training),
        "n_held_out": len(words.held_out),
        "chance": words.chance,
        "budget": dataclasses.asdict(config),
        "runs": [
            {
                "arch": run.arch,
                "step_ms": run.step_ms,
                "seed": run.seed,
                "parameters": run.n_parameters,
                "gap_s": list(run.accuracy),
                "accuracy": list(run.accuracy.values()),
            }
            for run in runs
        ],
    }


def _print_table(runs: Sequence["DelayedRecallRun"], words: "Words") -> None:
    from speechcls.experiments.delayed_recall import mean_curves

    typer.echo(f"scored  {len(words.held_out)} held-out clips; chance {100 * words.chance:.1f} %")
    typer.echo("right, %, by the seconds from the end of the word to the answer\n")
    gaps = (f"{gap_s:g} s" for gap_s in runs[0].accuracy)
    n_parameters = {(run.step_ms, run.arch): run.n_parameters for run in runs}
    print_table(
        ("network", "ms a step", "parameters", *gaps),
        (
            (
                arch,
                str(step_ms),
                f"{n_parameters[step_ms, arch]:,}",
                *(f"{100 * mean:.1f}" for mean, _ in curve.values()),
            )
            for (step_ms, arch), curve in mean_curves(runs).items()
        ),
        text=("network",),
    )
