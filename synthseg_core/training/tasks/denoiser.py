"""Task ``denoiser``: correct the tissue groups that the first network of the robust chain sees in poor scans.

The published training deforms pairs that were stored before. Here every pair is made when it is needed: a synthetic
scan of low quality, the groups that the first network finds in it, and those of the label map.

References
----------
Billot et al., Robust machine learning segmentation for large-scale analysis of heterogeneous clinical brain MRI
datasets, PNAS 2023, and the published training scripts: in 15 % of the pairs the outermost 4 mm of all tissue are
missing. (Their dilation, of another 15 %, has no effect.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from synthseg_core.errors import UsageError
from synthseg_core.labels.lists import GROUPS_COLUMN
from synthseg_core.networks.building import Network
from synthseg_core.networks.devices import exact_float32
from synthseg_core.synth.cornucopia import Generator
from synthseg_core.synth.group_channels import eroded
from synthseg_core.synth.randomness import chance, generator, spread
from synthseg_core.system.progress import OnProgress
from synthseg_core.training.experiment import Experiment
from synthseg_core.training.export import ModelKind, ModelPlan
from synthseg_core.training.losses import one_hot
from synthseg_core.training.prepare import Inputs, Prepared, divisible, prepared_from_maps
from synthseg_core.training.samples import Source
from synthseg_core.training.snapshot import write_snapshot
from synthseg_core.training.tasks.chain import link_of, require_grid
from synthseg_core.training.tasks.robust import CHAIN_PAPER
from synthseg_core.training.tasks.segmentation import groups_table

EROSION_PROBABILITY = 0.15
EROSION_MM = 4.0
# Stream of a sample's seed; the generator's own are the first ones.
_EROSION = 100


class NoisyGroups:
    """Pairs of tissue groups: as a network finds them in synthetic scans, and as they are.

    Parameters
    ----------
    scans
        Makes synthetic scans whose targets are groups.
    segmenter
        Finds groups in them; in evaluation mode, on the device of the scans.
    radius_voxels
        Of the erosion.
    """

    def __init__(self, scans: Source, segmenter: Network, radius_voxels: float) -> None:
        self.scans = scans
        self.segmenter = segmenter
        self.radius_voxels = radius_voxels

    def batch(self, seeds: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Return found groups (B, G, I, J, K), one-hot, and true ones (B, I, J, K)."""
        images, truth = self.scans.batch(seeds)
        device = images.device
        with torch.inference_mode(), exact_float32(), torch.autocast(device.type, enabled=False):
            found = torch.stack([self.segmenter(image[None]).argmax(1)[0] for image in images])
            for groups, seed in zip(found, seeds, strict=True):
                if chance(EROSION_PROBABILITY, generator(spread(seed, _EROSION))):
                    groups.mul_(eroded(groups > 0, self.radius_voxels))
        return one_hot(found.clone(), self.segmenter.config.out_channels), truth


def prepare(
    experiment: Experiment, inputs: Inputs, device: torch.device, progress: OnProgress | None = None
) -> Prepared:
    """Make the training of a denoiser ready; see :func:`synthseg_core.training.tasks.prepare`."""
    labels = inputs.maps.labels
    table = groups_table(labels)
    if labels.outputs != labels.groups:
        raise UsageError(
            "recipe: output_column",
            found=f"{experiment.recipe.output_column} for the task denoiser",
            expected=GROUPS_COLUMN,
            remedy=f"set it to {GROUPS_COLUMN}, as the recipe denoiser does",
        )
    link = link_of(inputs, "group_segmenter", table)
    network = replace(experiment.training.network, in_channels=len(table))
    halvings = max(network.halvings, link.spec.config.halvings)
    experiment = replace(experiment, recipe=divisible(experiment.recipe, halvings))

    def pairs(scans: Generator, voxel_size_mm: float) -> Source:
        require_grid(link, voxel_size_mm)
        return NoisyGroups(scans, link.network(device), EROSION_MM / voxel_size_mm)

    prepared = prepared_from_maps(experiment, inputs, table, device, progress, source_of=pairs)
    kind = ModelKind(
        task="denoising",
        role="denoiser",
        prefix="l2l",
        title="corrects {count} tissue groups, for the middle of a robust chain",
        citation=(CHAIN_PAPER,),
        use="synthseg train --task robust --denoiser {card} --group-segmenter CARD ...",
    )
    model = ModelPlan(table, prepared.model.voxel_size_mm, kind)
    data = {**prepared.data, "task": "denoiser", "chain": {link.spec.role: link.record}}
    return replace(prepared, model=model, data=data, picture=groups_picture)


def groups_picture(folder: Path, images: Tensor, class_index: Tensor, logits: Tensor, measure: str) -> None:
    """Draw groups as they were found, as they are, and as they were corrected; see ``snapshot.class_picture``."""
    found, truth, corrected = (
        part.cpu().numpy() for part in (images[0].argmax(0), class_index[0], logits[0].argmax(0))
    )
    write_snapshot(folder, found, truth, corrected, measure)
