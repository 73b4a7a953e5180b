"""``synthseg translate``: the actions, from a dataset of two domains to scans in another contrast."""

from __future__ import annotations

import argparse

from synthseg_core.cli.translate import apply, dataset, evaluate, pictures, scans, train

# name -> (module, one line for the overview)
_ACTIONS = {
    "dataset": (dataset, "make a dataset of two domains, from scans or from pictures of microscopes"),
    "train": (train, "learn to translate between the domains of a dataset, both ways"),
    "apply": (apply, "translate a scan, on its own grid"),
    "scans": (scans, "translate many scans into a derivative dataset, with copies of their labels"),
    "pictures": (pictures, "translate pictures, or a labelled dataset of them for nnU-Net"),
    "evaluate": (evaluate, "score a translator by its images, and by what is segmented in them"),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the actions and their options."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    for name, (module, summary) in _ACTIONS.items():
        action = actions.add_parser(name, help=summary, description=summary[0].upper() + summary[1:] + ".")
        module.add_arguments(action)
        action.set_defaults(act=module.run)


def run(options: argparse.Namespace) -> int:
    """Run the chosen action."""
    return options.act(options)
