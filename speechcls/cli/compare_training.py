"""``speechcls compare DATA --archs``: training of all models, with progress."""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from speechcls.cli.common import own_place
from speechcls.cli.messages import Messages
from speechcls.cli.progress import item_bar, work_bar
from speechcls.config import DataConfig, TrainConfig

if TYPE_CHECKING:
    from speechcls.data.corpus import Corpus
    from speechcls.experiments.sweep import SweepProgress, SweepRun
    from speechcls.layouts.examples import Dataset


def train_all(
    dataset: "Dataset",
    archs: Sequence[str],
    n_seeds: int,
    size: str,
    training: TrainConfig,
    data: DataConfig,
    out: Path,
    device: str,
    jobs: int,
    messages: Messages,
) -> dict[str, list[Path]]:
    """Train the models that ``out`` does not hold yet; return all by architecture and seed.

    Of several processes the main one alone goes on to compare them.
    """
    from speechcls.experiments.sweep import SweepCallbacks, train_sweep
    from speechcls.training.settings import TrainSettings

    with ExitStack() as bars:
        is_main = own_place().is_main
        advance: list[Any] = [
            bars.enter_context(item_bar(messages, "reading", len(dataset.examples), is_main)),
            lambda fraction: None,
        ]

        def on_corpus(corpus: "Corpus") -> None:
            bars.close()
            for warning in corpus.warnings:
                messages.warn(warning)
            messages.note(corpus.summary())

        def on_start(missing: Sequence["SweepRun"], n_done: int) -> None:
            if n_done:
                messages.note(f"{n_done} of {n_done + len(missing)} models are in {out} already")
            advance[1] = bars.enter_context(work_bar(messages, "training", 1.0))

        callbacks = SweepCallbacks(
            on_clip=lambda: advance[0](),
            on_corpus=on_corpus,
            on_start=on_start,
            on_fraction=lambda fraction: advance[1](fraction),
            on_run=lambda progress: messages.note(_describe(progress)),
            on_warning=messages.warn,
        )
        settings = TrainSettings(training=training, data=data)
        try:
            models = train_sweep(
                dataset, archs, n_seeds, size, settings, out, device, jobs, callbacks
            )
        except KeyboardInterrupt:
            if is_main:
                messages.note("finished models are kept; run the same command to resume")
            raise
    if not is_main:
        raise typer.Exit
    return models


def _describe(progress: "SweepProgress") -> str:
    seconds = progress.left_s
    left = f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
    return (
        f"{progress.run.name}: balanced accuracy {100 * progress.balanced_accuracy:.1f} % on the"
        " validation clips"
        f" ({progress.number} of {progress.n_runs}{f', about {left} left' if seconds else ''})"
    )
