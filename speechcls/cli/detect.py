"""``speechcls detect``."""

import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from speechcls.cli.common import FAILED, open_stdin, reports_errors
from speechcls.cli.messages import Messages
from speechcls.cli.options import Model, Quiet, Verbose, split_names
from speechcls.cli.progress import listening
from speechcls.config import DEFAULT_EVERY_S, EventSettings
from speechcls.errors import AudioError
from speechcls.files import open_text_atomic
from speechcls.runtime.writers import EVENT_FORMATS, choose_format, describe_formats

if TYPE_CHECKING:
    from speechcls.audio.blocks import BlockReader
    from speechcls.runtime.detection import Event
    from speechcls.runtime.streaming import StreamingClassifier

DEFAULTS = EventSettings()


@reports_errors
def detect(
    recordings: Annotated[
        list[str], typer.Argument(help="Recordings, or - for one on stdin.", metavar="RECORDING...")
    ],
    model: Model = None,
    labels: Annotated[
        str | None,
        typer.Option(
            help="Words to look for, as yes,no. [default: all, but not _unknown_ and _silence_]",
            metavar="LABELS",
        ),
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(
            min=0.0, max=1.0, help="Least probability of a word. [default: the model's own]"
        ),
    ] = None,
    every_s: Annotated[
        float,
        typer.Option(
            "--every",
            help="Seconds from one answer of the model to the next; one that was trained with"
            " --streaming has its own.",
        ),
    ] = DEFAULT_EVERY_S,
    smoothing_s: Annotated[
        float, typer.Option(help="Seconds over which probabilities are averaged.")
    ] = DEFAULTS.smoothing_s,
    min_s: Annotated[
        float, typer.Option(help="Seconds for which a word has to stay above its threshold.")
    ] = DEFAULTS.min_s,
    refractory_s: Annotated[
        float,
        typer.Option(help="Of words fewer seconds apart than this only the likeliest counts."),
    ] = DEFAULTS.refractory_s,
    channel: Annotated[
        int | None,
        typer.Option(min=1, help="Which channel to hear, from 1 on. [default: the mean of all]"),
    ] = None,
    raw: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Recordings have no header: 16-bit little-endian samples, one channel, of this"
            " rate in Hz.",
            metavar="RATE",
        ),
    ] = None,
    format: Annotated[str, typer.Option(help=f"{describe_formats(EVENT_FORMATS)}.")] = "tsv",
    out: Annotated[
        Path | None, typer.Option(help="File to write instead of stdout.", metavar="FILE")
    ] = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Find the words in long recordings.

    Prints path, start and end in seconds, label and probability, separated by tabs, one line a
    word, as soon as it is found. Recordings may have any length, rate and channels. One that cannot
    be used, or not to its end, is reported on stderr; the others are done all the same, and the
    exit code is 1.

    Example: speechcls detect recording.wav
    """
    _check_usage(recordings, format, out)

    from speechcls.artifact.lookup import find_artifact
    from speechcls.artifact.store import load_artifact
    from speechcls.audio.blocks import open_recording
    from speechcls.runtime.streaming import StreamingClassifier

    messages = Messages(quiet, verbose)
    settings = EventSettings(smoothing_s, min_s, refractory_s)
    path, how = find_artifact(model)
    artifact = load_artifact(path)
    names = split_names("--labels", labels) or None
    messages.note(f"model {path} ({how})")
    n_failed, was_opened, was_interrupted = 0, False, False
    with open_text_atomic(out) if out else nullcontext(sys.stdout) as stream:
        write_event = choose_format(EVENT_FORMATS, format).open(stream)
        try:
            for name in recordings:

                def write(events: "list[Event]", name: str = name) -> None:
                    for event in events:
                        write_event(name, event)
                    if events:
                        stream.flush()

                classifier = StreamingClassifier(artifact, threshold, names, settings, every_s)
                rate = classifier.sample_rate
                try:
                    with (
                        open_stdin() if name == "-" else nullcontext(name) as source,
                        open_recording(source, rate, channel, raw, name) as recording,
                    ):
                        # In a terminal the words themselves show how far it is.
                        is_wanted = bool(out) or not sys.stdout.isatty()
                        with listening(messages, name, recording.duration_s, is_wanted) as advance:
                            was_opened = True
                            _detect(recording, classifier, write, advance)
                except AudioError as error:
                    n_failed += 1
                    messages.error(str(error))
        except KeyboardInterrupt:
            was_interrupted = True
        if not was_opened:  # the file that is there stays as it is
            raise KeyboardInterrupt if was_interrupted else typer.Exit(FAILED)
    if was_interrupted:
        raise KeyboardInterrupt
    if n_failed:
        raise typer.Exit(FAILED)


def _check_usage(recordings: list[str], format: str, out: Path | None) -> None:
    if choose_format(EVENT_FORMATS, format).holds_one and len(recordings) > 1:
        raise typer.BadParameter(f"--format {format} describes one recording; name only one")
    if recordings.count("-") > 1:
        raise typer.BadParameter("stdin is one recording; name - once")
    if out is not None and out.is_dir():
        raise typer.BadParameter(f"--out {out} is a folder; name a file")
    if out is not None and any(_is_same(out, name) for name in recordings):
        raise typer.BadParameter(f"--out {out} is one of the recordings; name another file")


def _is_same(out: Path, recording: str) -> bool:
    try:
        return out.samefile(recording)
    except (OSError, ValueError):  # either of them is absent
        return False


def _detect(
    recording: "BlockReader",
    classifier: "StreamingClassifier",
    write: "Callable[[list[Event]], None]",
    advance: Callable[[float], None],
) -> None:
    """Write the events of a recording as they are found, also those before it breaks."""
    fault = None
    try:
        for block in recording.blocks():
            write(classifier.feed(block))
            advance(len(block) / classifier.sample_rate)
    except KeyboardInterrupt:
        write(classifier.finish())
        raise
    except AudioError as error:
        fault = error
    write(classifier.finish())
    if fault:
        raise fault
