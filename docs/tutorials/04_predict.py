"""Segment a scan with a model of one's own, and measure how good it is."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

import numpy as np
from tutorial import common_parser, label_maps, synthseg, voxel_size_mm

from synthseg_core.cli.demo.heads import write_heads, write_scans
from synthseg_core.evaluation.overlap import dice_by_label
from synthseg_core.images.reading import read_stored
from synthseg_core.synth import GenerationLabels
from synthseg_core.system.tables import format_tsv, read_tsv


def build_parser() -> ArgumentParser:
    """Return the arguments of this script."""
    parser = common_parser(__doc__, out="tutorial-prediction")
    parser.add_argument("--model", type=Path, metavar="CARD", help="card of a model (default: trained now, tiny)")
    return parser


def main() -> None:
    """Segment a T1-weighted scan of a head that the network never saw, and compare it with the truth."""
    options = build_parser().parse_args()
    card = options.model or trained(options)

    # Heads 1 to 4 were trained on.
    held_out = options.out / "held-out"
    (truth,) = write_heads(held_out, 1, voxel_size_mm(options), first=5)
    (scan,) = write_scans([truth], options.out)
    dseg, volumes = options.out / "dseg.nii.gz", options.out / "volumes.tsv"
    synthseg("segment", scan, "--model", card, "--dseg", dseg, "--volumes", volumes)
    print(volumes.read_text())

    dice = scores(truth, dseg, card)
    text = format_tsv(({"name": name, "dice": round(value, 3)} for name, value in dice.items()), ("name", "dice"))
    (options.out / "dice.tsv").write_text(text)
    print(text)

    # The same for synthetic scans of held-out maps, which says how the network copes with any contrast.
    words = ("--model", card, "--maps", held_out, "--out", options.out / "scores")
    synthseg("validate --recipe tiny --draws 2", *words)


def trained(options: Namespace) -> Path:
    """Train as in the third tutorial."""
    run, steps = options.out / "run", ("--steps 30" if options.tiny else "")
    synthseg("train --preset tiny --maps", label_maps(options), "--out", run, steps)
    return run / "model" / "card.yaml"


def scores(truth: Path, dseg: Path, card: Path) -> dict[str, float]:
    """Return the Dice of each structure of the model."""
    names = {int(row["label"]): row["name"] for row in read_tsv(card.parent / "labels.tsv") if row["label"] != "0"}
    # The preset tiny is trained on four groups of tissue: the truth has to speak of the same.
    groups = GenerationLabels.builtin(outputs="output_groups")
    target = np.zeros(max(groups.values) + 1, int)
    target[list(groups.values)] = groups.outputs
    found = dice_by_label(target[read_stored(truth).data], read_stored(dseg).data, tuple(names))
    return dict(zip(names.values(), found, strict=True))


if __name__ == "__main__":
    main()
