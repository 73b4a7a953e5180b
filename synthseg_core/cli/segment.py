"""``synthseg segment``: one scan, the outputs that are named, nothing else."""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from synthseg_core.atomic import write_json, write_text
from synthseg_core.cli.crop import crop_of
from synthseg_core.cli.model_options import add_model_options
from synthseg_core.cli.output_files import check_outputs, refuse_repeats
from synthseg_core.cli.reasons import reason_kept
from synthseg_core.file_identity import sha256_of
from synthseg_core.models import load_card

if TYPE_CHECKING:
    from synthseg_core.io import Scan
    from synthseg_core.loading import LoadedModel
    from synthseg_core.segment import Segmentation, SegmentOptions

# Output -> the extensions that its file may have; --volumes 3 in place of --volume 3 must not make a file called 3.
_OUTPUTS = {
    **dict.fromkeys(("dseg", "dseg_1mm", "posteriors", "resampled"), (".nii", ".nii.gz", ".mgz", ".npz")),
    **{"volumes": (".tsv",), "sidecar": (".json",), "decision": (".npz",)},
}


@dataclass(frozen=True)
class Outputs:
    """Files to write; ``None``: not wanted."""

    dseg: Path | None
    dseg_1mm: Path | None
    posteriors: Path | None
    resampled: Path | None
    volumes: Path | None
    sidecar: Path | None
    decision: Path | None

    @classmethod
    def of(cls, args: argparse.Namespace) -> Outputs:
        """Take the outputs from parsed arguments; refuse none at all, unknown formats and closed folders."""
        wanted = {name: getattr(args, name) for name in _OUTPUTS}
        check_outputs("segment", wanted, _OUTPUTS)
        return cls(**wanted)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Fill the parser of this subcommand."""
    parser.add_argument("scan", type=Path, metavar="SCAN", help="scan: .nii, .nii.gz, .mgz or .npz")
    model = add_model_options(parser)
    model.add_argument("--fast", action="store_true", help="no flip averaging, simpler clean-up: half the time")
    scan = parser.add_argument_group("scan")
    scan.add_argument("--ct", action="store_true", help="the scan is a CT in Hounsfield units: clip to 0..80")
    scan.add_argument(
        "--crop", type=int, nargs="+", metavar="N", help="work on a centred crop, 1 or 3 numbers of voxels"
    )
    scan.add_argument("--volume", type=int, metavar="N", help="volume of a 4-D file, counted from 0 (default: first)")
    scan.add_argument("--source", metavar="URI", help="name of the scan for the sidecar (default: its file name)")
    out = parser.add_argument_group("outputs (at least one)")
    out.add_argument("--dseg", type=Path, metavar="IMAGE", help="label map on the scan's own grid")
    out.add_argument("--dseg-1mm", type=Path, metavar="IMAGE", help="label map at 1 mm")
    out.add_argument("--posteriors", type=Path, metavar="IMAGE", help="posteriors on the network's grid, 4-D")
    out.add_argument("--resampled", type=Path, metavar="IMAGE", help="the scan on the network's grid")
    out.add_argument("--volumes", type=Path, metavar="TSV", help="soft and hard volumes of the structures, mm^3")
    out.add_argument("--sidecar", type=Path, metavar="JSON", help="provenance and warnings")
    out.add_argument("--decision", type=Path, metavar="NPZ", help="class indices that parcels and scores start from")
    out.add_argument("--log-json", type=Path, metavar="JSON", help="if the scan fails, the reason as one JSON line")


def run(args: argparse.Namespace) -> int:
    """Segment and write; the reason of a failure goes to ``--log-json`` too."""
    refuse_repeats({"the scan": args.scan}, {name: getattr(args, name) for name in (*_OUTPUTS, "log_json")})
    with reason_kept("segment", args.log_json, args.scan):
        _segment(args)
    return 0


def _segment(args: argparse.Namespace) -> None:
    outputs = Outputs.of(args)
    card = load_card(args.model)
    crop = crop_of(args.crop)
    # Everything cheap has been checked; only now the second that torch takes to load.
    from synthseg_core.devices import choose_device, use_threads
    from synthseg_core.io import read_scan
    from synthseg_core.loading import load_models
    from synthseg_core.segment import SegmentOptions, segment_scan

    device = choose_device(args.device)
    use_threads(args.threads)
    scan = read_scan(args.scan, volume=args.volume)
    models = load_models(card, weights=args.weights, device=device)
    options = SegmentOptions(fast=args.fast, ct=args.ct, crop=crop, posteriors=args.posteriors is not None)
    result = segment_scan(scan, models, options)
    for line in result.warnings:
        print(f"synthseg segment: warning: {args.scan}: {line}", file=sys.stderr)
    _write_images(outputs, scan, result)
    _write_tables(outputs, result)
    if outputs.decision is not None:
        _write_decision(outputs.decision, args, result, models.segmentation)
    if outputs.sidecar is not None:
        write_json(outputs.sidecar, _sidecar(args, scan, result, models.segmentation, options))


def _write_images(outputs: Outputs, scan: Scan, result: Segmentation) -> None:
    from synthseg_core.io import write_volume

    record = result.record
    if outputs.dseg is not None:
        write_volume(outputs.dseg, result.label_map_on(record.source), like=scan, dtype=np.int32)
    if outputs.dseg_1mm is not None:
        write_volume(outputs.dseg_1mm, result.label_map_on(record.isotropic_grid(1.0)), like=scan, dtype=np.int32)
    if outputs.posteriors is not None:
        write_volume(outputs.posteriors, result.posteriors, like=scan, dtype=np.float32)
    if outputs.resampled is not None:
        write_volume(outputs.resampled, result.resampled or scan.volume, like=scan, dtype=np.float32)


def _write_tables(outputs: Outputs, result: Segmentation) -> None:
    if outputs.volumes is not None:
        write_text(outputs.volumes, result.volumes.to_tsv())


def _write_decision(path: Path, args: argparse.Namespace, result: Segmentation, model: LoadedModel) -> None:
    from synthseg_core.decision import Basis, write_decision
    from synthseg_core.segment import decision_of

    basis = Basis(
        model=model.card.name,
        labels=model.card.labels.labels,
        weights_sha256=model.weights.sha256,
        scan_sha256=sha256_of(args.scan),
        volume=args.volume,
        fast=args.fast,
        ct=args.ct,
    )
    write_decision(path, decision_of(result, basis))


def _sidecar(
    args: argparse.Namespace, scan: Scan, result: Segmentation, model: LoadedModel, options: SegmentOptions
) -> dict[str, object]:
    from synthseg_core.provenance import Origin, sidecar

    origin = Origin(args.source or args.scan.name, sha256_of(args.scan), args.volume)
    return sidecar(scan, origin, result, model, options)
