"""Stages of the workflow: their options, as the settings file that is a rule's input and as command-line flags.

A stage file is rewritten only when its content changes, so an option that changes remakes what depends on it and
nothing else, whatever triggers Snakemake is told to use. It holds what decides the results, never where or how fast
they are computed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from synthseg_core.app.layout import Layout
from synthseg_core.atomic import write_json
from synthseg_core.errors import UsageError
from synthseg_core.models import ModelCard, load_card

# Fields of a card that decide results; titles, citations and mirrors may be edited without consequences.
_DECISIVE = ("networks", "labels", "grid", "intensity", "inference")


@dataclass(frozen=True)
class SegmentStage:
    """Options of the ``segment`` stage.

    Parameters
    ----------
    model
        Name of a registered model, or the path of a card.
    weights
        Folder of weights; ``None``: the usual places.
    fast, ct
        As the flags of ``synthseg segment``.
    """

    model: str
    weights: str | None = None
    fast: bool = False
    ct: bool = False

    def flags(self) -> list[str]:
        """Return the words for the command line of ``synthseg segment``."""
        words = ["--model", self.model]
        if self.weights is not None:
            words += ["--weights", self.weights]
        return words + [f"--{name}" for name in ("fast", "ct") if getattr(self, name)]

    def settings(self) -> dict[str, Any]:
        """Return what decides the results; files are known by content, not by place.

        Raises
        ------
        SynthSegError
            If the model or its weights cannot be used: known before any job starts.
        """
        from synthseg_core.weights import find_weights

        card = load_card(self.model)
        if card.task != "segmentation":
            raise UsageError(
                f"model {card.name}",
                found=f"a model for {card.task}",
                expected="one for segmentation",
                remedy="see 'synthseg models list'",
            )
        found = find_weights(card, Path(self.weights) if self.weights is not None else None)
        return {
            "model": card.name,
            "definition_sha256": definition_sha256(card),
            "weights_sha256": found.sha256,
            "fast": self.fast,
            "ct": self.ct,
        }


def definition_sha256(card: ModelCard) -> str:
    """Return a digest of those parts of a card that decide results."""
    content = {name: part for name, part in asdict(card).items() if name in _DECISIVE}
    content["labels"].pop("name")  # the path of the table
    if content["grid"]["answer_voxel_size_mm"] is None:  # a key that came later; digests from before stay valid
        content["grid"].pop("answer_voxel_size_mm")
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def write_stage_file(layout: Layout, stage: str, content: Mapping[str, Any], *, preview: bool = False) -> Path:
    """Write the options of a stage where they differ from those on disk, and return the file.

    Parameters
    ----------
    preview
        For dry runs: options that differ go to a file beside, so that the plan shows what would be remade and a later
        run with the former options still finds everything done.
    """
    path = layout.settings(stage)
    known = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
    if known == content:
        return path
    if preview and known is not None:
        path = path.with_suffix(".preview.json")
    write_json(path, dict(content))
    return path
