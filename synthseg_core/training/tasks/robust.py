"""Task ``robust``: the last network of the robust chain, given image and imperfect tissue groups; exports the chain.

References
----------
Billot et al., Robust machine learning segmentation for large-scale analysis of heterogeneous clinical brain MRI
datasets, PNAS 2023.
"""

from __future__ import annotations

from dataclasses import replace

import torch

from synthseg_core.errors import UsageError
from synthseg_core.models.card import InferenceSpec
from synthseg_core.system.progress import OnProgress
from synthseg_core.training.experiment import Experiment
from synthseg_core.training.export import METHOD, ModelKind, ModelPlan
from synthseg_core.training.prepare import Inputs, Prepared, prepared_from_maps
from synthseg_core.training.targets import target_table
from synthseg_core.training.tasks.chain import link_of, require_grid
from synthseg_core.training.tasks.segmentation import groups_table

CHAIN_PAPER = (
    "Billot et al., Robust machine learning segmentation for large-scale analysis of heterogeneous clinical brain MRI "
    "datasets, PNAS 2023"
)


def prepare(
    experiment: Experiment, inputs: Inputs, device: torch.device, progress: OnProgress | None = None
) -> Prepared:
    """Make the training of a chain's last network ready; see :func:`synthseg_core.training.tasks.prepare`."""
    if experiment.recipe.group_channels is None:
        raise UsageError(
            "recipe: group_channels",
            found="none in the task robust",
            expected="them: the last network of a chain is given tissue groups",
            remedy="add group_channels: {}, as the recipe robust_s2 does",
        )
    groups = groups_table(inputs.maps.labels)
    links = [link_of(inputs, role, groups) for role in ("group_segmenter", "denoiser")]
    prepared = prepared_from_maps(experiment, inputs, target_table(inputs.maps.labels), device, progress)
    for link in links:
        require_grid(link, prepared.model.voxel_size_mm)
    kind = ModelKind(
        prefix="unet2",
        title="{count} structures, by three networks in a row, trained on synthetic scans",
        inference=InferenceSpec(flip_average=False, posterior_sigma_voxels=0.0, clean_up="threshold"),
        citation=(METHOD, CHAIN_PAPER),
        earlier=tuple(link.spec for link in links),
    )
    model = ModelPlan(
        prepared.model.table,
        prepared.model.voxel_size_mm,
        kind,
        tuple(link.arrays for link in links),
        total_of=prepared.model.total_of,
    )
    chain = {link.spec.role: link.record for link in links}
    return replace(prepared, model=model, data={**prepared.data, "chain": chain})
