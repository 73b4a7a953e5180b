"""``synthseg qc``: quality scores of a segmentation, from its stored decision; the scan is not needed."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from synthseg_core.cli.options import add_model_options
from synthseg_core.cli.outputs import add_log_arguments, check_outputs, reason_kept, refuse_repeats
from synthseg_core.models.registry import companion, load_card
from synthseg_core.segmentation.class_maps import read_class_maps, require_model
from synthseg_core.system.atomic import write_json, write_text


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Fill the parser of this subcommand."""
    parser.add_argument(
        "--decision", type=Path, required=True, metavar="NPZ", help="the --decision of 'synthseg segment'"
    )
    add_model_options(parser)
    out = parser.add_argument_group("outputs")
    out.add_argument(
        "--scores", type=Path, required=True, metavar="TSV", help="predicted Dice of each group of structures, 0 to 1"
    )
    out.add_argument("--sidecar", type=Path, metavar="JSON", help="provenance, and what the columns of the table mean")
    add_log_arguments(out)


def run(args: argparse.Namespace) -> int:
    """Score and write; the reason of a failure goes to ``--log-json`` too."""
    outputs = {"scores": args.scores, "sidecar": args.sidecar}
    refuse_repeats({"the decision": args.decision}, {**outputs, "log_json": args.log_json})
    with reason_kept("qc", args.log_json, args.decision, attempt=args.attempt):
        _score(args)
    return 0


def _score(args: argparse.Namespace) -> None:
    outputs = {"scores": args.scores, "sidecar": args.sidecar}
    check_outputs("qc", outputs, {"scores": (".tsv",), "sidecar": (".json",)})
    card = load_card(args.model)
    companion(card, "quality")
    decision = read_class_maps(args.decision)
    require_model(args.decision, decision, card)
    # Everything cheap has been checked; only now the second that torch takes to load.
    from synthseg_core.models.loading import load_companion
    from synthseg_core.networks.devices import choose_device, explained_exhaustion, use_threads
    from synthseg_core.segmentation.quality import quality_scores, quality_tsv
    from synthseg_core.segmentation.sidecars import Segmented, quality_sidecar
    from synthseg_core.system.timing import current

    device = choose_device(args.device)
    use_threads(args.threads)
    model = load_companion(card, "quality", weights=args.weights, device=device)
    for line in model.weights.warnings:
        print(f"synthseg qc: warning: {line}", file=sys.stderr)
    with current().phase("quality"), explained_exhaustion(args.decision):
        scores = quality_scores(model, decision.channels, card.labels)
    write_text(args.scores, quality_tsv(scores))
    if args.sidecar is not None:
        write_json(args.sidecar, quality_sidecar(model, Segmented(card, decision)))
