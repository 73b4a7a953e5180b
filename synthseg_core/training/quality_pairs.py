"""Pairs of a predicted and a true map of groups of structures, which quality networks learn from.

A segmentation model makes them from synthetic scans, in the way in which it segments any scan. Pairs that are used
more than once are kept in a folder.

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
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synthseg_core.images.affines import isotropic
from synthseg_core.images.reading import Scan
from synthseg_core.images.volume import Volume
from synthseg_core.models.loading import LoadedModel
from synthseg_core.quirks import NATIVE
from synthseg_core.segmentation.quality import groups_of_channels, quality_box
from synthseg_core.segmentation.segmenter import SegmentOptions, segmenter_of
from synthseg_core.system.atomic import atomic_path
from synthseg_core.training.samples import Source

_DICE_EPSILON = 1e-7  # a voxel, of the reference
# A synthetic scan may have no contrast at all; the answer is then an empty map, and a score of 0 is right for it.
_QUIRKS = replace(NATIVE, accept_featureless=True)


@dataclass(frozen=True)
class Pair:
    """What a segmentation model made of a synthetic scan, and what is true.

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


MakePair = Callable[[int], Pair]
"""Takes a seed; the same seed gives the same pair."""


def group_dice(pair: Pair) -> NDArray[np.float64]:
    """Return Dice of each group, (G,), background first; 0 for a group that is in neither map, as in the reference."""
    count = len(pair.beyond)
    joint = np.bincount((pair.true.astype(np.uint16) * count + pair.predicted).ravel(), minlength=count**2)
    counts = joint.reshape(count, count)
    both = counts.sum(0) + counts.sum(1) + pair.beyond
    return 2 * counts.diagonal() / (both + _DICE_EPSILON * pair.true.size)


class PairMaker:
    """Makes a synthetic scan, segments it, and cuts predicted and true groups out.

    Parameters
    ----------
    scans
        Synthetic scans of the voxel size that the model works at, in RAS+ order, with class indices.
    groups : (T,) uint8
        Group of each class of the synthetic scans.
    model
        Segmentation model whose label table has groups.
    edge
        Of the cube, voxels.
    fast
        Segment without flip averaging, in half the time.
    """

    def __init__(
        self, scans: Source, groups: NDArray[np.uint8], model: LoadedModel, edge: int, *, fast: bool = False
    ) -> None:
        self._scans = scans
        self._true_groups = groups
        self._predicted_groups = groups_of_channels(model.card.labels)
        self._segmenter = segmenter_of(model)
        self._voxel_size = isotropic(model.card.grid.voxel_size_mm)
        self._edge = edge
        self._options = SegmentOptions(fast=fast, quirks=_QUIRKS)

    def __call__(self, seed: int) -> Pair:
        """Return the pair of a seed."""
        images, class_index = self._scans.batch([seed])
        volume = Volume(images[0, 0].double().cpu().numpy(), np.diag([*self._voxel_size, 1.0]))
        scan = Scan(volume, self._voxel_size, Path(f"synthetic scan {seed}"))
        conformed = self._segmenter.conform(scan, self._options)
        channels = self._segmenter.answer(conformed, self._options, ("quality",)).class_map
        everywhere, truth = self._true_groups[class_index[0].cpu().numpy()], np.zeros(channels.shape, np.uint8)
        conformed.record.unpad(truth)[...] = conformed.record.cropped(everywhere)
        groups = self._predicted_groups[channels]
        box, count = quality_box(channels, self._edge), len(self._predicted_groups)
        predicted, true = (box.extract(one) for one in (groups, truth))
        beyond = _voxels((groups, everywhere), count) - _voxels((predicted, true), count)
        # The cube may add background.
        return Pair(predicted, true, np.maximum(beyond, 0)[: int(self._predicted_groups.max()) + 1])


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


def _voxels(maps: Sequence[NDArray[np.uint8]], count: int) -> NDArray[np.int64]:
    return np.sum([np.bincount(one.ravel(), minlength=count) for one in maps], axis=0)
