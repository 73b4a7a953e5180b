"""Models by name or by file: the registry of the package's cards, the default one, and how YAML becomes a card."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from synthseg_core.errors import ModelError
from synthseg_core.models.card import ModelCard, ScoutSpec
from synthseg_core.models.card_file import read_card
from synthseg_core.models.weights import stores
from synthseg_core.resources import resource
from synthseg_core.system.paths import is_file, is_folder

DEFAULT_MODEL = "default"
"""Name that stands for the model that is used where none is named."""
DEFAULT_FILE = "default.txt"
"""Beside the package's cards; its one line is the name of the default model."""

SIZE_TOLERANCE_MM = 1e-3
"""Voxel sizes of models that work together differ by no more, mm."""

AUTOCROP = ScoutSpec("scout-4mm", margin_mm=16.0)
"""What finds the brain for models without a scout of their own, on request, and how much is left around it."""

# Endings of what other programs take for a model.
_WEIGHTS = (".h5", ".hdf5", ".keras", ".safetensors", ".pt", ".pth", ".onnx")


def resources_folder() -> Path:
    """Return the folder of the package's own cards, label tables and weights."""
    return resource()


def registered_models() -> dict[str, Path]:
    """Return the cards that the package carries, by name, sorted."""
    return {path.stem: path for path in sorted((resources_folder() / "models").glob("*.yaml"))}


def known_by_folder(name: str) -> ModelCard | None:
    """Return the package's card of a model whose archive holds a folder of that name; ``None`` for others."""
    cards = map(read_card, registered_models().values())
    return next((card for card in cards if card.weights.archive and card.weights.archive.folder == name), None)


def stored_cards() -> dict[str, Path]:
    """Return the cards of models that were imported into the store of weights, by name, sorted."""
    found: dict[str, Path] = {}
    for folder in stores():
        if is_folder(folder):
            cards = {path.stem: path for path in folder.glob("*.yaml") if _is_imported(path)}
            found = {**cards, **found}
    return dict(sorted(found.items()))


def stored_card(name: str) -> Path | None:
    """Return the card of an imported model; ``None`` if there is none of that name."""
    plain = name == Path(name).name and name not in ("", ".", "..")
    paths = (folder / f"{name}.yaml" for folder in stores()) if plain else ()
    return next((path for path in paths if _is_imported(path)), None)


def _is_imported(card: Path) -> bool:
    """Say whether an import has left a card and its weights."""
    return is_file(card) and is_file(card.with_name(f"{card.stem}.safetensors"))


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
    if Path(name_or_path).suffix.lower() in _WEIGHTS:
        raise ModelError(
            name_or_path,
            found="a file of weights",
            expected="a registered model, or a model card, which says what the weights are for",
            remedy="name the folder of the weights with --weights; see 'synthseg models list'",
        )
    known, name = registered_models(), resolved_name(str(name_or_path))
    path = known.get(name, Path(name_or_path))
    imported = stored_card(name)
    if imported is not None and (name not in known or read_card(path).weights.archive is not None):
        return read_card(imported)
    if not is_file(path):
        raise ModelError(
            name_or_path,
            found="neither a registered model nor a card file",
            expected=f"{DEFAULT_MODEL}, one of {', '.join({**known, **stored_cards()})}, or the path of a YAML card",
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
    found = _beside(card, card.companions[task])
    if found.task != task:
        raise card.fault(f"a model for {found.task} ({found.name}) as companion for {task}", f"a model for {task}")
    theirs, own = (one.grid.voxel_size_mm for one in (found, card))
    if abs(theirs - own) > SIZE_TOLERANCE_MM:
        found_text = f"{found.name}, which works at {theirs:g} mm, as companion for {task}"
        raise card.fault(found_text, f"a model that works at {own:g} mm, as this one")
    return found


def scout_of(card: ModelCard) -> ModelCard | None:
    """Return the card of the model that finds the brain before this one segments; ``None`` if there is none.

    Raises
    ------
    ModelError
        If it cannot be one: another task or family, or a scout of its own.
    """
    if card.scout is None:
        return None
    found = _beside(card, card.scout.model)
    if (found.task, found.family) != ("segmentation", "synthseg") or found.scout is not None:
        what = f"{found.name}, a model for {found.task} of family {found.family}, as scout"
        raise card.fault(what, "a segmentation model of family synthseg without a scout of its own")
    return found


def with_autocrop(card: ModelCard) -> ModelCard:
    """Return a model that is given the brain and a margin alone; one with a scout of its own crops already."""
    return card if card.scout is not None else replace(card, scout=AUTOCROP)


def halved_edge(card: ModelCard) -> int:
    """Return what edges have to be divisible by for the networks of a model and of its companion for parcels."""
    companions = [companion(card, task) for task in card.companions if task == "parcellation"]
    return 2 ** max(spec.config.halvings for one in (card, *companions) for spec in one.networks)


def _beside(card: ModelCard, name: str) -> ModelCard:
    """Return a card by its path relative to another one, or by the name of a registered model."""
    beside = card.source.parent / name
    return load_card(beside if beside.is_file() else name)
