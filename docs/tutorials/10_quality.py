"""Scores for the segmentations of your own model: groups in the label list, training, how good they are, use."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path

from tutorial import common_parser, label_maps, synthseg

from synthseg_core.cli.demo.heads import write_scans
from synthseg_core.images.label_maps import label_map_paths
from synthseg_core.resources import resource
from synthseg_core.system.tables import format_tsv, read_tsv

RECIPE = """\
preset: tiny_quality
output_column: output_groups
map_step: 2
"""


def build_parser() -> ArgumentParser:
    """Return the arguments of this script."""
    return common_parser(__doc__, out="tutorial-quality")


def main() -> None:
    """Train a small segmentation model, then its quality network, and use both."""
    options = build_parser().parse_args()
    folder, out = label_maps(options), options.out
    labels, recipe, settings = out / "labels.tsv", out / "recipe.yaml", out / "settings.yaml"
    labels.write_text(with_quality_groups(resource("synth", "generation_54.tsv")))
    recipe.write_text(RECIPE)
    settings.write_text(f"recipe: {recipe}\n" + ("pairs: {kept: 2}\n" if options.tiny else ""))
    data = ["--maps", folder, "--labels", labels]

    segmenter = out / "segmenter" / "model" / "card.yaml"
    synthseg("train --preset tiny", *data, "--out", out / "segmenter", "--steps 12" if options.tiny else "")
    scores = out / "scores" / "model" / "card.yaml"
    task = ["train --task quality --preset tiny_quality --segmenter", segmenter, "--config", settings]
    synthseg(*task, *data, "--out", out / "scores", "--steps 10" if options.tiny else "")

    draws = "--draws 2" if options.tiny else "--draws 8"
    judged = ["validate --model", scores, "--segmenter", segmenter, "--recipe", recipe, draws]
    synthseg(*judged, *data, "--out", out / "validation", "--record")

    both = out / "both"
    synthseg("models combine", segmenter, "--quality", scores, "--out", both)
    write_scans(label_map_paths(folder)[:1], out / "scans")
    (scan,) = sorted((out / "scans").iterdir())[:1]
    decision, model = out / "decision.npz", ["--model", both / "card.yaml"]
    synthseg("segment", scan, *model, "--dseg", out / "dseg.nii.gz", "--decision", decision)
    synthseg("qc --decision", decision, *model, "--scores", out / "qc.tsv")
    print((out / "qc.tsv").read_text())


def with_quality_groups(path: Path) -> str:
    """Return a label list with one more column: tissue groups are the groups that are scored."""
    rows = [{**row, "qc_group": row["output_groups"]} for row in read_tsv(path)]
    return format_tsv(rows, tuple(rows[0]))


if __name__ == "__main__":
    main()
