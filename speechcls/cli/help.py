"""``speechcls help``: the help of a command, or a page about a topic."""

from pathlib import Path
from typing import Annotated

import typer

from speechcls.cli.common import reports_errors

_PAGES = Path(__file__).parent / "topics"
"""One text file per topic."""


@reports_errors
def help(
    ctx: typer.Context,
    name: Annotated[
        str | None,
        typer.Argument(help="A command or a topic. [default: list them]", metavar="[NAME]"),
    ] = None,
) -> None:
    """Show the help of a command, or explain a topic.

    Example: speechcls help formats
    """
    from speechcls.cli.app import COMMANDS, TOPICS
    from speechcls.cli.usage import no_such

    program = ctx.find_root()
    if name is None:
        typer.echo(program.get_help())
    elif name in TOPICS:
        typer.echo((_PAGES / f"{name}.txt").read_text(encoding="utf-8"), nl=False)
    elif name in COMMANDS:
        command = program.command.get_command(program, name)  # type: ignore[attr-defined]
        command.make_context(name, ["--help"], parent=program)
    else:
        ctx.fail(no_such("command or topic", name, [*COMMANDS, *TOPICS]))
