"""Small label maps with a left and a right half, and the list that describes them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from synthseg_core.images.volume import Volume
from tests.phantoms.scans import oblique_affine, write_nifti

SHAPE = (12, 17, 9)
# background, fluid, left and right tissue, left and right nucleus: values are neither small nor contiguous
VALUES = (0, 24, 2, 13, 41, 52)
LIST = """value\tname\tside\tcounterpart\tclass\toutput
0\tbackground\tneutral\t0\t0\t0
24\tcsf\tneutral\t24\t1\t0
2\tleft-tissue\tleft\t41\t2\t2
13\tleft-nucleus\tleft\t52\t3\t13
41\tright-tissue\tright\t2\t2\t41
52\tright-nucleus\tright\t13\t3\t52
"""


def halves(shape=SHAPE, seed=0) -> np.ndarray:
    """Label map (I, J, K), int32, RAS: fluid around two unequal halves, each with a nucleus."""
    i, j, k = shape
    data = np.zeros(shape, np.int32)
    data[1 : i - 1, 1 : j - 1, 1 : k - 1] = 24
    data[2 : i // 2, 2 : j - 2, 2 : k - 2] = 2
    data[i // 2 : i - 2, 2 : j - 3, 2 : k - 2] = 41
    data[3, 4 + seed : 7 + seed, 3:5] = 13
    data[i - 4, 4 + seed : 6 + seed, 3:5] = 52
    return data


def label_volume(seed=0, voxel_size=(1.0, 1.2, 0.9), shape=SHAPE) -> Volume:
    """The halves on an oblique grid."""
    return Volume(halves(shape, seed), oblique_affine(voxel_size))


def write_maps(folder: Path, count=2, dtype="int32", **options) -> list[Path]:
    """Write a few different maps."""
    return [
        write_nifti(folder / f"map_{n}.nii.gz", label_volume(seed=n, **options), dtype) for n in range(1, count + 1)
    ]


def write_list(path: Path, text: str = LIST) -> Path:
    """Write the list of ``VALUES``."""
    path.write_text(text)
    return path
