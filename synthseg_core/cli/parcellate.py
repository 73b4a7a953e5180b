"""``synthseg parcellate``: parcels of the cortex for a scan that was segmented, without segmenting it again."""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from synthseg_core.cli.options import add_model_options
from synthseg_core.cli.outputs import add_log_arguments, check_outputs, flag, reason_kept, refuse_repeats
from synthseg_core.errors import UsageError
from synthseg_core.models.card import ModelCard
from synthseg_core.models.registry import companion, load_card
from synthseg_core.segmentation.class_maps import ClassMaps, read_class_maps, require_model
from synthseg_core.system.atomic import write_json, write_text
from synthseg_core.system.file_identity import sha256_of

if TYPE_CHECKING:
    from synthseg_core.images.reading import Scan
    from synthseg_core.models.loading import LoadedModel
    from synthseg_core.segmentation.parcellate import LabelMapOn, ScanParcels

_IMAGES = (".nii", ".nii.gz", ".mgz", ".npz")
_JSON = (".json",)
_OUTPUTS = {"dseg": _IMAGES, "dseg_1mm": _IMAGES, "volumes": (".tsv",), "sidecar": _JSON, "sidecar_1mm": _JSON}
# Label map to write -> the one of the segmentation whose cortex it divides.
_SEGMENTATIONS = {"dseg": "segmentation", "dseg_1mm": "segmentation_1mm"}


@dataclass(frozen=True)
class Outputs:
    """Files to write; ``None``: not wanted."""

    dseg: Path | None
    dseg_1mm: Path | None
    volumes: Path | None
    sidecar: Path | None
    sidecar_1mm: Path | None

    @classmethod
    def of(cls, args: argparse.Namespace) -> Outputs:
        """Take the outputs from parsed arguments; refuse what could not be made or written."""
        wanted = {name: getattr(args, name) for name in _OUTPUTS}
        check_outputs("parcellate", wanted, _OUTPUTS)
        for name, needed in _SEGMENTATIONS.items():
            if wanted[name] is not None and getattr(args, needed) is None:
                raise UsageError(
                    flag(name),
                    found=f"no {flag(needed)}",
                    expected=f"the label map of 'synthseg segment {flag(name)}'",
                    remedy=f"add {flag(needed)}",
                )
        return cls(**wanted)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Fill the parser of this subcommand."""
    parser.add_argument("scan", type=Path, metavar="SCAN", help="the scan that was segmented")
    made = parser.add_argument_group("what 'synthseg segment' made of it")
    made.add_argument("--decision", type=Path, required=True, metavar="NPZ", help="its --decision")
    made.add_argument("--segmentation", type=Path, metavar="IMAGE", help="its --dseg, needed for --dseg")
    made.add_argument("--segmentation-1mm", type=Path, metavar="IMAGE", help="its --dseg-1mm, needed for --dseg-1mm")
    add_model_options(parser)
    names = parser.add_argument_group("names for the sidecar")
    names.add_argument("--source", metavar="URI", help="of the scan (default: its file name)")
    names.add_argument(
        "--segmentation-source", metavar="URI", help="of the segmentation (default: the file name of --segmentation)"
    )
    out = parser.add_argument_group("outputs (at least one)")
    out.add_argument("--dseg", type=Path, metavar="IMAGE", help="label map with parcels on the scan's own grid")
    out.add_argument("--dseg-1mm", type=Path, metavar="IMAGE", help="label map with parcels at 1 mm")
    out.add_argument("--volumes", type=Path, metavar="TSV", help="soft and hard volumes of the parcels, mm^3")
    out.add_argument("--sidecar", type=Path, metavar="JSON", help="provenance and warnings")
    out.add_argument("--sidecar-1mm", type=Path, metavar="JSON", help="the same once more, beside the one at 1 mm")
    add_log_arguments(out)


def run(args: argparse.Namespace) -> int:
    """Divide the cortex and write; the reason of a failure goes to ``--log-json`` too."""
    inputs = {"the scan": args.scan, "the decision": args.decision}
    inputs |= {f"the {flag(name)}": getattr(args, name) for name in _SEGMENTATIONS.values()}
    refuse_repeats(inputs, {name: getattr(args, name) for name in (*_OUTPUTS, "log_json")})
    with reason_kept("parcellate", args.log_json, args.scan, attempt=args.attempt):
        _parcellate(args)
    return 0


def _parcellate(args: argparse.Namespace) -> None:
    outputs = Outputs.of(args)
    card = load_card(args.model)
    companion(card, "parcellation")
    card.labels.cortex_channels()
    decision = read_class_maps(args.decision)
    require_model(args.decision, decision, card)
    # Everything cheap has been checked; only now the second that torch takes to load.
    from synthseg_core.images.reading import read_scan
    from synthseg_core.models.loading import load_companion
    from synthseg_core.networks.devices import choose_device, use_threads
    from synthseg_core.segmentation.parcellate import parcellate_scan, require_same_file

    device = choose_device(args.device)
    use_threads(args.threads)
    scan = read_scan(args.scan, volume=decision.basis.volume)
    sha256 = sha256_of(args.scan)
    require_same_file(decision, scan, sha256)
    maps = _segmentations(args, outputs, decision)
    model = load_companion(card, "parcellation", weights=args.weights, device=device)
    result = parcellate_scan(scan, decision, card, model, tuple(maps.values()))
    for line in result.warnings:
        print(f"synthseg parcellate: warning: {args.scan}: {line}", file=sys.stderr)
    _write_images(outputs, scan, result, tuple(maps))
    if outputs.volumes is not None:
        write_text(outputs.volumes, result.volumes.to_tsv())
    for path in (outputs.sidecar, outputs.sidecar_1mm):
        if path is not None:
            write_json(path, _sidecar(args, scan, sha256, (card, decision, model), result))


def _segmentations(args: argparse.Namespace, outputs: Outputs, decision: ClassMaps) -> dict[str, LabelMapOn]:
    """Read the label maps whose cortex is to be divided, by output."""
    from synthseg_core.images.label_maps import read_label_file
    from synthseg_core.segmentation.parcellate import LabelMapOn

    record = decision.record
    grids = {"dseg": record.source, "dseg_1mm": record.isotropic_grid(1.0)}
    paths = {name: getattr(args, _SEGMENTATIONS[name]) for name in grids if getattr(outputs, name) is not None}
    return {name: LabelMapOn(read_label_file(path), grids[name], path) for name, path in paths.items()}


def _write_images(outputs: Outputs, scan: Scan, result: ScanParcels, names: tuple[str, ...]) -> None:
    from synthseg_core.images.writing import write_volume

    for name, labels in zip(names, result.maps, strict=True):
        write_volume(getattr(outputs, name), labels, like=scan, dtype=np.int32)


def _sidecar(
    args: argparse.Namespace,
    scan: Scan,
    sha256: str,
    made_with: tuple[ModelCard, ClassMaps, LoadedModel],
    result: ScanParcels,
) -> dict[str, object]:
    from synthseg_core.segmentation.sidecars import Origin, Segmented, parcel_sidecar

    card, decision, model = made_with
    source = args.segmentation_source or (args.segmentation and args.segmentation.name)
    segmented = Segmented(card, decision, () if source is None else (source,))
    origin = Origin(args.source or args.scan.name, sha256, decision.basis.volume)
    return parcel_sidecar(scan, origin, segmented, model, result)
