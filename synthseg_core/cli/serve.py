"""``synthseg serve``: keep torch and models loaded and run per-scan commands for ``synthseg --worker SOCKET``."""

from __future__ import annotations

import argparse
import json
import os
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from synthseg_core.cli.worker.environment import PER_SCAN
from synthseg_core.cli.worker.server import Service, serve

# What the commands load only once they have checked everything else.
_LATE = (
    *("images.label_maps", "segmentation.class_maps", "segmentation.conform", "segmentation.parcellate"),
    *("segmentation.quality", "segmentation.segment", "segmentation.sidecars"),
)
_OTHERS = ("scipy.ndimage", "yaml")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Fill the parser of this subcommand."""
    parser.add_argument("socket", type=Path, metavar="SOCKET", help="Unix socket to listen on")
    parser.add_argument("--device", default="auto", help="device that is warmed up (default: %(default)s)")
    parser.add_argument("--threads", type=int, metavar="N", help="CPU threads of one job (default: all cores)")
    parser.add_argument(
        "--slots", type=int, metavar="N", help="jobs that compute at a time (default: 1 on a GPU, else cores/threads)"
    )
    parser.add_argument("--parent", type=int, metavar="PID", help="end when this process ends")


def run(args: argparse.Namespace) -> int:
    """Serve until told to end."""
    from synthseg_core.cli.main import COMMANDS, main

    commands = [f"synthseg_core.cli.{COMMANDS[name][0]}" for name in PER_SCAN if name in COMMANDS]
    modules = (*commands, *(f"synthseg_core.{name}" for name in _LATE), *_OTHERS)
    serve(
        args.socket,
        Service(main, modules, args.device, args.slots, args.threads, args.parent, _report),
    )
    if threading.active_count() > 1:  # in the middle of a computation, which would outlive the interpreter
        sys.stdout.flush()
        os._exit(0)
    return 0


def _report(job: Mapping[str, Any]) -> None:
    """Print a job that has ended, as one JSON line."""
    print(json.dumps(job), file=sys.__stdout__, flush=True)
