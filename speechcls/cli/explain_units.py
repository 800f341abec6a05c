"""Units by habit: ``speechcls explain --data``."""

from io import BytesIO
from pathlib import Path

import typer

from speechcls.cli.common import FAILED
from speechcls.cli.data_options import DataOptions
from speechcls.cli.inputs import find_model, open_clip
from speechcls.cli.messages import Messages
from speechcls.cli.outputs import check_file_place
from speechcls.cli.progress import item_bar
from speechcls.cli.tables import print_line
from speechcls.text import without_credentials


def explain_units(
    data: list[Path],
    reading: DataOptions,
    clip: str | None,
    model: Path | None,
    n_clips: int | None,
    page: Path,
    messages: Messages,
) -> None:
    """Write the page of what each unit responds to in a data set, and print its path.

    Parameters
    ----------
    clip : one more clip, which the others are compared with
    n_clips : of the data; None: the default
    """
    from speechcls.data.clips import describe_notes
    from speechcls.explain.habits import HabitSettings, run_clips
    from speechcls.explain.page import write_habits
    from speechcls.runtime.classifier import Classifier

    check_file_place(page)
    settings = HabitSettings() if n_clips is None else HabitSettings(n_clips=n_clips)
    path = find_model(model, messages)
    classifier = Classifier.load(path)
    query, name = None, ""
    if clip is not None:
        content: str | BytesIO = open_clip(clip)
        name = without_credentials(clip)
        query = name, classifier.read_window(content, name=name)
    dataset = reading.load(data, messages)
    with item_bar(messages, "running", settings.n_clips) as on_clip:
        run = run_clips(classifier, dataset, settings, query, on_clip)
    messages.errors(run.bad)
    for note in describe_notes([c.example for c in run.clips], [c.notes for c in run.clips]):
        messages.warn(note)
    messages.note(str(run))
    n_labels, n_top = len(run.labels), settings.n_top
    if len(run.own) < n_top * n_labels and run.n_left:
        messages.note(
            f"fewer clips of a label than the {n_top} of a list; --clips {n_top * n_labels} takes"
            " more, into a larger page"
        )
    beside = f"{Path(name).name} among " if name else ""
    write_habits(run, settings, f"{path.name}: {beside}the clips of {dataset.title}", page)
    print_line(page)
    if run.bad:
        raise typer.Exit(FAILED)
