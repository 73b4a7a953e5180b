"""``synthseg translate apply``: a scan in another contrast, on its own grid."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from synthseg_core.cli.options import add_hardware_options
from synthseg_core.cli.outputs import add_log_arguments, check_outputs, reason_kept, refuse_repeats

if TYPE_CHECKING:
    from synthseg_core.translation.stacks import ApplyOptions, StackTranslator

_IMAGES = (".nii", ".nii.gz", ".mgz")
_OUTPUTS: dict[str, tuple[str, ...]] = {"image": _IMAGES, "std": _IMAGES, "sidecar": (".json",)}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("scan", type=Path, metavar="SCAN", help="scan: .nii, .nii.gz, .mgz, .mgh or .npz")
    parser.add_argument("--volume", type=int, metavar="N", help="volume of a 4-D file, counted from 0 (default: first)")
    parser.add_argument("--source", metavar="URI", help="name of the scan for the sidecar (default: its file name)")
    add_translator_options(parser)
    out = parser.add_argument_group("outputs (at least one)")
    out.add_argument("--image", type=Path, metavar="IMAGE", help="the translated scan")
    out.add_argument(
        "--std", type=Path, metavar="IMAGE", help="standard deviation over samples or planes, of two or more"
    )
    out.add_argument("--sidecar", type=Path, metavar="JSON", help="what it was made from, and that it is synthetic")
    add_log_arguments(out)


def add_translator_options(parser: argparse.ArgumentParser) -> None:
    """Add what says how scans are translated."""
    group = parser.add_argument_group("translation")
    group.add_argument("--translator", type=Path, required=True, metavar="CARD", help="card of a translator, or folder")
    group.add_argument("--to", metavar="NAME", help="domain to translate to")
    group.add_argument(
        "--from", dest="source_domain", metavar="NAME", help="domain of the scan; one of the two is enough"
    )
    group.add_argument(
        "--planes",
        nargs="+",
        choices=("axial", "coronal", "sagittal"),
        default=[],
        metavar="PLANE",
        help="translate in each of these and take the mean (default: in that of the translator)",
    )
    group.add_argument("--samples", type=int, default=1, metavar="K", help="translations to average (default: 1)")
    group.add_argument("--seed", type=int, default=0, metavar="N", help="of the noise (default: 0)")
    group.add_argument(
        "--tile", type=int, metavar="PIXELS", help="edge of the tiles (default: whole slices if not large)"
    )
    group.add_argument("--overlap", type=int, metavar="PIXELS", help="of tiles (default: a quarter)")
    group.add_argument("--batch-size", type=int, default=8, metavar="N", help="tiles at once on a GPU (default: 8)")
    add_hardware_options(group)


def read_translator_options(args: argparse.Namespace) -> tuple[StackTranslator, ApplyOptions]:
    """Return translator and options of :func:`add_translator_options`; refuse what does not fit together."""
    from synthseg_core.networks.devices import use_threads
    from synthseg_core.translation.card import read_translator
    from synthseg_core.translation.stacks import ApplyOptions, StackTranslator

    options = ApplyOptions(
        args.seed, args.samples, args.tile, args.overlap, args.batch_size, tuple(dict.fromkeys(args.planes))
    )
    use_threads(args.threads)
    card = read_translator(args.translator)
    return StackTranslator(card, *card.direction(args.source_domain, args.to), args.device), options


def run(args: argparse.Namespace) -> int:
    """Translate and write; the reason of a failure goes to ``--log-json`` too."""
    outputs: dict[str, Path | None] = {name: getattr(args, name) for name in _OUTPUTS}
    refuse_repeats({"the scan": args.scan}, {**outputs, "log_json": args.log_json})
    with reason_kept("translate apply", args.log_json, args.scan, attempt=args.attempt):
        check_outputs("translate apply", outputs, _OUTPUTS)
        _apply(args)
    return 0


def _apply(args: argparse.Namespace) -> None:
    from synthseg_core.errors import UsageError
    from synthseg_core.images.reading import read_scan
    from synthseg_core.images.writing import write_volume
    from synthseg_core.segmentation.sidecars import Origin
    from synthseg_core.system.atomic import write_json
    from synthseg_core.system.file_identity import sha256_of
    from synthseg_core.system.progress import CountLine
    from synthseg_core.translation.apply import translate_scan, translated_sidecar

    translator, options = read_translator_options(args)
    if args.std is not None and options.samples * max(len(options.planes), 1) < 2:
        raise UsageError("--std", found="one sample", expected="two or more", remedy="add --samples 5, or leave it out")
    scan = read_scan(args.scan, volume=args.volume)
    for line in scan.warnings:
        print(f"synthseg translate apply: warning: {args.scan}: {line}", file=sys.stderr)
    with CountLine("translating slices") as progress:
        result = translate_scan(scan, translator, options, progress)
    if args.image is not None:
        write_volume(args.image, result.image, like=scan, dtype=result.image.data.dtype)
    if args.std is not None and result.std is not None:
        write_volume(args.std, result.std, like=scan)
    if args.sidecar is not None:
        origin = Origin(args.source or args.scan.name, sha256_of(args.scan), args.volume)
        write_json(args.sidecar, translated_sidecar(scan, origin, translator, options, result))
