"""The user's store of weights: what is in it, whether it is intact, and how files from elsewhere get into it."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from synthseg_core.errors import InputError, WeightsError
from synthseg_core.models.arrays import load_state, read_metadata, save_safetensors
from synthseg_core.models.card import ModelCard
from synthseg_core.models.keras_file import write_keras
from synthseg_core.models.weights import examine, file_names, locate
from synthseg_core.networks.config import RegressorConfig, UNetConfig
from synthseg_core.system.atomic import atomic_path
from synthseg_core.system.file_identity import identify

_WEIGHT_FILES = (".h5", ".hdf5", ".safetensors", ".pth", ".pt", ".onnx")


class Condition(Enum):
    """Condition of a model's weights."""

    PUBLISHED = "ok"
    UNKNOWN = "unchecked"
    OTHER = "other weights"
    DAMAGED = "damaged"
    MISSING = "missing"


@dataclass(frozen=True)
class StoredModel:
    """A model's weights as they are in the store.

    Parameters
    ----------
    path
        The file; ``None`` if there is none.
    detail
        What is wrong or unusual, in a phrase.
    """

    name: str
    condition: Condition
    path: Path | None
    detail: str = ""


@dataclass(frozen=True)
class Imported:
    """What became of a file of an imported folder.

    Parameters
    ----------
    models
        Names of the models that use it; empty for a file that no model knows.
    target
        Where it is now; ``None`` if it was not taken.
    detail
        Why, in a phrase.
    """

    source: Path
    models: tuple[str, ...]
    target: Path | None
    detail: str


def verify(card: ModelCard, folder: Path | None = None) -> StoredModel:
    """Read a model's weights completely: against the published checksum, and network by network."""
    found = locate(card, folder)
    if found is None:
        return StoredModel(card.name, Condition.MISSING, None, f"no {' or '.join(file_names(card))}")
    path, place = found
    try:
        weights = examine(card, path, place)
        for spec in card.networks:
            load_state(path, spec)
    except WeightsError as error:
        return StoredModel(card.name, Condition.DAMAGED, path, error.found)
    if weights.published is None:
        return StoredModel(card.name, Condition.UNKNOWN, path, "complete, but no published checksum")
    if weights.published:
        return StoredModel(card.name, Condition.PUBLISHED, path)
    return StoredModel(card.name, Condition.OTHER, path, "complete, but not the published file")


def import_folder(folder: Path, store: Path, cards: Sequence[ModelCard], *, link: bool = False) -> list[Imported]:
    """Take the published files that lie in a folder, for instance of a FreeSurfer installation, into the store.

    Parameters
    ----------
    folder
        The folder itself or its parent: ``models`` inside it is searched too.
    store
        Where to put them.
    cards
        The models to look for.
    link
        Make symbolic links instead of copies.

    Returns
    -------
    list
        One entry a file: those that were taken, those that differ from the published ones, those unknown.

    Raises
    ------
    InputError
        If there is no such folder, or no known file in it.
    OutputError
        If the store cannot be written.
    """
    candidates = _weight_files(folder)
    users: dict[str, list[ModelCard]] = {}
    for card in cards:
        if card.weights.sha256 is not None:
            users.setdefault(Path(card.weights.file).name, []).append(card)
    outcomes = [_imported(path, users.get(path.name, []), store, link) for path in candidates]
    if not any(outcome.models for outcome in outcomes):
        raise InputError(
            folder,
            found="none of the published files",
            expected=f"one of {', '.join(sorted(users))}",
            remedy="give the folder that holds them; in FreeSurfer it is called models",
        )
    return outcomes


def convert(card: ModelCard, source: Path, target: Path, *, half: bool = False) -> None:
    """Write a model's weights in the other format, which the extension of ``target`` names.

    Parameters
    ----------
    card
        Says which arrays there must be.
    source
        Weights in either format.
    target
        ``.safetensors`` or ``.h5``.
    half
        Store 16-bit floats (safetensors only).

    Raises
    ------
    InputError
        If the extension is another one, or 16-bit HDF5 is asked for.
    WeightsError
        If the source is not complete.
    """
    kind = target.suffix.lower()
    if kind not in (".h5", ".safetensors") or (half and kind == ".h5"):
        raise InputError(
            target,
            found=f"extension {target.suffix!r}{' with 16-bit floats' if half else ''}",
            expected=".safetensors, or .h5 with 32-bit floats",
            remedy="choose another file name",
        )
    if kind == ".h5" and not all(isinstance(spec.config, UNetConfig | RegressorConfig) for spec in card.networks):
        raise InputError(
            target,
            found=f"model {card.name} of family {card.family}",
            expected=".safetensors: Keras files hold networks of SynthSeg",
            remedy="choose another file name",
        )
    networks = [(spec, load_state(source, spec)) for spec in card.networks]
    if kind == ".h5":
        write_keras(target, networks)
        return
    origin = {"model": card.name, "source": source.name, "source_sha256": identify(source).sha256}
    known = read_metadata(source) if source.suffix == ".safetensors" else {}
    save_safetensors(target, networks, half=half, metadata={**origin, **known})


def _weight_files(folder: Path) -> list[Path]:
    try:
        if not folder.is_dir():
            raise _no_folder(folder, "no folder", "check the path of the folder")
        places = [place for place in (folder, folder / "models") if place.is_dir()]
        return [path for place in places for path in sorted(place.iterdir()) if path.suffix.lower() in _WEIGHT_FILES]
    except InputError:
        raise
    except OSError as error:
        reason = f"no access ({error.strerror or error})"
        raise _no_folder(Path(error.filename or folder), reason, "correct the permissions or the path") from error


def _no_folder(folder: Path, found: str, remedy: str) -> InputError:
    return InputError(folder, found=found, expected="a folder with weights files", remedy=remedy)


def _imported(path: Path, cards: Sequence[ModelCard], store: Path, link: bool) -> Imported:
    if not cards:
        return Imported(path, (), None, "no model of ours")
    names, weights, target = tuple(card.name for card in cards), cards[0].weights, store / path.name
    try:
        difference = identify(path).difference(weights.size_bytes, weights.sha256)
    except OSError as error:
        difference = f"a file that cannot be read ({error.strerror or error})"
    if difference:
        return Imported(path, names, None, difference)
    if target.is_file() and not identify(target).difference(weights.size_bytes, weights.sha256):
        return Imported(path, names, target, "was there already")
    with atomic_path(target) as temporary:
        if link:
            temporary.symlink_to(path.resolve())
        else:
            shutil.copyfile(path, temporary)
    return Imported(path, names, target, "linked" if link else "copied")
