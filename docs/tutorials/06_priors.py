"""Priors: let the generator imitate the contrast of one's own scans."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path

from tutorial import common_parser, label_maps, synthseg

from synthseg_core.cli.demo.heads import write_scans
from synthseg_core.images.label_maps import label_map_paths
from synthseg_core.system.tables import read_tsv

RECIPE = """\
preset: official
class_column: class_t1                # left and right share a class, as in the table
mixture: {priors: priors.tsv}         # relative to this file
"""


def build_parser() -> ArgumentParser:
    """Return the arguments of this script."""
    parser = common_parser(__doc__, out="tutorial-priors")
    parser.add_argument("--images", type=Path, metavar="DIR", help="scans on the grids of the maps, in their order")
    parser.add_argument("--scale", default="all", help="above-zero for skull-stripped scans (default: %(default)s)")
    return parser


def main() -> None:
    """Measure scans, and make samples that look like them."""
    options = build_parser().parse_args()
    maps, images = label_maps(options), options.images
    if images is None:
        images = options.out / "T1w"
        write_scans(label_map_paths(maps), images)

    priors, per_scan = options.out / "priors.tsv", options.out / "scans.tsv"
    synthseg(
        *("priors --classes class_t1 --scale", options.scale, "--images", images, "--maps", maps),
        *("--out", priors, "--per-scan", per_scan),
    )
    for row in read_tsv(priors):
        if row["scans"] != "0":
            mean, spread = float(row["mean_of_mean"]), float(row["std_of_mean"])
            print(f"class {row['class']:>2}: {mean:5.1f} ± {spread:4.1f}  labels {row['labels']}")

    recipe = options.out / "recipe.yaml"
    recipe.write_text(RECIPE)
    synthseg("generate --count 4 --maps", maps, "--recipe", recipe, "--out", options.out / "samples")


if __name__ == "__main__":
    main()
