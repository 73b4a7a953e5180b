"""Where a scan came from, as sidecars say it; without torch, so that commands without a network can use it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from synthseg_core import __version__
from synthseg_core.bids.description import CODE_NAME
from synthseg_core.images.reading import Scan

ONE_MM = "1 mm isotropic, covering the field of view of the scan"
"""What ``res-1mm`` means."""


@dataclass(frozen=True)
class Origin:
    """Where a scan came from.

    Parameters
    ----------
    source
        How to name the scan: a BIDS URI or a path that means something beside the outputs.
    sha256
        Of the file.
    volume
        Which volume of a 4-D file was taken, counted from 0; ``None``: the only or the first one.
    """

    source: str
    sha256: str
    volume: int | None = None


def common_entries(origin: Origin, description: str) -> dict[str, Any]:
    """Return the entries that BIDS wants of every image that is made from a scan and lies in its space."""
    return {"Description": description, "Sources": [origin.source], "SpatialReference": origin.source}


def generated_by() -> list[dict[str, str]]:
    """Return what made a file, in the form of BIDS."""
    return [{"Name": CODE_NAME, "Version": __version__}]


def source_entry(scan: Scan, origin: Origin) -> dict[str, Any]:
    """Return what identifies a scan."""
    return {
        "File": scan.source.name,
        "SHA256": origin.sha256,
        "Volume": origin.volume,
        "ShapeVoxels": list(scan.volume.shape),
        "VoxelSizeMm": [round(edge, 6) for edge in scan.volume.voxel_size],
    }


def resampled_sidecar(scan: Scan, origin: Origin, *, interpolated: bool) -> dict[str, Any]:
    """Return the content of the JSON file beside a scan at 1 mm.

    Parameters
    ----------
    interpolated
        Whether voxels were computed; a scan that has this grid already is copied.
    """
    how = "low-pass filtered where voxels grow, then interpolated linearly" if interpolated else "on its own grid"
    return {
        **common_entries(origin, f"The scan at 1 mm, {how}; intensities are those of the scan"),
        "SkullStripped": False,
        "Resolution": ONE_MM,
        "GeneratedBy": generated_by(),
        "Source": source_entry(scan, origin),
        "Warnings": list(scan.warnings),
    }
