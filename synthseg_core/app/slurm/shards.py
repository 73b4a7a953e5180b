"""Shards: how pending scans are divided among allocations of SLURM, and what each asks for. Nothing is called here."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

SHARDS_FILE = "shards.yaml"
"""A profile that has this file runs in shards."""


@dataclass(frozen=True)
class Allocation:
    """What a job asks SLURM for; the keys of ``shards.schema.yaml``."""

    partition: str | None
    account: str | None
    gres: str | None
    cpus: int
    mem_mb: int
    minutes: int
    extra: tuple[str, ...]

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> Allocation:
        """Read options that fit the schema."""
        values: dict[str, Any] = {**options, "extra": tuple(options["extra"])}
        return cls(**values)

    def words(self) -> list[str]:
        """Return the options of ``sbatch``; what is not set is left to SLURM and its ``SBATCH_`` variables."""
        named = {"--partition": self.partition, "--account": self.account, "--gres": self.gres}
        words = [f"{option}={value}" for option, value in named.items() if value is not None]
        size = ["--nodes=1", "--ntasks=1", f"--cpus-per-task={self.cpus}", f"--mem={self.mem_mb}M"]
        return [*words, *size, f"--time={self.minutes}", *self.extra]


@dataclass(frozen=True)
class ShardOptions:
    """How a run is divided.

    Parameters
    ----------
    shards
        At most so many.
    scans_per_shard
        At least so many, where there are enough scans.
    at_once
        Shards that may run at a time; ``None``: no limit of ours.
    allocation, group
        What each shard, and the job for the group tables, ask for.
    """

    shards: int
    scans_per_shard: int
    at_once: int | None
    allocation: Allocation
    group: Allocation

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> ShardOptions:
        """Read options that fit the schema."""
        allocation, group = (Allocation.from_options(options[key]) for key in ("allocation", "group"))
        return cls(options["shards"], options["scans_per_shard"], options["at_once"], allocation, group)

    def divide(self, stems: Sequence[str]) -> list[list[str]]:
        """Divide scans into shards that differ by one scan at most; none is empty."""
        count = min(self.shards, len(stems) // self.scans_per_shard or bool(stems))
        return [list(stems[first::count]) for first in range(count)]

    def array_word(self, count: int) -> str:
        """Return the option that makes so many shards an array, numbered from 1."""
        limit = "" if self.at_once is None else f"%{self.at_once}"
        return f"--array=1-{count}{limit}"


def pending_scans(files: Mapping[str, Sequence[str]], summary: str) -> list[str]:
    """Return the scans that Snakemake would make, in part or whole.

    Parameters
    ----------
    files
        Outputs of each scan.
    summary
        What ``snakemake --summary`` printed: a table with the columns ``output_file`` and ``plan``.
    """
    rows = csv.DictReader(summary.splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE)
    made = {row["output_file"] for row in rows if row["plan"] == "no update"}
    return [stem for stem, paths in files.items() if not made.issuperset(paths)]
