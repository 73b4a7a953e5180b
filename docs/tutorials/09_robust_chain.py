"""Train the three networks of a robust chain, each on the models before it, and segment a poor scan."""

from __future__ import annotations

from argparse import ArgumentParser

from tutorial import common_parser, label_maps, synthseg

from synthseg_core.models.registry import load_card


def build_parser() -> ArgumentParser:
    """Return the arguments of this script."""
    parser = common_parser(__doc__, out="tutorial-robust")
    parser.add_argument(
        "--steps", type=int, metavar="N", help="optimiser steps of each (default: those of the presets)"
    )
    return parser


def main() -> None:
    """Train groups, denoiser and structures with the tiny presets; with --tiny for a few steps only."""
    options = build_parser().parse_args()
    maps, out = label_maps(options), options.out
    steps = options.steps or (12 if options.tiny else None)
    few = f"--steps {steps}" if steps else ""
    groups, denoiser, chain = (out / name / "model" / "card.yaml" for name in ("groups", "denoiser", "chain"))

    synthseg("train --task tissue_groups --preset tiny --maps", maps, few, "--out", out / "groups")
    synthseg("train --preset tiny_denoiser --group-segmenter", groups, "--maps", maps, few, "--out", out / "denoiser")
    before = ("--group-segmenter", groups, "--denoiser", denoiser)
    synthseg("train --preset tiny_robust", *before, "--maps", maps, few, "--out", out / "chain")

    # The model of the last training is the whole chain.
    for spec in load_card(chain).networks:
        print(f"{spec.role}: {spec.config.in_channels} channels in, {spec.config.out_channels} out")

    # A scan of low quality, to try it on: thick slices, noise, any contrast.
    synthseg("generate --count 1 --recipe tiny_denoiser --maps", maps, "--out", out / "poor")
    scan = out / "poor" / "sample-0001_image.nii.gz"
    synthseg("predict --robust --i", scan, "--o", out / "dseg.nii.gz", "--model", chain)


if __name__ == "__main__":
    main()
