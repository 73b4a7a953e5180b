"""Which pages a run makes, how they look, and what they are made from."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from synthseg_core import __version__
from synthseg_core.app.layout import Layout
from synthseg_core.app.stage_options import write_stage_file
from synthseg_core.bids.names import report_name
from synthseg_core.reports.page_files import page_files
from synthseg_core.system.atomic import write_json

# Stage -> what of its results the page about a scan shows.
_SHOWN = {
    "segment": ("dseg", "sidecar", "volumes"),
    "posteriors": ("posteriors_1mm",),
    "parcellate": ("parcels", "parcel_volumes"),
    "qc": ("scores",),
}


@dataclass(frozen=True)
class Reports:
    """Which pages a run makes.

    Parameters
    ----------
    enabled
        Whether any.
    palette, viewer
        As for :class:`synthseg_core.reports.scan_report.ReportOptions`.
    """

    enabled: bool
    palette: str
    viewer: bool

    def flags(self, threshold: float) -> list[str]:
        """Return options of ``synthseg report``; quality scores below ``threshold`` are marked."""
        viewer = ["--viewer"] if self.viewer else []
        return ["--palette", self.palette, "--qc-threshold", f"{threshold:g}", *viewer]


@dataclass(frozen=True)
class Pages:
    """The pages about the scans of a run.

    Snakemake knows the page alone. One that lacks a picture has an input that is newer, so that it is made again.

    Parameters
    ----------
    layout
        Folders of the run.
    stages
        Those that are asked for.
    reports
        How pages look.
    threshold
        Quality scores below it are marked.
    """

    layout: Layout
    stages: tuple[str, ...]
    reports: Reports
    threshold: float

    def inputs(self, stem: str) -> list[str]:
        """Return what the page about a scan is made from."""
        shown = (product for stage in self.stages for product in _SHOWN.get(stage, ()))
        return [str(self.layout.derivative(stem, product)) for product in shown]

    def files(self, stem: str) -> list[str]:
        """Return what belongs to the page about a scan, the page first."""
        files = page_files(report_name(stem), self.stages, viewer=self.reports.viewer)
        return [f"{self.layout.output}/{file}" for file in files]

    def lacking(self, stems: Iterable[str]) -> list[str]:
        """Return the scans that have no page, or one that lacks a picture, where pages are made."""
        return [stem for stem in stems if self.reports.enabled and not all(map(_is_there, self.files(stem)))]

    def settings(self, stem: str, *, preview: bool = False) -> Path:
        """Return the settings file of a page, up to date; for a page that lacks a picture a file that is newer."""
        content = {**asdict(self.reports), "threshold": self.threshold, "version": __version__}
        path = write_stage_file(self.layout, "report", content, preview=preview)
        page, *pictures = self.files(stem)
        if _is_there(page) and not all(map(_is_there, pictures)):
            path = path.with_name("incomplete_page.json")
            write_json(path, {})
        return path


def _is_there(name: str) -> bool:
    return os.path.exists(name)  # noqa: PTH110 -- large datasets ask for a hundred thousand names
