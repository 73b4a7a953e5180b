"""``synthseg labels``: lists of one's own label maps, packed maps, and classes for voxels that nobody labelled."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from synthseg_core.errors import UsageError
from synthseg_core.images.affines import closest_ras, unit_columns
from synthseg_core.images.label_maps import read_ras_labels
from synthseg_core.images.pairs import Case, match, read_on_grid
from synthseg_core.images.reading import read_placement
from synthseg_core.images.volume import Volume
from synthseg_core.images.writing import write_volume
from synthseg_core.labels.composing import ComposedList, compose, list_text
from synthseg_core.labels.counting import scan_label_maps
from synthseg_core.labels.known import COUNTS, FACTS, FIRST_TISSUE, known_entries, list_entries, table_entries
from synthseg_core.synth.prior_estimation import rescale
from synthseg_core.synth.unlabelled import (
    FIT_VOXELS,
    N_CLASSES,
    TissueMixture,
    check_classes,
    check_unused,
    fill_unlabelled,
    fit_mixture,
    sample_unlabelled,
)
from synthseg_core.system.atomic import check_writable, write_text
from synthseg_core.system.progress import CountLine
from synthseg_core.system.tables import read_tsv
from synthseg_core.system.words import counted


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


def add_cluster_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the action."""
    parser.add_argument("--image", type=Path, required=True, metavar="PATH", help="scan, or folder of scans")
    parser.add_argument(
        "--labels", type=Path, required=True, metavar="PATH", help="its label map, or folder of maps in the same order"
    )
    parser.add_argument(
        "--out", type=Path, required=True, metavar="PATH", help="map to write, or folder for maps of the same names"
    )
    parser.add_argument(
        "--classes", type=int, default=N_CLASSES, metavar="N", help=f"classes with background; default: {N_CLASSES}"
    )
    parser.add_argument(
        "--first", type=int, default=FIRST_TISSUE, metavar="VALUE", help=f"first new label; default: {FIRST_TISSUE}"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the fit; default: 0")
    parser.add_argument("--mixture", type=Path, metavar="JSON", help="use this mixture instead of fitting one")
    parser.add_argument("--save-mixture", type=Path, metavar="JSON", help="keep the mixture, for other scans")


def cluster(options: argparse.Namespace) -> int:
    """Fit one mixture to all scans, or read one, and write a map for each."""
    check_classes(options.classes, options.first)
    jobs = _jobs(options)
    for path in [job.out for job in jobs] + [path for path in (options.save_mixture,) if path]:
        check_writable(path)
    mixture = TissueMixture.load(options.mixture) if options.mixture else _fit(jobs, options)
    if options.save_mixture:
        mixture.save(options.save_mixture)
    with CountLine("classifying voxels") as progress:
        for number, job in enumerate(jobs, start=1):
            _write(job, mixture, options.first)
            progress(number, len(jobs))
    if not mixture.converged:
        print("synthseg labels: warning: the mixture did not converge; try fewer classes", file=sys.stderr)
    print(_mixture_summary(mixture, options.first, len(jobs)))
    return 0


@dataclass(frozen=True)
class _Job:
    """A label map with its scan, and where the result goes."""

    label_map: Path
    image: Path
    out: Path


def _jobs(options: argparse.Namespace) -> list[_Job]:
    """Pair scans and maps; a folder of maps gives a folder of results, with the names of the maps."""
    cases: Sequence[Case] = match([options.image], options.labels)
    several = options.labels.is_dir()
    if not several and options.out.is_dir():
        raise UsageError(
            options.out, found="a folder", expected="a file name, as one map is given", remedy="name the file"
        )
    outs = [options.out / case.label_map.name if several else options.out for case in cases]
    for case, out in zip(cases, outs, strict=True):
        if out.resolve() in (case.label_map.resolve(), case.images[0][1].resolve()):
            raise UsageError(out, found="an input of the same name", expected="another name", remedy="write elsewhere")
    return [_Job(case.label_map, case.images[0][1], out) for case, out in zip(cases, outs, strict=True)]


def _fit(jobs: Sequence[_Job], options: argparse.Namespace) -> TissueMixture:
    """Fit one mixture to voxels of all scans, the same number of each."""
    count = max(FIT_VOXELS // len(jobs), options.classes)
    samples: list[np.ndarray] = []
    with CountLine("reading scans") as progress:
        for number, job in enumerate(jobs, start=1):
            label_map = read_ras_labels(job.label_map)
            check_unused(label_map.data, _labels(options.classes, options.first), job.label_map)
            image = rescale(read_on_grid(job.image, label_map, job.label_map))
            samples.append(sample_unlabelled(image, label_map.data, count, (options.seed, number)))
            progress(number, len(jobs))
    return fit_mixture(np.concatenate(samples), options.classes, options.seed)


def _write(job: _Job, mixture: TissueMixture, first: int) -> None:
    """Write one map in the axis order of its source."""
    grid = read_placement(job.label_map)
    label_map = read_ras_labels(job.label_map)
    check_unused(label_map.data, mixture.labels(first), job.label_map)
    image = rescale(read_on_grid(job.image, label_map, job.label_map))
    filled = fill_unlabelled(image, label_map.data, mixture, first)
    orientation = closest_ras(unit_columns(grid.affine))
    dtype = np.int16 if filled.max() <= np.iinfo(np.int16).max else np.int32
    data = np.ascontiguousarray(orientation.from_ras(filled))
    write_volume(job.out, Volume(data, grid.affine), dtype=dtype)


def _labels(n_classes: int, first: int) -> tuple[int, ...]:
    return (0, *range(first, first + n_classes - 1))


def _mixture_summary(mixture: TissueMixture, first: int, n_maps: int) -> str:
    labels = mixture.labels(first)
    means = ", ".join(f"{label} {mean:.0f}" for label, mean in zip(labels, mixture.means, strict=True))
    return f"{counted(n_maps, 'map')}; label and mean intensity (of 255) of each class: {means}"


def _action(actions: Any, name: str, act: Any, summary: str) -> argparse.ArgumentParser:
    parser = actions.add_parser(name, help=summary, description=summary[0].upper() + summary[1:] + ".")
    parser.set_defaults(act=act)
    return parser


def _warn(lines: Sequence[str]) -> None:
    for line in lines:
        print(f"synthseg labels: warning: {line}", file=sys.stderr)


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


def _pack(options: argparse.Namespace) -> int:
    from synthseg_core.images.packed import pack, write_packed

    _require_npz(options.out)
    with CountLine("reading label maps") as progress:
        packed = pack(options.maps[0] if len(options.maps) == 1 else options.maps, progress)
    write_packed(options.out, packed)
    size_mb = options.out.stat().st_size / 1e6
    maps, labels = counted(len(packed.names), "label map"), counted(len(packed.values), "label")
    print(f"{options.out}: {maps}, {labels}, {size_mb:.1f} MB")
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
