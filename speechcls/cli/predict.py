"""``speechcls predict``."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from speechcls.cli.common import FAILED, Jobs, Messages, Model, Quiet, Verbose, reports_errors
from speechcls.errors import DatasetError, SpeechclsError


@reports_errors
def predict(
    clips: Annotated[
        list[str] | None,
        typer.Argument(help="Recordings, folders of them, or - for one on stdin.", metavar="CLIP"),
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
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="CSV with a header.")] = False,
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

    from speechcls.artifact import find_artifact
    from speechcls.classifier import Classifier, Window
    from speechcls.output import open_writer

    messages = Messages(quiet, verbose)
    path, how = find_artifact(model)
    classifier = Classifier.load(path, jobs)
    messages.note(f"model {path} ({how})")
    write = open_writer("json" if as_json else "csv" if as_csv else "tsv", sys.stdout, top_k)
    n_failed = 0
    paths = _paths(clips or [], files_from, "\0" if null else "\n")
    for batch in classifier.predict_many(paths, threshold, sys.stdin.buffer):
        for name, answer, window in batch:
            if isinstance(answer, SpeechclsError):
                n_failed += 1
                messages.error(str(answer))
                continue
            write(name, answer)
            if isinstance(window, Window) and window.is_part:
                messages.detail(
                    f"{name}: lasts {window.clip_duration_s:.2f} s; heard was its loudest part,"
                    f" from {window.start_s:.2f} s"
                )
        sys.stdout.flush()
    if n_failed:
        raise typer.Exit(FAILED)


def _paths(clips: list[str], files_from: str | None, end: str) -> Iterator[str | SpeechclsError]:
    """Yield every recording that is named, or an error in the place of what names none."""
    for clip in clips:
        if clip == "-" or not Path(clip).is_dir():
            yield clip
            continue
        from speechcls.dataset import find_recordings

        n_found = 0
        try:
            for recording in find_recordings(Path(clip)):
                n_found += 1
                yield str(recording)
            if not n_found:
                yield DatasetError(f"{clip}: no recording in this folder")
        except DatasetError as error:
            yield error
    if files_from is not None:
        yield from _listed(files_from, end)


def _listed(files_from: str, end: str) -> Iterator[str]:
    """Yield the paths in a list as they come in."""
    # Not sys.stdin: Python waits for whoever reads it before it can end, after Ctrl-C too.
    source = 0 if files_from == "-" else files_from
    with open(
        source, encoding="utf-8", errors="surrogateescape", newline="\n", closefd=source != 0
    ) as file:
        if end == "\n":
            yield from (line.rstrip("\r\n") for line in file if line.strip())
            return
        rest = ""
        while piece := file.read(65_536):
            *whole, rest = (rest + piece).split(end)
            yield from (path for path in whole if path)
        if rest:
            yield rest
