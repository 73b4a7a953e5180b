"""Nested frozen dataclasses from JSON or YAML files, by their annotations, and back.

A dataclass that has a shorter form in files than its fields defines ``from_content`` and ``to_content``.
"""

from __future__ import annotations

import dataclasses
import json
import math
import types
import typing
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from synthseg_core.errors import InputError, SynthSegError, UsageError


def read_mapping(
    path: Path,
    what: str,
    remedy: str = "check it",
    *,
    error: type[SynthSegError] = InputError,
    is_json: bool | None = None,
) -> dict[str, Any]:
    """Return the entries of a YAML or JSON file; one clear line if there are none.

    Parameters
    ----------
    path
        The file; a byte-order mark does no harm.
    what
        What the file is, for messages.
    remedy
        What to do about one that is of no use, such as where it is explained.
    error
        Class of the error.
    is_json
        ``None``: JSON if the name ends in ``.json``, YAML otherwise.

    Raises
    ------
    SynthSegError
        ``error``, if the file cannot be read or holds anything but names with values.
    """
    is_json = path.suffix.lower() == ".json" if is_json is None else is_json
    form = "JSON" if is_json else "YAML"
    try:
        content = json.loads(path.read_bytes()) if is_json else yaml.safe_load(path.read_bytes())
    except (OSError, ValueError, yaml.YAMLError) as fault:
        reason = getattr(fault, "strerror", None) or " ".join(str(fault).split())
        raise error(path, found=f"no readable {what} ({reason})", expected=form, remedy=remedy) from fault
    if not isinstance(content, dict):
        raise error(path, found="no entries with names", expected=f"{what} in {form}", remedy=remedy)
    return content


def known_mapping(path: Path) -> dict[str, Any]:
    """Return the entries of a JSON file, for what may stay unknown: none where the file is missing or of no use."""
    try:
        return read_mapping(path, "entries", is_json=True)
    except InputError:
        return {}


def build(kind: Any, content: Any, subject: str) -> Any:
    """Return a (nested) dataclass; ``UsageError`` for unknown or missing names and values of the wrong kind."""
    if hasattr(kind, "from_content"):
        return kind.from_content(content, subject)
    return build_fields(kind, content, subject)


def build_fields(kind: Any, content: Any, subject: str) -> Any:
    """Return a dataclass from entries named like its fields; absent ones keep their defaults."""
    hints = typing.get_type_hints(kind)
    if not isinstance(content, Mapping):
        raise UsageError(subject, found=f"{content!r}", expected="entries with names", remedy="correct the entry")
    _check_names(kind, content, subject)
    required = [entry.name for entry in dataclasses.fields(kind) if _is_required(entry)]
    if missing := [name for name in required if name not in content]:
        raise UsageError(subject, found=f"no {', '.join(missing)}", expected="these entries", remedy="add them")
    values = {name: _value(hints[name], value, f"{subject}, {name}") for name, value in content.items()}
    with about(subject):
        return kind(**values)


def update(base: Any, content: Any, subject: str) -> Any:
    """Return a (nested) dataclass like ``base``, with the entries of ``content`` instead of its own."""
    if not isinstance(content, Mapping):
        raise UsageError(subject, found=f"{content!r}", expected="entries with names", remedy="correct the entry")
    _check_names(base, content, subject)
    hints = typing.get_type_hints(type(base))
    changed: dict[str, Any] = {}
    for name, value in content.items():
        own = getattr(base, name)
        nested = dataclasses.is_dataclass(own) and not hasattr(own, "from_content") and isinstance(value, Mapping)
        place = f"{subject}, {name}"
        changed[name] = update(own, value, place) if nested else _value(hints[name], value, place)
    with about(subject):
        return dataclasses.replace(base, **changed)


