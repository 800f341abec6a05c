"""``--save-events`` of ``detect`` and ``listen``: each event kept with its sound."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from speechcls.cli.messages import Messages
from speechcls.cli.options import OUTPUT, option
from speechcls.cli.outputs import check_folder_place

if TYPE_CHECKING:
    from speechcls.artifact.format import Artifact
    from speechcls.config import EventSettings
    from speechcls.live.recorder import EventRecorder

SaveEvents = Annotated[
    Path | None,
    option(
        "--save-events",
        help="Folder to keep the sound of each detected word in, for speechcls review.",
        panel=OUTPUT,
        metavar="DIR",
    ),
]


@contextmanager
def saving_events(
    folder: Path | None, artifact: "Artifact", settings: "EventSettings", messages: Messages
) -> "Iterator[EventRecorder | None]":
    """Yield what keeps the events of a run, telling what is kept; None where nothing is."""
    if folder is None:
        yield None
        return
    from speechcls.live.recorder import CONTEXT_S, EventRecorder

    check_folder_place(folder)
    recorder = EventRecorder(folder, artifact, settings, messages.error)
    messages.note(
        f"keeps the sound of each detected word in {folder}, with {CONTEXT_S:g} s before and after"
        " it; Ctrl-C ends that, and without --save-events nothing is kept"
    )
    try:
        yield recorder
    finally:
        known = f" ({recorder.n_known} were there already)" if recorder.n_known else ""
        messages.note(f"kept {recorder.n_kept} events in {folder}{known}")
        if recorder.n_kept:
            messages.next_steps(("review", folder))
        if recorder.n_failed:
            messages.error(f"{folder}: {recorder.n_failed} events are not kept")
