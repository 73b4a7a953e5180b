"""Flags that the reference command and its data-set variant share: which model, on what, with which settings."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

from synthseg_core.cli.options import crop_of, refuse_two_crops
from synthseg_core.errors import UsageError
from synthseg_core.images.affines import Shape3
from synthseg_core.models.registry import load_card, resolved_name


@dataclass(frozen=True)
class ModelFlags:
    """The model flags, checked.

    Parameters
    ----------
    model
        Name of a registered model, or the path of a card.
    parcellation, fast, ct
        ``--parc``, ``--fast`` and ``--ct``.
    crop
        Patch size in voxels; ``None``: the whole scan.
    threads
        CPU threads.
    device
        ``auto``, ``cpu``, ``cuda`` or ``mps``.
    gpu
        Number of the GPU, void where none is used; ``None``: the first.
    weights
        Folder of the user's weights; ``None``: the usual places.
    autocrop
        ``--autocrop``.
    keep_geometry
        Label maps on the grid of the scan, in place of 1 mm.
    colour_table
        Whether label maps carry a colour table, where their format has a place for one.
    """

    model: str
    parcellation: bool
    fast: bool
    ct: bool
    crop: Shape3 | None
    threads: int
    device: str
    gpu: int | None
    weights: Path | None
    autocrop: bool = False
    keep_geometry: bool = False
    colour_table: bool = True

    @property
    def cropped(self) -> bool:
        """Whether only a part of the scan is segmented."""
        return self.autocrop or self.crop is not None


def add_model_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags to a parser."""
    model = parser.add_argument_group("model")
    model.add_argument("--parc", action="store_true", help="also parcellate the cortex")
    model.add_argument("--robust", action="store_true", help="three networks, for clinical scans; implies --fast")
    model.add_argument("--fast", action="store_true", help="no flip averaging, less clean-up")
    model.add_argument("--v1", action="store_true", help="model 1.0 instead of 2.0; not with --robust")
    model.add_argument("--model", metavar="NAME|CARD", help="another model; 'default' needs no download")
    model.add_argument("--ct", action="store_true", help="CT scan in Hounsfield units: clip to [0, 80]")
    model.add_argument(
        "--crop",
        nargs="+",
        type=int,
        metavar="N",
        help="segment a centred patch of 1 or 3 sizes, rounded up to multiples of 32 (default: the whole scan)",
    )
    model.add_argument("--autocrop", action="store_true", help="segment the box of what is not background alone")
    model.add_argument("--weights", type=Path, metavar="DIR", help="folder of .h5 or .safetensors files")
    _add_label_map_flags(parser)
    machine = parser.add_argument_group("machine")
    machine.add_argument("--threads", type=int, default=1, metavar="N", help="CPU threads (default: 1)")
    machine.add_argument("--cpu", action="store_true", help="same as --device cpu")
    machine.add_argument(
        "--device", default="auto", choices=["auto", "cpu", "cuda", "gpu", "mps"], help="default: auto"
    )
    machine.add_argument("--gpu_id", type=int, metavar="N", help="which GPU to use (default: the first)")


def _add_label_map_flags(parser: argparse.ArgumentParser) -> None:
    maps = parser.add_argument_group("label maps")
    maps.add_argument(
        "--keepgeom", action="store_true", help="on the grid of the scan: the nearest voxels of the answer at 1 mm"
    )
    maps.add_argument("--addctab", action="store_true", help="with a colour table, if they are .mgz (the default)")
    maps.add_argument("--noaddctab", action="store_true", help="without one")


def checked_flags(args: argparse.Namespace) -> ModelFlags:
    """Check the flags and their combinations.

    Raises
    ------
    UsageError
        If two flags contradict each other or a value is out of range.
    """
    if args.robust and args.v1:
        raise UsageError(
            "--robust", found="--v1 as well", expected="one of them", remedy="there is no robust model of version 1.0"
        )
    if args.model and args.v1:
        raise UsageError("--model", found="--v1 as well", expected="one of them", remedy="leave one of them out")
    if args.model and args.robust and len(load_card(args.model).networks) == 1:
        raise UsageError(
            "--robust",
            found=f"--model {args.model} as well, a model of one network",
            expected="one of them, or a model of three networks in a row",
            remedy="leave one of them out",
        )
    refuse_two_crops(args.autocrop, args.crop)
    if args.addctab and args.noaddctab:
        raise UsageError(
            "--addctab", found="--noaddctab as well", expected="one of them", remedy="leave one of them out"
        )
    if args.threads < 1:
        raise UsageError("--threads", found=str(args.threads), expected="at least 1", remedy="correct the number")
    return ModelFlags(
        model=_model(args),
        parcellation=args.parc,
        fast=args.fast or args.robust,
        ct=args.ct,
        crop=crop_of(args.crop),
        threads=args.threads,
        device=_device(args),
        gpu=args.gpu_id,
        weights=args.weights,
        autocrop=args.autocrop,
        keep_geometry=args.keepgeom,
        colour_table=not args.noaddctab,
    )


def _model(args: argparse.Namespace) -> str:
    """Return the model that is named, or the one of the reference's flags."""
    if args.model:
        return resolved_name(args.model)
    return "synthseg-robust-2.0" if args.robust else "synthseg-1.0" if args.v1 else "synthseg-2.0"


def _device(args: argparse.Namespace) -> str:
    """Join ``--cpu`` and ``--device``, and check ``--gpu_id``."""
    if args.cpu and args.device not in ("auto", "cpu"):
        raise UsageError(
            "--cpu", found=f"--device {args.device} as well", expected="one of them", remedy="leave one of them out"
        )
    if args.gpu_id is not None and args.gpu_id < 0:
        raise UsageError("--gpu_id", found=str(args.gpu_id), expected="0 or more", remedy="correct the number")
    return "cpu" if args.cpu else args.device
