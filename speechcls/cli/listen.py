"""``speechcls listen``."""

import sys
from collections import deque
from contextlib import ExitStack
from typing import TYPE_CHECKING, Annotated

import typer

from speechcls.cli.common import reports_errors
from speechcls.cli.live import (
    CtrlC,
    From,
    InputDevice,
    Pipe,
    Rate,
    Screen,
    Speed,
    meter,
    open_source,
)
from speechcls.cli.options import AsJsonLines, Model, Quiet, Verbose, split_names
from speechcls.runtime.writers import LIVE_FORMATS, choose_format, describe_formats

if TYPE_CHECKING:
    from speechcls.live.listen import LiveUpdate


@reports_errors
def listen(
    pipe: Pipe = None,
    file: From = None,
    model: Model = None,
    threshold: Annotated[
        float | None,
        typer.Option(
            min=0.0, max=1.0, help="Least probability of an event. [default: the model's own]"
        ),
    ] = None,
    labels: Annotated[
        str | None,
        typer.Option(
            help="Labels that may be events. [default: all but _unknown_ and _silence_]",
            metavar="A,B",
        ),
    ] = None,
    command: Annotated[
        str | None,
        typer.Option(
            "--exec",
            help="Command to run for each event, one after the other, without a shell; {label},"
            " {probability} and {time_s} in its words are replaced.",
            metavar="COMMAND",
        ),
    ] = None,
    format: Annotated[str, typer.Option(help=f"{describe_formats(LIVE_FORMATS)}.")] = "tsv",
    as_json: AsJsonLines = False,
    device: InputDevice = None,
    list_devices: Annotated[
        bool,
        typer.Option("--list-devices", help="List the microphones: number, name, channels, Hz."),
    ] = False,
    rate: Rate = 16_000,
    speed: Speed = 1.0,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Say which words are spoken, as they are spoken.

    Prints the time of each word's middle in seconds, label and probability, separated by tabs, a
    line a word, from the microphone (pip install 'speechcls[mic]'), a pipe as of arecord -f
    S16_LE -r 16000, or a file. Sound that is lost and commands that fail are reported on stderr.
    Ctrl-C is the way to end it, so that the exit code is 0 then, too; a second one ends what is
    still being done, with 130.

    Example: speechcls listen --from clip.wav
    """
    if list_devices:
        from speechcls.live.microphone import list_devices as find_devices

        for number, name, n_channels, device_rate, is_default in find_devices():
            columns = [number, name, n_channels, device_rate, *(["default"] if is_default else [])]
            typer.echo("\t".join(map(str, columns)))
        return

    from speechcls.live.actions import CommandRunner, parse_command

    if as_json and format != "tsv":
        raise typer.BadParameter("--json and --format exclude each other")
    open_writer = choose_format(LIVE_FORMATS, "json" if as_json else format).open
    words = None if command is None else parse_command(command)
    screen = Screen(quiet, verbose)
    with CtrlC() as ctrl_c, ExitStack() as stack:
        source, name = open_source(stack, pipe, file, device, rate, speed)

        from speechcls.artifact.lookup import find_artifact
        from speechcls.live.listen import detect_live
        from speechcls.runtime.streaming import StreamingClassifier

        path, how = find_artifact(model)
        names = split_names("--labels", labels)
        classifier = StreamingClassifier.load(path, threshold, names, eager=True)
        write = open_writer(sys.stdout)
        screen.note(f"model {path} ({how})")
        screen.note(f"listening to {name}; Ctrl-C ends it")
        reactions = None
        if words is not None:
            reactions = CommandRunner(words, lambda text: screen.error(f"--exec: {text}"))
        last: deque[str] = deque(maxlen=3)
        n_events, time_s = 0, 0.0
        with screen.watching():
            for heard in detect_live(classifier, ctrl_c.until(source.blocks())):
                time_s = heard.time_s
                for line in heard.warnings:
                    screen.warn(line)
                for event in heard.events:
                    n_events += 1
                    last.append(event.label)
                    with screen.above():
                        write(event, heard.time_s)
                        sys.stdout.flush()
                    if reactions is not None:
                        reactions.start(event)
                screen.show(_line(heard, last))
        if reactions is not None:
            reactions.finish(give_up=ctrl_c.came)
        screen.note(f"listened for {time_s:.1f} s, heard {n_events} events")


def _line(heard: "LiveUpdate", last: deque[str]) -> str:
    best = f"{heard.label} {heard.probability:.2f}" if heard.label is not None else ""
    return f"{meter(heard.level_db)} {heard.level_db:4.0f} dB  {best:<16}  {' '.join(last)}"
