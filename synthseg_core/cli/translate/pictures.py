"""``synthseg translate pictures``: 2D pictures in the other contrast, and labelled datasets of them for nnU-Net."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from synthseg_core.cli.options import add_hardware_options
from synthseg_core.cli.translate.dataset_pictures import EXCLUDED
from synthseg_core.errors import UsageError
from synthseg_core.system.atomic import check_writable
from synthseg_core.system.delimited import absolute
from synthseg_core.system.words import counted

if TYPE_CHECKING:
    from synthseg_core.translation.card import Domain, TranslatorCard
    from synthseg_core.translation.microscopy import Place
    from synthseg_core.translation.nnunet_dataset import TranslatePicture

_HDF5 = (".hdf5", ".h5")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument(
        "source",
        type=Path,
        metavar="SOURCE",
        help="dataset of nnU-Net (imagesTr, labelsTr), folder of pictures, a picture, or HDF5 file of tiles",
    )
    direction = parser.add_argument_group("translator")
    direction.add_argument("--translator", type=Path, required=True, metavar="CARD", help="its card, or its folder")
    direction.add_argument("--from", dest="source_domain", metavar="NAME", help="domain of the pictures")
    direction.add_argument("--to", dest="target_domain", metavar="NAME", help="domain to translate to")
    direction.add_argument("--tile", type=int, metavar="PIXELS", help="edge of tiles (default: as in the training)")
    direction.add_argument("--overlap", type=int, metavar="PIXELS", help="of tiles (default: a quarter)")
    direction.add_argument("--samples", type=int, default=1, metavar="N", help="to average (default: %(default)s)")
    direction.add_argument("--seed", type=int, default=0, metavar="N", help="of the noise (default: %(default)s)")
    add_hardware_options(direction)
    _add_pixels(parser.add_argument_group("pixels"))
    out = parser.add_argument_group("outputs")
    out.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder; of nnU-Net datasets nnUNet_raw")
    out.add_argument("--dataset-id", type=int, default=500, metavar="N", help="of nnU-Net (default: %(default)s)")
    out.add_argument(
        "--labels",
        nargs="+",
        metavar="NAME=VALUE",
        help="what labels mean, background=0 among them (default: dataset.json of the source)",
    )


def _add_pixels(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--pixel-size", type=float, metavar="UM", help="edge of a pixel (default: PixelSize of BIDS)")
    group.add_argument("--scale", type=float, metavar="FACTOR", help="what the numbers of pixels are multiplied by")
    group.add_argument(
        "--exclude",
        nargs="+",
        default=[],
        metavar="NAME",
        help=f"folders that are not looked into, beside {' and '.join(EXCLUDED)}",
    )


def run(args: argparse.Namespace) -> int:
    """Translate everything and write it."""
    from synthseg_core.translation.microscopy import IMAGES

    args.source = absolute(args.source)
    card, source, target = _direction(args)
    labels = _labels(args.labels)
    check_writable(args.out / "originals.json")
    if (args.source / IMAGES).is_dir():
        return _nnunet(args, card, (source, target), labels)
    if labels is not None:
        raise UsageError(
            "--labels", found=str(args.source), expected="a dataset of nnU-Net", remedy="leave out --labels"
        )
    if args.source.suffix.lower() in _HDF5:
        return _tiles(args, card, (source, target))
    return _folder(args, card, (source, target))


def _nnunet(
    args: argparse.Namespace, card: TranslatorCard, direction: tuple[Domain, Domain], labels: dict[str, int] | None
) -> int:
    from synthseg_core.system.progress import CountLine
    from synthseg_core.translation.nnunet_dataset import (
        Names,
        labelled_cases,
        next_commands,
        read_labels,
        write_dataset,
    )

    names = Names(args.dataset_id, direction[0].name, direction[1].name)
    factors = dict(_factors(args, card))
    cases = labelled_cases(args.source, lambda path: factors[path])
    labelled = read_labels(args.source, cases, labels)
    with CountLine("translating") as progress:
        out = write_dataset(args.out, names, cases, labelled, _translate(args, card, direction), progress)
    print(f"{counted(len(cases), 'picture')} written to {out}; next:")
    for command in next_commands(out.absolute(), names.number):
        print(f"  {command}")
    return 0


def _folder(args: argparse.Namespace, card: TranslatorCard, direction: tuple[Domain, Domain]) -> int:
    from synthseg_core.system.atomic import write_bytes, write_json
    from synthseg_core.system.progress import CountLine
    from synthseg_core.translation.nnunet_dataset import ORIGINALS, translated_picture
    from synthseg_core.translation.pictures import picture_bytes, read_picture

    factors = list(_factors(args, card))
    translate = _translate(args, card, direction)
    home = args.source if args.source.is_dir() else args.source.parent
    originals: dict[str, str] = {}
    with CountLine("translating") as progress:
        for number, (path, factor) in enumerate(factors, 1):
            name = path.relative_to(home).as_posix()
            picture = translated_picture(read_picture(path), factor, translate)
            write_bytes(args.out / name, picture_bytes(picture, path.suffix))
            originals[name] = str(path)
            progress(number, len(factors))
    write_json(args.out / ORIGINALS, originals)
    print(f"{counted(len(factors), 'picture')} written to {args.out}")
    return 0


def _tiles(args: argparse.Namespace, card: TranslatorCard, direction: tuple[Domain, Domain]) -> int:
    from synthseg_core.system.atomic import write_bytes, write_json
    from synthseg_core.translation.nnunet_dataset import ORIGINALS, translated_picture
    from synthseg_core.translation.pictures import picture_bytes
    from synthseg_core.translation.tile_files import in_original_size, read_tiles

    if args.pixel_size is not None:
        raise UsageError(
            "--pixel-size", found=str(args.source), expected="pictures", remedy="use --scale for a file of tiles"
        )
    translate = _translate(args, card, direction)
    factor = args.scale or 1.0
    originals: dict[str, str] = {}
    for number, original in enumerate(read_tiles(args.source)):
        picture = translated_picture(original.picture, (factor, factor), translate)
        name = f"{number:03d}_{Path(original.path).stem}.png"
        write_bytes(args.out / name, picture_bytes(in_original_size(picture, original.path)))
        originals[name] = original.path
    write_json(args.out / ORIGINALS, originals)
    print(f"{counted(len(originals), 'picture')} written to {args.out}; labels of the file are left where they are")
    return 0


def _direction(args: argparse.Namespace) -> tuple[TranslatorCard, Domain, Domain]:
    from synthseg_core.translation.card import read_translator

    card = read_translator(args.translator)
    if card.is_for_scans:
        raise card.fault(
            f"a translator of {card.plane} slices", "one of pictures", "translate scans with 'synthseg translate apply'"
        )
    source, target = card.direction(args.source_domain, args.target_domain)
    return card, source, target


def _translate(args: argparse.Namespace, card: TranslatorCard, direction: tuple[Domain, Domain]) -> TranslatePicture:
    """Load the translator and return the function that runs it on a picture."""
    import numpy as np

    from synthseg_core.networks.devices import use_threads
    from synthseg_core.translation.stacks import ApplyOptions, StackTranslator, mean_of_samples

    use_threads(args.threads)
    options = ApplyOptions(seed=args.seed, samples=args.samples, tile=args.tile, overlap=args.overlap)
    stacks = StackTranslator(card, *direction, device=args.device)

    def translate(picture: np.ndarray) -> np.ndarray:
        return mean_of_samples(stacks.samples(picture[None], options), options.samples).mean[0]

    return translate


def _factors(args: argparse.Namespace, card: TranslatorCard) -> Iterator[tuple[Path, tuple[float, float]]]:
    """Yield the pictures of the source, and what their numbers of pixels are multiplied by for the translator."""
    from synthseg_core.translation.microscopy import find_pictures, scaled

    pictures = find_pictures("pictures", [_place(args)], (*EXCLUDED, *args.exclude))
    if card.spacing_mm is None:
        factor = args.scale or 1.0
        yield from ((picture.source.path, (factor, factor)) for picture in pictures)
        return
    made = scaled(pictures, card.spacing_mm * 1000)
    yield from ((one.source.path, factors) for one, factors in zip(pictures, made.factors, strict=True))


def _place(args: argparse.Namespace) -> Place:
    from synthseg_core.translation.microscopy import Place

    return Place(args.source, args.scale, args.pixel_size)


def _labels(words: list[str] | None) -> dict[str, int] | None:
    if words is None:
        return None
    pairs = [word.partition("=") for word in words]
    for name, _, value in pairs:
        if not (name and value.isdecimal()):
            raise UsageError(
                "--labels",
                found=" ".join(words),
                expected="NAME=VALUE, such as background=0 axon=1",
                remedy="correct it",
            )
    return {name: int(value) for name, _, value in pairs}
