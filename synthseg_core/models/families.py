"""Families of models: which there are, what a card of each has to hold, and what runs it.

A new family is a row of :data:`FAMILIES`: a function that checks cards, and a class that runs their networks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from synthseg_core.errors import ModelError
from synthseg_core.networks.config import BasicUNetConfig, NetworkConfig, NnUNetConfig, RegressorConfig, UNetConfig

if TYPE_CHECKING:
    from synthseg_core.models.card import ModelCard


@dataclass(frozen=True)
class Family:
    """One kind of model.

    Parameters
    ----------
    check
        Refuses cards whose networks this family cannot run; without torch, since every card that is read is checked.
    segmenter
        ``module:class`` of its :class:`~synthseg_core.segmentation.segmenter.Segmenter`: imported when a scan is
        segmented, not before.
    streamed
        Its networks are too large to be held at once: the segmenter loads them in turn.
    options
        Options of a segmentation that not every family knows, and this one does.
    job_mem_mb
        Memory that a job of the workflow asks for, MB.
    job_minutes
        Time that it asks for; of networks that are loaded in turn, for each of them.
    """

    check: Callable[[ModelCard], None]
    segmenter: str
    streamed: bool = False
    options: frozenset[str] = frozenset()
    job_mem_mb: int = 8000
    job_minutes: int = 60


def check_synthseg(card: ModelCard) -> None:
    """Refuse networks that SynthSeg's chain cannot run one after the other, or on the grid of the card."""
    _refuse_windows(card)
    if card.task != "quality" and card.networks[-1].config.out_channels != len(card.labels):
        raise card.fault(
            f"{card.networks[-1].config.out_channels} output channels and {len(card.labels)} labels",
            "one label per channel",
        )
    for spec in card.networks:
        if isinstance(spec.config, UNetConfig) and card.grid.multiple_voxels % 2**spec.config.halvings:
            raise card.fault(
                f"a grid of multiples of {card.grid.multiple_voxels} voxels, halved {spec.config.halvings} times",
                f"multiples of {2**spec.config.halvings}",
            )
    kind = RegressorConfig if card.task == "quality" else UNetConfig
    lengths = (1, 3) if card.task == "segmentation" else (1,)
    if len(card.networks) not in lengths or not all(isinstance(spec.config, kind) for spec in card.networks):
        architectures = ", ".join(type(spec.config).__name__ for spec in card.networks)
        wanted = f"{' or '.join(map(str, lengths))} of {kind.__name__}"
        raise card.fault(f"the networks {architectures} for {card.task}", wanted)
    for spec, channels in zip(card.networks, _synthseg_inputs(card), strict=True):
        if spec.config.in_channels != channels:
            raise card.fault(f"{spec.config.in_channels} input channels of network {spec.role}", str(channels))


def _refuse_windows(card: ModelCard) -> None:
    if card.inference.window_voxels is not None:
        raise card.fault("inference: window_voxels", f"none of them for family {card.family}")


def _synthseg_inputs(card: ModelCard) -> list[int]:
    """Return the channels that each network is given."""
    if card.task in ("quality", "denoising"):
        return [len(card.labels)]
    if card.task == "parcellation":
        return [3]  # image, everything but the cortex, cortex
    outputs = [spec.config.out_channels for spec in card.networks]
    return [1, outputs[0], 1 + outputs[1]] if len(outputs) == 3 else [1]


