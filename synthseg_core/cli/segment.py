"""``synthseg segment``: one scan, the outputs that are named, nothing else."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from synthseg_core.cli.crop import crop_of
from synthseg_core.cli.options import add_model_options
from synthseg_core.cli.outputs import refuse_repeats
from synthseg_core.cli.reasons import reason_kept
from synthseg_core.cli.segment_outputs import OUTPUTS, Outputs, add_output_arguments, write_outputs
from synthseg_core.models.registry import load_card
from synthseg_core.system.file_identity import sha256_of

if TYPE_CHECKING:
    from synthseg_core.models.loading import LoadedModel
    from synthseg_core.segmentation.scan_origin import Origin
    from synthseg_core.segmentation.segment import Segmentation, SegmentOptions


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
    add_output_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Segment and write; the reason of a failure goes to ``--log-json`` too."""
    refuse_repeats({"the scan": args.scan}, {name: getattr(args, name) for name in (*OUTPUTS, "log_json")})
    with reason_kept("segment", args.log_json, args.scan):
        _segment(args)
    return 0


def _segment(args: argparse.Namespace) -> None:
    outputs = Outputs.of(args)
    card = load_card(args.model)
    crop = crop_of(args.crop)
    # Everything cheap has been checked; only now the second that torch takes to load.
    from synthseg_core.images.reading import read_scan
    from synthseg_core.models.loading import load_models
    from synthseg_core.networks.devices import choose_device, use_threads
    from synthseg_core.segmentation.scan_origin import Origin
    from synthseg_core.segmentation.segment import SegmentOptions, segment_scan
    from synthseg_core.segmentation.sidecars import Provenance

    device = choose_device(args.device)
    use_threads(args.threads)
    scan = read_scan(args.scan, volume=args.volume)
    models = load_models(card, weights=args.weights, device=device)
    options = SegmentOptions(fast=args.fast, ct=args.ct, crop=crop, posteriors=args.posteriors is not None)
    result = segment_scan(scan, models, options)
    for line in result.warnings:
        print(f"synthseg segment: warning: {args.scan}: {line}", file=sys.stderr)
    origin = Origin(args.source or args.scan.name, sha256_of(args.scan) if outputs.name_scan else "", args.volume)
    write_outputs(outputs, Provenance(scan, origin, result, models.segmentation, options))
    if outputs.decision is not None:
        _write_decision(outputs.decision, result, models.segmentation, origin, options)


def _write_decision(
    path: Path, result: Segmentation, model: LoadedModel, origin: Origin, options: SegmentOptions
) -> None:
    from synthseg_core.segmentation.class_maps import Basis, write_decision
    from synthseg_core.segmentation.segment import decision_of

    basis = Basis(
        model=model.card.name,
        labels=model.card.labels.labels,
        weights_sha256=model.weights.sha256,
        scan_sha256=origin.sha256,
        volume=origin.volume,
        fast=options.fast,
        ct=options.ct,
    )
    write_decision(path, decision_of(result, basis))
