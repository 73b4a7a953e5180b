"""Find the brain in a whole scan with a coarse network, and give the fine one the field of view around it alone.

A network whose norms take their statistics from the sample (decision 018) wants the field of view that it was trained
with, and any network is several times faster on it. The scout looks at voxels of 4 mm, first at the whole scan, then
with the brain in the middle, so that it sees the same whatever surrounds the head.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import astuple, dataclass, replace
from itertools import islice, pairwise

import numpy as np
from scipy.ndimage import binary_propagation, gaussian_filter

from synthseg_core.images.affines import Shape3, Size3, isotropic, triple
from synthseg_core.images.reading import Scan
from synthseg_core.images.resampling import resample, sampling_at
from synthseg_core.models.card import ScoutSpec
from synthseg_core.models.loading import LoadedModel
from synthseg_core.models.registry import halved_edge
from synthseg_core.segmentation.components import largest_component
from synthseg_core.segmentation.conform import PREFILTER_SIGMA, ConformConfig, Conformed, normalise, on_whole_grid
from synthseg_core.segmentation.field_of_view import cut_around, placed
from synthseg_core.segmentation.memory_estimate import scouting_bytes
from synthseg_core.segmentation.posteriors import network_posteriors
from synthseg_core.system import memory

_SMALLEST_BRAIN_ML = 150.0  # less is no brain: half of a newborn's
# Where a hundredth of the brain lies further out is steadier than where its last voxel is; of an ellipsoid that is
# 88.3 % of the way there.
_TAIL, _REACH = 0.01, 0.883
_FAINT = 0.05  # probability of brain that still counts where nothing may be cut off
_STEADY_MM = 4.0  # between two looks at a brain that is understood: a voxel of the scout
_MOST_LOOKS = 7
_MM3_PER_ML = 1000.0
_OTHERS = ((1, 2), (0, 2), (0, 1))  # the axes that are not the first, the second, the third
_DECIMALS_MM = 3  # far above rounding, so that the mirrored scan has the mirrored field of view
NO_BRAIN = "the scout found no brain: the whole field of view is segmented"
UNSURE = "the scout is not sure where the brain ends: the whole field of view is segmented"


@dataclass(frozen=True)
class BrainBox:
    """Where the brain lies; mm from the middle of the scan, along the RAS axes of its grid.

    Parameters
    ----------
    low_mm, high_mm
        Where it begins and ends, as the tails of its profiles say: steady, but a broad end lies further out.
    first_mm, last_mm
        Where its outermost voxels end.
    faint_first_mm, faint_last_mm
        Where the outermost voxels end that may be brain, with a probability of a twentieth, and are connected with it.
    """

    low_mm: Size3
    high_mm: Size3
    first_mm: Size3
    last_mm: Size3
    faint_first_mm: Size3
    faint_last_mm: Size3

    @property
    def middle_mm(self) -> Size3:
        """The middle of the box."""
        return triple((low + high) / 2 for low, high in zip(self.low_mm, self.high_mm, strict=True))


def scouted(model: LoadedModel, conformed: Conformed, scan: Scan, config: ConformConfig) -> Conformed:
    """Give a conformed scan the field of view around its brain.

    Of the size that the card names, with the intensities of that part; or the brain and a margin, cut out of the scan.

    Parameters
    ----------
    model
        Whose card may name a scout; without one, or with a crop that was asked for, nothing is done.
    conformed
        The whole scan, not cropped.
    scan, config
        What it was made of.

    Returns
    -------
    Conformed
        With a warning, and as it was, where no brain was found. The mirrored scan gets the mirrored field of view.

    Raises
    ------
    InputError
        If the scout would not fit into memory.
    """
    scout, spec = model.scout, model.card.scout
    if scout is None or spec is None or config.crop is not None or config.autocrop:
        return conformed
    voxels, voxel_mm = " x ".join(map(str, conformed.record.core_shape)), config.grid.voxel_size_mm
    text = f"{voxels} voxels of {voxel_mm:g} mm for {scout.card.name}"
    memory.require(scouting_bytes(scout.card, conformed.record), scan.source, text, config.memory_bytes)
    if spec.field_of_view_mm is None:
        grid = replace(config.grid, multiple_voxels=halved_edge(model.card))
        looks = _looks(scout, conformed, scan, config)
        return _cut_around_brain(conformed, looks, spec.margin_mm, replace(config, grid=grid))
    box = find_brain(scout, conformed, scan, config)
    if box is None:
        return conformed.with_warning(NO_BRAIN)
    return placed(conformed, box.middle_mm, _shape(box, spec, spec.field_of_view_mm, config), scan, config)


def find_brain(scout: LoadedModel, conformed: Conformed, scan: Scan, config: ConformConfig) -> BrainBox | None:
    """Look for the brain in the whole scan, then twice around where it was; ``None`` where there is less than 150 ml.

    Where the brain lies between the scout's voxels decides about some of them, and looks go back and forth by a mm or
    two; the mean of the last two is steady.

    Parameters
    ----------
    scout
        Segments the whole scan coarsely.
    conformed
        The whole scan, not cropped.
    scan, config
        What it was made of.
    """
    looks = list(islice(_looks(scout, conformed, scan, config), 3))
    return _mean(*looks[1:]) if len(looks) == 3 else None


def _looks(scout: LoadedModel, conformed: Conformed, scan: Scan, config: ConformConfig) -> Iterator[BrainBox]:
    """Yield what one look after the other sees, each with the brain in the middle, as long as there is one.

    Parameters as of :func:`find_brain`.
    """
    whole, grid = on_whole_grid(conformed, scan), scout.card.grid
    # Where nothing is to be seen, there is no brain; a scan without contrast was refused before.
    config = replace(config, quirks=replace(config.quirks, accept_featureless=True))
    extent_mm = max(whole.shape) * config.grid.voxel_size_mm
    # A larger field of view than the scout knows is seen from further away.
    view = _view(scout, whole, max(grid.voxel_size_mm, extent_mm / grid.minimum_voxels), scan, config)
    box = view.brain((0.0, 0.0, 0.0))
    if view.step_mm != grid.voxel_size_mm:
        view = _view(scout, whole, grid.voxel_size_mm, scan, config)
    while box is not None:
        yield box
        box = view.brain(box.middle_mm)


@dataclass(frozen=True)
class _View:
    """A scan as the scout sees it.

    Parameters
    ----------
    scout
        Segments what it sees.
    smooth : (I, J, K)
        The scan on the network's grid, RAS, its own intensities, without what voxels of ``step_mm`` cannot show.
    step_mm
        Edge of the scout's voxels.
    scan, config
        What the scan is, and what was made of it.
    """

    scout: LoadedModel
    smooth: np.ndarray
    step_mm: float
    scan: Scan
    config: ConformConfig

    def brain(self, middle_mm: Size3) -> BrainBox | None:
        """Return where the brain lies, seen with a point in the middle of the field of view."""
        image = self.image(middle_mm)
        background = network_posteriors(self.scout, image, flip_average=True)[0].numpy()
        half = len(image) / 2
        brain = largest_component(background < 0.5, isotropic(half - 0.5))
        if brain.sum() * self.step_mm**3 / _MM3_PER_ML < _SMALLEST_BRAIN_ML:
            return None
        # Voxels that are hardly brain hardly count.
        weights = np.where(brain, 1 - 2 * background.astype(np.float64), 0)
        ends = np.array([_ends(weights.sum(axis=others)) for others in _OTHERS])
        faint = np.asarray(binary_propagation(brain, mask=background < 1 - _FAINT))
        edges = np.stack([*ends.T, *_outermost(brain), *_outermost(faint)])
        places = np.round((edges - half) * self.step_mm + middle_mm, _DECIMALS_MM)
        return BrainBox(*(triple(place) for place in places.tolist()))

    def image(self, middle_mm: Size3) -> np.ndarray:
        """Return the scan around a point, in [0, 1], zeros where the field of view leaves the scan."""
        size, edge = self.config.grid.voxel_size_mm, self.scout.card.grid.minimum_voxels
        offsets = (np.arange(edge) - (edge - 1) / 2) * (self.step_mm / size)
        rules, inside = [], []
        for count, middle in zip(self.smooth.shape, middle_mm, strict=True):
            from_middle = middle / size + offsets
            inside.append(np.abs(from_middle) <= count / 2)
            rules.append(sampling_at((count - 1) / 2 + from_middle[inside[-1]], count))
        image = np.zeros((edge, edge, edge))
        core = resample(self.smooth, rules)
        normalise(core, self.config, self.scan, of=image.size)
        image[np.ix_(*inside)] = core
        return image


def _view(scout: LoadedModel, whole: np.ndarray, step_mm: float, scan: Scan, config: ConformConfig) -> _View:
    step = step_mm / config.grid.voxel_size_mm
    smooth = gaussian_filter(whole, PREFILTER_SIGMA * step) if step > 1 else whole
    return _View(scout, smooth, step_mm, scan, config)


def _outermost(mask: np.ndarray) -> tuple[list[int], list[int]]:
    """Return where a mask (N, N, N) begins and ends along each axis."""
    across = [np.flatnonzero(mask.any(axis=others)) for others in _OTHERS]
    return [int(at[0]) for at in across], [int(at[-1]) + 1 for at in across]


def _ends(profile: np.ndarray) -> tuple[float, float]:
    """Return where weights (N,) along an axis begin and end, as their tails say; the first voxel ends at 1."""
    below = np.concatenate([[0.0], np.cumsum(profile)]) / profile.sum()
    above = np.concatenate([[0.0], np.cumsum(profile[::-1])]) / profile.sum()
    points = np.arange(len(below))
    low, high = np.interp(_TAIL, below, points), len(profile) - np.interp(_TAIL, above, points)
    middle, half = (low + high) / 2, (high - low) / 2 / _REACH
    return float(middle - half), float(middle + half)


def _mean(first: BrainBox, second: BrainBox) -> BrainBox:
    pairs = zip(astuple(first), astuple(second), strict=True)
    return BrainBox(*(triple(((np.array(a) + b) / 2).tolist()) for a, b in pairs))


def _cut_around_brain(
    conformed: Conformed, looks: Iterator[BrainBox], margin_mm: float, config: ConformConfig
) -> Conformed:
    """Cut all that may be brain and a margin out of a scan, as soon as two looks in turn agree.

    Looks that keep on differing are of a scan that the scout does not understand, of which nothing is cut off.
    """
    pair = None
    for pair in pairwise(islice(looks, 1, _MOST_LOOKS)):
        ends = np.array([[*look.low_mm, *look.high_mm] for look in pair])
        if np.ptp(ends, axis=0).max() <= _STEADY_MM:
            return _cut(conformed, pair, margin_mm, config)
    return conformed.with_warning(NO_BRAIN if pair is None else UNSURE)


def _cut(conformed: Conformed, looks: tuple[BrainBox, BrainBox], margin_mm: float, config: ConformConfig) -> Conformed:
    """Cut a box out of a scan that is no smaller than the network's least field of view."""
    low = np.min([[look.low_mm, look.faint_first_mm] for look in looks], axis=(0, 1)) - margin_mm
    high = np.max([[look.high_mm, look.faint_last_mm] for look in looks], axis=(0, 1)) + margin_mm
    size, multiple, least = config.grid.voxel_size_mm, config.grid.multiple_voxels, config.grid.minimum_voxels
    steps = [max(round(edge / size, 6), least) / multiple for edge in (high - low).tolist()]
    shape = triple(math.ceil(count) * multiple for count in steps)
    return cut_around(conformed, triple(((low + high) / 2).tolist()), shape, config)


def _shape(box: BrainBox, spec: ScoutSpec, field_of_view_mm: Size3, config: ConformConfig) -> Shape3:
    """Return the field of view of the card, larger where the brain is, in whole voxels of the network, RAS.

    The whole brain is in it, and half of the margin: where tissue of the neck moves the middle, nothing is lost.
    """
    size, multiple = config.grid.voxel_size_mm, config.grid.multiple_voxels
    middle = np.array(box.middle_mm)
    furthest = np.maximum(np.array(box.last_mm) - middle, middle - box.first_mm)
    edges_mm = [
        max(field, high - low + 2 * spec.margin_mm, 2 * out + spec.margin_mm)
        for field, low, high, out in zip(field_of_view_mm, box.low_mm, box.high_mm, furthest.tolist(), strict=True)
    ]
    return triple(math.ceil(round(edge / (size * multiple), 6)) * multiple for edge in edges_mm)
