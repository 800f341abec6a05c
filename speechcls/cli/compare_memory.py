"""``speechcls compare --memory``: how long each architecture remembers a word."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from speechcls.cli.common import FAILED
from speechcls.cli.messages import Messages
from speechcls.cli.outputs import files_first
from speechcls.cli.progress import item_bar, work_bar
from speechcls.cli.tables import print_json, print_table
from speechcls.files import write_csv

if TYPE_CHECKING:
    from speechcls.experiments.delayed_recall import DelayedRecallConfig, DelayedRecallRun, Words
    from speechcls.layouts.examples import Dataset


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
    """Train, print, and draw.

    Parameters
    ----------
    dataset : recordings of words; None: words are synthesised
    """
    from speechcls.experiments.recall_grid import check_archs

    check_archs(archs, config)
    words = _prepare(dataset, commands, config, messages)
    messages.errors(words.bad)
    messages.note(
        f"{len(words.labels)} words, {len(words.training)} clips to train on and"
        f" {len(words.held_out)} held out; the prediction is made 0 to {config.max_gap_s:g} s after"
        " the word"
    )
    runs = _run(words, archs, n_seeds, config, messages)

    def show() -> None:
        if as_json:
            print_json(_as_object(runs, words, config))
        else:
            _print_table(runs, words)

    with files_first(show):
        if out:
            _draw(runs, words.chance, out)
            messages.note(f"wrote {out / 'memory.png'}, .svg and .csv")
    if words.bad:
        raise typer.Exit(FAILED)


def _prepare(
    dataset: "Dataset | None",
    commands: Sequence[str],
    config: "DelayedRecallConfig",
    messages: Messages,
) -> "Words":
    """Return the words of the data set, or synthetic ones."""
    from speechcls.experiments.delayed_recall import prepare_words
    from speechcls.experiments.recall_grid import WORDS, select_words

    if dataset is not None:
        return prepare_words(select_words(dataset, commands) if commands else dataset, config)
    with tempfile.TemporaryDirectory(prefix="speechcls-") as scratch:
        dataset = _synthesise(commands or WORDS, config.max_per_word, Path(scratch), messages)
        return prepare_words(dataset, config)


def _synthesise(words: Sequence[str], per_word: int, folder: Path, messages: Messages) -> "Dataset":
    from speechcls.layouts.load import load_dataset
    from speechcls.synthesis.espeak import synthesise

    with item_bar(messages, "synthesising", len(words) * per_word) as on_clip:
        synthesise(words, folder / "words", per_word, on_clip=on_clip)
    return load_dataset(folder / "words")


def _run(
    words: "Words",
    archs: Sequence[str],
    n_seeds: int,
    config: "DelayedRecallConfig",
    messages: Messages,
) -> list["DelayedRecallRun"]:
    """Train every network, with a line for each."""
    from speechcls.experiments.recall_grid import run_grid, total_cost

    runs = []
    with work_bar(messages, "training", total_cost(archs, n_seeds, config)) as on_cost:
        for done in run_grid(words, archs, n_seeds, config, on_cost):
            run = done.run
            runs.append(run)
            first, *_, last = (100 * accuracy for accuracy in run.accuracy.values())
            messages.note(
                f"{run.arch}, {run.step_ms} ms per step, seed {run.seed}: {first:.0f} % at once,"
                f" {last:.0f} % after {config.max_gap_s:g} s"
                f" ({done.number} of {done.n_runs}, about {done.left_s / 60:.0f} min left)"
            )
    return runs


def _draw(runs: Sequence["DelayedRecallRun"], chance: float, out: Path) -> None:
    from speechcls.experiments.delayed_recall import mean_curves
    from speechcls.experiments.figures import draw_delayed_recall
    from speechcls.render.figures import save_both

    save_both(draw_delayed_recall(mean_curves(runs), chance), out / "memory")
    write_csv(
        out / "memory.csv",
        ("arch", "step_ms", "seed", "parameters", "gap_s", "accuracy"),
        (
            (run.arch, run.step_ms, run.seed, run.n_parameters, gap_s, round(accuracy, 6))
            for run in runs
            for gap_s, accuracy in run.accuracy.items()
        ),
    )


def _as_object(
    runs: Sequence["DelayedRecallRun"], words: "Words", config: "DelayedRecallConfig"
) -> dict[str, object]:
    return {
        "labels": list(words.labels),
        "n_training": len(words.training),
        "n_held_out": len(words.held_out),
        "chance": words.chance,
        "budget": {
            "longest_s": config.max_gap_s,
            "parameters": config.max_parameters,
            "steps": config.steps,
            "batch_size": config.batch_size,
            "lr": config.lr,
            "per_word": config.max_per_word,
        },
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
    typer.echo("accuracy, %, by the seconds from the end of the word to the prediction\n")
    gaps = (f"{gap_s:g} s" for gap_s in runs[0].accuracy)
    n_parameters = {(run.step_ms, run.arch): run.n_parameters for run in runs}
    print_table(
        ("network", "ms per step", "parameters", *gaps),
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
