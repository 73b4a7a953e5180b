"""The way back from a network's grid to the scan: a plain record that survives JSON."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from synthseg_core.images.affines import Orientation, Shape3, Size3, voxel_size
from synthseg_core.images.resampling import AxisSampling, argmax_classes, centred_sampling
from synthseg_core.images.volume import Volume

# Header noise of float32 reaches 1e-7 of a voxel size; a grid may end this much short of the scan's edge, in voxels.
_FACTOR_DECIMALS, _COUNT_SLACK = 6, 1e-3


@dataclass(frozen=True)
class Grid:
    """A grid along the axes of a scan, in the scan's axis order.

    Sample ``k`` of an axis lies at ``(n - 1) / 2 + (k - (m - 1) / 2) * step + shift`` in the ``n`` source voxels, with
    ``m`` samples; without shift both centres coincide.

    Parameters
    ----------
    shape
        Samples an axis, ``m``.
    affine : (4, 4)
        Sample to world, mm.
    voxel_size
        Edge lengths in mm, as used for volumes.
    step, shift
        In source voxels.
    """

    shape: Shape3
    affine: np.ndarray
    voxel_size: Size3
    step: Size3 = (1.0, 1.0, 1.0)
    shift: Size3 = (0.0, 0.0, 0.0)

    def to_json(self) -> dict[str, Any]:
        """Return plain lists and numbers."""
        return {
            "shape": list(self.shape),
            "affine": self.affine.tolist(),
            "voxel_size_mm": list(self.voxel_size),
            "step_source_voxels": list(self.step),
            "shift_source_voxels": list(self.shift),
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Grid:
        """Undo :meth:`to_json`."""
        return cls(
            shape=triple(content["shape"]),
            affine=np.array(content["affine"], dtype=np.float64),
            voxel_size=triple(content["voxel_size_mm"]),
            step=triple(content["step_source_voxels"]),
            shift=triple(content["shift_source_voxels"]),
        )


def own_grid(shape: Shape3, affine: np.ndarray) -> Grid:
    """Return the grid of the scan itself."""
    return Grid(shape, affine, voxel_size(affine))


def centred_grid(shape: Shape3, affine: np.ndarray, voxel_size_mm: float) -> Grid:
    """Return the isotropic grid that covers a scan and shares its centre.

    Examples
    --------
    >>> grid = centred_grid((10, 10, 4), np.diag([1.0, 1.0, 2.5, 1.0]), 1.0)
    >>> grid.shape
    (10, 10, 10)
    >>> grid.affine[:3, 3].round(6).tolist()
    [0.0, 0.0, -0.75]
    """
    factors = np.round(np.array(voxel_size(affine)) / voxel_size_mm, _FACTOR_DECIMALS)
    counts = np.maximum(np.ceil(np.array(shape) * factors - _COUNT_SLACK), 1).astype(int)
    steps = 1 / factors
    first = (np.array(shape) - 1) / 2 - (counts - 1) / 2 * steps
    placed = np.array(affine, dtype=np.float64)
    placed[:3, 3] += placed[:3, :3] @ first
    placed[:3, :3] *= steps
    return Grid(triple(counts.tolist()), placed, isotropic(voxel_size_mm), triple(steps.tolist()))


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
    """

    source: Grid
    grid: Grid
    orientation: Orientation
    resampled: bool
    crop: tuple[Shape3, Shape3] | None
    pad_start: Shape3
    padded_shape: Shape3

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

    def samplings(self, target: Grid) -> list[AxisSampling]:
        """Return the rules that take the unpadded network's grid (RAS) to ``target``, which is given in RAS order."""
        rules = []
        for world, axis in enumerate(self.orientation.axes):
            shift = (target.shift[axis] - self.grid.shift[axis]) / self.grid.step[axis]
            rule = centred_sampling(
                target.shape[axis],
                target.step[axis] / self.grid.step[axis],
                self.grid.shape[axis],
                -shift if self.orientation.flips[world] else shift,
            )
            rules.append(rule if self.crop is None else rule.within(self.crop[0][world], self.crop[1][world]))
        return rules

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
        )

    def _in_ras(self, values: Sequence[Any]) -> tuple[Any, Any, Any]:
        return triple(values[axis] for axis in self.orientation.axes)

    def _paste(self, array: np.ndarray) -> np.ndarray:
        if self.crop is None:
            return array
        whole = np.zeros((*array.shape[:-3], *self.grid_shape), array.dtype)
        whole[(..., *_slices(self.crop))] = array
        return whole


def label_map_on(target: Grid, posteriors: np.ndarray, record: ConformRecord, labels: Sequence[int]) -> Volume:
    """Return the label map on ``target``: each class interpolated linearly, then the argmax.

    Parameters
    ----------
    target
        For instance ``record.source`` or ``record.isotropic_grid(1.0)``.
    posteriors : (N, I, J, K)
        On the network's unpadded (and, with a crop, cropped) grid, RAS.
    labels
        Value of each of the N classes; the first is background.
    """
    channels = argmax_classes(posteriors, record.samplings(target))
    values = np.asarray(labels, dtype=np.int32)[channels]
    return Volume(record.to_source_order(values), target.affine)


def triple(values: Iterable[Any]) -> tuple[Any, Any, Any]:
    """Return exactly three values as a tuple."""
    i, j, k = values
    return i, j, k


def isotropic(value: Any) -> tuple[Any, Any, Any]:
    """Return ``value`` for each of the three axes."""
    return value, value, value


def _slices(box: tuple[Shape3, Shape3]) -> tuple[slice, slice, slice]:
    return triple(slice(a, b) for a, b in zip(*box, strict=True))
