"""The way back from a network's grid to the scan: a plain record that survives JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from synthseg_core.images.affines import Orientation, Shape3, Size3, triple
from synthseg_core.images.grids import Grid, centred_grid, parallel
from synthseg_core.images.resampling import Samplings, argmax_classes, centred_sampling
from synthseg_core.images.shear import ShearedSampling
from synthseg_core.images.volume import Volume

_SLACK_VOXELS = 1e-3  # for samples that lie on the face of a box


@dataclass(frozen=True)
class ConformRecord:
    """What was done to a scan, and the means to undo it; arrays given to its methods have the space in the last axes.

    Parameters
    ----------
    source
        Grid of the scan.
    grid
        Grid of the network before crop and padding, in the scan's axis order.
    orientation
        Between the scan's axis order and RAS.
    resampled
        Whether the scan was resampled, or used on its own grid.
    crop
        Start and stop of the crop in the RAS grid, or ``None``.
    pad_start
        First voxel of the (cropped) grid in the padded array.
    padded_shape
        Shape of the network's input, RAS.
    whole_intensities
        Whether a crop has the intensities of the whole grid, in place of those of its own voxels.
    """

    source: Grid
    grid: Grid
    orientation: Orientation
    resampled: bool
    crop: tuple[Shape3, Shape3] | None
    pad_start: Shape3
    padded_shape: Shape3
    whole_intensities: bool = False

    @property
    def source_shape(self) -> Shape3:
        """Shape of the scan, its own axis order."""
        return self.source.shape

    @property
    def grid_shape(self) -> Shape3:
        """Shape of the network's grid before crop and padding, RAS."""
        return self._in_ras(self.grid.shape)

    @property
    def grid_affine(self) -> np.ndarray:
        """Affine of the network's grid in the scan's axis order: that of the outputs."""
        return self.grid.affine

    @property
    def grid_voxel_size(self) -> Size3:
        """Voxel edges in mm for volumes, the scan's axis order."""
        return self.grid.voxel_size

    @property
    def core_shape(self) -> Shape3:
        """Shape between crop and padding, RAS."""
        if self.crop is None:
            return self.grid_shape
        start, stop = self.crop
        return triple(b - a for a, b in zip(start, stop, strict=True))

    @property
    def pad(self) -> tuple[Shape3, Shape3]:
        """Start and stop of the unpadded part in the padded array."""
        return self.pad_start, triple(a + n for a, n in zip(self.pad_start, self.core_shape, strict=True))

    def unpad(self, array: np.ndarray) -> np.ndarray:
        """Return the view without padding."""
        return array[(..., *_slices(self.pad))]

    def cropped(self, array: np.ndarray) -> np.ndarray:
        """Return the view of the crop of an array on the whole grid, RAS."""
        return array if self.crop is None else array[(..., *_slices(self.crop))]

    def paste_labels(self, labels: np.ndarray) -> np.ndarray:
        """Put the crop of a label map back into the whole grid, 0 elsewhere."""
        return self._paste(labels)

    def paste_posteriors(self, posteriors: np.ndarray) -> np.ndarray:
        """Put the crop of (N, I, J, K) posteriors back into the whole grid; elsewhere all is background."""
        if self.crop is None:
            return posteriors
        whole = self._paste(posteriors)
        whole[0] = 1
        whole[0][_slices(self.crop)] = posteriors[0]
        return whole

    def to_source_order(self, array: np.ndarray) -> np.ndarray:
        """Return the view of a RAS array in the scan's axis order."""
        space_first = np.moveaxis(array, (-3, -2, -1), (0, 1, 2))
        return np.moveaxis(self.orientation.from_ras(space_first), (0, 1, 2), (-3, -2, -1))

    @property
    def straightened(self) -> bool:
        """Whether the network's grid has perpendicular axes in place of the scan's sheared ones."""
        return not parallel(self.grid.affine, self.source.affine)

    def source_sampling(self) -> ShearedSampling:
        """Return where the voxels of a straightened grid lie in the scan; both in RAS order."""
        whole = (0, 0, 0), self._in_ras(self.source.shape)
        return self._across(self.source, self.grid, whole)

    def samplings(self, target: Grid) -> Samplings:
        """Return the rules that take the unpadded network's grid (RAS) to ``target``, which is given in RAS order."""
        if not parallel(target.affine, self.grid.affine):
            return self._across(self.grid, target, self.crop or ((0, 0, 0), self.grid_shape))
        rules = [centred_sampling(*self._along(world, target)) for world in range(3)]
        if self.crop is None:
            return rules
        return [rule.within(*span) for rule, span in zip(rules, zip(*self.crop, strict=True), strict=True)]

    def covered(self, target: Grid) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return which samples of each axis of a parallel ``target`` lie within the network's grid, RAS order."""
        inside = []
        for world in range(3):
            count, step, total, shift = self._along(world, target)
            position = (total - 1) / 2 + shift + (np.arange(count) - (count - 1) / 2) * step
            inside.append((position >= -0.5 - _SLACK_VOXELS) & (position <= total - 0.5 + _SLACK_VOXELS))
        return triple(inside)

    def isotropic_grid(self, voxel_size_mm: float = 1.0) -> Grid:
        """Return a centred grid over the scan, for answers at another voxel size than the network's."""
        return centred_grid(self.source.shape, self.source.affine, voxel_size_mm)

    def to_json(self) -> dict[str, Any]:
        """Return plain lists and numbers."""
        return {
            "source": self.source.to_json(),
            "grid": self.grid.to_json(),
            "axes": list(self.orientation.axes),
            "flips": list(self.orientation.flips),
            "resampled": self.resampled,
            "crop": None if self.crop is None else [list(corner) for corner in self.crop],
            "pad_start": list(self.pad_start),
            "padded_shape": list(self.padded_shape),
            **({"whole_intensities": True} if self.whole_intensities else {}),  # came later
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> ConformRecord:
        """Undo :meth:`to_json`."""
        crop = content["crop"]
        return cls(
            source=Grid.from_json(content["source"]),
            grid=Grid.from_json(content["grid"]),
            orientation=Orientation(triple(content["axes"]), triple(content["flips"])),
            resampled=bool(content["resampled"]),
            crop=None if crop is None else (triple(crop[0]), triple(crop[1])),
            pad_start=triple(content["pad_start"]),
            padded_shape=triple(content["padded_shape"]),
            whole_intensities=bool(content.get("whole_intensities", False)),
        )

    def _along(self, world: int, target: Grid) -> tuple[int, float, int, float]:
        """Return count, step, count of the network's grid, and shift of the samples of ``target`` along a RAS axis."""
        axis = self.orientation.axes[world]
        shift = (target.shift[axis] - self.grid.shift[axis]) / self.grid.step[axis]
        step = target.step[axis] / self.grid.step[axis]
        return target.shape[axis], step, self.grid.shape[axis], -shift if self.orientation.flips[world] else shift

    def _across(self, source: Grid, target: Grid, window: tuple[Shape3, Shape3]) -> ShearedSampling:
        there, here = (self.orientation.affine_to_ras(grid.affine, grid.shape) for grid in (source, target))
        shapes = self._in_ras(target.shape), self._in_ras(source.shape)
        return ShearedSampling(np.linalg.inv(there) @ here, *shapes, window)

    def _in_ras(self, values: Sequence[Any]) -> tuple[Any, Any, Any]:
        return triple(values[axis] for axis in self.orientation.axes)

    def _paste(self, array: np.ndarray) -> np.ndarray:
        if self.crop is None:
            return array
        whole = np.zeros((*array.shape[:-3], *self.grid_shape), array.dtype)
        whole[(..., *_slices(self.crop))] = array
        return whole


def same_grid(first: Grid, second: Grid) -> bool:
    """Say whether two grids over a scan have the same voxels at the same places, to the last bit."""
    same = (first.shape, first.step, first.shift) == (second.shape, second.step, second.shift)
    return same and np.array_equal(first.affine, second.affine)


def label_map_on(target: Grid, posteriors: np.ndarray, record: ConformRecord, labels: Sequence[int]) -> Volume:
    """Return the label map on ``target``: each class interpolated linearly, then the argmax.

    Parameters
    ----------
    target
        For instance ``record.source`` or ``record.isotropic_grid(1.0)``.
    posteriors : (N, I, J, K)
        On the network's unpadded (and, with a crop, cropped) grid, RAS.
    record
        Of the scan.
    labels
        Value of each of the N classes; the first is background.
    """
    channels = argmax_classes(posteriors, record.samplings(target))
    values = np.asarray(labels, dtype=np.int32)[channels]
    return Volume(record.to_source_order(values), target.affine)


def _slices(box: tuple[Shape3, Shape3]) -> tuple[slice, slice, slice]:
    return triple(slice(a, b) for a, b in zip(*box, strict=True))
