"""The ``--crop`` option, which several commands have."""

from __future__ import annotations

from collections.abc import Sequence

from synthseg_core.errors import UsageError
from synthseg_core.images.affines import Shape3


def crop_of(values: Sequence[int] | None) -> Shape3 | None:
    """Return the crop in voxels from one or three numbers; ``UsageError`` for anything else."""
    if values is None:
        return None
    if len(values) not in (1, 3) or min(values) < 1:
        raise UsageError(
            "--crop",
            found=" ".join(map(str, values)),
            expected="1 or 3 positive numbers of voxels",
            remedy="give one size for all axes, or one for each",
        )
    i, j, k = values if len(values) == 3 else (values[0],) * 3
    return i, j, k
