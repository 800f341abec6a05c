"""``--engine ray``: a list of recordings scored by many processes."""

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from speechcls.cli.common import FAILED, refuse
from speechcls.cli.inputs import find_model, open_list
from speechcls.cli.messages import Messages
from speechcls.cli.outputs import check_folder_place
from speechcls.cli.progress import item_bar
from speechcls.errors import ConfigError
from speechcls.storage.places import is_address
from speechcls.text import without_credentials

if TYPE_CHECKING:
    from speechcls.artifact.format import Artifact
    from speechcls.cluster.results import Results
    from speechcls.cluster.scoring import Progress
    from speechcls.cluster.tasks import Task
    from speechcls.lists.clip_list import ClipList

LOCAL, RAY = "local", "ray"
_STDERR = 2
_N_TOLD = 10
"""Errors of recordings that are printed; the results have all of them."""


def uses_cluster(ctx: typer.Context, engine: str) -> bool:
    """Whether the command line asks for a cluster; refuse its options where it does not."""
    if engine not in (LOCAL, RAY):
        raise ConfigError(f"no {engine!r}; there are {LOCAL}, {RAY}", field="engine")
    if engine == LOCAL:
        refuse(ctx, ["address", "workers"], "without --engine ray")
    return engine == RAY


def score_on_cluster(
    ctx: typer.Context,
    model: Path | None,
    recordings: Sequence[str] | None,
    without_effect: Sequence[str],
    make_task: "Callable[[Artifact, Messages], Task]",
) -> None:
    """Score a list as the command line asks for; print how it went.

    Parameters
    ----------
    recordings : named as arguments, which there may be none of
    without_effect : parameters that do nothing on a cluster
    make_task : what is to be done with each recording, by the model
    """
    from speechcls.artifact.store import load_artifact

    params = ctx.params
    refuse(ctx, without_effect, "with --engine ray")
    if recordings:
        raise typer.BadParameter("--engine ray takes a list of recordings: give it by --files-from")
    for name, what in (("files_from", "the list of recordings"), ("out", "the folder of results")):
        if params[name] is None:
            raise ConfigError(f"not given; --engine ray needs {what}", field=name)
    if params["files_from"] == "-":
        raise ConfigError(
            "stdin cannot be read again; name a file or an address", field="files_from"
        )
    messages = Messages(params["quiet"], params["verbose"])
    artifact = load_artifact(find_model(model, messages))
    _score(params, make_task(artifact, messages), messages)


@contextmanager
def _without_chatter(is_wanted: bool) -> Iterator[None]:
    """Keep stdout and stderr for what this program prints.

    Ray prints on stdout, and its libraries in C++ on stderr, of each process that is lost, which it
    replaces.

    Parameters
    ----------
    is_wanted : print it all on stderr
    """
    before = sys.__stderr__
    if is_wanted or before is None or sys.stderr is not before:
        with redirect_stdout(sys.stderr):
            yield
        return
    kept = os.dup(_STDERR)
    with (
        Path(os.devnull).open("w") as nowhere,
        redirect_stdout(nowhere),
        os.fdopen(kept, "w", buffering=1, encoding=before.encoding, errors=before.errors) as own,
        redirect_stderr(own),
    ):
        os.dup2(nowhere.fileno(), _STDERR)
        try:
            yield
        finally:
            os.dup2(kept, _STDERR)


def _score(params: dict[str, Any], task: "Task", messages: Messages) -> None:
    from speechcls.cluster.connection import load_ray
    from speechcls.cluster.results import Results
    from speechcls.cluster.scoring import is_complete

    load_ray()  # refused before anything is read or written
    clips = open_list(params["files_from"], params["null"], messages)
    n_clips = clips.check()
    if not is_address(params["out"]):
        check_folder_place(Path(params["out"]))
    results = Results(params["out"], task.about(), without_credentials(clips.place))
    for name in results.damaged:
        messages.warn(f"{results}/{name}: damaged; it is made again")
    if n_before := results.n_clips:
        messages.note(f"{n_before} recordings were done before")
    if not is_complete(clips, task, results):
        _run(params, clips, n_clips, task, results, messages)
    failed = f", {results.n_failed} of them with an error" if results.n_failed else ""
    messages.note(f"{results}: {results.n_clips} recordings{failed}")
    if not results.n_clips:
        messages.warn(f"{clips.name}: names no recording")
    if results.n_failed:
        raise typer.Exit(FAILED)


def _run(
    params: dict[str, Any],
    clips: "ClipList",
    n_clips: int | None,
    task: "Task",
    results: "Results",
    messages: Messages,
) -> None:
    """Score what is missing."""
    from speechcls.cluster.connection import open_cluster
    from speechcls.cluster.scoring import score_list

    workers, n_before = params["workers"], results.n_clips
    with (
        _without_chatter(params["verbose"]),
        open_cluster(params["address"], workers) as cluster,
    ):
        messages.note(f"Ray: {cluster.describe()}")
        parts = score_list(clips, task, results, cluster, workers)
        try:
            _follow(parts, n_clips, n_before, messages)
        except BaseException as error:
            if results.finished and not isinstance(error, ConfigError):
                with suppress(OSError):  # of a terminal that was closed
                    messages.note(
                        f"{results} keeps the {results.n_clips} that are done; the same command"
                        " goes on"
                    )
            raise


def _follow(
    parts: "Iterator[Progress]", n_clips: int | None, n_before: int, messages: Messages
) -> None:
    """Show the progress of a run, and the first errors."""
    n_told = n_failed = n_again = 0
    with item_bar(messages, "scoring", n_clips) as on_clips:
        on_clips(n_before)
        for part in parts:
            on_clips(part.n_clips)
            n_failed, n_again = n_failed + part.n_failed, n_again + part.n_again
            for text in part.errors[: _N_TOLD - n_told]:
                messages.error(text)
                n_told += 1
    if n_failed > n_told:
        messages.error(f"{n_failed - n_told} more recordings cannot be used; the results name them")
    if n_again:
        messages.note(
            f"{n_again} lines name a recording again; each has its row, a copy of the first"
        )
