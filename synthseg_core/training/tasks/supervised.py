"""Task ``supervised``: structures from real scans with label maps, with synthetic ones among them if asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from synthseg_core.errors import UsageError
from synthseg_core.images.pairs import paired
from synthseg_core.synth.generator import BrainGenerator
from synthseg_core.synth.maps import LabelMaps
from synthseg_core.synth.randomness import sample_seed
from synthseg_core.synth.real_scans import MixedScans, RealScanGenerator, RealScans, read_real_scans
from synthseg_core.synth.recipe import Recipe
from synthseg_core.synth.recipe_file import read_recipe
from synthseg_core.system.progress import OnProgress
from synthseg_core.system.settings import to_content
from synthseg_core.training.experiment import Experiment
from synthseg_core.training.export import ModelKind, ModelPlan
from synthseg_core.training.prepare import Inputs, Prepared, divisible, made_of, validation_recipe, window_of
from synthseg_core.training.samples import Source, require_fit
from synthseg_core.training.targets import brain_targets, target_table
from synthseg_core.training.validation import DrawValidation, Validate


class AsTheyAre:
    """Hands out scans one after the other, unchanged: sample k is scan k.

    Parameters
    ----------
    scans
        What they come from.
    """

    def __init__(self, scans: RealScanGenerator) -> None:
        self.scans = scans

    def batch(self, seeds: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Return images (B, 1, I, J, K) and class indices (B, I, J, K)."""
        samples = [self.scans.as_they_are(seed) for seed in seeds]
        return torch.cat([image for image, _ in samples]), torch.cat([index for _, index in samples])


def prepare(
    experiment: Experiment, inputs: Inputs, device: torch.device, progress: OnProgress | None = None
) -> Prepared:
    """Make a training on real scans ready; see :func:`synthseg_core.training.tasks.prepare`."""
    _require_images(inputs)
    given = inputs.maps
    recipe = divisible(experiment.recipe, experiment.training.network.halvings)
    voxel_size_mm, recipe = recipe.target_voxel_size_mm, replace(recipe, target_voxel_size_mm=None, map_step=1)

    def read(images: Sequence[Path], maps: Sequence[Path], edge_mm: float | None) -> RealScans:
        cases = paired(images, maps)
        return read_real_scans(cases, given.labels, edge_mm, unknown=given.unknown, progress=progress).to(device)

    scans = read(inputs.images, given.maps, voxel_size_mm)
    edge_mm = scans.maps.voxel_size[0]
    real = RealScanGenerator(scans, recipe)
    source = _mixed(real, scans.maps, experiment)
    images, class_index = source.batch([sample_seed(experiment.training.seed, 0)])
    table = target_table(given.labels)
    network = replace(experiment.training.network, in_channels=images.shape[1], out_channels=len(table))
    config = replace(experiment.training, network=network)
    require_fit(images, class_index, config, device)
    held_out = read(inputs.held_out_images, given.held_out, edge_mm) if given.held_out else scans
    kind = ModelKind(title="{count} structures, trained on real scans")
    return Prepared(
        config=config,
        source=source,
        validate=_validation(experiment, held_out, recipe, config.precision),
        data={**made_of(real, given), **_record(experiment)},
        model=ModelPlan(
            table,
            edge_mm,
            kind,
            window_voxels=window_of(config.network, real.shape),
            total_of=brain_targets(given.labels),
        ),
        sample_shape=real.shape.output,
        labels_name=Path(given.labels.source).stem,
    )


def _require_images(inputs: Inputs) -> None:
    given = inputs.maps
    wanted = {
        "--images": (inputs.images, given.maps),
        "--validation-images": (inputs.held_out_images, given.held_out),
    }
    for flag, (images, maps) in wanted.items():
        if maps and not images:
            raise UsageError(
                flag,
                found="none",
                expected="the scans that the label maps belong to, for the task supervised",
                remedy="give them, in the order of the label maps",
            )


def _mixed(real: RealScanGenerator, maps: LabelMaps, experiment: Experiment) -> Source:
    mixing = experiment.mixing
    if not mixing.synthetic_share:
        return real
    recipe = replace(
        read_recipe(mixing.recipe), crop=real.recipe.crop, target_voxel_size_mm=None, map_step=1, group_channels=None
    )
    return MixedScans(real, BrainGenerator(maps, recipe), mixing.synthetic_share)


def _validation(experiment: Experiment, held_out: RealScans, recipe: Recipe, precision: str) -> Validate | None:
    """Score every held-out scan, up to the number of draws, as it is."""
    settings = experiment.validation
    if not settings.draws:
        return None
    scans = RealScanGenerator(held_out, validation_recipe(recipe, whole=settings.whole))
    seeds = range(min(settings.draws, len(held_out.maps)))
    window = recipe.crop.shape if settings.whole else None
    return DrawValidation(AsTheyAre(scans), seeds, precision=precision, window=window)


def _record(experiment: Experiment) -> dict[str, Any]:
    mixing = {"mixing": to_content(experiment.mixing)} if experiment.mixing.synthetic_share else {}
    return {"task": "supervised", **mixing}
