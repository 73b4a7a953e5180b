"""Where a run of the workflow keeps what: derivatives, logs, the scan table, settings.

The output folder has to be one of ours: files of the same names that others wrote there would be lost.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from synthseg_core.bids.columns import CODE_NAME
from synthseg_core.bids.names import PRODUCTS, derivative, products_of
from synthseg_core.bids.own_folders import log_folder
from synthseg_core.errors import UsageError

# What every version writes in these files.
_MARKS = {"dataset_description.json": f'"{CODE_NAME}"', "README.md": f"Made by {CODE_NAME}"}


@dataclass(frozen=True)
class Layout:
    """Folders of one run.

    Parameters
    ----------
    output
        Root of the derivative dataset.
    work
        Files that the user does not need: scan table, settings, intermediates, Snakemake's own.
    """

    output: Path
    work: Path

    @property
    def scan_table(self) -> Path:
        """Table of all scans."""
        return self.work / "scans.tsv"

    @property
    def run_config(self) -> Path:
        """Configuration that the front door hands to Snakemake."""
        return self.work / "run_config.yaml"

    @property
    def preview(self) -> Path:
        """Scan table and configuration of dry runs."""
        return self.work / "preview"

    @property
    def lock(self) -> Path:
        """Who runs in the work folder."""
        return self.work / "run.json"

    @property
    def parts(self) -> Path:
        """Folders of runs about some participants or sessions; see :mod:`synthseg_core.app.parts`."""
        return self.work / "parts"

    @cached_property
    def logs(self) -> Path:
        """Readable logs and the reasons of failures."""
        return log_folder(self.output)

    def settings(self, stage: str) -> Path:
        """Stage file: the options of a stage."""
        return self.work / "settings" / f"{stage}.json"

    def request(self, stage: str, stem: str) -> Path:
        """Return the file that says what a job is asked for; see :mod:`synthseg_core.app.requests`."""
        return self.work / "requests" / stage / f"{stem}.json"

    def derivative(self, stem: str, product: str) -> Path:
        """Return the path of a derivative of one scan."""
        return self.output / derivative(stem, product)

    def decision(self, stem: str) -> Path:
        """Class indices on the network grid, kept for later stages."""
        return self.work / "decisions" / f"{stem}_decision.npz"

    def log(self, stage: str, stem: str) -> Path:
        """Readable log of one job."""
        return self.logs / stage / f"{stem}.log"

    def reason(self, stage: str, stem: str) -> Path:
        """Why a job failed, one JSON line; Snakemake keeps it because it is declared as a log."""
        return self.logs / stage / f"{stem}.json"

    def benchmark(self, stage: str, stem: str) -> Path:
        """Time and memory of one job, as measured by Snakemake."""
        return self.work / "benchmarks" / stage / f"{stem}.tsv"

    def outputs_of(self, stage: str, stem: str) -> dict[str, Path]:
        """Return everything that a stage makes from one scan, by name."""
        derivatives = {product: self.derivative(stem, product) for product in products_of(stage)}
        return {**derivatives, "decision": self.decision(stem)} if stage == "segment" else derivatives

    def made_by(self, stage: str, stem: str) -> list[Path]:
        """Return everything that a stage makes from one scan, without copies, which are never worth a job."""
        outputs = self.outputs_of(stage, stem)
        return [outputs[key] for key in outputs if key not in PRODUCTS or not PRODUCTS[key].copy_of]


def require_own_output(output: Path, dataset: Path) -> None:
    """Refuse the folder of the scans, and folders that somebody else describes.

    Raises
    ------
    UsageError
        If files that are not ours would be replaced.
    """
    found = "the folder of the scans" if _same(output, dataset) else _foreign(output)
    if found:
        raise UsageError(
            output,
            found=found,
            expected="a folder of its own for the results",
            remedy="choose another output folder, such as derivatives/synthseg in the dataset",
        )


def _same(output: Path, dataset: Path) -> bool:
    return os.path.realpath(output) == os.path.realpath(dataset)


def _foreign(output: Path) -> str:
    """Name the first file that others wrote; empty if there is none."""
    names = (name for name, mark in _MARKS.items() if mark not in _text(output / name, mark))
    return next((f"a {name} that {CODE_NAME} did not write" for name in names), "")


def _text(path: Path, absent: str) -> str:
    """Return what a file says; ``absent`` if it is not there or says nothing."""
    try:
        return path.read_text(encoding="utf-8", errors="replace") or absent
    except OSError:
        return absent
