"""Files that ``synthseg segment`` writes: which there are, and how each is made from a segmentation."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from synthseg_core.cli.outputs import check_outputs
from synthseg_core.system.atomic import write_json, write_text

if TYPE_CHECKING:
    from synthseg_core.segmentation.sidecars import Provenance

_IMAGE, _NIFTI, _JSON = (".nii", ".nii.gz", ".mgz", ".npz"), (".nii", ".nii.gz"), (".json",)
# Output -> the extensions that its file may have; --volumes 3 in place of --volume 3 must not make a file called 3.
OUTPUTS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("dseg", "dseg_1mm", "mask", "posteriors", "resampled"), _IMAGE),
    **{"posteriors_1mm": _NIFTI, "volumes": (".tsv",), "decision": (".npz",)},
    **dict.fromkeys(("sidecar", "mask_sidecar", "posteriors_sidecar"), _JSON),
}


@dataclass(frozen=True)
class Outputs:
    """Files to write; ``None``: not wanted."""

    dseg: Path | None
    dseg_1mm: Path | None
    mask: Path | None
    posteriors: Path | None
    posteriors_1mm: Path | None
    resampled: Path | None
    volumes: Path | None
    decision: Path | None
    sidecar: Path | None
    mask_sidecar: Path | None
    posteriors_sidecar: Path | None

    @classmethod
    def of(cls, args: argparse.Namespace) -> Outputs:
        """Take the outputs from parsed arguments; refuse none at all, unknown formats and closed folders."""
        wanted = {name: getattr(args, name) for name in OUTPUTS}
        check_outputs("segment", wanted, OUTPUTS)
        return cls(**wanted)

    @property
    def name_scan(self) -> bool:
        """Whether some of them tell which scan they come from, for which all of its file is read once more."""
        return any((self.decision, self.sidecar, self.mask_sidecar, self.posteriors_sidecar))


def add_output_arguments(parser: argparse.ArgumentParser) -> None:
    """Add a flag for each output, and for the reason of a failure."""
    out = parser.add_argument_group("outputs (at least one)")
    out.add_argument("--dseg", type=Path, metavar="IMAGE", help="label map on the scan's own grid")
    out.add_argument("--dseg-1mm", type=Path, metavar="IMAGE", help="label map at 1 mm")
    out.add_argument(
        "--mask", type=Path, metavar="IMAGE", help="brain mask on the scan's own grid: any structure, fluid included"
    )
    out.add_argument("--posteriors", type=Path, metavar="IMAGE", help="posteriors on the network's grid, 4-D")
    out.add_argument("--posteriors-1mm", type=Path, metavar="IMAGE", help="posteriors at 1 mm, 4-D, NIfTI only")
    out.add_argument("--resampled", type=Path, metavar="IMAGE", help="the scan on the network's grid")
    out.add_argument("--volumes", type=Path, metavar="TSV", help="soft and hard volumes of the structures, mm^3")
    out.add_argument("--decision", type=Path, metavar="NPZ", help="class indices that parcels and scores start from")
    out.add_argument("--sidecar", type=Path, metavar="JSON", help="provenance and warnings, for the label maps")
    out.add_argument("--mask-sidecar", type=Path, metavar="JSON", help="the same for the brain mask")
    out.add_argument(
        "--posteriors-sidecar", type=Path, metavar="JSON", help="the same for posteriors at 1 mm, with their channels"
    )
    out.add_argument("--log-json", type=Path, metavar="JSON", help="if the scan fails, the reason as one JSON line")


def write_outputs(outputs: Outputs, made: Provenance) -> None:
    """Write everything that is wanted, except the decision."""
    _write_label_maps(outputs, made)
    _write_posteriors(outputs, made)
    if outputs.volumes is not None:
        write_text(outputs.volumes, made.result.volumes.to_tsv())
    sidecars = {
        outputs.sidecar: made.label_map,
        outputs.mask_sidecar: made.mask,
        outputs.posteriors_sidecar: made.posteriors,
    }
    for path, content in sidecars.items():
        if path is not None:
            write_json(path, content())


def _write_label_maps(outputs: Outputs, made: Provenance) -> None:
    from synthseg_core.images.reading import write_volume
    from synthseg_core.images.volume import Volume

    scan, result = made.scan, made.result
    if outputs.dseg is not None or outputs.mask is not None:
        labels = result.label_map_on(result.record.source)
        if outputs.dseg is not None:
            write_volume(outputs.dseg, labels, like=scan, dtype=np.int32)
        if outputs.mask is not None:
            write_volume(outputs.mask, Volume(labels.data != 0, labels.affine), like=scan, dtype=np.uint8)
    if outputs.dseg_1mm is not None:
        labels = result.label_map_on(result.record.isotropic_grid(1.0))
        write_volume(outputs.dseg_1mm, labels, like=scan, dtype=np.int32)


def _write_posteriors(outputs: Outputs, made: Provenance) -> None:
    from synthseg_core.images.reading import write_channels, write_volume

    scan, result = made.scan, made.result
    if outputs.posteriors is not None:
        write_volume(outputs.posteriors, result.posteriors, like=scan, dtype=np.float32)
    if outputs.posteriors_1mm is not None:
        grid = result.record.isotropic_grid(1.0)
        channels = result.posteriors_on(grid)
        write_channels(outputs.posteriors_1mm, channels, len(result.labels), like=scan, affine=grid.affine)
    if outputs.resampled is not None:
        write_volume(outputs.resampled, result.resampled or scan.volume, like=scan, dtype=np.float32)
