"""Results of comparing many segmentations with their references, and the measures they are told in."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from synthseg_core.errors import Failure
from synthseg_core.evaluation.comparison import Agreement
from synthseg_core.evaluation.pairing import Pair

MEAN = "mean over structures"


@dataclass(frozen=True)
class Measure:
    """A number that says how well two structures agree.

    Parameters
    ----------
    column
        In tables; ends with the unit where there is one.
    title
        In pictures and pages.
    description
        For the sidecar of the tables.
    value
        Of a structure; NaN where it has none.
    unit
        Empty for ratios.
    compared
        Whether models are compared by it, in tests and box plots.
    """

    column: str
    title: str
    description: str
    value: Callable[[Agreement], float]
    unit: str = ""
    compared: bool = True


def _distance(name: str) -> Callable[[Agreement], float]:
    return lambda one: math.nan if one.distances is None else getattr(one.distances, name)


MEASURES = (
    Measure("dice", "Dice", "Twice the common volume over the sum of both volumes", lambda one: one.dice),
    Measure(
        "soft_dice",
        "Soft Dice",
        "Twice the sum of posteriors inside of the structure over the sum of their squares and its volume",
        lambda one: math.nan if one.soft_dice is None else one.soft_dice,
    ),
    Measure(
        "surface_mean_mm",
        "Mean surface distance",
        "Mean of the mean distances from each surface to the other",
        _distance("mean_mm"),
        "mm",
    ),
    Measure(
        "surface_95_mm",
        "95th percentile of surface distances",
        "95th percentile of the distances between surfaces, both directions together",
        _distance("percentile_95_mm"),
        "mm",
    ),
    Measure(
        "surface_99_mm",
        "99th percentile of surface distances",
        "99th percentile of the distances between surfaces, both directions together",
        _distance("percentile_99_mm"),
        "mm",
        compared=False,
    ),
    Measure(
        "surface_maximum_mm",
        "Largest surface distance",
        "Largest distance between surfaces (Hausdorff distance)",
        _distance("maximum_mm"),
        "mm",
        compared=False,
    ),
    Measure(
        "volume_similarity",
        "Volume similarity",
        "One minus the difference of both volumes over their sum",
        lambda one: one.volume_similarity,
    ),
    Measure(
        "volume_error_percent",
        "Volume error",
        "Volume of the segmentation minus that of the reference, relative to the reference",
        lambda one: one.volume_error_percent,
        "%",
    ),
    Measure(
        "volume_error_mm3",
        "Volume error",
        "Volume of the segmentation minus that of the reference",
        lambda one: one.volume_error_mm3,
        "mm3",
        compared=False,
    ),
    Measure(
        "reference_mm3",
        "Volume, reference",
        "Volume in the reference",
        lambda one: one.reference_mm3,
        "mm3",
        compared=False,
    ),
    Measure(
        "segmentation_mm3",
        "Volume, segmentation",
        "Volume in the segmentation",
        lambda one: one.segmentation_mm3,
        "mm3",
        compared=False,
    ),
)


# First part of columns that are not always there -> the field of the results that says so.
_ASKED = {"surface_": "surfaces", "soft_": "posteriors"}


@dataclass(frozen=True)
class Compared:
    """A pair and how well its structures agree."""

    pair: Pair
    agreements: tuple[Agreement, ...]


@dataclass(frozen=True)
class Results:
    """All comparisons.

    Parameters
    ----------
    compared
        One for each pair that could be read.
    failures
        Pairs that could not.
    surfaces
        Whether surface distances were asked for; without them, their measures are left out.
    groups
        Names of sums of structures, which do not count in the mean over structures.
    posteriors
        Whether there are any; without them, soft Dice is left out.
    """

    compared: tuple[Compared, ...]
    failures: tuple[Failure, ...] = ()
    surfaces: bool = True
    groups: frozenset[str] = frozenset()
    posteriors: bool = False

    @property
    def measures(self) -> tuple[Measure, ...]:
        """Measures that were asked for."""
        left_out = [column for column, asked in _ASKED.items() if not getattr(self, asked)]
        return tuple(m for m in MEASURES if not m.column.startswith(tuple(left_out)))

    @cached_property
    def models(self) -> tuple[str, ...]:
        """Names of what made the segmentations, in the order in which they were given."""
        return _unique(one.pair.model for one in self.compared)

    @cached_property
    def scans(self) -> tuple[str, ...]:
        """Names of scans, in their order."""
        return _unique(one.pair.scan for one in self.compared)

    @cached_property
    def structures(self) -> tuple[str, ...]:
        """Names of structures, in their order."""
        return _unique(agreement.structure.name for one in self.compared for agreement in one.agreements)

    def values(self, model: str, measure: Measure) -> Mapping[str, Sequence[float]]:
        """Return a measure by structure, a value for each scan, NaN where there is none; last their mean, `MEAN`."""
        table = np.full((len(self.structures), len(self.scans)), np.nan)
        for one in self.compared:
            if one.pair.model == model:
                column = self.scans.index(one.pair.scan)
                for agreement in one.agreements:
                    table[self.structures.index(agreement.structure.name), column] = measure.value(agreement)
        single = [row for row, name in zip(table, self.structures, strict=True) if name not in self.groups]
        known = np.isfinite(single)
        sums, counts = np.where(known, single, 0).sum(axis=0), known.sum(axis=0)
        means = np.divide(sums, counts, out=np.full(len(self.scans), np.nan), where=counts > 0)
        return {name: row.tolist() for name, row in zip((*self.structures, MEAN), [*table, means], strict=True)}


def _unique(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))
