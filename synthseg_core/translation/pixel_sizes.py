"""Sizes of pixels from the JSON files of BIDS, beside a picture or above.

References
----------
Brain Imaging Data Structure 1.11.1, microscopy: ``PixelSize``, ``PixelSizeUnits``; inheritance of sidecars.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from synthseg_core.bids.names import parse_name
from synthseg_core.errors import InputError
from synthseg_core.system.delimited import absolute
from synthseg_core.system.settings import known_mapping

_UNITS_UM = {"mm": 1000.0, "um": 1.0, "nm": 0.001}


def pixel_size_um(path: Path, root: Path) -> tuple[float, float] | None:
    """Return the edges of the pixels of a picture, as BIDS sidecars say: the nearest that applies; ``None`` without.

    Parameters
    ----------
    path
        Of the picture.
    root
        Folder above which no sidecar counts.

    Returns
    -------
    tuple of float
        Between rows and between columns, µm.

    Raises
    ------
    InputError
        If a sidecar has no usable size.
    """
    for sidecar in _sidecars(path, root):
        content = known_mapping(sidecar)
        if "PixelSize" in content:
            return _size(content, sidecar)
    return None


def _sidecars(path: Path, root: Path) -> Iterator[Path]:
    """Yield the JSON files that apply to a picture, the nearest first."""
    own = path.with_name(f"{path.name.partition('.')[0]}.json")
    yield own
    try:
        name = parse_name(path.name)
    except InputError:
        return
    folder, top = path.parent, absolute(root)
    while folder == top or top in folder.parents:
        for sidecar in sorted(folder.glob(f"*{name.suffix}.json"), key=lambda one: -len(one.name)):
            if sidecar != own and _applies(sidecar, name.entities, name.suffix):
                yield sidecar
        if folder == folder.parent:
            return
        folder = folder.parent


def _applies(sidecar: Path, entities: Mapping[str, str], suffix: str) -> bool:
    if sidecar.name == f"{suffix}.json":
        return True
    try:
        name = parse_name(sidecar.name)
    except InputError:
        return False
    return name.suffix == suffix and name.entities.items() <= entities.items()


def _size(content: Mapping[str, Any], sidecar: Path) -> tuple[float, float]:
    """Return rows and columns from ``PixelSize``, which names columns (x) first."""
    size, unit = content["PixelSize"], content.get("PixelSizeUnits", "um")
    numbers = size if isinstance(size, list) else [size]
    usable = len(numbers) in (1, 2, 3) and all(isinstance(one, int | float) and one > 0 for one in numbers)
    factor = _UNITS_UM.get(str(unit).replace("µ", "u").replace("μ", "u"))
    if not usable or factor is None:
        raise InputError(
            sidecar,
            found=f"PixelSize {size!r} in {unit!r}",
            expected="two positive numbers, in mm, um or nm",
            remedy="correct it, or give --pixel-size",
        )
    columns, rows = (float(numbers[0]) * factor, float(numbers[min(1, len(numbers) - 1)]) * factor)
    return rows, columns
