"""``speechcls listen``."""

import sys
from collections import deque
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from speechcls.cli.common import FAILED, given, refuse, reports_errors
from speechcls.cli.inputs import describe_rejection, find_model
from speechcls.cli.live import (
    From,
    InterruptHandler,
    MicrophoneName,
    Pipe,
    Speed,
    StatusMessages,
    meter,
    open_source,
)
from speechcls.cli.options import (
    OUTPUT,
    SOURCE,
    AsJsonLines,
    Channel,
    Labels,
    LiveModel,
    Quiet,
    Rate,
    Threshold,
    Verbose,
    format_option,
    option,
    split_names,
)
from speechcls.cli.outputs import format_name
from speechcls.cli.saved_events import SaveEvents, saving_events
from speechcls.cli.tables import print_line
from speechcls.config import LIVE_MODEL
from speechcls.runtime.writers import LIVE_FORMATS, choose_format
from speechcls.text import counted

if TYPE_CHECKING:
    from speechcls.live.listen import LiveUpdate
    from speechcls.live.sources import Source
    from speechcls.runtime.writers import WriteLive

_LIST = option(
    "--list-microphones",
    help="List the microphones: number, name, channels, sample rate.",
    panel=SOURCE,
)
_EXEC = option(
    "--exec",
    help="Command to run for each word, one after the other, without a shell; {label},"
    " {probability} and {time_s} in its arguments are replaced.",
    panel=OUTPUT,
    metavar="COMMAND",
)


class _DetectOptions(NamedTuple):
    """What is detected, with which model."""

    model: Path | None
    threshold: float | None
    labels: list[str] | None
    save_events: Path | None


@reports_errors
def listen(
    ctx: typer.Context,
    pipe: Pipe = None,
    file: From = None,
    microphone: MicrophoneName = None,
    list_microphones: Annotated[bool, _LIST] = False,
    rate: Rate = None,
    speed: Speed = 1.0,
    channel: Channel = None,
    model: LiveModel = None,
    labels: Labels = None,
    threshold: Threshold = None,
    command: Annotated[str | None, _EXEC] = None,
    format: Annotated[str, format_option(LIVE_FORMATS)] = "tsv",
    as_json: AsJsonLines = False,
    save_events: SaveEvents = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Detect words live, from the microphone or a pipe.

    Prints the time of each word's centre in seconds, label and probability, separated by tabs, a
    line per word. The sound comes from the microphone (pip install 'speechcls[mic]'), from a pipe
    as of arecord -f S16_LE -r 16000, or from a file. A pipe without a WAV header is 16 kHz unless
    --rate says otherwise. Lost sound and commands that fail are reported on stderr. Ctrl-C is the
    normal end, with exit code 0; a second one ends the remaining work too, with 130. Where
    --save-events cannot write, listening goes on, and the exit code is 1.

    Example: speechcls listen --from clip.wav
    """
    if list_microphones:
        refuse(
            ctx, given(ctx) - {"list_microphones", "quiet", "verbose"}, "with --list-microphones"
        )
        _print_microphones()
        return
    from speechcls.live.actions import parse_command

    open_writer = choose_format(LIVE_FORMATS, format_name(ctx, format, as_json)).open
    words = None if command is None else parse_command(command)
    messages = StatusMessages(quiet, verbose)
    with InterruptHandler() as interrupt, ExitStack() as stack:
        source, name = open_source(ctx, stack, pipe, file, microphone, rate, speed, channel)
        names = split_names("labels", labels) or None
        detection = _DetectOptions(model, threshold, names, save_events)
        write, is_file = open_writer(sys.stdout), file is not None
        has_kept = _listen(source, name, is_file, detection, words, write, interrupt, messages)
    if not has_kept:
        raise typer.Exit(FAILED)


def _print_microphones() -> None:
    from speechcls.live.microphone import list_devices

    for device in list_devices():
        columns = [*device[:-1], *(["default"] if device.is_default else [])]
        print_line(*columns)


def _listen(
    source: "Source",
    name: str,
    is_file: bool,
    detection: _DetectOptions,
    command: list[str] | None,
    write: "WriteLive",
    interrupt: InterruptHandler,
    messages: StatusMessages,
) -> bool:
    """Print words until the source ends or Ctrl-C; return whether all that was to be is kept."""
    from speechcls.live.actions import CommandRunner
    from speechcls.live.listen import detect_live
    from speechcls.runtime.streaming import StreamingClassifier

    path = find_model(detection.model, messages, LIVE_MODEL)
    classifier = StreamingClassifier.load(path, detection.threshold, detection.labels, eager=True)
    messages.note(describe_rejection(classifier.artifact, detection.threshold))
    messages.note(f"listening to {name}; Ctrl-C ends it")
    runner = None
    if command is not None:
        runner = CommandRunner(command, lambda text: messages.error(f"--exec: {text}"))
    last: deque[str] = deque(maxlen=3)
    n_events, time_s = 0, 0.0
    place, settings = detection.save_events, classifier.settings
    with (
        saving_events(place, classifier.artifact, settings, messages) as recorder,
        messages.status_line(),
    ):
        if recorder is not None:
            recorder.start(name, is_file)
        for update in detect_live(classifier, interrupt.until(source.blocks()), recorder):
            time_s = update.time_s
            for line in update.warnings:
                messages.warn(line)
            for event in update.events:
                n_events += 1
                last.append(event.label)
                with messages.above():
                    write(event, update.time_s)
                    sys.stdout.flush()
                if runner is not None:
                    runner.start(event)
            messages.show(_status(update, last))
    if runner is not None:
        runner.finish(cancel=interrupt.requested)
    messages.note(f"listened for {time_s:.1f} s, {counted(n_events, 'word')} detected")
    if recorder is None:
        messages.next_steps(("listen", "--save-events", "kept"), in_scripts=False)
    return recorder is None or not recorder.n_failed


def _status(update: "LiveUpdate", last: deque[str]) -> str:
    best = f"{update.label} {update.probability:.2f}" if update.label is not None else ""
    return f"{meter(update.level_db)} {update.level_db:4.0f} dB  {best:<16}  {' '.join(last)}"
