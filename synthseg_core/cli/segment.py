"""``synthseg segment``: one scan, the outputs that are named, nothing else."""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from synthseg_core.cli.options import (
    add_fold_options,
    add_model_options,
    crop_of,
    fold_options,
    refuse_two_crops,
    require_translation,
)
from synthseg_core.cli.outputs import add_log_arguments, check_outputs, reason_kept, refuse_repeats
from synthseg_core.models.families import require_options
from synthseg_core.models.nnunet_plan import folds_of
from synthseg_core.models.registry import load_card, with_autocrop
from synthseg_core.system.atomic import write_json, write_text
from synthseg_core.system.file_identity import sha256_of

if TYPE_CHECKING:
    from synthseg_core.images.reading import Scan
    from synthseg_core.models.loading import LoadedModel
    from synthseg_core.segmentation.segment import Segmentation
    from synthseg_core.segmentation.segmenter import SegmentOptions
    from synthseg_core.segmentation.sidecars import Origin, Provenance


_IMAGE, _NIFTI, _JSON = (".nii", ".nii.gz", ".mgz", ".npz"), (".nii", ".nii.gz"), (".json",)
# Output -> the extensions that its file may have; --volumes 3 in place of --volume 3 must not make a file called 3.
OUTPUTS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("dseg", "dseg_1mm", "mask", "posteriors", "resampled"), _IMAGE),
    **{"posteriors_1mm": _NIFTI, "volumes": (".tsv",), "decision": (".npz",)},
    **dict.fromkeys(("sidecar", "sidecar_1mm", "mask_sidecar", "posteriors_sidecar"), _JSON),
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
    sidecar_1mm: Path | None
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
        sidecars = (self.sidecar, self.sidecar_1mm, self.mask_sidecar, self.posteriors_sidecar)
        return any((self.decision, *sidecars))


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
    out.add_argument("--sidecar-1mm", type=Path, metavar="JSON", help="the same once more, beside the one at 1 mm")
    out.add_argument("--mask-sidecar", type=Path, metavar="JSON", help="the same for the brain mask")
    out.add_argument(
        "--posteriors-sidecar", type=Path, metavar="JSON", help="the same for posteriors at 1 mm, with their channels"
    )
    add_log_arguments(out)


def write_outputs(outputs: Outputs, made: Provenance) -> None:
    """Write everything that is wanted, except the decision."""
    _write_label_maps(outputs, made)
    _write_posteriors(outputs, made)
    if outputs.volumes is not None:
        write_text(outputs.volumes, made.result.volumes.to_tsv())
    sidecars = {
        outputs.sidecar: made.label_map,
        outputs.sidecar_1mm: made.label_map,
        outputs.mask_sidecar: made.mask,
        outputs.posteriors_sidecar: made.posteriors,
    }
    for path, content in sidecars.items():
        if path is not None:
            write_json(path, content())


def _write_label_maps(outputs: Outputs, made: Provenance) -> None:
    from synthseg_core.images.volume import Volume
    from synthseg_core.images.writing import write_volume

    scan, result = made.scan, made.result
    if outputs.dseg is not None or outputs.mask is not None:
        labels = result.label_map_on(result.record.source)
        if outputs.dseg is not None:
            write_volume(outputs.dseg, labels, like=scan, dtype=np.int32)
        if outputs.mask is not None:
            inside = np.isin(labels.data, made.model.card.total_labels)
            write_volume(outputs.mask, Volume(inside, labels.affine), like=scan, dtype=np.uint8)
    if outputs.dseg_1mm is not None:
        labels = result.label_map_on(result.record.isotropic_grid(1.0))
        write_volume(outputs.dseg_1mm, labels, like=scan, dtype=np.int32)


