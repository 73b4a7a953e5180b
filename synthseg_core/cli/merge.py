"""``synthseg merge``: tissues of the whole head around a segmentation of the brain."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

from synthseg_core.cli.options import add_fold_options, add_hardware_options, fold_options
from synthseg_core.cli.outputs import add_log_arguments, check_outputs, reason_kept, refuse_repeats
from synthseg_core.models.card import ModelCard
from synthseg_core.models.families import require_options
from synthseg_core.models.registry import DEFAULT_MODEL, load_card
from synthseg_core.system.atomic import write_json, write_text
from synthseg_core.system.file_identity import sha256_of

_OUTPUTS: dict[str, tuple[str, ...]] = {
    "dseg": (".nii", ".nii.gz", ".mgz", ".npz"),
    **{"sidecar": (".json",), "labels": (".tsv",), "lut": (".txt",)},
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Fill the parser of this subcommand."""
    parser.add_argument("scan", type=Path, metavar="SCAN", help="the scan that was segmented")
    parser.add_argument(
        "--segmentation", type=Path, required=True, metavar="IMAGE", help="its label map on its own grid, which stays"
    )
    parser.add_argument("--merge-head", required=True, metavar="NAME|CARD", help="model of the head, such as siam-0.3")
    parser.add_argument(
        "--model",
        default=DEFAULT_MODEL,
        metavar="NAME|CARD",
        help="model of the label map, for the names of labels",
    )
    parser.add_argument("--weights", type=Path, metavar="DIR", help="folder with the weights (default: usual places)")
    add_hardware_options(parser)
    parser.add_argument("--volume", type=int, metavar="N", help="volume of a 4-D file, counted from 0 (default: first)")
    parser.add_argument("--source", metavar="URI", help="name of the scan for the sidecar (default: its file name)")
    parser.add_argument(
        "--segmentation-source", metavar="URI", help="name of the segmentation for the sidecar (default: its file name)"
    )
    parser.add_argument("--ct", action="store_true", help="the scan is a CT in Hounsfield units")
    add_fold_options(parser)
    out = parser.add_argument_group("outputs (at least one)")
    out.add_argument("--dseg", type=Path, metavar="IMAGE", help="label map of both on the scan's own grid")
    out.add_argument("--sidecar", type=Path, metavar="JSON", help="provenance and warnings")
    out.add_argument("--labels", type=Path, metavar="TSV", help="what the labels mean, in the form of BIDS")
    out.add_argument("--lut", type=Path, metavar="TXT", help="the same for FreeSurfer's viewers")
    add_log_arguments(out)


def run(args: argparse.Namespace) -> int:
    """Segment the head, merge and write; the reason of a failure goes to ``--log-json`` too."""
    outputs: dict[str, Path | None] = {name: getattr(args, name) for name in _OUTPUTS}
    inputs = {"the scan": args.scan, "the segmentation": args.segmentation}
    refuse_repeats(inputs, {**outputs, "log_json": args.log_json})
    with reason_kept("merge", args.log_json, args.scan, attempt=args.attempt):
        check_outputs("merge", outputs, _OUTPUTS)
        _merge(args)
    return 0


def _merge(args: argparse.Namespace) -> None:
    brain, head = load_card(args.model), load_card(args.merge_head)
    folds = fold_options(args)
    require_options(head, folds)
    from synthseg_core.images.reading import read_scan, read_stored
    from synthseg_core.images.writing import write_volume
    from synthseg_core.labels.viewers import bids_table, freesurfer_table
    from synthseg_core.models.loading import load_models
    from synthseg_core.networks.devices import choose_device, use_threads
    from synthseg_core.segmentation.merge import HEAD_OFFSET, merge_head, merged_meanings, require_grid
    from synthseg_core.segmentation.segment import segment_scan
    from synthseg_core.segmentation.segmenter import SegmentOptions
    from synthseg_core.segmentation.sidecars import Origin, Provenance

    entries = merged_meanings([brain.labels], head.labels)
    device = choose_device(args.device)
    use_threads(args.threads)
    scan = read_scan(args.scan, volume=args.volume)
    inside = read_stored(args.segmentation)
    require_grid(inside, scan.volume, args.segmentation)  # before the long part
    models = load_models(head, weights=args.weights, device=device)
    options = SegmentOptions(ct=args.ct, **folds)
    result = segment_scan(scan, models, options)
    for line in result.warnings:
        print(f"synthseg merge: warning: {args.scan}: {line}", file=sys.stderr)
    merged = merge_head(inside, result.label_map_on(result.record.source), args.segmentation)
    if args.dseg is not None:
        write_volume(args.dseg, merged, like=scan, dtype=np.int32)
    if args.labels is not None:
        write_text(args.labels, bids_table(entries))
    if args.lut is not None:
        write_text(args.lut, freesurfer_table(entries))
    if args.sidecar is not None:
        origin = Origin(args.source or args.scan.name, sha256_of(args.scan), args.volume)
        made = Provenance(scan, origin, result, models.segmentation, options).label_map()
        write_json(args.sidecar, _sidecar(made, args, brain, HEAD_OFFSET))


def _sidecar(made: dict[str, object], args: argparse.Namespace, brain: ModelCard, offset: int) -> dict[str, object]:
    """Return the sidecar of the head's label map as that of the merged one."""
    sources = made["Sources"]
    assert isinstance(sources, list)
    return {
        **{key: value for key, value in made.items() if key not in ("Volumes", "Channels", "Resolution")},
        "Description": f"{brain.title}, with the tissues of the head around it, whose labels are {offset} larger",
        "Sources": [*sources, args.segmentation_source or args.segmentation.name],
        "Segmentation": {"File": args.segmentation.name, "SHA256": sha256_of(args.segmentation)},
        "SegmentationModel": {"Name": brain.name},
        "HeadOffset": offset,
    }
