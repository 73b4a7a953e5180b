"""Pairs of a predicted and a true map of groups of structures, which quality networks learn from.

A segmentation model makes them from synthetic scans, or from real ones with label maps, in the way in which it segments
any scan. Pairs that are used more than once are kept in a folder.

References
----------
Billot et al., Robust machine learning segmentation for large-scale analysis of heterogeneous clinical brain MRI
datasets, PNAS 2023: quality control by a regressor of Dice scores.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from synthseg_core.images.affines import isotropic
from synthseg_core.images.label_maps import nearest_labels, read_ras_labels
from synthseg_core.images.pairs import Case
from synthseg_core.images.reading import Scan, read_scan
from synthseg_core.images.volume import Volume
from synthseg_core.labels.lists import GenerationLabels
from synthseg_core.models.loading import LoadedModel
from synthseg_core.quirks import NATIVE
from synthseg_core.segmentation.quality import groups_of_channels, quality_box
from synthseg_core.segmentation.record import ConformRecord
from synthseg_core.segmentation.segmenter import SegmentOptions, segmenter_of
from synthseg_core.synth.maps import Unknown, encoded
from synthseg_core.system.atomic import atomic_path
from synthseg_core.training.samples import Source

_DICE_EPSILON = 1e-7  # a voxel, of the reference
# A synthetic scan may have no contrast at all; the answer is then an empty map, and a score of 0 is right for it.
_QUIRKS = replace(NATIVE, accept_featureless=True)


@dataclass(frozen=True)
class Pair:
    """What a segmentation model made of a scan, and what is true.

    Parameters
    ----------
    predicted, true : (E, E, E) uint8
        Group of each voxel of the cube that quality networks are given.
    beyond : (G,) int64
        Voxels of each group outside of the cube, those of both maps added up.
    """

    predicted: NDArray[np.uint8]
    true: NDArray[np.uint8]
    beyond: NDArray[np.int64]


Groups: TypeAlias = NDArray[np.uint8]
MakePair = Callable[[int], Pair]
"""Takes a seed; the same seed gives the same pair."""


def group_dice(pair: Pair) -> NDArray[np.float64]:
    """Return Dice of each group, (G,), background first; 0 for a group that is in neither map, as in the reference."""
    count = len(pair.beyond)
    joint = np.bincount((pair.true.astype(np.uint16) * count + pair.predicted).ravel(), minlength=count**2)
    counts = joint.reshape(count, count)
    both = counts.sum(0) + counts.sum(1) + pair.beyond
    return 2 * counts.diagonal() / (both + _DICE_EPSILON * pair.true.size)


class Judge:
    """Segments scans, and cuts predicted and true groups out.

    Parameters
    ----------
    model
        Segmentation model whose label table has groups.
    edge
        Of the cube, voxels.
    fast
        Segment without flip averaging, in half the time.
    """

    def __init__(self, model: LoadedModel, edge: int, *, fast: bool = False) -> None:
        self._predicted_groups = groups_of_channels(model.card.labels)
        self._segmenter = segmenter_of(model)
        self._edge = edge
        self._options = SegmentOptions(fast=fast, quirks=_QUIRKS)
        self.voxel_size = isotropic(model.card.grid.voxel_size_mm)

    def __call__(self, scan: Scan, true_groups: Callable[[ConformRecord], Groups]) -> Pair:
        """Return the pair of a scan.

        Parameters
        ----------
        scan
            To segment.
        true_groups
            Gives the true groups on the network's grid before crop and padding, RAS.
        """
        conformed = self._segmenter.conform(scan, self._options)
        channels = self._segmenter.answer(conformed, self._options, ("quality",)).class_map
        everywhere, truth = true_groups(conformed.record), np.zeros(channels.shape, np.uint8)
        conformed.record.unpad(truth)[...] = conformed.record.cropped(everywhere)
        groups = self._predicted_groups[channels]
        box, count = quality_box(channels, self._edge), len(self._predicted_groups)
        predicted, true = (box.extract(one) for one in (groups, truth))
        beyond = _voxels((groups, everywhere), count) - _voxels((predicted, true), count)
        # The cube may add background.
        return Pair(predicted, true, np.maximum(beyond, 0)[: int(self._predicted_groups.max()) + 1])


class PairMaker:
    """Makes pairs from synthetic scans.

    Parameters
    ----------
    scans
        Synthetic scans of the voxel size that the model works at, in RAS+ order, with class indices.
    groups : (T,) uint8
        Group of each class of the synthetic scans.
    judge
        Segments them.
    """

    def __init__(self, scans: Source, groups: Groups, judge: Judge) -> None:
        self._scans, self._groups, self._judge = scans, groups, judge

    def __call__(self, seed: int) -> Pair:
        """Return the pair of a seed."""
        images, class_index = self._scans.batch([seed])
        edges = self._judge.voxel_size
        volume = Volume(images[0, 0].double().cpu().numpy(), np.diag([*edges, 1.0]))
        scan = Scan(volume, edges, Path(f"synthetic scan {seed}"))
        return self._judge(scan, lambda _: self._groups[class_index[0].cpu().numpy()])


class RealPairMaker:
    """Makes pairs from real scans with label maps.

    Parameters
    ----------
    cases
        The scans, each with a label map of the same place.
    labels
        What the values of the maps mean.
    groups : (V,) uint8
        Group of each value of that list.
    judge
        Segments the scans.
    unknown
        What to do about values that the list lacks.
    """

    def __init__(
        self, cases: Sequence[Case], labels: GenerationLabels, groups: Groups, judge: Judge, unknown: Unknown = "refuse"
    ) -> None:
        self._cases, self._labels, self._groups = tuple(cases), labels, groups
        self._judge = judge
        self._unknown: Unknown = unknown

    def __call__(self, number: int) -> Pair:
        """Return the pair of a scan, by its number; ``SynthSegError`` if a file cannot be used."""
        case = self._cases[number]
        positions = encoded(read_ras_labels(case.label_map), self._labels, self._unknown, case.label_map)
        true = Volume(self._groups[positions.data], positions.affine)

        def on_grid(record: ConformRecord) -> Groups:
            affine = record.orientation.affine_to_ras(record.grid.affine, record.grid.shape)
            return nearest_labels(true, record.grid_shape, affine)

        return self._judge(read_scan(case.images[0][1]), on_grid)


def digest_of(facts: Mapping[str, Any]) -> str:
    """Return a name for pairs that are made of what ``facts`` say, as JSON: that of the folder that keeps them."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:12]


class KeptPairs:
    """A number of pairs, each made when it is first asked for, and then kept.

    Parameters
    ----------
    make
        Makes a pair.
    folder
        Where they lie; of nothing else. Pairs that lie there already are taken.
    """

    def __init__(self, make: MakePair, folder: Path) -> None:
        self._make = make
        self._folder = folder

    def __call__(self, seed: int) -> Pair:
        """Return the pair of a seed."""
        path = self._folder / f"{seed}.npz"
        if path.is_file():
            with np.load(path, allow_pickle=False) as content:
                return Pair(content["predicted"], content["true"], content["beyond"])
        pair = self._make(seed)
        with atomic_path(path) as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, predicted=pair.predicted, true=pair.true, beyond=pair.beyond)
        return pair


def _voxels(maps: Sequence[Groups], count: int) -> NDArray[np.int64]:
    return np.sum([np.bincount(one.ravel(), minlength=count) for one in maps], axis=0)
