"""Model cards as YAML: read and checked, and written so that the same card gives the same text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

import yaml

from synthseg_core.errors import ModelError
from synthseg_core.labels.table import LabelTable
from synthseg_core.models.card import GridSpec, InferenceSpec, IntensitySpec, ModelCard, WeightsFile
from synthseg_core.networks.config import NetworkSpec, RegressorConfig, UNetConfig
from synthseg_core.system.atomic import write_text
from synthseg_core.system.paths import is_file
from synthseg_core.system.settings import to_content

_LINE = 120
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
    architecture = "regressor" if isinstance(spec.config, RegressorConfig) else "unet"
    return {"role": spec.role, "architecture": architecture, "prefix": spec.prefix, **_plain(spec.config)}


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


_ARCHITECTURES: dict[str, type[UNetConfig] | type[RegressorConfig]] = {"unet": UNetConfig, "regressor": RegressorConfig}


_T = TypeVar("_T")


def read_card(path: Path) -> ModelCard:
    """Read and check one card."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise ModelError(
            path, found=f"no readable YAML ({error})", expected="a model card", remedy="correct the file"
        ) from error
    if not isinstance(content, dict):
        raise ModelError(path, found="no mapping", expected="a model card", remedy="correct the file")
    values: dict[str, Any] = dict(content)
    for key, kind in {
        "grid": GridSpec,
        "intensity": IntensitySpec,
        "inference": InferenceSpec,
        "weights": WeightsFile,
    }.items():
        if key in values:
            values[key] = _build(kind, values[key], path, key)
    values["networks"] = _networks(values.get("networks"), path)
    values["labels"] = _labels(str(values.pop("label_table", "")), path)
    return _build(ModelCard, {**values, "source": path}, path, "card")


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
    if architecture not in _ARCHITECTURES:
        raise ModelError(
            path,
            found=f"architecture {architecture!r}",
            expected=" or ".join(_ARCHITECTURES),
            remedy="correct the model card",
        )
    return NetworkSpec(role, prefix, _build(_ARCHITECTURES[architecture], options, path, f"network {role}"))


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


def _build(kind: type[_T], values: Mapping[str, Any], path: Path, where: str) -> _T:
    """Make a dataclass from a mapping; unknown and missing keys are errors that name the key."""
    if not isinstance(values, Mapping):
        raise ModelError(path, found=f"{where}: {values!r}", expected="a mapping", remedy="correct the model card")
    known = {f.name for f in fields(kind)}  # type: ignore[arg-type]
    if unknown := sorted(set(values) - known):
        raise ModelError(
            path,
            found=f"unknown key {', '.join(unknown)} in {where}",
            expected=f"only {', '.join(sorted(known))}",
            remedy="correct the model card",
        )
    frozen = {key: _frozen(value) for key, value in values.items()}
    _check_kinds(kind, frozen, path, where)
    try:
        return kind(**frozen)
    except ModelError as error:
        if error.subject == str(path):
            raise
        raise ModelError(
            f"{path}, {error.subject}", found=error.found, expected=error.expected, remedy=error.remedy
        ) from error
    except (TypeError, ValueError) as error:
        raise ModelError(
            path,
            found=f"{where}: {error}",
            expected="all required keys, with values of the right kind",
            remedy="correct the model card",
        ) from error


def _check_kinds(kind: type[Any], values: Mapping[str, Any], path: Path, where: str) -> None:
    """Refuse values of another kind than the dataclass says: "no" in quotes is no ``false``, a text is no list."""
    hints = get_type_hints(kind)
    for key, value in values.items():
        if not _fits(value, hints[key]):
            text = hints[key].__name__ if isinstance(hints[key], type) else str(hints[key]).replace("tuple", "list")
            raise ModelError(
                path,
                found=f"{key}: {value!r} in {where}",
                expected=f"a value of kind {text}",
                remedy="correct the model card",
            )


def _fits(value: Any, hint: Any) -> bool:
    """Say whether a value is of an annotated kind; whole numbers count as ``float``, truth values as no number."""
    origin, parts = get_origin(hint), get_args(hint)
    if hint is Any:
        return True
    if origin is UnionType:
        return any(_fits(value, part) for part in parts)
    if origin is tuple:
        wanted = parts[:1] * len(value) if parts[-1] is Ellipsis and isinstance(value, tuple) else parts
        return isinstance(value, tuple) and len(value) == len(wanted) and all(map(_fits, value, wanted))
    if origin is Mapping:
        if not isinstance(value, Mapping):
            return False
        return all(_fits(key, parts[0]) and _fits(item, parts[1]) for key, item in value.items())
    if hint in (int, float):
        return isinstance(value, int if hint is int else (int, float)) and not isinstance(value, bool)
    return isinstance(value, hint)


def _frozen(value: Any) -> Any:
    """Turn lists, also those in lists, into tuples."""
    return tuple(_frozen(item) for item in value) if isinstance(value, list) else value
