"""Label maps of one's own: their list, what is refused, and voxels that nobody labelled."""

from __future__ import annotations

from argparse import ArgumentParser
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from tutorial import common_parser, label_maps, synthseg

from synthseg_core.cli.demo.heads import write_scans
from synthseg_core.cli.main import main as command
from synthseg_core.images.label_maps import label_map_paths
from synthseg_core.images.reading import read_stored
from synthseg_core.images.volume import Volume
from synthseg_core.images.writing import write_volume
from synthseg_core.synth import GenerationLabels

# What the maps of this tutorial hold: two lobes with values of our own, two structures with values of FreeSurfer.
LOBES = {7001: (2, 3), 7002: (41, 42)}
KEPT = (4, 43, 17, 53)
NAMES = """\
value\tname\tside\tcounterpart\tclass\toutput
7001\tleft lobe\tleft\t7002\t1\t7001
7002\tright lobe\tright\t7001\t1\t7002
"""


def build_parser() -> ArgumentParser:
    """Return the arguments of this script."""
    return common_parser(__doc__, out="tutorial-labels")


def main() -> None:
    """Make such maps of phantom heads, and go through the commands."""
    options = build_parser().parse_args()
    heads = label_map_paths(label_maps(options))
    maps, images = options.out / "own-maps", options.out / "scans"
    for path in heads:
        write_volume(maps / path.name, own_labels(read_stored(path)))
    write_scans(heads, images)

    # Nobody knows 7001: it is taken for a neutral target, with two warnings. So say what it is.
    synthseg("labels scan", maps, "--out", options.out / "first.tsv")
    names, labels = options.out / "names.tsv", options.out / "labels.tsv"
    names.write_text(NAMES)
    synthseg("labels scan", maps, "--names", names, "--out", labels)
    show(labels)
    refused(maps, options.out / "broken", names)

    # Everything else in the head is 0, and would be one flat tissue. Its scans tell more.
    filled = maps
    if find_spec("sklearn") is not None:
        filled, labels = options.out / "filled-maps", options.out / "filled.tsv"
        synthseg("labels cluster --classes 5 --image", images, "--labels", maps, "--out", filled)
        synthseg("labels scan", filled, "--names", names, "--out", labels)
        show(labels)
    synthseg("generate --count 4 --maps", filled, "--labels", labels, "--out", options.out / "samples")


def own_labels(head: Volume) -> Volume:
    """Return a map of the tutorial's labels."""
    data = np.where(np.isin(head.data, KEPT), head.data, 0).astype(np.int16)
    for value, members in LOBES.items():
        data[np.isin(head.data, members)] = value
    return Volume(data, head.affine)


def show(path: Path) -> None:
    """Print the labels of a list."""
    labels = GenerationLabels.read(path)
    for value, name, number, output in zip(labels.values, labels.names, labels.classes, labels.outputs, strict=True):
        print(f"{value:>5}  {name:<28} class {number:<3} target {output}")


def refused(maps: Path, folder: Path, names: Path) -> None:
    """Show what is said about a map whose left lobe is missing its partner."""
    for path in label_map_paths(maps):
        head = read_stored(path)
        write_volume(folder / path.name, Volume(np.where(head.data == 43, 0, head.data), head.affine))
    print("\nwithout the right ventricle:", flush=True)
    assert command(["labels", "scan", str(folder), "--names", str(names), "--out", str(folder / "labels.tsv")]) == 2


if __name__ == "__main__":
    main()
