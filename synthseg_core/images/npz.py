"""The array of a NumPy archive (``.npz``) as a header, whose voxels are read when they are asked for."""

from __future__ import annotations

import math
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy

from synthseg_core.errors import InputError

NAME = "vol_data"


class NpzArray:
    """The array ``vol_data`` of an archive: shape and type now, voxels on indexing, then as a whole.

    Parameters
    ----------
    path
        The archive.

    Raises
    ------
    InputError
        If there is no such array in it.
    """

    def __init__(self, path: Path) -> None:
        with zipfile.ZipFile(path) as archive:
            names = [Path(name).stem for name in archive.namelist() if name.endswith(".npy")]
            if NAME not in names:
                raise InputError(
                    path,
                    found=f"arrays named {', '.join(names) or 'nothing'}",
                    expected=f"one named {NAME}",
                    remedy=f"save it with numpy.savez(path, {NAME}=array)",
                )
            with archive.open(f"{NAME}.npy") as member:
                self.shape, self.dtype = _header(member)
        self._path = path

    @property
    def nbytes(self) -> int:
        """Bytes of all voxels."""
        return self.dtype.itemsize * math.prod(self.shape)

    def __getitem__(self, index: Any) -> np.ndarray:
        with self._path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            return archive[NAME][index]


def _header(member: Any) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Return shape and type; formats beyond the first differ in the length of the header only."""
    read = npy.read_array_header_1_0 if npy.read_magic(member) == (1, 0) else npy.read_array_header_2_0
    shape, _, dtype = read(member)
    return shape, dtype
