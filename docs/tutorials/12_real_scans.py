"""Train on real scans with label maps, mix in synthetic ones, and compare two models honestly."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path

from tutorial import common_parser, label_maps, synthseg, voxel_size_mm

from synthseg_core.cli.demo.heads import write_heads, write_scans
from synthseg_core.images.label_maps import label_map_paths

SETTINGS = "mixing: {{synthetic_share: {share}, recipe: tiny}}\nrecipe: {{target_voxel_size_mm: {edge:g}}}\n"


def build_parser() -> ArgumentParser:
    """Return the arguments of this script."""
    parser = common_parser(__doc__, out="tutorial-real")
    parser.add_argument("--steps", type=int, metavar="N", help="optimiser steps of each (default: those of the preset)")
    return parser


def main() -> None:
    """Train with real scans alone and with half of them synthetic; with --tiny for a few steps only."""
    options = build_parser().parse_args()
    out, maps = options.out, label_maps(options)
    images = out / "scans"
    write_scans(label_map_paths(maps), images)  # in your case they exist
    steps = options.steps or (12 if options.tiny else None)
    few = f"--steps {steps}" if steps else ""

    for name, share in (("real", 0.0), ("mixed", 0.5)):
        settings = out / f"{name}.yaml"
        settings.write_text(SETTINGS.format(share=share, edge=2 * voxel_size_mm(options)))
        given = ("--images", images, "--maps", maps, "--config", settings, few)
        synthseg("train --preset tiny_supervised", *given, "--out", out / name)

    # Heads that no training has seen; their scans are segmented with both models.
    truth = write_heads(out / "others", 6, voxel_size_mm(options), first=100)
    scans = write_scans(truth, out / "other-scans")
    for name in ("real", "mixed"):
        model = out / name / "model" / "card.yaml"
        for scan, path in zip(scans, truth, strict=True):
            synthseg("segment", scan, "--dseg", out / f"{name}-dseg" / path.name, "--model", model)
    compare(out)


def compare(out: Path) -> None:
    """Compare label maps with the truth, and the two models with each other."""
    folders = Path(f"real={out / 'real-dseg'}"), Path(f"mixed={out / 'mixed-dseg'}")
    synthseg("evaluate --reference", out / "others", "--segmentation", *folders, "--out", out / "comparison")


if __name__ == "__main__":
    main()
