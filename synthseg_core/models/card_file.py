"""Model cards as YAML: read and checked, and written so that the same card gives the same text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from synthseg_core.errors import ModelError
from synthseg_core.labels.table import LabelTable
from synthseg_core.models.card import ModelCard
from synthseg_core.networks.config import ARCHITECTURES, NetworkSpec, architecture_of, without_later_defaults
from synthseg_core.system.atomic import write_text
from synthseg_core.system.paths import is_file
from synthseg_core.system.settings import about, build, read_mapping, to_content

_LINE = 120
_OMITTED, _EMPTY = ("labels", "source"), ((), {}, "", None)


def card_text(card: ModelCard, label_table: str) -> str:
    """Return a card as YAML; the same card gives the same text.

    Parameters
    ----------
    card
        The card.
    label_table
        File beside the card, or the name of a table of the package, that holds the card's labels.
    """
    content: dict[str, Any] = {}
    for part in fields(card):
        value = getattr(card, part.name)
        if part.name == "networks":
            content["label_table"] = label_table
            content["networks"] = [_network_entry(spec) for spec in value]
        elif part.name not in _OMITTED and value not in _EMPTY:
            content[part.name] = _plain(value)
    return yaml_text(content)


def rewrite_card(card: ModelCard) -> None:
    """Replace a card's file, for instance by one that says more; comments in the file are lost."""
    table = Path(card.labels.name)
    beside = table.parent.resolve() == card.source.parent.resolve()
    write_text(card.source, card_text(card, table.name if beside else table.stem))


def yaml_text(content: Mapping[str, Any]) -> str:
    """Return a mapping as YAML: entries in their order, lists on one line where they fit."""
    return yaml.dump(to_content(content), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=_LINE)


def _network_entry(spec: NetworkSpec) -> dict[str, Any]:
    return {
        "role": spec.role,
        "architecture": architecture_of(spec.config),
        "prefix": spec.prefix,
        **without_later_defaults(_plain(spec.config)),
    }


def _plain(value: Any) -> Any:
    """Turn dataclasses into mappings, without what is empty."""
    if not is_dataclass(value):
        return value
    entries = {f.name: getattr(value, f.name) for f in fields(value)}
    return {name: entry for name, entry in entries.items() if entry not in _EMPTY}


class _Dumper(yaml.SafeDumper):
    """Writes mappings by lines, but lists and what is in them between brackets."""


def _list_node(dumper: yaml.SafeDumper, items: list[Any]) -> yaml.Node:
    node = dumper.represent_sequence("tag:yaml.org,2002:seq", items)
    mappings = [entry for entry in node.value if isinstance(entry, yaml.MappingNode)]
    for entry in mappings:
        entry.flow_style = True
    node.flow_style = not mappings
    return node


def _text_node(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(list, _list_node)
_Dumper.add_representer(str, _text_node)


def read_card(path: Path) -> ModelCard:
    """Read and check one card; ``ModelError`` that names the entry if something is wrong with it."""
    values = read_mapping(path, "model card", "correct the file", error=ModelError)
    values["networks"] = _networks(values.get("networks"), path)
    values["labels"] = _labels(str(values.pop("label_table", "")), path)
    with about(str(path), ModelError):
        return _as_written(build(ModelCard, {**values, "source": path}, str(path)), values)


def _as_written(built: Any, given: Any) -> Any:
    """Keep whole numbers as the card writes them: digests of output folders hold ``1`` and ``1.0`` as they stood."""
    if is_dataclass(built) and not isinstance(built, type) and isinstance(given, Mapping):
        parts = {f.name: getattr(built, f.name) for f in fields(built) if f.name in given}
        return replace(built, **{name: _as_written(part, given[name]) for name, part in parts.items()})
    if isinstance(built, tuple) and isinstance(given, list):
        return tuple(_as_written(part, one) for part, one in zip(built, given, strict=True))
    whole = isinstance(built, float) and isinstance(given, int)
    return given if whole else built


def _networks(entries: Any, path: Path) -> tuple[NetworkSpec, ...]:
    if not isinstance(entries, list):
        raise ModelError(path, found=f"networks: {entries!r}", expected="a list", remedy="correct the model card")
    return tuple(_network(entry, path) for entry in entries)


def _network(entry: Any, path: Path) -> NetworkSpec:
    if not isinstance(entry, Mapping):
        raise ModelError(path, found=f"networks: {entry!r}", expected="mappings", remedy="correct the model card")
    options = dict(entry)
    role, prefix = str(options.pop("role", "segmenter")), str(options.pop("prefix", "unet"))
    architecture = str(options.pop("architecture", "unet"))
    if architecture not in ARCHITECTURES:
        raise ModelError(
            path,
            found=f"architecture {architecture!r}",
            expected=" or ".join(ARCHITECTURES),
            remedy="correct the model card",
        )
    with about(str(path), ModelError):
        return NetworkSpec(role, prefix, build(ARCHITECTURES[architecture], options, f"{path}, network {role}"))


def _labels(name: str, path: Path) -> LabelTable:
    beside = path.parent / name
    if is_file(beside):
        return LabelTable.read(beside)
    builtin = LabelTable.builtin_names()
    if name.removesuffix(".tsv") not in builtin:
        raise ModelError(
            path,
            found=f"label_table {name!r}",
            expected=f"a TSV file beside the card, or one of {', '.join(builtin)}",
            remedy="correct the model card",
        )
    return LabelTable.builtin(name.removesuffix(".tsv"))
