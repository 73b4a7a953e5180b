"""Networks of a robust chain that are trained already, and whether they fit to what is trained on them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import torch

from synthseg_core.errors import ModelError
from synthseg_core.labels.table import LabelTable
from synthseg_core.models.arrays import load_state
from synthseg_core.models.card import ModelCard
from synthseg_core.models.loading import load_network
from synthseg_core.models.registry import load_card
from synthseg_core.models.weights import FoundWeights, find_weights
from synthseg_core.networks.arrays import Arrays
from synthseg_core.networks.building import Network
from synthseg_core.networks.config import NetworkSpec
from synthseg_core.training.prepare import Inputs

# Role of a model -> task of its card, role and prefix of its network in the chain.
_LINKS = {
    "group_segmenter": ("segmentation", "group_segmenter", "unet"),
    "denoiser": ("denoising", "denoiser", "l2l"),
}
_SIZE_TOLERANCE_MM = 1e-3


@dataclass(frozen=True)
class Link:
    """A network of the chain.

    Parameters
    ----------
    card
        Of its model.
    found
        Its weights.
    spec
        The network, named as in a chain.
    """

    card: ModelCard
    found: FoundWeights
    spec: NetworkSpec

    @cached_property
    def arrays(self) -> Arrays:
        """Its arrays."""
        return load_state(self.found.path, self.card.networks[0])

    def network(self, device: torch.device) -> Network:
        """Return the network on a device, in evaluation mode."""
        return load_network(self.card.networks[0], self.found.path, device)

    @property
    def record(self) -> dict[str, str]:
        """Name and checksum, for the record and for resumes."""
        return {"model": self.card.name, "sha256": self.found.sha256}


def link_of(inputs: Inputs, role: str, groups: LabelTable) -> Link:
    """Return a network of the chain that a task builds on.

    Parameters
    ----------
    inputs
        Names the model.
    role
        ``group_segmenter`` or ``denoiser``.
    groups
        Tissue groups that it has to tell apart.

    Raises
    ------
    ModelError
        If the model is for something else, has several networks, or other groups.
    WeightsError
        If its weights are missing or damaged.
    """
    task, name, prefix = _LINKS[role]
    card = load_card(inputs.models[role])
    flag = f"--{role.replace('_', '-')} {card.name}"
    if card.task != task or len(card.networks) != 1 or card.labels.labels != groups.labels:
        raise ModelError(
            flag,
            found=f"a model for {card.task} of {len(card.labels)} labels with {len(card.networks)} networks",
            expected=f"one network for {task} of the {len(groups)} tissue groups",
            remedy=f"train it with --task {'tissue_groups' if role == 'group_segmenter' else 'denoiser'}",
        )
    return Link(card, find_weights(card), replace(card.networks[0], role=name, prefix=prefix))


def require_grid(link: Link, voxel_size_mm: float) -> None:
    """Refuse a network that was trained on voxels of another size; ``ModelError``."""
    own = link.card.grid.voxel_size_mm
    if abs(own - voxel_size_mm) > _SIZE_TOLERANCE_MM:
        raise ModelError(
            f"model {link.card.name}",
            found=f"a network for voxels of {own:g} mm",
            expected=f"{voxel_size_mm:g} mm, as these samples have",
            remedy="train all networks of a chain on one grid",
        )
