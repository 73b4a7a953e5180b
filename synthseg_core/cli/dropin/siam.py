"""``synthseg siam``: the flags and names of the command of SIAM, over our own program.

What is other than there: it continues where it stopped, also with scans that are not in RAS order; one bad scan costs
no other; nothing is written into the folder of the scans but label maps and their meaning.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from synthseg_core.cli.batch import FailureTable, Steps, run_batch, run_one
from synthseg_core.cli.dropin.siam_names import SiamJob, SiamPlan, siam_plan
from synthseg_core.errors import UsageError
from synthseg_core.images.reading import Scan, read_scan
from synthseg_core.images.volume import Volume
from synthseg_core.models.card import ModelCard
from synthseg_core.models.nnunet_plan import folds_of
from synthseg_core.models.registry import load_card
from synthseg_core.models.siam_folders import siam_folder
from synthseg_core.models.weights import cache_folder, locate
from synthseg_core.system.atomic import check_writable, write_json
from synthseg_core.system.paths import is_file
from synthseg_core.system.progress import Progress
from synthseg_core.system.words import counted

if TYPE_CHECKING:
    import torch

# -m -> version. The page of SIAM says 3 for what its program calls 0.
_VERSIONS = {0: "0.3", 3: "0.3", 2: "0.2", 1: "0.1"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of SIAM, and ours."""
    parser.add_argument("-i", required=True, type=Path, metavar="PATH", help="scan or folder of scans, NIfTI")
    parser.add_argument(
        "-o",
        metavar="TEXT",
        help="text before the name of a scan; of a folder: where label maps go, absolute or in it",
    )
    parser.add_argument("-m", type=int, choices=tuple(_VERSIONS), default=0, help="0 or 3: v0.3; 2: v0.2; 1: v0.1")
    parser.add_argument(
        "-voxelsize",
        type=float,
        default=0.0,
        metavar="MM",
        help="let the network see voxels of this edge (0: off)",
    )
    parser.add_argument("-device", default="cuda", help="cuda (CPU where there is none), cpu or mps")
    parser.add_argument("-nbthread", type=int, default=8, metavar="N", help="CPU threads (default: 8)")
    parser.add_argument("--folds", type=int, nargs="+", metavar="N", help="average these folds (default: all)")
    parser.add_argument("--verbose", action="store_true", help="understood; nothing more is said")


def run(args: argparse.Namespace) -> int:
    """Check everything, load the model, and run the scans that have no label map yet."""
    if args.voxelsize < 0 or not np.isfinite(args.voxelsize):
        raise UsageError("-voxelsize", found=f"{args.voxelsize:g}", expected="0, or an edge in mm", remedy="correct it")
    version = _VERSIONS[args.m]
    plan = siam_plan(args.i, args.o, version)
    to_do = [job for job in plan.jobs if not is_file(job.output)]
    if len(to_do) < len(plan.jobs):
        print(f"{counted(len(plan.jobs) - len(to_do), 'scan')} done already", file=sys.stderr)
    failures = FailureTable(None)
    for failure in plan.failures:
        failures.add(failure)
        print(failure.line(), file=sys.stderr)
    if to_do:
        card = _ready(f"siam-{version}")
        folds = None if args.folds is None else tuple(args.folds)
        folds_of(card, folds)
        check_writable(to_do[0].output)
        _segment(to_do, plan, _steps(card, args, folds), failures)
        write_json(plan.meaning, {"labels": dict(zip(card.labels.names, card.labels.labels, strict=True))})
    return 1 if failures.failures else 0


def _ready(name: str) -> ModelCard:
    """Return the card of a model whose weights are there, after a conversion of SIAM's own folder where it has one."""
    card = load_card(name)
    if locate(card) is None and (folder := siam_folder(card)) is not None:
        from synthseg_core.models.nnunet_import import import_nnunet

        print(f"{folder}: converted once, into {cache_folder()}", file=sys.stderr)
        import_nnunet(folder, cache_folder(), template=card)
        card = load_card(name)
    return card


def _steps(
    card: ModelCard, args: argparse.Namespace, folds: tuple[int, ...] | None
) -> Steps[SiamJob, Scan, tuple[Volume, tuple[str, ...]]]:
    from synthseg_core.images.writing import write_volume
    from synthseg_core.models.loading import load_models
    from synthseg_core.networks.devices import use_threads
    from synthseg_core.segmentation.segment import segment_scan
    from synthseg_core.segmentation.segmenter import SegmentOptions

    use_threads(args.nbthread)
    models = load_models(card, device=_device(args.device))
    options = SegmentOptions(voxel_size_mm=args.voxelsize or None, folds=folds, overlapped=args.i.is_dir())

    def compute(_job: SiamJob, scan: Scan) -> tuple[Volume, tuple[str, ...]]:
        result = segment_scan(scan, models, options)
        return result.label_map, result.warnings  # the logits are not kept while the next scan is computed

    def write(job: SiamJob, scan: Scan, result: tuple[Volume, tuple[str, ...]]) -> tuple[str, ...]:
        write_volume(job.output, result[0], like=scan, dtype=np.uint8)
        return result[1]

    return Steps(name=lambda job: str(job.scan), read=lambda job: read_scan(job.scan), compute=compute, write=write)


def _segment(
    jobs: list[SiamJob],
    plan: SiamPlan,
    steps: Steps[SiamJob, Scan, tuple[Volume, tuple[str, ...]]],
    failures: FailureTable,
) -> None:
    if not plan.is_folder:
        (job,) = jobs
        for warning in run_one(job, steps):
            print(f"warning: {job.scan}: {warning}", file=sys.stderr)
        print(f"label map saved in {job.output}")
        return
    progress = Progress(len(jobs), sys.stderr)
    done = run_batch(jobs, steps, progress, failures)
    progress.say(*failures.closing_lines(len(plan.jobs) + len(plan.failures)))
    print(f"{done} of {counted(len(jobs), 'scan')} segmented")


def _device(name: str) -> torch.device:
    """Return the device; as in SIAM the CPU stands in for a GPU that is not there."""
    import torch

    from synthseg_core.networks.devices import choose_device

    if name == "cuda" and not torch.cuda.is_available():
        print("no CUDA here: computing on the CPU", file=sys.stderr)
        return torch.device("cpu")
    return choose_device(name)
