"""``speechcls predict``."""

import codecs
import io
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, BinaryIO

import typer

from speechcls.cli.common import FAILED, open_stdin, reports_errors
from speechcls.cli.messages import Messages
from speechcls.cli.options import AsJsonLines, Device, Jobs, Model, Quiet, Verbose
from speechcls.cli.progress import counting
from speechcls.errors import DatasetError, SpeechclsError


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
    if as_json and as_csv:
        raise typer.BadParameter("--json and --csv exclude each other")
    if files_from == "-" and "-" in (clips or []):
        raise typer.BadParameter("stdin cannot be both a recording and the list of files")

    from speechcls.artifact.lookup import find_artifact
    from speechcls.runtime.classifier import Classifier, Window
    from speechcls.runtime.writers import open_writer

    messages = Messages(quiet, verbose)
    path, how = find_artifact(model)
    classifier = Classifier.load(path, jobs, device)
    messages.note(f"model {path} ({how})")
    write = open_writer("json" if as_json else "csv" if as_csv else "tsv", sys.stdout, top_k)
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
        for batch in classifier.predict_many(sources, threshold):
            for name, answer, window in batch:
                on_clip()
                if isinstance(answer, SpeechclsError):
                    n_failed += 1
                    messages.error(str(answer))
                    continue
                write(name, answer)
                if isinstance(window, Window) and window.is_part:
                    messages.detail(
                        f"{name}: lasts {window.clip_duration_s:.2f} s; heard was its loudest"
                        f" part, from {window.start_s:.2f} s"
                    )
            sys.stdout.flush()
    if n_failed:
        raise typer.Exit(FAILED)


_Source = tuple[str, str | BinaryIO | SpeechclsError]
"""Name and place of a recording, or an error for what names none."""


def _sources(clips: list[str], files_from: str | None, end: str) -> Iterator[_Source]:
    """Yield every recording that is named."""
    for clip in clips:
        if clip == "-":
            with open_stdin() as stdin:
                yield "-", io.BytesIO(stdin.read())
        elif os.path.isdir(clip):  # noqa: PTH112 - pathlib's raises for some names
            yield from _in_folder(clip)
        else:
            yield clip, clip
    if files_from is not None:
        for path in _listed(files_from, end):
            yield path, path


def _in_folder(folder: str) -> Iterator[tuple[str, str | SpeechclsError]]:
    from speechcls.data.examples import find_recordings

    problems: list[DatasetError] = []
    n_found = 0
    for recording in find_recordings(Path(folder), problems.append):
        while problems:
            yield folder, problems.pop(0)
        n_found += 1
        yield str(recording), str(recording)
    if not n_found and not problems:
        problems.append(DatasetError(f"{folder}: no recording in this folder; name another"))
    yield from ((folder, problem) for problem in problems)


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
