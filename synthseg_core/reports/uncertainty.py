"""How undecided a segmentation is: the entropy of its posteriors, where these are kept.

0 bits: the network is certain; 1 bit: two structures are equally likely. Borders always have some; whole structures
that light up are worth a look.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from synthseg_core.errors import InputError
from synthseg_core.images.opening import open_image, read_channels
from synthseg_core.images.resampling import nearest_on
from synthseg_core.images.volume import Volume
from synthseg_core.labels.structures import Colour

STEPS_BITS = (0.25, 0.5, 0.75, 1.0, 1.5, 2.0)
"""From each of these on a voxel has the next colour."""
COLOURS: tuple[Colour, ...] = (
    *((0.27, 0.0, 0.33), (0.25, 0.27, 0.53), (0.17, 0.44, 0.56)),
    *((0.13, 0.64, 0.52), (0.48, 0.82, 0.32), (0.99, 0.91, 0.14)),
)
"""Dark to light, in steps that colour-blind people can tell apart too."""
_LEAST = 1e-7


def entropy_on(path: Path, target: Volume) -> np.ndarray:
    """Return the entropy of posteriors on the grid of a label map, (I, J, K) float32, bits.

    Parameters
    ----------
    path
        Posteriors, (I, J, K, N); one class is held at a time.
    target
        The label map; every voxel gets the value of the nearest one of the posteriors.

    Raises
    ------
    InputError
        If the file holds no posteriors.
    """
    opened = open_image(path)
    shape = tuple(int(n) for n in opened.array.shape)
    if len(shape) != 4 or shape[3] < 2:
        found = f"an image of shape {' x '.join(map(str, shape))}"
        raise InputError(path, found=found, expected="a posterior for each class", remedy="make it again")
    total = np.zeros(shape[:3], np.float32)
    for posterior in read_channels(opened):
        total -= posterior * np.log2(np.maximum(posterior, _LEAST))
    return nearest_on(Volume(np.maximum(total, 0), opened.affine), target).data


def stepped(entropy: np.ndarray) -> np.ndarray:
    """Return the number of :data:`STEPS_BITS` that an entropy has reached, uint8; 0: certain."""
    return np.digitize(entropy, STEPS_BITS).astype(np.uint8)