def _write_posteriors(outputs: Outputs, made: Provenance) -> None:
    from synthseg_core.images.writing import write_channels, write_volume

    scan, result = made.scan, made.result
    if outputs.posteriors is not None:
        write_volume(outputs.posteriors, result.posteriors, like=scan, dtype=np.float32)
    if outputs.posteriors_1mm is not None:
        grid = result.record.isotropic_grid(1.0)
        channels = result.posteriors_on(grid)
        write_channels(outputs.posteriors_1mm, channels, len(result.labels), like=scan, affine=grid.affine)
    if outputs.resampled is not None:
        write_volume(outputs.resampled, result.resampled or scan.volume, like=scan, dtype=np.float32)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Fill the parser of this subcommand."""
    parser.add_argument("scan", type=Path, metavar="SCAN", help="scan: .nii, .nii.gz, .mgz, .mgh or .npz")
    model = add_model_options(parser)
    model.add_argument(
        "--fast", action="store_true", help="no flip averaging, simpler clean-up: half the time; of folds the first"
    )
    scan = parser.add_argument_group("scan")
    scan.add_argument("--ct", action="store_true", help="the scan is a CT in Hounsfield units: clip to 0..80")
    scan.add_argument(
        "--crop", type=int, nargs="+", metavar="N", help="work on a centred crop, 1 or 3 numbers of voxels"
    )
    scan.add_argument(
        "--autocrop", action="store_true", help="work on the brain and a margin, which a coarse network finds first"
    )
    scan.add_argument("--volume", type=int, metavar="N", help="volume of a 4-D file, counted from 0 (default: first)")
    scan.add_argument("--source", metavar="URI", help="name of the scan for the sidecar (default: its file name)")
    scan.add_argument(
        "--translate-before", type=Path, metavar="CARD", help="segment a translation of the scan by this translator"
    )
    scan.add_argument("--translate-to", metavar="NAME", help="contrast to translate it to, which the model knows")
    scan.add_argument(
        "--translated",
        type=Path,
        metavar="IMAGE",
        help="segment this translation of it, from 'synthseg translate apply'",
    )
    add_fold_options(parser)
    add_output_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Segment and write; the reason of a failure goes to ``--log-json`` too."""
    inputs = {"the scan": args.scan, "its translation": args.translated}
    refuse_repeats(inputs, {name: getattr(args, name) for name in (*OUTPUTS, "log_json")})
    with reason_kept("segment", args.log_json, args.scan, attempt=args.attempt):
        _segment(args)
    return 0


def _segment(args: argparse.Namespace) -> None:
    outputs = Outputs.of(args)
    card, crop, folds = load_card(args.model), crop_of(args.crop), fold_options(args)
    require_options(card, {"crop": crop, "autocrop": args.autocrop, **folds})
    refuse_two_crops(args.autocrop, crop)
    card = with_autocrop(card) if args.autocrop else card
    require_translation(args.translate_before, args.translate_to, ct=args.ct, image=args.translated)
    if "folds" in folds:
        folds_of(card, folds["folds"])
    # Everything cheap has been checked; only now the second that torch takes to load.
    from synthseg_core.images.reading import read_scan
    from synthseg_core.models.loading import load_models
    from synthseg_core.networks.devices import choose_device, use_threads
    from synthseg_core.segmentation.segment import segment_scan
    from synthseg_core.segmentation.segmenter import SegmentOptions
    from synthseg_core.segmentation.sidecars import Origin, Provenance

    device = choose_device(args.device)
    use_threads(args.threads)
    scan = read_scan(args.scan, volume=args.volume)
    models = load_models(card, weights=args.weights, device=device)
    options = SegmentOptions(fast=args.fast, ct=args.ct, crop=crop, posteriors=args.posteriors is not None, **folds)
    names_scan = outputs.name_scan or args.translated is not None
    origin = Origin(args.source or args.scan.name, sha256_of(args.scan) if names_scan else "", args.volume)
    seen, translation = _seen(args, scan, origin)
    result = segment_scan(seen, models, options)
    for line in result.warnings:
        print(f"synthseg segment: warning: {args.scan}: {line}", file=sys.stderr)
    write_outputs(outputs, Provenance(scan, origin, result, models.segmentation, options, translation))
    if outputs.decision is not None:
        _write_decision(outputs.decision, result, models.segmentation, origin, options)


def _seen(args: argparse.Namespace, scan: Scan, origin: Origin) -> tuple[Scan, dict[str, Any] | None]:
    """Return what the model sees: the scan, or its translation with what sidecars say about that."""
    if args.translated is not None:
        from synthseg_core.translation.apply import read_translated

        return read_translated(args.translated, scan, origin)
    return (scan, None) if args.translate_before is None else _translated(args, scan)


def _translated(args: argparse.Namespace, scan: Scan) -> tuple[Scan, dict[str, Any]]:
    """Return the scan in the contrast that the model knows."""
    from synthseg_core.translation.apply import translated_for_segmentation
    from synthseg_core.translation.card import read_translator
    from synthseg_core.translation.stacks import ApplyOptions, StackTranslator

    card = read_translator(args.translate_before)
    translator = StackTranslator(card, *card.direction(None, args.translate_to), args.device)
    return translated_for_segmentation(scan, translator, ApplyOptions())


def _write_decision(
    path: Path, result: Segmentation, model: LoadedModel, origin: Origin, options: SegmentOptions
) -> None:
    from synthseg_core.segmentation.class_maps import MadeFrom, write_class_maps
    from synthseg_core.segmentation.segment import decision_of

    basis = MadeFrom(
        model=model.card.name,
        labels=model.card.labels.labels,
        weights_sha256=model.weights.sha256,
        scan_sha256=origin.sha256,
        volume=origin.volume,
        fast=options.fast,
        ct=options.ct,
    )
    write_class_maps(path, decision_of(result, basis))
