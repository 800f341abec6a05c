"""``speechcls bench``."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from speechcls.cli.common import FAILED, reports_errors
from speechcls.cli.inputs import find_model
from speechcls.cli.messages import Messages
from speechcls.cli.options import AsJsonLines, Jobs, Quiet, Verbose, as_path
from speechcls.cli.progress import item_bar
from speechcls.cli.tables import or_dash, print_json, print_table
from speechcls.errors import SpeechclsError

if TYPE_CHECKING:
    from speechcls.evaluation.benchmark import BenchmarkResult

_MODELS = typer.Argument(
    help="Models, or folders of models. [default: the model that predict takes]",
    metavar="MODEL...",
    show_default=False,
    parser=as_path,
)


@reports_errors
def bench(
    models: Annotated[list[Path] | None, _MODELS] = None,
    as_json: AsJsonLines = False,
    jobs: Jobs = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Measure speed, memory and size of models on this machine.

    Each model runs in a process of its own, for about two seconds. "ms per clip" and "real-time
    factor" (seconds of computing per second of sound: below 1 is faster than speech) are those of
    one clip at a time on one thread; "best batch" and the columns after it those of --jobs threads.
    Times are medians, except that of loading, which happens once and without the import of
    libraries; reading recordings is not included. "MB" is the size of model.onnx, "peak MB" all
    memory of the process, libraries included. Multiply-adds are those of the network on one window,
    without its features. A model that cannot be used is reported on stderr; the others are
    measured, and the exit code is 1.

    Example: speechcls bench models/
    """
    from speechcls.evaluation.benchmark import benchmark_in_subprocess

    messages = Messages(quiet, verbose)
    n_failed = 0
    results = []
    found = list(_find(models, messages))
    with item_bar(messages, "measuring", len(found)) as on_model:
        for model in found:
            try:
                if isinstance(model, SpeechclsError):
                    raise model
                result = benchmark_in_subprocess(model, jobs)
            except SpeechclsError as error:
                n_failed += 1
                messages.error(str(error))
            else:
                results.append(result)
                if as_json:
                    print_json(dataclasses.asdict(result))
            on_model()
    if not as_json:
        _print_table(results)
    if n_failed:
        raise typer.Exit(FAILED)
    step = ("compare", *models) if len(results) > 1 and models else ("evaluate",)
    messages.next_steps((*step, *(("--data",) if len(step) > 1 else ()), "DATA"), in_scripts=False)


def _find(named: list[Path] | None, messages: Messages) -> Iterator[Path | SpeechclsError]:
    """Yield each model named, or an error for a name without a model."""
    from speechcls.artifact.lookup import find_artifacts

    if not named:
        yield find_model(None, messages)
    for folder in named or ():
        try:
            yield from find_artifacts(folder)
        except SpeechclsError as error:
            yield error


def _print_table(results: list["BenchmarkResult"]) -> None:
    print_table(
        ("model", "parameters", "multiply-adds", "MB", "load ms", "ms per clip", "real-time factor",
         "best batch", "ms per clip", "clips/s", "peak MB"),
        (
            (
                result.model,
                or_dash(result.parameters, ",d"),
                or_dash(result.multiply_adds, ",d"),
                f"{result.file_bytes / 1e6:.2f}",
                f"{result.load_ms:.1f}",
                f"{result.ms_per_clip:.3f}",
                f"{result.real_time_factor:.5f}",
                str(result.best_batch),
                f"{result.best_ms_per_clip:.3f}",
                f"{result.clips_per_second:,.0f}",
                or_dash(result.peak_memory_mb, ".0f"),
            )
            for result in results
        ),
        text=("model",),
    )  # fmt: skip
