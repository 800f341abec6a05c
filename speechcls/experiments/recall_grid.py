"""The delayed-recall experiment for several architectures, step lengths and seeds."""

import dataclasses
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from speechcls.errors import DatasetError
from speechcls.experiments.delayed_recall import (
    FRONTS,
    DelayedRecallConfig,
    DelayedRecallRun,
    Words,
    build_network,
    run_delayed_recall,
)
from speechcls.layouts.examples import Dataset

WORDS = ("yes", "no", "stop", "go", "left", "right")
"""Words to synthesise where there are no recordings."""
_COST = {10: 3.5, 40: 1.0}
"""Relative time of a batch, by the milliseconds of a step."""
_N_MFCC, _N_LABELS = 20, 2


@dataclass(frozen=True)
class GridRun:
    """One finished run of the grid, and how far the grid is."""

    run: DelayedRecallRun
    number: int
    """Counted from 1."""
    n_runs: int
    left_s: float
    """Seconds that the rest will take, estimated."""


def check_archs(archs: Sequence[str], config: DelayedRecallConfig) -> None:
    """Refuse an architecture that cannot take part, before any work is done.

    Raises
    ------
    ConfigError
        When there is no such architecture, or even its smallest network is too large for
        ``config``.
    """
    for arch in archs:
        build_network(arch, min(FRONTS), _N_MFCC, _N_LABELS, config.max_parameters)


def select_words(dataset: Dataset, words: Sequence[str]) -> Dataset:
    """Return a data set with only the clips of ``words``.

    Raises
    ------
    DatasetError
        When one of them has no clip.
    """
    there = {example.label for example in dataset.examples}
    if unknown := sorted(set(words) - there):
        raise DatasetError(
            f"{', '.join(unknown)} not in {dataset.source}; it has {', '.join(sorted(there))}",
            field="commands",
        )
    kept = [example for example in dataset.examples if example.label in words]
    return dataclasses.replace(dataset, examples=kept)


def total_cost(archs: Sequence[str], n_seeds: int, config: DelayedRecallConfig) -> float:
    """Return the work of a whole grid, in units of its own."""
    return len(archs) * n_seeds * config.steps * sum(_COST[step_ms] for step_ms in FRONTS)


def run_grid(
    words: Words,
    archs: Sequence[str],
    n_seeds: int,
    config: DelayedRecallConfig,
    on_cost: Callable[[float], None] = lambda done: None,
) -> Iterator[GridRun]:
    """Yield the run of each seed, step length and architecture, in this order.

    Parameters
    ----------
    on_cost : called after each batch with how much of ``total_cost`` is done
    """
    grid = [(ms, arch, seed) for seed in range(n_seeds) for ms in FRONTS for arch in archs]
    total, done, started = total_cost(archs, n_seeds, config), 0.0, time.monotonic()
    for number, (step_ms, arch, seed) in enumerate(grid, start=1):

        def on_step(step_ms: int = step_ms) -> None:
            nonlocal done
            done += _COST[step_ms]
            on_cost(done)

        run = run_delayed_recall(words, arch, step_ms, seed, config, on_step)
        left_s = (time.monotonic() - started) * (total - done) / done
        yield GridRun(run, number, len(grid), left_s)
