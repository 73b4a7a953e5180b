"""Weights: where a model's file lies, whether it is the published one, and its arrays by torch name."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from synthseg_core.errors import WeightsError
from synthseg_core.models.card import ModelCard
from synthseg_core.system.file_identity import FileKind, identify, kind_of_file
from synthseg_core.system.paths import is_allowed, is_file, is_folder, user_cache

# Format of a card -> the one that its weights may have been converted to.
_CONVERTED = {".h5": ".safetensors", ".safetensors": ".h5", ".pth": ".safetensors"}


@dataclass(frozen=True)
class Place:
    """A folder where weights may lie.

    Parameters
    ----------
    name
        What the folder is, for messages.
    own
        Whether the user vouches for its files: other weights than the published ones are then a warning, no error.
    """

    name: str
    folder: Path
    own: bool = False


@dataclass(frozen=True)
class FoundWeights:
    """A weights file and what is known about it.

    Parameters
    ----------
    sha256
        Of the file.
    published
        Whether it is the file that the card describes; ``None`` where the card has no checksum for it.
    warnings
        One line each.
    """

    path: Path
    sha256: str
    published: bool | None
    warnings: tuple[str, ...] = ()


def cache_folder() -> Path:
    """Return the folder that downloads go to: ``$SYNTHSEG_MODELS``, or one in the user's cache folder.

    Raises
    ------
    WeightsError
        If there is no such folder that can be written to.
    """
    folder = _named_folder() or user_cache()
    fault = _fault_of(folder) if folder else "no home folder"
    if folder is None or fault:
        raise WeightsError(
            folder or "weights cache",
            found=fault,
            expected="a folder that can be written to",
            remedy="set SYNTHSEG_MODELS to a folder for weights, or name one with --to",
        )
    return folder


def _fault_of(folder: Path) -> str:
    """Say why files cannot be made in a folder, which need not be there; empty if they can."""
    there = next(path for path in (folder.absolute(), *folder.absolute().parents) if is_file(path) or is_folder(path))
    if is_folder(there) and is_allowed(there, os.W_OK | os.X_OK):
        return ""
    return "a folder that cannot be written to" if there == folder else f"no such folder, and {there} cannot hold one"


def places(card: ModelCard, folder: Path | None = None) -> tuple[Place, ...]:
    """Return where to look for a model's weights, in order; a folder that the user names is the only place."""
    if folder is not None:
        return (Place("the folder given", folder, own=True),)
    beside = (card.source.parent / Path(card.weights.file).parent).resolve()
    usual = (("beside the card", beside), ("$SYNTHSEG_MODELS", _named_folder()), ("the user's cache", user_cache()))
    return tuple(Place(name, place) for name, place in usual if place is not None)


def file_names(card: ModelCard) -> tuple[str, ...]:
    """Return the names that a model's weights may have: as in the card, or converted to the other format."""
    name = Path(card.weights.file)
    other = _CONVERTED.get(name.suffix)
    return (name.name,) if other is None else (name.name, name.with_suffix(other).name)


def find_weights(card: ModelCard, folder: Path | None = None) -> FoundWeights:
    """Find a model's weights and check them against the card.

    Parameters
    ----------
    card
        Names the file, its size and its SHA-256.
    folder
        A folder of the user's, searched instead of the usual places; files in it that differ from the published ones
        are taken with a warning.

    Raises
    ------
    WeightsError
        If there is no file, or one in the usual places is not the published file.
    """
    if (found := locate(card, folder)) is not None:
        return examine(card, *found)
    searched = places(card, folder)
    published = card.weights.urls or card.weights.archive
    by_fetch = f"run 'synthseg models fetch {card.name}' or " if published else ""
    raise WeightsError(
        f"model {card.name}",
        found=f"no weights in {'; '.join(f'{place.folder} ({place.name})' for place in searched)}",
        expected=" or ".join(file_names(card)),
        remedy=f"{by_fetch}give the folder that holds the file with --weights DIR",
    )


def locate(card: ModelCard, folder: Path | None = None) -> tuple[Path, Place] | None:
    """Return the weights file that would be used, without reading it, and its place; ``None`` if there is none."""
    for place in places(card, folder):
        for name in file_names(card):
            if is_file(place.folder / name):
                return place.folder / name, place
    return None


def examine(card: ModelCard, path: Path, place: Place) -> FoundWeights:
    """Check one file against the card; ``WeightsError`` if it differs and the user does not vouch for the place."""
    try:
        identity = identify(path)
    except OSError as error:
        raise _unreadable(path, error) from error
    if path.name != Path(card.weights.file).name or card.weights.sha256 is None:
        return FoundWeights(path, identity.sha256, None)
    difference = identity.difference(card.weights.size_bytes, card.weights.sha256)
    if difference is None:
        return FoundWeights(path, identity.sha256, True)
    if not place.own:
        raise WeightsError(
            path,
            found=difference,
            expected=f"the published weights of {card.name}",
            remedy=f"run 'synthseg models fetch {card.name}', or give a folder of your own weights with --weights DIR",
        )
    warning = f"{path}: not the published weights of {card.name} ({difference}); used because the folder was given"
    return FoundWeights(path, identity.sha256, False, (warning,))


def stores() -> tuple[Path, ...]:
    """Return the folders that hold fetched and imported models, in the order in which they are looked at."""
    return tuple(folder for folder in (_named_folder(), user_cache()) if folder is not None)


def _named_folder() -> Path | None:
    named = os.environ.get("SYNTHSEG_MODELS")
    return Path(named).expanduser() if named else None


def file_kind(path: Path) -> FileKind:
    """Return what a file is by its first bytes; ``WeightsError`` if it cannot be read."""
    try:
        return kind_of_file(path)
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: OSError) -> WeightsError:
    return WeightsError(
        path,
        found=f"a file that cannot be read ({error.strerror or error})",
        expected="a weights file",
        remedy="check the path and its permissions",
    )
