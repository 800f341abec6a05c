"""The base of every configuration: fields that turn into JSON and back, checked by type."""

import ast
import dataclasses
import functools
import inspect
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self, get_args, get_origin, get_type_hints

from speechcls.errors import ConfigError

_TYPE_NAMES = {int: "a whole number", float: "a number", str: "text", bool: "true or false"}
_ITEM_NAMES = {int: "whole numbers", str: "names"}


@dataclass(frozen=True)
class Config:
    """Base of the configurations: JSON in and out, with unknown and missing keys refused."""

    ADDED = MappingProxyType[str, Any]({})  # without annotation: it is no field
    """Fields that older files lack, with the value that they had then."""

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Return the configuration that ``to_dict`` wrote; only ``ADDED`` may be missing.

        Raises
        ------
        ConfigError
            When a key is unknown or missing, or a value has the wrong type or is impossible.
        """
        values = {**cls.ADDED, **values}
        valid = [field.name for field in dataclasses.fields(cls)]
        unknown, missing = sorted(values.keys() - valid), sorted(valid - values.keys())
        if unknown or missing:
            problems = [f"unknown {', '.join(unknown)}"] if unknown else []
            problems += [f"missing {', '.join(missing)}"] if missing else []
            raise ConfigError(f"{cls.__name__}: {'; '.join(problems)}; valid: {', '.join(valid)}")
        return cls(**cls._checked(values))

    def replaced(self, values: Mapping[str, Any]) -> Self:
        """Return a copy with the given fields replaced, as a configuration file names them.

        Raises
        ------
        ConfigError
            With the field, when it is unknown, or its value has the wrong type or is impossible.
        """
        return dataclasses.replace(self, **self._checked(values))

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON-ready values, in their order."""
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in dataclasses.asdict(self).items()
        }

    @classmethod
    def _checked(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return ``values`` as the fields hold them; refuse unknown names and wrong types."""
        types, checked = get_type_hints(cls), dict(values)
        for name, value in values.items():
            if name not in types:
                raise ConfigError(f"no such setting; there are {', '.join(types)}", field=name)
            origin, choices = get_origin(types[name]), get_args(types[name]) or (types[name],)
            if origin is tuple:
                item = choices[0]
                is_right = isinstance(value, list | tuple) and all(type(v) is item for v in value)
                checked[name] = value if not is_right else tuple(value)
                what = f"a list of {_ITEM_NAMES[item]}"
            elif origin is dict:
                is_right, what = type(value) is dict, "a table"
            else:
                # JSON and TOML write 1.0 and 1 alike.
                is_right = type(value) in choices or (float in choices and type(value) is int)
                what = " or ".join(_TYPE_NAMES[kind] for kind in choices if kind in _TYPE_NAMES)
            if not is_right:
                raise ConfigError(f"{value!r} has the wrong type; it must be {what}", field=name)
        return checked

    def _require(self, name: str, allowed: bool, what: str) -> None:
        """Refuse the field ``name`` unless ``allowed``, saying what it has to be."""
        if not allowed:
            value = getattr(self, name)
            raise ConfigError(f"{value!r} is not possible; it must be {what}", field=name)

    def _require_positive(self, *names: str) -> None:
        for name in names:
            value = getattr(self, name)
            self._require(name, math.isfinite(value) and value > 0, "a positive number")

    def _require_fraction(self, *names: str) -> None:
        for name in names:
            self._require(name, 0 <= getattr(self, name) < 1, "at least 0 and below 1")

    def _require_probability(self, *names: str) -> None:
        for name in names:
            self._require(name, 0 <= getattr(self, name) <= 1, "in 0 .. 1")

    def _require_not_negative(self, *names: str) -> None:
        for name in names:
            self._require(name, 0 <= getattr(self, name) < math.inf, "zero or more")


def describe_fields(config: type[Config]) -> dict[str, str]:
    """Return what each field is, by name: the docstring below it, without markup."""
    definition = _read_classes(str(inspect.getsourcefile(config)))[config.__name__]
    described = {}
    for field, text in zip(definition.body, definition.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
            assert isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant)
            described[field.target.id] = str(text.value.value).replace("``", "")
    return described


@functools.cache
def _read_classes(path: str) -> dict[str, ast.ClassDef]:
    """Return the classes of a source file by name."""
    tree = ast.parse(Path(path).read_text(encoding="utf-8"))
    return {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
