"""Options that several commands share: model and hardware, ``--crop``, ``--labels``, and ``--backend`` for samples."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from synthseg_core.errors import UsageError
from synthseg_core.images.affines import Shape3
from synthseg_core.labels.lists import GenerationLabels
from synthseg_core.models.registry import DEFAULT_MODEL, default_model


def add_model_options(parser: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    """Add model, weights, device and threads; returns their group, for options of one command alone."""
    model = parser.add_argument_group("model")
    model.add_argument(
        "--model",
        default=DEFAULT_MODEL,
        metavar="NAME|CARD",
        help=f"registered segmentation model, or card file (default: {default_model()})",
    )
    model.add_argument("--weights", type=Path, metavar="DIR", help="folder with the weights (default: usual places)")
    add_hardware_options(model)
    return model


def add_hardware_options(parser: argparse._ActionsContainer) -> None:
    """Add device and threads."""
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps (default: %(default)s)")
    parser.add_argument("--threads", type=int, metavar="N", help="CPU threads (default: all cores)")


def add_fold_options(parser: argparse.ArgumentParser) -> None:
    """Add what models of folds of an nnU-Net know beside the others."""
    group = parser.add_argument_group("models of folds, such as SIAM")
    group.add_argument("--folds", type=int, nargs="+", metavar="N", help="average these folds (default: all)")
    group.add_argument(
        "--mode",
        choices=("exact", "float32"),
        help="sums as nnU-Net keeps them, in half precision (default), or in float32",
    )
    group.add_argument(
        "--voxel-scale",
        type=float,
        metavar="FACTOR",
        help="let the network see a head this much larger; 1.4 for newborns",
    )
    group.add_argument(
        "--skip-resampling", action="store_true", help="take isotropic voxels of 0.6 to 1 mm for the network's own"
    )


def fold_options(args: argparse.Namespace) -> dict[str, Any]:
    """Return what was given of :func:`add_fold_options`, as fields of ``SegmentOptions``; refuse impossible values."""
    if args.voxel_scale is not None and not 0.1 <= args.voxel_scale <= 10:
        raise UsageError(
            "--voxel-scale", found=f"{args.voxel_scale:g}", expected="0.1 to 10", remedy="choose such a factor"
        )
    values = {
        "folds": None if args.folds is None else tuple(args.folds),
        "mode": args.mode,
        "voxel_scale": args.voxel_scale,
        "skip_resampling": args.skip_resampling or None,
    }
    return {name: value for name, value in values.items() if value is not None}


def require_translation(card: Path | None, target: str | None, *, ct: bool, image: Path | None = None) -> None:
    """Refuse a translation before a segmentation that lacks a part, is given twice, or does not go with ``--ct``."""
    if (card is None) != (target is None):
        raise UsageError(
            "--translate-before" if target is None else "--translate-to",
            found="it alone",
            expected="--translate-before CARD with --translate-to NAME",
            remedy="give both",
        )
    given = [flag for flag, value in (("--translate-before", card), ("--translated", image)) if value is not None]
    if len(given) > 1:
        raise UsageError(given[1], found=f"it with {given[0]}", expected="one of them", remedy="leave one out")
    if given and ct:
        raise UsageError(
            "--ct",
            found=f"it with {given[0]}",
            expected="one of them: the translator knows whether its scans are CT",
            remedy="leave --ct out",
        )


def add_backend(group: argparse._ArgumentGroup, default: str | None = None) -> None:
    """Add the choice of what makes samples."""
    text = "what makes samples: synthseg (default), or the slower cornucopia, as the MONAI port does"
    group.add_argument("--backend", choices=("synthseg", "cornucopia"), default=default, help=text)


def crop_of(values: Sequence[int] | None) -> Shape3 | None:
    """Return the crop in voxels from one or three numbers; ``UsageError`` for anything else."""
    if values is None:
        return None
    if len(values) not in (1, 3) or min(values) < 1:
        raise UsageError(
            "--crop",
            found=" ".join(map(str, values)),
            expected="1 or 3 positive numbers of voxels",
            remedy="give one size for all axes, or one for each",
        )
    i, j, k = values if len(values) == 3 else (values[0],) * 3
    return i, j, k


def refuse_two_crops(autocrop: bool, crop: Sequence[int] | None) -> None:
    """Refuse ``--autocrop`` with ``--crop``."""
    if autocrop and crop is not None:
        raise UsageError("--autocrop", found="--crop as well", expected="one of them", remedy="leave one of them out")


def label_list(text: str, classes: str = "class") -> GenerationLabels:
    """Read a label list; what has no folder and no extension is a name such as ``generation_54``."""
    return GenerationLabels.read(Path(text), classes) if Path(text).suffix else GenerationLabels.builtin(text, classes)
