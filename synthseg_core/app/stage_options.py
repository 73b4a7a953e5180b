"""Stages of the workflow: their options, as the settings file that is a rule's input and as command-line flags.

A stage file is rewritten only when its content changes, so an option that changes remakes what depends on it and
nothing else, whatever triggers Snakemake is told to use. It holds what decides the results, never where or how fast
they are computed.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from synthseg_core.app.layout import Layout
from synthseg_core.bids.scan_row import ScanRow
from synthseg_core.errors import UsageError
from synthseg_core.models.card import ModelCard
from synthseg_core.models.families import FAMILIES, flag_of, require_options
from synthseg_core.models.nnunet_plan import folds_of
from synthseg_core.models.registry import companion, load_card, resolved_name, scout_of, with_autocrop
from synthseg_core.networks.config import without_later_defaults
from synthseg_core.system.atomic import write_json
from synthseg_core.system.settings import read_mapping

# Stage -> task of the companion model that it runs.
COMPANION_TASKS = {"parcellate": "parcellation", "qc": "quality"}

# Fields of a card that decide results; titles, citations and mirrors may be edited without consequences.
_DECISIVE = ("networks", "labels", "grid", "intensity", "inference", "plan", "scout")

_OF_FOLDS = ("folds", "mode", "voxel_scale", "skip_resampling")
_OF_TRANSLATION = ("translate_before", "translate_to")
_LATER = (*_OF_FOLDS, *_OF_TRANSLATION, "autocrop")  # in digests only where they say something


@dataclass(frozen=True)
class SegmentSettings:
    """Options of the ``segment`` stage.

    Parameters
    ----------
    model
        Name of a registered model, or the path of a card.
    weights
        Folder of weights; ``None``: the usual places.
    fast, ct, folds, mode, voxel_scale, skip_resampling, autocrop
        As the flags of ``synthseg segment``; four of them are for models of folds.
    translate_before, translate_to
        Card of a translator, and the contrast that scans are brought to first; ``None``: they are not translated.
    """

    model: str
    weights: str | None = None
    fast: bool = False
    ct: bool = False
    folds: tuple[int, ...] | None = None
    mode: str | None = None
    voxel_scale: float | None = None
    skip_resampling: bool = False
    autocrop: bool = False
    translate_before: str | None = None
    translate_to: str | None = None

    @classmethod
    def from_config(cls, options: Mapping[str, Any]) -> SegmentSettings:
        """Take the options from the part ``segment`` of a configuration that fits the schema."""
        folds = options["folds"]
        names = ("weights", "fast", "ct", "mode", "voxel_scale", "skip_resampling", "autocrop", *_OF_TRANSLATION)
        own = {name: options[name] for name in names}
        return cls(resolved_name(options["model"]), folds=None if folds is None else tuple(folds), **own)

    def for_scan(self, row: ScanRow) -> SegmentSettings:
        """Return the options for a scan; its row may name a model of its own and say whether it is CT."""
        if not (row.model or row.ct):
            return self
        model = resolved_name(row.model) if row.model else self.model
        return replace(self, model=model, ct=row.ct == "true" if row.ct else self.ct)

    def digest(self) -> str:
        """Return a short name for these options."""
        content = {name: value for name, value in asdict(self).items() if name not in _LATER or value}
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:12]

    def model_flags(self) -> list[str]:
        """Return the words for the command line of every stage."""
        return ["--model", self.model, *(["--weights", self.weights] if self.weights is not None else [])]

    def flags(self) -> list[str]:
        """Return the words for the command line of ``synthseg segment``."""
        words = self.model_flags() + [f"--{name}" for name in ("fast", "ct", "autocrop") if getattr(self, name)]
        if self.folds:
            words += ["--folds", *map(str, self.folds)]
        for name, value in (("mode", self.mode), ("voxel_scale", self.voxel_scale)):
            words += [flag_of(name), str(value)] if value else []
        return words + (["--skip-resampling"] if self.skip_resampling else [])

    def translation_flags(self) -> list[str]:
        """Return the words for the command line of ``synthseg translate apply``."""
        return ["--translator", str(self.translate_before), "--to", str(self.translate_to)]

    def job_resources(self) -> tuple[int, int]:
        """Return the memory, MB, and the minutes that a job asks for: as the family of its model, once a fold."""
        card = load_card(self.model)
        family = FAMILIES[card.family]
        count = len(folds_of(card, self.folds)) if family.streamed and not self.fast else 1
        return family.job_mem_mb, family.job_minutes * count

    def settings(self) -> dict[str, Any]:
        """Return what decides the results; files are known by content, not by place.

        Raises
        ------
        SynthSegError
            If the model or its weights cannot be used: known before any job starts.
        """
        card, more = _segmentation_card(self.model), self._of_folds()
        require_options(card, {**more, "autocrop": self.autocrop})
        if self.folds is not None:
            folds_of(card, self.folds)
            more["folds"] = sorted(set(self.folds))
        if self.autocrop and card.scout is None:
            card, more["autocrop"] = with_autocrop(card), True
        return {**self._identity(card), "fast": self.fast, "ct": self.ct, **more, **self.translation_settings()}

    def companion_settings(self, task: str) -> dict[str, Any]:
        """Return what decides the results of ``parcellation`` or ``quality``, beside the segmentation itself.

        Raises
        ------
        SynthSegError
            If the model does not offer it, or its weights cannot be used.
        """
        return self._identity(companion(_segmentation_card(self.model), task))

    def translation_settings(self) -> dict[str, Any]:
        """Return what decides a translation before the segmentation, by content; nothing where there is none.

        Raises
        ------
        SynthSegError
            If the translator cannot be used, or does not go with other options.
        """
        if self.translate_before is None and self.translate_to is None:
            return {}
        from synthseg_core.cli.options import require_translation
        from synthseg_core.translation.card import read_translator

        path = None if self.translate_before is None else Path(self.translate_before)
        require_translation(path, self.translate_to, ct=self.ct)
        card = read_translator(str(path))
        _, target = card.direction(None, self.translate_to)
        return {"translator_sha256": card.digest, "translate_to": target.name}

    def _of_folds(self) -> dict[str, Any]:
        """Return the options of models of folds that are given; the others are in no record."""
        return {name: getattr(self, name) for name in _OF_FOLDS if getattr(self, name)}

    def _identity(self, card: ModelCard) -> dict[str, Any]:
        from synthseg_core.models.weights import find_weights

        found = find_weights(card, Path(self.weights) if self.weights is not None else None)
        return {"model": card.name, "definition_sha256": definition_sha256(card), "weights_sha256": found.sha256}


def _segmentation_card(model: str) -> ModelCard:
    card = load_card(model)
    if card.task != "segmentation":
        raise UsageError(
            f"model {card.name}",
            found=f"a model for {card.task}",
            expected="one for segmentation",
            remedy="see 'synthseg models list'",
        )
    return card


def definition_sha256(card: ModelCard) -> str:
    """Return a digest of those parts of a card that decide results."""
    content = {name: part for name, part in asdict(card).items() if name in _DECISIVE}
    for network in content["networks"]:
        network["config"] = without_later_defaults(network["config"])
    content["labels"].pop("name")  # the path of the table
    # Keys that came later; digests from before stay valid.
    inference = content["inference"]
    later = ((content["grid"], "answer_voxel_size_mm"), (inference, "total_of"), (inference, "window_voxels"))
    for part, key in (*later, (content, "plan"), (content, "scout")):
        if part[key] is None:
            part.pop(key)
    if scout := scout_of(card):
        content["scout"]["model"] = [definition_sha256(scout), scout.weights.sha256]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def write_stage_file(layout: Layout, stage: str, content: Mapping[str, Any], *, preview: bool = False) -> Path:
    """Write the options of a stage where they differ from those on disk, say what changed, and return the file.

    Parameters
    ----------
    layout
        Folders of the run.
    stage
        Name of the stage.
    content
        Its options, as plain values.
    preview
        For dry runs: options that differ go to a file beside, so that the plan shows what would be remade and a later
        run with the former options still finds everything done.
    """
    path = layout.settings(stage)
    known = read_mapping(path, "settings of a stage") if path.is_file() else None
    if known == content:
        return path
    if known is not None:
        print(f"{stage}: {'; '.join(changes(known, content))}: what depends on it is made again", file=sys.stderr)
        path = path.with_suffix(".preview.json") if preview else path
    write_json(path, dict(content))
    return path


def changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return what differs between two sets of options, one text each."""
    keys = [*now, *(key for key in before if key not in now)]
    return [
        f"{key} was {_shown(before, key)}, is {_shown(now, key)}" for key in keys if before.get(key) != now.get(key)
    ]


def _shown(options: Mapping[str, Any], key: str) -> str:
    return json.dumps(options[key])[:40] if key in options else "absent"
