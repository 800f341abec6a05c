"""The program ``speechcls``: its commands, and how it starts and ends."""

import importlib
import os
import sys
from typing import Any

import typer
from typer.core import TyperGroup

from speechcls.cli.usage import UsageError, no_command, report_usage_error

GROUPS = {
    "Data": {
        "record": "Record a data set of your own, one word at a time.",
        "synth": "Synthesise words in many voices, as a first data set.",
        "check": "Report what is wrong with recordings before training on them.",
        "pack": "Write a data set as a few large files, for clusters, object stores and the Hub.",
        "cache": "List the decoded recordings that training keeps, or remove them.",
    },
    "Training": {
        "train": "Train a recogniser on a folder of recordings.",
        "tune": "Search for the settings of train that suit the data best.",
        "archs": "List the network architectures with their size and cost.",
    },
    "Recognition": {
        "predict": "Classify recordings of one word each.",
        "detect": "Detect words in long recordings.",
        "listen": "Detect words live, from the microphone or a pipe.",
        "serve": "Answer HTTP requests and live streams of other programs.",
        "wyoming": "Detect words for Home Assistant and its satellites, as a Wyoming server.",
        "review": "Judge detected words by listening, to train on the mistakes.",
        "calibrate": "Set detection thresholds by the rate of false alarms.",
    },
    "Deployment": {
        "export": "Write a model in the form that other programs and machines run.",
    },
    "Evaluation": {
        "evaluate": "Score a model on recordings that it was not trained on.",
        "report": "Draw the report of an evaluation again from its saved predictions.",
        "compare": "Compare models on the same clips, with tests of significance.",
        "bench": "Measure speed, memory and size of models on this machine.",
        "mix": "Mix held-out words into background noise, to evaluate detection.",
    },
    "Inspection": {
        "verify": "Check that a model's files are whole, fit each other, and are safe to run.",
        "explain": "Visualise a model's internals on one clip: gates, attention, occlusion.",
        "features": "Draw the spectrogram, log-mel energies or MFCCs of a clip.",
    },
    "Sharing": {
        "push": "Upload a model to the Hugging Face Hub.",
        "pull": "Download a model from the Hugging Face Hub.",
    },
    "Help": {
        "help": "Show the help of a command, or explain a topic.",
    },
}
"""Name and help of each command, by purpose; the module of the same name holds its function."""
COMMANDS = {name: text for group in GROUPS.values() for name, text in group.items()}
TOPICS = {
    "data": "Folders, file names and manifests that hold recordings.",
    "models": "Which model is used, and what its folder holds.",
    "config": "Every setting of train in one file.",
    "formats": "What predict, detect and listen print.",
    "exit-codes": "Exit codes of all commands.",
}
"""Name and first line of each page that ``speechcls help TOPIC`` shows."""

START = """\
speechcls recognises spoken words: your own, from a folder of short recordings.

Your own words in five commands:
  speechcls record yes --out data   record a word; then the next one (or, without a
                                    microphone: speechcls synth yes no _unknown_)
  speechcls check data              find what is wrong with the recordings
  speechcls train data              train a recogniser
  speechcls evaluate data           score it on recordings that it was not trained on
  speechcls listen                  detect the words live, from the microphone

A recogniser of yes, no, up, down, left, right, stop and go comes with it:
  speechcls predict clip.wav

Go on with: speechcls --help        all commands
            speechcls help train    one of them, with examples
            speechcls help data     how recordings are read"""
"""What ``speechcls`` alone says."""

_CONTEXT = {"help_option_names": ["-h", "--help"]}


class _Program(TyperGroup):
    """Imports a command when it is used: all of them would cost more than help itself."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in COMMANDS:
            return None
        from speechcls.cli.command import Command

        module = importlib.import_module(f"speechcls.cli.{cmd_name}")
        only = typer.Typer(add_completion=False, rich_markup_mode=None, context_settings=_CONTEXT)
        only.command(cmd_name, cls=Command)(getattr(module, cmd_name))
        return typer.main.get_command(only)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name = args[0]
        if name not in COMMANDS and not ctx.resilient_parsing:
            ctx.fail(no_command(name, COMMANDS, TOPICS))
        return super().resolve_command(ctx, args)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if not args and not ctx.resilient_parsing:
            typer.echo(START, err=True)
            ctx.exit(UsageError.exit_code)
        return super().parse_args(ctx, args)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        width = max(map(len, COMMANDS))
        for heading, texts in (GROUPS | {"Topics (speechcls help TOPIC)": TOPICS}).items():
            with formatter.section(heading):
                formatter.write_dl([(name.ljust(width), text) for name, text in texts.items()])

    def main(self, *args: Any, **settings: Any) -> Any:
        """Run a command; wrong usage is reported as every other error is."""
        settings["standalone_mode"] = False
        try:
            code = super().main(*args, **settings)
        except UsageError as error:
            report_usage_error(error)
            code = UsageError.exit_code
        sys.exit(code if isinstance(code, int) else 0)


app = typer.Typer(
    name="speechcls",
    cls=_Program,
    help="Train, evaluate and run a speech-command recogniser from a folder of short recordings.",
    epilog="Start with: speechcls train data/ (one sub-folder of recordings per word)",
    rich_markup_mode=None,  # plain help: no boxes, and no 0.1 s to import what draws them
    pretty_exceptions_enable=False,
    context_settings=_CONTEXT,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from speechcls import __version__

        typer.echo(f"speechcls {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(
        False, "--version", callback=_print_version, is_eager=True, help="Print the version."
    ),
) -> None: ...


_OMP_SPINS = "10000"
"""Turns, about 0.1 ms, that a thread of torch waits awake for the others. By default it is 30 times
as long, in which programs beside it have no core: training took eight times as long as with one
thread; now it takes three times as long, and on an idle machine no longer."""


def main() -> None:
    """Run the command line."""
    if "OMP_WAIT_POLICY" not in os.environ:  # read when torch is loaded
        os.environ.setdefault("GOMP_SPINCOUNT", _OMP_SPINS)
    try:
        app()
    except SystemExit as end:
        if sys.argv[1:2] != ["predict"] or not isinstance(end.code, int):
            raise
        # The interpreter's shutdown takes a tenth of the time of a short predict, which leaves
        # nothing to clean up.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(end.code)
