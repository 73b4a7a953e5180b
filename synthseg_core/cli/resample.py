"""``synthseg resample``: a scan at 1 mm, on the grid of the label maps at 1 mm; no network is needed."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

from synthseg_core.cli.outputs import add_log_arguments, check_outputs, reason_kept, refuse_repeats
from synthseg_core.system.atomic import write_json
from synthseg_core.system.file_identity import sha256_of

_OUTPUTS: dict[str, tuple[str, ...]] = {"resampled": (".nii", ".nii.gz", ".mgz", ".npz"), "sidecar": (".json",)}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Fill the parser of this subcommand."""
    parser.add_argument("scan", type=Path, metavar="SCAN", help="scan: .nii, .nii.gz, .mgz, .mgh or .npz")
    parser.add_argument("--volume", type=int, metavar="N", help="volume of a 4-D file, counted from 0 (default: first)")
    parser.add_argument("--source", metavar="URI", help="name of the scan for the sidecar (default: its file name)")
    out = parser.add_argument_group("outputs (at least one)")
    out.add_argument("--resampled", type=Path, metavar="IMAGE", help="the scan at 1 mm")
    out.add_argument("--sidecar", type=Path, metavar="JSON", help="what it was made from")
    add_log_arguments(out)


def run(args: argparse.Namespace) -> int:
    """Resample and write; the reason of a failure goes to ``--log-json`` too."""
    outputs: dict[str, Path | None] = {name: getattr(args, name) for name in _OUTPUTS}
    refuse_repeats({"the scan": args.scan}, {**outputs, "log_json": args.log_json})
    with reason_kept("resample", args.log_json, args.scan, attempt=args.attempt):
        check_outputs("resample", outputs, _OUTPUTS)
        _resample(args)
    return 0


def _resample(args: argparse.Namespace) -> None:
    from synthseg_core.images.reading import read_scan
    from synthseg_core.images.writing import write_volume
    from synthseg_core.segmentation.conform import scan_at
    from synthseg_core.segmentation.sidecars import Origin, resampled_sidecar

    scan = read_scan(args.scan, volume=args.volume)
    for line in scan.warnings:
        print(f"synthseg resample: warning: {args.scan}: {line}", file=sys.stderr)
    volume, interpolated = scan_at(scan, 1.0)
    if args.resampled is not None:
        write_volume(args.resampled, volume, like=scan, dtype=np.float32)
    if args.sidecar is not None:
        origin = Origin(args.source or args.scan.name, sha256_of(args.scan), args.volume)
        write_json(args.sidecar, resampled_sidecar(scan, origin, interpolated=interpolated))
