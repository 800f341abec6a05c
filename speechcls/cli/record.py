"""``speechcls record``."""

import getpass
import math
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from speechcls.cli.common import FAILED, INTERRUPTED, reports_errors
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
from speechcls.cli.options import Channel, Quiet, Rate, Verbose, option, out_option
from speechcls.cli.tables import print_line
from speechcls.errors import ConfigError
from speechcls.text import counted

if TYPE_CHECKING:
    from speechcls.audio.speech import Utterance, UtteranceFinder
    from speechcls.live.sources import Block
    from speechcls.live.takes import ClippingMeter, Takes

_N_TAKES = 10
_ROOM_S, _LOUD_ROOM_DB = 1.0, -40.0
_COUNT_S, _COUNTS = 0.6, ("3", "2", "1")
_WAIT_S = 4.0

_LABEL = typer.Argument(help="The word to record.", metavar="LABEL")
_SPEAKER = option("--speaker", help="Speaker name. [default: your login name]", metavar="NAME")
_TAKES = option(
    "--takes",
    min=1,
    help=f"Clips to record. [default: {_N_TAKES}; all in a pipe or file]",
)
_DURATION = option("--duration", min=0.1, max=5.0, help="Length of each clip.", metavar="SECONDS")


@reports_errors
def record(
    ctx: typer.Context,
    label: Annotated[str, _LABEL],
    pipe: Pipe = None,
    file: From = None,
    microphone: MicrophoneName = None,
    rate: Rate = None,
    speed: Speed = 0.0,
    channel: Channel = None,
    out: Annotated[Path, out_option("Folder to write to.", "DIR")] = Path("data"),
    speaker: Annotated[str | None, _SPEAKER] = None,
    takes: Annotated[int | None, _TAKES] = None,
    duration_s: Annotated[float, _DURATION] = 1.0,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Record a data set of your own, one word at a time.

    Counts down, records the word, cuts it out and writes it to DIR/LABEL/NAME_nohash_0.wav (16 kHz,
    16 bits), or the next free number: train knows the speaker by that name. A take that is clipped,
    too faint or too long is not written but repeated. From a pipe or a file it takes each utterance
    between pauses. Prints the path of each clip. The microphone needs
    pip install 'speechcls[mic]'.

    Example: speechcls record yes --speaker ann --from clip.wav
    """
    from speechcls.live.sources import at_rate
    from speechcls.live.takes import SAMPLE_RATE, ClippingMeter, Takes

    messages = StatusMessages(quiet, verbose)
    _check_one_label(pipe)
    place = Takes(out, label, speaker or _login_name())
    is_live = pipe is None and file is None
    n_wanted = _N_TAKES if takes is None and is_live else takes
    with InterruptHandler() as interrupt, ExitStack() as stack:
        source, name = open_source(ctx, stack, pipe, file, microphone, rate, speed, channel)
        meter = ClippingMeter()
        blocks = at_rate(meter.watch(interrupt.until(source.blocks())), SAMPLE_RATE)
        with messages.status_line():
            if is_live:
                utterances = _prompted(blocks, label, SAMPLE_RATE, duration_s, messages)
            else:
                utterances = _spoken(blocks, SAMPLE_RATE, duration_s, messages)
            counts = _write(utterances, place, meter, duration_s, n_wanted, messages)
    messages.note(f"wrote {counted(counts.written, 'clip')} of {label} to {place.folder}")
    if counts.written and not interrupt.requested:
        is_first = sum(each.is_dir() for each in out.iterdir()) == 1
        more = ("record", "WORD", "--out", out), ("check", out)
        messages.next_steps(*(more[:1] if is_first else more))
    if interrupt.requested:
        messages.error("interrupted")
        raise typer.Exit(INTERRUPTED)
    if counts.written == 0 or counts.written < (n_wanted or 0):
        wanted = f"{n_wanted} clips were asked for" if n_wanted else "no clip was written"
        messages.error(f"{name}: {wanted}, {counts.found} utterances were found; record more")
        raise typer.Exit(FAILED)


def _check_one_label(pipe: str | None) -> None:
    """Refuse a second word, which is no source of sound."""
    if pipe not in (None, "-"):
        raise typer.BadParameter(
            f"{pipe!r}: one label at a time; put quotes around one of several words, and give - for"
            " sound on stdin"
        )


@dataclass
class _Counts:
    """How many utterances there were, and how many of them are clips now."""

    found: int = 0
    written: int = 0
    longest_s: float = 0.0


def _write(
    utterances: Iterator["Utterance"],
    place: "Takes",
    meter: "ClippingMeter",
    duration_s: float,
    n_wanted: int | None,
    messages: StatusMessages,
) -> _Counts:
    """Write each good utterance until there are as many as wanted."""
    from speechcls.live.takes import reject_reason

    counts = _Counts()
    for utterance in utterances:
        counts.found += 1
        first_s = utterance.start_s + (utterance.speech_s - duration_s) / 2
        clipped = meter.clipped_ratio(first_s, first_s + duration_s)
        if fault := reject_reason(utterance.samples, utterance.speech_s, duration_s, clipped):
            messages.warn(f"the word at {utterance.start_s:.1f} s is {fault}; not written")
            counts.longest_s = max(counts.longest_s, utterance.speech_s)
            continue
        path = place.write(utterance.samples)
        counts.written += 1
        with messages.above():
            print_line(path)
        if counts.written == n_wanted:
            break
    if counts.longest_s > duration_s:
        longer = min(5.0, math.ceil(10 * counts.longest_s + 1) / 10)
        messages.note(f"--duration {longer:g} takes longer words, up to {longer:g} s")
    return counts


def _login_name() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError) as error:
        raise ConfigError("you have no login name; give one", field="speaker") from error


def _spoken(
    blocks: Iterator["Block"], rate: int, duration_s: float, messages: StatusMessages
) -> Iterator["Utterance"]:
    """Yield each utterance."""
    from speechcls.audio.speech import UtteranceFinder

    finder = UtteranceFinder(rate, duration_s)
    for block in _reported(blocks, messages):
        yield from finder.push(block.samples)
    yield from finder.finish()


def _prompted(
    blocks: Iterator["Block"], label: str, rate: int, duration_s: float, messages: StatusMessages
) -> Iterator["Utterance"]:
    """Ask for the word repeatedly; yield the utterance after each count-down."""
    from speechcls.audio.speech import UtteranceFinder

    finder = UtteranceFinder(rate, duration_s)
    blocks = _reported(blocks, messages)
    _measure_room(blocks, rate, finder, messages)
    while True:
        for count in _COUNTS:
            messages.note(f"{label} in {count}")
            for _ in _for_seconds(blocks, _COUNT_S, rate, finder, messages):
                pass  # utterances before the prompt
        messages.note(f"say {label} now")
        n_blocks, utterance = 0, None
        for utterance in _for_seconds(blocks, _WAIT_S, rate, finder, messages):
            n_blocks += 1
            if utterance is not None:
                yield utterance
                break
        if n_blocks == 0:
            return  # the microphone, or its user, has ended
        if utterance is None:
            messages.warn("no word was found; once more")


def _measure_room(
    blocks: Iterator["Block"], rate: int, finder: "UtteranceFinder", messages: StatusMessages
) -> None:
    """Let the finder learn the level of the background noise."""
    messages.note("measuring background noise; be quiet for a moment")
    for _ in _for_seconds(blocks, _ROOM_S, rate, finder, messages):
        pass
    level = f"background noise: {finder.noise_db:.0f} dB"
    if finder.noise_db > _LOUD_ROOM_DB:
        messages.warn(f"{level}; a quieter room is better")
    else:
        messages.note(level)


def _for_seconds(
    blocks: Iterator["Block"],
    seconds: float,
    rate: int,
    finder: "UtteranceFinder",
    messages: StatusMessages,
) -> Iterator["Utterance | None"]:
    """Yield, for each block of so many seconds of sound, an utterance that ended in it, or None."""
    from speechcls.audio.level import level_db

    n_left = round(seconds * rate)
    while n_left > 0 and (block := next(blocks, None)) is not None:
        n_left -= len(block.samples)
        messages.show(f"{meter(level_db(block.samples))} {level_db(block.samples):4.0f} dB")
        yield next(finder.push(block.samples), None)


def _reported(blocks: Iterator["Block"], messages: StatusMessages) -> Iterator["Block"]:
    """Yield ``blocks``, printing the warnings of each."""
    for block in blocks:
        for line in block.warnings:
            messages.warn(line)
        yield block
