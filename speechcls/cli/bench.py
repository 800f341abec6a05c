"""``speechcls bench``."""

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from speechcls.cli.common import FAILED, reports_errors
from speechcls.cli.messages import Messages
from speechcls.cli.options import AsJsonLines, Jobs, Quiet, Verbose
from speechcls.cli.progress import counting
from speechcls.cli.tables import print_table
from speechcls.errors import SpeechclsError

if TYPE_CHECKING:
    from speechcls.evaluation.benchmark import BenchmarkResult


@reports_errors
def bench(
    models: Annotated[
        list[Path] | None,
        typer.Argument(
            help="Models, or folders of models. [default: the model that predict takes]",
            metavar="MODEL...",
            show_default=False,
        ),
    ] = None,
    as_json: AsJsonLines = False,
    jobs: Jobs = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Measure how fast models run on this machine and what they need.

    Each model gets a process of its own and about two seconds. "ms a clip" and "real-time factor"
    (seconds of computing for a second of sound: below 1 is faster than speech) are those of one
    clip at a time on one thread; "best batch" and what follows those of as many threads as --jobs
    says. Times are medians, but for that of loading, which happens once and without importing
    libraries; reading recordings comes on top. "MB" is model.onnx, "peak MB" all memory of the
    process, libraries included. Multiply-adds are those of the network on one window; features
    come on top. A model that cannot be used is reported on stderr; the others are done all the
    same, and the exit code is 1.

    Example: speechcls bench models/
    """
    from speechcls.evaluation.benchmark import benchmark_in_subprocess

    messages = Messages(quiet, verbose)
    n_failed = 0
    speeds = []
    found = list(_find(models, messages))
    with counting(messages, "measuring", len(found)) as on_model:
        for model in found:
            try:
                if isinstance(model, SpeechclsError):
                    raise model
                speed = benchmark_in_subprocess(model, jobs)
            except SpeechclsError as error:
                n_failed += 1
                messages.error(str(error))
            else:
                speeds.append(speed)
                if as_json:
                    typer.echo(json.dumps(dataclasses.asdict(speed)))
            on_model()
    if speeds and not as_json:
        _print_table(speeds)
    if n_failed:
        raise typer.Exit(FAILED)


def _find(named: list[Path] | None, messages: Messages) -> Iterator[Path | SpeechclsError]:
    """Yield each model that is meant, or an error for what names none."""
    from speechcls.artifact.lookup import find_artifact, find_artifacts

    if not named:
        path, how = find_artifact(None)
        messages.note(f"model {path} ({how})")
        yield path
    for folder in named or ():
        try:
            yield from find_artifacts(folder)
        except SpeechclsError as error:
            yield error


def _print_table(speeds: list["BenchmarkResult"]) -> None:
    print_table(
        (
            "model",
            "parameters",
            "multiply-adds",
            "MB",
            "load ms",
            "ms a clip",
            "real-time factor",
            "best batch",
            "ms a clip",
            "clips/s",
            "peak MB",
        ),
        (
            (
                speed.model,
                _count(speed.parameters),
                _count(speed.multiply_adds),
                f"{speed.file_bytes / 1e6:.2f}",
                f"{speed.load_ms:.1f}",
                f"{speed.ms_per_clip:.3f}",
                f"{speed.real_time_factor:.5f}",
                str(speed.best_batch),
                f"{speed.best_ms_per_clip:.3f}",
                f"{speed.clips_per_second:,.0f}",
                "-" if speed.peak_memory_mb is None else f"{speed.peak_memory_mb:.0f}",
            )
            for speed in speeds
        ),
        text=("model",),
    )


def _count(number: int | None) -> str:
    return "-" if number is None else f"{number:,}"
