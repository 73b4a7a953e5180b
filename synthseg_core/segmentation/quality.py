"""Quality scores: the box and the groups that the quality network sees, and its answer made readable.

The scores are predicted Dice coefficients of eight groups of structures, 1 = perfect (Billot et al., PNAS 2023).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil

import numpy as np
import torch

from synthseg_core.bids.columns import SCORE_COLUMNS
from synthseg_core.errors import ModelError
from synthseg_core.images.affines import Shape3
from synthseg_core.labels.table import LabelTable
from synthseg_core.models.card import ModelCard
from synthseg_core.models.loading import LoadedModel
from synthseg_core.networks.devices import exact_float32
from synthseg_core.networks.regressor_inference import RegressorRunner
from synthseg_core.segmentation.components import bounding_box
from synthseg_core.system.tables import format_tsv

# Edge of the cube that the published quality network was trained on, with voxels of 1 mm.
BOX_EDGE_MM = 224

# Channel that does not count when the box is placed. The reference meant the label of cerebrospinal fluid (24) but
# compares channel indices, so it leaves out whatever structure has index 24 (2.0: right cerebellar cortex, 1.0: right
# thalamus). The network is always given this box, since that is what its published scores refer to.
IGNORED_CHANNEL = 24

# Columns of the table of one scan, as a BIDS dictionary describes them.
QUALITY_COLUMNS: Mapping[str, Mapping[str, str]] = SCORE_COLUMNS


@dataclass(frozen=True)
class QualityBox:
    """Where the cube lies on the network grid.

    Parameters
    ----------
    start, stop
        Part of the grid inside the cube, voxels.
    before, after
        Background voxels to add on either side; with them every axis has the edge of the cube.
    """

    start: Shape3
    stop: Shape3
    before: Shape3
    after: Shape3

    def extract(self, channels: np.ndarray) -> np.ndarray:
        """Cut the cube out of a map (I, J, K), padding with 0."""
        inside = channels[tuple(slice(a, b) for a, b in zip(self.start, self.stop, strict=True))]
        return np.pad(inside, list(zip(self.before, self.after, strict=True)))


@dataclass(frozen=True)
class QualityScore:
    """Predicted Dice of one group of structures; ``group`` is its number in the label table, ``score`` 0 to 1."""

    group: int
    name: str
    score: float


def box_edge_voxels(voxel_size_mm: float, halvings: int) -> int:
    """Return the edge of the cube for a quality network: 224 mm, and as many voxels as it can halve so often."""
    divisor = 2**halvings
    return divisor * ceil(BOX_EDGE_MM / voxel_size_mm / divisor)


def box_edge_of(card: ModelCard) -> int:
    """Return the edge of the cube that a quality model is given, voxels."""
    return box_edge_voxels(card.grid.voxel_size_mm, card.networks[-1].config.halvings)


def quality_box(channels: np.ndarray, edge: int) -> QualityBox:
    """Place a cube around the structures of a map of channel indices (I, J, K) on the padded network grid.

    Parameters
    ----------
    channels : (I, J, K)
        Channel indices, 0 being the background.
    edge
        Of the cube, voxels.
    """
    found = bounding_box((channels != 0) & (channels != IGNORED_CHANNEL))
    sides = []
    for axis, size in enumerate(channels.shape):
        low, high = (0, min(size, edge)) if found is None else (found[axis].start, found[axis].stop)
        missing = edge - (high - low)  # negative: the structures are larger than the cube, cut both ends
        low, high = low + (-missing // 2), high + missing // 2
        sides.append((max(low, 0), min(high, size), max(-low, 0), max(high - size, 0)))
    start, stop, before, after = zip(*sides, strict=True)
    return QualityBox(start, stop, before, after)


def quality_groups(channels: np.ndarray, table: LabelTable, count: int, edge: int) -> np.ndarray:
    """Return the group of every voxel of the cube, uint8 (edge, edge, edge).

    Parameters
    ----------
    channels : (I, J, K)
        Channel indices on the padded network grid.
    table
        Labels of the segmentation, with their groups.
    count
        Groups that the quality network knows, background included.
    edge
        Of the cube, voxels.

    Raises
    ------
    ModelError
        If the label table does not assign its structures to these groups.
    """
    groups = groups_of_channels(table, count)
    return groups[quality_box(channels, edge).extract(channels)]


def groups_of_channels(table: LabelTable, count: int | None = None) -> np.ndarray:
    """Return the group of each channel of a segmentation, uint8.

    Parameters
    ----------
    table
        Labels of the segmentation.
    count
        Groups that there are, background included; ``None``: as many as the table has.

    Raises
    ------
    ModelError
        If the label table has no groups, or others than these.
    """
    count = max(table.qc_groups, default=0) + 1 if count is None else count
    if not table.qc_groups or not 0 <= min(table.qc_groups) <= max(table.qc_groups) < count:
        raise ModelError(
            table.name,
            found=f"the groups {sorted(set(table.qc_groups))}" if table.qc_groups else "no groups for quality scores",
            expected=f"a qc_group column with groups 0 to {count - 1}" if count > 1 else "a qc_group column",
            remedy="correct the column, or do not ask for quality scores",
        )
    return np.asarray(table.qc_groups, dtype=np.uint8)


def one_hot(groups: np.ndarray, count: int) -> np.ndarray:
    """Return (count, I, J, K) float32 with one where the map has the channel's number; 405 MB for nine groups."""
    result = np.empty((count, *groups.shape), dtype=np.float32)
    for number in range(count):
        result[number] = groups == number
    return result


def tidy_scores(raw: np.ndarray, table: LabelTable) -> tuple[QualityScore, ...]:
    """Name the network's answer (one value per row of ``table``), without the background, within 0 to 1, 4 decimals.

    Raises
    ------
    ModelError
        If the number of values is not that of the table.
    """
    if len(raw) != len(table):
        raise ModelError(
            table.name,
            found=f"{len(table)} groups for {len(raw)} scores",
            expected="one group per score",
            remedy="use the label table that the network was trained with",
        )
    scores = np.around(np.clip(np.asarray(raw, dtype=np.float64), 0, 1), 4)
    return tuple(
        QualityScore(table.labels[k], table.names[k], float(scores[k])) for k in range(len(table)) if table.labels[k]
    )


def quality_tsv(scores: Sequence[QualityScore]) -> str:
    """Return scores as a table, one group a row."""
    rows = ({"index": one.group, "name": one.name, "score": f"{one.score:.4f}"} for one in scores)
    return format_tsv(rows, tuple(QUALITY_COLUMNS))


def quality_scores(model: LoadedModel, decision: np.ndarray, table: LabelTable) -> tuple[QualityScore, ...]:
    """Run the quality network on channel indices (I, J, K) of a segmentation, before clean-up."""
    return tidy_scores(raw_quality(model, decision, table), model.card.labels)


def raw_quality(model: LoadedModel, decision: np.ndarray, table: LabelTable) -> np.ndarray:
    """Return the quality network's answer as it is, one value per group, background first."""
    return raw_scores(model, quality_groups(decision, table, len(model.card.labels), box_edge_of(model.card)))


def raw_scores(model: LoadedModel, groups: np.ndarray) -> np.ndarray:
    """Return what :func:`raw_quality` does, for the groups (E, E, E) in the cube."""
    regressors = [runner for runner in model.runners if isinstance(runner, RegressorRunner)]
    if not regressors:
        raise model.card.fault("no regressor", "a quality model")
    with exact_float32():
        return regressors[0].run(torch.from_numpy(groups)).numpy()
