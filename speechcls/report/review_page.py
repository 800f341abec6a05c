"""A page on which kept events are heard and judged, and which exports the verdicts."""

from pathlib import Path

from speechcls.errors import DatasetError, reason_of
from speechcls.files import write_atomic
from speechcls.live.events import EventFolder
from speechcls.render.html import data_uri, render
from speechcls.text import shell_line

PAGE = "review.html"
MOST = 200
"""Events on a page, of 0.1 MB each."""


def write_review_page(folder: EventFolder) -> tuple[Path, int]:
    """Write a self-contained page of the first events that are not judged, into their folder.

    Returns
    -------
    its path, and how many events are on it

    Raises
    ------
    DatasetError
        When every event is judged, or the sound of one is not there.
    """
    events = folder.unjudged()[:MOST]
    if not events:
        raise DatasetError(f"{folder.path}: every event is judged; keep further ones")
    sounds = []
    for event in events:
        try:
            sounds.append(data_uri("audio/wav", folder.wav(event).read_bytes()))
        except OSError as error:
            raise DatasetError(
                f"{folder.wav(event)}: {reason_of(error)}; bring it back, or judge the event"
                " in a terminal"
            ) from error
    page = render(
        PAGE,
        name=str(folder.path),
        folder=shell_line(folder.path),
        rows=list(zip(events, sounds, strict=True)),
        labels=sorted({event.label for event in folder.events.values()}),
        n_unjudged=len(folder.unjudged()),
    )
    write_atomic(folder.path / PAGE, page)
    return folder.path / PAGE, len(events)
