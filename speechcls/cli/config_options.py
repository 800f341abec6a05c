"""Options made from the fields of a configuration: a new field gets its option automatically."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, NamedTuple, TypeVar, get_type_hints

from speechcls.cli.options import name_of, option
from speechcls.fields import Config, describe_fields

F = TypeVar("F", bound=Callable[..., Any])


class OptionGroup(NamedTuple):
    """Some fields of a configuration, and where help shows their options."""

    config: type[Config]
    panel: str
    fields: Sequence[str]
    shown: Sequence[str] = ()
    """Fields that ``--help`` shows; the others are in ``--help-all`` only."""
    names: Mapping[str, str] = {}
    """Options whose name does not follow from that of the field."""
    texts: Mapping[str, str] = {}
    """Help that is not the docstring of the field, which names no command."""
    defaults: Mapping[str, str] = {}
    """Defaults that are not those of the configuration, as help shows them."""


def with_config_options(*groups: OptionGroup) -> Callable[[F], F]:
    """Give a command an option for each field; the command takes them as ``**fields``.

    An option that is not on the command line is None: the configuration has the default, which help
    shows as well.
    """

    def extend(command: F) -> F:
        signature = inspect.signature(command)
        own = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
        made = [parameter for group in groups for parameter in _parameters(group)]
        own = [p.replace(kind=p.KEYWORD_ONLY) for p in own]
        command.__signature__ = signature.replace(parameters=[*own, *made])  # type: ignore[attr-defined]
        command.__annotations__ = {p.name: p.annotation for p in (*own, *made)}
        return command

    return extend


def _parameters(group: OptionGroup) -> list[inspect.Parameter]:
    about, types = describe_fields(group.config), get_type_hints(group.config)
    parameters = []
    for field in group.fields:
        default = group.defaults.get(field, _shown(getattr(group.config, field)))
        name, unit = name_of(field)
        text = group.texts.get(field, about[field])
        made = option(
            group.names.get(field, name),
            help=f"{text.removesuffix('.')}. [default: {default}]",
            panel=group.panel,
            metavar=unit,
            show_default=False,
            hidden=field not in group.shown,
        )
        annotation = Annotated[types[field] | None, made]  # type: ignore[valid-type]
        parameters.append(
            inspect.Parameter(
                field, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation
            )
        )
    return parameters


def _shown(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def given_fields(group: OptionGroup, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a group that the command line sets."""
    return {name: fields[name] for name in group.fields if fields[name] is not None}
