"""Partial volume: a network for stacks of thick slices whose spacing and thickness are known."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path

from tutorial import common_parser, label_maps, synthseg, write_picture

from synthseg_core.synth import BrainGenerator, Sample, read_maps, read_recipe

RECIPE = """\
preset: pv
resolution:
  spacing_mm: [[1, 1, 6]]     # axial slices every 6 mm
  thickness_mm: [[1, 1, 4]]   # 4 mm thick: 2 mm between them are never seen
  blur_range: 1.2
"""
SMALL = "training: {network: {features: 4, levels: 3}}\nvalidation: {draws: 1}\n"
# A voxel that is off by more than this, of a range of 1, is taken for a mixture of tissues.
MIXED = 0.05


def build_parser() -> ArgumentParser:
    """Return the arguments of this script."""
    return common_parser(__doc__, out="tutorial-partial-volume")


def main() -> None:
    """Show what thick slices do to the same head, then train on them."""
    options = build_parser().parse_args()
    maps, recipe = label_maps(options), options.out / "slices.yaml"
    recipe.write_text(RECIPE)

    rows, seeds = {}, range(2 if options.tiny else 4)
    for spacing_mm in (1, 3, 6, 9):
        both = pairs(maps, recipe, spacing_mm, seeds)
        share = sum(mixed(sharp, thick) for sharp, thick in both) / len(both)
        print(f"slices every {spacing_mm} mm: {share:.0%} of the brain's voxels are mixed")
        rows[f"every {spacing_mm} mm"] = [thick for _, thick in both]
    write_picture(options.out / "slices.png", rows)

    config, run = options.out / "train.yaml", options.out / "run"
    config.write_text(SMALL if options.tiny else "validation: {draws: 4}\n")
    steps = 2 if options.tiny else 200
    settings = ("--recipe", recipe, "--config", config, "--steps", steps)
    synthseg("train --preset pv", *settings, "--maps", maps, "--out", run)


def pairs(maps: Path, recipe: Path, spacing_mm: float, seeds: range) -> list[tuple[Sample, Sample]]:
    """Make samples without noise, bias and gamma, as they are and as slices so far apart see them."""
    clean = {"mixture.stds": [0, 0], "bias_field.max_std": 0, "intensity.gamma_std": 0, "background.mode": "keep"}
    slices = {"resolution.spacing_mm": [[1, 1, spacing_mm]], "resolution.thickness_mm": [[1, 1, spacing_mm]]}
    sharp = {"resolution.sample_again": False, "resolution.thickness_mm": [[0, 0, 0]]}
    generators = []
    for changes in ({**clean, **slices, **sharp}, {**clean, **slices}):
        changed = read_recipe(recipe, changes)
        generators.append(BrainGenerator(read_maps(maps, changed), changed))
    return [(generators[0].sample(seed), generators[1].sample(seed)) for seed in seeds]


def mixed(sharp: Sample, thick: Sample) -> float:
    """Return the share of the brain's voxels whose intensity is not that of their own tissue any more."""
    brain = sharp.index_map > 0
    return float(((sharp.image[0] - thick.image[0]).abs()[brain] > MIXED).float().mean())


if __name__ == "__main__":
    main()
