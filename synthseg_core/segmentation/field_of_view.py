"""Give a network a field of view of a certain size around a point of the scan, wherever the edges of the scan lie.

Where the scan is interpolated anyway, the grid is laid so that its middle is that point. So the same head is sampled at
the same places, in a scan with more air or with less.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from scipy.ndimage import gaussian_filter

from synthseg_core.images.affines import Shape3, Size3, triple
from synthseg_core.images.grids import Grid
from synthseg_core.images.reading import Scan
from synthseg_core.images.resampling import AxisSampling, resample, sampling_at
from synthseg_core.segmentation.conform import (
    PREFILTER_SIGMA,
    ConformConfig,
    Conformed,
    cut_out,
    normalise,
    on_whole_grid,
)
from synthseg_core.segmentation.record import ConformRecord

_SLACK_VOXELS = 1e-6  # of a sample on the face of the scan
_TRUNCATE = 4.0  # scipy's: standard deviations that a Gaussian reaches


@dataclass(frozen=True)
class _Axis:
    """A field of view of ``size`` voxels along one RAS axis of a scan of ``source`` voxels.

    Parameters
    ----------
    first
        Position of its first voxel, in voxels of the scan.
    step
        Between its voxels, in voxels of the scan.
    """

    size: int
    source: int
    first: float
    step: float

    @property
    def span(self) -> tuple[int, int]:
        """First and last voxel (exclusive) of the same grid over the whole scan; those of the field start at 0."""
        low = math.ceil((-0.5 - self.first) / self.step - _SLACK_VOXELS)
        return low, math.floor((self.source - 0.5 - self.first) / self.step + _SLACK_VOXELS) + 1

    @property
    def crop(self) -> tuple[int, int]:
        """Voxels of the field that lie in the scan, counted on the grid over the whole scan."""
        low, high = self.span
        return max(-low, 0), min(self.size, high) - low

    @property
    def pad(self) -> int:
        """Voxels of the field before the scan."""
        return max(self.span[0], 0)

    @property
    def shift(self) -> float:
        """Between the middles of the scan and of the grid over it, in voxels of the scan."""
        low, high = self.span
        return self.first + (low + high - 1) / 2 * self.step - (self.source - 1) / 2

    @property
    def sampling(self) -> AxisSampling:
        """Where the voxels of the field that lie in the scan are sampled."""
        low, high = self.span
        voxels = np.arange(max(low, 0), min(high, self.size))
        return sampling_at(self.first + voxels * self.step, self.source)


def placed(conformed: Conformed, centre_mm: Size3, shape: Shape3, scan: Scan, config: ConformConfig) -> Conformed:
    """Return a conformed scan on ``shape`` voxels around a point, zeros where they lie outside the scan.

    Parameters
    ----------
    conformed
        The whole scan, not cropped.
    centre_mm
        From the middle of the scan, along the RAS axes of its grid.
    shape
        Voxels, RAS.
    scan, config
        What it was made of.
    """
    whole = conformed.record
    # A scan that is used as it is stays so: its voxels are those of the network.
    free = whole.resampled and not whole.straightened and config.grid.answer_mm != config.grid.voxel_size_mm
    axes = [_axis(whole, world, centre_mm[world] / config.grid.voxel_size_mm, shape[world], free) for world in range(3)]
    crops, pads = zip(*(axis.crop for axis in axes), strict=True), [axis.pad for axis in axes]
    start, stop = (triple(corner) for corner in crops)
    grid = _over_scan(whole, axes) if free else whole.grid
    record = replace(whole, grid=grid, crop=(start, stop), pad_start=triple(pads), padded_shape=shape)
    image = np.zeros(shape)
    core = record.unpad(image)
    core[...] = _sampled(scan, record, axes) if free else record.cropped(on_whole_grid(conformed, scan))
    warnings = (*conformed.warnings, *normalise(core, config, scan, of=image.size))
    return replace(conformed, image=image, record=record, warnings=warnings, symmetric=True)


def cut_around(conformed: Conformed, centre_mm: Size3, shape: Shape3, config: ConformConfig) -> Conformed:
    """Return the part of a conformed scan of ``shape`` voxels around a point: its own voxels and intensities.

    Where it would leave the scan, it is moved into it; an axis of the scan with no more voxels stays whole.
    Padding is that of ``config``.

    Parameters
    ----------
    conformed
        The whole scan, not cropped.
    centre_mm
        From the middle of the scan, along the RAS axes of its grid.
    shape
        Voxels, RAS.
    config
        Grid of the network.
    """
    whole, size_mm = conformed.record.grid_shape, config.grid.voxel_size_mm
    spans = [_within(n, wanted, mm / size_mm) for n, wanted, mm in zip(whole, shape, centre_mm, strict=True)]
    start, stop = map(triple, zip(*spans, strict=True))
    return cut_out(conformed, start, stop, config)


def _within(count: int, size: int, centre_voxels: float) -> tuple[int, int]:
    """Return where ``size`` of ``count`` voxels around a point, given from their middle, begin and end."""
    if size >= count:
        return 0, count
    room = (count - size) / 2
    start = round(room + _on_voxels(min(max(centre_voxels, -room), room), count - size))
    return start, start + size


def _axis(whole: ConformRecord, world: int, centre_voxels: float, size: int, free: bool) -> _Axis:
    """Return a field of view around a point that is given in voxels of the network, from the middle of the scan."""
    if not free:
        count = whole.grid_shape[world]
        return _Axis(size, count, (count - size) / 2 + _on_voxels(centre_voxels, count - size), 1.0)
    axis = whole.orientation.axes[world]
    source, step = whole.source_shape[axis], whole.grid.step[axis]
    return _Axis(size, source, (source - 1) / 2 + (centre_voxels - (size - 1) / 2) * step, step)


def _on_voxels(offset: float, uncovered: int) -> float:
    """Return the offset nearest to one from the middle that puts voxels on voxels; ties go towards the middle.

    So the mirrored offset gives the mirrored one; only 0 with an odd number of voxels left over has no such place.
    """
    odd = uncovered % 2 / 2
    steps = max(math.ceil(abs(offset) - odd - 0.5 - _SLACK_VOXELS), 0)
    return math.copysign(steps + odd, offset)


def _over_scan(whole: ConformRecord, axes: list[_Axis]) -> Grid:
    """Return the grid of a field of view over the whole scan, in the scan's axis order."""
    shape, shift = [0, 0, 0], [0.0, 0.0, 0.0]
    for along, flipped, axis in zip(whole.orientation.axes, whole.orientation.flips, axes, strict=True):
        low, high = axis.span
        shape[along], shift[along] = high - low, -axis.shift if flipped else axis.shift
    steps = np.array(whole.grid.step)
    first = (np.array(whole.source.shape) - 1) / 2 + shift - (np.array(shape) - 1) / 2 * steps
    affine = whole.source.affine.copy()
    affine[:3, 3] += affine[:3, :3] @ first
    affine[:3, :3] *= steps
    return replace(whole.grid, shape=triple(shape), affine=affine, shift=triple(shift))


def _sampled(scan: Scan, record: ConformRecord, axes: list[_Axis]) -> np.ndarray:
    """Return the scan on a field of view as far as it lies in it, RAS; only that part of the scan is smoothed."""
    ordered = record.orientation.to_ras(scan.volume.data)
    sigmas = [PREFILTER_SIGMA * axis.step if axis.step > 1 else 0.0 for axis in axes]
    part, rules = [], []
    for axis, sigma in zip(axes, sigmas, strict=True):
        rule, reach = axis.sampling, math.ceil(_TRUNCATE * sigma) + 1
        start = max(int(rule.lower.min()) - reach, 0)
        stop = min(int(rule.upper.max()) + 1 + reach, axis.source)
        part.append(slice(start, stop))
        rules.append(rule.within(start, stop))
    near = np.ascontiguousarray(ordered[tuple(part)])
    return resample(gaussian_filter(near, sigmas) if any(sigmas) else near, rules)
