"""``speechcls review``."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from speechcls.cli.common import reports_errors
from speechcls.cli.inputs import bring_input
from speechcls.cli.messages import Messages
from speechcls.cli.options import OUTPUT, Quiet, Verbose, as_path, option
from speechcls.cli.tables import or_dash, print_line
from speechcls.errors import AudioError, ConfigError
from speechcls.text import printable

if TYPE_CHECKING:
    from speechcls.live.events import EventFolder, SavedEvent, Verdict

_FOLDER = typer.Argument(
    help="Folder of events that detect or listen has kept (--save-events).", metavar="DIR"
)
_PAGE = option("--page", help="Write DIR/review.html, a page to listen and judge on.", panel=OUTPUT)
_IMPORT = option(
    "--import", help="Take over the verdicts that such a page has exported.", metavar="FILE"
)
_MISSED = option(
    "--missed",
    help="Add a word that the model missed: the word, the recording, and the second in it.",
    metavar="WORD RECORDING SECONDS",
)
_QUESTION = "right r, wrong w, wrong and said was =WORD, play again p, skip s, back b, quit q: "
_N_COLUMNS = 60
"""Of the picture of the level."""


@reports_errors
def review(
    folder: Annotated[Path, _FOLDER],
    page: Annotated[bool, _PAGE] = False,
    verdicts: Annotated[Path | None, _IMPORT] = None,
    missed: Annotated[tuple[str, str, float] | None, _MISSED] = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Judge detected words by listening, to train on the mistakes.

    In a terminal each event that is not judged yet is shown and played (pip install
    'speechcls[mic]'; without it open the WAV that is named), and one line is read: its verdict,
    which is written at once. Elsewhere the events are listed: file, label, probability, verdict,
    what was said, recording, start and end in it, separated by tabs. Nothing in DIR is changed but
    by adding to it. train --mistakes DIR learns from what is judged.

    Example: speechcls review kept --missed yes recording.wav 0.5
    """
    from speechcls.live.events import EventFolder

    if page + (verdicts is not None) + (missed is not None) > 1:
        raise typer.BadParameter("--page, --import and --missed exclude each other")
    messages = Messages(quiet, verbose)
    events = EventFolder(folder)
    if missed is not None:
        from speechcls.live.review import add_missed

        word, name, at_s = missed
        recording = bring_input(as_path(name))
        print_line(events.wav(add_missed(events, recording, at_s, word)))
        return
    if not events.events:
        raise ConfigError(f"{folder}: no events in it; keep some with detect --save-events DIR")
    if page:
        _write_page(events, messages)
    elif verdicts is not None:
        _import(events, verdicts, messages)
    elif sys.stdin.isatty():
        _Review(events, messages).run()
    else:
        _list(events)
    n_open = len(events.unjudged())
    messages.note(f"{len(events.events)} events, {n_open} of them not judged")
    if n_open and not (page or verdicts or sys.stdin.isatty()):
        messages.next_steps(("review", folder, "--page"), in_scripts=False)
    if n_open < len(events.events):
        messages.next_steps(("train", "DATA", "--mistakes", folder), in_scripts=False)


def _write_page(folder: "EventFolder", messages: Messages) -> None:
    from speechcls.report.review_page import write_review_page

    path, n_events = write_review_page(folder)
    print_line(path)
    messages.note(f"{n_events} events to judge in a browser")
    messages.next_steps(("review", folder.path, "--import", "verdicts.json"))


def _import(folder: "EventFolder", path: Path, messages: Messages) -> None:
    from speechcls.live.review import read_verdicts

    verdicts = read_verdicts(path, folder)
    for file, verdict in verdicts.items():
        folder.judge(file, verdict)
    messages.note(f"{len(verdicts)} verdicts taken from {path}")


def _list(folder: "EventFolder") -> None:
    for file, event in folder.events.items():
        verdict = folder.verdicts.get(file)
        print_line(
            file,
            event.label,
            or_dash(event.probability, ".4f"),
            verdict.verdict if verdict else "",
            folder.said(event) or "",
            event.source,
            f"{event.start_s:.3f}",
            f"{event.end_s:.3f}",
        )


class _Review:
    """Shows one event after the other in a terminal, and takes verdicts on them."""

    def __init__(self, folder: "EventFolder", messages: Messages) -> None:
        self._folder, self._messages = folder, messages
        self._can_play = True

    def run(self) -> None:
        """Go through the events that are not judged until their end, or that of the user."""
        queue = self._folder.unjudged()
        place = 0
        while place < len(queue):
            event = queue[place]
            self._show(event, f"{place + 1}/{len(queue)}")
            self._play(event)
            step = self._ask(event)
            if step is None:
                return
            place = max(0, place + step)

    def _show(self, event: "SavedEvent", number: str) -> None:
        verdict = self._folder.verdicts.get(event.file)
        judged = "" if verdict is None else f"  judged {verdict.verdict} {verdict.said or ''}"
        probability = or_dash(event.probability, ".2f")
        _say(f"{number}  {event.label}  {probability}  {event.start_s:.1f} s in {event.source}")
        _say(f"    {self._folder.wav(event)}  {event.time}{judged}")

    def _play(self, event: "SavedEvent") -> None:
        """Draw the level and play the sound; tell once if it cannot be played."""
        from speechcls.live.review import play, read_sound
        from speechcls.render.terminal import level_line

        try:
            samples = read_sound(self._folder, event)
            _say(f"    |{level_line(samples, _N_COLUMNS)}|")
            if self._can_play:
                play(samples)
        except AudioError as error:
            self._messages.error(str(error))
        except ConfigError as error:
            self._can_play = False
            self._messages.note(f"events are not played: {error.message}; or open their WAVs")

    def _ask(self, event: "SavedEvent") -> int | None:
        """Return how many events to go on, once there is an answer; None to end."""
        steps = {"s": 1, "b": -1}
        while True:
            typer.echo(_QUESTION, err=True, nl=False)
            line = sys.stdin.readline()
            answer = line.strip()
            if not line or answer == "q":
                return None
            if answer in steps:
                return steps[answer]
            if answer == "p":
                self._play(event)
            elif verdict := self._verdict(answer):
                self._folder.judge(event.file, verdict)
                return 1

    def _verdict(self, answer: str) -> "Verdict | None":
        from speechcls.live.events import RIGHT, WRONG, Verdict, check_word

        if answer == "r":
            return Verdict(RIGHT)
        if answer == "w":
            return Verdict(WRONG)
        if not answer.startswith("="):
            return None
        try:
            return Verdict(WRONG, check_word(answer[1:]))
        except ConfigError as error:
            self._messages.error(error.message)
            return None


def _say(text: str) -> None:
    typer.echo(printable(text), err=True)
