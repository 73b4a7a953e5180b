"""``synthseg labels``: make the label list of one's own maps, and classes for voxels that nobody labelled."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from synthseg_core.cli.labels_cluster import add_cluster_arguments, cluster
from synthseg_core.errors import UsageError
from synthseg_core.labels.composing import ComposedList, compose, list_text
from synthseg_core.labels.counting import scan_label_maps
from synthseg_core.labels.known import COUNTS, FACTS, known_entries, list_entries, table_entries
from synthseg_core.system.atomic import check_writable, write_text
from synthseg_core.system.progress import CountLine
from synthseg_core.system.tables import read_tsv


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the actions and their options."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    scanning = _action(actions, "scan", _scan, "write the label list of a folder of label maps, or say what is wrong")
    scanning.add_argument(
        "folder", type=Path, metavar="FOLDER", help="folder of label maps of one shape and voxel size"
    )
    scanning.add_argument("--out", type=Path, required=True, metavar="TSV", help="label list to write")
    scanning.add_argument(
        "--names", type=Path, metavar="TSV", help="what you know about labels: value, name, side, counterpart, ..."
    )
    scanning.add_argument("--update", type=Path, metavar="TSV", help="label list whose rows and classes are kept")
    scanning.add_argument(
        "--add-counterparts", action="store_true", help="add left or right partners that no map contains"
    )
    packing = _action(actions, "pack", _pack, "put label maps into one file, which takes the place of their folder")
    packing.add_argument(
        "maps", nargs="+", type=Path, metavar="PATH", help="label maps of one shape and voxel size: a folder, or files"
    )
    packing.add_argument("--out", type=Path, required=True, metavar="NPZ", help="file to write")
    clustering = _action(actions, "cluster", cluster, "give unlabelled voxels classes by their intensity in a scan")
    add_cluster_arguments(clustering)


def run(options: argparse.Namespace) -> int:
    """Run the chosen action."""
    return options.act(options)


def _action(actions: Any, name: str, act: Any, summary: str) -> argparse.ArgumentParser:
    parser = actions.add_parser(name, help=summary, description=summary[0].upper() + summary[1:] + ".")
    parser.set_defaults(act=act)
    return parser


def _warn(lines: Sequence[str]) -> None:
    for line in lines:
        print(f"synthseg labels: warning: {line}", file=sys.stderr)


# scan


def _scan(options: argparse.Namespace) -> int:
    check_writable(options.out)
    names = table_entries(options.names) if options.names else {}
    update = list_entries(options.update) if options.update else {}
    with CountLine("reading label maps") as progress:
        scan = scan_label_maps(options.folder, progress)
    known = known_entries(names)
    composed = compose(scan, known, update=update, add_counterparts=options.add_counterparts)
    write_text(options.out, list_text(composed, scan))
    _warn([*_lost_columns(options.update, composed), *composed.warnings])
    print(f"{options.out}: {_summary(composed)}")
    return 0


# pack


def _pack(options: argparse.Namespace) -> int:
    from synthseg_core.images.packed import pack, write_packed

    _require_npz(options.out)
    with CountLine("reading label maps") as progress:
        packed = pack(options.maps[0] if len(options.maps) == 1 else options.maps, progress)
    write_packed(options.out, packed)
    size_mb = options.out.stat().st_size / 1e6
    print(f"{options.out}: {len(packed.names)} label maps, {len(packed.values)} labels, {size_mb:.1f} MB")
    return 0


def _require_npz(path: Path) -> None:
    check_writable(path)
    if path.suffix != ".npz":
        raise UsageError(path, found=f"the extension {path.suffix!r}", expected=".npz", remedy="rename the file")


def _summary(composed: ComposedList) -> str:
    entries = composed.entries
    unsided = sum(entry.side == "neutral" for entry in entries)
    targets = len({entry.output for entry in entries} - {0})
    pairs = (len(entries) - unsided) // 2
    classes = max(composed.classes) + 1
    return f"{len(entries)} labels ({unsided} unsided, {pairs} left-right pairs), {classes} classes, {targets} targets"


def _lost_columns(update: Path | None, composed: ComposedList) -> list[str]:
    """Name the columns of an updated list that the new one does not have."""
    header = next(iter(read_tsv(update)), {}) if update else {}
    lost = [column for column in header if column not in (*FACTS, *COUNTS, *composed.extras)]
    return [f"column {column} of {update} is left out: new labels have no value in it" for column in lost]
