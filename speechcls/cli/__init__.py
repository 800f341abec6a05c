"""The command line: parse, call, print."""

import typer

from speechcls.cli.archs import archs
from speechcls.cli.evaluate import evaluate
from speechcls.cli.predict import predict
from speechcls.cli.synth import synth
from speechcls.cli.train import train

app = typer.Typer(
    name="speechcls",
    help="Train, evaluate and run a speech-command recogniser from a folder of short recordings.",
    epilog="Start with: speechcls train data/ (one sub-folder of recordings a word)",
    no_args_is_help=True,
    rich_markup_mode=None,  # plain help: no boxes, and no 0.1 s to import what draws them
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (train, evaluate, predict, archs, synth):
    app.command()(command)


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
    app()
