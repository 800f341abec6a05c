"""A bar on stderr where somebody watches, and nothing elsewhere."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from speechcls.cli.common import Messages

if TYPE_CHECKING:
    from speechcls.training import Epoch


@contextmanager
def counting(messages: Messages, what: str, total: int | None) -> Iterator[Callable[[], None]]:
    """Give a function to call after each of ``total`` items (None: not known)."""
    if not messages.shows_progress:
        yield lambda: None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()
    with Progress(
        *columns,
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
        redirect_stdout=False,  # it would end on stderr
    ) as p:
        task = p.add_task(what, total=total)
        yield lambda: p.advance(task)


@contextmanager
def going_on(messages: Messages, what: str, total: float) -> Iterator[Callable[[float], None]]:
    """Give a function to call with how much of ``total`` is done; time left is shown beside."""
    if not messages.shows_progress:
        yield lambda done: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True, highlight=False)
    columns = TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn()
    # Notes that are written meanwhile go above the bar.
    with Progress(*columns, console=console, transient=True, redirect_stdout=False) as progress:
        task = progress.add_task(what, total=total)
        yield lambda done: progress.update(task, completed=done)


@contextmanager
def listening(
    name: str, duration_s: float | None, is_shown: bool
) -> Iterator[Callable[[float], None]]:
    """Show how much of a recording is heard; give a function to call with each further second."""
    if not is_shown:
        yield lambda seconds: None
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[heard]}")
    with Progress(
        *columns,
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
        redirect_stdout=False,  # it would end on stderr
    ) as progress:
        task = progress.add_task(escape(name), total=duration_s, heard="")
        total = "" if duration_s is None else f" of {_clock(duration_s)}"
        heard_s = 0.0

        def advance(seconds: float) -> None:
            nonlocal heard_s
            heard_s += seconds
            progress.update(task, completed=heard_s, heard=f"{_clock(heard_s)}{total}")

        yield advance


def _clock(seconds: float) -> str:
    minutes, second = divmod(int(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{second:02}"


@contextmanager
def training_display(
    messages: Messages, n_epochs: int, log: Callable[["Epoch"], None]
) -> Iterator[tuple[Callable[["Epoch"], None], Callable[[float], None]]]:
    """Give ``on_epoch`` and ``on_step`` of a training: a line an epoch, under it a live bar.

    Parameters
    ----------
    log : called with each epoch as well
    """

    def note(epoch: "Epoch") -> None:
        log(epoch)
        messages.note(_epoch_line(epoch, n_epochs))

    if not messages.shows_progress:
        yield note, lambda done: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True, highlight=False)
    columns = TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(f"epoch 1/{n_epochs}", total=n_epochs)
        n_done = 0

        def on_epoch(epoch: "Epoch") -> None:
            nonlocal n_done
            log(epoch)
            n_done = epoch.epoch
            progress.print(f"speechcls: {_epoch_line(epoch, n_epochs)}", markup=False)
            next_epoch = min(n_done + 1, n_epochs)
            progress.update(task, completed=n_done, description=f"epoch {next_epoch}/{n_epochs}")

        yield on_epoch, lambda done: progress.update(task, completed=n_done + done)


def _epoch_line(epoch: "Epoch", n_epochs: int) -> str:
    return (
        f"epoch {epoch.epoch}/{n_epochs}  loss {epoch.loss:.3f}"
        f"  validation {100 * epoch.validation_accuracy:.1f} % (loss {epoch.validation_loss:.3f})"
        f"  {epoch.clips_per_second:.0f} clips/s{'  best' if epoch.is_best else ''}"
    )
