"""Options that say with which model, and on what hardware, a stage of the workflow computes."""

from __future__ import annotations

import argparse
from pathlib import Path

from synthseg_core.models.registry import DEFAULT_MODEL, default_model


def add_model_options(parser: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    """Add model, weights, device and threads; returns their group, for options of one command alone."""
    model = parser.add_argument_group("model")
    model.add_argument(
        "--model",
        default=DEFAULT_MODEL,
        metavar="NAME|CARD",
        help=f"registered segmentation model, or card file (default: {default_model()})",
    )
    model.add_argument("--weights", type=Path, metavar="DIR", help="folder with the weights (default: usual places)")
    model.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps (default: %(default)s)")
    model.add_argument("--threads", type=int, metavar="N", help="CPU threads (default: all cores)")
    return model