def check_nnunet(card: ModelCard) -> None:
    """Refuse what is no set of folds of one nnU-Net, or asks of them what other families do."""
    _refuse_windows(card)
    plan, configs = card.plan, {spec.config for spec in card.networks}
    if plan is None:
        raise card.fault("no plan", "grid, patch and intensities of an nnU-Net")
    if card.task != "segmentation" or card.companions or card.scout:
        beside = [*card.companions, *(["scout"] if card.scout else [])]
        raise card.fault(f"task {card.task} with companions {', '.join(beside) or 'none'}", "segmentation alone")
    (config, *others) = configs
    if others or not isinstance(config, NnUNetConfig) or config.in_channels != 1:
        raise card.fault("networks of different shapes or kinds", "folds of one nnU-Net with one input channel")
    if config.out_channels != len(card.labels):
        raise card.fault(
            f"{config.out_channels} output channels and {len(card.labels)} labels", "one label per channel"
        )
    if any(edge % step for edge, step in zip(plan.patch_voxels, config.multiple_voxels, strict=True)):
        raise card.fault(f"a patch of {plan.patch_voxels} voxels", f"multiples of {config.multiple_voxels}")
    if card.inference.flip_average or card.inference.posterior_sigma_voxels or card.inference.clean_up != "none":
        raise card.fault("flip averaging, blur or clean-up", "none of them for this family")


def check_basic_unet(card: ModelCard) -> None:
    """Refuse all but one BasicUNet for segmentation, on a grid and in windows that it can halve."""
    (config, *others) = [spec.config for spec in card.networks]
    if card.task != "segmentation" or others or not isinstance(config, BasicUNetConfig) or config.in_channels != 1:
        architectures = ", ".join(type(spec.config).__name__ for spec in card.networks)
        raise card.fault(f"the networks {architectures} for {card.task}", "one BasicUNet with one input channel")
    if config.out_channels != len(card.labels):
        raise card.fault(
            f"{config.out_channels} output channels and {len(card.labels)} labels", "one label per channel"
        )
    edges, step = (card.grid.multiple_voxels, *(card.inference.window_voxels or ())), 2**config.halvings
    if any(edge < 1 or edge % step for edge in edges):
        found = f"a grid of multiples of {edges[0]} voxels, windows of {edges[1:]}"
        raise card.fault(found, f"multiples of {step}")


FAMILIES: dict[str, Family] = {
    "synthseg": Family(
        check_synthseg,
        "synthseg_core.segmentation.synthseg:SynthSegSegmenter",
        options=frozenset({"crop", "autocrop"}),
    ),
    "basic-unet": Family(
        check_basic_unet,
        "synthseg_core.segmentation.basic_unet:BasicUNetSegmenter",
        options=frozenset({"crop", "autocrop"}),
        job_mem_mb=12_000,  # posteriors and sums of logits of 256 x 256 x 256 voxels, 2.1 GB each
    ),
    "nnunet-resenc": Family(
        check_nnunet,
        "synthseg_core.segmentation.nnunet:NnUNetSegmenter",
        streamed=True,
        options=frozenset({"folds", "mode", "voxel_scale", "skip_resampling"}),
        job_mem_mb=10_000,  # 5.6 GiB with one fold of SIAM, and sums of several
        job_minutes=90,  # 40 to 60 of one core for a fold of SIAM
    ),
}
"""Value of ``family`` in a model card -> what belongs to it."""


def family_of(config: NetworkConfig) -> str:
    """Return the family of a model that we train, from the shape of its network."""
    return "basic-unet" if isinstance(config, BasicUNetConfig) else "synthseg"


def require_options(card: ModelCard, given: Mapping[str, Any]) -> None:
    """Refuse options of a segmentation that the family of a model does not know.

    Parameters
    ----------
    card
        Of the model.
    given
        Options by name; ``None`` and ``False`` were not given.

    Raises
    ------
    ModelError
        If there is one; known before anything is loaded.
    """
    known = FAMILIES[card.family].options
    for name, value in given.items():
        if value not in (None, False) and name not in known:
            raise ModelError(
                f"model {card.name}",
                found=f"a request for {flag_of(name)}",
                expected=f"options of models of family {card.family}: {', '.join(map(flag_of, sorted(known)))}",
                remedy="leave it out, or choose another model ('synthseg models list')",
            )


def flag_of(option: str) -> str:
    """Return an option as it is typed."""
    return "--" + option.replace("_", "-")
