"""The help of a command as data, from the objects that print it: for the manual and man pages."""

import inspect
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

from speechcls.cli import help as help_command
from speechcls.cli.app import COMMANDS, GROUPS, TOPICS, app
from speechcls.cli.command import ARGUMENTS, OPTIONS

PROGRAM = "speechcls"
TEXTS = Path(help_command.__file__).parent / "topics"


@dataclass(frozen=True)
class Parameter:
    """An argument or an option: how it is written, what it does, whether it is rarely used."""

    names: str
    text: str
    is_rare: bool


@dataclass(frozen=True)
class Help:
    """What ``speechcls COMMAND --help-all`` says, in parts."""

    name: str
    usage: str
    summary: str
    paragraphs: tuple[str, ...]
    example: str
    panels: dict[str, tuple[Parameter, ...]]


def describe(name: str) -> Help:
    """Return the help of a command."""
    program: Any = typer.main.get_command(app)
    parent = program.make_context(PROGRAM, [], resilient_parsing=True)
    command = program.get_command(parent, name)
    context = command.make_context(name, [], parent=parent, resilient_parsing=True)
    summary, *paragraphs = (
        " ".join(part.split()) for part in inspect.cleandoc(command.help).split("\n\n")
    )
    example = paragraphs.pop().removeprefix("Example: ")
    usage = " ".join([PROGRAM, name, *command.collect_usage_pieces(context)])
    return Help(name, usage, summary, tuple(paragraphs), example, _panels(command, context))


def _panels(command: Any, context: Any) -> dict[str, tuple[Parameter, ...]]:
    panels: dict[str, tuple[Parameter, ...]] = {}
    for param in command.get_params(context):
        is_rare = getattr(param, "hidden", False)
        param.hidden = False
        if (record := param.get_help_record(context)) is None:
            continue
        default = ARGUMENTS if param.param_type_name == "argument" else OPTIONS
        panel = getattr(param, "rich_help_panel", None) or default
        parameter = Parameter(record[0].strip(), " ".join(record[1].split()), is_rare)
        panels[panel] = (*panels.get(panel, ()), parameter)
    if OPTIONS in panels:
        panels[OPTIONS] = panels.pop(OPTIONS)
    return panels


def read_topic(name: str) -> str:
    """Return the page that ``speechcls help TOPIC`` shows."""
    return (TEXTS / f"{name}.txt").read_text(encoding="utf-8")


__all__ = ["COMMANDS", "GROUPS", "PROGRAM", "TOPICS", "Help", "Parameter", "describe", "read_topic"]
