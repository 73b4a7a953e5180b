"""Model cards as YAML text: the inverse of :func:`synthseg_core.models.registry.read_card`, without a YAML library."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from synthseg_core.models.card import ModelCard
from synthseg_core.networks.config import NetworkSpec, RegressorConfig
from synthseg_core.system.atomic import write_text

_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_./-]*")
# What YAML 1.1 reads as something else than text.
_RESERVED = {"y", "yes", "n", "no", "true", "false", "on", "off", "null"}
_OMITTED, _EMPTY = ("labels", "source"), ((), {}, "", None)


def card_text(card: ModelCard, label_table: str) -> str:
    """Return a card as YAML; the same card gives the same text.

    Parameters
    ----------
    label_table
        File beside the card, or the name of a table of the package, that holds the card's labels.
    """
    content: dict[str, Any] = {}
    for part in fields(card):
        value = getattr(card, part.name)
        if part.name == "networks":
            content["label_table"] = label_table
            content["networks"] = [_network(spec) for spec in value]
        elif part.name not in _OMITTED and value not in _EMPTY:
            content[part.name] = _plain(value)
    return "".join(f"{line}\n" for line in yaml_lines(content))


def rewrite_card(card: ModelCard) -> None:
    """Replace a card's file, for instance by one that says more; comments in the file are lost."""
    table = Path(card.labels.name)
    beside = table.parent.resolve() == card.source.parent.resolve()
    write_text(card.source, card_text(card, table.name if beside else table.stem))


def yaml_lines(content: Mapping[str, Any], indent: str = "") -> list[str]:
    """Return a mapping as YAML, line by line."""
    return list(_mapping_lines(content, indent))


def _network(spec: NetworkSpec) -> dict[str, Any]:
    architecture = "regressor" if isinstance(spec.config, RegressorConfig) else "unet"
    return {"role": spec.role, "architecture": architecture, "prefix": spec.prefix, **_plain(spec.config)}


def _plain(value: Any) -> Any:
    """Turn dataclasses into mappings, without what is empty."""
    if not is_dataclass(value):
        return value
    entries = {f.name: getattr(value, f.name) for f in fields(value)}
    return {name: entry for name, entry in entries.items() if entry not in _EMPTY}


def _mapping_lines(content: Mapping[str, Any], indent: str) -> Iterator[str]:
    for key, value in content.items():
        if isinstance(value, Mapping) and value:
            yield f"{indent}{_scalar(key)}:"
            yield from _mapping_lines(value, indent + "  ")
        elif isinstance(value, list | tuple) and value and isinstance(value[0], Mapping):
            yield f"{indent}{_scalar(key)}:"
            yield from (f"{indent}  - {_flow(item)}" for item in value)
        else:
            yield f"{indent}{_scalar(key)}: {_flow(value)}"


def _flow(value: Any) -> str:
    """Return a value on one line."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_scalar(key)}: {_flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_flow(item) for item in value) + "]"
    return _scalar(value)


def _scalar(value: Any) -> str:
    if isinstance(value, str):
        plain = _PLAIN.fullmatch(value) and value.lower() not in _RESERVED
        return value if plain else json.dumps(value, ensure_ascii=False)
    if isinstance(value, float):
        return _number(value)
    return "null" if value is None else str(value).lower()


def _number(value: float) -> str:
    """Return a float that YAML 1.1 reads as one: with a point in it, also before an exponent."""
    text = repr(float(value))
    if text in ("nan", "inf", "-inf"):
        return text.replace("nan", ".nan").replace("inf", ".inf")
    mantissa, exponent, power = text.partition("e")
    return (mantissa if "." in mantissa else f"{mantissa}.0") + exponent + power
