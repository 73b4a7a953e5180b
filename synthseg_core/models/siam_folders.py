"""Where SIAM's own program keeps its model folders, so that what it has downloaded is not downloaded again."""

from __future__ import annotations

import os
from pathlib import Path

from synthseg_core.errors import InputError
from synthseg_core.models.card import ModelCard
from synthseg_core.models.nnunet_folder import CHECKPOINT
from synthseg_core.system.paths import is_file, is_folder

VARIABLE = "SIAM_MODEL_DIR"


def siam_folder(card: ModelCard) -> Path | None:
    """Return the model folder that belongs to a card of SIAM; ``None`` if there is none, or for other cards.

    Looked at are ``SIAM_MODEL_DIR``, or else ``nnUNet_results``, or else ``~/siam_params``, as SIAM does.

    Raises
    ------
    InputError
        If ``SIAM_MODEL_DIR`` names no folder.
    """
    if card.weights.archive is None:
        return None
    base = _base()
    version = base / f"v{card.name.rpartition('-')[2]}"
    candidates = (version / card.weights.archive.folder, version, base / card.weights.archive.folder)
    return next((path for path in candidates if is_model_folder(path)), None)


def is_model_folder(path: Path) -> bool:
    """Say whether a folder holds a trained nnU-Net with its first fold."""
    return is_file(path / "plans.json") and is_file(path / "fold_0" / CHECKPOINT)


def _base() -> Path:
    named = os.environ.get(VARIABLE)
    if named:
        folder = Path(named).expanduser()
        if not is_folder(folder):
            raise InputError(VARIABLE, found=named, expected="a folder", remedy=f"correct {VARIABLE}, or unset it")
        return folder
    results = os.environ.get("nnUNet_results")  # noqa: SIM112 -- its name
    return Path(results) if results else Path("~/siam_params").expanduser()
