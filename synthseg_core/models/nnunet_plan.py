"""What a plan of nnU-Net says beside its network: grid, patch, intensities, resampling; entry ``plan`` of a card."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from synthseg_core.errors import ModelError, UsageError
from synthseg_core.images.affines import Shape3, Size3
from synthseg_core.images.spline import SplineRule
from synthseg_core.networks.config import NetworkSpec

if TYPE_CHECKING:
    from synthseg_core.models.card import ModelCard

NORMALISATIONS = ("zscore", "ct", "rescale", "rgb", "none")
ORIENTATIONS = ("stored", "RAS")
CT_PROPERTIES = ("percentile_00_5", "percentile_99_5", "mean", "std")


@dataclass(frozen=True)
class NnUNetPlan:
    """How a scan comes to the network of an nnU-Net, and logits back.

    Parameters
    ----------
    spacing_mm
        Edges of the network's voxels, mm, in its axis order.
    patch_voxels
        Size of a window, in its axis order.
    transpose
        Axes of a scan, slowest first as nnU-Net reads them (K, J, I), in the order of the network.
    orientation
        ``stored``: the axes of the file, as nnU-Net does; ``RAS``: whatever the file has, the network sees RAS+.
    normalisation
        ``zscore``; ``ct``: cut to percentiles of the training data, then its mean and standard deviation; ``rescale``
        to [0, 1]; ``rgb``: divided by 255; ``none``.
    inside_only
        z-scores within what is not 0 alone, and 0 outside.
    intensities
        Of the training data; for ``ct``.
    image, logits
        How they are resampled.
    """

    spacing_mm: Size3
    patch_voxels: Shape3
    transpose: Shape3 = (0, 1, 2)
    orientation: str = "stored"
    normalisation: str = "zscore"
    inside_only: bool = False
    intensities: Mapping[str, float] = field(default_factory=dict)
    image: SplineRule = field(default_factory=SplineRule)
    logits: SplineRule = field(default_factory=lambda: SplineRule(order=1))

    def __post_init__(self) -> None:
        if not min(self.spacing_mm) > 0 or min(self.patch_voxels) < 1:
            self._refuse(f"voxels of {self.spacing_mm} mm in patches of {self.patch_voxels}", "positive sizes")
        if sorted(self.transpose) != [0, 1, 2]:
            self._refuse(f"transpose {self.transpose}", "the axes 0, 1, 2 in some order")
        if self.orientation not in ORIENTATIONS:
            self._refuse(f"orientation {self.orientation!r}", " or ".join(ORIENTATIONS))
        if self.normalisation not in NORMALISATIONS:
            self._refuse(f"normalisation {self.normalisation!r}", " or ".join(NORMALISATIONS))
        if self.normalisation == "ct" and (missing := set(CT_PROPERTIES) - set(self.intensities)):
            self._refuse(f"normalisation ct without {', '.join(sorted(missing))}", "these intensities")

    @property
    def axes(self) -> Shape3:
        """Axis of an (I, J, K) array that each axis of the network is."""
        i, j, k = (2 - axis for axis in self.transpose)
        return i, j, k

    def _refuse(self, found: str, expected: str) -> None:
        raise ModelError("plan", found=found, expected=expected, remedy="correct the model card")


def folds_of(card: ModelCard, wanted: Sequence[int] | None) -> tuple[NetworkSpec, ...]:
    """Return the networks of some folds of a model, ascending; ``None``: all. ``UsageError`` for others."""
    known = {int(spec.prefix.rpartition("_")[2]): spec for spec in card.networks}
    if missing := [fold for fold in wanted or () if fold not in known]:
        raise UsageError(
            "--folds",
            found=", ".join(map(str, missing)),
            expected=f"some of {', '.join(map(str, known))}, the folds of {card.name}",
            remedy="choose others",
        )
    return tuple(known[fold] for fold in sorted(set(known if wanted is None else wanted)))
