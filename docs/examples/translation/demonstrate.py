"""Both uses of a translator, measured: scans of an odd contrast brought to one that a segmenter knows, and the reverse.

python docs/examples/translation/demonstrate.py --out translation-example
"""

from __future__ import annotations

import sys
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from contrasts import INVERTED, T1, write_scans
from pictures import write_comparison
from results import AS_THEY_ARE, COLUMNS, OWN, TRAINED, TRANSLATED, markdown, row, verdict, write_between
from segmenter import Slices, dice, read_slices, train
from torch import nn

from synthseg_core.cli.demo.heads import write_heads
from synthseg_core.cli.main import main as synthseg_main
from synthseg_core.images.label_maps import label_map_paths
from synthseg_core.system.atomic import write_text
from synthseg_core.system.tables import format_tsv

METHODS = ("affine", "histogram", "cycle", "diffusion")
# Shares of the label maps for T1-weighted scans with labels, for inverted ones without, and for inverted ones to score.
_SHARES = (0.4, 0.8)
# Half of those of the preset, which still take longer than all of the cycle's: the whole has to end within 25 minutes.
_STEPS = {"diffusion": 1000}


def build_parser() -> ArgumentParser:
    """Return the arguments of this script."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("translation-example"), help="folder (default: %(default)s)")
    parser.add_argument("--maps", type=Path, metavar="DIR", help="label maps of 1 mm (default: phantom heads)")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=METHODS, help="default: all")
    parser.add_argument("--page", type=Path, metavar="MD", help="write the table into a page, between its marks")
    parser.add_argument("--picture", type=Path, metavar="PNG", help="default: comparison.png in the folder")
    parser.add_argument("--tiny", action="store_true", help="a few steps, to see that everything runs")
    return parser


def main() -> None:
    """Make scans, train segmenters and translators, score both uses, and write table and picture."""
    options = build_parser().parse_args()
    clock = Clock(time.monotonic())
    labelled, unlabelled, held_out = make_scans(options)
    make_dataset(options.out, labelled, unlabelled)
    clock.tell("scans and dataset")
    steps = 20 if options.tiny else 500
    segmenter = train(read_all(labelled), steps)
    before = dice(segmenter, read_all(held_out))
    rows = [row(OWN, "none", dice(segmenter, read_all(labelled[-4:]))), row(AS_THEY_ARE, "none", before, before)]
    clock.tell("segmenter")
    for method in options.methods:
        began = clock.minutes()
        train_translator(options, method)
        took = clock.minutes() - began
        clock.tell(f"{method}: translator")
        first, second = score(options.out, method, segmenter, (labelled, held_out), steps)
        rows += [row(TRAINED, method, first, before, took), row(TRANSLATED, method, second, before, took)]
        write_text(options.out / "results.tsv", format_tsv(rows, COLUMNS))
        clock.tell(f"{method}: both uses")
    picture = options.picture or options.out / "comparison.png"
    write_comparison(picture, options.out, held_out[0], options.methods, segmenter)
    if options.page is not None:
        write_between(
            options.page, markdown(rows, "phantom heads" if options.maps is None else "real heads", clock.minutes())
        )
    sys.stdout.write((options.out / "results.tsv").read_text(encoding="utf-8"))
    sys.stdout.write(verdict(rows))


@dataclass(frozen=True)
class Clock:
    """Tells how long everything has taken.

    Parameters
    ----------
    began
        Seconds of :func:`time.monotonic`.
    """

    began: float

    def minutes(self) -> float:
        """Return the minutes since the start."""
        return (time.monotonic() - self.began) / 60

    def tell(self, what: str) -> None:
        """Print what is done by now."""
        sys.stdout.write(f"{self.minutes():5.1f} min  {what}\n")
        sys.stdout.flush()


def make_scans(options: Namespace) -> tuple[list[Path], list[Path], list[Path]]:
    """Return labelled scans, unlabelled ones of the other contrast, and others of that with labels to score."""
    if options.maps is None:
        maps = write_heads(options.out / "maps", 4 if options.tiny else 20, 1.0)
    else:
        maps = label_map_paths(options.maps)
    first, second = (max(1, round(share * len(maps))) for share in _SHARES)
    count = 3 if options.tiny else 16
    scans = options.out / "scans"
    return (
        write_scans(scans / T1.name, T1, maps[:first], count, seed=1000),
        write_scans(scans / INVERTED.name, INVERTED, maps[first:second], count, seed=2000),
        write_scans(scans / "held-out", INVERTED, maps[second:], count // 2, seed=3000),
    )


def make_dataset(out: Path, labelled: Sequence[Path], unlabelled: Sequence[Path]) -> None:
    """Cut the scans of both domains into slices."""
    domains = [word for name, scans in ((T1.name, labelled), (INVERTED.name, unlabelled))
               for word in ("--domain", name, *scans)]  # fmt: skip
    fixed = ("--spacing", 2, "--neighbours", 0, "--coverage", 0.4, "--ratios", 0.85, 0.15, 0)
    synthseg("translate", "dataset", *domains, *fixed, "--out", out / "dataset")


def train_translator(options: Namespace, method: str) -> None:
    """Train a translator, or measure one that needs no training."""
    steps = ("--steps", _STEPS[method]) if method in _STEPS else ()
    preset = ("--preset", "tiny", "--steps", 5) if options.tiny else ("--preset", "small", *steps)
    fixed = ("--dataset", options.out / "dataset", "--out", options.out / method, "--precision", "float32")
    synthseg("translate", "train", *fixed, "--method", method, *preset)


def score(
    out: Path, method: str, segmenter: nn.Module, scans: tuple[Sequence[Path], Sequence[Path]], steps: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the Dice of each tissue: of a segmenter trained on translated scans, and on scans translated before.

    Parameters
    ----------
    out
        Of this example.
    method
        Of the translator.
    segmenter
        Trained on T1-weighted scans.
    scans
        Labelled T1-weighted scans, and held-out inverted ones.
    steps
        Of a segmenter's training.
    """
    labelled, held_out = scans
    synthetic = translate(out, method, labelled, INVERTED.name)
    first = dice(train(read_all(synthetic, labelled), steps), read_all(held_out))
    adapted = translate(out, method, held_out, T1.name)
    return first, dice(segmenter, read_all(adapted, held_out))


def translate(out: Path, method: str, scans: Sequence[Path], target: str) -> list[Path]:
    """Translate scans, and return where they are."""
    made = []
    for scan in scans:
        path = out / "translated" / f"{method}-{target}" / scan.name
        card = out / method / "translator"
        synthseg("translate", "apply", scan, "--translator", card, "--to", target, "--image", path)
        made.append(path)
    return made


def read_all(scans: Sequence[Path], originals: Sequence[Path] | None = None) -> list[Slices]:
    """Read scans with the labels that lie beside them, or beside those that they were made from."""
    known = scans if originals is None else originals
    return [read_slices(scan, own.parent / "labels" / own.name) for scan, own in zip(scans, known, strict=True)]


def synthseg(*words: object) -> None:
    """Run a command of ``synthseg``, as typed in a shell."""
    if status := synthseg_main([str(word) for word in words]):
        sys.exit(status)


if __name__ == "__main__":
    main()
