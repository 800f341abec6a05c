"""Usage errors of Typer, printed in the form of all other errors."""

from collections.abc import Iterable
from pathlib import Path
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


def no_command(name: str, names: Iterable[str], topics: Iterable[str]) -> str:
    """Return the message for a first word that is no command, with what may have been meant."""
    if Path(name).is_dir():
        return f"no command {name!r}; did you mean speechcls check {name}, or train?"
    if Path(name).is_file():
        return f"no command {name!r}; did you mean speechcls predict {name}, or detect?"
    if name in topics:
        return f"no command {name!r}; did you mean speechcls help {name}?"
    return no_such("command", name, names)


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
        return text if text[:2].isupper() else text[:1].lower() + text[1:]
    if not hasattr(error, "param_type"):
        return f"{_name_of(param)}: {error.message}"
    meaning = (param.help or "").partition(". ")[0].strip(".")
    return f"{_name_of(param)}: not given; {meaning[:1].lower()}{meaning[1:]}"


def _name_of(param: Any) -> str:
    if param.param_type_name == "argument":
        return argument_name(param.metavar or param.name)
    return str(max(param.opts, key=len))
