"""``speechcls predict``."""

import codecs
import io
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated

import typer

from speechcls.cli.common import FAILED, open_stdin, reports_errors
from speechcls.cli.messages import Messages
from speechcls.cli.options import AsJsonLines, Device, Jobs, Model, Quiet, Verbose
from speechcls.cli.progress import counting
from speechcls.errors import DatasetError, SpeechclsError
from speechcls.runtime.writers import PREDICTION_FORMATS, choose_format, describe_formats


@reports_errors
def predict(
    clips: Annotated[
        list[str] | None,
        typer.Argument(
            help="Recordings, folders of them, or - for one on stdin.", metavar="CLIP..."
        ),
    ] = None,
    model: Model = None,
    files_from: Annotated[
        str | None,
        typer.Option(help="File with one path a line (- for stdin).", metavar="FILE"),
    ] = None,
    null: Annotated[
        bool, typer.Option("--null", "-0", help="Paths of --files-from end with NUL, not newline.")
    ] = False,
    top_k: Annotated[
        int | None,
        typer.Option(min=1, help="Labels to give, likeliest first. [default: 1, in JSON all]"),
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            max=1.0,
            help="Below this probability answer _uncertain_. With a model of two labels: answer the"
            " second label from this probability on, else the first.",
        ),
    ] = None,
    format: Annotated[str, typer.Option(help=f"{describe_formats(PREDICTION_FORMATS)}.")] = "tsv",
    as_json: AsJsonLines = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="CSV with a header.")] = False,
    device: Device = "cpu",
    jobs: Jobs = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Say which word is spoken in each recording.

    Prints path, label and probability, separated by tabs, one line a recording, in the order
    given. A recording that cannot be used is reported on stderr; the others are done all the same,
    and the exit code is 1.

    Example: speechcls predict clip.wav
    """
    if not clips and files_from is None:
        raise typer.BadParameter("name a recording, a folder, - for stdin, or use --files-from")
    if as_json + as_csv + (format != "tsv") > 1:
        raise typer.BadParameter("--json, --csv and --format exclude each other")
    format = "json" if as_json else "csv" if as_csv else format
    open_writer = choose_format(PREDICTION_FORMATS, format).open
    if files_from == "-" and "-" in (clips or []):
        raise typer.BadParameter("stdin cannot be both a recording and the list of files")

    from speechcls.artifact.lookup import find_artifact
    from speechcls.runtime.classifier import Classifier

    messages = Messages(quiet, verbose)
    path, how = find_artifact(model)
    classifier = Classifier.load(path, jobs, device)
    messages.note(f"model {path} ({how})")
    write = open_writer(sys.stdout, top_k)
    n_failed = 0
    sources: Iterable[_Source] = _sources(clips or [], files_from, "\0" if null else "\n")
    # In a terminal the answers themselves show how far it is.
    is_wanted = not sys.stdout.isatty()
    n_clips = None
    is_list = files_from is None or Path(files_from).is_file()
    if messages.shows_progress and is_wanted and is_list and "-" not in (clips or []):
        sources = list(sources)
        n_clips = len(sources)
    with counting(messages, "predicting", n_clips, is_wanted) as on_clip:
        for clip, outcome in classifier.predict_many(sources, threshold=threshold):
            on_clip()
            if isinstance(outcome, SpeechclsError):
                n_failed += 1
                messages.error(str(outcome))
                continue
            name = clip if isinstance(clip, str) else "-"
            write(name, outcome)
            sys.stdout.flush()
            if outcome.is_part:
                messages.detail(
                    f"{name}: lasts {outcome.clip_duration_s:.2f} s; the prediction is of its"
                    f" loudest part, from {outcome.start_s:.2f} s"
                )
    if n_failed:
        raise typer.Exit(FAILED)


class _Stdin(io.BytesIO):
    """What was read from stdin; messages call it so."""

    name = "-"


_Source = str | _Stdin | SpeechclsError
"""Path of a recording or the one on stdin, or an error for what names none."""


def _sources(clips: list[str], files_from: str | None, end: str) -> Iterator[_Source]:
    """Yield every recording that is named."""
    for clip in clips:
        if clip == "-":
            with open_stdin() as stdin:
                yield _Stdin(stdin.read())
        elif os.path.isdir(clip):  # noqa: PTH112 - pathlib's raises for some names
            yield from _in_folder(clip)
        else:
            yield clip
    if files_from is not None:
        yield from _listed(files_from, end)


def _in_folder(folder: str) -> Iterator[str | SpeechclsError]:
    from speechcls.data.layouts import find_recordings

    problems: list[DatasetError] = []
    n_found = 0
    for recording in find_recordings(Path(folder), problems.append):
        while problems:
            yield problems.pop(0)
        n_found += 1
        yield str(recording)
    if not n_found and not problems:
        problems.append(DatasetError(f"{folder}: no recording in this folder; name another"))
    yield from problems


def _listed(files_from: str, end: str) -> Iterator[str]:
    """Yield the paths in a list as they come in."""
    with open_stdin() if files_from == "-" else Path(files_from).open("rb") as file:
        if end == "\n":
            for number, line in enumerate(file):
                line = line.removeprefix(codecs.BOM_UTF8) if number == 0 else line
                if line.strip():
                    yield os.fsdecode(line.rstrip(b"\r\n"))
            return
        rest = b""
        while piece := file.read1(65_536):
            *whole, rest = (rest + piece).split(b"\0")
            yield from (os.fsdecode(path) for path in whole if path)
        if rest:
            yield os.fsdecode(rest)
