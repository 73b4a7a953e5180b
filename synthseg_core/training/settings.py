"""Nested frozen dataclasses from JSON or YAML content, by their annotations."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from typing import Any

from synthseg_core.errors import UsageError


def build(kind: Any, content: Any, subject: str) -> Any:
    """Return a (nested) dataclass; ``UsageError`` for unknown names and values of the wrong kind."""
    hints = typing.get_type_hints(kind)
    names = [entry.name for entry in dataclasses.fields(kind)]
    if not isinstance(content, Mapping):
        raise UsageError(subject, found=f"{content!r}", expected="entries with names", remedy="correct the entry")
    if unknown := [str(key) for key in content if key not in names]:
        raise UsageError(
            subject,
            found=f"unknown entries {', '.join(unknown)}",
            expected=f"some of {', '.join(names)}",
            remedy="correct the names",
        )
    return kind(**{name: _value(hints[name], value, f"{subject}, {name}") for name, value in content.items()})


def _value(hint: Any, value: Any, subject: str) -> Any:
    """Return ``value`` as the annotation asks, or refuse it."""
    if dataclasses.is_dataclass(hint):
        return build(hint, value, subject)
    if isinstance(hint, types.UnionType):
        kinds = [one for one in typing.get_args(hint) if one is not types.NoneType]
        return None if value is None else _value(kinds[0], value, subject)
    if typing.get_origin(hint) is tuple:
        return _tuple(typing.get_args(hint), value, subject)
    allowed = (int, float) if hint is float else hint
    if not isinstance(value, allowed) or (isinstance(value, bool) and hint is not bool):
        raise UsageError(subject, found=f"{value!r}", expected=f"a value of type {hint.__name__}", remedy="correct it")
    return hint(value)


def _tuple(kinds: tuple[Any, ...], value: Any, subject: str) -> tuple[Any, ...]:
    fixed = len(kinds) if Ellipsis not in kinds else None
    if not isinstance(value, list | tuple) or (fixed is not None and len(value) != fixed):
        raise UsageError(subject, found=f"{value!r}", expected=f"a list of {fixed or 'entries'}", remedy="correct it")
    return tuple(_value(kinds[0], one, f"{subject} {number}") for number, one in enumerate(value, start=1))
