"""Understand the parameters: what each group of a recipe does to one head, and what the presets make of it."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path

import numpy as np
from tutorial import common_parser, label_maps, write_picture

from synthseg_core.images.label_maps import label_map_paths
from synthseg_core.synth import BrainGenerator, Recipe, Sample, read_maps, read_recipe
from synthseg_core.synth.recipe_file import recipe_names
from synthseg_core.system.tables import format_tsv

# How each group of the recipe is switched off. Contrast cannot be: some intensity every class must have.
OFF = {
    "deformation": {
        "deformation": {"rotation_deg": [0, 0], "shearing": [0, 0], "scaling": [1, 1], "elastic_std_voxels": 0}
    },
    "flip": {"flip_probability": 0},
    "noise in tissue": {"mixture": {"stds": [0, 0]}},
    "bias field": {"bias_field": {"max_std": 0}},
    "gamma": {"intensity": {"gamma_std": 0}},
    "resolution": {"resolution": {"mode": "fixed"}},
}
WHOLE = {"crop": {"shape": None, "multiple": None}}


def recipe_with(*groups: str) -> Recipe:
    """Return the official recipe without crop, and with all groups off but these."""
    overrides: dict[str, object] = dict(WHOLE)
    for name, off in OFF.items():
        overrides |= {} if name in groups else off
    return read_recipe("official", overrides)


def samples(maps: Path, recipe: Recipe, seeds: range) -> list[Sample]:
    """Make samples of the first label map; the same seeds draw the same numbers whatever is switched off."""
    generator = BrainGenerator(read_maps(label_map_paths(maps)[:1], recipe), recipe)
    return [generator.sample(seed) for seed in seeds]


def compared(some: list[Sample], still: list[Sample]) -> dict[str, float]:
    """Return how much two lists of samples differ: share of labels, and 1 - correlation of intensities."""
    pairs = list(zip(some, still, strict=True))
    labels = [float((a.labels != b.labels).float().mean()) for a, b in pairs]
    images = [1 - np.corrcoef(a.image.flatten().numpy(), b.image.flatten().numpy())[0, 1] for a, b in pairs]
    return {"labels_changed": round(max(labels), 4), "image_changed": round(max(images), 4)}


def build_parser() -> ArgumentParser:
    """Return the arguments of this script."""
    return common_parser(__doc__, out="tutorial-parameters")


def main() -> None:
    """Write a picture of groups, one of presets, and a table."""
    options = build_parser().parse_args()
    maps, seeds = label_maps(options, count=1), range(1, 4 if options.tiny else 5)
    still = samples(maps, recipe_with(), seeds)
    rows, table = {"all off: contrast alone": still}, []
    for name in OFF:
        rows[name] = samples(maps, recipe_with(name), seeds)
        table.append({"group": name, **compared(rows[name], still)})
    rows["all on: official"] = samples(maps, recipe_with(*OFF), seeds)
    text = format_tsv(table, ("group", "labels_changed", "image_changed"))
    (options.out / "groups.tsv").write_text(text)
    print(text)
    write_picture(options.out / "groups.png", rows)

    presets = {name: samples(maps, read_recipe(name), seeds) for name in recipe_names()}
    for name, row in presets.items():
        shape = " x ".join(map(str, row[0].labels.shape))
        print(f"{name}: {shape} voxels, {len(row[0].target_values) - 1} targets")
    write_picture(options.out / "presets.png", presets)


if __name__ == "__main__":
    main()
