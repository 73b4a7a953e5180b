"""``synthseg priors``: estimate intensity priors from scans and their label maps."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from synthseg_core.cli.options import label_list
from synthseg_core.images.pairs import match
from synthseg_core.labels.lists import values_text
from synthseg_core.synth.prior_estimation import (
    SCALES,
    BlockPriors,
    Scale,
    ScanStatistics,
    combine,
    measure,
    priors_text,
    saturated_classes,
    scans_text,
)
from synthseg_core.system.atomic import check_writable, write_text
from synthseg_core.system.progress import CountLine


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument(
        "--images", type=Path, nargs="+", required=True, metavar="DIR", help="folder of scans; one per modality"
    )
    parser.add_argument(
        "--maps",
        type=Path,
        required=True,
        metavar="DIR",
        help="folder of their label maps, on the same grids and in the same order",
    )
    parser.add_argument(
        "--labels", default="generation_54", metavar="LIST", help="label list, a file or generation_54 (default)"
    )
    parser.add_argument(
        "--classes", default="class", metavar="COLUMN", help="column of the list with the classes; default: class"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="TSV", help="priors to write")
    parser.add_argument("--per-scan", type=Path, metavar="TSV", help="also write the statistics of each scan")
    parser.add_argument(
        "--scale",
        choices=SCALES,
        default="all",
        help="which voxels' percentiles become 0 and 255: all (default), those above zero, or none",
    )
    parser.add_argument("--ignore-unknown", action="store_true", help="leave voxels out whose label is not in the list")


def run(options: argparse.Namespace) -> int:
    """Measure the scans and write the tables."""
    outputs = [path for path in (options.out, options.per_scan) if path]
    for path in outputs:
        check_writable(path)
    labels = label_list(options.labels, options.classes)
    cases = match(options.images, options.maps)
    with CountLine("measuring scans") as progress:
        found = measure(cases, labels, scale=options.scale, ignore_unknown=options.ignore_unknown, progress=progress)
    blocks = combine(found)
    if options.per_scan:
        write_text(options.per_scan, scans_text(found, labels, scale=options.scale))
    write_text(options.out, priors_text(blocks, labels, scale=options.scale))
    for line in (*_warnings(blocks, len(cases)), *_saturation(found, options.scale)):
        print(f"synthseg priors: warning: {line}", file=sys.stderr)
    modalities = ", ".join(f"{block.modality} {block.channel}" for block in blocks)
    print(
        f"{options.out}: {labels.n_classes} classes; scans: {len(cases)}; blocks (modality and channel): {modalities}"
    )
    return 0


def _warnings(blocks: Sequence[BlockPriors], n_cases: int) -> Iterator[str]:
    if n_cases == 1:
        yield "one case only: all standard deviations over cases are 0"
    for block in blocks:
        absent = [number for number, subjects in enumerate(block.subjects) if subjects == 0]
        if absent:
            place = f"{block.modality}, channel {block.channel}"
            yield f"{place}: no scan has class {values_text(absent)}; the values of all other tissue are written"


def _saturation(found: Sequence[ScanStatistics], scale: Scale) -> Iterator[str]:
    saturated = saturated_classes(found) if scale != "as-stored" else ()
    if saturated:
        hint = "; if the scans are skull-stripped, use --scale above-zero" if scale == "all" else ""
        yield f"in some scan most of class {values_text(saturated)} lies at the upper end, where it is clipped{hint}"
