"""What is known about a model: networks, labels, grid, intensities, inference, weights, training. Checked when made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from synthseg_core.errors import ModelError
from synthseg_core.images.affines import Shape3
from synthseg_core.labels.table import LabelTable
from synthseg_core.models.families import FAMILIES
from synthseg_core.models.nnunet_plan import NnUNetPlan
from synthseg_core.networks.config import NetworkSpec

TASKS = ("segmentation", "parcellation", "quality", "denoising")
CLEAN_UPS = ("topology", "threshold", "none")


@dataclass(frozen=True)
class ArchiveFile:
    """The archive of a model folder that a weights file is made from.

    Parameters
    ----------
    file
        Its name; the extension says what it is.
    folder
        Name of the model folder in it.
    urls
        Where it is; tried in order.
    about_bytes
        Its size roughly, for what has to be free on the disk.
    size_bytes, md5, sha256
        Expected size and checksums; ``None`` where unknown.
    """

    file: str
    folder: str
    urls: tuple[str, ...] = ()
    about_bytes: int | None = None
    size_bytes: int | None = None
    md5: str | None = None
    sha256: str | None = None


@dataclass(frozen=True)
class WeightsFile:
    """The file that holds a model's arrays.

    Parameters
    ----------
    file
        Name inside the weights folder, or a path relative to the card.
    size_bytes, sha256
        Expected size and checksum; ``None`` where unknown.
    urls
        Mirrors, tried in order: an address, or a list of addresses of parts that make the file when joined.
    licence
        Licence of the weights, shown before a download.
    archive
        What the file is made from, where it is not published itself.
    """

    file: str
    size_bytes: int | None = None
    sha256: str | None = None
    urls: tuple[str | tuple[str, ...], ...] = ()
    licence: str = "unspecified"
    archive: ArchiveFile | None = None


@dataclass(frozen=True)
class GridSpec:
    """Grid that a network works on.

    Parameters
    ----------
    voxel_size_mm
        Isotropic edge length, mm.
    multiple_voxels
        Every axis is padded to a multiple of this.
    minimum_voxels
        Every axis is padded to at least this.
    answer_voxel_size_mm
        Isotropic edge length of the label map, mm, where that is another one: posteriors are interpolated class by
        class before the argmax.
    """

    voxel_size_mm: float = 1.0
    multiple_voxels: int = 32
    minimum_voxels: int = 128
    answer_voxel_size_mm: float | None = None

    def __post_init__(self) -> None:
        sizes = (self.voxel_size_mm, self.answer_mm)
        if not all(0.1 <= size <= 10 for size in sizes) or self.multiple_voxels < 1 or self.minimum_voxels < 1:
            raise ModelError("grid", found=repr(self), expected="positive sizes", remedy="correct the model card")

    @property
    def answer_mm(self) -> float:
        """Edge length of the label map, mm."""
        return self.voxel_size_mm if self.answer_voxel_size_mm is None else self.answer_voxel_size_mm


@dataclass(frozen=True)
class IntensitySpec:
    """Intensity normalisation: optional CT window, then a linear map of two percentiles to 0 and 1."""

    percentiles: tuple[float, float] = (0.5, 99.5)
    ct_window_hu: tuple[float, float] = (0.0, 80.0)

    def __post_init__(self) -> None:
        low, high = self.percentiles
        if not 0 <= low < high <= 100:
            raise ModelError(
                "percentiles", found=f"{low} and {high}", expected="0 <= low < high <= 100", remedy="correct the card"
            )
        low, high = self.ct_window_hu
        if not low < high:
            raise ModelError(
                "ct_window_hu", found=f"{low} and {high}", expected="low < high", remedy="correct the model card"
            )


@dataclass(frozen=True)
class InferenceSpec:
    """How posteriors are made from network outputs.

    Parameters
    ----------
    flip_average
        Average with the prediction of the mirrored image.
    posterior_sigma_voxels
        Width of the 3x3x3 Gaussian applied to posteriors; 0: none.
    clean_up
        ``topology`` (largest component of each class), ``threshold`` (small posteriors to zero) or ``none``.
    total_intracranial
        Whether the volume table starts with the sum of all structures.
    total_of
        Labels that this sum is of; ``None``: all of them.
    window_voxels
        Edges of half-overlapping windows in which the network sees the grid, RAS; ``None``: the grid as a whole.
    """

    flip_average: bool = True
    posterior_sigma_voxels: float = 0.5
    clean_up: str = "topology"
    total_intracranial: bool = True
    total_of: tuple[int, ...] | None = None
    window_voxels: Shape3 | None = None

    def __post_init__(self) -> None:
        if self.clean_up not in CLEAN_UPS:
            raise ModelError(
                "clean_up", found=self.clean_up, expected=" or ".join(CLEAN_UPS), remedy="correct the model card"
            )
        if not self.posterior_sigma_voxels >= 0:
            raise ModelError(
                "posterior_sigma_voxels",
                found=str(self.posterior_sigma_voxels),
                expected="0 or more",
                remedy="correct the model card",
            )


@dataclass(frozen=True)
class ScoutSpec:
    """A quick look at the whole scan finds the brain; the networks are given the field of view around it alone.

    Parameters
    ----------
    model
        What looks: a segmentation model of any labels whose structures together are the brain; its name, or its card's
        path relative to this one.
    field_of_view_mm
        Edges (right, anterior, superior) of the box, mm: about what the networks were trained with; intensities are
        those of the box. ``None``: the brain and its margin are cut out of the scan, with the intensities of the whole.
    margin_mm
        Beyond the brain on every side; the box grows where it needs to.
    """

    model: str
    field_of_view_mm: tuple[float, float, float] | None = None
    margin_mm: float = 8.0

    def __post_init__(self) -> None:
        if min(self.field_of_view_mm or (1.0,)) <= 0 or self.margin_mm < 0:
            raise ModelError("scout", found=repr(self), expected="positive lengths", remedy="correct the model card")


@dataclass(frozen=True)
class ModelCard:
    """Everything known about one model.

    Parameters
    ----------
    name
        Short name used on the command line.
    title
        What it is, in words.
    family
        What runs its networks; a name of :data:`~synthseg_core.models.families.FAMILIES`.
    task
        ``segmentation``, ``parcellation``, ``quality``, or ``denoising`` (of tissue groups, in a robust chain).
    networks
        In order of application; three for SynthSeg's robust chain.
    labels
        Meaning of the output channels.
    companions
        Names of the models that add to this one, by task (``parcellation``, ``quality``).
    weights
        The file that holds the arrays of all networks.
    source
        The card file.
    grid, intensity, inference
        What the networks expect, and what is done with their answer.
    plausible_total_ml
        Range of the volume of all structures together in a whole head, ml; outside it a result gets a warning.
    plan
        Grid, patch, intensities and resampling of an nnU-Net; the other families have none.
    scout
        What finds the brain first; ``None``: the networks are given the whole scan.
    citation
        Papers to cite when results are used.
    notes
        What else a user should know.
    training
        How the weights came about, for people: data, recipe, command, hardware, steps, hours, loss, Dice by structure.
    """

    name: str
    title: str
    family: str
    task: str
    networks: tuple[NetworkSpec, ...]
    labels: LabelTable
    weights: WeightsFile
    source: Path
    grid: GridSpec = field(default_factory=GridSpec)
    intensity: IntensitySpec = field(default_factory=IntensitySpec)
    inference: InferenceSpec = field(default_factory=InferenceSpec)
    companions: Mapping[str, str] = field(default_factory=dict)
    plausible_total_ml: tuple[float, float] | None = None
    plan: NnUNetPlan | None = None
    scout: ScoutSpec | None = None
    citation: tuple[str, ...] = ()
    notes: str = ""
    training: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.task not in TASKS:
            raise self.fault(f"task {self.task!r}", " or ".join(TASKS))
        if set(self.companions) - {"quality"} and self.grid.answer_mm != self.grid.voxel_size_mm:
            found = "parcels of a model that answers on another grid than its own"
            raise self.fault(found, "one grid for both; scores alone need none")
        if not self.networks:
            raise self.fault("no networks", "at least one")
        if self.inference.clean_up == "topology" and self.task == "segmentation" and not self.labels.topology_classes:
            raise self.fault("topology clean-up without a topology_class column", "that column in the label table")
        if unknown := set(self.inference.total_of or ()) - set(self.labels.labels[1:]):
            raise self.fault(f"total_of with {', '.join(map(str, sorted(unknown)))}", "labels of the label table")
        if self.family not in FAMILIES:
            raise self.fault(f"family {self.family!r}", " or ".join(FAMILIES))
        FAMILIES[self.family].check(self)

    @property
    def total_labels(self) -> tuple[int, ...]:
        """Labels whose sum is the total volume of the head, and that the brain mask is made of."""
        return self.labels.labels[1:] if self.inference.total_of is None else self.inference.total_of

    def fault(self, found: str, expected: str, remedy: str = "correct the model card") -> ModelError:
        """Return an error about this card."""
        return ModelError(self.source, found=found, expected=expected, remedy=remedy)
