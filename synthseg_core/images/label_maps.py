"""Label maps on disk: whole numbers whatever number type stores them, a common grid, RAS+ order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from synthseg_core.errors import GeometryError, InputError
from synthseg_core.images.affines import Shape3, closest_ras, unit_columns, voxel_size
from synthseg_core.images.checks import sizes_text
from synthseg_core.images.formats import READABLE, extension
from synthseg_core.images.reading import Placement, read_placement, read_stored
from synthseg_core.images.volume import Volume
from synthseg_core.system.words import counted

# As in label tables: what is counted by value needs a table as long as the largest one.
LARGEST_LABEL = 10**6
# Integers that a header scales, by 0.1 for instance, come back as 2.9999999; an interpolated label is further away.
_ROUNDING = 1e-3
_SIZE_TOLERANCE_MM = 1e-3  # headers hold float32; a real difference of voxel size is far larger


@dataclass(frozen=True)
class MapFiles:
    """Label maps of one shape and voxel size that can be read one after the other.

    Parameters
    ----------
    paths
        What messages call them.
    names
        File names without extension.
    shape
        Of each map, RAS+.
    read
        Returns the map of a number: labels (I, J, K), int32, RAS+, and its affine.
    """

    paths: tuple[Path, ...]
    names: tuple[str, ...]
    shape: Shape3
    read: Callable[[int], Volume]

    def __len__(self) -> int:
        return len(self.paths)


def files_of(source: Path | str | Sequence[Path | str]) -> MapFiles:
    """Return the label maps of a folder or list; headers are compared, voxels are not read yet.

    Raises
    ------
    InputError
        If there are no files, or one is unreadable or of another shape or voxel size than the first.
    """
    paths = label_map_paths(source)
    grid = common_grid(paths)
    return MapFiles(paths, tuple(map(stem, paths)), grid.shape, lambda number: read_ras_labels(paths[number]))


def label_map_paths(source: Path | str | Sequence[Path | str]) -> tuple[Path, ...]:
    """Return the files of a folder that can hold volumes, sorted; or the files given, in their order."""
    if not isinstance(source, (str, Path)):
        paths = tuple(Path(path) for path in source)
    elif Path(source).is_dir():
        files = (path for path in Path(source).iterdir() if extension(path) in READABLE)
        paths = tuple(sorted(path for path in files if not path.name.startswith(".")))
    else:
        paths = (Path(source),)
    if not paths:
        raise InputError(
            source_text(source),
            found="no files",
            expected=f"files that end in {', '.join(READABLE)}",
            remedy="check the path",
        )
    return paths


def common_grid(paths: Sequence[Path]) -> Placement:
    """Return shape and affine of the first file in RAS+ order; refuse files whose shape or voxel size differs."""
    first = ras_placement(paths[0])
    sizes_mm = voxel_size(first.affine)
    for path in paths[1:]:
        grid = ras_placement(path)
        if grid.shape != first.shape:
            raise _unequal(path, f"the shape {_text(grid.shape)} (in RAS order)", _text(first.shape), paths[0])
        if not np.allclose(voxel_size(grid.affine), sizes_mm, rtol=0, atol=_SIZE_TOLERANCE_MM):
            found = f"voxels of {sizes_text(voxel_size(grid.affine))} (in RAS order)"
            raise _unequal(path, found, sizes_text(sizes_mm), paths[0])
    return first


def ras_placement(path: Path) -> Placement:
    """Return shape and affine of a file in RAS+ order, from its header."""
    grid = read_placement(path)
    orientation = closest_ras(unit_columns(grid.affine))
    i, j, k = (grid.shape[axis] for axis in orientation.axes)
    return Placement((i, j, k), orientation.affine_to_ras(grid.affine, grid.shape))


def read_ras_labels(path: Path) -> Volume:
    """Read one label map (I, J, K), int32, with its axes in RAS+ order; refuse one without any label."""
    volume = read_label_file_ras(path)
    if not volume.data.any():
        raise InputError(
            path,
            found="no label anywhere (all voxels 0)",
            expected="a label map",
            remedy="remove the file or correct it",
        )
    return volume


def read_label_file_ras(path: Path) -> Volume:
    """Read one label map (I, J, K), int32, with its axes in RAS+ order, also one without any label."""
    volume = read_label_file(path)
    orientation = closest_ras(unit_columns(volume.affine))
    return Volume(orientation.to_ras(volume.data), orientation.affine_to_ras(volume.affine, volume.shape))


def nearest_labels(labels: Volume, shape: Shape3, affine: np.ndarray) -> np.ndarray:
    """Return labels on another grid, each the one of the nearest voxel; 0 outside of the map.

    Parameters
    ----------
    labels
        Label map.
    shape
        Of the result.
    affine : (4, 4)
        Of the result, voxel to world, mm.

    Returns
    -------
    (I, J, K)
        Of the number type of ``labels``.
    """
    from scipy.ndimage import affine_transform

    matrix = np.linalg.inv(labels.affine) @ affine
    return affine_transform(labels.data, matrix, output_shape=shape, order=0, mode="grid-constant", cval=0)


def read_label_file(path: Path | str) -> Volume:
    """Read a label map in the axis order of its file.

    Returns
    -------
    Volume
        Labels (I, J, K), int32, and the affine.

    Raises
    ------
    InputError
        If the file cannot be read, or holds values that are not finite, not whole, negative or above 1 000 000.
    """
    path = Path(path)
    stored = read_stored(path)
    data = _rounded(stored.data, path) if stored.data.dtype.kind == "f" else stored.data
    _check_range(data, path)
    return Volume(data.astype(np.int32, copy=False), stored.affine)


def stem(path: Path) -> str:
    """Return the file name without its extension."""
    return path.name.removesuffix(extension(path)).removesuffix(extension(path).upper())


def source_text(source: Path | str | Sequence[Path | str]) -> str:
    """Name a folder, a file or a list of files in a message."""
    return str(source) if isinstance(source, (str, Path)) else "label maps"


def _rounded(data: np.ndarray, path: Path) -> np.ndarray:
    """Return whole numbers; refuse NaN, infinity and fractions."""
    if not np.isfinite(data).all():
        raise _not_a_label_map(path, "voxels that are NaN or infinite")
    whole = np.rint(data)
    fractions = np.abs(data - whole) > _ROUNDING
    if count := int(np.count_nonzero(fractions)):
        example = data[fractions][0]
        raise _not_a_label_map(path, f"{counted(count, 'voxel')} whose value is not whole, such as {example:.6g}")
    return whole


def _check_range(data: np.ndarray, path: Path) -> None:
    """Refuse negative labels, and labels that no table could hold."""
    if (smallest := data.min()) < 0:
        raise _not_a_label_map(path, f"the negative value {smallest:.0f}")
    if (largest := data.max()) > LARGEST_LABEL:
        raise _not_a_label_map(path, f"the value {largest:.0f}")


def _not_a_label_map(path: Path, found: str) -> InputError:
    return InputError(
        path,
        found=found,
        expected=f"a label map: whole numbers from 0 to {LARGEST_LABEL}",
        remedy="give label maps, not scans, resampled with nearest neighbours if at all",
    )


def _unequal(path: Path, found: str, expected: str, first: Path) -> GeometryError:
    return GeometryError(
        path,
        found=found,
        expected=f"{expected}, as in {first.name}",
        remedy="resample all label maps to one grid (nearest neighbours)",
    )


def _text(shape: Shape3) -> str:
    return " x ".join(map(str, shape))
