"""Train a network that divides the cortex, and add it to a segmentation model."""

from __future__ import annotations

from argparse import ArgumentParser

from tutorial import common_parser, synthseg, voxel_size_mm

from synthseg_core.cli.demo.parcels import LIST, write_parcel_heads
from synthseg_core.synth import GenerationLabels


def build_parser() -> ArgumentParser:
    """Return the arguments of this script."""
    parser = common_parser(__doc__, out="tutorial-parcels")
    parser.add_argument("--labels", metavar="LIST", help="label list of the maps (default: that of the phantoms)")
    parser.add_argument(
        "--steps", type=int, metavar="N", help="optimiser steps of each (default: those of the presets)"
    )
    return parser


def main() -> None:
    """Train structures and parcels with the tiny presets; with --tiny for a few steps only."""
    options = build_parser().parse_args()
    out = options.out
    maps, labels = options.maps, options.labels
    if maps is None:
        write_parcel_heads(out, 4, voxel_size_mm(options))
        maps, labels = out / "maps", out / LIST
    steps = options.steps or (12 if options.tiny else None)
    few = f"--steps {steps}" if steps else ""

    # One list, two targets: structures with a whole cortex, and parcels with nothing else.
    for column in ("output", "output_parcels"):
        targets = GenerationLabels.read(labels, outputs=column).target_values
        print(f"{column}: {len(targets)} targets, {targets[1]} to {targets[-1]}")
    (out / "structures.yaml").write_text("recipe: {output_column: output}\n")
    given = ("--maps", maps, "--labels", labels, few)
    synthseg("train --preset tiny --config", out / "structures.yaml", *given, "--out", out / "structures")
    synthseg("train --preset tiny_parcellation", *given, "--out", out / "parcels")

    structures, parcels = (out / name / "model" / "card.yaml" for name in ("structures", "parcels"))
    synthseg("models combine", structures, "--parcellation", parcels, "--out", out / "both")
    synthseg("generate --count 1 --recipe tiny --maps", maps, "--labels", labels, "--out", out / "scan")
    scan, table = out / "scan" / "sample-0001_image.nii.gz", out / "volumes.csv"
    model = ("--model", out / "both" / "card.yaml")
    synthseg("predict --parc --i", scan, "--o", out / "dseg.nii.gz", "--vol", table, *model)
    print("\n".join(name for name in table.read_text().splitlines()[0].split(",") if name.startswith("ctx-")))


if __name__ == "__main__":
    main()
