"""Score a model on scans whose labels are known, through the same path as prediction."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from synthseg_core.errors import UsageError
from synthseg_core.evaluation.labelled import LabelledScan
from synthseg_core.evaluation.overlap import Overlap, overlap
from synthseg_core.labels.table import LabelTable
from synthseg_core.models.loading import Models
from synthseg_core.segmentation.segment import segment_scan
from synthseg_core.segmentation.segmenter import SegmentOptions


@dataclass(frozen=True)
class CaseScore:
    """How well one scan was segmented.

    Parameters
    ----------
    case
        Name of the scan.
    counts
        Voxels by label: first in the segmentation, second in the truth.
    """

    case: str
    counts: Overlap

    @property
    def dice(self) -> np.ndarray:
        """Dice of each structure, (N,); NaN for those that the truth lacks, which no score counts."""
        return np.where(self.counts.second > 0, self.counts.dice, np.nan)

    @property
    def score(self) -> float:
        """Mean Dice over the structures that the truth has; NaN if it has none."""
        return _mean(self.dice)


@dataclass(frozen=True)
class Scores:
    """Scores of one model on a set of scans, all of them counted for the same structures."""

    cases: tuple[CaseScore, ...]

    @property
    def score(self) -> float:
        """Mean over scans of their mean Dice."""
        return _mean(np.array([case.score for case in self.cases]))

    @property
    def dice_by_label(self) -> dict[int, float]:
        """Mean Dice of each structure over the scans that have it; NaN if none has."""
        table = np.array([case.dice for case in self.cases])
        return {label: _mean(column) for label, column in zip(self.cases[0].counts.labels, table.T, strict=True)}


def scored_labels(table: LabelTable, truth: Iterable[int]) -> tuple[int, ...]:
    """Return the structures that both a model and the truth know, ascending, without background.

    Raises
    ------
    UsageError
        If there are none.
    """
    common = tuple(sorted(set(table.labels) & set(truth) - {0}))
    if not common:
        raise UsageError(
            "validation",
            found="no label that the model and the true label maps share",
            expected="some",
            remedy="choose the label list that the model was trained with",
        )
    return common


def score_each(
    models: Models, cases: Iterable[LabelledScan], labels: Sequence[int], options: SegmentOptions | None = None
) -> Iterator[CaseScore]:
    """Segment scans one by one and yield their scores.

    Parameters
    ----------
    models
        Network and, where the model has them, its companions.
    cases
        Scans whose labels are known.
    labels
        From :func:`scored_labels`.
    options
        As for a segmentation; ``None``: the defaults.
    """
    for case in cases:
        yield score_case(models, case, labels, options)


def score_case(
    models: Models, case: LabelledScan, labels: Sequence[int], options: SegmentOptions | None = None
) -> CaseScore:
    """Segment one scan and compare it with the truth on the scan's own grid."""
    result = segment_scan(case.scan, models, options)
    found = result.label_map_on(result.record.source).data
    return CaseScore(case.name, overlap(found, case.truth, labels, case.ignore))


def _mean(values: np.ndarray) -> float:
    """Return the mean of the numbers among ``values``; NaN if there are none."""
    numbers = values[np.isfinite(values)]
    return float(numbers.mean()) if numbers.size else float("nan")
