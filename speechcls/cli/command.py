"""How a command shows its help: options by panel, and the rarely used ones on request."""

from typing import Any

import typer
from typer.core import TyperCommand, TyperOption

from speechcls.cli.usage import UsageError
from speechcls.text import counted

ARGUMENTS, OPTIONS = "Arguments", "Options"
"""Headings of parameters in no panel; ``OPTIONS`` comes last."""
_FIRST_COLUMN = 30
_METAVARS = {"int": "N", "float": "X", "str": "TEXT", "integer": "N", "text": "TEXT"}
"""Placeholder of a value in help, by the first word of its type, which Typer has renamed."""


class Command(TyperCommand):
    """A command whose help is plain text, with a heading for each ``rich_help_panel``.

    Options that are declared with ``hidden=True`` are shown by ``--help-all`` only, which
    is added to commands with hidden options.
    """

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        for param in self.params:
            is_flag = getattr(param, "is_flag", True)  # an argument has no such thing
            if param.metavar is None and not is_flag:
                param.metavar = _METAVARS.get(param.type.name.split()[0])
        if _count_hidden(self):
            self.params.append(_help_all())

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Attach the context to usage errors."""
        try:
            return super().parse_args(ctx, args)
        except UsageError as error:
            error.ctx = error.ctx or ctx
            raise

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write arguments and options, each panel under its heading, all in the same columns."""
        panels: dict[str, list[tuple[str, str]]] = {}
        for param in self.get_params(ctx):
            if (record := param.get_help_record(ctx)) is not None:
                default = ARGUMENTS if param.param_type_name == "argument" else OPTIONS
                panel = getattr(param, "rich_help_panel", None) or default
                panels.setdefault(panel, []).append(record)
        if OPTIONS in panels:
            panels[OPTIONS] = panels.pop(OPTIONS)
        names = [name for records in panels.values() for name, _ in records]
        width = min(_FIRST_COLUMN, max(map(len, names), default=0))
        for panel, records in panels.items():
            with formatter.section(panel):
                formatter.write_dl([(name.ljust(width), text) for name, text in records])
        if n_hidden := _count_hidden(self):
            formatter.write_paragraph()
            formatter.write_text(
                f"{counted(n_hidden, 'more option')}: {ctx.command_path} --help-all"
            )


def _count_hidden(command: TyperCommand) -> int:
    return sum(getattr(param, "hidden", False) for param in command.params)


def _help_all() -> TyperOption:
    return TyperOption(
        param_decls=["--help-all"],
        is_flag=True,
        is_eager=True,
        expose_value=False,
        callback=_show_all,
        help="Show every option, also the rarely used ones.",
    )


def _show_all(ctx: Any, param: Any, is_wanted: bool) -> None:
    if not is_wanted or ctx.resilient_parsing:
        return
    for each in ctx.command.params:
        each.hidden = False
    typer.echo(ctx.get_help())
    ctx.exit()
