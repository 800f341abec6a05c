"""Progress bars on stderr, on a terminal only."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from speechcls.cli.messages import Messages
from speechcls.cli.scores import describe_headline
from speechcls.text import printable, shorten

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, ProgressColumn
    from rich.text import Text

    from speechcls.storage.mirror import Watch
    from speechcls.training.optimisation import Epoch

_LONGEST = 60
"""Characters of a name before its middle is left out, so that there is room for the bar."""
_LABEL = 20
"""Characters of a label before its middle is left out."""
_CHART_COLUMNS = 60
_AXIS = ("100 % |", "      |", " 50 % |", "      |", "  0 % |")
"""What stands before the rows of the curve of the validation accuracy."""


def _bar(*columns: "ProgressColumn") -> "Progress":
    """Return a bar with a text before it and the time left behind; it is gone when it ends."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    # Notes that are written meanwhile go above the bar; stdout would end on stderr.
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        *columns,
        TimeRemainingColumn(),
        console=Console(stderr=True, highlight=False),
        transient=True,
        redirect_stdout=False,
    )


@contextmanager
def item_bar(
    messages: Messages, text: str, n_items: int | None, is_wanted: bool = True
) -> Iterator[Callable[..., None]]:
    """Yield a function to call after each of ``n_items`` (None: not known), or so many of them."""
    if not (messages.shows_progress and is_wanted):
        yield lambda n=1: None
        return
    from rich.progress import MofNCompleteColumn

    with _bar(MofNCompleteColumn()) as progress:
        task = progress.add_task(text, total=n_items)
        yield lambda n=1: progress.advance(task, n)


@contextmanager
def work_bar(messages: Messages, text: str, total: float) -> Iterator[Callable[[float], None]]:
    """Yield a function to call with how much of ``total`` is done."""
    if not messages.shows_progress:
        yield lambda done: None
        return
    with _bar() as progress:
        task = progress.add_task(text, total=total)
        yield lambda done: progress.update(task, completed=done)


def fetching(messages: Messages) -> "Watch":
    """Return what shows how many files that lie elsewhere were fetched."""
    return lambda n_files: item_bar(messages, "fetching", n_files)


@contextmanager
def recording_bar(
    messages: Messages, name: str, duration_s: float | None, is_wanted: bool = True
) -> Iterator[Callable[[float], None]]:
    """Yield a function to call with the seconds of each further block of a recording.

    Parameters
    ----------
    duration_s : None where it is not known
    """
    if not (messages.shows_progress and is_wanted):
        yield lambda seconds: None
        return
    from rich.progress import TextColumn

    with _bar(TextColumn("{task.fields[position]}")) as progress:
        task = progress.add_task(shorten(printable(name), _LONGEST), total=duration_s, position="")
        total = "" if duration_s is None else f" of {_clock(duration_s)}"
        done_s = 0.0

        def advance(seconds: float) -> None:
            nonlocal done_s
            done_s += seconds
            progress.update(task, completed=done_s, position=f"{_clock(done_s)}{total}")

        yield advance


def _clock(seconds: float) -> str:
    minutes, second = divmod(int(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{second:02}"


@contextmanager
def training_display(
    messages: Messages, n_epochs: int, log: Callable[["Epoch"], None]
) -> Iterator[tuple[Callable[["Epoch"], None], Callable[[float], None]]]:
    """Yield ``on_epoch`` and ``on_step`` of a training: a line per epoch, with a curve and a bar.

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
    from rich.console import Group
    from rich.live import Live

    progress = _bar()
    task = progress.add_task(f"epoch 1/{n_epochs}", total=n_epochs)
    history: list[Epoch] = []

    def draw() -> Group:
        return Group(*_curve(history, n_epochs, progress.console), progress)

    how = {"console": progress.console, "transient": True, "redirect_stdout": False}
    with Live(get_renderable=draw, **how):  # type: ignore[arg-type]

        def on_epoch(epoch: "Epoch") -> None:
            note(epoch)
            history.append(epoch)
            next_epoch = min(epoch.epoch + 1, n_epochs)
            text = f"epoch {next_epoch}/{n_epochs}"
            progress.update(task, completed=epoch.epoch, description=text)

        def on_step(done: float) -> None:
            progress.update(task, completed=(history[-1].epoch if history else 0) + done)

        yield on_epoch, on_step


def _curve(history: "list[Epoch]", n_epochs: int, console: "Console") -> "list[Text]":
    """Return the accuracy of every epoch so far as a chart, the loss, and the worst confusion."""
    import numpy as np
    from rich.text import Text

    from speechcls.render.terminal import as_columns

    if not history or not console.encoding.startswith("utf"):
        return []
    last, n_columns = history[-1], max(10, min(_CHART_COLUMNS, console.width - len(_AXIS[0])))
    # The chart is as wide at the first epoch as at the last one.
    n_columns = n_columns if len(history) > n_columns else max(n_columns // n_epochs, 1) * n_epochs
    accuracies = np.array([epoch.validation_balanced_accuracy for epoch in history])
    losses = np.array([epoch.loss for epoch in history])
    rows = as_columns(accuracies, len(_AXIS), n_columns)
    lines = [label + row for label, row in zip(_AXIS, rows, strict=True)]
    [loss] = as_columns(losses / losses.max(), 1, n_columns)
    lines.append(f"{'loss':>5} |{loss}")
    if last.confused_clips:
        clips = f"{last.confused_clips} clip{'s' * (last.confused_clips != 1)}"
        pair = f"{shorten(printable(last.confused_truth), _LABEL)} taken for"
        pair += f" {shorten(printable(last.confused_prediction), _LABEL)}"
        lines.append(f"worst: {pair}, {clips}")
    return [Text(line, no_wrap=True, overflow="crop") for line in lines]


def _epoch_line(epoch: "Epoch", n_epochs: int) -> str:
    balanced, beside = describe_headline(
        epoch.validation_balanced_accuracy,
        epoch.validation_command_recall,
        epoch.validation_accuracy,
    )
    return (
        f"epoch {epoch.epoch}/{n_epochs}  loss {epoch.loss:.3f}"
        f"  validation {balanced} ({beside}, loss {epoch.validation_loss:.3f})"
        f"  {epoch.clips_per_second:.0f} clips/s{'  best' if epoch.is_best else ''}"
    )
