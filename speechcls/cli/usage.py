"""Usage errors of Typer, printed in the form of all other errors."""

from collections.abc import Iterable
from typing import Any

import typer

from speechcls.cli.messages import Messages

UsageError: Any = typer.BadParameter.__mro__[1]
"""What Typer raises for wrong usage; it does not export the name, and Click may be absent."""


def report_usage_error(error: Any) -> None:
    """Print one line, and how to get help."""
    text = _describe(error).rstrip(".")
    path = error.ctx.command_path if error.ctx else "speechcls"
    Messages().error(text, (f"for help: {path} --help",))


def no_such(kind: str, name: str, names: Iterable[str]) -> str:
    """Return the message for an unknown name, with the similar or the valid ones."""
    from difflib import get_close_matches

    names = list(names)
    matches = get_close_matches(name, names)
    advice = f"did you mean {' or '.join(matches)}?" if matches else f"there are {', '.join(names)}"
    return f"no {kind} {name!r}; {advice}"


def argument_name(metavar: str) -> str:
    """Return the name of an argument in messages: ``CLIP`` for the metavar ``[CLIP...]``."""
    return metavar.strip("[]").removesuffix("...")


def _describe(error: Any) -> str:
    param = getattr(error, "param", None)
    if hasattr(error, "possibilities"):  # of an unknown option, the most similar one first
        closest = next(iter(error.possibilities or ()), None)
        advice = f"; did you mean {closest}?" if closest else ""
        return f"no option {error.option_name}{advice}"
    if param is None:
        text: str = error.message
        return text[:1].lower() + text[1:]
    return f"{_name_of(param)}: {'not given' if hasattr(error, 'param_type') else error.message}"


def _name_of(param: Any) -> str:
    if param.param_type_name == "argument":
        return argument_name(param.metavar or param.name)
    return str(max(param.opts, key=len))
