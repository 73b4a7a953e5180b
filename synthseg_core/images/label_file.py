"""One label map from one file: whole numbers of 0 and above, whatever number type stores them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from synthseg_core.errors import InputError
from synthseg_core.images.reading import read_stored
from synthseg_core.images.volume import Volume

# As in label tables: what is counted by value needs a table as long as the largest one.
LARGEST_LABEL = 10**6
# Integers that a header scales, by 0.1 for instance, come back as 2.9999999; an interpolated label is further away.
_ROUNDING = 1e-3


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


def _rounded(data: np.ndarray, path: Path) -> np.ndarray:
    """Return whole numbers; refuse NaN, infinity and fractions."""
    if not np.isfinite(data).all():
        raise _not_a_label_map(path, "voxels that are NaN or infinite")
    whole = np.rint(data)
    fractions = np.abs(data - whole) > _ROUNDING
    if count := int(np.count_nonzero(fractions)):
        example = data[fractions][0]
        raise _not_a_label_map(path, f"{count} voxels whose value is not whole, such as {example:.6g}")
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
