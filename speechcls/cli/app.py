"""The program ``speechcls``: its commands, and how it starts and ends."""

import importlib
import os
import sys
from typing import Any

import typer
from typer.core import TyperGroup

from speechcls.cli.command import Command

COMMANDS = {
    "check": "Say what is wrong with recordings before anything is trained on them.",
    "train": "Train a recogniser on a folder of recordings.",
    "evaluate": "Say how good a model is on recordings that it was not trained on.",
    "report": "Draw a report of an evaluation again from its saved predictions.",
    "predict": "Say which word is spoken in each recording.",
    "mix": "Lay held-out words over background sound, to test running recognition.",
    "calibrate": "Choose how sure a model has to be by the false alarms it makes.",
    "detect": "Find the words in long recordings.",
    "explain": "Draw what a network does while a clip goes by.",
    "features": "Draw the spectrogram, log-mel energies or MFCCs of a clip.",
    "compare": "Compare models on the same clips, and tell a difference from luck.",
    "bench": "Measure how fast models run on this machine and what they need.",
    "listen": "Say which words are spoken, as they are spoken.",
    "record": "Record a data set of your own, one word at a time.",
    "archs": "List the networks with their size and cost.",
    "cache": "List the clips that training has packed, or remove them.",
    "synth": "Speak words with many synthetic voices, as a first data set.",
}
"""Name and help of each command; the module of the same name holds its function."""

_CONTEXT = {"help_option_names": ["-h", "--help"]}


class _OnDemand(TyperGroup):
    """Imports a command when it is used: all of them would cost more than help itself."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"speechcls.cli.{cmd_name}")
        only = typer.Typer(add_completion=False, rich_markup_mode=None, context_settings=_CONTEXT)
        only.command(cmd_name, cls=Command)(getattr(module, cmd_name))
        return typer.main.get_command(only)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


app = typer.Typer(
    name="speechcls",
    cls=_OnDemand,
    help="Train, evaluate and run a speech-command recogniser from a folder of short recordings.",
    epilog="Start with: speechcls train data/ (one sub-folder of recordings a word)",
    no_args_is_help=True,
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


def main() -> None:
    """Run the command line."""
    try:
        app()
    except SystemExit as end:
        if sys.argv[1:2] != ["predict"] or not isinstance(end.code, int):
            raise
        # Taking the interpreter apart takes a tenth of the time of a short predict, which leaves
        # nothing behind that has to be tidied up.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(end.code)
