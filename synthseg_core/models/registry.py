"""Models by name or by file: the registry of the package's cards, the default one, and how YAML becomes a card."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from importlib.resources import files
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from synthseg_core.errors import ModelError
from synthseg_core.labels.table import LabelTable
from synthseg_core.models.card import GridSpec, InferenceSpec, IntensitySpec, ModelCard, WeightsFile
from synthseg_core.networks.config import NetworkSpec, RegressorConfig, UNetConfig
from synthseg_core.system.paths import is_file

__all__ = [
    "DEFAULT_FILE",
    "DEFAULT_MODEL",
    "GridSpec",
    "InferenceSpec",
    "IntensitySpec",
    "ModelCard",
    "WeightsFile",
    "companion",
    "default_model",
    "load_card",
    "read_card",
    "registered_models",
    "resolved_name",
    "resources_folder",
]

DEFAULT_MODEL = "default"
"""Name that stands for the model that is used where none is named."""
DEFAULT_FILE = "default.txt"
"""Beside the package's cards; its one line is the name of the default model."""
_ARCHITECTURES: dict[str, type[UNetConfig] | type[RegressorConfig]] = {"unet": UNetConfig, "regressor": RegressorConfig}
_T = TypeVar("_T")


def resources_folder() -> Path:
    """Return the folder of the package's own cards, label tables and weights."""
    return Path(str(files("synthseg_core") / "resources"))


def registered_models() -> dict[str, Path]:
    """Return the cards that the package carries, by name, sorted."""
    return {path.stem: path for path in sorted((resources_folder() / "models").glob("*.yaml"))}


def default_model() -> str:
    """Return the name of the model that is used where none is named; one line of data decides it."""
    return (resources_folder() / "models" / DEFAULT_FILE).read_text(encoding="utf-8").strip()


def resolved_name(name: str) -> str:
    """Return ``name``, or what it stands for if it is ``default``."""
    return default_model() if name == DEFAULT_MODEL else name


def load_card(name_or_path: str | Path) -> ModelCard:
    """Return a registered model by name, the default one, or a user's own by the path of its card.

    Raises
    ------
    ModelError
        If there is no such model or the card contradicts itself.
    """
    known = registered_models()
    path = known.get(resolved_name(str(name_or_path)), Path(name_or_path))
    if not is_file(path):
        raise ModelError(
            name_or_path,
            found="neither a registered model nor a card file",
            expected=f"{DEFAULT_MODEL}, one of {', '.join(known)}, or the path of a YAML card",
            remedy="see 'synthseg models list'",
        )
    return read_card(path)


def companion(card: ModelCard, task: str) -> ModelCard:
    """Return the card of the model that adds ``task`` to this one; ``ModelError`` if there is none."""
    if task not in card.companions:
        offers = ", ".join(card.companions) or "nothing beside the segmentation"
        raise ModelError(
            f"model {card.name}",
            found=f"a request for {task}",
            expected=f"what it offers: {offers}",
            remedy="choose another model ('synthseg models list')",
        )
    name = card.companions[task]
    beside = card.source.parent / name
    found = load_card(beside if beside.is_file() else name)
    if found.task != task:
        raise card.fault(f"a model for {found.task} ({found.name}) as companion for {task}", f"a model for {task}")
    return found


def read_card(path: Path) -> ModelCard:
    """Read and check one card."""
    import yaml  # not above: training, which knows its model without a card, does without

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
