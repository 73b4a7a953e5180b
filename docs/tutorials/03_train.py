"""Train a network on label maps, watch it, and go on with it."""

from __future__ import annotations

from argparse import ArgumentParser

from tutorial import common_parser, label_maps, synthseg

from synthseg_core.training.log import read_rows


def build_parser() -> ArgumentParser:
    """Return the arguments of this script."""
    parser = common_parser(__doc__, out="tutorial-training")
    parser.add_argument("--steps", type=int, metavar="N", help="optimiser steps (default: those of the preset)")
    return parser


def main() -> None:
    """Train with the preset tiny; with --tiny for a few steps only."""
    options = build_parser().parse_args()
    folder, run = label_maps(options), options.out / "run"
    steps = options.steps or (30 if options.tiny else None)

    synthseg("train --preset tiny --maps", folder, "--out", run, f"--steps {steps}" if steps else "")

    rows = read_rows(run / "log.tsv")
    for stage in dict.fromkeys(row["stage"] for row in rows):
        losses = [float(row["loss"]) for row in rows if row["stage"] == stage]
        print(f"{stage}: loss {losses[0]:.3f} at first, {losses[-1]:.3f} at last")
    for path in sorted(run.rglob("*")):
        print(path.relative_to(run) if path.is_file() else f"{path.relative_to(run)}/")


if __name__ == "__main__":
    main()
