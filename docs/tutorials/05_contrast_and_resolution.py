"""A network for one contrast and one resolution: T1-weighted, thick slices."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path

import numpy as np
from tutorial import common_parser, label_maps, synthseg, write_picture

from synthseg_core.synth import BrainGenerator, Recipe, Sample, read_maps, read_recipe

RECIPE = """\
preset: advanced            # T1-weighted priors; 25 classes, left and right alike
resolution:
  spacing_mm: [[1, 1, 5]]   # slices every 5 mm
  thickness_mm: [[1, 1, 4]] # each 4 mm thick
"""
# With --tiny: a network that two cores train in seconds.
SMALL = "training: {network: {features: 4, levels: 3}}\nvalidation: {draws: 1}\n"
WHITE, GREY = (2, 41), (3, 42)


def build_parser() -> ArgumentParser:
    """Return the arguments of this script."""
    return common_parser(__doc__, out="tutorial-contrast")


def main() -> None:
    """Compare samples of two recipes, then train with one of them."""
    options = build_parser().parse_args()
    maps, recipe = label_maps(options), options.out / "t1_thick.yaml"
    recipe.write_text(RECIPE)

    seeds = range(4 if options.tiny else 8)
    rows = {name: samples(maps, read_recipe(name), seeds) for name in ("official", recipe)}
    for name, row in rows.items():
        share = np.mean([white_is_brighter(sample) for sample in row])
        print(f"{name}: white matter is brighter than cortex in {share:.0%} of {len(row)} samples")
    write_picture(options.out / "recipes.png", {str(name): row for name, row in rows.items()})

    config, run = options.out / "train.yaml", options.out / "run"
    config.write_text(SMALL if options.tiny else "validation: {draws: 4}\n")
    steps = 2 if options.tiny else 200
    settings = ("--recipe", recipe, "--config", config, "--steps", steps)
    synthseg("train --preset advanced", *settings, "--maps", maps, "--out", run)


def samples(maps: Path, recipe: Recipe, seeds: range) -> list[Sample]:
    """Make some samples."""
    generator = BrainGenerator(read_maps(maps, recipe), recipe)
    return [generator.sample(seed) for seed in seeds]


def white_is_brighter(sample: Sample) -> bool:
    """Say whether white matter is brighter than cortex in a sample."""
    image, labels = sample.image[0].numpy(), sample.labels.numpy()
    white, grey = (np.median(image[np.isin(labels, values)]) for values in (WHITE, GREY))
    return bool(white > grey)


if __name__ == "__main__":
    main()
