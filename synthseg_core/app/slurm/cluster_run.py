"""A run whose jobs Snakemake itself gives to SLURM, one a scan."""

from __future__ import annotations

from dataclasses import replace
from importlib.util import find_spec

from synthseg_core.app.layout import Layout
from synthseg_core.app.slurm.commands import require_slurm
from synthseg_core.app.slurm.record import SlurmRecord
from synthseg_core.app.snakemake import ChildEnd, SnakemakeCall, run_snakemake
from synthseg_core.errors import UsageError

_PLUGIN = "snakemake_executor_plugin_slurm"


def run_on_slurm(call: SnakemakeCall, layout: Layout) -> ChildEnd:
    """Run Snakemake to its end, its jobs named so that a later run finds them.

    Raises
    ------
    UsageError
        If SLURM or Snakemake's plugin for it is not here.
    """
    require_slurm()
    if find_spec(_PLUGIN) is None:
        raise UsageError(
            "--profile",
            found=f"no {_PLUGIN} in this environment",
            expected="Snakemake's plugin for SLURM",
            remedy="pip install 'synthseg-bids[slurm]'",
        )
    record = SlurmRecord.of(layout)
    record.begin()
    end = run_snakemake(replace(call, extra=("--slurm-jobname-prefix", record.name, *call.extra)), "all")
    record.settle()
    return end
