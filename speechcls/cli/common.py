"""What all commands share: errors turned into exit codes, and options without effect refused."""

import functools
import os
import sys
import traceback
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar, cast, get_type_hints

import typer
from typer.models import ArgumentInfo

from speechcls.cli.faults import check_address_space, check_packages, describe_fault
from speechcls.cli.messages import Messages
from speechcls.cli.signals import Terminated, TerminationHandler
from speechcls.cli.usage import argument_name
from speechcls.distributed.place import Place, find_place
from speechcls.errors import ConfigError, PeerError, SpeechclsError
from speechcls.storage.places import STORES, shown
from speechcls.text import printable

FAILED, USAGE, INTERRUPTED = 1, 2, 130
"""Exit codes, beside 0 and those of signals: ``speechcls help exit-codes``."""
_SIGNALLED = 128
"""What a shell adds to the number of the signal that ended a program."""

F = TypeVar("F", bound=Callable[..., Any])


def reports_errors(command: F) -> F:
    """Turn what a command raises into one line on stderr and an exit code.

    ``ConfigError`` ends in 2, other speechcls and OS errors in 1, Ctrl-C in 130, SIGTERM in 143,
    SIGHUP in 129; a closed pipe on stdout, as of ``| head``, in 1 without a message.
    """

    @functools.wraps(command)
    def run(*args: Any, **options: Any) -> Any:
        # File names are printed byte for byte, whatever the terminal's encoding.
        sys.stdout.reconfigure(encoding="utf-8", errors="surrogateescape")  # type: ignore[union-attr]
        sys.stderr.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
        termination = TerminationHandler()
        with termination.installed():
            try:
                result = _run(command, args, options)
            except (typer.Exit, OSError):
                # What was kept decides on no code then, nor does a terminal that is gone.
                if not termination.number:
                    raise
        if termination.number:
            raise typer.Exit(_SIGNALLED + termination.number)
        return result

    return cast(F, run)


def _run(command: Callable[..., Any], args: Any, options: dict[str, Any]) -> Any:
    try:
        check_address_space(command.__name__)
        check_packages(command.__name__)
        refuse_addresses(options)
        result = command(*args, **options)
        sys.stdout.flush()
        return result
    except KeyboardInterrupt as error:
        if own_place().is_main:  # of several processes all are interrupted
            with suppress(OSError):  # of a terminal that was closed
                by = f"ended by {error}" if isinstance(error, Terminated) else "interrupted"
                Messages().error(by)
        raise typer.Exit(INTERRUPTED) from None
    except typer.Exit:
        raise
    except PeerError:
        raise typer.Exit(FAILED) from None
    except BrokenPipeError:
        # Python flushes stdout once more at its end; that must not fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(FAILED) from None
    except Exception as error:  # what is not ours and no fault of the machine goes on as it is
        text = _describe(error, command)
        if text is None:
            raise
        if options.get("verbose"):
            for line in traceback.format_exc().splitlines():
                typer.echo(printable(shown(line)), err=True)
        place = own_place()
        who = "" if place.is_main or text.startswith(place.name) else f"{place.name}: "
        Messages().error(who + text, getattr(error, "details", ()))
        raise typer.Exit(USAGE if isinstance(error, ConfigError) else FAILED) from None


def own_place() -> Place:
    """Return which of several processes this one is; alone where that cannot be told."""
    try:
        return find_place()
    except ConfigError:
        return Place()


_SCHEMES = frozenset(f"{scheme}:" for scheme in STORES)
"""What a path begins with that an address was taken for."""


def refuse_addresses(options: dict[str, Any]) -> None:
    """Refuse an address where a local path is meant: what is written, for one."""
    for field, value in options.items():
        for path in value if isinstance(value, list) else [value]:
            if isinstance(path, Path) and path.parts and path.parts[0] in _SCHEMES:
                raise ConfigError(
                    f"{path}: an address, where only a local path can be; name one", field=field
                )


def _describe(error: Exception, command: Callable[..., Any]) -> str | None:
    fault = describe_fault(error, command.__name__)
    if fault is not None or not isinstance(error, SpeechclsError):
        return fault
    return f"{option_of(command, error.field)}: {error.message}" if error.field else str(error)


def option_of(command: Callable[..., Any], field: str) -> str:
    """Return the option of a command that sets the library's ``field``."""
    hint = get_type_hints(command, include_extras=True).get(field)
    for about in getattr(hint, "__metadata__", ()):
        if isinstance(about, ArgumentInfo):
            return argument_name(about.metavar or field)
        # Within Annotated, Typer takes the first declaration for the default.
        names = [str(name).split("/")[0] for name in (about.default, *(about.param_decls or ()))]
        return next((n for n in names if n.startswith("--")), f"--{field.replace('_', '-')}")
    return field


def given(ctx: typer.Context) -> set[str]:
    """Return the names of the parameters that the command line sets."""
    sources = {name: ctx.get_parameter_source(name) for name in ctx.params}
    return {name for name, source in sources.items() if source and source.name == "COMMANDLINE"}


def refuse(ctx: typer.Context, names: Iterable[str], why: str) -> None:
    """Refuse each parameter in ``names`` that the command line sets, since it has no effect.

    Parameters
    ----------
    why : in what combination it has none, as ``without --stream``
    """
    unused = given(ctx) & set(names)
    for param in ctx.command.params:
        if param.name in unused:
            raise typer.BadParameter(f"{max(param.opts, key=len)}: has no effect {why}")