def to_content(value: Any) -> Any:
    """Return nested dictionaries and lists that :func:`build` turns into the same dataclass again."""
    if hasattr(value, "to_content"):
        return value.to_content()
    if dataclasses.is_dataclass(value):
        return {entry.name: to_content(getattr(value, entry.name)) for entry in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {name: to_content(one) for name, one in value.items()}
    return [to_content(one) for one in value] if isinstance(value, list | tuple) else value


@contextmanager
def about(subject: str, kind: type[SynthSegError] | None = None) -> Iterator[None]:
    """Let what is said about values name the place that they came from, as an error of a ``kind`` if one is given."""
    try:
        yield
    except SynthSegError as error:
        place = error.subject
        if subject not in place:
            own = place.rpartition(": ")[2]
            place = subject if subject.endswith(f", {own}") else f"{subject}: {own}"
        raise (kind or type(error))(place, found=error.found, expected=error.expected, remedy=error.remedy) from error


def _check_names(kind: Any, content: Mapping[str, Any], subject: str) -> None:
    names = [entry.name for entry in dataclasses.fields(kind)]
    if unknown := [str(key) for key in content if key not in names]:
        raise UsageError(
            subject,
            found=f"unknown entries {', '.join(unknown)}",
            expected=f"some of {', '.join(names)}",
            remedy="correct the names",
        )


def _is_required(entry: dataclasses.Field[Any]) -> bool:
    return entry.default is dataclasses.MISSING and entry.default_factory is dataclasses.MISSING


def _value(hint: Any, value: Any, subject: str) -> Any:
    """Return ``value`` as the annotation asks, or refuse it."""
    if hint is Any:
        return value
    if dataclasses.is_dataclass(hint):
        return value if isinstance(value, typing.cast(type, hint)) else build(hint, value, subject)
    if isinstance(hint, types.UnionType):
        return _one_of(typing.get_args(hint), value, subject)
    if typing.get_origin(hint) is tuple:
        return _tuple(typing.get_args(hint), value, subject)
    if typing.get_origin(hint) is Mapping:
        return _mapping(typing.get_args(hint), value, subject)
    return _number(value, subject) if hint is float else _plain(hint, value, subject)


def _one_of(hints: tuple[Any, ...], value: Any, subject: str) -> Any:
    """Return ``value`` as the alternative that has its form: nothing, a list, the entries given, or else the first."""
    kinds = [one for one in hints if one is not types.NoneType]
    if value is None and len(kinds) < len(hints):
        return None
    if dataclasses.is_dataclass(value) and type(value) in kinds:
        return value
    is_list = isinstance(value, list | tuple)
    fitting = [kind for kind in kinds if (typing.get_origin(kind) is tuple) == is_list]
    if isinstance(value, Mapping):
        fitting = [kind for kind in fitting if dataclasses.is_dataclass(kind) and _has_all(kind, value)] or fitting
    return _value((fitting or kinds)[0], value, subject)


def _has_all(kind: Any, content: Mapping[str, Any]) -> bool:
    return set(content) <= {entry.name for entry in dataclasses.fields(kind)}


def _number(value: Any, subject: str) -> float:
    """Return a finite number; YAML takes numbers such as 1e-4, without a point, for text."""
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise UsageError(subject, found=f"{value!r}", expected="a number", remedy="correct it")
    return number


def _plain(kind: Any, value: Any, subject: str) -> Any:
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise UsageError(subject, found=f"{value!r}", expected=f"a value of type {kind.__name__}", remedy="correct it")
    return value


def _mapping(kinds: tuple[Any, ...], value: Any, subject: str) -> dict[Any, Any]:
    if not isinstance(value, Mapping):
        raise UsageError(subject, found=f"{value!r}", expected="entries with names", remedy="correct it")
    return {_value(kinds[0], name, subject): _value(kinds[1], one, f"{subject}, {name}") for name, one in value.items()}


def _tuple(kinds: tuple[Any, ...], value: Any, subject: str) -> tuple[Any, ...]:
    fixed = len(kinds) if Ellipsis not in kinds else None
    if not isinstance(value, list | tuple) or (fixed is not None and len(value) != fixed):
        raise UsageError(subject, found=f"{value!r}", expected=f"a list of {fixed or 'entries'}", remedy="correct it")
    each = kinds if fixed else kinds[:1] * len(value)
    return tuple(
        _value(kind, one, f"{subject} {number}") for number, (kind, one) in enumerate(zip(each, value, strict=True), 1)
    )
