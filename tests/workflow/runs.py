"""Run the workflow in child processes, as users do."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

REPOSITORY = Path(__file__).resolve().parents[2]
ENVIRONMENT = {
    **os.environ,
    "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    "OMP_NUM_THREADS": "1",
}


def run(command: Iterable[str | Path], cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end and return its status and everything that it printed."""
    return subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env={**ENVIRONMENT, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        timeout=300,
        check=False,
    )


def snakemake(folder: Path, config: Mapping[str, Any], *words: str) -> subprocess.CompletedProcess[str]:
    """Run Snakemake by hand in ``folder`` with a configuration of one's own."""
    return run(snakemake_command(folder, config, *words), folder)


def snakemake_command(folder: Path, config: Mapping[str, Any], *words: str) -> list[str]:
    """Write the configuration and return the command line."""
    (folder / "config.yaml").write_text(yaml.safe_dump({"report": {"enabled": False}, **config}))
    fixed = ["--snakefile", REPOSITORY / "workflow" / "Snakefile", "--configfile", "config.yaml", "--cores", "2"]
    profile = ["--workflow-profile", REPOSITORY / "profiles" / "default"]
    return [str(word) for word in (sys.executable, "-m", "snakemake", *fixed, *profile, *words)]


def app(bids: Path, out: Path, *words: str | Path, level: str = "participant") -> list[str]:
    """Return the command line of the front door with the tiny random model; what Snakemake says is shown.

    Pages take longer than such scans; tests that want them say ``--reports``.
    """
    command = [Path(sys.executable).parent / "synthseg-bids", bids, out, level]
    options = ["--model", "tiny-random", "--device", "cpu", "--n-cpus", "2", "--verbose"]
    if "--reports" not in words:
        options.append("--no-reports")
    words = tuple(word for word in words if word != "--reports")
    return [str(word) for word in [*command, *options, *words]]


def planned(output: str) -> dict[str, int]:
    """Return the number of jobs of each rule in a plan that Snakemake printed; empty if there is nothing to do."""
    table = re.search(r"^job +count\n[- ]+\n((?:\w+ +\d+\n)+)", output, re.MULTILINE)
    rows = re.findall(r"(\w+) +(\d+)", table[1] if table else "")
    return {name: int(count) for name, count in rows if name != "total"}
